from dataclasses import replace
from typing import get_args

import pytest

from aiops_assets.engine.detection.findings import Anomaly, Kind
from aiops_assets.engine.detection.recommendations import ADVICE, recommendations
from aiops_assets_tests.engine.situations import NOW

LEAK = Anomaly("pod_memory_usage", 0.9, 0.4, 0.5, "high", 0.95, NOW, "because", "memory_leak")
SPIKE = replace(LEAK, metric_name="cpu_usage", kind="cpu_spike", severity="critical")


def test_nothing_found_nothing_advised() -> None:
    assert recommendations([], {"namespace": "shop"}) == []


def test_the_most_severe_comes_first_and_none_twice() -> None:
    texts = recommendations([LEAK, SPIKE, replace(SPIKE, metric_name="pod_cpu_usage")], {})
    assert [text.split(" of ")[0].split(" in ")[0] for text in texts] == ["Scale up replicas", "Check for memory leak"]


@pytest.mark.parametrize(
    ("context", "where"),
    [
        ({}, "in the workload:"),
        ({"namespace": "shop"}, "in namespace shop:"),
        ({"resource": "cart"}, "in cart:"),
        ({"namespace": "shop", "resource": "cart"}, "in shop/cart:"),
        ({"namespace": " ", "resource": "{metric}"}, "in {metric}:"),
    ],
)
def test_advice_says_what_it_is_about(context: dict[str, str], where: str) -> None:
    (text,) = recommendations([LEAK], context)
    assert where in text


def test_advice_of_a_metric_is_for_its_aliases_too() -> None:
    full = replace(SPIKE, kind="cpu_saturation")
    assert any("add a node" in text for text in recommendations([full], {}))
    assert not any("add a node" in text for text in recommendations([replace(full, metric_name="pod_cpu_usage")], {}))


def test_every_kind_has_advice() -> None:
    assert {kind for advice in ADVICE for kind in advice.kinds} == set(get_args(Kind))
    for kind in get_args(Kind):
        assert recommendations([replace(LEAK, metric_name="node_cpu_utilization", kind=kind)], {})
