from dataclasses import replace
from typing import get_args

import pytest

from aiops_assets.engine.detection.findings import Anomaly, Kind
from aiops_assets.engine.detection.recommendations import ADVICE, recommendations
from aiops_assets_tests.engine.situations import NOW
from aiops_assets_tests.engine.statements import as_data

LEAK = Anomaly("pod_memory_usage", 0.9, 0.4, 0.5, "high", 0.95, NOW, "because", "memory_leak")
SPIKE = replace(LEAK, metric_name="cpu_usage", kind="cpu_spike", severity="critical")


def test_nothing_found_nothing_advised() -> None:
    assert recommendations([], {"namespace": "shop"}) == []


def test_the_most_severe_comes_first_and_none_twice() -> None:
    advised = recommendations([LEAK, SPIKE, replace(SPIKE, metric_name="pod_cpu_usage")], {})
    assert as_data(advised) == [
        ("scale_up", {"where": "the workload", "metric": "cpu_usage"}),
        ("check_memory_leak", {"where": "the workload", "metric": "pod_memory_usage"}),
    ]


@pytest.mark.parametrize(
    ("context", "where"),
    [
        ({}, "the workload"),
        ({"namespace": "shop"}, "namespace shop"),
        ({"resource": "cart"}, "cart"),
        ({"namespace": "shop", "resource": "cart"}, "shop/cart"),
        ({"namespace": " ", "resource": "{metric}"}, "{metric}"),
    ],
)
def test_advice_says_what_it_is_about(context: dict[str, str], where: str) -> None:
    (advice,) = recommendations([LEAK], context)
    assert advice.facts["where"] == where
    assert f" in {where}:" in advice.text


def test_advice_of_a_metric_is_for_its_aliases_too() -> None:
    full = replace(SPIKE, kind="cpu_saturation")
    of_node = recommendations([replace(full, metric_name="cpu_usage")], {})
    assert [one.code for one in of_node] == ["scale_up", "relieve_node_cpu"]
    of_pod = recommendations([replace(full, metric_name="pod_cpu_usage")], {})
    assert [one.code for one in of_pod] == ["scale_up"]


def test_every_kind_has_advice() -> None:
    assert {kind for advice in ADVICE for kind in advice.kinds} == set(get_args(Kind))
    for kind in get_args(Kind):
        assert recommendations([replace(LEAK, metric_name="node_cpu_utilization", kind=kind)], {})
