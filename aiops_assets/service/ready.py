"""A model that the service may answer from."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from aiops_assets.families.contract import Family, ModelSpec
from aiops_assets.storage.records import ChampionMove, Manifest


@dataclass(frozen=True)
class ReadyModel:
    """A version that answered its smoke inference.

    Attributes:
        spec: which model.
        champion: the champion record's entry: version, digest, source.
        manifest: of the version.
        model: as its family reads it; the fast form of the row forest.
        loaded: when.
    """

    spec: ModelSpec
    champion: ChampionMove
    manifest: Manifest
    model: Any
    loaded: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def family(self) -> Family[Any, Any]:
        """How the model is asked."""
        return self.spec.family

    @cached_property
    def origin(self) -> dict[str, str]:
        """What every answer says of who made it."""
        return {
            "model_name": self.spec.name,
            "model_version": str(self.champion.version),
            "data_version": self.manifest.data_version,
            "effective_source": self.manifest.effective_source,
        }
