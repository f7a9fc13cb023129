"""Pods of one name in several namespaces are several pods, on each way from the server to a row."""

import dataclasses
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from aiops_assets.datasets.ingest import ingest_metric
from aiops_assets.datasets.window import read_pods, read_window
from aiops_assets.datasets.workloads import JUST_BEFORE, fetch_workloads, name_of_workload, workloads_of
from aiops_assets.errors import SchemaError
from aiops_assets.prometheus.client import PrometheusClient
from aiops_assets.prometheus.transport import Answer, RequestsTransport
from aiops_assets.storage.lake import Lake
from aiops_assets.storage.lake_files import readable_days
from aiops_assets.storage.storage import LocalStorage
from aiops_assets.storage.workloads import Workloads
from aiops_assets.timeseries.catalog import NODE_CPU, NODE_MEMORY, POD_CPU, POD_MEMORY, RESTARTS, MetricSpec
from aiops_assets.views.catalog import POD_FEATURES, POD_SERIES
from aiops_assets_tests.conftest import END
from aiops_assets_tests.datasets.pod_lake import WINDOW, made_of, store
from aiops_assets_tests.prometheus.answering import AT_ONCE, Handler, Params, refusal, vector
from aiops_assets_tests.prometheus_server import CADVISOR, KUBE_STATE, Target, running_prometheus, write_blocks
from aiops_assets_tests.raising import raises

TIMES = pd.date_range(END - timedelta(days=2), END, freq="60s", inclusive="left", unit="us", name="timestamp")
FIRST, SECOND = WINDOW
FORMERLY = '{"pod":"%s"}'
PRESENT = '{"namespace":"%s","pod":"%s"}'


def level(value: float, times: pd.DatetimeIndex = TIMES) -> np.ndarray:
    """(n,) values that differ from minute to minute, around a level."""
    return value * (1 + 0.01 * np.sin(np.arange(len(times)) / 7))


def put(lake: Lake, metric: MetricSpec, day: date, **levels: float) -> None:
    """Store a day of a metric; ``blog__web`` is the pod web of blog, ``web`` one without a namespace."""
    times = TIMES[TIMES.date == day]
    names = {key: PRESENT % tuple(key.split("__")) if "__" in key else FORMERLY % key for key in levels}
    store(lake, metric, pd.DataFrame({names[key]: level(one, times) for key, one in levels.items()}, index=times))


def put_nodes(lake: Lake) -> None:
    for metric in (NODE_CPU, NODE_MEMORY):
        store(lake, metric, pd.DataFrame({'{"instance":"a"}': level(0.3)}, index=TIMES))


@pytest.mark.parametrize("view", [POD_FEATURES, POD_SERIES])
def test_rows_are_of_each_of_two_namesakes(lake: Lake, tmp_path: Path, view: str) -> None:
    put_nodes(lake)
    for day in WINDOW:
        put(lake, POD_CPU, day, blog__web=0.1, shop__web=0.8)
        put(lake, POD_MEMORY, day, blog__web=0.2, shop__web=0.5)
        put(lake, RESTARTS, day, blog__web=0.0, shop__web=3.0)
    rows, record = made_of(lake, view, tmp_path)
    assert record.pods == ("blog/web", "shop/web")
    column = "pod_cpu_usage_value" if view == POD_FEATURES else "pod_cpu_usage"
    normal = rows[rows["label"] == 0].groupby("pod")[column].median()
    assert normal.to_dict() == pytest.approx({"blog/web": 0.1, "shop/web": 0.8}, rel=0.02)


