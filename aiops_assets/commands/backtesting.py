"""Back-tests of files: a detector's scores of each row, judged by labels, and a forecaster's view of what comes."""

import io
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from aiops_assets.errors import DataError, ModelError, StoreError
from aiops_assets.families import backtests
from aiops_assets.families.catalog import named
from aiops_assets.judging.detection.series_figures import DetectionFigures, figures_of_frames
from aiops_assets.storage.storage import LocalStorage
from aiops_assets.timeseries.history import history_of
from aiops_assets.timeseries.series_file import SPLIT, TIME, LabelledSeries, read_labels, read_series

BackTest = Callable[[str, pd.DataFrame], pd.DataFrame]
"""Model name and a checked series -> ``timestamp``, ``score``, ``alert`` of each row, in the same order."""


@dataclass(frozen=True)
class Judged:
    """What a detector did on one labelled series.

    Attributes:
        name: ``<set>__<series>``.
        columns: how many numeric columns it has.
        figures: on its test rows.
        timeline: ``timestamp``, ``score``, ``alert``, ``split``, ``label`` of each labelled row, in order of time.
    """

    name: str
    columns: int
    figures: DetectionFigures
    timeline: pd.DataFrame


def known_models(names: Sequence[str]) -> tuple[str, ...]:
    """The models asked for, each once; all there are when none is.

    Raises:
        DataError: one of them is not known.
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
    """Score a series and write the scores; a file that was there is replaced only by a whole one.

    Args:
        name: of a model.
        series: Parquet file, see :mod:`aiops_assets.timeseries.series_file`.
        out: Parquet file to write: ``timestamp``, ``score``, ``alert`` of each row, in the order of ``series``.
        alert_budget: share of the time that may be under alert; the model's own by default.
        explain: also write which column contributes most to each row.

    Returns:
        One line for people: what was done.

    Raises:
        DataError: unknown model, or a series that cannot be used.
        ModelError: nothing can be fitted on the train rows.
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
    return (
        f"{name}: {len(frame)} rows of {columns} column{'s' * (columns > 1)}, {alerts} under alert, "
        f"{time.perf_counter() - begin:.1f} s -> {out}"
    )


def forecast_file(name: str, series: Path, out: Path, *, horizon: int, origins: int = 1) -> str:
    """Forecast a series from its last row and earlier ones, and write what was said.

    Args:
        name: of a forecaster.
        series: Parquet file, see :mod:`aiops_assets.timeseries.series_file`; all its rows are history. Rows nearer than
            five minutes are averaged over five.
        out: Parquet file to write, see :func:`aiops_assets.judging.forecasting.backtest.forecast_origins`.
        horizon: steps ahead, up to a day.
        origins: how many, a horizon apart.

    Returns:
        One line for people: what was done.

    Raises:
        DataError: unknown model, a series that cannot be used, or a horizon or origins that it does not allow.
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
    """Score a labelled series and judge its test rows; which rows are train is what its labels say.

    Args:
        name: of a model.
        one: where the series and its labels lie.
        back_test: scores the checked series.
        scores: folder to keep the scores in, as ``<series>.parquet``.

    Raises:
        DataError: files that cannot be used, or labels of another series.
        ModelError: nothing can be fitted on the train rows.
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
    said = truth[SPLIT].reindex(frame[TIME]).to_numpy()
    frame[SPLIT] = pd.Series(said, index=frame.index).fillna(frame[SPLIT])
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
    """What is wrong with a series is said with its name."""
    try:
        yield
    except (DataError, ModelError) as error:
        raise type(error)(f"{path}: {error}", code=error.code, **{**error.facts, "path": path}) from error


def write_scores(path: Path, scored: pd.DataFrame) -> None:
    """Write what a back-test said as Parquet. Raises StoreError."""
    buffer = io.BytesIO()
    scored.to_parquet(buffer, index=False)
    write_whole(path, buffer.getvalue())


def write_whole(path: Path, data: bytes) -> None:
    """Write a file that a person named: wholly or not at all. Raises StoreError."""
    try:
        LocalStorage(path.parent).write(path.name, data)
    except StoreError as error:
        reason = getattr(error.__cause__, "strerror", None) or str(error)
        raise StoreError(
            f"{path} cannot be written ({reason}): nothing was changed, name another place",
            code="not_written",
            path=path,
            reason=reason,
        ) from error
