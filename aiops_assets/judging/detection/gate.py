"""Which of two models is served: the challenger, unless it is worse by more than the noise.

Both predict the same hold-out rows. How much of a difference is luck is estimated by a paired block bootstrap (Kuensch,
"The jackknife and the bootstrap for general stationary observations", 1989): whole days of pods are drawn anew, since
rows of one day are alike, and both models are judged on each draw. The challenger is rejected when the 95 % interval of
a difference lies wholly on the bad side and the difference is more than a trifle. A first version is rejected too when
the null model ranks better by however little: what learns nothing needs no proof to be preferred. Against a champion
the challenger is also rejected when the interval of a gross difference only touches zero, and when the hold-out is too
small to decide.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from aiops_assets.judging.bootstrap import Difference, block_shares, difference, drawn_weights
from aiops_assets.judging.decision import Decision, Reason, meets_null_model, reject_by_source
from aiops_assets.judging.detection.figures import Figures, judge
from aiops_assets.judging.wording import DetectionFacts, Measured
from aiops_assets.learners.contracts import Scored
from aiops_assets.timeseries.series import Floats

AP_TOLERANCE, ALARM_TOLERANCE = 0.02, 0.005
"""Differences that nobody would notice, however sure."""
AP_GROSS, ALARM_GROSS = 0.15, 0.02
"""Differences so bad that the interval may touch zero, as long as it does not reach to its good side."""
MIN_ANOMALOUS, MIN_ANOMALOUS_BLOCKS, MIN_NORMAL = 10, 5, 100
"""No champion is replaced on fewer anomalous rows, blocks with an anomalous row, or normal rows: nothing would show
that a challenger is worse."""
MIN_OVER_CHANCE = 0.1
"""A first version whose average precision is so far above guessing is better than guessing, however few anomalous rows
show it."""
BLOCKS = ("1D", "6h", "1h")
MIN_BLOCKS = 10
"""Fewer blocks show nothing of the noise: then shorter ones are taken."""
MAX_LEVELS = 2000
"""Of more distinct scores of anomalous rows, neighbours count as one."""
NULL_MODEL = "the null model"


@dataclass(frozen=True)
class Comparison:
    """Two models on the same rows.

    Attributes:
        opponent: the model that the challenger is compared with, in words.
        challenger_figures, opponent_figures: figures over all rows.
        average_precision: its difference; ``None`` without anomalous rows.
        false_alarm_rate: the same of the share of normal rows with an alert; ``None`` without normal rows.
        over_chance: the challenger's average precision minus the share of anomalous rows, which guessing gets.
        anomalous_blocks: how many blocks have an anomalous row.
    """

    opponent: str
    challenger_figures: Figures
    opponent_figures: Figures
    average_precision: Difference | None
    false_alarm_rate: Difference | None
    over_chance: Difference | None
    anomalous_blocks: int

    @property
    def gaps(self) -> dict[str, Difference]:
        """Name -> difference, as records keep them."""
        named = {"average_precision": self.average_precision, "false_alarm_rate": self.false_alarm_rate}
        return {name: found for name, found in named.items() if found}

    @property
    def too_small(self) -> bool:
        """Whether the hold-out is too small for a champion to be replaced by it."""
        figures = self.challenger_figures
        return (
            figures.anomalies < MIN_ANOMALOUS
            or self.anomalous_blocks < MIN_ANOMALOUS_BLOCKS
            or figures.rows - figures.anomalies < MIN_NORMAL
        )

    def worse(self) -> list[str]:
        """The figures in which the challenger is worse; gross differences count although the interval ends at zero."""
        return worse_in(self, gross=True)

    def decide(self, *, challenger_source: str, champion_source: str | None) -> Decision:
        """Whether the challenger is served, by the rule :func:`decide`."""
        return decide(self, challenger_source=challenger_source, champion_source=champion_source)


def compare(rows: pd.DataFrame, challenger: Scored, opponent: Scored, who: str, seed: int) -> Comparison:
    """Judge both models, and estimate how sure the differences are.

    Args:
        rows: hold-out rows with ``timestamp``, ``pod``, ``source``, ``label`` and ``kind``.
        challenger, opponent: their predictions for these rows, in this order.
        who: the opponent, in words.
        seed: makes the draws reproducible.
    """
    truth = rows["label"].to_numpy() == 1
    blocks, weights = _draws(rows, seed)
    new, old = (_average_precisions(scored.score, truth, blocks, weights) for scored in (challenger, opponent))
    alarms = [block_shares(scored.alert, ~truth, blocks, weights) for scored in (challenger, opponent)]
    chance = block_shares(truth, np.ones_like(truth), blocks, weights)
    anomalous, normal = (len(np.unique(blocks[among])) for among in (truth, ~truth))
    return Comparison(
        opponent=who,
        challenger_figures=judge(challenger, rows),
        opponent_figures=judge(opponent, rows),
        average_precision=difference(new - old, anomalous),
        false_alarm_rate=difference(alarms[0] - alarms[1], normal),
        over_chance=difference(new - chance, anomalous) if truth.any() else None,
        anomalous_blocks=anomalous,
    )


def noise(rows: pd.DataFrame, scored: Scored, seed: int) -> tuple[Difference | None, Difference | None]:
    """A model's own average precision and false alarm rate, each with the interval of the draws that judge pairs.

    Intervals of two models decide less than that of their difference: rows that are hard for one are hard for both.
    """
    truth = rows["label"].to_numpy() == 1
    blocks, weights = _draws(rows, seed)
    precision = _average_precisions(scored.score, truth, blocks, weights)
    alarms = block_shares(scored.alert, ~truth, blocks, weights)
    anomalous, normal = (len(np.unique(blocks[among])) for among in (truth, ~truth))
    return difference(precision, anomalous), difference(alarms, normal)


def decide(comparison: Comparison, *, challenger_source: str, champion_source: str | None) -> Decision:
    """The rule. The opponent is the champion, or the null model where :func:`meets_null_model` says so.

    A version that saw only generated data never replaces one that saw a real cluster, and the first that saw
    a real cluster meets the null model only: injected anomalies show little of what is normal there. A champion stays
    where the hold-out is too small to decide; a first version need not wait for more, since nothing is served.

    Args:
        comparison: on the same hold-out.
        challenger_source, champion_source: where their rows really came from; anything but "synthetic" has
            seen a real cluster. ``None``: there is no champion.
    """
    if rejected := reject_by_source(challenger_source, champion_source):
        return rejected
    figures = facts_of(comparison)
    meets_null = meets_null_model(challenger_source, champion_source)
    if comparison.average_precision is None and not meets_null:
        return Decision(False, Reason("no_anomalous_row"))
    worse = worse_in(comparison, gross=not meets_null)
    chance = comparison.over_chance
    saw = None if champion_source is None else challenger_source
    if meets_null:
        if comparison.average_precision is None:
            if worse:
                return Decision(False, Reason("worse_false_alarms", figures=figures))
            return Decision(True, Reason("first_by_false_alarms", saw=saw, figures=figures))
        if chance and chance.low <= 0 and chance.value < MIN_OVER_CHANCE:
            return Decision(False, Reason("not_better_than_guessing", over_chance=chance, figures=figures))
    opponent = comparison.opponent
    if worse:
        return Decision(False, Reason("worse_than_opponent", worse=tuple(worse), opponent=opponent, figures=figures))
    if meets_null:
        if comparison.average_precision and comparison.average_precision.value < 0:
            return Decision(False, Reason("loses_to_null_model", figures=figures))
        return Decision(True, Reason("first_not_worse", saw=saw, opponent=opponent, figures=figures))
    if comparison.too_small:
        known, blocks = comparison.challenger_figures, comparison.anomalous_blocks
        counts = {"rows": known.rows, "anomalous": known.anomalies, "blocks": blocks}
        return Decision(False, Reason("holdout_too_small", **counts, figures=figures))
    return Decision(True, Reason("not_worse", opponent=opponent, figures=figures))


def worse_in(comparison: Comparison, *, gross: bool) -> list[str]:
    """The figures in which the challenger is worse by more than noise and tolerance.

    ``gross``: also those in which a gross difference has an interval that ends at zero. Few and equal draws end
    there; an interval on both sides of zero two equals have too, in one hold-out of five with 12 anomalous rows.
    """
    worse = []
    precision, alarms = comparison.average_precision, comparison.false_alarm_rate
    if precision:
        if precision.high < 0 and precision.value < -AP_TOLERANCE:
            worse.append("average precision")
        elif gross and precision.high <= 0 and precision.value < -AP_GROSS:
            worse.append("average precision, grossly")
    if alarms:
        if alarms.low > 0 and alarms.value > ALARM_TOLERANCE:
            worse.append("false alarms")
        elif gross and alarms.low >= 0 and alarms.value > ALARM_GROSS:
            worse.append("false alarms, grossly")
    return worse


def facts_of(comparison: Comparison) -> DetectionFacts:
    """Figures of both and their differences, as a reason holds them."""
    new, old = comparison.challenger_figures, comparison.opponent_figures
    return DetectionFacts(
        _measured(new.average_precision, old.average_precision, comparison.average_precision),
        _measured(new.false_alarm_rate, old.false_alarm_rate, comparison.false_alarm_rate),
    )


def blocks_of(rows: pd.DataFrame) -> npt.NDArray[np.intp]:
    """The number of each row's block, (n_rows,): a UTC day of a pod, or less where that makes too few."""
    numbers: npt.NDArray[np.intp] = np.zeros(len(rows), dtype=np.intp)
    for length in BLOCKS:
        keys = [rows["source"], rows["pod"], rows["timestamp"].dt.floor(length)]
        numbers = rows.groupby(keys, observed=True, sort=True).ngroup().to_numpy().astype(np.intp)
        if len(numbers) and numbers.max() + 1 >= MIN_BLOCKS:
            break
    return numbers


