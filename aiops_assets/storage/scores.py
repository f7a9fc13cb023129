"""Scores and forecasts of the champions for the newest window: per run a directory of Parquet files and a record.

``scores/cluster=<cluster>/<made at>/`` holds ``anomaly_scores.parquet``, ``metric_forecasts.parquet``, more tables of
:data:`LATER` and, written last, ``record.json`` with their digests. Names sort by time, so that the newest is found by
one listing. The record is also in the metadata of each Parquet file, so that a file that is copied elsewhere still
describes itself.
"""

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from aiops_assets.errors import IntegrityError, NotFoundError
from aiops_assets.storage.explanations import (
    EPISODE_COLUMNS,
    EPISODES,
    EXPLANATION_COLUMNS,
    EXPLANATIONS,
    nothing,
)
from aiops_assets.storage.records import Record, sha256
from aiops_assets.storage.storage import Storage

SCORES, FORECASTS, PAGES = "anomaly_scores.parquet", "metric_forecasts.parquet", "pages.parquet"
EXHAUSTION = "exhaustion.parquet"
METRICS, AHEAD, SILENCE = "metrics.parquet", "metrics_ahead.parquet", "silence.parquet"
RECORD = "record.json"
SCORE_COLUMNS = (
    "timestamp",
    "model_name",
    "model_version",
    "namespace",
    "pod",
    "workload",
    "anomaly_score",
    "is_anomaly",
    "contributing_features",
)
FORMER_SCORE_COLUMNS = tuple(name for name in SCORE_COLUMNS if name not in ("namespace", "workload"))
"""Of runs of earlier releases, whose pods are named without their namespace."""
FORECAST_COLUMNS = (
    "made_at",
    "model_name",
    "model_version",
    "metric_name",
    "predicted_for",
    "value",
    "lower",
    "upper",
)
PAGE_COLUMNS = ("timestamp", "namespace", "pod", "workload", "node", "metric")
EXHAUSTION_LABELS = (
    "kind",
    "namespace",
    "pod",
    "workload",
    "node",
    "persistentvolumeclaim",
    "resourcequota",
    "resource",
)
EXHAUSTION_COLUMNS = ("timestamp", *EXHAUSTION_LABELS, "usage", "seconds", "lower", "upper")
METRIC_COLUMNS = (
    "timestamp",
    "metric",
    "unit",
    "entity",
    "labels",
    "value",
    "score",
    "expected",
    "lower",
    "upper",
    "alert",
    "severity",
)
AHEAD_COLUMNS = ("timestamp", "metric", "unit", "entity", "labels", "horizon_seconds", "value", "lower", "upper")
SILENCE_COLUMNS = ("timestamp", "reason", "metric", "entity", "labels", "since", "severity")
METRIC_SERIES = "metric_series_above_cap"
"""Why a series of a metric of one's own is not scored: there are more than METRIC_SERIES_MAX."""
METRIC_NOT_FETCHED, METRIC_WITHOUT_VALUES = "metric_not_fetched", "metric_without_values"
"""Why a whole metric is not scored: its query has no usable answer; or it has never had a value."""
ABOVE_CAP, NO_CPU, TOO_FEW_SAMPLES, NO_DETECTOR = "above_cap", "no_cpu", "too_few_samples", "no_detector"
UNWATCHED = (ABOVE_CAP, NO_CPU, TOO_FEW_SAMPLES, NO_DETECTOR)
"""Why a pod that lives is not scored: there are more than ``SCORED_PODS_MAX``; it has memory but no CPU time; it has
lived for a quarter of an hour and has no row; no detector gave scores."""
METADATA_KEY = b"aiops"
KEPT = timedelta(days=7)
"""How long runs are kept; with one every five minutes that are 2,000 runs."""
NAME_FORMAT = "%Y-%m-%dT%H%M%S.%fZ"
NAME = re.compile(r"\d{4}-\d\d-\d\dT\d{6}\.\d{6}Z")


class PredictingModel(Record):
    """A champion whose predictions are in a run.

    Attributes:
        name, version: model name and version number.
        manifest_sha256: SHA-256 of its manifest.
        kind: "detector" or "forecaster".
        data_version, effective_source: data version and source of its training set.
        proven: horizons at which it was better than every trivial forecaster on its hold-out; none of a detector.
    """

    name: str
    version: int
    manifest_sha256: str
    kind: str
    data_version: str
    effective_source: str
    proven: tuple[str, ...] = ()


