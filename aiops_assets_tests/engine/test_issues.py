"""Which issues are to be expected, as the prediction path answers it."""

import re
from datetime import timedelta

import numpy as np
import pytest

from aiops_assets.engine.events.reading import read_events
from aiops_assets.engine.events.rules import EVENT_RULES, rules_of, words_of
from aiops_assets.engine.events.state import read_state
from aiops_assets.engine.prediction.event_evidence import noisy_or
from aiops_assets.engine.prediction.issue_rules import ACTIONS, LEVEL_RULES, STATE_RULES
from aiops_assets.engine.prediction.issues import IssueOutlook, PredictedIssue, predicted_issues, with_times
from aiops_assets.engine.samples import Sample
from aiops_assets.errors import DataError
from aiops_assets.learners.contracts import Forecast
from aiops_assets.timeseries.history import History
from aiops_assets_tests.engine.forecasting import NOW, LastValue, sent
from aiops_assets_tests.raising import raises

ADR_METRICS = [
    Sample("cpu_usage", 0.856),
    Sample("memory_usage", 0.923),
    Sample("container_restarts", 2.0),
    Sample("cpu_trend_5m", 0.05),
    Sample("memory_trend_1h", 0.15),
]


def found(samples: list[Sample], events: list[object] | None = None, state: object = "healthy") -> IssueOutlook:
    happened = read_events(events or [], NOW, "recent_events")
    return predicted_issues(samples, happened, read_state(state, NOW), LastValue(), now=NOW)


def issues(samples: list[Sample], events: list[object] | None = None, state: object = "healthy") -> list[str]:
    return [one.issue for one in found(samples, events, state).predicted_issues]


def first(samples: list[Sample], events: list[object] | None = None, state: object = "healthy") -> PredictedIssue:
    return found(samples, events, state).predicted_issues[0]


def minutes_of(text: str) -> float:
    assert re.fullmatch(r"\d+m|\d+h(30m)?|\d+d", text), text
    units = {"m": 1, "h": 60, "d": 1440}
    return sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+)([mhd])", text))


def test_the_example_of_the_adr_is_answered_as_there() -> None:
    """Degraded, a restart, high CPU, memory at .923 and rising by .15 an hour: half an hour is left."""
    said = found(ADR_METRICS, ["pod_restart", "high_cpu"], "degraded")
    oom = said.predicted_issues[0]
    assert oom.issue == "pod_oom"
    assert oom.probability == pytest.approx(0.85, abs=0.1)
    assert minutes_of(oom.time_to_occurrence) == pytest.approx(0.077 / 0.15 * 60, abs=1)
    assert {"cpu_saturation", "crash_loop"} <= {one.issue for one in said.predicted_issues}
    assert said.suggested_actions[0] == "increase_memory_limit"
    assert "add_hpa" in said.suggested_actions


def test_the_example_in_percent_is_the_same() -> None:
    percent = [Sample(one.name, one.value * (1 if "restarts" in one.name else 100)) for one in ADR_METRICS]
    events: list[object] = ["pod_restart", "high_cpu"]
    ratios, others = found(ADR_METRICS, events, "degraded"), found(percent, events, "degraded")
    assert [(one.issue, one.time_to_occurrence) for one in ratios.predicted_issues] == [
        (one.issue, one.time_to_occurrence) for one in others.predicted_issues
    ]


def test_all_evidence_of_an_issue_is_combined_by_a_noisy_or() -> None:
    assert noisy_or([0.5, 0.5, 0.2]) == pytest.approx(0.8)
    alone = first([Sample("memory_usage", 0.923)])
    with_event = first([Sample("memory_usage", 0.923)], ["OOMKilled"])
    assert with_event.probability == pytest.approx(1 - (1 - alone.probability) * (1 - 0.7), abs=1e-3)
    degraded = first([Sample("memory_usage", 0.923)], ["OOMKilled"], "degraded")
    assert degraded.probability == pytest.approx(1 - (1 - with_event.probability) * 0.85, abs=1e-3)


@pytest.mark.parametrize("state", ["healthy", "Running", "ok", None, "", {}, {"status": "healthy", "ready": True}])
def test_nothing_is_predicted_of_what_is_well(state: object) -> None:
    rng = np.random.default_rng(1)
    samples = [
        *sent("cpu_usage", 0.4 + 0.02 * rng.standard_normal(60)),
        *sent("memory_usage", 0.6 + 0.01 * rng.standard_normal(60)),
        *sent("disk_usage", 0.5 + 0.001 * rng.standard_normal(60)),
        *sent("container_restart_count", [17.0] * 60),
        *sent("node_memory_utilization", [0.6]),
    ]
    assert found(samples, [], state) == IssueOutlook((), ())
    assert found([], [], state) == IssueOutlook((), ())