def _draws(rows: pd.DataFrame, seed: int) -> tuple[npt.NDArray[np.intp], Floats]:
    """The block of each row, and how often each draw takes each block: (n_draws, n_blocks)."""
    blocks = blocks_of(rows)
    return blocks, drawn_weights(int(blocks.max()) + 1 if len(blocks) else 0, seed)


def _average_precisions(
    score: Floats, truth: npt.NDArray[np.bool_], blocks: npt.NDArray[np.intp], weights: Floats
) -> Floats:
    """Average precision under each draw, NaN for a draw without anomalous rows: (n_draws,).

    sum over thresholds of (recall - recall before) x precision. Only the scores of anomalous rows are thresholds that
    count; rows are counted once a block and threshold, and a draw is a matrix product.
    """
    levels = np.unique(score[truth])[::-1]
    if len(levels) > MAX_LEVELS:
        levels = levels[np.linspace(0, len(levels) - 1, MAX_LEVELS).round().astype(int)]
    found = _counted(score[truth], blocks[truth], levels, weights)
    wrong = _counted(score[~truth], blocks[~truth], levels, weights)
    all_found = found[:, -1:] if len(levels) else np.zeros((len(weights), 1))
    with np.errstate(invalid="ignore"):
        recall = found / all_found
        precision = found / (found + wrong)
    gained = np.diff(recall, axis=1, prepend=0.0)
    result: Floats = np.where(gained > 0, gained * np.nan_to_num(precision), 0.0).sum(axis=1)
    return np.where(all_found[:, 0] > 0, result, np.nan)


def _counted(score: Floats, blocks: npt.NDArray[np.intp], levels: Floats, weights: Floats) -> Floats:
    """How many drawn rows score at least each level: (n_draws, n_levels); levels fall."""
    n_blocks, n_levels = weights.shape[1], len(levels)
    first = np.searchsorted(-levels, -score, side="left")
    place = blocks * (n_levels + 1) + first
    counts = np.bincount(place, minlength=n_blocks * (n_levels + 1)).reshape(n_blocks, n_levels + 1)
    result: Floats = weights @ np.cumsum(counts, axis=1)[:, :n_levels].astype(np.float64)
    return result


def _measured(new: float | None, old: float | None, found: Difference | None) -> Measured | None:
    return Measured(new, old, found) if found and new is not None and old is not None else None
