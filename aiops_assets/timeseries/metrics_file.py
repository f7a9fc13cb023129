"""Metrics that users add to the catalogue: a YAML file, checked to the last key before anything is fetched.

```yaml
metrics:
  - name: queue_depth
    promql: sum(rabbitmq_queue_messages) by (namespace, pod)
    unit: messages         # ratio, cores, count, bytes/s or a short word of your own
    per: pod               # pod | node | cluster; default cluster
    # labels: [queue]      # in place of per: a series for each value of these labels
    description: messages waiting in queues
    lower: 0               # default 0; null is unbounded
    upper: null            # default null
    step_seconds: 300      # 10 to 3600, divides a day; default 300
    # scrape_seconds: 30   # how often the series are scraped; default PROMETHEUS_SCRAPE_INTERVAL
    count: count(rabbitmq_queue_messages)   # default: count of promql
    type: gauge            # or counter, whose increase is scored
    forecast: true         # default false
    alert:                 # see watch_keys.py
      direction: up
```
"""

import re
from collections import Counter
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from aiops_assets.errors import SettingsError
from aiops_assets.timeseries.catalog import (
    COARSE_STEP_SECONDS,
    MEMBERS,
    METRICS,
    SCRAPE_SECONDS,
    SYNTHETIC_METRICS,
    MetricSpec,
)
from aiops_assets.timeseries.promql import check_query, rate_ranges
from aiops_assets.timeseries.queries import MIN_SCRAPES, SCRAPES_OF_A_RATE
from aiops_assets.timeseries.watch import OwnMetric
from aiops_assets.timeseries.watch_keys import ALLOWED as OF_ALERT
from aiops_assets.timeseries.watch_keys import Number, WatchKeys

MAX_BYTES = 1_000_000
MAX_METRICS = 1000
MAX_CHARACTERS = 10_000
"""A PromQL query may have so many characters."""

_DAY_SECONDS = 86_400
MAX_LABELS = 8
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_LABEL = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]{0,62}")
"""Labels that begin with two underscores are Prometheus' own: it drops them from what it scrapes."""
_LABELS_OF = {"pod": ("namespace", "pod", "workload"), "node": ("node",), "cluster": ()}
_TAKEN = frozenset(metric.name for metric in (*METRICS, *SYNTHETIC_METRICS))

_ALLOWED = {
    "name": "must be lower-case letters, digits and underscores, a letter first, at most 63",
    "promql": f"must be a PromQL query of at most {MAX_CHARACTERS} characters",
    "unit": "must be ratio, cores, count, bytes/s, or a word of at most 20 letters, digits and %/_.-",
    "per": "must be one of pod, node, cluster",
    "labels": f"must be a list of 1 to {MAX_LABELS} names of labels, in place of per",
    "description": "must be one line for people",
    "lower": "must be a finite number or null",
    "upper": "must be a finite number or null",
    "step_seconds": "must be a whole number of seconds, 10 to 3600, that divides a day",
    "scrape_seconds": "must be a whole number of seconds, 1 to 3600",
    "count": f"must be a PromQL query of at most {MAX_CHARACTERS} characters",
    "type": "must be one of gauge, counter",
    "forecast": "must be true or false",
    "alert": OF_ALERT["alert"],
}
_KEYS = ", ".join(_ALLOWED)
_KEYS_OF_ALERT = ", ".join(key.partition(".")[2] for key in OF_ALERT if "." in key)


