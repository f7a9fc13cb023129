"""Whether the newest sample of a series is what its own history in the request lets one expect.

A value is expected if it was there at this hour on other days, or at this hour of the week; if it is in the usual
range of the samples before it; while a process that has just started settles down; and for as long as one sample, a
minute long, is all that differs.
"""

import numpy as np

from aiops_assets.engine.samples import Series
from aiops_assets.timeseries.series import DAY_SECONDS, Floats

SAME_HOUR_SECONDS = 1800.0
"""Samples of other days count that are at most so far, in seconds, from this time of the day."""
MIN_DAYS, MIN_SHARE = 2, 0.5
"""A value is expected if so many other days, and such a share of them, had it at this hour; or one day a week ago."""
MARGIN = 0.15
"""Share of a value by which it may pass what other days had, or what is usual."""
MIN_SAMPLES = 5
HUGE = 1e100
"""Differences of larger values may be infinite."""
USUAL_SPREADS = 5.0
MINUTE_STEP = 90.0
"""Largest distance of samples, in seconds, at which a single high one is a blip."""
MAX_STEP_SHARE, LAST_STEP_SHARE, MIN_FALL, RISE_SHARE = 0.65, 0.2, 0.5, 0.1
NEWEST, MIN_FOR_RANGE = 4, 12
MAX_START = 30
"""A process with more samples than these has not just started."""


def is_expected_now(one: Series) -> bool:
    """Whether other days had such a value at this hour, or other weeks at this hour of this day."""
    age = (one.times[-1] - one.times).astype("timedelta64[us]").astype(np.int64) / 1e6
    days = np.rint(age / DAY_SECONDS)
    near = (np.abs(age - days * DAY_SECONDS) <= SAME_HOUR_SECONDS) & (days >= 1)
    if not near.any():
        return False
    value = float(one.values[-1])
    room = MARGIN * abs(value)
    had = {}
    for day in np.unique(days[near]):
        those = one.values[near & (days == day)]
        had[int(day)] = bool(those.min() - room <= value <= those.max() + room)
    weeks = [seen for day, seen in had.items() if day % 7 == 0]
    daily = sum(had.values()) >= MIN_DAYS and sum(had.values()) >= MIN_SHARE * len(had)
    return daily or (bool(weeks) and sum(weeks) >= max(1.0, MIN_SHARE * len(weeks)))


def is_ordinary(value: float, before: Floats) -> bool:
    """Whether a value is in the usual range of at least four samples before it."""
    if len(before) < MIN_SAMPLES - 1:
        return False
    before = np.clip(before, -HUGE, HUGE)
    middle = float(np.median(before))
    spread = 1.4826 * float(np.median(np.abs(before - middle)))
    return abs(value - middle) <= max(USUAL_SPREADS * spread, MARGIN * abs(middle))


def is_blip(one: Series) -> bool:
    """Whether only the newest sample, a minute long, differs from those before it."""
    values = one.values
    if len(values) < MIN_SAMPLES or not one.timed:
        return False
    step = float(np.median(np.diff(one.times) / np.timedelta64(1, "s")))
    if step > MINUTE_STEP:
        return False
    before = values[:-1]
    return not is_ordinary(float(values[-1]), before) and is_ordinary(float(before[-1]), before[:-1])


def is_settling(values: Floats) -> bool:
    """Whether few samples fall step by step from their beginning to a level that they have nearly reached.

    So does the CPU of a process that starts; one that loses its work falls at once.
    """
    if not MIN_SAMPLES <= len(values) <= MAX_START:
        return False
    values = np.clip(values, -HUGE, HUGE)
    fall = float(values.max() - values[-1])
    steps = np.diff(values)
    return bool(
        int(np.argmax(values)) <= 1
        and fall >= MIN_FALL * values.max()
        and steps.max() <= RISE_SHARE * fall
        and -steps.min() <= MAX_STEP_SHARE * fall
        and abs(steps[-1]) <= LAST_STEP_SHARE * fall
    )


def unsettled_range(values: Floats) -> tuple[float, float] | None:
    """The usual level and the newest one, the lower first, where the newest samples have just left the range before.

    ``None`` where they have not, or where there are fewer than a dozen samples before them.
    """
    values = np.clip(values, -HUGE, HUGE)
    before = values[:-NEWEST]
    if len(before) < MIN_FOR_RANGE:
        return None
    newest = float(values[-1])
    room = float(before.max() - before.min())
    outside = max(newest - float(before.max()), float(before.min()) - newest)
    if outside <= 0.5 * room or is_ordinary(newest, before):
        return None
    usual = float(np.median(before))
    return min(usual, newest), max(usual, newest)
