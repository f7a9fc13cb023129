"""Pictures for cards and shadow windows: scores over time, largest contributions, figures with intervals."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from aiops_assets.judging.bootstrap import Difference
from aiops_assets.judging.detection.shadow import busiest
from aiops_assets.reporting.plots import KIND_COLOURS, canvas, mark_level

Judged = Mapping[str, tuple[float, Difference | None]]
"""Name of a figure -> (value, interval or ``None``)."""


def score_timelines(frame: pd.DataFrame, titles: Mapping[str, str]) -> bytes:
    """PNG of scores over time, one axis per model, with anomalous rows and alerts, for one pod.

    The pod is the one with the most kinds of anomalies. Where every pod has few rows, all rows are drawn as points.

    Args:
        frame: shadow scores with the columns ``shadow.COLUMNS``.
        titles: "challenger" and "champion", those to draw -> title.
    """
    pod, rows = busiest(frame)
    times = rows["timestamp"].dt.tz_localize(None).to_numpy()
    with canvas(rows=len(titles), height=0.6 + 1.9 * len(titles)) as drawing:
        for axis, (who, title) in zip(drawing.axes, titles.items(), strict=True):
            score = rows[f"{who}_score"].to_numpy(dtype=np.float64)
            if pod:
                _shade(axis, times, rows["kind"].to_numpy())
                axis.plot(times, score, lw=0.7, color="0.25")
            else:
                _points(axis, times, score, rows["kind"].to_numpy())
            _alerts(axis, times[rows[f"{who}_alert"].to_numpy(dtype=bool, na_value=False)])
            where = f"pod {pod}" if pod else f"{frame['pod'].nunique()} pods, each row a point"
            axis.set_title(f"{title}: {where}", fontsize=8)
            axis.set_ylabel("anomaly score", fontsize=7)
            axis.tick_params(labelsize=6)
            axis.margins(y=0.15)
        dates(drawing.axes[-1])
        drawing.axes[-1].legend(
            fontsize=6, ncols=5, loc="upper left", bbox_to_anchor=(0, -0.16 * max(1, len(titles) - 0.4)), frameon=False
        )
    return drawing.png


def contribution_map(shares: pd.DataFrame, counts: Mapping[str, int]) -> bytes:
    """PNG of a table of kinds of anomalies and metrics: the share of a kind's rows to which a metric contributes most.

    Args:
        shares: (kinds, metrics) 0 to 1, from ``shadow.first_by_kind``.
        counts: kind -> number of its rows.
    """
    with canvas(height=0.42 * max(len(shares), 1) + 1.1) as drawing:
        axis = drawing.axes[0]
        values = shares.to_numpy(dtype=np.float64).reshape(len(shares), len(shares.columns))
        axis.pcolormesh(values, cmap="Blues", vmin=0.0, vmax=1.0, edgecolors="white", linewidth=1)
        axis.invert_yaxis()
        for (row, column), share in np.ndenumerate(values):
            colour = "white" if share > 0.6 else "0.2"
            axis.text(column + 0.5, row + 0.5, f"{share:.0%}", fontsize=7, ha="center", va="center", color=colour)
        names = [f"{kind.replace('_', ' ')} ({counts.get(kind, 0)} rows)" for kind in shares.index.astype(str)]
        axis.set_yticks(np.arange(len(shares)) + 0.5, names, fontsize=7)
        metrics = [_two_lines(str(name)) for name in shares.columns]
        axis.set_xticks(np.arange(len(shares.columns)) + 0.5, metrics, fontsize=6)
        axis.tick_params(length=0)
        axis.set_title("metric that contributes most, share of each kind's rows", fontsize=8)
    return drawing.png


def figures_with_intervals(
    figures: Judged,
    opponent: Judged,
    gaps: Mapping[str, Difference],
    *,
    title: str,
    against: str,
    level: str = "",
) -> bytes:
    """PNG of a version's figures beside its opponent's and, below, of the differences on which the gate decides.

    Args:
        figures: figures of the version.
        opponent: figures of the opponent; empty: there was none.
        gaps: name -> difference with interval; empty: no second axis.
        title: name of the version.
        against: name of the opponent.
        level: what a figure of 1 means, where figures may be larger than 1.
    """
    names = list(figures)
    bars, more = 0.34 * len(names) + 1.1, (0.3 * len(gaps) + 0.9 if gaps else 0.0)
    with canvas(height=bars + more) as drawing:
        axes = [drawing.axes[0]]
        if gaps:
            drawing.axes[0].remove()
            axes = list(drawing.figure.subplots(2, height_ratios=[bars, more]))
        _bars(axes[0], figures, opponent, against, level)
        # Placed above the legend, which is wide with a level.
        axes[0].set_title(title, fontsize=8, loc="right", pad=18 if level else None)
        if gaps:
            _gaps(axes[1], gaps, against)
    return drawing.png


def dates(axis: Any) -> None:
    """Give a time axis few and short labels."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=3, maxticks=9)  # type: ignore[no-untyped-call]
    axis.xaxis.set_major_locator(locator)
    axis.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    axis.xaxis.get_offset_text().set_fontsize(6)


