"""Several pods, nodes or containers in one request: what is asked together, and how the answers become one."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from aiops_assets.engine.detection.anomalies import Detection, detect
from aiops_assets.engine.each_pod import detect_each, issues_each, predict_each
from aiops_assets.engine.events.reading import read_events
from aiops_assets.engine.events.state import read_state
from aiops_assets.engine.pods import MAX_GROUPS, MAX_PODS, Group, Owner, groups_of
from aiops_assets.engine.prediction.issues import IssueOutlook, predicted_issues
from aiops_assets.engine.prediction.predictions import Predictions, predict
from aiops_assets.engine.samples import Sample
from aiops_assets.errors import DataError
from aiops_assets.timeseries.series import Floats
from aiops_assets_tests.engine.forecasting import NOW, LastValue, sent
from aiops_assets_tests.engine.row_forest import row_forest
from aiops_assets_tests.engine.statements import as_data
from aiops_assets_tests.raising import raises

NODE = Sample("node_memory_utilization", 0.5)


def of(name: str, value: float, **labels: str) -> Sample:
    return Sample(name, value, labels=labels)


def series_of(name: str, values: Sequence[float] | Floats, **labels: str) -> list[Sample]:
    return [replace(one, labels=labels) for one in sent(name, values)]


def groups(*samples: Sample) -> list[Group]:
    return groups_of(samples, NOW)


def values(group: Group) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for sample in group.samples:
        found.setdefault(sample.name, []).append(sample.value)
    return found


def detected(*samples: Sample, context: Mapping[str, str] | None = None) -> Detection:
    return detect_each(
        groups(*samples), lambda group: detect(group.samples, row_forest(), now=NOW), context or {}, len(samples)
    )


def predicted(*samples: Sample) -> Predictions:
    return predict_each(groups(*samples), lambda asked: predict(asked, "1h", LastValue(), now=NOW))


def issues(*samples: Sample, events: Sequence[object] = (), state: object = None) -> IssueOutlook:
    happened, known = read_events(events, NOW), read_state(state, NOW)
    return issues_each(groups(*samples), lambda asked: predicted_issues(asked, happened, known, LastValue(), now=NOW))


class TestGroups:
    @pytest.mark.parametrize(
        "samples",
        [
            [],
            [NODE],
            [of("cpu_usage", 0.4, namespace="shop"), of("memory_usage", 0.4, instance="a")],
            series_of("queue_length", [1.0, 2.0], queue="a"),
            [of("cpu_usage", 0.4, pod="")],
            [of("cpu_usage", 0.4, instance=""), of("cpu_usage", 0.4)],
            [Sample("cpu_usage", 0.4, labels={"pod": None, "instance": None}), of("cpu_usage", 0.4)],  # type: ignore[dict-item]
        ],
    )
    def test_nothing_is_kept_apart_where_nothing_differs(self, samples: list[Sample]) -> None:
        assert groups_of(samples, NOW) == []

    @pytest.mark.parametrize("label", ["pod", "pod_name", "kubernetes_pod_name"])
    def test_each_pod_stands_beside_its_surroundings(self, label: str) -> None:
        first, second = of("pod_memory_usage", 0.4, **{label: "a"}), of("pod_memory_usage", 0.6, **{label: "b"})
        outside, a, b = groups(first, NODE, second, Sample("requests", 7.0))
        assert [str(one) for one in (outside, a, b)] == ["", "pod a", "pod b"]
        assert values(outside) == {"node_memory_utilization": [0.5], "requests": [7.0]}
        assert values(a) == {"pod_memory_usage": [0.4], "node_memory_utilization": [0.5]}
        assert values(b) == {"pod_memory_usage": [0.6], "node_memory_utilization": [0.5]}
        assert a.own == {"pod_memory_usage"}
        assert a.owners["pod_memory_usage"] == Owner("pod_memory_usage", "a")
        assert a.owners["node_memory_utilization"] == Owner("node_memory_utilization")

    def test_what_a_pod_tells_of_itself_replaces_what_names_no_pod(self) -> None:
        outside, a = groups(of("pod_memory_usage_value", 0.4, pod="a"), Sample("pod_memory_usage", 0.9))
        assert values(outside) == {"pod_memory_usage": [0.9]}
        assert values(a) == {"pod_memory_usage_value": [0.4]}

    def test_nodes_are_groups_and_their_mean_stands_beside_a_pod(self) -> None:
        times = [NOW - timedelta(minutes=5), NOW]
        first, second = (
            [
                Sample("node_cpu_utilization", v, t + late, {"instance": node})
                for v, t in zip(of_node, times, strict=True)
            ]
            for node, of_node, late in (("n1", (0.2, 0.3), timedelta()), ("n2", (0.4, 0.9), timedelta(seconds=-20)))
        )
        pod, n1, n2 = groups(*first, *second, of("pod_cpu_usage", 0.1, pod="a"))[::-1]
        assert [str(n2), str(n1), str(pod)] == ["instance=n1", "instance=n2", "pod a"]
        assert values(pod)["node_cpu_utilization"] == pytest.approx([0.3, 0.6])
        assert [one.time for one in pod.samples if one.name == "node_cpu_utilization"] == times
        assert pod.owners["node_cpu_utilization"].mean
        assert values(n1) == {"node_cpu_utilization": [0.4, 0.9]}

    def test_the_mean_of_single_samples_has_no_time_either(self) -> None:
        nodes = [of("node_cpu_utilization", value, instance=str(value)) for value in (0.2, 0.4, 0.9)]
        pod = groups(*nodes, of("pod_cpu_usage", 0.1, pod="a"))[-1]
        (mean,) = [one for one in pod.samples if one.name == "node_cpu_utilization"]
        assert mean.value == pytest.approx(0.5)
        assert mean.time is None

    def test_containers_of_a_pod_are_groups_beside_what_they_share(self) -> None:
        app, proxy = (of("pod_memory_usage", v, pod="a", container=c) for c, v in (("app", 0.9), ("proxy", 0.1)))
        shared, one, other = groups(app, proxy, of("container_restart_count", 3, pod="a"))
        assert [str(shared), str(one), str(other)] == [
            "pod a",
            "pod a, container=app",
            "pod a, container=proxy",
        ]
        assert values(shared) == {"container_restart_count": [3]}
        assert values(other) == {"pod_memory_usage": [0.1], "container_restart_count": [3]}
        assert other.own == {"pod_memory_usage"}

    def test_pods_of_one_name_in_two_namespaces_are_two(self) -> None:
        found = groups(*(of("pod_memory_usage", 0.4, pod="web-0", namespace=one) for one in ("shop", "blog")))
        assert [str(one) for one in found] == ["pod shop/web-0", "pod blog/web-0"]

    def test_what_only_one_of_two_namesakes_sends_is_not_judged_with_the_other(self) -> None:
        memory = [of("pod_memory_usage", 0.4, pod="web-0", namespace=one) for one in ("shop", "blog")]
        shop, blog = groups(*memory, of("pod_cpu_usage", 3.0, pod="web-0", namespace="blog"))
        assert (values(shop), values(blog)) == (
            {"pod_memory_usage": [0.4]},
            {"pod_memory_usage": [0.4], "pod_cpu_usage": [3.0]},
        )

    def test_samples_without_a_namespace_are_of_the_only_pod_of_that_name(self) -> None:
        known = of("pod_memory_usage", 0.4, pod="web-0", namespace="shop")
        (only,) = groups(known, of("pod_cpu_usage", 3.0, pod="web-0"))
        assert only.pod == "shop/web-0"
        assert values(only) == {"pod_memory_usage": [0.4], "pod_cpu_usage": [3.0]}
        other = of("pod_memory_usage", 0.4, pod="web-0", namespace="blog")
        assert [one.pod for one in groups(known, other, of("pod_cpu_usage", 3.0, pod="web-0"))] == [
            "shop/web-0", "blog/web-0", "web-0",
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("labels", "identity"),
        [
            ({"pod": "cart-5d4f8c7b9-x2x9k", "namespace": "shop"}, ("shop", "cart-5d4f8c7b9-x2x9k", "cart")),
            ({"pod": "cart-0"}, ("", "cart-0", "cart")),
            ({"pod": "cart-0", "workload": "baskets"}, ("", "cart-0", "baskets")),
            ({"instance": "a"}, ("", "", "")),
        ],
    )
    def test_an_answer_names_namespace_pod_and_workload(
        self, labels: dict[str, str], identity: tuple[str, str, str]
    ) -> None:
        found = groups(of("pod_memory_usage", 0.4, **labels), of("pod_memory_usage", 0.4, pod="z", instance="b"))[0]
        assert tuple(found.identity.values()) == identity

    def test_series_of_an_unknown_name_stay_apart_in_one_group(self) -> None:
        (only,) = groups(of("queue_length", 1, queue="a"), of("queue_length", 9, queue="b"), of("other", 5, job="x"))
        assert values(only) == {'queue_length{queue="a"}': [1], 'queue_length{queue="b"}': [9], "other": [5]}
        assert only.owners['queue_length{queue="b"}'] == Owner("queue_length", labels={"queue": "b"})

    def test_percents_of_one_pod_tell_the_unit_of_all(self) -> None:
        """Of a pod that does nothing, 1.2 % alone would be read as a ratio above 1."""
        idle, busy = groups(of("cpu_usage", 1.2, pod="idle"), of("cpu_usage", 45, pod="busy"))
        assert values(idle) == {"cpu_usage": [pytest.approx(0.012)]}
        assert idle.owners["cpu_usage"].scale == 100
        assert values(busy) == {"cpu_usage": [45]}

    def test_percents_of_another_metric_tell_the_unit_too(self) -> None:
        idle, _ = groups(of("cpu_usage", 1.2, pod="idle"), of("memory_usage", 45, pod="busy"))
        assert values(idle) == {"cpu_usage": [pytest.approx(0.012)]}
        swollen, _ = groups(of("pod_memory_usage", 1.2, pod="swollen"), of("cpu_usage", 45, pod="busy"))
        assert values(swollen) == {"pod_memory_usage": [1.2]}

    def test_more_pods_than_can_be_asked_for_are_refused(self) -> None:
        many = [of("pod_memory_usage", 0.4, pod=f"p{i}") for i in range(MAX_PODS + 1)]
        assert len(groups(*many[:-1])) == MAX_PODS
        with raises(DataError, "too_many_pods", pods=MAX_PODS + 1):
            groups(*many)

    def test_more_sets_of_labels_than_can_be_asked_for_are_refused(self) -> None:
        many = [of("node_cpu_utilization", 0.4, instance=f"n{i}") for i in range(MAX_GROUPS + 1)]
        assert len(groups(*many[:-1])) == MAX_GROUPS
        with raises(DataError, "too_many_groups", most=MAX_GROUPS):
            groups(*many)


class TestDetect:
    FULL, CALM = of("pod_memory_usage", 0.97, pod="full"), of("pod_memory_usage", 0.4, pod="calm")

    @pytest.mark.parametrize("order", [(0, 1), (1, 0)])
    def test_the_full_pod_is_named_whichever_comes_first(self, order: tuple[int, int]) -> None:
        said = detected(*((self.FULL, self.CALM)[i] for i in order))
        (anomaly,) = said.anomalies
        assert (anomaly.pod, anomaly.metric_name, anomaly.value) == ("full", "pod_memory_usage", 0.97)
        assert said.total == 2
        assert said.anomalies_found == 1
        assert said.confidence == anomaly.confidence
        assert said.anomaly_score > 6  # high
        assert as_data(said.recommendations) == [
            ("raise_memory_limit", {"where": "full", "metric": "pod_memory_usage"})
        ]

    def test_the_pod_of_the_anomaly_is_named_before_the_resource_of_the_context(self) -> None:
        said = detected(self.FULL, self.CALM, context={"namespace": "shop", "resource": "calm"})
        assert as_data(said.recommendations) == [
            ("raise_memory_limit", {"where": "shop/full", "metric": "pod_memory_usage"})
        ]

    def test_a_resource_of_the_context_is_named_for_what_is_of_no_pod(self) -> None:
        said = detected(self.CALM, Sample("node_memory_utilization", 0.98), context={"resource": "cart"})
        assert as_data(said.recommendations) == [
            ("free_node_memory", {"where": "cart", "metric": "node_memory_utilization"})
        ]

    def test_two_full_pods_are_two_anomalies(self) -> None:
        said = detected(self.FULL, of("pod_memory_usage", 0.99, pod="fuller"))
        assert [one.pod for one in said.anomalies] == ["fuller", "full"]
        assert [(one.code, one.facts["where"]) for one in said.recommendations] == [
            ("raise_memory_limit", "fuller"),
            ("raise_memory_limit", "full"),
        ]

    def test_calm_pods_are_as_sure_as_the_least_calm(self) -> None:
        samples = [self.CALM, of("pod_memory_usage", 0.6, pod="b"), NODE]
        said = detected(*samples)
        assert (said.anomalies, said.recommendations, said.anomaly_detected) == ([], [], False)
        each = [detect(group.samples, row_forest(), now=NOW) for group in groups(*samples)]
        assert said.confidence == min(one.confidence for one in each) < 0.4
        assert said.anomaly_score == max(one.anomaly_score for one in each)

    def test_a_full_node_is_told_once_for_many_pods(self) -> None:
        calm = [of("pod_memory_usage", 0.4, pod=f"p{i}") for i in range(5)]
        said = detected(*calm, Sample("node_memory_utilization", 0.98))
        (anomaly,) = said.anomalies
        assert (anomaly.pod, anomaly.metric_name) == ("", "node_memory_utilization")
        assert said.total == 6

    def test_one_full_node_of_many_does_not_hide_in_their_mean(self) -> None:
        nodes = [of("node_memory_utilization", v, instance=n) for n, v in (("n1", 0.3), ("n2", 0.98), ("n3", 0.4))]
        (anomaly,) = detected(self.CALM, *nodes).anomalies
        assert (anomaly.value, anomaly.pod, anomaly.labels) == (0.98, "", {"instance": "n2"})

    def test_all_nodes_full_are_told_each_and_not_as_a_mean_too(self) -> None:
        nodes = [of("node_memory_utilization", value, instance=str(value)) for value in (0.96, 0.98)]
        found = detected(self.CALM, *nodes).anomalies
        assert sorted(one.value for one in found) == [0.96, 0.98]

    def test_histories_of_pods_are_not_one_series(self) -> None:
        """Mixed, the pod that does less would be a drop."""
        rng = np.random.default_rng(4)
        busy = series_of("requests", 200 + 3 * rng.standard_normal(30), pod="busy")
        quiet = series_of("requests", 5 + 0.1 * rng.standard_normal(30), pod="quiet")
        assert detected(*busy, *quiet).anomalies == []
        fallen = [*busy[:-1], replace(busy[-1], value=5.0)]
        (anomaly,) = detected(*fallen, *quiet).anomalies
        assert (anomaly.pod, anomaly.kind) == ("busy", "drop")

    def test_queues_are_told_by_their_labels(self) -> None:
        rng = np.random.default_rng(4)
        calm = series_of("queue_length", 20 + 0.5 * rng.standard_normal(30), queue="a")
        full = series_of("queue_length", [*(500 + 9 * rng.standard_normal(29)), 5000.0], queue="b")
        (anomaly,) = detected(*calm, *full).anomalies
        assert (anomaly.metric_name, anomaly.labels, anomaly.value) == ("queue_length", {"queue": "b"}, 5000)
        assert anomaly.reason.startswith('queue_length{queue="b"} is 5000')

    def test_a_value_in_percent_is_answered_in_percent(self) -> None:
        idle = series_of("cpu_usage", [*([0.5] * 29), 1.9], pod="idle")
        busy = series_of("cpu_usage", [45.0] * 30, pod="busy")
        (anomaly,) = detected(*idle, *busy).anomalies
        assert anomaly.pod == "idle"
        assert [anomaly.value, anomaly.expected, anomaly.deviation] == pytest.approx([1.9, 0.5, 1.4])
        assert anomaly.kind != "cpu_saturation"


class TestPredict:
    def test_one_prediction_for_each_pod_and_name(self) -> None:
        a, b = ([0.3] * 20, [0.6] * 20)
        said = predicted(*series_of("memory_usage", a, pod="a"), *series_of("memory_usage", b, pod="b"), NODE)
        assert [(one.pod, one.metric_name) for one in said.predictions] == [
            ("", "node_memory_utilization"),
            ("a", "memory_usage"),
            ("b", "memory_usage"),
        ]
        assert [one.predicted_value for one in said.predictions] == pytest.approx([0.5, 0.3, 0.6])
        assert said.summary.time_range == "1h"
        assert said.summary.metrics_count == 3
        assert said.summary.overall_confidence == pytest.approx(np.mean([one.confidence for one in said.predictions]))

    def test_a_pod_alone_is_predicted_as_without_labels(self) -> None:
        history = [0.3 + 0.01 * i for i in range(20)]
        (labelled,) = predicted(*series_of("memory_usage", history, pod="a")).predictions
        (plain,) = predict(sent("memory_usage", history), "1h", LastValue(), now=NOW).predictions
        assert (labelled.namespace, labelled.pod, labelled.workload) == ("", "a", "a")
        assert replace(labelled, pod="", workload="") == plain

    def test_surroundings_are_read_with_a_pod_only_where_a_forecast_has_a_place_for_them(self) -> None:
        disk, cpu, other = (sent(name, [0.5] * 20) for name in ("disk_usage", "node_cpu_utilization", "queue"))
        own = series_of("pod_cpu_usage", [0.2] * 20, pod="a")
        forecaster, (_, pod) = LastValue(), groups(*own, *disk, *cpu, *other)
        assert set(values(pod)) == {"pod_cpu_usage", "disk_usage", "node_cpu_utilization"}
        assert {one.name for one in pod.forecast_samples} == {"pod_cpu_usage", "disk_usage"}
        predict(pod.forecast_samples, "1h", forecaster, now=NOW)
        ((history, _),) = forecaster.asked
        assert history.known.any(axis=0).tolist() == [True, False, True, False, False]

    def test_labels_tell_series_of_one_name_apart(self) -> None:
        said = predicted(*series_of("queue", [5.0] * 12, queue="a"), *series_of("queue", [90.0] * 12, queue="b"))
        assert [(one.metric_name, one.labels, one.predicted_value) for one in said.predictions] == [
            ("queue", {"queue": "a"}, 5.0),
            ("queue", {"queue": "b"}, 90.0),
        ]

    def test_a_percent_comes_back_as_one(self) -> None:
        said = predicted(of("cpu_usage", 1.2, pod="idle"), of("cpu_usage", 45, pod="busy"))
        assert [one.predicted_value for one in said.predictions] == pytest.approx([1.2, 45])
        assert [one.risk for one in said.predictions] == ["low", "low"]


class TestIssues:
    FULL, FULLER, CALM = (
        of("pod_memory_usage", value, pod=pod) for pod, value in (("full", 0.93), ("fuller", 0.97), ("calm", 0.4))
    )

    def test_an_issue_is_that_of_the_most_probable_pod(self) -> None:
        said = issues(self.FULL, self.FULLER, self.CALM)
        (issue,) = said.predicted_issues
        alone = predicted_issues([self.FULLER], [], None, LastValue(), now=NOW).predicted_issues[0]
        assert (issue.issue, issue.probability) == ("pod_oom", alone.probability)
        assert as_data(issue.reasons) == [
            ("level", {"metric": "pod_memory_usage", "value": 0.97, "about": "pod fuller"})
        ]
        assert said.suggested_actions == ("increase_memory_limit", "check_memory_leak")

    def test_what_events_and_nodes_say_is_no_pods(self) -> None:
        said = issues(self.CALM, Sample("node_memory_utilization", 0.97), events=["high_cpu"])
        assert {one.issue: as_data(one.reasons) for one in said.predicted_issues} == {
            "node_pressure": [("level", {"metric": "node_memory_utilization", "value": 0.97})],
            "cpu_saturation": [("event", {"event": "high_cpu", "count": 1})],
        }

    def test_an_event_and_a_pod_speak_for_an_issue_together(self) -> None:
        (issue,) = issues(self.FULLER, self.CALM, events=["OOMKilled"]).predicted_issues
        assert as_data(issue.reasons) == [
            ("level", {"metric": "pod_memory_usage", "value": 0.97, "about": "pod fuller"}),
            ("event", {"event": "OOMKilled", "count": 1}),
        ]

    def test_a_state_stands_alone_only_where_no_pod_has_an_issue(self) -> None:
        well = issues(self.CALM, of("pod_memory_usage", 0.3, pod="b"), state="degraded")
        assert [one.issue for one in well.predicted_issues] == ["service_degradation"]
        assert as_data(well.predicted_issues[0].reasons) == [("state_alone", {})]
        full = issues(self.CALM, self.FULLER, state="degraded")
        assert [one.issue for one in full.predicted_issues] == ["pod_oom"]

    def test_a_full_node_is_named(self) -> None:
        nodes = [of("node_memory_utilization", value, instance=node) for node, value in (("n1", 0.3), ("n2", 0.97))]
        (issue,) = issues(self.CALM, *nodes).predicted_issues
        assert issue.issue == "node_pressure"
        assert as_data(issue.reasons) == [
            ("level", {"metric": "node_memory_utilization", "value": 0.97, "about": "instance=n2"})
        ]

    def test_restarts_of_two_pods_are_no_restarts_of_one(self) -> None:
        """In one series 3, 40, 3, 40 would be a storm."""
        counts = [*series_of("container_restart_count", [3.0] * 6, pod="a")]
        counts += series_of("container_restart_count", [40.0] * 6, pod="b")
        assert issues(*counts).predicted_issues == ()
