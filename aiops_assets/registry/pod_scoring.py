"""Scores of every living pod by the served detectors, some pods at a time, and which pods are not watched."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from aiops_assets.datasets.newest import FETCHED, SYNTHETIC, NewestWindow
from aiops_assets.datasets.workloads import name_of_workload
from aiops_assets.errors import DataError, IntegrityError, ModelError, NotFoundError
from aiops_assets.families.contract import Asking, ModelSpec
from aiops_assets.learners.contracts import Flags
from aiops_assets.learners.detectors.alert_rule import HISTORY_DAYS
from aiops_assets.learners.detectors.deviation_detector import DeviationDetector
from aiops_assets.registry.code_digest import code_digest
from aiops_assets.registry.known_rows import KnownRows
from aiops_assets.registry.running_pods import RunningPods
from aiops_assets.registry.version import Version, version_of
from aiops_assets.storage.pod_memory import PodMemories
from aiops_assets.storage.records import ChampionMove
from aiops_assets.storage.scores import NO_DETECTOR, SCORE_COLUMNS, TOO_FEW_SAMPLES, UNWATCHED
from aiops_assets.storage.served import ServedModels
from aiops_assets.timeseries.pod_identity import split_pod
from aiops_assets.timeseries.pod_parts import part_of
from aiops_assets.timeseries.series import Floats
from aiops_assets.views.catalog import POD_FEATURES, POD_SERIES
from aiops_assets.views.pod_history import NEWEST, LivingPods, PodHistory
from aiops_assets.views.pod_series import VALUES

PODS_AT_ONCE = 200
"""Of so many pods, more or less, all rows are copied at a time: some 100 MB."""
GRACE = pd.Timedelta(minutes=15)
"""A pod that is younger may have no row yet, and one that has been silent for so long may be over."""
CANNOT_SCORE = (NotFoundError, IntegrityError, ModelError, DataError)
"""What keeps one model from scoring, and not the others."""


@dataclass
class _Job:
    """A champion that scores, and its scores so far."""

    spec: ModelSpec
    champion: ChampionMove
    version: Version
    running: RunningPods | None = None
    known: KnownRows | None = None
    parts: list[pd.DataFrame] = field(default_factory=list)
    watched: set[str] = field(default_factory=set)


class PodScoring:
    """Scores of the pods of a window.

    Args:
        served: version directories.
        window: the newest window.
        memories: what the runs before have kept; ``None``: each pod is scored from its begin on, and nothing is kept.
        pods_at_once: of so many pods, more or less, all rows are in memory at a time.

    Attributes:
        watched: pods that have got scores so far.
        resumed: model -> number of pods that went on from a memory.
        known_rows: row detector -> number of rows that the run before has scored.
    """

    def __init__(
        self,
        served: ServedModels,
        window: NewestWindow,
        memories: PodMemories | None = None,
        pods_at_once: int = PODS_AT_ONCE,
    ) -> None:
        self._served = served
        self._window = window
        self._memories = memories
        # Cached days were fetched earlier: equal rows must have the same digest.
        self._source = SYNTHETIC if window.source == SYNTHETIC else FETCHED
        self._tried = False
        self._groups = _groups(window.pods, pods_at_once) if window.pods else []
        self.watched: set[str] = set()
        self.resumed: dict[str, int] = {}
        self.known_rows: dict[str, int] = {}

    def scores(self, spec: ModelSpec, champion: ChampionMove) -> pd.DataFrame:
        """Scores of the newest hour of each pod by a champion: a row a pod and instant, with the columns SCORE_COLUMNS.

        Raises:
            NotFoundError, IntegrityError, ModelError: the version cannot be loaded, or gives no usable scores.
            DataError: no pod has a row.
        """
        found = self.scores_of({spec.name: (spec, champion)})[spec.name]
        if isinstance(found, Exception):
            raise found
        return found

    def scores_of(self, asked: Mapping[str, tuple[ModelSpec, ChampionMove]]) -> dict[str, pd.DataFrame | Exception]:
        """Scores by several champions, of which each group of pods is read once.

        Returns:
            name of each -> what :meth:`scores` returns or raises.
        """
        found: dict[str, pd.DataFrame | Exception] = {}
        if self._window.pods is None:
            why = str(self._window.lacking.get("pods", "no pod has six minutes of samples"))
            return {name: DataError(why) for name in asked}
        jobs: dict[str, _Job] = {}
        for name, (spec, champion) in asked.items():
            try:
                jobs[name] = self._job(spec, champion)
            except CANNOT_SCORE as error:
                found[name] = error.with_traceback(None)
        for those in self._groups if jobs else []:
            part = self._window.pods.of_pods(those)
            for name, job in list(jobs.items()):
                try:
                    self._add(job, part)
                except CANNOT_SCORE as error:
                    found[name] = error.with_traceback(None)
                    del jobs[name]
        for name, job in jobs.items():
            if not job.parts:
                found[name] = DataError("no row of the newest hour has its six minutes of samples")
                continue
            self._tried = True
            self.watched |= job.watched
            found[name] = pd.concat(job.parts, ignore_index=True)
            job.parts.clear()
        return found

    def _job(self, spec: ModelSpec, champion: ChampionMove) -> "_Job":
        version = version_of(self._served, spec, champion)
        model = version.model()
        of = {"version": str(champion.version), "manifest": champion.manifest_sha256, "code": code_digest(__name__)}
        job = _Job(spec, champion, version)
        if spec.view == POD_SERIES and isinstance(model, DeviationDetector) and model.runs and model.columns == VALUES:
            job.running = RunningPods(model, spec.name, of, self._memories, HISTORY_DAYS)
        elif spec.view == POD_FEATURES and spec.family.asking is Asking.ROWS and self._memories:
            job.known = KnownRows(spec.name, of, self._memories)
        return job

    def _add(self, job: "_Job", part: PodHistory) -> None:
        """Scores of some pods."""
        found = self._resumed(job.spec.name, job.running, part) if job.running else self._of_rows(job, part)
        if len(found.rows):
            job.parts.append(self._stored(job.spec, job.champion, found))
            job.watched.update(found.rows["pod"].unique())

    def unwatched(self) -> dict[str, int]:
        """Reason -> number of living pods without scores, for each of UNWATCHED."""
        found = Counter(dict.fromkeys(UNWATCHED, 0))
        found.update(self._window.unwatched)
        if self._window.pods:
            lasting = self._window.pods.lasting(GRACE)
            found[TOO_FEW_SAMPLES if self._tried else NO_DETECTOR] += len(lasting - self.watched)
        return dict(found)

    @property
    def _begin(self) -> pd.Timestamp:
        """Rows after it are reported."""
        assert self._window.pods
        return self._window.pods.rows_until - NEWEST

    def _of_rows(self, job: "_Job", part: PodHistory) -> "_Found":
        """Scores by a model that reads all rows of some pods anew."""
        by_features = job.spec.view == POD_FEATURES
        rows = part.feature_rows(self._begin, self._source) if by_features else part.series_rows(self._source)
        newest = (rows["timestamp"] > self._begin).to_numpy()
        reported = rows.loc[newest, ["timestamp", "pod"]].reset_index(drop=True)
        if reported.empty:
            return _Found(reported, np.zeros(0), np.zeros(0, dtype=bool), np.zeros((0, 0)))
        if job.known:
            scored, n_known = job.known.explain(rows, part.pods, job.version.explain)
            self.known_rows[job.spec.name] = self.known_rows.get(job.spec.name, 0) + n_known
        else:
            scored = job.version.explain(rows)
        return _Found(reported, scored.score[newest], scored.alert[newest], scored.contributions[newest])

    def _resumed(self, model: str, running: RunningPods, part: PodHistory) -> "_Found":
        """Scores that go on from a memory, of rows up to a pod's last one with a sample."""
        found = running.scores(part)
        self.resumed[model] = self.resumed.get(model, 0) + int(found.resumed.sum())
        times = part.rows.times[-found.score.shape[1] :]
        lives = part.goes_on[:, -len(times) :] & ~np.isnan(found.score) & np.asarray(times > self._begin)
        pods, at = np.nonzero(lives)
        rows = pd.DataFrame({"timestamp": times[at], "pod": np.array(part.pods, dtype=object)[pods]})
        return _Found(rows, found.score[lives], found.alert[lives], found.contributions[lives])

    def _stored(self, spec: ModelSpec, champion: ChampionMove, found: "_Found") -> pd.DataFrame:
        if not np.isfinite(found.score).all():
            raise ModelError(f"version {champion.version} gives scores that are not finite")
        return found.rows.assign(
            **_identity(found.rows["pod"], self._window.workloads),
            model_name=spec.name,
            model_version=champion.version,
            anomaly_score=found.score,
            is_anomaly=found.alert,
            contributing_features=_largest_first(spec.family.contributors, found.contributions),
        )[list(SCORE_COLUMNS)]


