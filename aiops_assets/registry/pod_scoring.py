"""Scores of every living pod by the served detectors, some pods at a time, and which pods are not watched."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from aiops_assets.datasets.newest import FETCHED, SYNTHETIC, NewestWindow
from aiops_assets.datasets.workloads import name_of_workload
from aiops_assets.errors import DataError, ModelError
from aiops_assets.families.contract import ModelSpec
from aiops_assets.learners.contracts import Flags, Scored
from aiops_assets.registry.version import version_of
from aiops_assets.storage.records import ChampionMove
from aiops_assets.storage.scores import NO_DETECTOR, SCORE_COLUMNS, TOO_FEW_SAMPLES, UNWATCHED
from aiops_assets.storage.served import ServedModels
from aiops_assets.timeseries.pod_identity import split_pod
from aiops_assets.timeseries.series import Floats
from aiops_assets.views.catalog import POD_FEATURES
from aiops_assets.views.pod_history import NEWEST, PodHistory

PODS_AT_ONCE = 100
"""Of so many pods all rows are frames at a time: some 300 MB."""
GRACE = pd.Timedelta(minutes=15)
"""A pod that is younger may have no row yet, and one that has been silent for so long may be over."""


@dataclass(frozen=True)
class PodScores:
    """What one detector finds in the newest hour.

    Attributes:
        model: its name.
        stored: a row a pod and instant, with the columns SCORE_COLUMNS.
        rows: the same rows, as rules over all pods read them: ``timestamp``, ``entity`` (text of the pod), ``workload``
            (namespace and name; of the pod alone where no namespace is known), ``age_hours`` (since the pod's first row
            of the eight days that are read), ``score``, ``now`` (see :class:`~aiops_assets.learners.contracts.Scored`;
            NaN where a detector does not say), ``alert``.
    """

    model: str
    stored: pd.DataFrame
    rows: pd.DataFrame


class PodScoring:
    """Scores of the pods of a window, one detector after the other.

    Attributes:
        watched: pods that have got scores so far.
    """

    def __init__(self, served: ServedModels, window: NewestWindow, pods_at_once: int = PODS_AT_ONCE) -> None:
        self._served = served
        self._window = window
        self._pods_at_once = pods_at_once
        # Cached days were fetched earlier: equal rows must have the same digest.
        self._source = SYNTHETIC if window.source == SYNTHETIC else FETCHED
        self._tried = False
        self.watched: set[str] = set()

    def scores(self, spec: ModelSpec, champion: ChampionMove) -> PodScores:
        """Scores of the newest hour of each pod by a champion.

        Raises:
            NotFoundError, IntegrityError, ModelError: the version cannot be loaded, or gives no usable scores.
            DataError: no pod has a row.
        """
        history = self._window.pods
        if history is None:
            raise DataError(str(self._window.lacking.get("pods", "no pod has six minutes of samples")))
        parts = [found for part in history.batches(self._pods_at_once) if (found := self._part(spec, champion, part))]
        if not parts:
            raise DataError("no row of the newest hour has its six minutes of samples")
        stored, rows = (pd.concat(frames, ignore_index=True) for frames in zip(*parts, strict=True))
        self.watched.update(rows["entity"].unique())
        self._tried = True
        return PodScores(spec.name, stored, rows)

    def unwatched(self) -> dict[str, int]:
        """Reason -> number of living pods without scores, for each of UNWATCHED."""
        found = Counter(dict.fromkeys(UNWATCHED, 0))
        found.update(self._window.unwatched)
        if self._window.pods:
            lasting = self._window.pods.lasting(GRACE)
            found[TOO_FEW_SAMPLES if self._tried else NO_DETECTOR] += len(lasting - self.watched)
        return dict(found)

    def _part(
        self, spec: ModelSpec, champion: ChampionMove, part: PodHistory
    ) -> tuple[pd.DataFrame, pd.DataFrame] | None:
        """Stored rows and rows for rules of some pods; ``None``: they have none."""
        assert self._window.pods
        begins = self._window.pods.rows_until - NEWEST
        rows = part.feature_rows(begins, self._source) if spec.view == POD_FEATURES else part.series_rows(self._source)
        newest = (rows["timestamp"] > begins).to_numpy()
        if not newest.any():
            return None
        scored: Scored = version_of(self._served, spec, champion).explain(rows)
        if not np.isfinite(scored.score[newest]).all():
            raise ModelError(f"version {champion.version} gives scores that are not finite")
        stored = self._stored(spec, champion, rows.loc[newest, ["timestamp", "pod"]], scored, newest)
        return stored, self._rows(stored, part, scored, newest)

    def _stored(
        self, spec: ModelSpec, champion: ChampionMove, rows: pd.DataFrame, scored: Scored, newest: Flags
    ) -> pd.DataFrame:
        frame = rows.reset_index(drop=True)
        frame = frame.assign(
            **_identity(frame["pod"], self._window.workloads),
            model_name=spec.name,
            model_version=champion.version,
            anomaly_score=scored.score[newest],
            is_anomaly=scored.alert[newest],
            contributing_features=[
                _largest_first(spec.family.contributors, one) for one in scored.contributions[newest]
            ],
        )
        return frame[list(SCORE_COLUMNS)]

    def _rows(self, stored: pd.DataFrame, part: PodHistory, scored: Scored, newest: Flags) -> pd.DataFrame:
        prefix = stored["namespace"].where(stored["namespace"] == "", stored["namespace"] + "/")
        entity = prefix + stored["pod"]
        begun = entity.map(part.begins)
        return pd.DataFrame(
            {
                "timestamp": stored["timestamp"],
                "entity": entity,
                "workload": prefix + stored["workload"],
                "age_hours": (stored["timestamp"] - begun).dt.total_seconds() / 3600,
                "score": stored["anomaly_score"],
                "now": np.nan if scored.now is None else scored.now[newest],
                "alert": stored["is_anomaly"],
            }
        )


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


def _largest_first(metrics: Sequence[str], shares: Floats) -> str:
    """JSON object: metric -> share of those above 0, the largest first."""
    order = np.argsort(-shares, kind="stable")
    return json.dumps({metrics[i]: round(float(shares[i]), 2) for i in order if shares[i] > 0})
