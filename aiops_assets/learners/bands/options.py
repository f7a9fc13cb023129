"""What a band is made of, and the local clock that its habits follow."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Literal
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from aiops_assets.timeseries.series import DAY_SECONDS

Integers = npt.NDArray[np.int64]
Direction = Literal["up", "down", "both"]
HOUR_SECONDS = 3600
SUNDAY = 6


@dataclass(frozen=True)
class BandOptions:
    """How the band of some series is made.

    Attributes:
        step_seconds: distance of rows.
        direction: which side counts: of the other one the score is 0.
        min_deviation: in the metric's unit; the half width of the band is at least that.
        min_deviation_ratio: the same as a share of the expected value.
        lower, upper: values cannot lie beyond them, and neither does the band.
        time_zone: IANA name; habits follow its wall clock.
        holidays: local days that follow the habits of a Sunday.
    """

    step_seconds: int = 300
    direction: Direction = "both"
    min_deviation: float = 0.0
    min_deviation_ratio: float = 0.0
    lower: float | None = None
    upper: float | None = None
    time_zone: str = "UTC"
    holidays: frozenset[date] = frozenset()


@dataclass(frozen=True)
class Clock:
    """The local time of n instants.

    Attributes:
        days: (n,) local days since 1970-01-01.
        seconds: (n,) seconds since local midnight, by the wall clock.
        weekdays: (n,) 0 is Monday; a holiday is a Sunday.
    """

    days: Integers
    seconds: Integers
    weekdays: Integers


def clock_of(seconds: Integers, time_zone: str = "UTC", holidays: frozenset[date] = frozenset()) -> Clock:
    """Local time of instants.

    Args:
        seconds: (n,) Unix seconds.
        time_zone: IANA name.
        holidays: local days.

    Raises:
        ZoneInfoNotFoundError: there is no such zone.
    """
    zone = ZoneInfo(time_zone)
    # Zones change their offset at full quarters of an hour.
    quarters, which = np.unique(np.asarray(seconds, dtype=np.int64) // 900, return_inverse=True)
    offsets = [_offset(zone, int(quarter) * 900) for quarter in quarters]
    local = seconds + np.array(offsets, dtype=np.int64)[which]
    days = local // DAY_SECONDS
    free = np.array([(day - date(1970, 1, 1)).days for day in sorted(holidays)], dtype=np.int64)
    return Clock(days, local % DAY_SECONDS, np.where(np.isin(days, free), SUNDAY, (days + 3) % 7))


def _offset(zone: ZoneInfo, at: int) -> int:
    offset = datetime.fromtimestamp(at, UTC).astimezone(zone).utcoffset()
    return int(offset.total_seconds()) if offset else 0
