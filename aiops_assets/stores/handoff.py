"""What one asset tells the next: small typed references, never the data itself."""

from aiops_assets.stores.records import Record, SourceReport, SyntheticRecipe


def handoff_path(cluster: str, *key: str) -> str:
    """Where the reference of an asset is kept, relative to home."""
    return f"handoff/cluster={cluster}/{'/'.join(key)}.json"


class SeriesRef(Record):
    """Generated series: the recipe that yields them again, and their digest."""

    data_version: str
    recipe: SyntheticRecipe


class TrainingSetRef(Record):
    """A stored training set, and where its rows came from this time: equal rows may be stored since long."""

    view: str
    data_version: str
    effective_source: str
    source: SourceReport


class VersionRef(Record):
    """A committed version of a model."""

    name: str
    version: int
    manifest_sha256: str


class DecisionRef(Record):
    """What the evaluation decided of a challenger, and which champion (if any) it saw; ``equal``: the same model."""

    challenger: VersionRef
    champion: int | None
    promote: bool
    equal: bool
    reason: str
