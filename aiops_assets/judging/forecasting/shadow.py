"""Challenger beside champion, of forecasters: forecasts from the same origins, and how they compare over windows.

As in :mod:`aiops_assets.judging.detection.shadow`, figures of two windows are not comparable, so comparing over time
means counting windows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from aiops_assets.errors import ModelError
from aiops_assets.judging.bootstrap import Difference, block_means, difference, drawn_weights
from aiops_assets.judging.detection.shadow import CHALLENGER, CHAMPION
from aiops_assets.judging.forecasting.gate import ERROR_TOLERANCE, blocks_of
from aiops_assets.judging.forecasting.holdout import (
    HORIZON_HOURS,
    KEYS,
    SIDES,
    TRIVIAL,
    ForecastFigures,
    errors_of,
    figures_of,
)

COLUMNS = (*KEYS, *(f"{who}_{side}" for who in (CHALLENGER, CHAMPION) for side in SIDES))

MIN_BLOCKS = 3
"""Fewer blocks of half a day show nothing of the noise."""


@dataclass(frozen=True)
class ForecastsSideBySide:
    """Two forecasters on one window.

    Attributes:
        challenger: its figures.
        champion: its figures; ``None`` where its forecasts are missing.
        error: relative difference of the challenger's mean absolute error to the champion's (geometric mean over
            metrics, horizons and origins), below 0 is better; ``None`` without the champion's or without an hour.
        nearer: share of steps at which the challenger's median was nearer to the true value; a tie counts half.
    """

    challenger: ForecastFigures
    champion: ForecastFigures | None
    error: float | None
    nearer: float | None

    @property
    def coverage(self) -> tuple[float | None, float | None]:
        """Challenger's and champion's share of values inside the 80 % interval, mean of the horizons."""
        return covered(self.challenger), covered(self.champion) if self.champion else None


def side_by_side(challenger: pd.DataFrame, champion: pd.DataFrame | None) -> pd.DataFrame:
    """A frame of :data:`COLUMNS`, a row for each origin, metric and step.

    Args:
        challenger, champion: frames of ``holdout.KEYS`` and ``holdout.SIDES``, from the same origins; ``None``: its
            columns hold nothing.

    Raises:
        ModelError: they are not from the same origins.
    """
    frame = challenger[list(KEYS)].reset_index(drop=True)
    same = ["origin", "metric", "step"]
    if champion is not None and not frame[same].equals(champion[same].reset_index(drop=True)):
        raise ModelError("challenger and champion have different forecast origins or metrics", code="other_moments")
    for who, forecasts in ((CHALLENGER, challenger), (CHAMPION, champion)):
        for side in SIDES:
            values = np.nan if forecasts is None else forecasts[side].to_numpy(dtype=np.float64)
            frame[f"{who}_{side}"] = values
    return frame[list(COLUMNS)]


def forecasts_of(frame: pd.DataFrame, who: str) -> pd.DataFrame | None:
    """Forecasts of "challenger" or "champion", of KEYS and SIDES; ``None`` where there are none."""
    sides = {side: frame[f"{who}_{side}"].to_numpy(dtype=np.float64) for side in SIDES}
    if len(frame) and not all(np.isfinite(values).all() for values in sides.values()):
        return None
    return frame[list(KEYS)].assign(**sides)


def compare(frame: pd.DataFrame) -> ForecastsSideBySide:
    """Judge both forecasters of a frame of :data:`COLUMNS`.

    Raises:
        ModelError: the challenger's forecasts are missing.
    """
    challenger, champion = forecasts_of(frame, CHALLENGER), forecasts_of(frame, CHAMPION)
    if challenger is None:
        raise ModelError("the challenger's forecasts are not finite", code="not_finite")
    if champion is None:
        return ForecastsSideBySide(figures_of(challenger), None, None, None)
    keys = ["origin", "metric", "horizon"]
    both = errors_of(challenger).merge(errors_of(champion), on=keys, suffixes=("", "_theirs"))
    log_error = np.log(both["error"].to_numpy(dtype=np.float64) / both["error_theirs"].to_numpy(dtype=np.float64))
    return ForecastsSideBySide(
        challenger=figures_of(challenger),
        champion=figures_of(champion),
        error=float(np.expm1(log_error.mean())) if len(both) else None,
        nearer=_nearer(challenger, champion),
    )


def summary_of(windows: Sequence[tuple[bool, ForecastsSideBySide]]) -> str:
    """One sentence on all windows kept; of each whether two different models were compared, and the comparison."""
    kept = f"{len(windows)} window{'s' * (len(windows) != 1)}"
    pairs = [one for two, one in windows if two and one.champion is not None]
    if not pairs:
        return f"{kept}, none with two models: there is nothing to compare yet"
    parts = []
    errors = [one.error for one in pairs if one.error is not None]
    if errors:
        better, worse = (sum(sign * error > ERROR_TOLERANCE for error in errors) for sign in (-1, 1))
        mean = float(np.expm1(np.log1p(errors).mean()))
        parts.append(
            f"the challenger's error was smaller in {better}, larger in {worse} and alike (within "
            f"{ERROR_TOLERANCE:.0%}) in {len(errors) - better - worse}, by {mean:+.1%} on average"
        )
    nearer = [one.nearer for one in pairs if one.nearer is not None]
    if nearer:
        parts.append(f"it was nearer to the actual value at {np.mean(nearer):.1%} of the steps")
    shares = [one.coverage for one in pairs]
    inside = [(new, old) for new, old in shares if new is not None and old is not None]
    if inside:
        new, old = np.mean(inside, axis=0)
        parts.append(f"inside the 80 % intervals: {new:.1%} against {old:.1%} of the values")
    return ": ".join([f"{kept}, {len(pairs)} with two models", *(["; ".join(parts)] if parts else [])])


def covered(figures: ForecastFigures) -> float | None:
    """Share of values inside the 80 % interval, mean of the horizons that there are."""
    return float(np.mean(list(figures.coverage.values()))) if figures.coverage else None


def noise(forecasts: pd.DataFrame, seed: int) -> dict[str, Difference]:
    """A forecaster's own figures, each with the interval of the draws by which the gate compares two.

    Horizons of fewer than three blocks of half a day are left out.

    Args:
        forecasts: a frame of ``holdout.KEYS`` and ``holdout.SIDES``.
        seed: makes the draws reproducible.
    """
    errors = errors_of(forecasts)
    if errors.empty:
        return {}
    numbers, n_numbers = blocks_of(errors["origin"])
    weights = drawn_weights(n_numbers, seed)
    found = {}
    for label in HORIZON_HOURS:
        of = (errors["horizon"] == label).to_numpy()
        here, n_blocks = numbers[of], len(np.unique(numbers[of]))
        if n_blocks < MIN_BLOCKS:
            continue
        logarithms = {f"mae_to_{name}_{label}": errors[f"log_{name}"] for name in TRIVIAL}
        for figure, column in {**logarithms, f"coverage_{label}": errors["inside"]}.items():
            draws = block_means(column.to_numpy(dtype=np.float64)[of], here, weights)
            found[figure] = difference(np.exp(draws) if figure in logarithms else draws, n_blocks)
    return {figure: interval for figure, interval in found.items() if interval}


def by_metric(forecasts: pd.DataFrame) -> dict[str, Mapping[str, float]]:
    """Metric -> trivial forecaster -> mean absolute error to its, all horizons together; below 1 is better."""
    means = errors_of(forecasts).groupby("metric", sort=False)[[f"log_{name}" for name in TRIVIAL]].mean()
    return {
        str(metric): {name: float(np.exp(row[f"log_{name}"])) for name in TRIVIAL} for metric, row in means.iterrows()
    }


def interval_sides(forecasts: pd.DataFrame) -> pd.DataFrame:
    """On which side of its 80 % interval each true value is.

    Returns:
        ``metric``, ``step``, and 0 or 1 ``below``, ``inside``, ``above``; steps without a sample are left out.
    """
    rows = forecasts[forecasts["actual"].notna()]
    below, above = rows["actual"] < rows["lower"], rows["actual"] > rows["upper"]
    sides = {"below": below, "inside": ~(below | above), "above": above}
    return rows[["metric", "step"]].assign(**{name: side.astype(np.float64) for name, side in sides.items()})


def _nearer(challenger: pd.DataFrame, champion: pd.DataFrame) -> float | None:
    known = challenger["actual"].notna().to_numpy()
    if not known.any():
        return None
    actual = challenger["actual"].to_numpy(dtype=np.float64)[known]
    new, old = (np.abs(actual - one["value"].to_numpy(dtype=np.float64)[known]) for one in (challenger, champion))
    return float(((new < old) + 0.5 * (new == old)).mean())
