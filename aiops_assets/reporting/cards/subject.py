"""What a model card is of: a version, its records, and what it said of the newest hold-out."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from aiops_assets.families.contract import ModelSpec
from aiops_assets.judging.bootstrap import Difference
from aiops_assets.storage.records import EvaluationRecord, Manifest, TrainingSetRecord
from aiops_assets.storage.shadow import ShadowRecord


@dataclass(frozen=True)
class Subject:
    """The version that a card is of.

    Attributes:
        spec: of the model.
        manifest, manifest_sha256: of the version; the digest as recorded outside its directory.
        directory: of the version, for people.
        evaluation: ``None``: it was never judged.
        training_set: ``None``: it is not there any more.
        scores: of ``models.shadow.COLUMNS``, of a forecaster ``models.forecast_shadow.COLUMNS``, in which it is the
            challenger; ``None``: none are kept.
        shadow: what the scores are of.
        seed: of the bootstrap.
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
        """Of its pictures."""
        return f"{self.manifest.name} version {self.manifest.version}"

    @property
    def figures(self) -> Mapping[str, float]:
        """Of the newest evaluation, or else of the fit."""
        return self.evaluation.figures if self.evaluation else self.manifest.metrics

    @property
    def gaps(self) -> dict[str, Difference]:
        """Figure -> difference to the opponent, of the figures that the gate looks at."""
        found = self.evaluation.gaps if self.evaluation else {}
        return {name: Difference(gap.value, gap.low, gap.high) for name, gap in found.items()}

    @property
    def opponent(self) -> str:
        """Of the evaluation, in words; empty without one."""
        return self.evaluation.opponent if self.evaluation else ""

    @property
    def opponent_figures(self) -> Mapping[str, float]:
        """Of the evaluation; empty without one."""
        return self.evaluation.opponent_figures if self.evaluation else {}

    @property
    def opponent_scores(self) -> pd.DataFrame | None:
        """The scores, when it is the evaluation's opponent that stands beside it there."""
        shadow = self.shadow
        if shadow is None or shadow.note or self.evaluation is None:
            return None
        return self.scores if self.evaluation.opponent == f"champion version {shadow.champion}" else None
