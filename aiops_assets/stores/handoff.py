"""What one asset tells the next: small typed references, never the data itself."""

from aiops_assets.stores.records import Record


class SeriesRef(Record):
    """Generated series: the recipe that yields them again, and their digest."""

    data_version: str
    n_pods: int
    days: int
    end: str
    seed: int
    anomaly_rate: float


class TrainingSetRef(Record):
    """A stored training set."""

    view: str
    data_version: str


class VersionRef(Record):
    """A committed version of a model; ``trained`` is false when nothing had changed and fitting was skipped."""

    name: str
    version: int
    manifest_sha256: str
    trained: bool


class DecisionRef(Record):
    """What the evaluation decided of a challenger, and which champion (if any) it saw."""

    challenger: VersionRef
    champion: int | None
    promote: bool
    reason: str
