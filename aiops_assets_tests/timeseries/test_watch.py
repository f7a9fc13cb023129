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
        "exclude": {"queue": ["test-*", "tmp"], "vhost": "kube-system"},
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
        exclude={"queue": ("test-*", "tmp"), "vhost": ("kube-system",)},
    )


def test_numbers_with_an_exponent_and_dates_in_quotes_are_read(tmp_path: Path) -> None:
    path = tmp_path / "metrics.yaml"
    path.write_text(
        "metrics: [{name: a, promql: x, unit: count, lower: -1e9, upper: 2.5E+3, "
        'alert: {min_deviation: 1e3, holidays: ["2026-12-25", 2026-12-26]}}]'
    )
    (own,) = load_own(path)
    assert (own.spec.lower, own.spec.upper, own.watch.min_deviation) == (-1e9, 2500.0, 1000.0)
    assert own.watch.holidays == {date(2026, 12, 25), date(2026, 12, 26)}
    assert load(tmp_path, alert={"holidays": date(2026, 12, 25)}).watch.holidays == {date(2026, 12, 25)}


def test_a_key_of_an_alert_is_given_once(tmp_path: Path) -> None:
    path = tmp_path / "metrics.yaml"
    path.write_text("metrics: [{name: a, promql: x, unit: count, alert: {direction: up, direction: down}}]")
    with raises(SettingsError, "wrong_content"):
        load_own(path)


@pytest.mark.parametrize(
    ("keys", "label", "known"),
    [
        ({"per": "pod"}, "workload", True),
        ({"per": "pod"}, "node", False),
        ({"per": "node"}, "node", True),
        ({"labels": ["queue"]}, "queue", True),
        ({"labels": ["queue"]}, "namespace", False),
        ({}, "namespace", False),
    ],
)
def test_what_is_excluded_has_the_label(tmp_path: Path, keys: dict[str, object], label: str, known: bool) -> None:
    alert = {"exclude": {label: "test-*"}}
    if known:
        assert load(tmp_path, alert=alert, **keys).watch.exclude == {label: ("test-*",)}
        return
    with raises(SettingsError, "wrong_content", entry=1):
        load(tmp_path, alert=alert, **keys)


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
        ("time_zone", "localtime"),
        ("time_zone", "posix/Europe/Berlin"),
        ("business_hours", "Mon-Fri 8-18"),
        ("business_hours", "Mon-Fry 08:00-18:00"),
        ("business_hours", "08:00-25:00"),
        ("business_hours", "08:00-08:00"),
        ("holidays", ["2026-12-32"]),
        ("holidays", "Christmas"),
        ("min_deviation", "a lot"),
        ("maintenance", "2026-12-01T22:00Z/2026-12-02T02:00Z"),
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
        ({"labels": ["__name__"]}, ("labels",)),
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


def test_a_holiday_moves_no_maintenance() -> None:
    friday = frozenset({date(2026, 12, 4)})
    on_friday = Watch(maintenance=(parse_window("Fri 02:00-04:00"),), holidays=friday)
    on_sunday = Watch(maintenance=(parse_window("Sun 02:00-04:00"),), holidays=friday)
    assert not judged(on_friday, "2026-12-04T03:00")
    assert judged(on_sunday, "2026-12-04T03:00")
    assert not judged(on_sunday, "2026-12-06T03:00")


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
        (['{"queue": "a"}', "{}"], ""),
        (["{}", '{"vhost": "a"}'], "no_label"),
        (['{"queue": "a"}', "{}", '{"vhost": "b"}'], "several_of_labels"),
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
