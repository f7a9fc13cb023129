"""The checks that the series of an answer must pass before they are stored."""

import json

import pytest

from aiops_assets.errors import PrometheusAnswerError
from aiops_assets.timeseries.catalog import METRICS, NODE_CPU, NODE_MEMORY, POD_CPU, POD_MEMORY, MetricSpec, Scope
from aiops_assets.timeseries.promql_labels import possible_labels
from aiops_assets.timeseries.shape import shape_problem
from aiops_assets_tests.raising import raises

A, B = {"pod": "a"}, {"pod": "b"}
CLUSTER_CPU = next(metric for metric in METRICS if metric.name == "cluster_cpu_usage")


def metric(promql: str, per: Scope) -> MetricSpec:
    return MetricSpec(name="m", promql=promql, count="count(x)", unit="count", per=per, description="m")


def code_of(metric: MetricSpec, *series: dict[str, str]) -> str:
    problem = shape_problem(metric, [json.dumps(labels) for labels in series])
    return problem.code if problem else ""


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_no_series_is_no_problem(metric: MetricSpec) -> None:
    assert code_of(metric) == ""
    assert code_of(metric.members) == ""
    assert code_of(metric.members, {}) == ""


@pytest.mark.parametrize(
    ("metric", "series"),
    [
        (POD_CPU, [A, B]),
        (POD_MEMORY, [A]),
        (NODE_CPU, [{}]),
        (NODE_MEMORY, [{"instance": "a:9100", "job": "node"}, {"instance": "b:9100", "job": "node"}]),
        (NODE_MEMORY, [{"instance": "a:9100", "cluster": "one"}]),
        (CLUSTER_CPU, [{}]),
        (metric("sum by (namespace, pod) (x)", "pod"), [{"namespace": "n", **A}, {"namespace": "o", **A}]),
        (metric("x", "pod"), [{"namespace": "n", "__name__": "x", **A}, {"namespace": "n", "__name__": "x", **B}]),
        (metric("x", "node"), [{"instance": "ksm:8080", "node": "a"}, {"instance": "ksm:8080", "node": "b"}]),
        (metric("x", "cluster"), [{"__name__": "x", "instance": "a"}]),
        # What the parser does not know may yield any labels.
        (metric("sum by (pod) (x) keep_metric_names", "pod"), [{"replica": "a", **A}]),
    ],
)
def test_the_series_of_the_query_are_taken(metric: MetricSpec, series: list[dict[str, str]]) -> None:
    assert code_of(metric, *series) == ""


@pytest.mark.parametrize(
    ("metric", "series", "code"),
    [
        (POD_CPU, [{"replica": "a", **A}, {"replica": "b", **A}], "foreign_labels"),
        (POD_CPU, [{"node": "n", **A}], "foreign_labels"),
        (POD_CPU, [{"node": "n"}], "foreign_labels"),
        (POD_CPU, [A, {}], "no_pod"),
        (POD_CPU, [A, {"pod": ""}], "no_pod"),
        (NODE_CPU, [{"instance": "a"}], "foreign_labels"),
        (CLUSTER_CPU, [A, B], "foreign_labels"),
        (CLUSTER_CPU.members, [{"instance": "a"}], "foreign_labels"),
        (metric("sum by (pod, queue) (x)", "pod"), [{"queue": "p", **A}, {"queue": "q", **A}], "several_of_a_pod"),
        (
            metric("x", "pod"),
            [{"namespace": "n", "c": "1", **A}, {"namespace": "n", "c": "2", **A}],
            "several_of_a_pod",
        ),
        (metric("x", "pod"), [{"namespace": "n"}], "no_pod"),
        (NODE_MEMORY, [{"instance": "a", "job": "node"}, {"instance": "a", "job": "node2"}], "several_of_a_node"),
        (NODE_MEMORY, [{"job": "node"}], "no_node"),
        (NODE_MEMORY, [{}, {"instance": "a"}], "no_node"),
        (metric("x", "node"), [{"instance": "k", "node": "a"}, {"instance": "l", "node": "a"}], "several_of_a_node"),
        (metric("x", "cluster"), [A, B], "several_series"),
    ],
)
def test_other_series_are_a_problem(metric: MetricSpec, series: list[dict[str, str]], code: str) -> None:
    assert code_of(metric, *series) == code


def test_a_problem_is_an_error_with_what_it_is_about() -> None:
    named = [json.dumps({"namespace": "n", "c": c, **A}) for c in "12"]
    problem = shape_problem(metric("x", "pod"), named)
    assert problem is not None
    with raises(PrometheusAnswerError, "several_of_a_pod", metric="m", namespace="n", pod="a", count=2):
        raise problem.error()
    foreign = shape_problem(POD_CPU, [json.dumps({"replica": "r" * 10_000, **A})])
    assert foreign is not None
    assert foreign.facts["labels"] == ["replica"]
    assert len(foreign.text) < 1000


@pytest.mark.parametrize(
    ("promql", "labels"),
    [
        ("sum(x)", set()),
        ("sum by (pod) (x)", {"pod"}),
        ("sum(x) by (pod, a) * 2", {"pod", "a"}),
        ("2 * -sum by (pod) (x)", {"pod"}),
        ("sum by (pod) (sum by (node) (x))", set()),
        ("sum without (a) (sum by (a, b) (x))", {"b"}),
        ("sum without (a) (x)", None),
        ("topk(3, sum by (pod) (x))", {"pod"}),
        ("topk by (pod) (3, x)", None),
        ('count_values("v", x)', {"v"}),
        ('count_values by (a) ("v", x)', {"a", "v"}),
        ("x / on (pod) y", {"pod"}),
        ("sum by (a) (x) / on (a) group_left (b) sum by (a, b) (y)", {"a", "b"}),
        ("x * on (a) group_left () sum by (a) (y)", None),
        ("sum by (a) (x) * on (a) group_right () sum by (a, b) (y)", {"a", "b"}),
        ("sum by (a) (x) / ignoring (b) sum by (b) (y)", {"a", "b"}),
        ("sum by (a) (x) and y", {"a"}),
        ("sum by (a) (x) unless on (a) y", {"a"}),
        ("sum by (a) (x) or sum by (b) (y)", {"a", "b"}),
        ("sum(x) or vector(0)", set()),
        ("sum by (a) (x) > bool scalar(y)", {"a"}),
        ('label_replace(sum by (a) (x), "b", "$1", "a", "(.*)")', {"a", "b"}),
        ('label_join(sum by (a) (x), "b", "-", "a", "a")', {"a", "b"}),
        ("max_over_time(sum by (a) (x)[1h:5m])", {"a"}),
        ("histogram_quantile(0.9, sum by (le, a) (rate(x[5m])))", {"a", "le"}),
        ("absent(sum by (a) (x))", None),
        ("rate(x[5m])", None),
        ("vector(time())", set()),
        ("holt_winters(x[5m], 0.1, 0.2)", None),
        ("sum(x) default 0", None),
        ("sum(x", None),
    ],
)
def test_a_query_yields_only_labels_that_it_keeps_or_sets(promql: str, labels: set[str] | None) -> None:
    found = possible_labels(promql)
    assert (found if found is None else set(found)) == labels
