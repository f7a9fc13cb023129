"""Commands that say what a version is and how it compares: `aiops card` and `aiops compare`."""

import json
import os
from typing import TYPE_CHECKING

import click

from aiops_assets.commands.errors import one_line_errors
from aiops_assets.errors import IntegrityError, NotFoundError
from aiops_assets.settings import load_settings

if TYPE_CHECKING:
    from aiops_assets.models.evaluation import Figures
    from aiops_assets.models.shadow import SideBySide
    from aiops_assets.stores.shadow import ShadowRecord, ShadowScores

HEAD = (
    "WINDOW END",
    "CHALLENGER",
    "CHAMPION",
    "ROWS",
    "ANOMALOUS",
    "AVG PRECISION",
    "CHAMPION'S",
    "FALSE ALARMS",
    "CHAMPION'S",
    "ALERTS AGREE",
    "RANKS",
)


@click.command()
@click.argument("name")
@click.argument("version", type=click.IntRange(min=1), required=False)
@one_line_errors
def card(name: str, version: int | None) -> None:
    """Print the path and the text of the card of model NAME: of VERSION, or else of the champion."""
    from aiops_assets.registry import champions
    from aiops_assets.resources import stores_of

    stores, spec = stores_of(load_settings(os.environ)), champions.model_named(name)
    cards = stores.cards()
    if version is None:
        record = stores.served().champion(spec.name)
        known = cards.versions(spec.name)
        if record is None and not known:
            raise NotFoundError(f"{name} has no card yet: run `aiops run` first")
        version = record.champion.version if record else known[-1]
    text = cards.text(spec.name, version)
    click.echo(f"{cards.locate(spec.name, version)}\n\n{text}", nl=False)


@click.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="One JSON object alone on stdout.")
@one_line_errors
def compare(name: str, as_json: bool) -> None:
    """Challenger beside champion of model NAME, a line for each window kept, and what the windows say together.

    Figures of one line are of the same rows; those of two lines are not. Nobody is called by a challenger's alerts.
    """
    from aiops_assets.models.shadow import in_words
    from aiops_assets.registry import champions
    from aiops_assets.resources import stores_of

    spec = champions.model_named(name)
    kept = stores_of(load_settings(os.environ)).shadow()
    windows = _windows(kept, spec.name)
    if not windows:
        raise NotFoundError(f"{kept.locate(spec.name)} holds no window of {name}: run `aiops run` first")
    summary = in_words([(record.is_pair, both) for record, both in windows])
    if as_json:
        found = {"name": name, "windows": [_as_json(*window) for window in windows], "summary": summary}
        click.echo(json.dumps(found, indent=2))
        return
    rows = [HEAD, *(_cells(record, both) for record, both in windows)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    for record, _ in windows:
        if record.note:
            click.echo(f"{record.window_end:%Y-%m-%d}: champion version {record.champion} was not asked: {record.note}")
    click.echo(summary)


def _windows(kept: "ShadowScores", name: str) -> "list[tuple[ShadowRecord, SideBySide]]":
    """All windows that can be read, oldest first; those that cannot are named and passed over."""
    from aiops_assets.models.shadow import compare as compare_scores

    found = []
    for file_name in kept.files(name):
        try:
            record, scores = kept.read(name, file_name)
        except IntegrityError as error:
            click.echo(f"warning: {error}", err=True)
            continue
        found.append((record, compare_scores(scores)))
    return found


def _cells(record: "ShadowRecord", both: "SideBySide") -> tuple[str, ...]:
    new, old = both.challenger, both.champion
    return (
        f"{record.window_end:%Y-%m-%d}",
        str(record.challenger),
        str(record.champion or "-"),
        str(new.rows),
        str(new.anomalies),
        _shown(new.average_precision, "{:.3f}"),
        _shown(old.average_precision if old else None, "{:.3f}"),
        _shown(new.false_alarm_rate, "{:.2%}"),
        _shown(old.false_alarm_rate if old else None, "{:.2%}"),
        _shown(both.alerts_agree, "{:.1%}"),
        _shown(both.rank_correlation, "{:.2f}"),
    )


def _as_json(record: "ShadowRecord", both: "SideBySide") -> dict[str, object]:
    new = both.challenger
    return {
        **record.model_dump(mode="json", exclude={"name", "metrics"}),
        "rows": new.rows,
        "anomalies": new.anomalies,
        "challenger_figures": new.as_metrics(),
        "champion_figures": _metrics(both.champion),
        "alerts_agree": both.alerts_agree,
        "rank_correlation": both.rank_correlation,
    }


def _metrics(figures: "Figures | None") -> dict[str, float] | None:
    return figures.as_metrics() if figures else None


def _shown(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)
