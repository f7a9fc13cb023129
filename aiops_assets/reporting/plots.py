"""Pictures for people: PNG bytes, small enough for the Dagster UI. Heavy imports happen inside functions."""

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from aiops_assets.timeseries.catalog import SYNTHETIC_METRICS, MetricSpec

KIND_COLOURS = {
    "cpu_spike": "tab:red",
    "memory_leak": "tab:orange",
    "restart_storm": "tab:purple",
    "network_burst": "tab:green",
    "crash_loop": "tab:pink",
    "node_memory_ramp": "tab:olive",
    "noisy_neighbour": "tab:cyan",
    "throttling": "tab:blue",
    "disk_fills": "tab:brown",
}
MAX_DAYS_IN_FIGURES = 14
"""Most days for which the cells of a coverage map have room for numbers."""
MAX_POINTS = 1500
"""Most points of a line that can be told apart."""


class Canvas:
    """A figure that is drawn in a ``canvas`` block; ``png`` holds it afterwards."""

    def __init__(self, figure: Any, axes: Any) -> None:
        self.figure, self.axes = figure, axes
        self.png = b""


@contextmanager
def canvas(rows: int = 1, height: float = 2.6, colours: int = 32) -> Iterator[Canvas]:
    """A figure that becomes PNG bytes when the block ends, with a palette of ``colours`` colours."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, height), dpi=90, layout="constrained")
    drawing = Canvas(figure, figure.subplots(rows, sharex=rows > 1, squeeze=False)[:, 0])
    yield drawing
    drawing.png = rendered(figure, colours)


def rendered(figure: Any, colours: int) -> bytes:
    """A figure as PNG with a palette, a third of the size without: the Dagster UI only shows pictures below 50 kB."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    # savefig would draw everything twice. The canvas has type hints for half of its methods.
    agg: Any = FigureCanvasAgg(figure)
    agg.draw()
    pixels = Image.frombuffer("RGBA", agg.get_width_height(), agg.buffer_rgba())
    file = io.BytesIO()
    # The other methods leave out a colour of few pixels, such as the red dots of what is outside its band.
    palette = pixels.convert("RGB").quantize(colours, Image.Quantize.MAXCOVERAGE)
    palette.save(file, format="png", optimize=True)
    return file.getvalue()


def metric_lines(series: Mapping[str, pd.Series], metrics: Sequence[MetricSpec], title: str) -> bytes:
    """PNG of metrics over time, each with its own axis and unit."""
    with canvas(rows=len(metrics), height=1.0 * len(metrics) + 0.6) as drawing:
        for axis, metric in zip(drawing.axes, metrics, strict=True):
            axis.plot(series[metric.name].index, series[metric.name].to_numpy(), linewidth=0.7)
            axis.set_ylabel(f"{metric.name.replace('_', ' ')}\n({metric.unit})", fontsize=6, rotation=0, ha="right")
            axis.tick_params(labelsize=6)
        drawing.axes[0].set_title(title, fontsize=8)
    return drawing.png


