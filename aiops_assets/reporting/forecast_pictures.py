"""Pictures of forecasts: forecasts beside actual values, and how often the 80 % intervals contain these."""

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from aiops_assets.judging.forecasting.holdout import COVERAGE
from aiops_assets.judging.forecasting.shadow import interval_sides
from aiops_assets.reporting.pictures import dates
from aiops_assets.reporting.plots import canvas
from aiops_assets.timeseries.catalog import METRICS
from aiops_assets.timeseries.history import STEP_SECONDS

UNITS = {metric.name: metric.unit for metric in METRICS}
HOURS = (0, 1, 3, 6, 12, 24)
"""Edges of the bins of horizons in the picture of reliability, hours."""
MARKS = "osD^vPX*"
COLOURS = ("tab:blue", "tab:orange", "tab:green", "tab:purple", "tab:brown", "tab:pink", "tab:olive", "tab:cyan")
"""Colours of metrics; the nominal coverage is grey."""
DETAIL = ((2, 144), (1, 144), (1, 48))
"""(number of forecast origins, points per line) to try in turn, until the picture is no larger than ``MAX_BYTES``."""
MAX_BYTES = 37_000
"""Largest picture that the Dagster UI shows, bytes of PNG."""
BAND, MEDIAN, THEIRS = "#aac8e8", "tab:blue", "tab:orange"


def fan_chart(
    forecasts: pd.DataFrame, title: str, other: pd.DataFrame | None = None, other_name: str = "champion"
) -> bytes:
    """PNG of one or two forecasts of a hold-out, up to a day each: median, 80 % interval and actual values per metric.

    Args:
        forecasts: forecasts with the columns ``holdout.KEYS`` and ``SIDES``, at least one row.
        title: title of the picture.
        other: forecasts of another forecaster from the same origins; its median over one day is drawn.
        other_name: name of the other forecaster.
    """
    origins = shown_origins(forecasts)
    png = b""
    # Two forecasters over two days are too many lines.
    for n_origins, points in DETAIL[0 if other is None else 1 :]:
        png = _fans(forecasts, origins[:n_origins], points, title, other, other_name)
        if len(png) <= MAX_BYTES:
            break
    return png


def probe_chart(prediction: pd.DataFrame, title: str) -> bytes:
    """PNG of a forecast without actual values, of KEYS and SIDES: of its first metric."""
    return fan_chart(prediction[prediction["metric"] == prediction["metric"].iloc[0]], title)


def reliability(forecasts: pd.DataFrame, title: str) -> bytes:
    """PNG of the coverage of 80 % intervals by horizon and metric and, below, the shares on either side of them.

    Args:
        forecasts: forecasts with the columns ``holdout.KEYS`` and ``SIDES``, at least one with an actual value.
        title: title of the picture.
    """
    came = interval_sides(forecasts)
    hours = pd.cut(came["step"] * STEP_SECONDS / 3600, HOURS, labels=range(len(HOURS) - 1))
    metrics = list(dict.fromkeys(came["metric"].astype(str)))
    with canvas(height=0.24 * len(metrics) + 3.5, colours=128) as drawing:
        drawing.axes[0].remove()
        upper, lower = drawing.figure.subplots(2, height_ratios=[2.1, 0.24 * len(metrics) + 0.5])
        _inside(upper, came.assign(hours=hours.astype(int)), metrics)
        upper.set_title(title, fontsize=8)
        _sides(lower, came, metrics)
    return drawing.png


def shown_origins(forecasts: pd.DataFrame) -> list[pd.Timestamp]:
    """The first origin with the longest forecast, and the longest one that begins after it, if there is any."""
    steps = forecasts.groupby("origin", sort=True)["step"].max()
    first = steps.index[int(steps.to_numpy().argmax())]
    later = steps[steps.index >= first + pd.Timedelta(seconds=STEP_SECONDS * int(steps[first]))]
    # Short forecasts from the end of a hold-out show little.
    if later.empty or later.max() * 4 < steps[first]:
        return [first]
    return [first, later.index[int(later.to_numpy().argmax())]]


