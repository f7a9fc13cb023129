"""What of a metric of one's own people are called for: the keys of an entry, and what they mean."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from aiops_assets.errors import PrometheusAnswerError, SettingsError
from aiops_assets.timeseries.metrics_file import load_own
from aiops_assets.timeseries.shape import shape_problem
from aiops_assets.timeseries.watch import OwnMetric, Span, Watch, Weekly, parse_window
from aiops_assets_tests.raising import raises

PLAIN: dict[str, Any] = {"name": "queue_depth", "promql": "sum by (queue) (depth)", "unit": "messages"}


def load(folder: Path, **keys: object) -> OwnMetric:
    path = folder / "metrics.yaml"
    path.write_text(yaml.safe_dump({"metrics": [{**PLAIN, **keys}]}))
    (own,) = load_own(path)
    return own


def judged(watch: Watch, at: str) -> bool:
    seconds = int(datetime.fromisoformat(at).replace(tzinfo=UTC).timestamp())
    return bool(watch.judged(np.array([seconds], dtype=np.int64))[0])


def test_three_lines_are_an_entry(tmp_path: Path) -> None:
    own = load(tmp_path)
    assert (own.spec.per, own.spec.labels, own.counter, own.forecast, own.watch) == (
        "cluster",
        (),
        False,
        False,
        Watch(),
    )
    assert own.unit == "messages"
    assert own.spec.description == "queue depth"


def test_all_keys_of_an_entry(tmp_path: Path) -> None:
    alert = {
        "direction": "up",
        "min_deviation": 5,
        "min_deviation_ratio": 0.1,
        "severity": "critical",
        "silence": True,
        "time_zone": "Europe/Berlin",
        "business_hours": "Mon-Fri 08:00-18:00",
        "holidays": [date(2026, 12, 25)],
        "maintenance": ["Sun 02:00-04:00", "2026-12-01T22:00/2026-12-02T02:00"],
        "exclude": {"queue": ["test-*", "tmp"], "namespace": "kube-system"},
    }
    own = load(tmp_path, labels=["queue", "vhost"], type="counter", forecast=True, alert=alert)
    assert (own.spec.per, own.spec.labels, own.counter, own.forecast) == ("labels", ("queue", "vhost"), True, True)
    assert own.unit == "messages/s"
    assert own.watch == Watch(
        direction="up",
        min_deviation=5.0,
        min_deviation_ratio=0.1,
        severity="critical",
        silence=True,
        time_zone="Europe/Berlin",
        business_hours=(Weekly(frozenset(range(5)), 8 * 3600, 18 * 3600),),
        holidays=frozenset({date(2026, 12, 25)}),
        maintenance=(
            Weekly(frozenset({6}), 2 * 3600, 4 * 3600),
            Span.parse("2026-12-01T22:00/2026-12-02T02:00"),
        ),
        exclude={"queue": ("test-*", "tmp"), "namespace": ("kube-system",)},
    )


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("direction", "sideways"),
        ("min_deviation", -1),
        ("min_deviation_ratio", float("nan")),
        ("severity", "page"),
        ("silence", "yes"),
        ("time_zone", "Europe/Nowhere"),
        ("time_zone", "../etc/passwd"),
        ("business_hours", "Mon-Fri 8-18"),
        ("business_hours", "Mon-Fry 08:00-18:00"),
        ("business_hours", "08:00-25:00"),
        ("business_hours", "08:00-08:00"),
        ("holidays", ["2026-12-25"]),
        ("holidays", date(2026, 12, 25)),
        ("maintenance", "2026-12-02T02:00/2026-12-01T22:00"),
        ("maintenance", ["Sun 02:00"]),
        ("exclude", ["test-*"]),
        ("exclude", {"pod": [""]}),
    ],
)
def test_what_an_alert_cannot_be_is_refused_with_its_key(tmp_path: Path, key: str, value: object) -> None:
    with raises(SettingsError, "wrong_content", entry=1, keys=(f"alert.{key}",)):
        load(tmp_path, alert={key: value})


@pytest.mark.parametrize(
    ("keys", "of"),
    [
        ({"labels": []}, ("labels",)),
        ({"labels": ["a", "a"]}, ("labels",)),
        ({"labels": ["a-b"]}, ("labels",)),
        ({"labels": ["a"], "per": "pod"}, ("",)),
        ({"type": "histogram"}, ("type",)),
        ({"forecast": 1}, ("forecast",)),
        ({"alert": "up"}, ("alert",)),
        ({"alert": {"sevrity": "info"}}, ("alert.sevrity",)),
        ({"unit": "a very long unit of mine"}, ("unit",)),
    ],
)
def test_what_an_entry_cannot_be_is_refused_with_its_key(
    tmp_path: Path, keys: dict[str, object], of: tuple[str, ...]
) -> None:
    with raises(SettingsError, "wrong_content", entry=1, keys=of):
        load(tmp_path, **keys)


@pytest.mark.parametrize(
    ("window", "at", "inside"),
    [
        ("Mon-Fri 08:00-18:00", "2026-12-04T08:00", True),
        ("Mon-Fri 08:00-18:00", "2026-12-04T18:00", False),
        ("Mon-Fri 08:00-18:00", "2026-12-05T10:00", False),
        ("Sat-Mon 08:00-18:00", "2026-12-07T10:00", True),
        ("Sat-Mon 08:00-18:00", "2026-12-08T10:00", False),
        ("Sat,Mon 08:00-18:00", "2026-12-06T10:00", False),
        ("Sun 22:00-02:00", "2026-12-07T01:00", True),
        ("Sun 22:00-02:00", "2026-12-06T01:00", False),
        ("00:00-24:00", "2026-12-06T23:59", True),
        ("2026-12-01T22:00/2026-12-02T02:00", "2026-12-02T01:59", True),
        ("2026-12-01T22:00/2026-12-02T02:00", "2026-12-02T02:00", False),
    ],
)
def test_windows(window: str, at: str, inside: bool) -> None:
    assert judged(Watch(maintenance=(parse_window(window),)), at) is not inside


def test_business_hours_are_those_of_the_time_zone_and_not_of_holidays() -> None:
    hours = (Weekly.parse("Mon-Fri 08:00-18:00"),)
    assert not judged(Watch(business_hours=hours), "2026-12-04T07:30")
    assert judged(Watch(business_hours=hours, time_zone="Europe/Berlin"), "2026-12-04T07:30")
    assert not judged(Watch(business_hours=hours, holidays=frozenset({date(2026, 12, 4)})), "2026-12-04T10:00")
    assert judged(Watch(holidays=frozenset({date(2026, 12, 4)})), "2026-12-04T10:00")


def test_exclusions_are_patterns_of_labels() -> None:
    watch = Watch(exclude={"namespace": ("kube-*",), "workload": ("batch",)})
    assert watch.excludes({"namespace": "kube-system", "pod": "a"})
    assert watch.excludes({"namespace": "shop", "workload": "batch"})
    assert not watch.excludes({"namespace": "shop", "workload": "batches"})
    assert not watch.excludes({})


@pytest.mark.parametrize(
    ("series", "code"),
    [
        (['{"queue": "a"}', '{"queue": "b"}'], ""),
        (['{"queue": "a"}', "{}"], "no_label"),
        (['{"queue": "a", "pod": "1"}', '{"queue": "a", "pod": "2"}'], "several_of_labels"),
    ],
)
def test_series_are_told_apart_by_their_labels(tmp_path: Path, series: list[str], code: str) -> None:
    problem = shape_problem(load(tmp_path, promql="depth", labels=["queue"]).spec, series)
    if not code:
        assert problem is None
        return
    assert problem
    with raises(PrometheusAnswerError, code, metric="queue_depth"):
        raise problem.error()
