"""The wall clock of a time zone: days, times of the day and weekdays of instants."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from aiops_assets.timeseries.series import DAY_SECONDS

Integers = npt.NDArray[np.int64]
SUNDAY = 6
EPOCH_DAY = date(1970, 1, 1)


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
    free = np.array([(day - EPOCH_DAY).days for day in sorted(holidays)], dtype=np.int64)
    return Clock(days, local % DAY_SECONDS, np.where(np.isin(days, free), SUNDAY, (days + 3) % 7))


def _offset(zone: ZoneInfo, at: int) -> int:
    offset = datetime.fromtimestamp(at, UTC).astimezone(zone).utcoffset()
    return int(offset.total_seconds()) if offset else 0
