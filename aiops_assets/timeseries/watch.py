"""What of a metric of one's own people are called for: direction, least deviation, hours, maintenance, exclusions."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from fnmatch import fnmatchcase
from typing import Literal

import numpy as np
import numpy.typing as npt

from aiops_assets.timeseries.catalog import MetricSpec
from aiops_assets.timeseries.local_time import EPOCH_DAY, SUNDAY, Clock, Integers, clock_of
from aiops_assets.timeseries.series import DAY_SECONDS

Direction = Literal["up", "down", "both"]
Severity = Literal["info", "warning", "critical"]
Flags = npt.NDArray[np.bool_]
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_TIME = r"([01]\d|2[0-4]):([0-5]\d)"
_WEEKLY = re.compile(rf"(?:(?P<days>[A-Z][a-z]{{2}}(?:[-,][A-Z][a-z]{{2}})*) +)?{_TIME}-{_TIME}")
SPAN_FORMAT = "%Y-%m-%dT%H:%M"


@dataclass(frozen=True)
class Weekly:
    """A time of some weekdays, such as ``Mon-Fri 08:00-18:00``; one that ends before it begins ends on the next day.

    Attributes:
        weekdays: 0 is Monday.
        begin, end: seconds since local midnight, half-open.
    """

    weekdays: frozenset[int]
    begin: int
    end: int

    @classmethod
    def parse(cls, text: str) -> "Weekly":
        """Read ``[days ]HH:MM-HH:MM``; days are ``Mon-Fri`` or ``Sat,Sun``, and all without them.

        Raises:
            ValueError: it is not of this form.
        """
        found = _WEEKLY.fullmatch(text.strip())
        if not found:
            raise ValueError(f"{text!r} is not of the form Mon-Fri 08:00-18:00")
        begin, end = (
            int(hours) * 3600 + int(minutes) * 60 for hours, minutes in (found.group(2, 3), found.group(4, 5))
        )
        if max(begin, end) > DAY_SECONDS or begin == end:
            raise ValueError(f"{text!r}: the times of a day are 00:00 to 24:00, and begin is not end")
        return cls(_weekdays(found["days"]) if found["days"] else frozenset(range(7)), begin, end)

    def contains(self, clock: Clock) -> Flags:
        """(n,) whether instants are within it."""
        days = list(self.weekdays)
        today = np.isin(clock.weekdays, days)
        if self.begin < self.end:
            return np.asarray(today & (clock.seconds >= self.begin) & (clock.seconds < self.end))
        yesterday = np.isin((clock.weekdays - 1) % 7, days)
        return np.asarray((today & (clock.seconds >= self.begin)) | (yesterday & (clock.seconds < self.end)))


@dataclass(frozen=True)
class Span:
    """One time, such as ``2026-12-01T22:00/2026-12-02T02:00`` by the wall clock.

    Attributes:
        begin, end: local seconds since 1970-01-01, half-open.
    """

    begin: int
    end: int

    @classmethod
    def parse(cls, text: str) -> "Span":
        """Read two local times with a slash between them.

        Raises:
            ValueError: it is not of this form, or ends before it begins.
        """
        try:
            begin, end = (_local_seconds(part.strip()) for part in text.split("/", 1))
        except ValueError:
            raise ValueError(f"{text!r} is not of the form 2026-12-01T22:00/2026-12-02T02:00") from None
        if begin >= end:
            raise ValueError(f"{text!r} ends before it begins")
        return cls(begin, end)

    def contains(self, clock: Clock) -> Flags:
        """(n,) whether instants are within it."""
        local = clock.days * DAY_SECONDS + clock.seconds
        return np.asarray((local >= self.begin) & (local < self.end))


def parse_window(text: str) -> Weekly | Span:
    """A time of each week, or one of a date. Raises ValueError: it is neither."""
    return Span.parse(text) if "/" in text else Weekly.parse(text)


@dataclass(frozen=True)
class Watch:
    """What of a metric is an alert.

    Attributes:
        direction: which side of the expected band.
        min_deviation: from the expected value, in the metric's unit: less does not matter.
        min_deviation_ratio: the same as a share of the expected value.
        severity: of its alerts.
        silence: whether a series that stops is an alert.
        time_zone: IANA name, of the habits and of all times below.
        business_hours: alerts are raised within these only; none: always.
        holidays: local days that count as Sundays, and have no business hours.
        maintenance: times without alerts.
        exclude: label -> patterns (``*``, ``?``) of values whose series are not scored.
    """

    direction: Direction = "both"
    min_deviation: float = 0.0
    min_deviation_ratio: float = 0.0
    severity: Severity = "warning"
    silence: bool = False
    time_zone: str = "UTC"
    business_hours: tuple[Weekly, ...] = ()
    holidays: frozenset[date] = frozenset()
    maintenance: tuple[Weekly | Span, ...] = ()
    exclude: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def judged(self, seconds: Integers) -> Flags:
        """(n,) whether an alert may be raised at these Unix seconds."""
        clock = clock_of(seconds, self.time_zone)  # times are of true weekdays: a holiday moves no maintenance
        at_work = np.ones(len(seconds), dtype=bool)
        if self.business_hours:
            free = np.isin(clock.days, [(day - EPOCH_DAY).days for day in self.holidays])
            at_work = _within(self.business_hours, clock) & ~free
        return np.asarray(at_work & ~_within(self.maintenance, clock))

    def excludes(self, labels: Mapping[str, str]) -> bool:
        """Whether a series with these labels is not scored."""
        return any(
            fnmatchcase(labels.get(label, ""), pattern)
            for label, patterns in self.exclude.items()
            for pattern in patterns
        )


@dataclass(frozen=True)
class OwnMetric:
    """A metric of METRICS_FILE.

    Attributes:
        spec: how it is fetched.
        counter: its values count up, and their increase per second is what is scored.
        forecast: whether it is forecast.
        watch: what of it is an alert.
    """

    spec: MetricSpec
    counter: bool = False
    forecast: bool = False
    watch: Watch = field(default_factory=Watch)

    @property
    def unit(self) -> str:
        """Of what is scored."""
        return f"{self.spec.unit}/s" if self.counter else self.spec.unit


def _within(windows: Sequence[Weekly | Span], clock: Clock) -> Flags:
    inside = np.zeros(len(clock.days), dtype=bool)
    for window in windows:
        inside |= window.contains(clock)
    return inside


def _weekdays(text: str) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        if first not in WEEKDAYS or (last and last not in WEEKDAYS):
            raise ValueError(f"{text!r}: weekdays are {', '.join(WEEKDAYS)}")
        begin, end = WEEKDAYS.index(first), WEEKDAYS.index(last or first)
        found |= {day % 7 for day in range(begin, (end if end >= begin else end + SUNDAY + 1) + 1)}
    return frozenset(found)


def _local_seconds(text: str) -> int:
    return int((datetime.strptime(text, SPAN_FORMAT) - datetime(1970, 1, 1)).total_seconds())