def test_healthy_noise_rarely_raises_an_issue() -> None:
    rng = np.random.default_rng(11)
    raised = [
        bool(issues(sent("memory_usage", rng.uniform(0.4, 0.7) + 0.01 * rng.standard_normal(48)))) for _ in range(60)
    ]
    assert sum(raised) <= 4


@pytest.mark.parametrize("hours_left", [0.7, 1.5, 3.0])
def test_a_memory_leak_over_three_hours_ends_when_it_will(hours_left: float) -> None:
    """It reaches 1 at .35 in three hours."""
    slope = 0.35 / 3
    noise = 0.004 * np.random.default_rng(4).standard_normal(36)
    now = 1 - slope * hours_left
    leak = now - slope * np.arange(35, -1, -1) / 12 + noise
    oom = first(sent("memory_usage", leak))
    assert oom.issue == "pod_oom"
    assert oom.probability > 0.6
    assert 0.5 < minutes_of(oom.time_to_occurrence) / (hours_left * 60) < 2
    assert found(sent("memory_usage", leak)).suggested_actions == ("increase_memory_limit", "check_memory_leak")


def test_a_leak_is_seen_without_a_forecaster_and_in_few_samples() -> None:
    quarters = sent("pod_memory_usage", np.linspace(0.5, 0.7, 8), 900)
    (oom,) = predicted_issues(quarters, [], None, None, now=NOW).predicted_issues
    assert (oom.issue, oom.time_to_occurrence) == ("pod_oom", "2h30m")
    (oom,) = predicted_issues(sent("memory_usage", np.linspace(0.4, 0.8, 41)), [], None, None, now=NOW).predicted_issues
    assert (oom.issue, oom.time_to_occurrence) == ("pod_oom", "1h30m")  # .12 an hour, .2 are left


def test_a_forecast_that_reaches_a_limit_is_an_issue_at_that_moment() -> None:
    """CPU at .5 that the forecaster sees rise by a hundredth a step: .95 is reached after 45 of five minutes."""

    class Rising(LastValue):
        def forecast(self, history: History, horizon: int) -> Forecast:
            said = super().forecast(history, horizon)
            value = said.value + 0.01 * np.arange(1, horizon + 1)[:, None]
            return Forecast(said.metrics, said.times, value, value - 0.02, value + 0.02)

    samples = sent("cpu_usage", [0.5, 0.5, 0.5])
    (cpu,) = predicted_issues(samples, [], read_state("healthy", NOW), Rising(), now=NOW).predicted_issues
    assert (cpu.issue, cpu.time_to_occurrence) == ("cpu_saturation", "4h")
    assert cpu.probability == pytest.approx(0.9, abs=0.001)
    assert (cpu.reasons[0].code, cpu.reasons[0].facts) == ("forecast_reaches", {"metric": "cpu_usage", "limit": 0.95})


def test_a_disk_that_fills_in_three_days_says_so() -> None:
    noise = 0.001 * np.random.default_rng(2).standard_normal(72)
    disk = first(sent("disk_usage", np.linspace(0.4, 0.7, 72) + noise, 3600))
    assert (disk.issue, disk.time_to_occurrence) == ("disk_full", "3d")
    assert disk.probability > 0.4  # it may flatten: its interval has no end


def test_a_cpu_spike_saturates_at_once() -> None:
    spike = first(sent("cpu_usage", [30.0] * 20 + [60.0, 85.0, 95.0, 96.0]))
    assert spike.issue == "cpu_saturation"
    assert spike.probability > 0.7
    assert minutes_of(spike.time_to_occurrence) <= 5


def test_a_high_level_that_is_held_is_less_of_an_issue_than_a_new_one() -> None:
    held, new = first(sent("memory_usage", [0.92] * 50)), first([Sample("memory_usage", 0.92)])
    assert held.issue == new.issue == "pod_oom"
    assert held.probability == pytest.approx(new.probability / 2, abs=1e-3)


@pytest.mark.parametrize(
    "events",
    [
        ["CrashLoopBackOff"],
        [{"type": "Warning", "reason": "BackOff", "message": "Back-off restarting", "eventTime": NOW.isoformat()}],
        ["crashloop"],
    ],
)
def test_crash_loop_events_make_a_crash_loop(events: list[object]) -> None:
    loop = first([], events)
    assert (loop.issue, loop.time_to_occurrence) == ("crash_loop", "5m")
    assert found([], events).suggested_actions[0] == "check_container_logs"


