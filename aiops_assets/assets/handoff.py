"""What one asset tells the next: small typed references, never the data itself."""

from aiops_assets.stores.records import Record, SyntheticRecipe


class SeriesRef(Record):
    """Generated series: the recipe that yields them again, and their digest."""

    data_version: str
    recipe: SyntheticRecipe


class TrainingSetRef(Record):
    """A stored training set."""

    view: str
    data_version: str


class VersionRef(Record):
    """A committed version of a model."""

    name: str
    version: int
    manifest_sha256: str


class DecisionRef(Record):
    """What the evaluation decided of a challenger, and which champion (if any) it saw."""

    challenger: VersionRef
    champion: int | None
    promote: bool
    reason: str
