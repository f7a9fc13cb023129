"""Back-tests on files: scores of a detector, judged by labels, and forecasts of a forecaster."""

import io
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from aiops_assets.commands.files import write_whole
from aiops_assets.errors import DataError, ModelError, StoreError
from aiops_assets.families import backtests
from aiops_assets.families.catalog import named
from aiops_assets.judging.detection.series_figures import DetectionFigures, figures_of_frames
from aiops_assets.learners.detectors.page_rule import page_episodes
from aiops_assets.timeseries.history import history_of
from aiops_assets.timeseries.series_file import SPLIT, TIME, LabelledSeries, read_labels, read_series

BackTest = Callable[[str, pd.DataFrame], pd.DataFrame]
"""Takes a model name and a checked series; returns ``timestamp``, ``score``, ``alert`` and, to be judged, ``page``."""


@dataclass(frozen=True)
class Judged:
    """The result of a detector on one labelled series.

    Attributes:
        name: ``<set>__<series>``.
        columns: number of numeric columns.
        figures: figures on the test rows.
        timeline: the columns of the scores, ``split`` and ``label`` of each labelled row, in order of time.
    """

    name: str
    columns: int
    figures: DetectionFigures
    timeline: pd.DataFrame


def known_models(names: Sequence[str]) -> tuple[str, ...]:
    """The requested models, each once; all models if none is requested.

    Raises:
        DataError: a model is not known.
    """
    known = tuple(backtests.DETECTORS)
    for name in names:
        if name not in known:
            raise DataError(
                f"no detector {name!r}: choose from {', '.join(known)}", code="no_detector", name=name, there=known
            )
    return tuple(dict.fromkeys(names)) or known


def backtest_file(
    name: str, series: Path, out: Path, *, alert_budget: float | None = None, explain: bool = False
) -> str:
    """Score a series and write the scores; an existing file is replaced atomically.

    Args:
        name: name of a detector.
        series: Parquet file, see :mod:`aiops_assets.timeseries.series_file`.
        out: Parquet file to write: ``timestamp``, ``score``, ``alert``, ``page`` of each row, in the order of
            ``series``.
        alert_budget: share (0 to 0.5) of the time that may be under alert; by default the model's own.
        explain: also write which column contributes most to each row.

    Returns:
        One line for people about what was done, and which columns were left out.

    Raises:
        DataError: the model is unknown, or the series cannot be used.
        ModelError: no model can be fitted on the train rows.
        StoreError: the scores cannot be written.
    """
    known_models([name])
    _check_out(series, out)
    begin = time.perf_counter()
    frame = read_series(series)
    with _naming(series):
        scored = backtests.backtest(name, frame, alert_budget=alert_budget, explain=explain)
    write_scores(out, scored)
    columns, alerts = frame.shape[1] - 2, int(scored["alert"].sum())
    calls = page_episodes(scored[TIME].to_numpy(dtype="datetime64[ms]"), scored["page"].to_numpy(dtype=bool))
    left_out = frame.attrs["left_out"]
    answers = f" (without {', '.join(left_out)}, which says what is anomalous)" if left_out else ""
    return (
        f"{name}: {len(frame)} rows of {columns} column{'s' * (columns > 1)}{answers}, {alerts} under alert, "
        f"{calls} page{'s' * (calls != 1)}, {time.perf_counter() - begin:.1f} s -> {out}"
    )


def forecast_file(name: str, series: Path, out: Path, *, horizon: int, origins: int = 1) -> str:
    """Forecast a series from its last row and earlier ones, and write the forecasts.

    Args:
        name: name of a forecaster.
        series: Parquet file, see :mod:`aiops_assets.timeseries.series_file`; all its rows are history. Steps below five
            minutes are averaged to five.
        out: Parquet file to write, see :func:`aiops_assets.judging.forecasting.backtest.forecast_origins`.
        horizon: steps ahead, up to a day.
        origins: number of forecast origins, a horizon apart.

    Returns:
        One line for people about what was done.

    Raises:
        DataError: the model is unknown, or the series cannot be used or is too short for horizon and origins.
        StoreError: the forecasts cannot be written.
    """
    name = named(name)
    _check_out(series, out)
    begin = time.perf_counter()
    frame = read_series(series, to_fit=False).drop(columns=SPLIT)
    with _naming(series):
        history = history_of(frame)
        made = pd.concat(list(backtests.forecasts(name, history, horizon, origins)), ignore_index=True)
    write_scores(out, made)
    metrics = len(history.metrics)
    return (
        f"{name}: {horizon} steps of {history.step_seconds} s of {metrics} metric{'s' * (metrics > 1)} from {origins} "
        f"origin{'s' * (origins > 1)}, {time.perf_counter() - begin:.1f} s -> {out}"
    )


def judge_labelled(name: str, one: LabelledSeries, back_test: BackTest, scores: Path | None) -> Judged:
    """Score a labelled series and judge its test rows; the labels define the split.

    Args:
        name: name of a detector.
        one: paths of the series and its labels.
        back_test: scores the checked series.
        scores: folder for the scores, as ``<series>.parquet``; ``None``: they are not kept.

    Raises:
        DataError: the files cannot be used, or the labels belong to another series.
        ModelError: no model can be fitted on the train rows.
        StoreError: the scores cannot be written.
    """
    frame, labels = read_series(one.series), read_labels(one.labels)
    labels[TIME] = labels[TIME].astype(frame[TIME].dtype)
    truth = labels.drop_duplicates(TIME).set_index(TIME)
    found = labels[TIME].isin(frame[TIME])
    if found.mean() < 0.5:
        raise DataError(
            f"{one.labels}: {int((~found).sum())} of {len(labels)} rows are at times that {one.series} does not have: "
            "both must be of the same series",
            code="labels_of_another_series",
            path=one.labels,
            missing=int((~found).sum()),
            rows=len(labels),
        )
    stated_split = truth[SPLIT].reindex(frame[TIME]).to_numpy()
    frame[SPLIT] = pd.Series(stated_split, index=frame.index).fillna(frame[SPLIT])
    with _naming(one.series):
        scored = back_test(name, frame)
    if scores is not None:
        write_scores(scores / one.series.name, scored)
    timeline = scored.drop_duplicates(TIME).set_index(TIME).join(truth, how="inner").sort_index().reset_index()
    return Judged(one.name, frame.shape[1] - 2, figures_of_frames(labels, scored), timeline)


def _check_out(series: Path, out: Path) -> None:
    if out.is_dir():
        raise StoreError(f"{out} is a directory, name a file", code="is_directory", path=out)
    if out.exists() and series.exists() and out.samefile(series):
        raise StoreError(f"{out} is the series itself, name another file to write", code="is_the_series", path=out)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Put the path in front of the message of a DataError or ModelError."""
    try:
        yield
    except (DataError, ModelError) as error:
        raise type(error)(f"{path}: {error}", code=error.code, **{**error.facts, "path": path}) from error


def write_scores(path: Path, scored: pd.DataFrame) -> None:
    """Write the scores of a back-test as Parquet. Raises StoreError."""
    buffer = io.BytesIO()
    scored.to_parquet(buffer, index=False)
    write_whole(path, buffer.getvalue())
