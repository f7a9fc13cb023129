"""Commands that say what a version is and how it compares: `aiops card` and `aiops compare`."""

import json
import os
from collections.abc import Callable
from dataclasses import fields
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from aiops_assets.commands.errors import one_line_errors
from aiops_assets.errors import IntegrityError, NotFoundError
from aiops_assets.settings import load_settings

if TYPE_CHECKING:
    import pandas as pd

    from aiops_assets.judging.detection.shadow import SideBySide
    from aiops_assets.judging.forecasting.shadow import ForecastsSideBySide
    from aiops_assets.storage.shadow import ShadowRecord, ShadowScores

WINDOW = ("WINDOW END", "CHALLENGER", "CHAMPION")
DETECTOR_HEAD = (
    "ROWS",
    "ANOMALOUS",
    "AVG PRECISION",
    "CHAMPION'S",
    "FALSE ALARMS",
    "CHAMPION'S",
    "ALERTS AGREE",
    "RANKS",
)
FORECASTER_HEAD = (
    "MOMENTS",
    "TO SEASONAL 1H",
    "6H",
    "24H",
    "CHAMPION'S 1H",
    "6H",
    "24H",
    "ERROR TO CHAMPION'S",
    "NEARER",
    "INSIDE 80 %",
    "CHAMPION'S",
)


class Manner(NamedTuple):
    """How two models of a kind are compared: judged, summed up, written as cells; ``counts`` of figures for JSON."""

    judge: "Callable[[pd.DataFrame], Any]"
    in_words: "Callable[[list[tuple[bool, Any]]], str]"
    head: tuple[str, ...]
    cells: Callable[[Any], tuple[str, ...]]
    counts: tuple[str, ...]


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
            raise NotFoundError(f"{name} has no card yet: run `aiops run` first")
        version = record.champion.version if record else known[-1]
    text = cards.text(name, version)
    click.echo(f"{cards.locate(name, version)}\n\n{text}", nl=False)


@click.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="One JSON object alone on stdout.")
@one_line_errors
def compare(name: str, as_json: bool) -> None:
    """Challenger beside champion of model NAME, a line for each window kept, and what the windows say together.

    Figures of one line are of the same rows; those of two lines are not. Nobody is called by a challenger's alerts.
    Of forecasters: errors to the seasonal naive's, up to 1, 6 and 24 hours ahead, below 1 is better; NEARER is the
    share of steps at which the challenger was nearer to what came.
    """
    from aiops_assets.families.registry import family_of
    from aiops_assets.pipeline.resources import stores_of
    from aiops_assets.registry import champions

    spec = champions.model_named(name)
    name = spec.name
    kept = stores_of(load_settings(os.environ)).shadow()
    manner = _manner(family_of(spec).kind)
    windows = _windows(kept, name, manner.judge)
    if not windows:
        raise NotFoundError(f"{kept.locate(name)} holds no window of {name}: run `aiops run` first")
    summary = manner.in_words([(record.is_pair, both) for record, both in windows])
    if as_json:
        found = {"name": name, "windows": [_as_json(*window, manner.counts) for window in windows], "summary": summary}
        click.echo(json.dumps(found, indent=2))
        return
    rows = [(*WINDOW, *manner.head), *((*_window(record), *manner.cells(both)) for record, both in windows)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    for record, _ in windows:
        if record.note:
            click.echo(f"{record.window_end:%Y-%m-%d}: champion version {record.champion} was not asked: {record.note}")
    click.echo(summary)


def _manner(kind: str) -> Manner:
    from aiops_assets.families.registry import FORECASTER
    from aiops_assets.judging.detection import shadow
    from aiops_assets.judging.forecasting import shadow as forecast_shadow

    if kind == FORECASTER:
        words = forecast_shadow.in_words
        return Manner(forecast_shadow.compare, words, FORECASTER_HEAD, _forecaster_cells, ("rows", "origins"))
    return Manner(shadow.compare, shadow.in_words, DETECTOR_HEAD, _detector_cells, ("rows", "anomalies"))


def _windows(
    kept: "ShadowScores", name: str, judge: "Callable[[pd.DataFrame], Any]"
) -> "list[tuple[ShadowRecord, Any]]":
    """All windows that can be read, oldest first; those that cannot are named and passed over."""
    found = []
    for file_name in kept.files(name):
        try:
            record, scores = kept.read(name, file_name)
        except IntegrityError as error:
            click.echo(f"warning: {error}", err=True)
            continue
        found.append((record, judge(scores)))
    return found


def _window(record: "ShadowRecord") -> tuple[str, ...]:
    return f"{record.window_end:%Y-%m-%d}", str(record.challenger), str(record.champion or "-")


def _detector_cells(both: "SideBySide") -> tuple[str, ...]:
    new, old = both.challenger, both.champion
    return (
        str(new.rows),
        str(new.anomalies),
        _shown(new.average_precision, "{:.3f}"),
        _shown(old.average_precision if old else None, "{:.3f}"),
        _shown(new.false_alarm_rate, "{:.2%}"),
        _shown(old.false_alarm_rate if old else None, "{:.2%}"),
        _shown(both.alerts_agree, "{:.1%}"),
        _shown(both.rank_correlation, "{:.2f}"),
    )


def _forecaster_cells(both: "ForecastsSideBySide") -> tuple[str, ...]:
    from aiops_assets.judging.forecasting.holdout import HORIZON_HOURS

    ratios = [figures.ratios["seasonal_naive"] if figures else {} for figures in (both.challenger, both.champion)]
    inside = both.coverage
    return (
        str(both.challenger.origins),
        *(_shown(by_horizon.get(label), "{:.2f}") for by_horizon in ratios for label in HORIZON_HOURS),
        _shown(both.error, "{:+.1%}"),
        _shown(both.nearer, "{:.1%}"),
        *(_shown(share, "{:.1%}") for share in inside),
    )


def _as_json(
    record: "ShadowRecord", both: "SideBySide | ForecastsSideBySide", counts: tuple[str, ...]
) -> dict[str, object]:
    new, old = both.challenger, both.champion
    between = {field.name: getattr(both, field.name) for field in fields(both)}
    del between["challenger"], between["champion"]
    return {
        **record.model_dump(mode="json", exclude={"name", "metrics"}),
        **{name: getattr(new, name) for name in counts},
        "challenger_figures": new.as_metrics(),
        "champion_figures": old.as_metrics() if old else None,
        **between,
    }


def _shown(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)