def _bars(axis: Any, figures: Judged, opponent: Judged, against: str, level: str) -> None:
    sides = [(figures, "tab:blue", "this version"), *([(opponent, "0.65", against)] if opponent else [])]
    height = 0.76 / len(sides)
    for side, (judged, colour, label) in enumerate(sides):
        places = np.arange(len(figures)) + (side - (len(sides) - 1) / 2) * height
        found = [judged.get(name, (0.0, None)) for name in figures]
        axis.barh(places, [value for value, _ in found], height=height, color=colour, label=label)
        for place, (value, interval) in zip(places, found, strict=True):
            if interval:
                axis.errorbar(value, place, xerr=_reach(interval), color="0.1", lw=1, capsize=2)
    axis.set_yticks(np.arange(len(figures)), list(figures), fontsize=7)
    axis.invert_yaxis()
    axis.set_xlim(0, 1)
    if level:
        mark_level(axis, level)
    axis.tick_params(labelsize=6, axis="x")
    axis.legend(fontsize=6, ncols=3, loc="lower left", bbox_to_anchor=(-0.01, 0.99), frameon=False)


def _reach(interval: Difference) -> list[list[float]]:
    """Lengths of the interval below and above its value, at least 0: a bootstrap interval may exclude the value."""
    return [[max(interval.value - interval.low, 0.0)], [max(interval.high - interval.value, 0.0)]]


def _gaps(axis: Any, gaps: Mapping[str, Difference], against: str) -> None:
    """Draw differences as points with their intervals, around zero."""
    places = np.arange(len(gaps))
    for place, gap in zip(places, gaps.values(), strict=True):
        axis.errorbar(gap.value, place, xerr=_reach(gap), fmt="o", ms=4, color="tab:blue", lw=1, capsize=2)
    axis.axvline(0.0, color="0.5", lw=1, ls="--")
    axis.set_yticks(places, list(gaps), fontsize=7)
    axis.set_ylim(len(gaps) - 0.5, -0.5)
    axis.margins(x=0.15)
    axis.tick_params(labelsize=6, axis="x")
    axis.set_title(f"difference to {against}, 95 % interval", fontsize=8, loc="right")


def _shade(axis: Any, times: np.ndarray, kinds: np.ndarray) -> None:
    """Draw bands behind anomalous rows, coloured by kind; unknown kinds get the last colour."""
    for kind in _shown(kinds):
        axis.fill_between(
            times,
            0,
            1,
            where=kinds == kind,
            transform=axis.get_xaxis_transform(),
            step="mid",
            color=KIND_COLOURS.get(kind, "tab:brown"),
            alpha=0.35,
            lw=0,
            label=kind.replace("_", " "),
        )


def _points(axis: Any, times: np.ndarray, score: np.ndarray, kinds: np.ndarray) -> None:
    normal = kinds == "normal"
    axis.plot(times[normal], score[normal], ".", ms=3, color="0.6", label="normal")
    for kind in _shown(kinds):
        colour = KIND_COLOURS.get(kind, "tab:brown")
        axis.plot(times[kinds == kind], score[kinds == kind], "o", ms=4, color=colour, label=kind.replace("_", " "))


def _shown(kinds: np.ndarray) -> Sequence[str]:
    return sorted({str(kind) for kind in kinds} - {"normal"})


def _alerts(axis: Any, times: np.ndarray) -> None:
    across = axis.get_xaxis_transform()
    axis.plot(times, np.full(len(times), 0.96), "v", transform=across, ms=3.5, color="black", label="alert")


def _two_lines(name: str) -> str:
    """A metric's name on two lines, broken near its middle."""
    words = name.split("_")
    half = (len(words) + 1) // 2
    return " ".join(words[:half]) + "\n" + " ".join(words[half:])
