"""Answers about a pod, a node and a metric from a stored run."""

from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest

from aiops_assets.errors import DataError, NotFoundError, UnknownSubject
from aiops_assets.registry.explaining import episodes_of, explained
from aiops_assets.registry.explanation import nearest
from aiops_assets.registry.findings import INSIDE_BAND, NOT_KEPT, STALE_SCORES, Findings, newest_findings
from aiops_assets.registry.metric_findings import explain_metric
from aiops_assets.registry.own_findings import own_alerts, silent
from aiops_assets.storage.explanations import EPISODE_COLUMNS, nothing
from aiops_assets.storage.scores import AHEAD_COLUMNS, METRIC_COLUMNS, SCORES, SILENCE_COLUMNS, Scores, ScoresRun
from aiops_assets.storage.storage import LocalStorage
from aiops_assets_tests.raising import raises
from aiops_assets_tests.registry.explained_runs import (
    BLOG,
    DETECTORS,
    FAULT,
    NODE,
    NOON,
    SHOP,
    made_at,
    scored,
    whole,
    window,
)

FIRST, SECOND = DETECTORS


@pytest.fixture(scope="module")
def run() -> ScoresRun:
    """A page and a notice of shop/cart-1, a page of node-1; blog/cart-1 is calm."""
    return whole()


@pytest.fixture
def findings(run: ScoresRun) -> Findings:
    return Findings(run, NOON)


def test_a_paged_pod_has_its_metric_first_with_value_band_and_since_when(findings: Findings) -> None:
    found = findings.of_pod("cart-1", "shop")
    assert (found.state, found.metric, found.since) == ("page", "pod_memory_usage", NOON)
    first = found.metrics[0]
    assert first.metric == "pod_memory_usage"
    assert first.value == pytest.approx(FAULT, abs=1e-3)
    assert first.value is not None
    assert first.upper is not None
    assert first.value > first.upper
    assert (first.outside, first.outside_since) == ("above", NOON - timedelta(minutes=25))
    assert first.contribution == 0.8
    assert [(one.by, one.now) for one in found.raised] == [("page", True), (FIRST, True)]
    assert [(one.model, one.version, one.alert) for one in found.scores] == [(SECOND, 2, False), (FIRST, 2, True)]
    assert found.notes == {}
    assert found.subject.workload == "cart"


def test_what_surrounds_a_pod_is_among_its_metrics_where_it_has_a_share(findings: Findings) -> None:
    found = {one.metric: one for one in findings.of_pod("cart-1", "shop").metrics}
    assert found["node_cpu_utilization"].contribution == 0.2
    assert found["node_cpu_utilization"].value == pytest.approx(0.4, abs=0.05)
    assert "node_memory_utilization" not in found


def test_a_node_is_explained_by_its_own_rows(findings: Findings) -> None:
    found = findings.of_node(NODE)
    assert (found.state, found.metric, found.scores) == ("page", "node_memory_utilization", ())
    assert [one.metric for one in found.metrics] == ["node_memory_utilization"]
    assert found.metrics[0].value == pytest.approx(FAULT, abs=1e-3)


def test_a_calm_pod_has_scores_and_says_that_no_band_is_kept(findings: Findings) -> None:
    found = findings.of_pod("cart-1", "blog")
    assert (found.state, found.metric, found.since, found.raised) == ("calm", "", None, ())
    assert len(found.scores) == 2
    assert set(found.notes) == {NOT_KEPT}
    assert {one.metric: one.value for one in found.metrics}["pod_memory_usage"] is None


def test_what_ended_before_the_shown_minutes_is_of_the_day_and_not_of_now() -> None:
    run = scored(alerts=[(FIRST, SHOP, 1)], pages=[(SHOP, 3)])
    findings = Findings(replace(run, episodes=episodes_of(run, nothing(EPISODE_COLUMNS))), NOON)
    found = findings.of_pod("cart-1", "shop")
    assert found.state == "notice"
    assert [(one.by, one.now) for one in found.raised] == [(FIRST, True), ("page", False)]
    assert findings.listed(states=("page",)) == []


def test_a_pod_that_is_gone_is_still_explained() -> None:
    run = scored(pages=[(SHOP, 0)], alerts=[])
    episodes = episodes_of(run, nothing(EPISODE_COLUMNS))
    later = scored(NOON + timedelta(hours=1), pages=[], alerts=[], pods=[BLOG])
    findings = Findings(replace(later, episodes=episodes_of(later, episodes)), NOON)
    found = findings.of_pod("cart-1", "shop")
    assert (found.state, [one.by for one in found.raised]) == ("calm", ["page"])


def test_pods_of_one_name_are_two(findings: Findings) -> None:
    with raises(DataError, "ambiguous_pod", namespaces=["blog", "shop"]):
        findings.of_pod("cart-1")
    assert findings.of_pod("cart-1", "blog").subject.namespace == "blog"


