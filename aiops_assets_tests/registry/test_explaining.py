"""What a run keeps of the reasons of its alerts: which rows, which bands, and since when."""

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from aiops_assets.registry import explaining
from aiops_assets.registry.explaining import episodes_of, explained, subjects_in_order
from aiops_assets.storage.explanations import CLUSTER, EPISODE_COLUMNS, EXPLANATION_COLUMNS, PAGE, SIDES, nothing
from aiops_assets_tests.registry.explained_runs import (
    BLOG,
    DETECTORS,
    FAULT,
    LEVEL,
    NODE,
    NOON,
    SHOP,
    STEP,
    scored,
    whole,
    window,
)

NONE = nothing(EPISODE_COLUMNS)
FIRST, SECOND = DETECTORS


def spans(episodes: pd.DataFrame, by: str) -> list[tuple[float, float]]:
    """Minutes before noon at which episodes begin and end."""
    rows = episodes[episodes["raised_by"] == by].sort_values("since")
    times = (rows[name] for name in ("since", "until"))
    return [tuple((NOON - one).total_seconds() / 60 for one in pair) for pair in zip(*times, strict=True)]


def of_first(run_alerts: list[int]) -> list[tuple[str, str, int]]:
    return [(FIRST, SHOP, back) for back in run_alerts]


@pytest.mark.parametrize(
    ("back", "expected"),
    [
        ([0], [(0, 0)]),
        ([3, 2, 1, 0], [(15, 0)]),
        ([4, 2, 0], [(20, 0)]),  # ten minutes apart: the alert goes on
        ([5, 2], [(25, 25), (10, 10)]),  # a quarter of an hour apart: it ended between
        ([], []),
    ],
)
def test_rows_that_one_alert_shows_are_one_episode(back: list[int], expected: list[tuple[float, float]]) -> None:
    assert spans(episodes_of(scored(alerts=of_first(back), pages=[]), NONE), FIRST) == expected


def test_an_episode_begins_where_earlier_runs_saw_it_begin_however_long_ago() -> None:
    episodes = NONE
    for hours in range(30, -1, -1):
        always = [(SHOP, back) for back in range(12)]
        episodes = episodes_of(scored(NOON - timedelta(hours=hours), alerts=[], pages=always), episodes)
    assert spans(episodes, PAGE) == [(30 * 60 + 55, 0)]


def test_an_episode_that_ended_is_kept_for_a_day_and_a_new_one_is_another() -> None:
    first = episodes_of(scored(NOON - timedelta(hours=3), alerts=of_first([0]), pages=[]), NONE)
    then = episodes_of(scored(alerts=of_first([0]), pages=[]), first)
    assert spans(then, FIRST) == [(180, 180), (0, 0)]
    later = episodes_of(scored(NOON + timedelta(hours=22), alerts=[], pages=[]), then)
    assert spans(later, FIRST) == [(0, 0)]
    assert episodes_of(scored(NOON + timedelta(hours=25), alerts=[], pages=[]), later).empty


def test_episodes_are_of_one_subject_and_one_who_raised_them() -> None:
    alerts = [(FIRST, SHOP, 0), (SECOND, SHOP, 0), (FIRST, BLOG, 0)]
    found = episodes_of(scored(alerts=alerts), NONE)
    rows = found[["kind", "namespace", "node", "raised_by", "metric"]].itertuples(index=False, name=None)
    assert set(rows) == {
        ("pod", "shop", "", PAGE, "pod_memory_usage"),
        ("node", "", NODE, PAGE, "node_memory_utilization"),
        ("pod", "shop", "", FIRST, "pod_memory_usage"),
        ("pod", "shop", "", SECOND, "pod_memory_usage"),
        ("pod", "blog", "", FIRST, "pod_memory_usage"),
    }


