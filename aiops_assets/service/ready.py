"""A model that the service may use."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from aiops_assets.families.contract import Family, ModelSpec
from aiops_assets.storage.records import ChampionMove, Manifest


@dataclass(frozen=True)
class ReadyModel:
    """A version that passed its smoke inference.

    Attributes:
        spec: the model.
        champion: entry of the champion record: version, digest, source.
        manifest: manifest of the version.
        model: the model as read by its family.
        loaded: time of loading, UTC.
    """

    spec: ModelSpec
    champion: ChampionMove
    manifest: Manifest
    model: Any
    loaded: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def family(self) -> Family[Any, Any]:
        """Family of the model."""
        return self.spec.family

    @cached_property
    def origin(self) -> dict[str, str]:
        """Model, version, data version and source, as in every answer."""
        return {
            "model_name": self.spec.name,
            "model_version": str(self.champion.version),
            "data_version": self.manifest.data_version,
            "effective_source": self.manifest.effective_source,
        }