@pytest.mark.parametrize(
    ("kind", "wanted", "like"),
    [("pod", "shop/cart-2", "shop/cart-1"), ("node", "node-3", NODE), ("metric", "pod_memory", "pod_memory_usage")],
)
def test_an_unknown_name_is_refused_with_those_most_like_it(
    findings: Findings, kind: str, wanted: str, like: str
) -> None:
    ask: dict[str, Callable[[], object]] = {
        "pod": lambda: findings.of_pod(*reversed(wanted.split("/"))),
        "node": lambda: findings.of_node(wanted),
        "metric": lambda: explain_metric(findings, wanted),
    }
    with raises(UnknownSubject, f"unknown_{kind}", wanted=wanted) as caught:
        ask[kind]()
    assert like in caught.value.facts["nearest"]
    assert like in str(caught.value)


def test_the_nearest_of_very_many_names_are_found() -> None:
    names = [f"shop/pod-{i}" for i in range(20_000)] + ["blog/cart-7d9"]
    assert nearest("blog/cart-7d8", names) == ["blog/cart-7d9"]
    assert nearest("x", []) == []


def test_a_list_has_pages_first_and_can_be_narrowed(findings: Findings) -> None:
    found = findings.listed()
    assert [(one.state, one.subject.name) for one in found] == [("page", NODE), ("page", SHOP), ("calm", BLOG)]
    assert found[1].raised_by == (FIRST, "page")
    assert found[1].scores == {FIRST: 1.0, SECOND: 1.0}
    assert [one.subject.name for one in findings.listed("blog")] == [BLOG]
    assert [one.subject.name for one in findings.listed(pod="cart-1", states=("page",))] == [SHOP]


def test_a_metric_of_pods_has_those_outside_of_their_band_first(findings: Findings) -> None:
    found = explain_metric(findings, "pod_memory_usage")
    assert found.now is None
    assert [(one.subject.name, one.state, one.now.outside) for one in found.subjects] == [(SHOP, "page", "above")]


def test_a_metric_of_which_nothing_is_kept_says_so() -> None:
    run = scored(alerts=[], pages=[])
    found = explain_metric(Findings(run, NOON), "pod_memory_usage")
    assert (found.subjects, found.forecasts, set(found.notes)) == ((), (), {NOT_KEPT})


def test_forecasts_of_a_metric_have_the_first_time_above_ninety_percent() -> None:
    times = [NOON + timedelta(hours=hours) for hours in (1, 2, 3)]
    frame = pd.DataFrame({"predicted_for": times, "value": [0.8, 0.91, 0.95], "lower": 0.5, "upper": 0.99}).assign(
        made_at=NOON, model_name="f", model_version=4, metric_name="disk_usage"
    )
    findings = Findings(replace(scored(alerts=[], pages=[]), forecasts=frame), NOON)
    (found,) = explain_metric(findings, "disk_usage").forecasts
    assert (found.model, found.version, found.breach_at) == ("f", 4, times[1])
    assert [step.value for step in found.steps] == [0.8, 0.91, 0.95]
    cores = replace(scored(alerts=[], pages=[]), forecasts=frame.assign(metric_name="cpu_usage"))
    assert explain_metric(Findings(cores, NOON), "cpu_usage").forecasts[0].breach_at is None


def test_old_scores_are_said_to_be_old_in_each_answer(run: ScoresRun) -> None:
    old = Findings(run, NOON + timedelta(minutes=61))
    assert STALE_SCORES in old.of_pod("cart-1", "shop").notes
    assert STALE_SCORES in explain_metric(old, "pod_memory_usage").notes
    assert Findings(run, NOON + timedelta(minutes=60)).notes == {}


def test_the_newest_readable_run_answers_and_one_of_a_wrong_clock_does_not(tmp_path: Path, run: ScoresRun) -> None:
    store = Scores(LocalStorage(tmp_path), "prod")
    with raises(NotFoundError, "no_scores"):
        newest_findings(store, NOON)
    for minutes in (-10, 0, 180):
        store.put(made_at(run, NOON + timedelta(minutes=minutes)))
    assert newest_findings(store, NOON).record.made_at == NOON
    damaged = store.storage.local_path(f"{store.folder}/{store.names()[1]}/{SCORES}")
    assert damaged
    damaged.write_bytes(b"")
    assert newest_findings(store, NOON).record.made_at == NOON - timedelta(minutes=10)


def test_answers_are_the_same_after_a_run_was_stored(tmp_path: Path, run: ScoresRun) -> None:
    store = Scores(LocalStorage(tmp_path), "prod")
    store.put(run)
    stored = newest_findings(store, NOON)
    before = Findings(run, NOON)
    assert asdict(stored.of_pod("cart-1", "shop")) == asdict(before.of_pod("cart-1", "shop"))
    assert asdict(stored.of_node(NODE)) == asdict(before.of_node(NODE))
    pd.testing.assert_frame_equal(store.newest_episodes(NOON + timedelta(hours=1)), run.episodes)
    assert store.newest_episodes(NOON).empty


