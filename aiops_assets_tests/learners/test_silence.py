"""What has stopped, and what was meant to."""

from dataclasses import replace

import numpy as np
import pytest

from aiops_assets.learners.silence.entities import Present, gone_nodes, last_known, missed_pods
from aiops_assets.learners.silence.stillness import LEAST_CHANGES, Stillness
from aiops_assets.timeseries.series import Floats

NOW = 1_000_000.0


def moving(rests: int = 1, rows: int = 400) -> Floats:
    """A value that is another one every so many rows."""
    return np.repeat(1 + np.arange(-(-rows // rests)) % 7, rests)[:rows].astype(float)


def frozen(values: Floats) -> bool:
    after = Stillness.new(1).after(np.array([np.nan]), values[np.newaxis])
    return bool(after.frozen(values[-1:])[0])


@pytest.mark.parametrize(("rests", "still", "found"), [(1, 1, False), (1, 2, True), (5, 9, False), (5, 10, True)])
def test_a_value_froze_when_it_rests_longer_than_it_ever_did(rests: int, still: int, found: bool) -> None:
    values = moving(rests)
    values = np.concatenate([values, [50.0], np.full(still, 50.0)])
    assert frozen(values) is found


def test_what_seldom_changed_or_is_zero_is_not_frozen() -> None:
    assert not frozen(np.full(500, 3.0))
    assert not frozen(np.concatenate([moving(rows=LEAST_CHANGES - 5), np.full(50, 9.0)]))
    assert not frozen(np.concatenate([moving(), np.zeros(50)]))


@pytest.mark.parametrize("cuts", [[1], [3, 200, 201, 390]])
def test_rest_goes_on_over_runs_and_gaps(cuts: list[int]) -> None:
    rng = np.random.default_rng(2)
    values = rng.integers(0, 3, (4, 400)).astype(float)
    values[rng.random(values.shape) < 0.1] = np.nan
    whole = Stillness.new(4).after(np.full(4, np.nan), values)
    part, last = Stillness.new(4), np.full(4, np.nan)
    for piece in np.split(values, cuts, axis=1):
        part = part.after(last, piece)
        for i, row in enumerate(piece):
            known = row[np.isfinite(row)]
            last[i] = known[-1] if len(known) else last[i]
    for name in ("still", "longest", "changes"):
        assert np.array_equal(getattr(part, name), getattr(whole, name))


def test_a_node_that_nothing_is_heard_of_is_gone_while_others_are() -> None:
    last = {"here": NOW, "gone": NOW - 300, "long-gone": NOW - 7 * 3600, "unknown": -np.inf}
    assert gone_nodes(last, NOW, Present(nodes=frozenset({"here"}))) == ["gone"]
    assert gone_nodes(last, NOW, Present()) == []  # of no node: that is the fetch
    assert gone_nodes(last, NOW, Present(nodes=frozenset({"another"}))) == []


def test_the_newest_instant_of_several_metrics() -> None:
    cpu = np.array([[1.0, np.nan, np.nan], [np.nan, np.nan, np.nan], [np.nan] * 3])
    disk = np.array([[np.nan, 1.0, np.nan], [np.nan, np.nan, 1.0], [np.nan] * 3])
    assert last_known([cpu, disk], np.array([10.0, 20.0, 30.0])).tolist() == [20.0, 30.0, -np.inf]


CART = {f"shop/cart-{i}": "Deployment/cart" for i in range(10)}
DESIRED = {"shop/Deployment/cart": 10.0}


def missed(
    silent: dict[str, str], pods: dict[str, str], desired: float = 10.0, starting: frozenset[str] = frozenset()
) -> list[str]:
    """Pods that are missed, of these that are silent; ``pods`` exist, and those that start have no samples yet."""
    known = ({*CART, *pods} - starting) | silent.keys()
    present = Present(
        frozenset(pods) - starting, pods, {"shop/Deployment/cart": desired}, frozenset(known - silent.keys())
    )
    return missed_pods(known, present, {**CART, **silent})


def without(*gone: int) -> dict[str, str]:
    return {pod: workload for i, (pod, workload) in enumerate(CART.items()) if i not in gone}


def test_a_pod_that_vanished_without_its_workload_shrinking_is_missed() -> None:
    silent = {"shop/cart-3": "Deployment/cart"}
    assert missed(silent, without(3)) == ["shop/cart-3"]  # deleted, and no other takes its place
    assert missed(silent, dict(CART)) == ["shop/cart-3"]  # running, and nothing is heard of it


def test_ten_scale_downs_are_nothing() -> None:
    for left in range(9, -1, -1):
        gone = range(left, 10)
        silent = {f"shop/cart-{i}": "Deployment/cart" for i in gone}
        assert missed(silent, without(*gone), desired=float(left)) == []


def test_ten_roll_outs_are_nothing() -> None:
    for step in range(10):
        old = {f"shop/cart-{i}": "Deployment/cart" for i in range(step + 1)}
        new = {f"shop/cart-new-{i}": "Deployment/cart" for i in range(step)}
        # One fewer than wanted for a moment, and the newest one is about to start.
        pods = {**without(*range(step + 1)), **new, "shop/cart-next": "Deployment/cart"}
        assert missed(old, pods, starting=frozenset([*new, "shop/cart-next"])) == []
        assert missed(old, {**without(*range(step + 1)), **new, "shop/x": "Deployment/cart"}) == []


def test_twenty_finished_jobs_are_nothing() -> None:
    for kind in ("Job", "CronJob"):
        jobs = {f"shop/report-{i}": f"{kind}/report" for i in range(20)}
        assert missed(jobs, dict(CART)) == []
        assert missed(jobs, {**CART, **jobs}) == []  # they exist, and are completed or about to be


def test_a_pod_of_a_deleted_workload_or_of_another_namespace_is_not_missed() -> None:
    assert missed({"shop/old-1": "Deployment/old"}, dict(CART)) == []
    assert missed({"blog/cart-1": "Deployment/cart"}, without(1)) == []


def test_without_kube_state_metrics_or_without_any_pod_nothing_is_missed() -> None:
    heard = frozenset(CART) - {"shop/cart-0"}
    assert missed_pods(CART, Present(heard=heard), CART) == []
    everything = Present(frozenset(CART), CART, DESIRED, heard)
    assert missed_pods(CART, everything, CART) == ["shop/cart-0"]
    assert missed_pods(CART, replace(everything, heard=frozenset()), CART) == []