class TestFormerQueries:
    """Days that an earlier release fetched by (pod) are read until there are others."""

    def test_a_pod_goes_on_under_the_new_query(self, lake: Lake) -> None:
        put_nodes(lake)
        for metric, value in ((POD_CPU, 0.4), (POD_MEMORY, 0.3), (RESTARTS, 1.0)):
            (former,) = metric.former
            put(lake, former, FIRST, web=value)
            put(lake, metric, SECOND, shop__web=value)
        window = read_window(lake, WINDOW)
        assert dict(window.pod_minutes) == {"shop/web": 2 * 1440}
        assert window.lacking(POD_MEMORY.name) == ()
        assert window.complete == {"shop/web"}
        series = read_pods(lake, window, END, ["shop/web"])
        np.testing.assert_array_equal(series.values[POD_CPU.name][0, 0][:1440], level(0.4)[:1440])
        assert np.isfinite(series.values[POD_CPU.name]).all()
        before, after = window.found
        assert before.queries == {metric.name: metric.formerly[0] for metric in (POD_CPU, POD_MEMORY, RESTARTS)}
        assert after.queries == {}

    def test_a_sum_over_namesakes_is_no_pod(self, lake: Lake) -> None:
        put_nodes(lake)
        put(lake, POD_CPU.former[0], FIRST, web=0.9, alone=0.2)
        put(lake, POD_CPU, SECOND, shop__web=0.8, blog__web=0.1)
        minutes = read_window(lake, WINDOW).pod_minutes
        assert dict(minutes) == {"shop/web": 1440, "blog/web": 1440, "alone": 1440}

    def test_the_present_query_comes_first(self, lake: Lake) -> None:
        put_nodes(lake)
        for day in WINDOW:
            put(lake, POD_CPU.former[0], day, web=0.9)
        put(lake, POD_CPU, SECOND, shop__web=0.8)
        assert {day: spec.promql for day, spec in readable_days(lake, POD_CPU).items()} == {
            FIRST: POD_CPU.formerly[0],
            SECOND: POD_CPU.promql,
        }

    def test_a_day_of_which_the_server_has_the_end_only_is_the_former_one(self, lake: Lake) -> None:
        put_nodes(lake)
        put(lake, POD_CPU.former[0], FIRST, web=0.9)
        late = TIMES[(TIMES.date == FIRST) & (TIMES.hour >= 22)]
        store(lake, POD_CPU, pd.DataFrame({PRESENT % ("shop", "web"): level(0.8, late)}, index=late))
        put(lake, POD_CPU, SECOND, shop__web=0.8)
        window = read_window(lake, WINDOW)
        assert window.asked[POD_CPU.name] == {FIRST: POD_CPU.former[0], SECOND: POD_CPU}
        assert dict(window.pod_minutes) == {"shop/web": 2 * 1440}

    def test_owners_tell_of_a_namesake_that_is_gone(self, lake: Lake) -> None:
        put_nodes(lake)
        put(lake, POD_CPU.former[0], FIRST, web=0.9)
        put(lake, POD_CPU, SECOND, shop__web=0.8)
        owned = dict.fromkeys(("shop/web", "blog/web"), "StatefulSet/web")
        Workloads(lake.storage, lake.cluster).add(FIRST, owned, closed=True)
        assert dict(read_window(lake, WINDOW).pod_minutes) == {"shop/web": 1440}

    def test_two_series_of_a_pod_that_an_earlier_release_stored_are_refused(self, lake: Lake) -> None:
        put_nodes(lake)
        times = TIMES[TIMES.date == FIRST]
        twice = {'{"pod":"web","replica":"a"}': level(0.4, times), '{"pod":"web","replica":"b"}': level(0.4, times)}
        store(lake, POD_CPU.former[0], pd.DataFrame(twice, index=times))
        put(lake, POD_CPU, SECOND, shop__web=0.4)
        window = read_window(lake, WINDOW)
        with raises(SchemaError, "two_series_for_a_pod", metric=POD_CPU.name):
            read_pods(lake, window, END, ["shop/web"])

    def test_a_series_without_a_namespace_in_the_present_query_is_a_pod_of_its_own(self, lake: Lake) -> None:
        put_nodes(lake)
        for day in WINDOW:
            for metric in (POD_CPU, POD_MEMORY, RESTARTS):
                put(lake, metric, day, web=0.9, shop__web=0.8)
        window = read_window(lake, WINDOW)
        assert dict(window.pod_minutes) == {"web": 2 * 1440, "shop/web": 2 * 1440}
        series = read_pods(lake, window, END, ["shop/web", "web"])
        assert series.values[POD_CPU.name].mean(axis=(1, 2)) == pytest.approx([0.8, 0.9], rel=1e-3)


