"""Whether the newest sample of a series fits to those before it, for any metric, also one nobody knows.

A robust deviation, from ten samples on: median and scaled median absolute deviation (Hampel 1974), with a bound that is
higher the fewer samples there are, and only beyond anything seen before; before the newest three, and before the newest
quarter, so that a new level is told until it has lasted that long. From fifty regular samples on an
ensemble-predictor is fitted on all but the newest ones too and asked for those, but not of constants and small counts.
Of a counter the increments are judged, so that it may rise, and start again at 0.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pandas as pd

from aiops_assets.engine.samples import Series
from aiops_assets.errors import DataError, ModelError
from aiops_assets.learners.contracts import Scored
from aiops_assets.learners.detectors.ensemble import EnsemblePredictor
from aiops_assets.timeseries.frames import LEAST_STEP_SECONDS, MOST_STEP_SECONDS
from aiops_assets.timeseries.series import Floats

LEAST_SAMPLES = 10
LEAST_FOR_ENSEMBLE = 50
MOST_SAMPLES = 4032
"""Two weeks of five-minute samples: older ones say little of what is usual now."""
NEWEST = 3
"""Samples that may belong to what is judged, and so say nothing of what is usual."""
LEAST_FOR_NEWEST = 15
NEW_LEVEL_SHARE = 0.25
"""Of the samples, the newest that may be a new level: a client that polls sees it if what it sends reaches back four
times as long as it waits."""
ABRUPT_SHARE, ABRUPT_WITHIN = 0.5, 2
"""A new level came within so many samples by at least that share: ramps and seasons go there slowly."""
SPREADS, SPREADS_OF_FEW = 6.0, 60.0
"""The bound in robust standard deviations is the one, and the other divided by the number of samples: on normal noise
less than one of a thousand newest samples is beyond it, also with ten samples."""
BEYOND_RANGE = 0.5
"""A newest sample is also beyond all before it, by that share of their range: bursts that were there are usual."""
LEAST_SHARE = 0.02
"""Of the median: a smaller standard deviation is that of a constant."""
SMALL_COUNT = 20.0
HUGE = 1e100
"""Sums and squares of larger values may be infinite."""
REGULAR_SHARE, REGULAR_WITHIN = 0.8, 0.25
ALERT_RATIO, ALERT_RATIO_OF_FEW = 1.5, 75.0
"""Times the 99 % quantile of earlier scores that an ensemble's score must be beside its own alert: the one, and the
other divided by the number of samples. Fitted on fifty samples, and asked for three, the alert alone comes on one
healthy series of ten; so it comes on less than one of a hundred."""
TREND_SAMPLES, TREND_HOURS, TREND_SURE = 72, 0.5, 0.99


Times = npt.NDArray[np.datetime64]


@dataclass(frozen=True)
class Deviation:
    """A newest sample that does not fit.

    Attributes:
        value, expected: of the newest sample, in the unit as sent.
        time: of the newest sample, UTC.
        excess: how far beyond the bound, not negative.
        lasting: the newest three samples all are on the same side, away from what was usual.
        learned: an ensemble is surer of it than the robust deviation.
        samples: how many it was judged against.
    """

    value: float
    expected: float
    time: datetime
    excess: float
    lasting: bool
    learned: bool
    samples: int


def newest_deviation(series: Series, counter: bool = False) -> Deviation | None:
    """How far the newest sample is from what those before it let expect; ``None`` where it fits, or too few tell.

    ``counter``: it is known to be one; otherwise one is told by its rising.
    """
    values, times = series.values[-MOST_SAMPLES:], series.times[-MOST_SAMPLES:]
    if len(values) < LEAST_SAMPLES:
        return None
    largest = float(np.abs(values).max())
    unit = largest if largest > HUGE else 1.0
    values = values / unit
    last = float(values[-1])
    counter = counter or _is_counter(values[:-1])
    if counter:
        steps = np.diff(values)
        values, times = np.where(steps < 0, np.median(steps), steps), times[1:]
    before = values[: -NEWEST if len(values) >= LEAST_FOR_NEWEST else -1]
    excess = _robust_excess(float(values[-1]), before)
    older = values[: len(values) - int(NEW_LEVEL_SHARE * len(values))]
    if LEAST_SAMPLES <= len(older) < len(before) and _is_abrupt(values, older):
        of_level = _robust_excess(float(values[-1]), older)
        if of_level is not None and (excess is None or of_level > excess):
            before, excess = older, of_level
    middle = float(np.median(before))
    learned = False
    if len(values) >= LEAST_FOR_ENSEMBLE and _is_regular(times) and not _is_quiet(before):
        of_ensemble = _learned_excess(values, times, middle)
        learned = of_ensemble is not None and (excess is None or of_ensemble > excess)
        excess = of_ensemble if learned else excess
    if excess is None:
        return None
    low, high = float(before.min()), float(before.max())
    newest = values[-NEWEST:]
    lasting = len(before) <= len(values) - NEWEST and bool((newest > high).all() or (newest < low).all())
    expected = unit * (last - float(values[-1]) + middle if counter else middle)
    value, time = float(series.values[-1]), newest_time(series)
    return Deviation(value, expected, time, excess, lasting, learned, len(before))


def newest_time(series: Series) -> datetime:
    """When its newest sample was taken, UTC."""
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=int(series.times[-1].astype(np.int64)))


def alert_excess(scored: Scored, row: int) -> float:
    """How far an alerting row of a window detector is beyond the scores before it: twice the binary logarithm of the
    ratio to their 99 % quantile, so that eight times as much is critical; 0 at least.
    """
    return max(0.0, 2.0 * float(np.log2(max(_ratio(scored, row), 1.0))))


def rise_per_hour(series: Series) -> float | None:
    """How fast a series surely rises, per hour in its unit: the lower bound of the slope of Theil and Sen.

    ``None`` where it does not, or fewer than ten samples in half an hour tell.
    """
    from scipy.stats import theilslopes

    values, times = series.values[-TREND_SAMPLES:], series.times[-TREND_SAMPLES:]
    hours = (times - times[0]).astype("timedelta64[us]").astype(np.int64) / 3.6e9
    if len(values) < LEAST_SAMPLES or hours[-1] < TREND_HOURS or np.abs(values).max() > HUGE:
        return None
    low = float(theilslopes(values, hours, alpha=TREND_SURE)[2])
    return low if low > 0 else None


def _robust_excess(value: float, before: Floats) -> float | None:
    from scipy.stats import median_abs_deviation

    middle = float(np.median(before))
    least = max(LEAST_SHARE * abs(middle), float(np.finfo(np.float64).tiny))
    if _is_integer(before):
        least = max(least, 1.0, float(np.sqrt(abs(middle))))  # of counts, as Poisson's
    spread = max(float(median_abs_deviation(before, scale="normal")), least)
    bound = SPREADS + SPREADS_OF_FEW / len(before)
    low, high = float(before.min()), float(before.max())
    beyond = max(value - high, low - value)
    away = abs(value - middle) / spread
    if not away > bound or beyond <= BEYOND_RANGE * (high - low):
        return None
    return 2.0 * float(np.log2(min(away / bound, 1e6)))


def _is_abrupt(values: Floats, older: Floats) -> bool:
    """Whether the newest sample is where it is by a step, and not by a slow change, since the older samples."""
    since = values[len(older) - ABRUPT_WITHIN :]
    steps = np.abs(since[ABRUPT_WITHIN:] - since[:-ABRUPT_WITHIN])
    return bool(steps.max() >= ABRUPT_SHARE * abs(float(values[-1]) - float(np.median(older))))


def _learned_excess(values: Floats, times: Times, middle: float) -> float | None:
    frame = pd.DataFrame({"timestamp": pd.to_datetime(times, utc=True), "value": values})
    detector = EnsemblePredictor(("value",))
    try:
        detector.fit([frame.iloc[:-NEWEST]])
        scored = detector.score(frame)
    except (DataError, ModelError):
        return None
    bound = ALERT_RATIO + ALERT_RATIO_OF_FEW / len(values)
    best = None
    for row in range(len(values) - NEWEST, len(values)):
        ratio = _ratio(scored, row)
        if not scored.alert[row] or ratio < bound:
            continue
        if abs(values[-1] - values[row]) > abs(values[-1] - middle):
            return None  # it was off, and has come back: that is what the newest alert is about, if there is one
        best = max(best or 0.0, 2.0 * float(np.log2(ratio / bound)))
    return best


def _ratio(scored: Scored, row: int) -> float:
    """A row's score beside the 99 % quantile of those before the newest."""
    before = scored.score[:-NEWEST]
    usual = float(np.quantile(before, 0.99)) if len(before) else 0.0
    return float(scored.score[row]) / max(usual, 1.0)


def _is_counter(values: Floats) -> bool:
    steps = np.diff(values)
    return bool((values >= 0).all() and (steps >= 0).all() and (steps > 0).mean() > 0.5)


def _is_quiet(values: Floats) -> bool:
    """A constant, or counts of a few: nothing to learn from."""
    if np.ptp(values) == 0:
        return True
    return _is_integer(values) and float(np.median(np.abs(values))) < SMALL_COUNT


def _is_integer(values: Floats) -> bool:
    return bool((values == np.rint(values)).all())


def _is_regular(times: Times) -> bool:
    steps = np.diff(times).astype("timedelta64[us]").astype(np.int64) / 1e6
    usual = float(np.median(steps))
    if not LEAST_STEP_SECONDS <= usual <= MOST_STEP_SECONDS:
        return False
    return bool((np.abs(steps - usual) <= REGULAR_WITHIN * usual).mean() >= REGULAR_SHARE)