def test_restarts_of_the_newest_hour_make_a_crash_loop_and_a_constant_count_none() -> None:
    loop = first(sent("container_restarts", [2, 2, 3, 4, 6], 600))
    assert (loop.issue, loop.time_to_occurrence) == ("crash_loop", "10m")
    assert issues(sent("container_restarts", [50] * 5, 600)) == []
    assert issues([Sample("container_restarts", 50)]) == []
    assert issues(sent("container_restarts", [50, 0], 600)) == []  # a new pod
    assert issues(sent("container_restarts", [1, 2], 86_400)) == []  # once a day


def test_an_error_storm_is_told_from_events_or_from_the_rate() -> None:
    assert first([], ["error_storm", "HTTP_503"]).issue == "error_storm"
    assert first([Sample("error_rate", 0.2)]).issue == "error_storm"


def test_words_that_nobody_knows_say_nothing() -> None:
    events: list[object] = [
        "foo",
        "deployment_updated",
        "zoom",
        "Pulled",
        {},
        {"kind": "Pod", "count": 3},
        "",
        "é" * 999,
    ]
    assert found([], events) == IssueOutlook((), ())


@pytest.mark.parametrize(
    "event",
    [
        "oom_resolved",
        "high cpu cleared",
        {"type": "Normal", "reason": "BackOff"},
        "crash investigation closed",
        "not OOMKilled",
        "no crash",
    ],
)
def test_what_is_over_says_nothing(event: object) -> None:
    assert found([], [event]) == IssueOutlook((), ())


@pytest.mark.parametrize(
    "state",
    ["not critical", "crash investigation closed", "no outage", "critical alert resolved", {"phase": "not down"}],
)
def test_a_state_that_is_over_or_is_not_says_nothing(state: object) -> None:
    assert found([], [], state) == IssueOutlook((), ())


@pytest.mark.parametrize(
    ("text", "issue"),
    [
        ("NodeNotReady", "node_pressure"),
        ("OOMKilled, not resolved", "pod_oom"),
        ("casino OOM", "pod_oom"),
        ("no space left", "disk_full"),
        ("request timeout, connection closed", "latency_degradation"),
    ],
)
def test_what_is_not_over_still_counts(text: str, issue: str) -> None:
    assert first([], [text]).issue == issue


def test_more_events_of_a_kind_count_up_to_three() -> None:
    once, twice, thrice, often = (first([], ["high_cpu"] * n).probability for n in (1, 2, 3, 10_000))
    assert (once, twice, thrice) == (0.5, 0.75, 0.875)
    assert often == thrice


def test_ten_thousand_different_events_are_read() -> None:
    time = NOW.isoformat()
    events: list[object] = [{"type": "Warning", "message": f"pod {i} OOMKilled", "time": time} for i in range(10_000)]
    oom = first([], events)
    assert oom.issue == "pod_oom"
    assert (oom.reasons[0].code, oom.reasons[0].facts["count"]) == ("repeated_event", 10_000)


def test_older_events_say_less_and_those_of_yesterday_nothing() -> None:
    def probability(hours: float) -> float:
        event = {"type": "high_cpu", "timestamp": (NOW - timedelta(hours=hours)).isoformat()}
        return max((one.probability for one in found([], [event]).predicted_issues), default=0.0)

    assert (probability(0), probability(6), probability(25)) == (0.5, 0.25, 0.0)
    assert probability(-1) == 0.5  # a clock that is ahead
    assert first([], [{"type": "high_cpu", "timestamp": "2026-11-21T11:59:59Z"}]).probability == pytest.approx(
        0.5, 0.01
    )


@pytest.mark.parametrize("time", ["yesterday", 12, [], {}])
def test_a_time_that_cannot_be_read_is_refused(time: object) -> None:
    with raises(DataError, "bad_time", position=1):
        found([], ["high_cpu", {"type": "high_cpu", "timestamp": time}])


@pytest.mark.parametrize("event", [None, 3, ["high_cpu"], True])
def test_an_event_that_is_neither_text_nor_object_is_refused(event: object) -> None:
    with raises(DataError, "bad_event", position=0):
        found([], [event])