def coverage_map(shares: Mapping[str, Sequence[float]], days: Sequence[date]) -> bytes:
    """PNG of coverage, a row per metric and a column per day: from red (no samples) to green (all samples)."""
    with canvas(height=0.22 * max(len(shares), 1) + 1.0) as drawing:
        axis = drawing.axes[0]
        values = np.array(list(shares.values())).reshape(len(shares), len(days))
        axis.pcolormesh(values, cmap="RdYlGn", vmin=0.0, vmax=1.0, edgecolors="white", linewidth=0.5, alpha=0.55)
        axis.invert_yaxis()
        if len(days) <= MAX_DAYS_IN_FIGURES:
            for (row, column), share in np.ndenumerate(values):
                axis.text(column + 0.5, row + 0.5, f"{share:.0%}", fontsize=5, ha="center", va="center")
        axis.set_yticks(np.arange(len(shares)) + 0.5, [name.replace("_", " ") for name in shares], fontsize=6)
        every = max(len(days) // 8, 1)
        axis.set_xticks(np.arange(0, len(days), every) + 0.5, [f"{day:%d %b}" for day in days[::every]], fontsize=6)
        axis.set_title("share of each day's samples that is there", fontsize=8)
    return drawing.png


def labelled_pods(frame: pd.DataFrame) -> bytes:
    """PNG of two days of the pod with the most kinds of anomalies, anomalous minutes coloured by kind."""
    newest = frame[frame["timestamp"] >= frame["timestamp"].iloc[-1] - pd.Timedelta(days=2)]
    anomalous = newest[newest["kind"] != "normal"]
    busiest = anomalous.groupby("pod", observed=True)["kind"].nunique()
    pod = str(busiest.idxmax()) if len(busiest) else str(newest["pod"].iloc[0])
    rows = newest[newest["pod"] == pod].set_index("timestamp")
    anomalies = [(kind, rows[rows["kind"] == kind]) for kind in KIND_COLOURS if (rows["kind"] == kind).any()]
    with canvas(rows=len(SYNTHETIC_METRICS), height=6.0) as drawing:
        for axis, metric in zip(drawing.axes, SYNTHETIC_METRICS, strict=True):
            axis.plot(rows.index, rows[metric.name], linewidth=0.6, color="0.4")
            for kind, marked in anomalies:
                axis.plot(marked.index, marked[metric.name], ".", markersize=2, color=KIND_COLOURS[kind], label=kind)
            axis.set_ylabel(f"{metric.name.replace('_', ' ')}\n({metric.unit})", fontsize=6, rotation=0, ha="right")
            axis.tick_params(labelsize=6)
        drawing.axes[0].set_title(f"{pod}, newest two days", fontsize=8)
        if anomalies:
            drawing.axes[0].legend(fontsize=6, ncols=4, loc="upper left", markerscale=5)
    return drawing.png


def label_timeline(rows: pd.DataFrame) -> bytes:
    """PNG of the rows and anomalous rows by kind over the window, with the begin of the hold-out."""
    with canvas() as drawing:
        axis = drawing.axes[0]
        bins = pd.date_range(rows["timestamp"].min(), rows["timestamp"].max(), periods=57)
        edges = bins.tz_localize(None).to_numpy()
        anomalous = rows[rows["label"] == 1]
        kinds = sorted(set(anomalous["kind"]))
        if kinds:
            axis.hist(
                [anomalous.loc[anomalous["kind"] == kind, "timestamp"].dt.tz_localize(None) for kind in kinds],
                bins=edges,
                stacked=True,
                color=[KIND_COLOURS[kind] for kind in kinds],
                label=kinds,
            )
        holdout = rows.loc[rows["split"] == "holdout", "timestamp"].min()
        axis.axvline(holdout.tz_localize(None), color="0.3", linestyle="--", linewidth=1, label="hold-out begins")
        share = len(anomalous) / len(rows)
        axis.set_title(f"{len(anomalous)} of {len(rows)} rows are anomalous ({share:.1%})", fontsize=8)
        axis.set_ylabel("anomalous rows", fontsize=7)
        axis.tick_params(labelsize=6)
        axis.legend(loc="upper right", fontsize=6)
    return drawing.png


def score_histogram(scores: np.ndarray, labels: np.ndarray, title: str, threshold: float | None = 0.0) -> bytes:
    """PNG of the distributions of scores of normal and anomalous rows, with the alert threshold.

    ``threshold`` is ``None`` where it moves with time and cannot be drawn.
    """
    with canvas() as drawing:
        axis = drawing.axes[0]
        edges = np.linspace(scores.min(), scores.max(), 60)
        for value, name, colour in ((0, "normal", "tab:blue"), (1, "anomalous", "tab:red")):
            chosen = scores[labels == value]
            if len(chosen):
                weights = np.full(len(chosen), 1 / len(chosen))
                axis.hist(chosen, bins=edges, weights=weights, alpha=0.6, color=colour, label=name)
        if threshold is not None:
            axis.axvline(threshold, color="0.3", linestyle="--", linewidth=1, label="alert threshold")
        axis.set_title(title, fontsize=8)
        axis.set_xlabel("anomaly score", fontsize=7)
        axis.set_ylabel("share of rows", fontsize=7)
        axis.tick_params(labelsize=6)
        axis.legend(loc="upper right", fontsize=6)
    return drawing.png


def mark_level(axis: Any, level: str) -> None:
    """Draw a line at 1 with its meaning on an axis that begins at 0 and may exceed 1."""
    axis.relim()
    axis.autoscale(axis="x")
    axis.set_xlim(0, max(axis.get_xlim()[1], 1.1))
    axis.axvline(1.0, color="tab:red", lw=1, ls="--", label=level)


def figure_bars(figures: Mapping[str, Mapping[str, float]], title: str, level: str = "") -> bytes:
    """PNG of the figures of several versions as bars.

    Args:
        figures: who -> figure -> value; values are 0 to 1 without a ``level``.
        title: title of the picture.
        level: what a figure of 1 means, where figures may be larger than 1.
    """
    names = list(dict.fromkeys(name for values in figures.values() for name in values))
    with canvas(height=0.35 * len(names) + 1.2) as drawing:
        axis = drawing.axes[0]
        thickness = 0.8 / max(len(figures), 1)
        for i, (who, values) in enumerate(figures.items()):
            positions = np.arange(len(names)) + i * thickness
            axis.barh(positions, [values.get(name, 0.0) for name in names], height=thickness, label=who)
        axis.set_yticks(np.arange(len(names)) + 0.4 - thickness / 2, names, fontsize=7)
        axis.invert_yaxis()
        axis.set_xlim(0, 1)
        if level:
            mark_level(axis, level)
        axis.set_title(title, fontsize=8)
        axis.tick_params(labelsize=6)
        axis.legend(loc="upper right", fontsize=6)
    return drawing.png


def score_timeline(timeline: pd.DataFrame, title: str) -> bytes:
    """PNG of scores over time with labelled events and alerts; of many rows, the highest score of each bin.

    Args:
        timeline: ``timestamp``, ``score``, ``alert``, ``split`` ("train" or "test") and ``label``, in order of time.
        title: title of the picture.
    """
    bins = np.arange(len(timeline)) * min(MAX_POINTS, len(timeline)) // len(timeline)
    marks = timeline.assign(train=timeline["split"] == "train").groupby(bins)
    shown = marks.agg({"timestamp": "first", "score": "max", "alert": "any", "train": "all", "label": "max"})
    times = shown["timestamp"].dt.tz_localize(None).to_numpy()
    scores, labels = shown["score"].to_numpy(), shown["label"].to_numpy() == 1
    with canvas() as drawing:
        axis = drawing.axes[0]
        across = axis.get_xaxis_transform()
        axis.fill_between(times, 0, 1, where=labels, transform=across, step="mid", color="tab:red", alpha=0.25, lw=0)
        for train, colour, name in ((True, "0.6", "score, train rows"), (False, "tab:blue", "score")):
            axis.plot(times, np.where(shown["train"] == train, scores, np.nan), lw=0.6, color=colour, label=name)
        alerts = times[shown["alert"].to_numpy()]
        axis.plot(alerts, np.full(len(alerts), 0.97), "v", transform=across, ms=3, color="tab:orange", label="alert")
        axis.plot([], [], lw=5, color="tab:red", alpha=0.25, label="labelled event")
        axis.set_title(title, fontsize=8)
        axis.set_ylabel("anomaly score", fontsize=7)
        axis.tick_params(labelsize=6)
        axis.legend(fontsize=6, ncols=4, loc="upper left", bbox_to_anchor=(0, -0.1), frameon=False)
    return drawing.png
