"""Another cluster behind the same CLUSTER is refused; the same one is known at each address."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from aiops_assets.datasets.identity import confirm, identify, require_one_cluster, require_same_cluster
from aiops_assets.errors import IntegrityError, OtherClusterError, PrometheusAnswerError
from aiops_assets.prometheus.client import PrometheusClient
from aiops_assets.prometheus.evidence import BIRTH, external_labels
from aiops_assets.prometheus.transport import Answer, RequestsTransport
from aiops_assets.storage.cluster_record import ClusterRecords
from aiops_assets.storage.lake import Lake
from aiops_assets.timeseries.catalog import POD_CPU
from aiops_assets_tests.prometheus.answering import AT_ONCE, Handler, Params, refusal, success, vector
from aiops_assets_tests.prometheus_server import running_prometheus
from aiops_assets_tests.raising import raises

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
CONFIG = "global:\n  scrape_interval: 1m\n  external_labels:\n    {labels}\nscrape_configs: []\n"


@dataclass
class Cluster:
    """A server as far as identity asks it; what is empty it does not have."""

    births: list[float] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
    nodes: list[str] = field(default_factory=list)
    samples: dict[str, float] = field(default_factory=dict)
    shows_configuration: bool = True

    def answer(self, path: str, params: Params) -> Answer:
        query = params.get("query", "")
        if path.endswith("/status/config"):
            labels = "\n    ".join(f'{name}: "{value}"' for name, value in self.labels.items())
            return success({"yaml": CONFIG.format(labels=labels)}) if self.shows_configuration else Answer(404, {}, b"")
        if query == BIRTH:
            return vector(*[({"uid": str(i)}, str(birth)) for i, birth in enumerate(self.births)])
        if query == "kube_node_info":
            return vector(*[({"node": node}, "1") for node in self.nodes])
        if query == POD_CPU.promql:
            return vector(*[({"pod": pod}, str(value)) for pod, value in self.samples.items()])
        return vector()

    @property
    def client(self) -> PrometheusClient:
        return PrometheusClient(Handler(self.answer), retry=AT_ONCE)


def look(cluster: Cluster, lake: Lake, server: str = "a:9090") -> str:
    return identify(cluster.client, lake, server, NOW)


def store(lake: Lake, samples: dict[str, float], cluster_id: str = "", days_ago: int = 1) -> None:
    """A day on which each pod has the same value all the time."""
    begin = pd.Timestamp(NOW).normalize() - pd.Timedelta(days=days_ago)
    grid = pd.date_range(begin, periods=1440, freq="60s", unit="us", name="timestamp")
    wide = pd.DataFrame({json.dumps({"pod": pod}, separators=(",", ":")): v for pod, v in samples.items()}, index=grid)
    end = (begin + pd.Timedelta(days=1)).to_pydatetime()
    lake.upsert_day(POD_CPU, begin.date(), wide, fetched=NOW, fetched_until=end, closed=True, cluster_id=cluster_id)


PODS = {f"web-{i}": 0.1 + 0.07 * i for i in range(8)}
OTHER = {pod: value * 1.4 for pod, value in PODS.items()}


@pytest.mark.parametrize(
    ("first", "second", "fact"),
    [
        (Cluster([1.7e9]), Cluster([1.71e9]), "birth"),
        (Cluster([1.7e9], {"cluster": "a"}, ["n1"]), Cluster([1.71e9], {"cluster": "a"}, ["n1"]), "birth"),
        (Cluster(labels={"cluster": "a"}), Cluster(labels={"cluster": "b"}), "labels"),
        (Cluster(labels={"cluster": "a"}, nodes=["n1"]), Cluster(labels={"cluster": "b"}, nodes=["n1"]), "labels"),
        (Cluster(nodes=["a1", "a2"]), Cluster(nodes=["b1", "b2"]), "nodes"),
    ],
)
def test_another_cluster_is_refused(lake: Lake, first: Cluster, second: Cluster, fact: str) -> None:
    known = look(first, lake)
    with raises(OtherClusterError, "other_cluster", cluster="default", fact=fact):
        look(second, lake, "b:9090")
    assert look(first, lake) == known
    with raises(OtherClusterError, "other_cluster", fact=fact):
        require_same_cluster(second.client, lake, "thanos:9090", NOW)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (Cluster([1.7e9], {"cluster": "a"}, ["n1"]), Cluster([1.7e9], {"cluster": "b"}, ["n9"])),
        (Cluster(labels={"cluster": "a", "replica": "0"}), Cluster(labels={"cluster": "a", "replica": "1"})),
        (Cluster(labels={"cluster": "a"}), Cluster(labels={"cluster": "a"}, shows_configuration=False)),
        (Cluster(nodes=["n1", "n2", "n3"]), Cluster(nodes=["n3", "n4", "n5"])),
        (Cluster([1.7e9]), Cluster(nodes=["n1"])),
        (Cluster(), Cluster([1.7e9])),
        (Cluster(), Cluster()),
    ],
)
def test_the_same_cluster_is_known_at_another_address(lake: Lake, first: Cluster, second: Cluster) -> None:
    known = look(first, lake)
    assert look(second, lake, "b:9090") == known or not known


def test_nodes_that_turn_over_one_by_one_are_the_same_cluster(lake: Lake) -> None:
    names = [f"n{i}" for i in range(9)]
    known = {look(Cluster(nodes=names[i : i + 3]), lake) for i in range(6)}
    assert len(known) == 1


def test_facts_that_come_later_are_learned(lake: Lake) -> None:
    look(Cluster(nodes=["n1"]), lake)
    look(Cluster([1.7e9], nodes=["n1"]), lake)
    with raises(OtherClusterError, "other_cluster", fact="birth"):
        look(Cluster([1.8e9], nodes=["n1"]), lake)


@pytest.mark.parametrize("known_before", [True, False])
def test_stored_samples_decide_where_names_are_alike(lake: Lake, known_before: bool) -> None:
    """Two kind clusters have the same node names; an older release stored no facts at all."""
    cluster_id = look(Cluster(nodes=["kind-worker"], samples=PODS), lake) if known_before else ""
    store(lake, PODS, cluster_id)
    with raises(OtherClusterError, "other_cluster", fact="content"):
        look(Cluster(nodes=["kind-worker"], samples=OTHER), lake)
    replica = {pod: value * 1.01 for pod, value in PODS.items()}
    assert look(Cluster(labels={"cluster": "renamed"}, nodes=["kind-worker"], samples=replica), lake)
    with raises(OtherClusterError, "other_cluster", fact="content"):
        look(Cluster(nodes=["kind-worker"], samples={"db-0": 0.3, "db-1": 0.4}), lake)


def test_a_server_that_lost_half_its_pods_is_no_other_cluster(lake: Lake) -> None:
    cluster = Cluster(nodes=["n1"], samples=PODS)
    store(lake, PODS, look(cluster, lake))
    assert look(Cluster(nodes=["n1"], samples=dict(list(PODS.items())[:4])), lake)
    assert look(Cluster(nodes=["n1"], samples=dict(list(PODS.items())[:2])), lake)


def test_a_rebuilt_cluster_is_confirmed_and_its_days_stand_beside_the_old_ones(lake: Lake) -> None:
    old = Cluster(nodes=["a1"], samples=PODS)
    store(lake, PODS, before := look(old, lake), days_ago=2)
    new = Cluster(nodes=["b1"], samples=OTHER)
    with pytest.raises(OtherClusterError):
        look(new, lake)
    seen = confirm(new.client, lake, "b:9090", NOW, "me@here")
    assert (seen.who, look(new, lake)) == ("me@here", seen.id)
    store(lake, OTHER, seen.id)
    require_one_cluster(lake, [before, seen.id, ""])
    with pytest.raises(OtherClusterError):
        look(old, lake)
    with raises(IntegrityError, "mixed_clusters", ids=(seen.id, "somebody's")):
        require_one_cluster(lake, [seen.id, "somebody's"])


def test_a_server_of_several_clusters_and_one_without_facts(lake: Lake) -> None:
    with raises(PrometheusAnswerError, "several_clusters", clusters=2):
        look(Cluster([1.7e9, 1.8e9]), lake)
    with raises(PrometheusAnswerError, "no_evidence"):
        confirm(Cluster().client, lake, "a:9090", NOW, "me")
    assert ClusterRecords(lake.storage, lake.cluster).read() is None


def test_a_tenancy_port_that_allows_nothing_else_is_accepted(lake: Lake) -> None:
    client = PrometheusClient(Handler(lambda path, params: refusal(403, "forbidden", "no")), retry=AT_ONCE)
    assert identify(client, lake, "a:9092", NOW) == ""


def test_a_damaged_record_is_named_and_made_anew_by_confirming(lake: Lake) -> None:
    records = ClusterRecords(lake.storage, lake.cluster)
    lake.storage.write(records.path, b"{")
    with raises(IntegrityError, "invalid_cluster_record"):
        look(Cluster(nodes=["n1"]), lake)
    assert confirm(Cluster(nodes=["n1"]).client, lake, "a:9090", NOW, "me").id == look(Cluster(nodes=["n1"]), lake)


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        (CONFIG.format(labels="cluster: a\n    prometheus_replica: p-0"), {"cluster": "a"}),
        ("global: {}\n", {}),
        ("", {}),
        ("global:\n  external_labels: 3\n", {}),
        ("global:\n  external_labels:\n    a: [\n", {}),
        ("scrape_configs:\n- job_name: x\nglobal:\n  external_labels:\n    zone: eu\nrule_files: []\n", {"zone": "eu"}),
    ],
)
def test_external_labels_are_read_without_those_of_replicas(text: str, labels: dict[str, str]) -> None:
    assert external_labels(text) == labels


@pytest.mark.needs("prometheus")
def test_real_servers(tmp_path: Path, lake: Lake) -> None:
    """External labels of real servers; the same one by another name of this host is the same."""

    def seen(url: str) -> str:
        with RequestsTransport(url) as transport:
            return identify(PrometheusClient(transport), lake, url, datetime.now(UTC))

    text = "global: {{external_labels: {{cluster: {name}, replica: r1}}}}\nscrape_configs: []\n"
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    with (
        running_prometheus(tmp_path / "a", configuration=text.format(name="a")) as first,
        running_prometheus(tmp_path / "b", configuration=text.format(name="b")) as second,
    ):
        assert seen(first) == seen(first.replace("127.0.0.1", "localhost")) != ""
        with raises(OtherClusterError, "other_cluster", fact="labels", known="cluster=a", found="cluster=b"):
            seen(second)
