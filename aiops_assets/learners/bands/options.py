"""What a band is made of."""

from dataclasses import dataclass
from datetime import date

from aiops_assets.timeseries.watch import Direction

HOUR_SECONDS = 3600


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