def test_each_query_of_an_earlier_release_has_its_own_days() -> None:
    for metric in (POD_CPU, POD_MEMORY, RESTARTS):
        assert {spec.promql for spec in metric.former} == set(metric.formerly) - {metric.promql} != set()
        assert all(replace(spec, promql=metric.promql, formerly=metric.formerly) == metric for spec in metric.former)


OWNED = {
    "blog": ("kube_pod_owner", "StatefulSet", "site"),
    "shop": ("kube_pod_owner", "ReplicaSet", "cart-5d4f8c7b9"),
}


@pytest.mark.needs("prometheus")
def test_a_real_server_tells_namesakes_and_their_workloads_apart(tmp_path: Path) -> None:
    """Two pods named web: of one the CPU time and restarts are four times those of the other."""
    times = TIMES[-600:]
    cadvisor, state = Target(times, CADVISOR), Target(times, KUBE_STATE)
    scraped = []
    for namespace, cores in (("blog", 0.1), ("shop", 0.4)):
        of_pod = {"namespace": namespace, "pod": "web"}
        used, one = np.full(len(times), cores), np.ones(len(times))
        scraped.append(cadvisor.counts("container_cpu_usage_seconds_total", used, container="app", **of_pod))
        counts = np.full(len(times), 10 * cores)
        scraped.append(state.shows("kube_pod_container_status_restarts_total", counts, kind="counter", **of_pod))
        made_by, kind, name = OWNED[namespace]
        scraped.append(state.shows(made_by, one, owner_kind=kind, owner_name=name, **of_pod))
    owner = {"owner_kind": "Deployment", "owner_name": "cart", "replicaset": "cart-5d4f8c7b9", "namespace": "shop"}
    both = ("a:8080", "b:8080")  # two kube-state-metrics, as in a roll-out
    scraped += [state.shows("kube_replicaset_owner", one, instance=instance, **owner) for instance in both]
    write_blocks(sorted(scraped, key=lambda samples: samples.name), tmp_path / "server")
    lake, now = Lake(LocalStorage(tmp_path / "home"), "default"), END.to_pydatetime() + timedelta(hours=6)
    with running_prometheus(tmp_path / "server") as url:
        client = PrometheusClient(RequestsTransport(url))
        for metric in (POD_CPU, RESTARTS):
            ingest_metric(client, lake, metric, [SECOND], now)
        assert fetch_workloads(client, lake, [SECOND, now.date()], now) == ""
    found = {
        metric.name: lake.read_day(metric, SECOND)[0].iloc[-1].round(6).to_dict() for metric in (POD_CPU, RESTARTS)
    }
    blog, shop = (PRESENT % (namespace, "web") for namespace in ("blog", "shop"))
    assert found == {POD_CPU.name: {blog: 0.1, shop: 0.4}, RESTARTS.name: {blog: 1.0, shop: 4.0}}
    known = workloads_of(lake, WINDOW, ["blog/web", "shop/web", "shop/other-0"])
    assert known == {"blog/web": "StatefulSet/site", "shop/web": "Deployment/cart"}


@dataclasses.dataclass
class Owners:
    """A server that answers queries for owners of pods, and counts them."""

    pods: dict[str, str]
    refuses: bool = False
    asked: list[float] = dataclasses.field(default_factory=list)

    def answer(self, path: str, params: Params) -> Answer:
        self.asked.append(float(params["time"]))
        if self.refuses:
            return refusal(403, "execution", "not allowed")
        owned = {"__name__": "kube_pod_owner", "namespace": "shop", "owner_kind": "StatefulSet"}
        return vector(*[({**owned, "pod": pod, "owner_name": name}, "1") for pod, name in self.pods.items()])

    @property
    def client(self) -> PrometheusClient:
        return PrometheusClient(Handler(self.answer), retry=AT_ONCE)