def test_a_workload_that_becomes_known_does_not_begin_an_episode_anew() -> None:
    before = episodes_of(scored(NOON - STEP, pages=[(SHOP, 0)], alerts=[]), NONE).assign(workload="cart-1")
    found = episodes_of(scored(pages=[(SHOP, 0)], alerts=[]), before)
    assert spans(found, PAGE) == [(5, 0)]
    assert list(found["workload"]) == ["cart"]


def test_pages_come_first_then_what_most_models_find_unusual() -> None:
    alerts = [(FIRST, SHOP, 0), (FIRST, BLOG, 0), (SECOND, BLOG, 0)]
    found = subjects_in_order(episodes_of(scored(alerts=alerts, pages=[(NODE, 0)]), NONE))
    assert [one[4] or one[1] for one in found] == [NODE, "blog", "shop"]


def test_a_day_of_what_is_raised_is_kept_with_the_band_of_the_rows_before() -> None:
    run = whole()
    rows = run.explanations
    assert tuple(rows.columns) == EXPLANATION_COLUMNS
    pod = rows[(rows["namespace"] == "shop") & (rows["metric"] == "pod_memory_usage")]
    assert len(pod) == 288
    assert pod["timestamp"].is_monotonic_increasing
    newest, calm = pod.iloc[-1], pod.iloc[:-6]
    assert newest["value"] == pytest.approx(FAULT, abs=1e-3)
    assert newest["expected"] == pytest.approx(LEVEL, abs=0.1)
    assert newest["value"] > newest["upper"]
    inside = (calm["value"] >= calm["lower"]) & (calm["value"] <= calm["upper"])
    assert inside.mean() > 0.95
    assert {"node_memory_utilization"} == set(rows.loc[rows["node"] == NODE, "metric"])
    assert not len(rows[rows["namespace"] == "blog"]), "of a calm pod nothing is kept"
    assert set(rows["kind"]) == {"pod", "node", CLUSTER}


def test_of_a_counter_the_increase_is_kept_and_nobody_misses_one() -> None:
    rows = whole().explanations
    restarts = rows[(rows["namespace"] == "shop") & (rows["metric"] == "container_restart_count")]
    assert restarts["value"].iloc[-1] == 2.0
    assert restarts["value"].iloc[:-1].max() == 0.0
    assert (restarts["lower"].dropna() == 0.0).all()


def test_of_many_subjects_the_later_ones_have_an_hour_and_the_rest_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explaining, "MAX_DAYS", 1)
    monkeypatch.setattr(explaining, "MAX_HOURS", 1)
    pods = [f"shop/cart-{i}" for i in range(3)]
    run = scored(alerts=[(FIRST, pod, 0) for pod in pods], pages=[(pods[2], 0)], pods=pods)
    rows = explained(run, window(pods=pods), NONE).explanations
    memory = rows[rows["metric"] == "pod_memory_usage"].groupby("pod").size()
    assert memory.to_dict() == {"cart-2": 288, "cart-0": 12} or memory.to_dict() == {"cart-2": 288, "cart-1": 12}


def test_episodes_are_bounded_and_the_newest_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explaining, "MAX_EPISODES", 2)
    found = episodes_of(scored(alerts=[(FIRST, SHOP, 3), (FIRST, BLOG, 1)], pages=[(NODE, 0)]), NONE)
    assert [one or "node" for one in found["namespace"]] == ["node", "blog"]


def test_a_window_without_pods_explains_nothing_and_fails_nothing() -> None:
    run = scored(alerts=[], pages=[])
    empty = explained(run, type(window())("prometheus"), NONE)
    assert empty.explanations.empty
    assert empty.episodes.empty
    assert list(empty.explanations.columns) == list(EXPLANATION_COLUMNS)


def test_numbers_are_kept_to_four_digits() -> None:
    exact = np.array([0.123456789, 1234.56789, 0.0, np.nan])
    kept = explaining._short(exact)
    np.testing.assert_allclose(kept, exact, rtol=1e-4)
    assert kept.dtype == np.float32
    assert set(SIDES) <= set(EXPLANATION_COLUMNS)