class _Entry(BaseModel):
    """One metric as users write it: the fields of :class:`MetricSpec`, with defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, str_strip_whitespace=True)

    name: str
    promql: str = Field(min_length=1, max_length=MAX_CHARACTERS)
    unit: str = Field(pattern=r"^[A-Za-z0-9%/_.-]{1,20}$")
    per: Literal["pod", "node", "cluster"] | None = None
    labels: list[str] | None = Field(None, min_length=1, max_length=MAX_LABELS)
    description: str = Field("", pattern=r"^[^\r\n]+$")
    lower: Number | None = Field(0.0, allow_inf_nan=False)
    upper: Number | None = Field(None, allow_inf_nan=False)
    step_seconds: int = Field(COARSE_STEP_SECONDS, ge=10, le=3600)
    scrape_seconds: int | None = Field(None, ge=1, le=3600)
    count: str | None = Field(None, min_length=1, max_length=MAX_CHARACTERS)
    type: Literal["gauge", "counter"] = "gauge"
    forecast: bool = False
    alert: WatchKeys = WatchKeys()

    @field_validator("name")
    @classmethod
    def _free_name(cls, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ValueError(_ALLOWED["name"])
        if name in _TAKEN:
            raise ValueError("is a metric of the built-in catalogue: choose another name")
        if name.endswith(MEMBERS):
            raise ValueError(f"must not end in {MEMBERS}: that is the name of a metric's count")
        return name

    @field_validator("promql", "count")
    @classmethod
    def _series_of_an_instant(cls, promql: str | None) -> str | None:
        if promql is not None:
            check_query(promql)
        return promql

    @field_validator("step_seconds")
    @classmethod
    def _divides_a_day(cls, step: int) -> int:
        if _DAY_SECONDS % step:
            raise ValueError(_ALLOWED["step_seconds"])
        return step

    @field_validator("labels")
    @classmethod
    def _names_of_labels(cls, labels: list[str] | None) -> list[str] | None:
        if labels and (len(set(labels)) < len(labels) or not all(map(_LABEL.fullmatch, labels))):
            raise ValueError(_ALLOWED["labels"])
        return labels

    @model_validator(mode="after")
    def _one_identity(self) -> "_Entry":
        if self.per and self.labels:
            raise ValueError(f"labels and per={self.per}: give one of them")
        return self

    @model_validator(mode="after")
    def _excludes_by_its_labels(self) -> "_Entry":
        known = self.labels or _LABELS_OF[self.per or "cluster"]
        for label in self.alert.exclude:
            if label not in known:
                raise ValueError(
                    f"alert.exclude: its series have no label {_shown(label)}, but {', '.join(known) or 'none at all'}"
                )
        return self

    @model_validator(mode="after")
    def _bounds_in_order(self) -> "_Entry":
        if self.lower is not None and self.upper is not None and self.lower >= self.upper:
            raise ValueError(f"lower={self.lower:g}: must be below upper={self.upper:g}")
        return self

    def own(self, scrape_seconds: int) -> OwnMetric:
        """The metric, and what is made of it.

        Args:
            scrape_seconds: the scrape interval where the entry has none.

        Raises:
            ValueError: a rate over a range that cannot hold two scrapes.
        """
        own = self.scrape_seconds or scrape_seconds
        for key, query in (("promql", self.promql), ("count", self.count or "")):
            _check_rates(key, query, own)
        spec = MetricSpec(
            name=self.name,
            promql=self.promql,
            unit=self.unit,
            per="labels" if self.labels else self.per or "cluster",
            description=self.description or self.name.replace("_", " "),
            lower=self.lower,
            upper=self.upper,
            step_seconds=self.step_seconds,
            count=self.count or "",
            scrape_seconds=own,
            cumulative=self.type == "counter",
            labels=tuple(self.labels or ()),
        )
        return OwnMetric(spec, self.type == "counter", self.forecast, self.alert.watch())


def load_own(path: Path, scrape_seconds: int = SCRAPE_SECONDS) -> tuple[OwnMetric, ...]:
    """The metrics of a file, in its order, and what is made of them; arguments and errors as :func:`load_metrics`."""
    try:
        return _own(_entries(_content(path)), scrape_seconds)
    except _InvalidFile as error:
        raise SettingsError(f"METRICS_FILE={path}: {error}", code=error.code, path=path, **error.facts) from None


def load_metrics(path: Path, scrape_seconds: int = SCRAPE_SECONDS) -> tuple[MetricSpec, ...]:
    """The metrics of a file, in its order; add them to ``METRICS``.

    Args:
        path: YAML, at most 1 MB and 1000 metrics; see the head of this module.
        scrape_seconds: the scrape interval of entries that do not give one.

    Raises:
        SettingsError: one line that names the file, the entry, what is wrong and what is allowed.
    """
    return tuple(own.spec for own in load_own(path, scrape_seconds))


class _InvalidFile(Exception):
    """A problem of the file; the message is without the file's name, ``code`` and facts become those of the error."""

    def __init__(self, message: str, code: str = "wrong_content", **facts: Any) -> None:
        super().__init__(message)
        self.code = code
        self.facts = facts