def own_run() -> ScoresRun:
    """A run with two series of a metric of one's own, of which the first has had an alert for ten minutes."""
    times = [NOON - timedelta(minutes=minutes) for minutes in (15, 10, 5, 0)]
    parts = [
        pd.DataFrame({"timestamp": times, "value": values, "alert": alerts}).assign(
            entity=f"queue={queue}", labels=f'{{"queue": "{queue}"}}', score=[1.0, score, score, score]
        )
        for queue, values, alerts, score in (
            ("calm", [10.0] * 4, [False] * 4, 0.1),
            ("orders", [10.0, 50.0, 60.0, 70.0], [True, False, True, True], 3.0),
        )
    ]
    told = {"metric": "depth", "unit": "messages", "severity": "warning"}
    rows = pd.concat(parts, ignore_index=True).assign(expected=10.0, lower=5.0, upper=15.0, **told)
    ahead = rows.iloc[-2:].assign(horizon_seconds=[3600, 300], lower=60.0, upper=90.0, timestamp=NOON)
    return replace(scored(alerts=[], pages=[]), metrics=rows[list(METRIC_COLUMNS)], ahead=ahead[list(AHEAD_COLUMNS)])


def test_a_metric_of_ones_own_has_each_series_with_band_alert_and_forecast() -> None:
    found = explain_metric(Findings(own_run(), NOON), "depth")
    assert (found.unit, found.now, found.subjects, found.notes) == ("messages", None, (), {})
    first, second = found.entities
    assert (first.entity, first.labels, first.severity) == ("queue=orders", {"queue": "orders"}, "warning")
    assert (first.alert, first.alert_since, first.score) == (True, NOON - timedelta(minutes=5), 3.0)
    assert (first.now.value, first.now.expected, first.now.upper, first.now.outside) == (70.0, 10.0, 15.0, "above")
    assert first.now.outside_since == NOON - timedelta(minutes=10)
    assert [step.timestamp for step in first.forecasts] == [NOON + timedelta(minutes=5), NOON + timedelta(hours=1)]
    assert (second.entity, second.alert, second.alert_since) == ("queue=calm", False, None)
    assert second.forecasts == ()


def test_a_notice_about_metrics_that_are_all_inside_says_so() -> None:
    calm = window(fault_rows=0)
    run = scored(alerts=[(FIRST, SHOP, 0)], pages=[])
    findings = Findings(explained(run, calm, nothing(EPISODE_COLUMNS)), NOON)
    assert set(findings.of_pod("cart-1", "shop").notes) == {INSIDE_BAND}


def test_metrics_of_ones_own_that_are_of_a_pod_are_explained_with_it() -> None:
    run = own_run()
    labels = '{"namespace": "shop", "pod": "cart-1"}'
    findings = Findings(replace(run, metrics=run.metrics.assign(labels=labels)), NOON)
    found = {one.metric: one for one in findings.of_pod("cart-1", "shop").metrics}
    assert (found["depth"].value, found["depth"].unit, found["depth"].outside) == (70.0, "messages", "above")
    assert "depth" not in {one.metric for one in findings.of_pod("cart-1", "blog").metrics}
    assert set(findings.of_pod("cart-1", "shop").notes) == {NOT_KEPT}
    of_metric = explain_metric(findings, "depth")
    assert of_metric.entities
    assert of_metric.subjects == ()  # otherwise each series were there twice


def run_without_its_newest_alerts(rows: int) -> Findings:
    """The run of ``own_run``, of which the newest instants have no alert."""
    run = own_run()
    newest = run.metrics["timestamp"].drop_duplicates().nlargest(rows)
    over = run.metrics["timestamp"].isin(newest)
    return Findings(replace(run, metrics=run.metrics.assign(alert=run.metrics["alert"] & ~over)), NOON)


def test_what_metrics_of_ones_own_raise_and_what_is_silent_are_lists_of_their_own() -> None:
    silence = pd.DataFrame(
        [(NOON, "node_gone", "", "node-9", '{"node": "node-9"}', NOON - timedelta(hours=1), "critical")],
        columns=list(SILENCE_COLUMNS),
    )
    findings = Findings(replace(own_run(), silence=silence), NOON)
    (alert,) = own_alerts(findings)
    assert (alert.entity, alert.severity, alert.since) == ("queue=orders", "warning", NOON - timedelta(minutes=5))
    assert (alert.now.metric, alert.now.value, alert.now.unit) == ("depth", 70.0, "messages")
    ended = run_without_its_newest_alerts(1)
    assert [one.entity for one in own_alerts(ended)] == ["queue=orders"]  # shown for ten minutes, as in /metrics
    assert explain_metric(ended, "depth").entities[0].alert_since == alert.since
    assert own_alerts(run_without_its_newest_alerts(2)) == []
    (gone,) = silent(findings)
    assert (gone.reason, gone.entity, gone.labels) == ("node_gone", "node-9", {"node": "node-9"})
    assert gone.since == NOON - timedelta(hours=1)
