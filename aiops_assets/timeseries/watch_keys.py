"""The key ``alert`` of an entry of METRICS_FILE, as users write it."""

import re
from datetime import date
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from aiops_assets.timeseries.watch import Direction, Severity, Watch, Weekly, parse_window

NO_ZONES = frozenset({"localtime", "posixrules", "Factory"})
"""Files beside those of the zones: what the machine's own time is, differs between the pipeline's and the service's."""
NO_FOLDERS = ("posix/", "right/")
_WITH_EXPONENT = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")
MAX_WINDOWS, MAX_HOLIDAYS, MAX_PATTERNS = 50, 500, 100

ALLOWED = {
    "alert": "must be a mapping of the keys direction, min_deviation and so on",
    "alert.direction": "must be one of up, down, both",
    "alert.min_deviation": "must be a finite number, 0 or more",
    "alert.min_deviation_ratio": "must be a finite number, 0 or more; 0.2 is a fifth of the expected value",
    "alert.severity": "must be one of info, warning, critical",
    "alert.silence": "must be true or false",
    "alert.time_zone": "must be a name of the IANA data base such as Europe/Berlin",
    "alert.business_hours": f"must be at most {MAX_WINDOWS} times such as Mon-Fri 08:00-18:00",
    "alert.holidays": f"must be a list of at most {MAX_HOLIDAYS} dates such as 2026-12-25",
    "alert.maintenance": f"must be at most {MAX_WINDOWS} times such as Sun 02:00-04:00 or "
    "2026-12-01T22:00/2026-12-02T02:00",
    "alert.exclude": f"must be a mapping of labels to at most {MAX_PATTERNS} patterns such as test-*",
}
"""Key -> what is allowed, for messages."""


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _number(value: object) -> object:
    """A number such as 1e9, which is a text to readers of YAML 1.1."""
    return float(value) if isinstance(value, str) and _WITH_EXPONENT.fullmatch(value) else value


def _dates(value: object) -> object:
    """Dates, also a single one, and such that are put into quotes."""
    values = value if isinstance(value, list) else [value]
    return [date.fromisoformat(one) if isinstance(one, str) and _DATE.fullmatch(one) else one for one in values]


_DATE = re.compile(r"\d{4}-\d\d-\d\d")
Number = Annotated[float, BeforeValidator(_number)]
Texts = Annotated[list[str], BeforeValidator(_listed)]


class WatchKeys(BaseModel):
    """The fields of :class:`Watch`, with defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, str_strip_whitespace=True)

    direction: Direction = "both"
    min_deviation: Number = Field(0.0, ge=0, allow_inf_nan=False)
    min_deviation_ratio: Number = Field(0.0, ge=0, allow_inf_nan=False)
    severity: Severity = "warning"
    silence: bool = False
    time_zone: str = "UTC"
    business_hours: Texts = Field([], max_length=MAX_WINDOWS)
    holidays: Annotated[list[date], BeforeValidator(_dates)] = Field([], max_length=MAX_HOLIDAYS)
    maintenance: Texts = Field([], max_length=MAX_WINDOWS)
    exclude: dict[str, Texts] = {}

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            if name in NO_ZONES or name.startswith(NO_FOLDERS):
                raise ValueError(name)
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(ALLOWED["alert.time_zone"]) from None
        return name

    @field_validator("business_hours")
    @classmethod
    def _weekly(cls, texts: list[str]) -> list[str]:
        return [text for text in texts if Weekly.parse(text)]

    @field_validator("maintenance")
    @classmethod
    def _windows(cls, texts: list[str]) -> list[str]:
        return [text for text in texts if parse_window(text)]

    @field_validator("exclude")
    @classmethod
    def _few_patterns(cls, exclude: dict[str, list[str]]) -> dict[str, list[str]]:
        if sum(map(len, exclude.values())) > MAX_PATTERNS or any("" in patterns for patterns in exclude.values()):
            raise ValueError(ALLOWED["alert.exclude"])
        return exclude

    def watch(self) -> Watch:
        """What of the metric is an alert."""
        return Watch(
            direction=self.direction,
            min_deviation=self.min_deviation,
            min_deviation_ratio=self.min_deviation_ratio,
            severity=self.severity,
            silence=self.silence,
            time_zone=self.time_zone,
            business_hours=tuple(map(Weekly.parse, self.business_hours)),
            holidays=frozenset(self.holidays),
            maintenance=tuple(map(parse_window, self.maintenance)),
            exclude={label: tuple(patterns) for label, patterns in self.exclude.items()},
        )
