"""What is written beside data so that it can be named: frozen records, stored as JSON."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, model_validator

from aiops_assets.synthetic.anomalies import ANOMALIES


class Record(BaseModel):
    """A frozen record. Unknown keys are an error: a record that says more than we know is not ours."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def to_bytes(self) -> bytes:
        """JSON, indented, with a final newline."""
        return (self.model_dump_json(indent=2) + "\n").encode()


class Day(Record):
    """A day of source data as a training set read it.

    Attributes:
        source: "prometheus" or "synthetic"; records of older code do not say it.
        digest: of the day's rows; of fetched days the combined digest of ``metrics``, metric -> digest.
        closed: no more was to come. An open day grows, which is no revision.
        revised: points that fetches had changed until then.
    """

    day: str
    source: str = ""
    digest: str
    metrics: dict[str, str] = {}
    closed: bool = True
    revised: int = 0

    @property
    def origin(self) -> str:
        """``source``, also of an older record."""
        return self.source or ("prometheus" if self.metrics else "synthetic")


class SourceReport(Record):
    """How a training set came to its effective source.

    Attributes:
        asked: DATA_SOURCE as it was set.
        rows: "prometheus" and "synthetic" -> how many rows.
        note: why it is not what was asked for; empty when it is.
        cached_age_seconds: how old the newest fetch of the window was; ``None`` unless cached days stand in.
        coverage: share of the window's samples that was there, of the metric that had least; ``None`` for
            generated data, as are the next three.
        coverage_by_metric: the same of each metric.
        full_days, window_days: how many days were full, and how many the window has.
        missing_share: share of rows that gaps cost.
        warnings: what people should know before they trust a model of this.
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
    warnings: tuple[str, ...] = ()


class SyntheticRecipe(Record):
    """All that is needed to generate the same series again.

    ``what`` is generated: labelled pods, or one healthy cluster, of which only ``days``, ``end`` and ``seed`` count.
    ``cut`` is the minute at which the hold-out begins; the newest fifth of the window by default.
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
        """The recipe of a cluster over so many days, with the same seed and end."""
        update = {"what": "cluster", "days": days, "n_pods": 1, "anomaly_rate": 0.0, "kinds": (), "cut": None}
        return self.model_copy(update=update)


class TrainingSetRecord(Record):
    """Where the rows of a training set come from.

    ``effective_source`` is where they really come from: "prometheus", "cached" (days fetched earlier, while the
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
    queries: dict[str, str] = {}
    days: tuple[Day, ...]
    recipe: SyntheticRecipe | None = None


class Manifest(Record):
    """What a served version is, written last into its directory. Fields with defaults are younger than the rest.

    ``fit`` says how it came to be: anew, or from which earlier version; ``trained_until`` is the newest row that it was
    fitted on.
    """

    name: str
    version: int
    created: datetime
    description: str
    cluster: str
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

    ``files`` is model file -> sha256, so that the veto still knows the model when its directory is gone.
    """

    version: int
    manifest_sha256: str
    who: str
    when: datetime
    reason: str
    files: dict[str, str] = {}


class ChampionRecord(Record):
    """Which version is served, and what was before it, newest first. The one truth about "champion"."""

    name: str
    champion: ChampionMove
    history: tuple[ChampionMove, ...] = ()
    vetoed: tuple[Veto, ...] = ()

    def veto_on(self, version: int, files: Mapping[str, str]) -> Veto | None:
        """The veto that speaks against a version: its own, or that of one with the same model files."""
        return next((veto for veto in self.vetoed if _is_about(veto, version, files)), None)

    def without_veto_on(self, version: int, files: Mapping[str, str]) -> tuple[Veto, ...]:
        """The vetoes that stay when this version is served all the same."""
        return tuple(veto for veto in self.vetoed if not _is_about(veto, version, files))

    @property
    def earlier(self) -> tuple[ChampionMove, ...]:
        """What was served before, newest first, each version once and without the champion."""
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
        when: of the evaluation.
        data_version, effective_source: of the training set whose hold-out was judged.
        holdout_rows, anomalous_rows: how many rows were judged, and how many of them are anomalous.
        figures: of this version, as in its manifest.
        opponent: "champion version N", "the null model", or "none" where nothing was compared.
        opponent_figures: the same of the opponent; empty for "none".
        gaps: figure -> its difference to the opponent's; empty where there was nothing to compare.
        decision: "promote" or "keep"; ``equal``: it is the champion already, or the same model.
        reason: one sentence with the figures.
        code: of the reason, as data.
        head, stated_figures: the two parts of the reason. These three are empty in records of older code.
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
        """Older records keep each difference in a field of its own."""
        if isinstance(data, dict):
            ends = "_gap"
            older = {name.removesuffix(ends): data.pop(name) for name in [*data] if name.endswith(ends)}
            data["gaps"] = data.get("gaps") or {name: gap for name, gap in older.items() if gap}
        return data


def sha256(data: bytes) -> str:
    """SHA-256 of bytes, in hex."""
    return hashlib.sha256(data).hexdigest()
