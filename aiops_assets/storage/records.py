"""Records that are stored as JSON beside the data that they describe."""

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, model_validator

from aiops_assets.synthetic.anomalies import ANOMALIES


class Record(BaseModel):
    """A frozen record. Unknown keys are an error: a record with them was written by other code."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def to_bytes(self) -> bytes:
        """JSON, indented, with a final newline."""
        return (self.model_dump_json(indent=2) + "\n").encode()


class Signature(Record):
    """A signature, and the key that made it.

    Attributes:
        key: id of the public key: the first 16 hex digits of the SHA-256 of its 32 bytes.
        value: the 64 bytes of the signature, in base64.
    """

    key: str
    value: str


class Day(Record):
    """A day of source data as a training set read it.

    Attributes:
        day: UTC day, ISO.
        source: "prometheus" or "synthetic"; empty in records of older code.
        digest: digest of the day's rows; of fetched days the combined digest of ``metrics``.
        metrics: metric -> digest of its samples, of fetched days.
        closed: the day was complete. An open day grows, which is not a revision.
        revised: number of values that fetches had changed until then.
        cluster_id: which cluster the samples are of; empty where that is not known, and of generated days.
        queries: metric -> PromQL, of metrics that were requested by an earlier release's query on this day.
    """

    day: str
    source: str = ""
    digest: str
    metrics: dict[str, str] = {}
    closed: bool = True
    revised: int = 0
    cluster_id: str = ""
    queries: dict[str, str] = {}

    @property
    def origin(self) -> str:
        """``source``, derived from ``metrics`` where an older record does not have it."""
        return self.source or ("prometheus" if self.metrics else "synthetic")


class KnownMetric(Record):
    """In how many fetched rows of a training set a metric is known; the others lack it or hold the engine's default.

    Attributes:
        share: share (0 to 1) of the fetched rows in which the metric has a sample.
        rows, known: number of fetched rows, and of those in which it has one.
        pods, lacking: number of pods of these rows, and of those that know it in none of them.
        partly: number of drawn pods that have it for less than half of their life.
        window_pods, window_lacking: number of pods that could have been drawn, and of those without the metric for most
            of their life; 0 for metrics that belong to no pod.
        names: first pods that lack it, of the drawn ones or, without any, of the others.
    """

    share: float
    rows: int
    known: int
    pods: int
    lacking: int
    partly: int = 0
    window_pods: int = 0
    window_lacking: int = 0
    names: tuple[str, ...] = ()


class FewerNodes(Record):
    """How many nodes stood behind a metric while some of them were missing.

    Attributes:
        least, most: smallest and largest number of nodes.
        hours: hours with fewer than ``most``.
        share: the same as share (0 to 1) of the time that was counted.
        names: the first nodes that were missing for the largest part of these hours; empty where the metric's series
            name no node.
    """

    least: int
    most: int
    hours: float
    share: float
    names: tuple[str, ...] = ()


class SourceReport(Record):
    """How a training set came to its effective source.

    Attributes:
        asked: value of DATA_SOURCE.
        rows: "prometheus" and "synthetic" -> number of rows.
        note: why the source differs from the requested one; empty when it does not.
        cached_age_seconds: age of the newest fetch of the window; ``None`` unless cached days stand in.
        coverage: samples that are there divided by those that the window has room for, of the metric that has
            least; ``None`` for generated data, as are ``full_days``, ``window_days`` and ``missing_share``.
        coverage_by_metric: metric -> its coverage.
        full_days, window_days: number of days without a gap, and of all days of the window.
        missing_share: share (0 to 1) of rows that are lost to gaps.
        known: metric -> in how many fetched rows it is known; empty: not counted, in records of older code and of
            generated rows alone.
        nodes: node metric -> how many nodes were missing for a part of the window; empty: none, or not counted.
        warnings: what people should know before they trust a model of this training set.
    """

    asked: str = ""
    rows: dict[str, int] = {}
    note: str = ""
    cached_age_seconds: int | None = None
    coverage: float | None = None
    coverage_by_metric: dict[str, float] = {}
    full_days: int | None = None
    window_days: int | None = None
    missing_share: float | None = None
    known: dict[str, KnownMetric] = {}
    nodes: dict[str, FewerNodes] = {}
    warnings: tuple[str, ...] = ()


class SyntheticRecipe(Record):
    """All that is needed to generate the same series again.

    Attributes:
        what: labelled pods, or one healthy cluster, for which only ``days``, ``end`` and ``seed`` are used.
        n_pods: number of pods.
        days: length of the series in days.
        end: end of the series, exclusive.
        seed: seed of the generator.
        anomaly_rate: share (0 to 1) of anomalous minutes.
        kinds: kinds of anomalies that are injected.
        cut: minute at which the hold-out begins; ``None``: the newest fifth of the window.
    """

    what: Literal["pods", "cluster"] = "pods"
    n_pods: int
    days: int
    end: datetime
    seed: int
    anomaly_rate: float
    kinds: tuple[str, ...] = tuple(ANOMALIES)
    cut: int | None = None

    def cluster(self, days: int) -> "SyntheticRecipe":
        """The recipe of a cluster over ``days`` days, with the same seed and end."""
        update = {"what": "cluster", "days": days, "n_pods": 1, "anomaly_rate": 0.0, "kinds": (), "cut": None}
        return self.model_copy(update=update)


class TrainingSetRecord(Record):
    """Where the rows of a training set come from.

    ``workloads`` is pod -> ``kind/name`` of its workload, of the fetched ``pods`` that kube-state-metrics knows.

    ``effective_source`` names their actual origin: "prometheus", "cached" (days fetched earlier, while the
    server cannot be reached), "synthetic", or a blend: "prometheus+synthetic", "cached+synthetic". ``queries``
    is metric -> PromQL of what was fetched; ``recipe`` yields what was generated.
    """

    view: str
    data_version: str
    rows_sha256: str
    cluster: str
    effective_source: str
    source: SourceReport = SourceReport()
    window_start: datetime
    window_end: datetime
    rows: int
    label_rate: float
    anomaly_rate: float
    seed: int
    pods: tuple[str, ...]
    workloads: dict[str, str] = {}
    queries: dict[str, str] = {}
    days: tuple[Day, ...]
    recipe: SyntheticRecipe | None = None

    @property
    def cluster_ids(self) -> tuple[str, ...]:
        """Which clusters the fetched days are of, in order of time; more than one after somebody confirmed it."""
        return tuple(dict.fromkeys(day.cluster_id for day in self.days if day.cluster_id))


class Loader(Record):
    """What reads a version's model file and predicts with it.

    Attributes:
        package: the distribution that does; the file alone is of no use without it.
        version: the release that wrote the file.
        protocol: how it is read: "joblib", "json", "torch.export", or what another package calls its own.
    """

    package: str
    version: str
    protocol: str


class Manifest(Record):
    """The description of a version, written last into its directory. Fields with defaults were added later.

    ``fit`` states how the version was fitted: anew, or as a warm start from which earlier version; ``trained_until`` is
    the time of the newest row that it was fitted on; ``loader`` states what loads its model file (``None``: an earlier
    release did not record it).
    """

    name: str
    version: int
    created: datetime
    description: str
    cluster: str
    cluster_ids: tuple[str, ...] = ()
    features: tuple[str, ...]
    features_digest: str
    width: int
    units: dict[str, str]
    parameters: dict[str, object]
    packages: dict[str, str]
    view: str
    data_version: str
    training_set_sha256: str
    effective_source: str
    source: SourceReport = SourceReport()
    window_start: datetime | None = None
    window_end: datetime | None = None
    run_id: str
    run_url: str
    dagster_run_id: str
    code_version: str
    fingerprint: str
    metrics: dict[str, float]
    fit: str = ""
    trained_until: datetime | None = None
    loader: Loader | None = None
    files: dict[str, str]


class FileState(Record):
    """A file of a served directory: the digest recorded for it, and whether its content still has that digest."""

    path: str
    sha256: str
    verified: bool


class ChampionMove(Record):
    """One step in the history of what was served."""

    version: int
    manifest_sha256: str
    data_version: str
    effective_source: str
    reason: str
    who: str
    when: datetime


class Veto(Record):
    """A version that people rolled back: no run serves it again, nor one with the same ``files``.

    ``files`` is model file -> sha256, so that the veto still matches the model when its directory is removed.
    """

    version: int
    manifest_sha256: str
    who: str
    when: datetime
    reason: str
    files: dict[str, str] = {}


class ChampionRecord(Record):
    """Which version is served, and which were before it, newest first. Only this record decides who is champion.

    ``signature`` is of :func:`signed_bytes`; ``None`` in records of older code.
    """

    name: str
    champion: ChampionMove
    history: tuple[ChampionMove, ...] = ()
    vetoed: tuple[Veto, ...] = ()
    signature: Signature | None = None

    def veto_on(self, version: int, files: Mapping[str, str]) -> Veto | None:
        """The veto on a version, or on one with the same model files; ``None``: there is none."""
        return next((veto for veto in self.vetoed if _is_about(veto, version, files)), None)

    def without_veto_on(self, version: int, files: Mapping[str, str]) -> tuple[Veto, ...]:
        """The vetoes that remain when a version is served nevertheless."""
        return tuple(veto for veto in self.vetoed if not _is_about(veto, version, files))

    @property
    def earlier(self) -> tuple[ChampionMove, ...]:
        """Earlier champions, newest first, each version once and without the present champion."""
        moves: dict[int, ChampionMove] = {}
        for move in self.history:
            if move.version != self.champion.version:
                moves.setdefault(move.version, move)
        return tuple(moves.values())


def _is_about(veto: Veto, version: int, files: Mapping[str, str]) -> bool:
    return veto.version == version or (bool(files) and veto.files == dict(files))


class Gap(Record):
    """Challenger minus opponent in one figure, and its 95 % interval by block bootstrap."""

    value: float
    low: float
    high: float


class EvaluationRecord(Record):
    """The newest evaluation of a version, kept beside the version directories.

    Attributes:
        when: time of the evaluation.
        data_version, effective_source: data version and source of the training set whose hold-out was used.
        holdout_rows, anomalous_rows: number of rows of the hold-out, and of the anomalous ones among them.
        figures: figures of this version, named as in its manifest.
        opponent: "champion version N", "the null model", or "none" where nothing was compared.
        opponent_figures: figures of the opponent; empty for "none".
        gaps: figure -> difference to the opponent's; empty where nothing was compared.
        decision: "promote" or "keep".
        equal: the version is the champion already, or the same model.
        reason: one sentence with the figures.
        code: code of the reason; empty in records of older code, as are ``head`` and ``stated_figures``.
        head, stated_figures: the two parts of ``reason``.
    """

    name: str
    version: int
    when: datetime
    dagster_run_id: str
    data_version: str
    effective_source: str
    holdout_rows: int
    anomalous_rows: int
    figures: dict[str, float]
    opponent: str
    opponent_figures: dict[str, float] = {}
    gaps: dict[str, Gap] = {}
    decision: Literal["promote", "keep"]
    equal: bool = False
    reason: str
    code: str = ""
    head: str = ""
    stated_figures: str = ""

    @model_validator(mode="before")
    @classmethod
    def _of_older_code(cls, data: Any) -> Any:
        """Convert a record of older code, which has one field per difference."""
        if isinstance(data, dict):
            ends = "_gap"
            older = {name.removesuffix(ends): data.pop(name) for name in [*data] if name.endswith(ends)}
            data["gaps"] = data.get("gaps") or {name: gap for name, gap in older.items() if gap}
        return data


def signed_bytes(content: Mapping[str, Any]) -> bytes:
    """What the signature of a record is of: all of its JSON object but the signature, in one spelling.

    Taken from the object as it is stored, so that a field of later code does not change what was signed.
    """
    unsigned = {name: value for name, value in content.items() if name != "signature"}
    return json.dumps(unsigned, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def sha256(data: bytes) -> str:
    """SHA-256 of bytes, in hex."""
    return hashlib.sha256(data).hexdigest()