class ScoresRecord(Record):
    """What the scores and forecasts of a run were made of.

    Attributes:
        cluster: name of the cluster.
        made_at: time of the run.
        source: where the window came from: "prometheus", "cached" (the server could not be reached) or "synthetic".
        notes: what people should know of the window before they trust its scores.
        code_version: version of the code of the run.
        scored_until: newest instant with a score; ``None`` when no detector took part.
        paged_until: newest instant at which it was decided whom to call; ``None``: of no pod and no node.
        metrics_until: newest instant of a metric of one's own; ``None``: there is none.
        silence_until: newest instant at which it was decided what is silent; ``None``: there is nothing to decide on.
        forecast_from: origin of the forecasts; ``None`` when no forecaster took part.
        pods: number of pods with scores.
        unwatched: one of :data:`UNWATCHED` -> how many pods live without scores, and the same of metrics of one's own,
            by reasons that begin with ``metric_``; ``None`` in runs of earlier releases.
        metrics_not_scored: metric of METRICS_FILE of which nothing, or nothing new, is scored -> why.
        pods_version, cluster_version: digests of the rows of pods and of the cluster; empty where there are none.
        models: the champions that took part.
        left_out: model -> why it did not take part.
        shown_minutes: the newest part of the run whose alerts `/metrics` shows.
        files: file -> sha256; set when the run is stored.
    """

    cluster: str
    made_at: datetime
    source: str
    notes: tuple[str, ...] = ()
    code_version: str
    scored_until: datetime | None = None
    paged_until: datetime | None = None
    metrics_until: datetime | None = None
    silence_until: datetime | None = None
    forecast_from: datetime | None = None
    pods: int = 0
    unwatched: dict[str, int] | None = None
    metrics_not_scored: dict[str, str] = {}
    pods_version: str = ""
    cluster_version: str = ""
    models: tuple[PredictingModel, ...] = ()
    left_out: dict[str, str] = {}
    shown_minutes: int = 15
    files: dict[str, str] = {}

    @property
    def run_name(self) -> str:
        """Name of the run's directory."""
        return name_of(self.made_at)


@dataclass(frozen=True)
class ScoresRun:
    """A stored run.

    Attributes:
        record: what the run was made of.
        scores: :data:`SCORE_COLUMNS`, a row per model, pod and instant; ``namespace`` is empty where it is not known;
            ``contributing_features`` is a JSON object metric -> share, the largest first. ``is_anomaly`` is the model's
            own alert, the notice.
        forecasts: :data:`FORECAST_COLUMNS`, a row per model, metric and instant; ``value`` is the median, ``lower`` and
            ``upper`` the 80 % interval, all in the metric's unit of the catalogue.
        pages: :data:`PAGE_COLUMNS`, a row an instant of the newest hour at which a pod, or a node, was a page: somebody
            should look at it. ``metric`` is the one that is farthest from usual. Runs of earlier releases have none.
        exhaustion: :data:`EXHAUSTION_COLUMNS`, a row a thing that runs out within two weeks: its used share at
            ``timestamp``, seconds from then until it is full, the median, and the 80 % interval, whose ``upper`` is NaN
            for perhaps never. Runs of earlier releases have none.
        metrics: :data:`METRIC_COLUMNS`, a row a series and instant of the newest hour of the metrics of METRICS_FILE;
            ``labels`` is the entity as JSON, ``score`` and the band are NaN while too little is known.
        ahead: :data:`AHEAD_COLUMNS`, their forecasts from ``timestamp``: the median and the 80 % interval.
        silence: :data:`SILENCE_COLUMNS`, a row for each thing that has stopped, at the newest instant; ``since`` is its
            last sign of life.
        explanations: ``EXPLANATION_COLUMNS``, the newest day of what an alert is about, every five minutes: value,
            expected value and band, float32, NaN where not known. Runs of earlier releases have none.
        episodes: ``EPISODE_COLUMNS``, pages and notices of the newest day with their first and last instant; ``metric``
            is the one that is farthest from usual, or has the largest share. Runs of earlier releases have none.
    """

    record: ScoresRecord
    scores: pd.DataFrame
    forecasts: pd.DataFrame
    pages: pd.DataFrame = field(default_factory=lambda: no_rows(PAGE_COLUMNS))
    exhaustion: pd.DataFrame = field(default_factory=lambda: no_exhaustion())
    metrics: pd.DataFrame = field(default_factory=lambda: no_rows(METRIC_COLUMNS))
    ahead: pd.DataFrame = field(default_factory=lambda: no_rows(AHEAD_COLUMNS))
    silence: pd.DataFrame = field(default_factory=lambda: no_rows(SILENCE_COLUMNS))
    explanations: pd.DataFrame = field(default_factory=lambda: nothing(EXPLANATION_COLUMNS))
    episodes: pd.DataFrame = field(default_factory=lambda: nothing(EPISODE_COLUMNS))


