"""Commands about one version: `aiops card` and `aiops compare`."""

import json
import os
from typing import TYPE_CHECKING

import click

from aiops_assets.commands.errors import one_line_errors
from aiops_assets.commands.tables import show_table
from aiops_assets.errors import IntegrityError, NotFoundError
from aiops_assets.settings import load_settings

if TYPE_CHECKING:
    import pandas as pd

    from aiops_assets.storage.shadow import ShadowRecord, ShadowScores

WINDOW = ("WINDOW END", "CHALLENGER", "CHAMPION")


@click.command()
@click.argument("name")
@click.argument("version", type=click.IntRange(min=1), required=False)
@one_line_errors
def card(name: str, version: int | None) -> None:
    """Print the path and the text of the card of model NAME: of VERSION, or else of the champion."""
    from aiops_assets.pipeline.resources import stores_of
    from aiops_assets.registry import champions

    stores, name = stores_of(load_settings(os.environ)), champions.model_named(name).name
    cards = stores.cards()
    if version is None:
        record = stores.served().champion(name)
        known = cards.versions(name)
        if record is None and not known:
            raise NotFoundError(f"{name} has no card yet: run `aiops run` first", code="no_card_yet", name=name)
        version = record.champion.version if record else known[-1]
    text = cards.text(name, version)
    click.echo(f"{cards.locate(name, version)}\n\n{text}", nl=False)


@click.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="One JSON object alone on stdout.")
@one_line_errors
def compare(name: str, as_json: bool) -> None:
    """Compare challenger and champion of model NAME: a line for each stored window, and a summary.

    Figures of one line are of the same rows; those of two lines are not. A challenger raises no alert.
    Forecasters: errors relative to the seasonal naive's, up to 1, 6 and 24 hours ahead, below 1 is better; NEARER is
    the share of steps at which the challenger was nearer to the actual value.
    """
    from aiops_assets.pipeline.resources import stores_of
    from aiops_assets.registry import champions
    from aiops_assets.reporting.reports import report_of

    spec = champions.model_named(name)
    name = spec.name
    kept = stores_of(load_settings(os.environ)).shadow()
    windows = _windows(kept, name)
    if not windows:
        raise NotFoundError(
            f"{kept.locate(name)} holds no window of {name}: run `aiops run` first", code="no_window", name=name
        )
    found = report_of(spec).windows(windows)
    if as_json:
        click.echo(json.dumps({"name": name, "windows": found.facts, "summary": found.summary}, indent=2))
        return
    rows = ((*_window(record), *cells) for (record, _), cells in zip(windows, found.cells, strict=True))
    show_table((*WINDOW, *found.head), rows)
    for record, _ in windows:
        if record.note:
            champion = f"champion version {record.champion}"
            click.echo(f"{record.window_end:%Y-%m-%d}: {champion} has no predictions: {record.note}")
    click.echo(found.summary)


def _windows(kept: "ShadowScores", name: str) -> "list[tuple[ShadowRecord, pd.DataFrame]]":
    """All readable windows, oldest first; others are named on stderr and skipped."""
    found = []
    for file_name in kept.files(name):
        try:
            found.append(kept.read(name, file_name))
        except IntegrityError as error:
            click.echo(f"warning: {error}", err=True)
    return found


def _window(record: "ShadowRecord") -> tuple[str, ...]:
    return f"{record.window_end:%Y-%m-%d}", str(record.challenger), str(record.champion or "-")
