"""Whether a forecaster is served: no baseline is better, its intervals have their coverage, and no champion is better.

As in :mod:`aiops_assets.judging.detection.gate`, how much of a difference is luck is estimated by a block bootstrap:
origins of half a day are drawn together, since forecasts from neighbouring origins err alike.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from aiops_assets.judging.bootstrap import Difference, block_means, difference, drawn_weights
from aiops_assets.judging.decision import Decision, Reason, meets_null_model, reject_by_source
from aiops_assets.judging.forecasting.holdout import (
    COVERAGE,
    HORIZON_HOURS,
    TRIVIAL,
    TRIVIAL_NAMES,
    ForecastFigures,
    errors_of,
    figures_of,
)
from aiops_assets.judging.wording import ForecastFacts
from aiops_assets.timeseries.series import Floats

BLOCK = "12h"
ERROR_TOLERANCE = 0.02
"""Share of the mean absolute error: smaller differences nobody would notice, however sure."""
ERROR_GROSS = 0.2
"""A difference so bad that its interval may touch zero, as long as it does not reach to its good side."""
COVERAGE_TOLERANCE = 0.1
"""The share inside an interval may be so much farther from 80 % than the champion's."""
MIN_COVERAGE = 0.65
"""With a smaller share inside, an 80 % interval is wrong. Too much inside is a weakness (a hold-out may be quieter than
the training rows), and against a champion it counts by :data:`COVERAGE_TOLERANCE`."""
TIE = 1e-9
"""Relative differences below it are a tie: where nothing moves, all forecasts are right."""
MIN_ORIGINS = 8
"""No champion is replaced on fewer forecast origins: nothing would show that a challenger is worse."""


@dataclass(frozen=True)
class ForecastComparison:
    """Two forecasters from the same forecast origins.

    Attributes:
        opponent: the model that the challenger is compared with, in words.
        challenger_figures, opponent_figures: figures over all origins.
        error: relative difference of the mean absolute errors (geometric mean over metrics, horizons and origins);
            ``None`` without an origin that an hour follows.
        coverage: difference of how far the share inside the interval is from 80 %.
        inside: the challenger's share inside its interval.
        trivial: trivial forecaster -> relative difference of the challenger's error to its.
    """

    opponent: str
    challenger_figures: ForecastFigures
    opponent_figures: ForecastFigures
    error: Difference | None
    coverage: Difference | None
    inside: Difference | None
    trivial: Mapping[str, Difference]

    @property
    def gaps(self) -> dict[str, Difference]:
        """Name -> difference, as records keep them."""
        named = {
            "mae": self.error,
            "miscoverage": self.coverage,
            **{f"mae_to_{name}": found for name, found in self.trivial.items()},
        }
        return {name: found for name, found in named.items() if found}

    def worse(self) -> list[str]:
        """The figures in which the challenger is worse by more than noise and tolerance."""
        return worse_in(self)

    def decide(self, *, challenger_source: str, champion_source: str | None) -> Decision:
        """Whether the challenger is served, by the rule :func:`decide`."""
        return decide(self, challenger_source=challenger_source, champion_source=champion_source)


def compare(challenger: pd.DataFrame, opponent: pd.DataFrame, who: str, seed: int) -> ForecastComparison:
    """Judge both, and estimate how sure the differences are.

    Args:
        challenger, opponent: frames of ``holdout.KEYS`` and ``holdout.SIDES``, from the same origins.
        who: the opponent, in words.
        seed: makes the draws reproducible.
    """
    keys = ["origin", "metric", "horizon"]
    both = errors_of(challenger).merge(errors_of(opponent), on=keys, suffixes=("", "_theirs"))
    both["log_error"] = np.log(both["error"] / both["error_theirs"])
    blocks, n_blocks = blocks_of(both["origin"])
    weights = drawn_weights(n_blocks, seed)

    def mean(column: str) -> Floats:
        return block_means(both[column].to_numpy(dtype=np.float64), blocks, weights)

    def relative(column: str) -> Difference | None:
        return difference(np.expm1(mean(column)), n_blocks)

    inside, theirs = mean("inside"), mean("inside_theirs")
    trivial = {name: found for name in TRIVIAL if (found := relative(f"log_{name}"))}
    return ForecastComparison(
        opponent=who,
        challenger_figures=figures_of(challenger),
        opponent_figures=figures_of(opponent),
        error=relative("log_error"),
        coverage=difference(np.abs(inside - COVERAGE) - np.abs(theirs - COVERAGE), n_blocks),
        inside=difference(inside, n_blocks),
        trivial=trivial,
    )