class TestFetchWorkloads:
    NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
    TODAY = NOW.date()
    YESTERDAY = TODAY - timedelta(days=1)

    def test_a_past_day_is_asked_for_once_and_today_each_time(self, lake: Lake) -> None:
        server = Owners({"db-0": "db"})
        days = [self.YESTERDAY, self.TODAY, self.TODAY + timedelta(days=1)]
        assert fetch_workloads(server.client, lake, days, self.NOW) == ""
        begin = datetime(2026, 11, 19, tzinfo=UTC).timestamp()
        of_today = [self.NOW.timestamp(), (self.NOW - JUST_BEFORE).timestamp()]
        assert server.asked == [*(begin + hours * 3600 - 60 for hours in (24, 18, 12, 6)), *of_today]
        server.pods = {"db-1": "db"}
        fetch_workloads(server.client, lake, days, self.NOW + timedelta(minutes=15))
        assert len(server.asked) == 7
        assert workloads_of(lake, days, ["shop/db-0", "shop/db-1", "shop/db-2"]) == {
            "shop/db-0": "StatefulSet/db",
            "shop/db-1": "StatefulSet/db",
        }

    def test_a_server_that_refuses_is_asked_once_and_names_decide(self, lake: Lake) -> None:
        server = Owners({}, refuses=True)
        assert fetch_workloads(server.client, lake, [self.YESTERDAY, self.TODAY], self.NOW)
        assert len(server.asked) == 1
        store = Workloads(lake.storage, lake.cluster)
        assert not store.day(self.YESTERDAY).closed
        assert name_of_workload("shop/cart-5d4f8c7b9-x2x9k", "") == "cart"
        assert name_of_workload("shop/cart-5d4f8c7b9-x2x9k", "Rollout/baskets") == "baskets"

    def test_a_damaged_record_is_made_anew(self, lake: Lake) -> None:
        store = Workloads(lake.storage, lake.cluster)
        lake.storage.write(f"{store.folder}/day={self.YESTERDAY}.json", b"{")
        assert store.of([self.YESTERDAY]) == {}
        fetch_workloads(Owners({"db-0": "db"}).client, lake, [self.YESTERDAY], self.NOW)
        assert store.of([self.YESTERDAY]) == {"shop/db-0": "StatefulSet/db"}

    def test_records_of_pruned_days_go_with_them(self, lake: Lake) -> None:
        store = Workloads(lake.storage, lake.cluster)
        for day in (self.YESTERDAY, self.TODAY):
            store.add(day, {"shop/db-0": "StatefulSet/db"}, closed=True)
        store.prune(self.TODAY)
        assert (store.of([self.YESTERDAY]), len(store.of([self.TODAY]))) == ({}, 1)
        assert [name for name in lake.storage.names(store.folder) if str(self.YESTERDAY) in name] == []

    def test_a_day_without_an_answer_is_asked_for_again(self, lake: Lake) -> None:
        server = Owners({})
        for _ in range(2):
            assert fetch_workloads(server.client, lake, [self.YESTERDAY], self.NOW) == ""
        # One instant of four, until there is an answer.
        assert len(server.asked) == 2
        server.pods = {"db-0": "db"}
        fetch_workloads(server.client, lake, [self.YESTERDAY], self.NOW)
        assert workloads_of(lake, [self.YESTERDAY], ["shop/db-0"]) == {"shop/db-0": "StatefulSet/db"}

    def test_a_server_that_is_gone_meanwhile_stops_nothing(self, lake: Lake) -> None:
        gone = PrometheusClient(Handler(lambda path, params: Answer(504, {}, b"timeout")), retry=AT_ONCE)
        assert fetch_workloads(gone, lake, [self.YESTERDAY], self.NOW)