def name_of(made_at: datetime) -> str:
    """The name of the directory of a run that is made at a time; names are in order of time."""
    return made_at.astimezone(UTC).strftime(NAME_FORMAT)


def no_rows(columns: Sequence[str]) -> pd.DataFrame:
    """An empty frame of texts and, where there is a column of that name, times."""
    frame = pd.DataFrame(columns=list(columns), dtype=str)
    return frame.assign(timestamp=pd.Series(dtype="datetime64[us, UTC]")) if "timestamp" in columns else frame


def no_exhaustion() -> pd.DataFrame:
    """Nothing that runs out, with columns of the right types."""
    return no_rows(EXHAUSTION_COLUMNS).astype(dict.fromkeys(EXHAUSTION_COLUMNS[-4:], "float64"))


LATER = {
    "pages": (PAGES, PAGE_COLUMNS),
    "exhaustion": (EXHAUSTION, EXHAUSTION_COLUMNS),
    "metrics": (METRICS, METRIC_COLUMNS),
    "ahead": (AHEAD, AHEAD_COLUMNS),
    "silence": (SILENCE, SILENCE_COLUMNS),
    "explanations": (EXPLANATIONS, EXPLANATION_COLUMNS),
    "episodes": (EPISODES, EPISODE_COLUMNS),
}
"""Part of a run that earlier releases did not store -> its file and columns."""
Part = TypeVar("Part")