def decide(comparison: ForecastComparison, *, challenger_source: str, champion_source: str | None) -> Decision:
    """The rule.

    A forecaster that beats no baseline is never served, nor one that loses to a baseline by more than
    :data:`ERROR_TOLERANCE` (a baseline costs nothing, so no noise excuses), nor one whose intervals are too narrow.
    Against a champion it must not be worse by more than the noise. Sources count as in
    :func:`aiops_assets.judging.detection.gate.decide`.
    """
    if rejected := reject_by_source(challenger_source, champion_source):
        return rejected
    figures = facts_of(comparison)
    if comparison.error is None or not comparison.trivial:
        return Decision(False, Reason("no_origin"))
    beaten = tuple(name for name, found in comparison.trivial.items() if found.value < TIE)
    if not beaten:
        return Decision(False, Reason("worse_than_trivial", figures=figures))
    if lost := tuple(name for name, found in comparison.trivial.items() if found.value > ERROR_TOLERANCE):
        return Decision(False, Reason("loses_to_trivial", lost=lost, figures=figures))
    inside = comparison.inside
    if inside and inside.high < MIN_COVERAGE:
        return Decision(False, Reason("intervals_too_narrow", inside=inside.value, figures=figures))
    won = {"beaten": beaten, "ties": all(found.value > -TIE for found in comparison.trivial.values())}
    if meets_null_model(challenger_source, champion_source):
        saw = None if champion_source is None else challenger_source
        return Decision(True, Reason("first_beats_trivial", saw=saw, **won, figures=figures))
    opponent = comparison.opponent
    if worse := worse_in(comparison):
        return Decision(False, Reason("worse_than_opponent", worse=tuple(worse), opponent=opponent, figures=figures))
    origins = comparison.challenger_figures.origins
    if origins < MIN_ORIGINS:
        return Decision(False, Reason("too_few_origins", origins=origins, figures=figures))
    return Decision(True, Reason("not_worse_and_beats_trivial", opponent=opponent, **won, figures=figures))


def proven_horizons(figures: Mapping[str, float]) -> tuple[str, ...]:
    """The horizons at which a forecaster was better than each baseline: there it may raise an alert on its own.

    ``figures`` are those of :meth:`~aiops_assets.judging.forecasting.holdout.ForecastFigures.as_metrics`.
    """
    return tuple(
        label
        for label in HORIZON_HOURS
        if all(figures.get(f"mae_to_{name}_{label}", np.inf) < 1 - ERROR_TOLERANCE for name in TRIVIAL)
    )


def worse_in(comparison: ForecastComparison) -> list[str]:
    """The figures in which the challenger is worse by more than noise and tolerance."""
    worse = []
    error, coverage = comparison.error, comparison.coverage
    if error and error.low > 0 and error.value > ERROR_TOLERANCE:
        worse.append("mean absolute error")
    elif error and error.low >= 0 and error.value > ERROR_GROSS:
        worse.append("mean absolute error, grossly")
    if coverage and coverage.low > 0 and coverage.value > COVERAGE_TOLERANCE:
        worse.append("coverage")
    return worse


def facts_of(comparison: ForecastComparison) -> ForecastFacts:
    """Figures and differences, as a reason holds them."""
    new, opponent = comparison.challenger_figures, comparison.opponent
    against_champion = None if opponent == TRIVIAL_NAMES else comparison.error
    return ForecastFacts(comparison.trivial, new.ratios, opponent, against_champion, new.coverage)


def blocks_of(origins: pd.Series) -> tuple["np.ndarray[tuple[int], np.dtype[np.intp]]", int]:
    """The number of each origin's block, (n,), and how many blocks there are."""
    numbers, names = pd.factorize(origins.dt.floor(BLOCK), sort=True)
    return numbers.astype(np.intp), len(names)
