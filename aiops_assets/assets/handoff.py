"""What one asset tells the next: small typed references, never the data itself."""

import dagster as dg

from aiops_assets.errors import NotFoundError
from aiops_assets.stores.records import Record, SyntheticRecipe
from aiops_assets.stores.storage import Storage, open_storage


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


class HandoffIOManager(dg.ConfigurableIOManager):
    """Keeps each asset's reference as JSON below home."""

    home: str
    cluster: str

    def handle_output(self, context: dg.OutputContext, obj: Record | None) -> None:
        """Store what an asset returned."""
        if obj is not None:
            self._storage.write(self._path(context.asset_key), obj.to_bytes())

    def load_input(self, context: dg.InputContext) -> Record:
        """Read what an upstream asset returned last."""
        kind: type[Record] = context.dagster_type.typing_type
        try:
            return kind.model_validate_json(self._storage.read(self._path(context.asset_key)))
        except NotFoundError:
            name = context.asset_key.to_user_string()
            raise NotFoundError(f"{name} was never materialized: materialize it first, or select it too") from None

    @property
    def _storage(self) -> Storage:
        return open_storage(self.home)

    def _path(self, key: dg.AssetKey) -> str:
        return f"handoff/cluster={self.cluster}/{'/'.join(key.path)}.json"