class Scores:
    """The stored runs of one cluster."""

    def __init__(self, storage: Storage, cluster: str, kept: timedelta = KEPT) -> None:
        """Look at the runs of a cluster; ``kept`` is for how long :meth:`put` keeps them."""
        self.storage = storage
        self.cluster = cluster
        self.kept = kept

    def put(self, run: ScoresRun) -> tuple[ScoresRecord, list[str]]:
        """Store a run, whole or not at all, and remove runs that are older than it by more than ``kept``.

        Returns:
            the record with the digests of the files, and the names of the removed runs.

        Raises:
            ConflictError: a run with this ``made_at`` is stored already.
        """
        record = run.record
        files = {SCORES: _encoded(run.scores, record), FORECASTS: _encoded(run.forecasts, record)}
        files |= {file: _encoded(getattr(run, part), record) for part, (file, _) in LATER.items()}
        record = record.model_copy(update={"files": {name: sha256(data) for name, data in files.items()}})
        files[RECORD] = record.to_bytes()
        self.storage.commit_directory(f"{self.folder}/{record.run_name}", files, last=RECORD)
        oldest = name_of(record.made_at - self.kept)
        old = [name for name in self.names() if name < oldest]
        for name in old:
            self.storage.remove_directory(f"{self.folder}/{name}", first=RECORD)
        return record, old

    def names(self) -> list[str]:
        """Names of the runs, oldest first; on a bucket also of one that is being written."""
        return [name for name in self.storage.names(self.folder) if NAME.fullmatch(name)]

    def read(self, name: str) -> ScoresRun:
        """A run, whose files must have the recorded digests.

        Raises:
            NotFoundError: there is no such run, or it is not wholly written yet.
            IntegrityError: a file is missing or damaged, or the record belongs to another run or cluster.
        """
        record = self.read_record(name)
        scores = self._frame(record, SCORES, SCORE_COLUMNS, FORMER_SCORE_COLUMNS)
        forecasts = self._frame(record, FORECASTS, FORECAST_COLUMNS)
        later = {
            part: self._frame(record, file, columns) for part, (file, columns) in LATER.items() if file in record.files
        }
        return ScoresRun(record, scores, forecasts, **later)

    def newest_before(self, end: datetime) -> ScoresRun | None:
        """The newest run that was made before a time and can be read; ``None``: there is none."""
        return self._newest_before(end, self.read)

    def newest_episodes(self, end: datetime) -> pd.DataFrame:
        """Episodes of the newest readable run that was made before a time; without one, or in one without, none."""

        def episodes(name: str) -> pd.DataFrame:
            record = self.read_record(name)
            there = EPISODES in record.files
            return self._frame(record, EPISODES, EPISODE_COLUMNS) if there else nothing(EPISODE_COLUMNS)

        found = self._newest_before(end, episodes)
        return nothing(EPISODE_COLUMNS) if found is None else found

    def _newest_before(self, end: datetime, read: Callable[[str], Part]) -> Part | None:
        for name in reversed(self.names()):
            if name < name_of(end):
                with suppress(NotFoundError, IntegrityError):  # being written, removed meanwhile, or damaged
                    return read(name)
        return None

    def read_record(self, name: str) -> ScoresRecord:
        """What a run was made of. Raises as :meth:`read` does."""
        data = self.storage.read(f"{self.folder}/{name}/{RECORD}")
        try:
            record = ScoresRecord.model_validate_json(data)
        except ValueError:
            raise self._damaged(name, RECORD) from None
        if record.run_name != name or record.cluster != self.cluster:
            raise IntegrityError(f"{self.locate(name)} holds {record.run_name} of {record.cluster}: remove it")
        return record

    def read_metrics(self, record: ScoresRecord) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
        """The metrics of one's own of a run, their forecasts, and what is silent; earlier releases have none of it.

        Raises:
            IntegrityError: a file is missing or damaged.
        """
        metrics, ahead, silence = (
            self._frame(record, *LATER[part]) if LATER[part][0] in record.files else no_rows(LATER[part][1])
            for part in ("metrics", "ahead", "silence")
        )
        return metrics, ahead, silence

    def newest(self) -> ScoresRun | None:
        """The newest whole run; ``None`` before the first.

        Raises:
            IntegrityError: the newest run is damaged.
        """
        for name in reversed(self.names()):
            try:
                return self.read(name)
            except NotFoundError:  # being written, or removed meanwhile
                continue
        return None

    @property
    def folder(self) -> str:
        """Folder of all runs, relative to the storage."""
        return f"scores/cluster={self.cluster}"

    def locate(self, name: str) -> str:
        """Path or URL of a run, for people."""
        return self.storage.locate(f"{self.folder}/{name}")

    def _frame(
        self, record: ScoresRecord, file: str, columns: tuple[str, ...], former: tuple[str, ...] = ()
    ) -> pd.DataFrame:
        try:
            data = self.storage.read(f"{self.folder}/{record.run_name}/{file}")
        except NotFoundError:
            raise self._damaged(record.run_name, file) from None
        if sha256(data) != record.files.get(file):
            raise self._damaged(record.run_name, file)
        try:
            frame: pd.DataFrame = pq.read_table(pa.BufferReader(data)).to_pandas()
        except (pa.ArrowException, OSError):
            raise self._damaged(record.run_name, file) from None
        if tuple(frame.columns) == columns:
            return frame
        if tuple(frame.columns) == former:
            return frame.reindex(columns=list(columns), fill_value="")
        raise self._damaged(record.run_name, file)

    def _damaged(self, name: str, file: str) -> IntegrityError:
        return IntegrityError(
            f"{self.locate(name)}/{file} is missing or damaged: remove the run, the next one replaces it",
            code="damaged_file",
            run=name,
            file=file,
        )


def _encoded(frame: pd.DataFrame, record: ScoresRecord) -> bytes:
    table = pa.Table.from_pandas(frame, preserve_index=False)
    metadata = {**(table.schema.metadata or {}), METADATA_KEY: record.model_dump_json().encode()}
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata(metadata), sink, compression="zstd")
    data: bytes = sink.getvalue().to_pybytes()
    return data