@pytest.mark.parametrize(
    ("state", "issue"), [("degraded", "service_degradation"), ({"phase": "Failed"}, "service_outage")]
)
def test_a_bad_state_alone_is_an_issue_of_its_own(state: object, issue: str) -> None:
    said = found([], [], state)
    assert [one.issue for one in said.predicted_issues] == [issue]
    assert said.suggested_actions == ACTIONS[issue]


def test_a_state_may_be_any_object() -> None:
    state = {
        "status": {"oom_killed": True, "ready": False, "conditions": [{"type": "DiskPressure"}]},
        "cpu_usage": 97.0,
        "replicas": 3,
        "age": None,
    }
    assert set(issues([], [], state)) == {"pod_oom", "disk_full", "node_pressure", "cpu_saturation"}
    assert issues([Sample("cpu_usage", 20.0)], [], {"cpu_usage": 97.0}) == []  # what was sent as a metric counts


def test_a_state_of_any_depth_is_read_as_far_as_it_goes() -> None:
    deep: object = "OOMKilled"
    for _ in range(500):
        deep = [deep]
    assert issues([], [], deep) == []
    assert issues([], [], {"a": ["fine"] * 100_000}) == []


def test_history_and_a_newest_sample_without_a_time_go_together() -> None:
    samples = [*sent("memory_usage", [0.4, 0.4, 0.4], 600), Sample("memory_usage", 0.96)]
    assert issues(samples) == ["pod_oom"]


def test_a_newest_sample_without_a_time_is_of_now_and_others_stay() -> None:
    samples = [*sent("memory_usage", [0.4, 0.5], 600), Sample("memory_usage", 0.96), Sample("cpu_usage", 0.3)]
    times = [sample.time for sample in with_times(samples, NOW)]
    assert times == [NOW - timedelta(minutes=10), NOW, NOW, None]


def test_an_anomaly_of_the_same_samples_is_no_second_piece() -> None:
    def probability(samples: list[Sample], detected: list[str]) -> dict[str, float]:
        said = predicted_issues(samples, [], None, LastValue(), now=NOW, detected=detected).predicted_issues
        return {one.issue: one.probability for one in said}

    high, raised = [Sample("cpu_usage", 0.97)], [Sample("cpu_usage", 0.8)]
    assert probability(high, []) == {"cpu_saturation": pytest.approx(0.84)}
    assert probability(high, ["cpu_spike", "cpu_saturation"]) == probability(high, [])
    assert probability(raised, ["cpu_spike"]) == {"cpu_saturation": pytest.approx(0.5)}  # .2 by its level
    assert probability([], ["cpu_spike", "cpu_saturation"]) == {"cpu_saturation": pytest.approx(0.5)}
    assert probability(high, ["disk_full"]) == {
        "cpu_saturation": pytest.approx(0.84),
        "disk_full": pytest.approx(0.7),
    }


def test_issues_come_by_probability_and_actions_without_repeats() -> None:
    said = found(
        ADR_METRICS, ["error_storm", "latency", "packet_loss", "CrashLoopBackOff", "FailedScheduling"], "critical"
    )
    probabilities = [one.probability for one in said.predicted_issues]
    assert probabilities == sorted(probabilities, reverse=True)
    assert all(0.2 <= one <= 0.99 for one in probabilities)
    assert len(set(said.suggested_actions)) == len(said.suggested_actions) > 8


def test_each_issue_of_the_tables_has_an_action() -> None:
    named = {rule.issue for rule in (*EVENT_RULES, *LEVEL_RULES, *STATE_RULES)} | {"crash_loop"}
    assert named == set(ACTIONS)
    assert all(re.fullmatch("[a-z_]+", action) for actions in ACTIONS.values() for action in actions)


def test_the_knots_of_levels_rise_and_their_times_fall() -> None:
    for rule in LEVEL_RULES:
        assert list(rule.levels) == sorted(rule.levels)
        assert list(rule.probabilities) == sorted(rule.probabilities)
        assert list(rule.minutes) == sorted(rule.minutes, reverse=True)
        assert len(rule.levels) == len(rule.probabilities) == len(rule.minutes)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("CrashLoopBackOff", "crash_loop_back_off"),
        ("OOMKilled", "oom_killed"),
        ("Back-off  pulling: image!", "back_off_pulling_image"),
        ("HTTP_503", "http_503"),
        ("", ""),
    ],
)
def test_words_are_read_however_they_are_written(text: str, words: str) -> None:
    assert words_of(text) == words


def test_failing_to_pull_an_image_is_no_crash() -> None:
    assert [rule.issue for rule in rules_of("ImagePullBackOff")] == ["image_pull_failure"]
