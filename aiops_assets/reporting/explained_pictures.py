"""Pictures that explain an alert: metrics of a day with their expected bands, and when an alert was raised."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from aiops_assets.registry.explanation import UNITS, Explanation, Raised
from aiops_assets.registry.findings import Findings
from aiops_assets.registry.metric_findings import MetricExplanation, MetricForecast, own_rows, rows_of_metric
from aiops_assets.reporting.pictures import dates
from aiops_assets.reporting.plots import canvas
from aiops_assets.storage.explanations import CLUSTER, PAGE, SUBJECT
from aiops_assets.timeseries.history import STEP_SECONDS

MAX_AXES = 6
MAX_SHOWN = 40
"""Characters of a name beside its axis."""
BAND, EXPECTED, VALUE, OUTSIDE = "#aac8e8", "tab:blue", "0.15", "tab:red"
PAGED, NOTICED = "tab:red", "tab:orange"


def picture_of(findings: Findings, explanation: Explanation) -> bytes:
    """PNG of a pod or a node: each kept metric of the newest day with its band, minutes of pages and notices shaded."""
    rows = findings.rows_of(explanation.subject)
    around = findings.explanations[findings.explanations["kind"] == CLUSTER]
    more = {one.metric for one in explanation.metrics} - set(rows["metric"])
    rows = pd.concat([rows, around[around["metric"].isin(more)]])
    names = [one.metric for one in explanation.metrics if one.metric in set(rows["metric"])][:MAX_AXES]
    since = f" since {explanation.since:%Y-%m-%d %H:%M} UTC" if explanation.since else ""
    title = f"{explanation.subject.kind} {explanation.subject.name}: {explanation.state}{since}"
    drawn = [(name, rows[rows["metric"] == name], explanation.raised, ()) for name in names]
    return _drawn(title, drawn)


def picture_of_metric(findings: Findings, explanation: MetricExplanation) -> bytes:
    """PNG of a metric: of the cluster with its forecasts or, without, of the first pods and nodes."""
    rows = rows_of_metric(findings, explanation.metric)
    drawn: list[Any] = []
    shared = rows[rows["kind"] == CLUSTER]
    if len(shared) or explanation.forecasts:
        drawn.append((explanation.metric, shared, (), explanation.forecasts))
    for series in explanation.entities[: MAX_AXES - len(drawn)]:
        ahead = MetricForecast("forecast", 0, (), None, series.forecasts)
        hour = own_rows(findings, explanation.metric, series.entity)
        drawn.append((series.entity or explanation.metric, hour, (), (ahead,) if series.forecasts else ()))
    for one in explanation.subjects[: MAX_AXES - len(drawn)]:
        same = (rows[list(SUBJECT)] == [getattr(one.subject, name) for name in SUBJECT]).all(axis=1)
        drawn.append((one.subject.name, rows[same], findings.raised.get(one.subject, ()), ()))
    return _drawn(f"{explanation.metric} of {explanation.cluster}", drawn, explanation.unit)


def _drawn(title: str, parts: Sequence[Any], unit: str | None = None) -> bytes:
    with canvas(rows=max(len(parts), 1), height=1.15 * max(len(parts), 1) + 0.9, colours=96) as drawing:
        for axis, (name, rows, raised, forecasts) in zip(drawing.axes, parts, strict=False):
            _metric(axis, rows.sort_values("timestamp"))
            for forecast in forecasts:
                _forecast(axis, forecast)
            for one in raised:
                _shade(axis, one, rows)
            shown = UNITS.get(name, "") if unit is None else unit
            about = f"{_short(name)}\n({shown})"
            axis.set_ylabel(about, fontsize=6, rotation=0, ha="right", va="center", parse_math=False)
            axis.tick_params(labelsize=6)
            axis.ticklabel_format(axis="y", style="sci", scilimits=(-3, 5), useOffset=False)
            axis.yaxis.get_offset_text().set_fontsize(6)
            axis.margins(x=0.01, y=0.12)
        if not parts:
            drawing.axes[0].text(0.5, 0.5, "no rows of it are kept", ha="center", va="center", fontsize=8)
            drawing.axes[0].set_axis_off()
        else:
            dates(drawing.axes[-1])
            _legend(drawing)
        drawing.axes[0].set_title(title, fontsize=8, parse_math=False)
    return drawing.png


def _short(name: str) -> str:
    """A name beside its axis, in one line: values of labels may be of any length, and have line breaks."""
    text = " ".join(name.replace("_", " ").split())
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 3] + "..."


def _metric(axis: Any, rows: pd.DataFrame) -> None:
    times = rows["timestamp"].dt.tz_localize(None).to_numpy()
    value, expected, lower, upper = (
        rows[side].to_numpy(np.float64) for side in ("value", "expected", "lower", "upper")
    )
    axis.fill_between(times, lower, upper, color=BAND, lw=0, label="expected band")
    axis.plot(times, expected, lw=0.8, ls="--", color=EXPECTED, label="expected")
    axis.plot(times, value, lw=0.9, color=VALUE, label="value")
    outside = (value > upper) | (value < lower)
    axis.plot(times[outside], value[outside], ".", ms=3, color=OUTSIDE, label="outside")


def _forecast(axis: Any, forecast: MetricForecast) -> None:
    times = np.array([step.timestamp.replace(tzinfo=None) for step in forecast.steps], dtype="datetime64[us]")
    sides = np.array([[step.value, step.lower, step.upper] for step in forecast.steps]).T
    axis.fill_between(times, sides[1], sides[2], alpha=0.2, lw=0)
    axis.plot(times, sides[0], lw=1.0, label=f"{forecast.model}, 80 % interval")


def _shade(axis: Any, raised: Raised, rows: pd.DataFrame) -> None:
    """Shade the part of an episode that is drawn; a row stands for the five minutes before it."""
    if rows.empty:
        return
    begin = raised.since - pd.Timedelta(seconds=STEP_SECONDS)
    first, last = (pd.Timestamp(one).tz_localize(None) for one in (begin, raised.until))
    first = max(first, rows["timestamp"].min().tz_localize(None))
    if last > first:
        paged = raised.by == PAGE
        colour, label = (PAGED, "page") if paged else (NOTICED, "notice")
        axis.axvspan(first, last, color=colour, alpha=0.22 if paged else 0.15, lw=0, zorder=0, label=label)


def _legend(drawing: Any) -> None:
    """Draw one legend below the last axes, with one entry for each label of all axes."""
    found: dict[str, Any] = {}
    for axis in drawing.axes:
        found |= {label: handle for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    drawing.figure.legend(found.values(), found.keys(), fontsize=6, ncols=4, loc="outside lower center", frameon=False)