def _content(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise _InvalidFile("is a directory, must be a YAML file", "is_directory")
        # A pipe would block for ever.
        if path.exists() and not path.is_file():
            raise _InvalidFile("is not a regular file, must be a YAML file", "not_regular")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise _InvalidFile("there is no such file", "no_file") from None
    except OSError as error:
        raise _InvalidFile(f"cannot be read: {error.strerror or error}", "unreadable") from None
    if len(content) > MAX_BYTES:
        raise _InvalidFile(f"is larger than {MAX_BYTES} bytes, the most allowed", "too_large")
    return content


def _entries(content: bytes) -> list[Any]:
    """The list below ``metrics``, in which no key is given twice: YAML's own reader would drop the first."""
    try:
        text = content.decode("utf-8-sig")
        _reject_repeated_keys(yaml.compose(text, Loader=yaml.SafeLoader))
        document = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise _InvalidFile(f"is not YAML: {where}{error.problem or error.context}") from None
    except RecursionError:
        raise _InvalidFile("is not YAML that can be read: it is nested too deeply") from None
    except (yaml.YAMLError, ValueError) as error:
        raise _InvalidFile("is not YAML: " + " ".join(str(error).split())) from None
    if not isinstance(document, dict) or "metrics" not in document:
        raise _InvalidFile("must be a mapping with the key metrics, a list of metrics")
    unknown = [key for key in document if key != "metrics"]
    if unknown:
        raise _InvalidFile(f"unknown key {_shown(unknown[0])}; allowed: metrics")
    entries = document["metrics"]
    if not isinstance(entries, list):
        raise _InvalidFile("metrics must be a list of metrics")
    if len(entries) > MAX_METRICS:
        raise _InvalidFile(f"has {len(entries)} metrics; at most {MAX_METRICS} are allowed")
    return entries


def _reject_repeated_keys(document: yaml.Node | None) -> None:
    nodes, seen = [document], set[int]()
    while nodes:
        mapping = nodes.pop(0)
        if id(mapping) in seen:  # an alias
            continue
        seen.add(id(mapping))
        if isinstance(mapping, yaml.SequenceNode):
            nodes += mapping.value
        if not isinstance(mapping, yaml.MappingNode):
            continue
        nodes += [value for _, value in mapping.value]
        keys = Counter(key.value for key, _ in mapping.value if isinstance(key, yaml.ScalarNode))
        for key, times in keys.items():
            if times > 1:
                line = mapping.start_mark.line + 1
                raise _InvalidFile(f"key {_shown(key)} is given {times} times in the mapping at line {line}: keep one")


def _own(entries: list[Any], scrape_seconds: int) -> tuple[OwnMetric, ...]:
    found: dict[str, OwnMetric] = {}
    for number, entry in enumerate(entries, 1):
        name = entry.get("name") if isinstance(entry, dict) else None
        where = f"entry {number} ({name})" if isinstance(name, str) and _NAME.fullmatch(name) else f"entry {number}"
        if not isinstance(entry, dict):
            raise _InvalidFile(f"{where}: must be a mapping with the keys {_KEYS}", entry=number)
        try:
            own = _Entry.model_validate(entry).own(scrape_seconds)
        except ValidationError as error:
            keys = tuple(dict.fromkeys(_key(problem) for problem in error.errors()))
            raise _InvalidFile(f"{where}: {_explained(error)}", entry=number, keys=keys) from None
        except ValueError as error:
            raise _InvalidFile(f"{where}: {error}", entry=number) from None
        if own.spec.name in found:
            first = [*found].index(own.spec.name) + 1
            raise _InvalidFile(f"{where}: the name is already that of entry {first}", entry=number)
        found[own.spec.name] = own
    return tuple(found.values())


def _explained(error: ValidationError) -> str:
    """The first two problems of an entry: a block in the wrong place makes dozens of unknown keys."""
    problems = [_explain(problem) for problem in error.errors()]
    more = [f"and {len(problems) - 2} more"] if len(problems) > 2 else []
    return "; ".join([*problems[:2], *more])


def _explain(problem: Any) -> str:
    message = problem["msg"].removeprefix("Value error, ")
    if not problem["loc"]:
        return str(message)
    key = _key(problem)
    if problem["type"] in ("extra_forbidden", "invalid_key"):
        of_alert = len(problem["loc"]) > 1
        return f"unknown key {_shown(problem['loc'][-1])}; allowed: {_KEYS_OF_ALERT if of_alert else _KEYS}"
    allowed = OF_ALERT.get(key) or _ALLOWED[key]
    if problem["type"] == "missing":
        return f"{key} is missing: it {allowed}"
    return f"{key}={_shown(problem['input'])}: {message if problem['type'] == 'value_error' else allowed}"


def _key(problem: Any) -> str:
    """The key that a problem is of: one of the entry, or one of its alert; empty for the entry as a whole."""
    places = [str(place) for place in problem["loc"]]
    return ".".join(places[: 2 if places[:1] == ["alert"] else 1])


def _shown(value: object) -> str:
    """A value in one short line. Lists are not looked into: YAML's aliases make some of astronomic size."""
    if isinstance(value, list | dict | set):
        return {list: "a list", dict: "a mapping", set: "a set"}[type(value)]
    text = value if isinstance(value, str) and value.isprintable() and value.strip() else repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _check_rates(key: str, promql: str, scrape_seconds: int) -> None:
    """Check that the range of each rate is at least two scrape intervals.

    Raises:
        ValueError: says which range, and what is allowed.
    """
    least = MIN_SCRAPES * scrape_seconds
    for rate in rate_ranges(promql):
        if rate.seconds < least:
            raise ValueError(
                f"{key}={_shown(promql)}: {rate} is empty where scrapes are {scrape_seconds} s apart: take at least "
                f"[{least}s], better [{SCRAPES_OF_A_RATE * scrape_seconds}s], or give the true interval as "
                "PROMETHEUS_SCRAPE_INTERVAL or as scrape_seconds of the entry"
            )
