import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from aiops_assets.errors import SettingsError
from aiops_assets.timeseries import metrics_file
from aiops_assets.timeseries.catalog import METRICS, SYNTHETIC_METRICS, MetricSpec
from aiops_assets.timeseries.metrics_file import MAX_METRICS, load_metrics
from aiops_assets.timeseries.queries import notes_on_query, settle_seconds
from aiops_assets_tests.raising import raises
from aiops_assets_tests.snapshot import assert_snapshot

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
            promql="sum(rabbitmq_queue_messages) by (namespace, pod)",
            count="count(rabbitmq_queue_messages)",
            unit="messages",
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
    assert spec.members.promql == "count(sum(rabbitmq_queue_messages) by (pod))"
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
    assert spec.members.promql == "count(sum(a) # all of them\n)"


@pytest.mark.parametrize(
    "promql",
    [
        "rate(a[2m])",
        "rate(a[4m])",
        "rate(a[1h30m])",
        "rate(a[1w])",
        "rate(a[300000ms])",
        "rate(a[ 5m ])",
        "rate(a[300])",
        "rate(a[\n5m])",
        "rate(a[5m] offset 1m)",
        "max_over_time(a[1m])",
        "sum(max_over_time(a[1m])) / sum by (pod) (rate(b[5m]))",
        "rate(max_over_time(a[1m])[10m:1m])",
        "rate(sum(rate(a[5m]))[2m:1m])",
        "rate(a{pod=~\"[a-z]+(x[1m])\", b='rate(a[1m])'}[5m]) # rate(a[1m]",
        "sum(rate(a[1h]\n)) or increase (b [1d])",
        'sum by (pod) (a{pod=~"web-.*$"})',
        'label_replace(a, "pod", "$1", "instance", "(.*):.*")',
        "holt_winters(a[1h], 0.3, 0.3)",
        "rate(a[5m] @ 1700000000)",
        # VictoriaMetrics' own words are for the server to judge.
        "sum(a) default 0",
        "rate(a)",
        "aggr_over_time('min_over_time', a[1h])",
    ],
)
def test_what_servers_take_is_taken(path: Path, promql: str) -> None:
    assert load(path, {**QUEUE, "promql": promql})[0].promql == promql


@pytest.mark.parametrize(
    "promql",
    [
        "rate(a[1m])",
        "sum(increase(a[119s])) by (pod)",
        "rate(b[5m]) + rate (a [90s] offset 10m)",
        "max_over_time(irate((a[1m]))[1h:])",
        'rate(a{b="]"}[60])',
        "rate(a[$__rate_interval])",
        'a{job="$job"}',
        'a{job=~"${job:regex}"}',
        'a{job="[[job]]"}',
        "${query}",
        "sum(rate(a[5m])",
        "sum(a))",
        'a{b="c}',
        "a; b",
        "# nothing",
        "scalar(a)",
        "1 + 2 * time()",
        '"a string"',
        "a[5m]",
        "rate(a[5m])[1h:]",
        "a @ end()",
        "sum(rate(a[5m] @ start()))",
        "max_over_time(a[1h:5m] @ end())",
    ],
)
def test_what_yields_no_series_of_its_own_instant_is_refused(path: Path, promql: str) -> None:
    for key in ("promql", "count"):
        said = refusal_of(path, {**QUEUE, key: promql})
        assert said.startswith(f"entry 1 (queue_depth): {key}=")


def test_the_least_range_of_a_rate_follows_the_scrape_interval(path: Path) -> None:
    entry = {**QUEUE, "promql": "sum(rate(a[2m])) by (pod)"}
    [spec] = load(path, entry)
    assert (spec.scrape_seconds, len(notes_on_query(spec))) == (60, 1)
    assert notes_on_query(load_metrics(path, 30)[0]) == ()
    assert load_metrics(path, 30)[0].scrape_seconds == 30
    with raises(SettingsError, "wrong_content"):
        load_metrics(path, 61)
    [own] = load(path, {**entry, "scrape_seconds": 15})
    assert (own.scrape_seconds, notes_on_query(own), settle_seconds(own)) == (15, (), 120)
    assert own.members.scrape_seconds == 15
    assert load_metrics(path, 300) == (own,)
    assert refusal_of(path, {**entry, "scrape_seconds": 120}).startswith("entry 1 (queue_depth): promql=")


WRONG: list[tuple[dict[Any, object], str]] = [
    ({"unit": "per cent"}, "unit=per cent"),
    ({"per": "namespace"}, "per=namespace"),
    ({"lower": 2, "upper": 2}, "lower=2"),
    ({"upper": -1}, "lower=0"),
    ({"lower": "0"}, "lower=0"),
    ({"upper": float("inf")}, "upper=inf"),
    ({"upper": 10**400}, "upper=1"),
    ({"upper": True}, "upper=True"),
    ({"step_seconds": 7}, "step_seconds=7"),
    ({"step_seconds": 7200}, "step_seconds=7200"),
    ({"step_seconds": 70}, "step_seconds=70"),
    ({"step_seconds": 60.5}, "step_seconds=60.5"),
    ({"step_seconds": None}, "step_seconds=None"),
    ({"promql": "  "}, "promql='  '"),
    ({"promql": 5}, "promql=5"),
    ({"promql": "a" * 10_001}, "promql=aaa"),
    ({"count": ""}, "count=''"),
    ({"description": ""}, "description=''"),
    ({"description": "a\nb"}, r"description='a\nb'"),
    ({"description": ["a"]}, "description=a list"),
    ({"metric": "a"}, "unknown key metric"),
    ({5: "a"}, "unknown key 5"),
    ({"unit": "per cent", "per": "x"}, "unit=per cent"),
]


