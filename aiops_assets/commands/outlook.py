"""`aiops outlook`: when the metrics of a file reach their limits, by a forecast and, after it, by their trend."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aiops_assets.commands.errors import one_line_errors
from aiops_assets.commands.tables import show_table
from aiops_assets.engine.models import FORECASTER
from aiops_assets.errors import DataError
from aiops_assets.settings import load_settings

if TYPE_CHECKING:
    import pandas as pd

    from aiops_assets.learners.contracts import Forecast
    from aiops_assets.outlook.breaches import Outlook
    from aiops_assets.timeseries.history import History

SEED = 42
HEADINGS = ("metric", "limit", "now", "in 1 h", "at the end", "forecast reaches it", "trend reaches it")


@click.command()
@click.option("--series", required=True, type=click.Path(path_type=Path), help="Parquet file to read.")
@click.option(
    "--limit", "given", multiple=True, metavar="NAME=VALUE", help="Of a column, in its unit; may be repeated."
)
@click.option("--horizon", type=click.IntRange(1), help="Steps ahead of the forecast; default FORECAST_HORIZON.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object alone on stdout.")
@one_line_errors
def outlook(series: Path, given: tuple[str, ...], horizon: int | None, as_json: bool) -> None:
    """When metrics of SERIES reach their limits: within the horizon by a forecast, up to 14 days by their trend.

    SERIES has `timestamp` and numeric columns, 10 s to 1 h apart. Only columns with a limit are looked at: those that
    --limit names; without it, columns that end in the name of one of our ratios (memory_usage, disk_usage, ...) get 1.
    predictive-analytics is fitted on them, in steps of five minutes (of the series, if longer).
    """
    from aiops_assets.families.backtests import FORECASTERS
    from aiops_assets.outlook import breaches
    from aiops_assets.timeseries.history import history_of
    from aiops_assets.timeseries.series_file import SPLIT, TIME, read_series

    parsed = _parsed(given)
    frame = read_series(series, to_fit=False).drop(columns=SPLIT)
    limits = _limits(parsed, [str(name) for name in frame.columns if name != TIME], series)
    history = history_of(frame[[TIME, *limits]])
    if missing := [name for name in limits if name not in history.metrics]:
        raise DataError(
            f"{series}: column {missing[0]!r} has no sample: leave out its limit or export it again",
            code="no_sample_in_column",
            column=missing[0],
        )
    forecaster = FORECASTERS[FORECASTER](SEED)
    forecaster.fit(history)
    forecast = forecaster.forecast(history, horizon or load_settings(os.environ).forecast_horizon)
    rows = [_row(one, history, forecast) for one in breaches.outlook(history, forecast, limits)]
    if as_json:
        head = {
            "series": str(series),
            "model": FORECASTER,
            "timestamp": _iso(history.times[-1]),
            "step_seconds": history.step_seconds,
            "horizon": len(forecast.times),
        }
        click.echo(json.dumps({**head, "metrics": rows}, indent=2, allow_nan=False))
    else:
        hours = len(forecast.times) * history.step_seconds / 3600
        click.echo(f"from {_iso(history.times[-1])}, {FORECASTER} {hours:.3g} h ahead; in parentheses 80 % intervals")
        show_table(HEADINGS, (_cells(row) for row in rows))


def _parsed(given: tuple[str, ...]) -> dict[str, float]:
    limits = {}
    for text in given:
        name, equals, value = text.rpartition("=")
        try:
            limits[name] = float(value)
        except ValueError:
            equals = ""
        if not name or not equals or abs(limits[name]) == float("inf") or limits[name] != limits[name]:
            raise DataError(
                f"--limit {text!r}: write NAME=VALUE with a number, for example memory_usage=0.9",
                code="bad_limit",
                given=text,
            )
    return limits


def _limits(given: Mapping[str, float], columns: list[str], series: Path) -> Mapping[str, float]:
    from aiops_assets.timeseries.catalog import METRICS

    there = ", ".join(columns[:10]) + (", ..." if len(columns) > 10 else "")
    if unknown := [name for name in given if name not in columns]:
        raise DataError(
            f"--limit names {unknown[0]!r}, {series} has {there}: name one of these",
            code="no_column",
            column=unknown[0],
            there=columns,
        )
    ratios = tuple(metric.name for metric in METRICS if metric.unit == "ratio")
    limits = given or {name: 1.0 for name in columns if name.endswith(ratios)}
    if not limits:
        raise DataError(
            f"{series}: no column is known to be a ratio: set --limit NAME=VALUE for one of {there}",
            code="no_ratio",
            there=columns,
        )
    return limits


def _row(one: "Outlook", history: "History", forecast: "Forecast") -> dict[str, Any]:
    """The JSON object about a metric."""
    column = forecast.metrics.index(one.metric)

    def at(step: int) -> dict[str, float] | None:
        if step > len(forecast.times):
            return None
        return {side: float(getattr(forecast, side)[step - 1, column]) for side in ("value", "lower", "upper")}

    breach = exhaustion = None
    if one.breach is not None:
        breach = {**asdict(one.breach), "time": _iso(one.breach.time)}
    if one.exhaustion is not None:
        exhaustion = {**asdict(one.exhaustion), "in_words": one.exhaustion.in_words()}
        del exhaustion["metric"], exhaustion["limit"], exhaustion["now"]
    known = history.known[:, history.metrics.index(one.metric)]
    return {
        "metric": one.metric,
        "limit": one.limit,
        "now": float(history.values[known, history.metrics.index(one.metric)][-1]),
        "forecast_1h": at(history.steps(1)),
        "forecast_end": at(len(forecast.times)),
        "breach": breach,
        "exhaustion": exhaustion,
    }


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        row["metric"],
        f"{row['limit']:g}",
        f"{row['now']:.4g}",
        *(_interval(row[name]) for name in ("forecast_1h", "forecast_end")),
        _breach_in_words(row["breach"]),
        "see the forecast" if row["exhaustion"] is None else _exhaustion_in_words(row["exhaustion"]),
    )


def _interval(values: Mapping[str, float] | None) -> str:
    return "-" if values is None else f"{values['value']:.4g} ({values['lower']:.4g} to {values['upper']:.4g})"


def _breach_in_words(breach: Mapping[str, Any] | None) -> str:
    if breach is None:
        return "no"
    how = "in" if breach["kind"] == "predicted_breach" else "possibly in"
    return f"{how} {breach['time_to_breach']} min, {breach['severity']}"


def _exhaustion_in_words(exhaustion: Mapping[str, Any]) -> str:
    from aiops_assets.outlook.exhaustion import when_in_words

    return when_in_words(*(exhaustion[f"{name}hours"] for name in ("", "earliest_", "latest_", "not_before_")))


def _iso(time: "pd.Timestamp") -> str:
    return time.to_pydatetime().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