def _fans(
    forecasts: pd.DataFrame,
    origins: list[pd.Timestamp],
    points: int,
    title: str,
    other: pd.DataFrame | None,
    other_name: str,
) -> bytes:
    metrics = list(dict.fromkeys(forecasts["metric"].astype(str)))
    with canvas(rows=len(metrics), height=1.05 * len(metrics) + 0.95) as drawing:
        for axis, metric in zip(drawing.axes, metrics, strict=True):
            for i, origin in enumerate(origins):
                _fan(axis, _rows(forecasts, origin, metric, points), legend=i == 0)
            if other is not None:
                theirs = _rows(other, origins[0], metric, points)
                axis.plot(theirs["time"], theirs["value"], lw=1.0, color=THEIRS, label=f"{other_name}'s median")
            _named(axis, metric)
        dates(drawing.axes[-1])
        drawing.axes[0].set_title(title, fontsize=8)
        drawing.axes[-1].legend(fontsize=6, ncols=6, loc="upper left", bbox_to_anchor=(-0.12, -0.3), frameon=False)
    return drawing.png


def _rows(forecasts: pd.DataFrame, origin: pd.Timestamp, metric: str, points: int) -> pd.DataFrame:
    rows = forecasts[(forecasts["origin"] == origin) & (forecasts["metric"] == metric)].sort_values("step")
    drawn = rows.iloc[:: max(1, len(rows) // points)]
    return drawn.assign(time=drawn["timestamp"].dt.tz_localize(None))


def _fan(axis: Any, rows: pd.DataFrame, legend: bool) -> None:
    times = rows["time"].to_numpy()
    names = ("80 % interval", "median", "actual values") if legend else (None, None, None)
    axis.fill_between(times, rows["lower"], rows["upper"], color=BAND, lw=0, label=names[0])
    axis.plot(times, rows["value"], lw=1.1, color=MEDIAN, label=names[1])
    if rows["actual"].notna().any():
        axis.plot(times, rows["actual"], lw=0.6, color="0.15", label=names[2])
    axis.axvline(times[0], color="0.6", lw=0.8, ls=":")


def _named(axis: Any, metric: str) -> None:
    unit = f"\n({UNITS[metric]})" if metric in UNITS else ""
    axis.set_ylabel(f"{metric.replace('_', ' ')}{unit}", fontsize=6, rotation=0, ha="right", va="center")
    axis.tick_params(labelsize=6)
    axis.ticklabel_format(axis="y", style="sci", scilimits=(-3, 5), useOffset=False)
    axis.yaxis.get_offset_text().set_fontsize(6)
    axis.margins(x=0.01)


def _inside(axis: Any, came: pd.DataFrame, metrics: list[str]) -> None:
    labels = [f"{begin}-{end} h" for begin, end in pairwise(HOURS)]
    shares = came.groupby(["metric", "hours"])["inside"].mean()
    for i, metric in enumerate(metrics):
        of, colour, marker = shares[metric], COLOURS[i % len(COLOURS)], MARKS[i % len(MARKS)]
        axis.plot(of.index, of.to_numpy(), lw=0.9, color=colour, marker=marker, ms=4, label=metric.replace("_", " "))
    together = came.groupby("hours")["inside"].mean()
    axis.plot(together.index, together.to_numpy(), lw=2.2, color="0.15", label="all")
    axis.axhline(COVERAGE, color="0.45", lw=1, ls="--", label="nominal")
    axis.set_xticks(range(len(labels)), [f"{label} ahead" for label in labels], fontsize=6)
    axis.set_ylim(min(0.5, float(shares.min()) - 0.05), 1.02)
    axis.set_ylabel("share inside the\n80 % interval", fontsize=7)
    axis.tick_params(labelsize=6)
    axis.legend(fontsize=6, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)


def _sides(axis: Any, came: pd.DataFrame, metrics: list[str]) -> None:
    """Bars of the shares of values below and above the interval; nominally both reach the dashed lines."""
    shares = came.groupby("metric")[["below", "above"]].mean().reindex(metrics)
    places = np.arange(len(metrics))
    tail = (1 - COVERAGE) / 2
    for side, sign, colour in (("below", -1, "tab:blue"), ("above", 1, "tab:green")):
        axis.barh(places, sign * shares[side].to_numpy(), height=0.7, color=colour)
        axis.axvline(sign * tail, color="0.45", lw=1, ls="--")
        for place, share in zip(places, shares[side], strict=True):
            away = "left" if sign > 0 else "right"
            axis.annotate(f"{share:.0%}", (sign * share, place), (sign * 3, 0), textcoords="offset points", fontsize=6,
                          ha=away, va="center")  # fmt: skip
    axis.axvline(0.0, color="0.3", lw=0.8)
    reach = 1.25 * max(float(shares.to_numpy().max()), 0.15)
    axis.set_xlim(-reach, reach)
    axis.set_yticks(places, [metric.replace("_", " ") for metric in metrics], fontsize=6)
    axis.invert_yaxis()
    axis.set_xticks([])
    axis.set_xlabel(f"below the interval  |  above it (nominal: {tail:.0%} each)", fontsize=7)