@dataclass(frozen=True)
class _Found:
    """Scores of rows: a frame of ``timestamp`` and ``pod``, and arrays with a place a row."""

    rows: pd.DataFrame
    score: Floats
    alert: Flags
    contributions: Floats


def _groups(history: LivingPods, pods_at_once: int) -> list[npt.NDArray[np.intp]]:
    """Positions of pods, those of one file of memories together, as long as they are so many at most."""
    parts = np.array([part_of(pod) for pod in history.pods])
    groups: list[npt.NDArray[np.intp]] = []
    for part in np.unique(parts):
        those = np.flatnonzero(parts == part)
        if groups and len(groups[-1]) + len(those) <= pods_at_once:
            groups[-1] = np.concatenate([groups[-1], those])
        else:
            groups.append(those)
    return groups


def _identity(pods: pd.Series, workloads: Mapping[str, str]) -> dict[str, pd.Series]:
    """Columns ``namespace``, ``pod`` and ``workload`` of pods, (n_rows,) texts ``namespace/name``."""
    names = pd.Series(pods.unique(), dtype=object)
    split = [split_pod(pod) for pod in names]
    columns = {
        "namespace": [namespace for namespace, _ in split],
        "pod": [name for _, name in split],
        "workload": [name_of_workload(pod, workloads.get(pod, "")) for pod in names],
    }
    return {column: pods.map(dict(zip(names, values, strict=True))).astype(str) for column, values in columns.items()}


def _largest_first(metrics: Sequence[str], shares: Floats) -> list[str]:
    """For each row a JSON object: metric -> share of those above 0, the largest first."""
    names = [json.dumps(name) for name in metrics]
    order = np.argsort(-shares, axis=1, kind="stable").tolist()
    return [
        "{" + ", ".join(f"{names[i]}: {round(row[i], 2)!r}" for i in places if row[i] > 0) + "}"
        for row, places in zip(shares.tolist(), order, strict=True)
    ]