@pytest.mark.parametrize(("change", "what"), WRONG)
def test_a_wrong_value_is_named(path: Path, change: dict[Any, object], what: str) -> None:
    said = refusal_of(path, {**QUEUE, "name": "other"}, {**QUEUE, **change})
    assert said.startswith(f"entry 2 (queue_depth): {what}")


@pytest.mark.parametrize("key", ["name", "promql", "unit"])
def test_what_is_missing_is_named(path: Path, key: str) -> None:
    said = refusal_of(path, {name: value for name, value in QUEUE.items() if name != key})
    assert f"{key} is missing: " in said


@pytest.mark.parametrize("name", ["Queue", "2nd", "a-b", "../a", "a" * 64, "", "a b", "é", 5, None, ["a"]])
def test_a_bad_name_is_refused(path: Path, name: object) -> None:
    said = refusal_of(path, {**QUEUE, "name": name})
    assert said.startswith("entry 1: name=")


@pytest.mark.parametrize("metric", dict.fromkeys((*METRICS, *SYNTHETIC_METRICS)), ids=lambda metric: metric.name)
def test_the_catalogues_names_are_taken(path: Path, metric: MetricSpec) -> None:
    said = refusal_of(path, {**QUEUE, "name": metric.name})
    assert said.startswith(f"entry 1 ({metric.name}): name={metric.name}: ")
    assert "_members" in refusal_of(path, {**QUEUE, "name": metric.members.name})


def test_a_name_given_twice_is_refused(path: Path) -> None:
    other = {**QUEUE, "name": "other"}
    said = refusal_of(path, other, QUEUE, QUEUE)
    assert said.startswith("entry 3 (queue_depth): ")
    assert said.endswith("entry 2")


def test_too_many_metrics_are_refused(path: Path) -> None:
    entries = [{**QUEUE, "name": f"a{i}"} for i in range(MAX_METRICS + 1)]
    assert len(load(path, *entries[:-1])) == MAX_METRICS
    assert refusal_of(path, *entries).startswith(f"has {MAX_METRICS + 1} metrics")


OTHERS: list[tuple[str | bytes, str]] = [
    ("", "key metrics"),
    ("- a\n- b\n", "key metrics"),
    ("metric: []", "key metrics"),
    ("metrics:", "list of metrics"),
    ("metrics: {a: b}", "list of metrics"),
    ("metrics: [a]", "entry 1: "),
    ("metrics: []\nextra: 1", "unknown key extra"),
    ("metrics: []\nmetrics: []", "at line 1"),
    ("metrics:\n- {name: a, name: b}", "at line 2"),
    ("metrics: [\n", "line 2, column 1: "),
    ("a: b: c", "line 1, column 5: "),
    ("metrics: []\n---\nmetrics: []", "line 2, column 1: "),
    ("metrics: !!python/object:os.system {}", "line 1, column 10: "),
    ("metrics: 2026-99-99", "month"),
    ("metrics: " + "[" * 5000, "nested too deeply"),
    (b"metrics: \xff", "'utf-8' codec"),
    (b"metrics: \x00", "unacceptable character"),
    ("#" * 1_000_001, "1000000 bytes"),
]


@pytest.mark.parametrize(("text", "what"), OTHERS)
def test_a_file_that_is_something_else_is_refused(path: Path, text: str | bytes, what: str) -> None:
    assert what in refusal_of_text(path, text)


def test_a_small_file_that_means_an_astronomic_value_is_refused_at_once(path: Path) -> None:
    bomb = ["a0: &a0 [x, x]", *(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}, *a{i - 1}]" for i in range(1, 60))]
    assert refusal_of_text(path, "\n".join([*bomb, "metrics: []"])).startswith("unknown key a0")
    inside = "\n".join(["metrics:", "-", *(f"  {line}" for line in ["promql: &a0 [x, x]", *bomb[1:3]]), "  name: *a2"])
    said = refusal_of_text(path, inside)
    assert "name=a list: " in said
    assert said.endswith("; and 3 more")


def test_files_that_cannot_be_read_are_named(path: Path, tmp_path: Path) -> None:
    below_a_file = tmp_path / "file" / "metrics.yaml"
    below_a_file.parent.write_text("")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for file, code in (
        (path, "no_file"),
        (tmp_path, "is_directory"),
        (pipe, "not_regular"),
        (below_a_file, "unreadable"),
    ):
        with raises(SettingsError, code, path=file):
            load_metrics(file)
    assert refusal(below_a_file).endswith("Not a directory")
    texts = [refusal(file) for file in (path, tmp_path, pipe)]
    assert_snapshot("unreadable_metrics_files", "".join(f"{text}\n" for text in texts))


def test_the_wordings_are_those_that_were_agreed(path: Path, tmp_path: Path) -> None:
    """People read these when they write such a file, so each is kept as it is; YAML's own words are left out."""
    changes = [change for change, _ in WRONG if change.get("upper") != 10**400]
    changes += [{"name": "Queue"}, {"name": METRICS[0].name}, {"promql": "rate(a[1m])"}]
    changes += [{"promql": promql} for promql in ("a[5m]", "scalar(a)", "a @ end()", "sum(a", 'a{b="$c"}', "a{b='c}")]
    said = [refusal_of(path, {**QUEUE, **change}) for change in changes]
    said += [refusal_of(path, {}), refusal_of(path, QUEUE, QUEUE)]
    others = [refusal_of_text(path, text) for text, _ in OTHERS if len(text) < 1000]
    said += [line for line in others if "YAML" not in line]
    said += [refusal(tmp_path), refusal(tmp_path / "nothing")]
    assert_snapshot("metrics_file", "".join(f"{line}\n" for line in said))
