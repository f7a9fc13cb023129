"""The subject of a model card: a version, its records, and its predictions for the newest hold-out."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from aiops_assets.families.contract import ModelSpec
from aiops_assets.judging.bootstrap import Difference
from aiops_assets.storage.records import EvaluationRecord, Manifest, TrainingSetRecord
from aiops_assets.storage.shadow import ShadowRecord


@dataclass(frozen=True)
class Subject:
    """The version that a card describes.

    Attributes:
        spec: the model.
        manifest, manifest_sha256: manifest of the version, and its SHA-256 as recorded outside its directory.
        directory: path or URL of the version, for people.
        evaluation: newest evaluation; ``None``: the version was never judged.
        training_set: record of the training set; ``None``: it was removed.
        scores: shadow scores in which the version is the challenger, with the shadow columns of its task; ``None``:
            there are none.
        shadow: record of these scores.
        seed: seed of the bootstrap.
    """

    spec: ModelSpec
    manifest: Manifest
    manifest_sha256: str
    directory: str
    evaluation: EvaluationRecord | None
    training_set: TrainingSetRecord | None
    scores: pd.DataFrame | None
    shadow: ShadowRecord | None
    seed: int

    @property
    def title(self) -> str:
        """Title of the card's pictures."""
        return f"{self.manifest.name} version {self.manifest.version}"

    @property
    def figures(self) -> Mapping[str, float]:
        """Figures of the newest evaluation or, without one, of the fit."""
        return self.evaluation.figures if self.evaluation else self.manifest.metrics

    @property
    def gaps(self) -> dict[str, Difference]:
        """Figure -> difference to the opponent, of the figures on which the gate decides."""
        found = self.evaluation.gaps if self.evaluation else {}
        return {name: Difference(gap.value, gap.low, gap.high) for name, gap in found.items()}

    @property
    def opponent(self) -> str:
        """Name of the opponent in the evaluation; empty without one."""
        return self.evaluation.opponent if self.evaluation else ""

    @property
    def opponent_figures(self) -> Mapping[str, float]:
        """Figures of the opponent in the evaluation; empty without one."""
        return self.evaluation.opponent_figures if self.evaluation else {}

    @property
    def opponent_scores(self) -> pd.DataFrame | None:
        """The shadow scores, if their champion is the evaluation's opponent; else ``None``."""
        shadow = self.shadow
        if shadow is None or shadow.note or self.evaluation is None:
            return None
        return self.scores if self.evaluation.opponent == f"champion version {shadow.champion}" else None
