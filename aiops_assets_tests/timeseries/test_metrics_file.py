import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from aiops_assets.errors import SettingsError
from aiops_assets.timeseries import metrics_file
from aiops_assets.timeseries.catalog import METRICS, SYNTHETIC_METRICS, MetricSpec
from aiops_assets.timeseries.metrics_file import MOST_METRICS, load_metrics

QUEUE: dict[str, Any] = {
    "name": "queue_depth",
    "promql": "sum(rabbitmq_queue_messages) by (pod)",
    "unit": "count",
    "description": "messages waiting in queues",
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "metrics.yaml"


def load(path: Path, *entries: object) -> tuple[MetricSpec, ...]:
    path.write_text(yaml.safe_dump({"metrics": list(entries)}))
    return load_metrics(path)


def refusal(path: Path) -> str:
    """What is said of a file, without its name; always one line."""
    with pytest.raises(SettingsError) as caught:
        load_metrics(path)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < len(str(path)) + 400
    assert message.startswith(f"METRICS_FILE={path}: ")
    return message.removeprefix(f"METRICS_FILE={path}: ")


def refusal_of(path: Path, *entries: object) -> str:
    path.write_text(yaml.safe_dump({"metrics": list(entries)}))
    return refusal(path)


def refusal_of_text(path: Path, text: str | bytes) -> str:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return refusal(path)


def test_the_example_of_the_module_is_a_metric(path: Path) -> None:
    example = re.search(r"```yaml\n(.*?)```", metrics_file.__doc__ or "", re.DOTALL)
    assert example
    path.write_text(example[1])
    assert load_metrics(path) == (
        MetricSpec(
            name="queue_depth",
            promql="sum(rabbitmq_queue_messages) by (pod)",
            count="count(rabbitmq_queue_messages)",
            unit="count",
            per="pod",
            description="messages waiting in queues",
            lower=0.0,
            upper=None,
            step_seconds=300,
        ),
    )


def test_defaults(path: Path) -> None:
    (spec,) = load(path, QUEUE)
    assert (spec.per, spec.lower, spec.upper, spec.step_seconds) == ("cluster", 0.0, None, 300)
    assert spec.count == "count(sum(rabbitmq_queue_messages) by (pod))"
    assert spec.members.name == "queue_depth_members"


def test_bounds_may_be_open_or_negative(path: Path) -> None:
    assert load(path, {**QUEUE, "lower": None})[0].lower is None
    (spec,) = load(path, {**QUEUE, "lower": -5, "upper": 2.5, "step_seconds": 60})
    assert (spec.lower, spec.upper, spec.step_seconds) == (-5.0, 2.5, 60)


def test_order_is_kept_and_a_list_may_be_empty(path: Path) -> None:
    names = ["zebra", "ant", "b2"]
    assert [spec.name for spec in load(path, *({**QUEUE, "name": name} for name in names))] == names
    assert load(path) == ()
    path.write_bytes(b"\xef\xbb\xbfmetrics: []\n")
    assert load_metrics(path) == ()


def test_a_comment_in_a_query_does_not_swallow_the_count(path: Path) -> None:
    (spec,) = load(path, {**QUEUE, "promql": "sum(a) # all of them"})
    assert spec.count == "count(sum(a) # all of them\n)"


@pytest.mark.parametrize(
    "promql",
    [
        "rate(a[4m])",
        "rate(a[240s])",
        "rate(a[5m] offset 1m)",
        "max_over_time(a[1m])",
        "sum(max_over_time(a[1m])) / sum by (pod) (rate(b[5m]))",
        "rate(max_over_time(a[1m])[10m:1m])",
        "rate(a{pod=~\"[a-z]+(x[1m])\", b='rate(a[1m])'}[5m]) # rate(a[1m])",
        "sum(rate(a[1h]\n)) or increase (b [1d])",
    ],
)
def test_ranges_that_hold_four_scrapes_are_taken(path: Path, promql: str) -> None:
    assert load(path, {**QUEUE, "promql": promql})[0].promql == promql


@pytest.mark.parametrize(
    ("promql", "what"),
    [
        ("rate(a[1m])", "rate over [1m] is empty"),
        ("sum(increase(a[239s])) by (pod)", "increase over [239s] is empty"),
        ("rate(b[5m]) + rate (a [3m] offset 10m)", "rate over [3m] is empty"),
        ("max_over_time(rate(a[2m])[1h:])", "rate over [2m] is empty"),
        ("rate(sum(rate(a[5m]))[2m:1m])", "rate over [2m] is empty"),
        ('rate(a{b="]"}[1m])', "rate over [1m] is empty"),
        ("rate(a[1h30m])", "the range [1h30m] must be one whole number with s, m, h or d"),
        ("rate(a[$__rate_interval])", "the range [$__rate_interval] must be"),
        ("rate(a[\n5m])", r"the range ['\n5m'] must be"),
    ],
)
def test_ranges_too_short_or_not_readable_are_refused(path: Path, promql: str, what: str) -> None:
    said = refusal_of(path, {**QUEUE, "promql": promql})
    assert said.startswith("entry 1 (queue_depth): promql=")
    assert what in said
    assert what in refusal_of(path, {**QUEUE, "count": promql})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"unit": "percent"}, "unit=percent: must be one of ratio, cores, count, bytes/s"),
        ({"per": "namespace"}, "per=namespace: must be one of pod, node, cluster"),
        ({"lower": 2, "upper": 2}, "lower=2: must be below upper=2"),
        ({"upper": -1}, "lower=0: must be below upper=-1"),
        ({"lower": "0"}, "lower=0: must be a finite number or null"),
        ({"upper": float("inf")}, "upper=inf: must be a finite number or null"),
        ({"upper": 10**400}, "upper=1"),
        ({"upper": True}, "upper=True: must be a finite number or null"),
        ({"step_seconds": 7}, "step_seconds=7: must be a whole number of seconds, 10 to 3600, that divides a day"),
        ({"step_seconds": 7200}, "step_seconds=7200: must be a whole number"),
        ({"step_seconds": 70}, "step_seconds=70: must be a whole number"),
        ({"step_seconds": 60.5}, "step_seconds=60.5: must be a whole number"),
        ({"step_seconds": None}, "step_seconds=None: must be a whole number"),
        ({"promql": "  "}, "promql='  ': must be a PromQL query"),
        ({"promql": 5}, "promql=5: must be a PromQL query"),
        ({"promql": "a" * 10_001}, "promql=aaa"),
        ({"count": ""}, "count='': must be a PromQL query"),
        ({"description": ""}, "description='': must be one line"),
        ({"description": "a\nb"}, r"description='a\nb': must be one line"),
        ({"description": ["a"]}, "description=a list: must be one line"),
        ({"metric": "a"}, "unknown key metric; allowed: name, promql, unit, per, description, lower, upper, step_"),
        ({5: "a"}, "unknown key 5; allowed: name"),
        ({"unit": "percent", "per": "x"}, "unit=percent: must be one of ratio, cores, count, bytes/s; per=x: must"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(path: Path, change: dict[Any, object], said: str) -> None:
    assert refusal_of(path, {**QUEUE, "name": "other"}, {**QUEUE, **change}).startswith(
        f"entry 2 (queue_depth): {said}"
    )


@pytest.mark.parametrize("key", ["name", "promql", "unit", "description"])
def test_what_is_missing_is_named(path: Path, key: str) -> None:
    said = refusal_of(path, {name: value for name, value in QUEUE.items() if name != key})
    assert f"{key} is missing: it must be" in said


@pytest.mark.parametrize("name", ["Queue", "2nd", "a-b", "../a", "a" * 64, "", "a b", "é", 5, None, ["a"]])
def test_a_bad_name_is_refused(path: Path, name: object) -> None:
    said = refusal_of(path, {**QUEUE, "name": name})
    assert said.startswith("entry 1: name=")
    assert "must be lower-case letters, digits and underscores" in said


@pytest.mark.parametrize("metric", dict.fromkeys((*METRICS, *SYNTHETIC_METRICS)), ids=lambda metric: metric.name)
def test_the_catalogues_names_are_taken(path: Path, metric: MetricSpec) -> None:
    said = refusal_of(path, {**QUEUE, "name": metric.name})
    assert said == f"entry 1 ({metric.name}): name={metric.name}: is a metric of the built-in catalogue: " + (
        "choose another name"
    )
    assert "must not end in _members" in refusal_of(path, {**QUEUE, "name": metric.members.name})


def test_a_name_given_twice_is_refused(path: Path) -> None:
    other = {**QUEUE, "name": "other"}
    assert refusal_of(path, other, QUEUE, QUEUE) == "entry 3 (queue_depth): the name is already that of entry 2"


def test_too_many_metrics_are_refused(path: Path) -> None:
    entries = [{**QUEUE, "name": f"a{i}"} for i in range(MOST_METRICS + 1)]
    assert len(load(path, *entries[:-1])) == MOST_METRICS
    assert refusal_of(path, *entries) == "has 201 metrics; at most 200 are allowed"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "must be a mapping with the key metrics"),
        ("- a\n- b\n", "must be a mapping with the key metrics"),
        ("metric: []", "must be a mapping with the key metrics"),
        ("metrics:", "metrics must be a list"),
        ("metrics: {a: b}", "metrics must be a list"),
        ("metrics: [a]", "entry 1: must be a mapping with the keys name, promql"),
        ("metrics: []\nextra: 1", "unknown key extra; allowed: metrics"),
        ("metrics: []\nmetrics: []", "key metrics is given 2 times in the mapping at line 1: keep one"),
        ("metrics:\n- {name: a, name: b}", "key name is given 2 times in the mapping at line 2: keep one"),
        ("metrics: [\n", "is not YAML: line 2, column 1: "),
        ("a: b: c", "is not YAML: line 1, column 5: "),
        ("metrics: []\n---\nmetrics: []", "is not YAML: line 2, column 1: "),
        ("metrics: !!python/object:os.system {}", "is not YAML: line 1, column 10: could not determine a constructor"),
        ("metrics: 2026-99-99", "is not YAML: month must be"),
        ("metrics: " + "[" * 5000, "is not YAML that can be read: it is nested too deeply"),
        (b"metrics: \xff", "is not YAML: 'utf-8' codec"),
        (b"metrics: \x00", "is not YAML: unacceptable character"),
        ("#" * 1_000_001, "is larger than 1000000 bytes"),
    ],
)
def test_a_file_that_is_something_else_is_refused(path: Path, text: str | bytes, said: str) -> None:
    assert refusal_of_text(path, text).startswith(said)


def test_a_small_file_that_means_an_astronomic_value_is_refused_at_once(path: Path) -> None:
    bomb = ["a0: &a0 [x, x]", *(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}, *a{i - 1}]" for i in range(1, 60))]
    assert refusal_of_text(path, "\n".join([*bomb, "metrics: []"])).startswith("unknown key a0")
    inside = "\n".join(["metrics:", "-", *(f"  {line}" for line in ["promql: &a0 [x, x]", *bomb[1:3]]), "  name: *a2"])
    said = refusal_of_text(path, inside)
    assert "name=a list: must be lower-case letters" in said
    assert said.endswith("; and 4 more")


def test_files_that_cannot_be_read_are_named(path: Path, tmp_path: Path) -> None:
    assert refusal(path) == "there is no such file"
    assert refusal(tmp_path) == "is a directory, must be a YAML file"
    os.mkfifo(path)
    assert refusal(path) == "is not a regular file, must be a YAML file"
    below_a_file = tmp_path / "file" / "metrics.yaml"
    below_a_file.parent.write_text("")
    assert refusal(below_a_file) == "cannot be read: Not a directory"
