"""Compares the newest sample of a series with those before it, for any metric, also for unknown ones.

From ten samples on, a robust deviation is used: median and scaled median absolute deviation (Hampel 1974), with a
threshold that is higher the fewer samples there are, and only for values outside the range of all earlier ones. The
reference is the samples before the newest three, and those before the newest quarter, so that a new level is reported
until it has lasted that long. From fifty regular samples on, an ensemble-predictor is also fitted on all but the newest
samples and scores these, except for constants and small counts. Of a counter the increments are judged, so that it may
rise, and start again at 0.
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
from aiops_assets.timeseries.frames import MAX_STEP_SECONDS, MIN_STEP_SECONDS
from aiops_assets.timeseries.series import Floats

MIN_SAMPLES = 10
MIN_FOR_ENSEMBLE = 50
MAX_SAMPLES = 4032
"""Most samples that are used, two weeks of five-minute ones: older ones say little about what is expected now."""
NEWEST = 3
"""Newest samples that may belong to the anomaly and are no reference for what is expected."""
MIN_FOR_NEWEST = 15
NEW_LEVEL_SHARE = 0.25
"""Share of the newest samples that may be a new level: a client that polls sees it if its samples reach back four
times its polling interval."""
ABRUPT_SHARE, ABRUPT_WITHIN = 0.5, 2
"""A level change is abrupt if this share of it happened within this number of samples; ramps and seasons are slower."""
SPREADS, SPREADS_OF_FEW = 6.0, 60.0
"""The threshold in robust standard deviations is the first plus the second divided by the number of samples: on normal
noise less than one of a thousand newest samples is above it, also with ten samples."""
OUTSIDE_RANGE = 0.5
"""A newest sample must also be outside the range of all before it by this share of that range: earlier bursts are
expected."""
MIN_SHARE = 0.02
"""Least standard deviation as a share of the median; a smaller one is that of a constant."""
SMALL_COUNT = 20.0
HUGE = 1e100
"""Largest absolute value that is used: sums and squares of larger ones may be infinite."""
REGULAR_SHARE, REGULAR_WITHIN = 0.8, 0.25
ALERT_RATIO, ALERT_RATIO_OF_FEW = 1.5, 75.0
"""Besides its own alert, an ensemble's score must be above the 99 % quantile of earlier scores times the first plus the
second divided by the number of samples. Fitted on fifty samples, for the newest three the alert alone would be raised
on one healthy series of ten; with this bound it is raised on less than one of a hundred."""


Times = npt.NDArray[np.datetime64]


@dataclass(frozen=True)
class Deviation:
    """A newest sample that deviates from its history.

    Attributes:
        value, expected: its value and the expected one, in the unit as sent.
        time: time of the newest sample, UTC.
        excess: distance above the threshold, not negative.
        lasting: the newest three samples all deviate to the same side.
        learned: the excess of an ensemble is larger than that of the robust deviation.
        samples: number of samples of the reference.
        limit: the value from which on it deviates, on the side where it is, in the unit as sent.
    """

    value: float
    expected: float
    time: datetime
    excess: float
    lasting: bool
    learned: bool
    samples: int
    limit: float


def newest_deviation(series: Series, counter: bool = False) -> Deviation | None:
    """The deviation of the newest sample from those before it; ``None`` if it is as expected or has too few before it.

    ``counter``: the series is known to be a counter; otherwise counters are detected by their rise.
    """
    values, times = series.values[-MAX_SAMPLES:], series.times[-MAX_SAMPLES:]
    if len(values) < MIN_SAMPLES:
        return None
    largest = float(np.abs(values).max())
    unit = largest if largest > HUGE else 1.0
    values = values / unit
    last = float(values[-1])
    counter = counter or _is_counter(values[:-1])
    if counter:
        steps = np.diff(values)
        values, times = np.where(steps < 0, np.median(steps), steps), times[1:]
    before = values[: -NEWEST if len(values) >= MIN_FOR_NEWEST else -1]
    excess = _robust_excess(float(values[-1]), before)
    older = values[: len(values) - int(NEW_LEVEL_SHARE * len(values))]
    if MIN_SAMPLES <= len(older) < len(before) and _is_abrupt(values, older):
        of_level = _robust_excess(float(values[-1]), older)
        if of_level is not None and (excess is None or of_level > excess):
            before, excess = older, of_level
    middle = float(np.median(before))
    learned = False
    if len(values) >= MIN_FOR_ENSEMBLE and _is_regular(times) and not _is_quiet(before):
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
    room = unit * _bound_of(before) * _spread(before)
    limit = expected + room if value >= expected else expected - room
    return Deviation(value, expected, time, excess, lasting, learned, len(before), limit)


def newest_time(series: Series) -> datetime:
    """Time of the newest sample, UTC."""
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=int(series.times[-1].astype(np.int64)))


def alert_excess(scored: Scored, row: int) -> float:
    """The excess of an alert of a window detector: twice the binary logarithm of its score's ratio to the 99 % quantile
    of the scores before it, at least 0. So a score of four times that quantile is critical.
    """
    return max(0.0, 2.0 * float(np.log2(max(_ratio(scored, row), 1.0))))


def _robust_excess(value: float, before: Floats) -> float | None:
    middle, spread, bound = float(np.median(before)), _spread(before), _bound_of(before)
    low, high = float(before.min()), float(before.max())
    outside = max(value - high, low - value)
    away = abs(value - middle) / spread
    if not away > bound or outside <= OUTSIDE_RANGE * (high - low):
        return None
    return 2.0 * float(np.log2(min(away / bound, 1e6)))


def _spread(before: Floats) -> float:
    """Robust standard deviation, at least that of a constant or of small counts."""
    from scipy.stats import median_abs_deviation

    middle = float(np.median(before))
    least = max(MIN_SHARE * abs(middle), float(np.finfo(np.float64).tiny))
    if _is_integer(before):
        # Counts have at least the spread of a Poisson distribution.
        least = max(least, 1.0, float(np.sqrt(abs(middle))))
    return max(float(median_abs_deviation(before, scale="normal")), least)


def _bound_of(before: Floats) -> float:
    """The threshold, in robust standard deviations."""
    return SPREADS + SPREADS_OF_FEW / len(before)


def _is_abrupt(values: Floats, older: Floats) -> bool:
    """Whether the newest sample reached its level by a step since the older samples, not by a slow change."""
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
            return None  # it deviated and has returned: the newest alert, if any, is about that return
        best = max(best or 0.0, 2.0 * float(np.log2(ratio / bound)))
    return best


def _ratio(scored: Scored, row: int) -> float:
    """Ratio of a row's score to the 99 % quantile of the scores before the newest rows."""
    before = scored.score[:-NEWEST]
    usual = float(np.quantile(before, 0.99)) if len(before) else 0.0
    return float(scored.score[row]) / max(usual, 1.0)


def _is_counter(values: Floats) -> bool:
    steps = np.diff(values)
    return bool((values >= 0).all() and (steps >= 0).all() and (steps > 0).mean() > 0.5)


def _is_quiet(values: Floats) -> bool:
    """Whether values are constant or small counts, on which no model can be fitted."""
    if np.ptp(values) == 0:
        return True
    return _is_integer(values) and float(np.median(np.abs(values))) < SMALL_COUNT


def _is_integer(values: Floats) -> bool:
    return bool((values == np.rint(values)).all())


def _is_regular(times: Times) -> bool:
    steps = np.diff(times).astype("timedelta64[us]").astype(np.int64) / 1e6
    usual = float(np.median(steps))
    if not MIN_STEP_SECONDS <= usual <= MAX_STEP_SECONDS:
        return False
    return bool((np.abs(steps - usual) <= REGULAR_WITHIN * usual).mean() >= REGULAR_SHARE)
