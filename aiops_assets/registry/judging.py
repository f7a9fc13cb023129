"""Judges a challenger: its opponent, the predictions of both for the hold-out, and the decision."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import pandas as pd

from aiops_assets.families.contract import Model, Prediction
from aiops_assets.judging.bootstrap import Difference
from aiops_assets.judging.decision import Decision, Reason, meets_null_model, replace_damaged
from aiops_assets.judging.task import Comparison, HoldoutFigures
from aiops_assets.registry.champions import veto_on
from aiops_assets.registry.version import Version
from aiops_assets.storage.records import ChampionMove, EvaluationRecord, Gap, Manifest

NOBODY = "none"


@dataclass(frozen=True)
class Verdict:
    """The decision about a challenger.

    Attributes:
        decision: whether it is promoted, and why.
        champion: the version that was champion; ``None``: there was none.
        figures: figures of the challenger.
        comparison: comparison with the opponent; ``None`` where the decision needs none.
    """

    decision: Decision
    champion: int | None
    figures: HoldoutFigures
    comparison: Comparison | None

    @property
    def opponent(self) -> str:
        """Name of the challenger's opponent."""
        return self.comparison.opponent if self.comparison else NOBODY

    @property
    def opponent_figures(self) -> Mapping[str, float]:
        """Figures of the opponent by name; empty where there was none."""
        return self.comparison.opponent_figures.as_metrics() if self.comparison else {}


def judge_challenger(
    challenger: Version[Model, Prediction], rows: pd.DataFrame, data_version: str, seed: int
) -> Verdict:
    """Decide whether a version becomes champion.

    Args:
        challenger: the version to judge; the champion is that of the same store.
        rows: rows of the training set, train and hold-out, because a window detector also reads earlier rows.
        data_version: data version of these rows.
        seed: seed of the bootstrap.

    Raises:
        IntegrityError: the challenger differs from its recorded digest, or the champion record cannot be read.
        ModelError: the challenger cannot be loaded here.
    """
    family = challenger.family
    prediction = challenger.predict_holdout(rows, data_version)
    record = challenger.served.champion(challenger.name)
    champion = record.champion if record else None
    manifest = challenger.manifest
    decision = _without_comparison(challenger, manifest, champion)
    if decision:
        return Verdict(decision, champion.version if champion else None, family.task.figures(prediction, rows), None)

    source = champion.effective_source if champion else None
    if champion is None or meets_null_model(manifest.effective_source, source):
        opponent, who = family.baseline(rows), family.task.baseline_name
    else:
        opponent = challenger.beside(champion).predict_holdout(rows, data_version)
        who = f"champion version {champion.version}"
    comparison = family.task.compare(rows, prediction, opponent, who, seed)
    decision = comparison.decide(challenger_source=manifest.effective_source, champion_source=source)
    return Verdict(decision, champion.version if champion else None, comparison.challenger_figures, comparison)


def evaluation_record(
    verdict: Verdict, manifest: Manifest, *, data_version: str, effective_source: str, dagster_run_id: str
) -> EvaluationRecord:
    """The record of a verdict that is stored."""
    comparison, words = verdict.comparison, verdict.decision.because.words
    return EvaluationRecord(
        name=manifest.name,
        version=manifest.version,
        when=datetime.now(UTC),
        dagster_run_id=dagster_run_id,
        data_version=data_version,
        effective_source=effective_source,
        holdout_rows=verdict.figures.rows,
        anomalous_rows=verdict.figures.anomalies,
        figures=verdict.figures.as_metrics(),
        opponent=verdict.opponent,
        opponent_figures=dict(verdict.opponent_figures),
        gaps={name: _gap(found) for name, found in comparison.gaps.items()} if comparison else {},
        decision="promote" if verdict.decision.promote else "keep",
        equal=verdict.decision.equal,
        reason=words.text,
        code=verdict.decision.because.code,
        head=words.head,
        stated_figures=words.figures,
    )


def _without_comparison(
    challenger: Version[Model, Prediction], manifest: Manifest, champion: ChampionMove | None
) -> Decision | None:
    """The decision where none of the figures matters; ``None``: the figures decide."""
    if champion is None:
        return None
    if champion.manifest_sha256 == challenger.digest:
        return Decision(False, Reason("already_champion", version=manifest.version), equal=True)
    if veto := veto_on(challenger.served, challenger.name, manifest.version):
        return Decision(False, veto)
    if damage := challenger.beside(champion).load_problem():
        return replace_damaged(
            damage, challenger_source=manifest.effective_source, champion_source=champion.effective_source
        )
    theirs = challenger.beside(champion).manifest
    if (theirs.cluster, theirs.files) == (manifest.cluster, manifest.files):
        return Decision(False, Reason("same_model", champion=champion.version), equal=True)
    return None


def _gap(difference: Difference) -> Gap:
    return Gap(value=difference.value, low=difference.low, high=difference.high)
