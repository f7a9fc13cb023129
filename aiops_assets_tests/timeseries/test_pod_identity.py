"""Pods by namespace and name, and the workloads that they are of."""

import pytest

from aiops_assets.timeseries.pod_identity import (
    PodNames,
    pod_of,
    pod_text,
    series_of_pod,
    split_pod,
    workload_by_name,
    workloads,
)


@pytest.mark.parametrize(
    ("labels", "pod"),
    [
        ('{"namespace":"shop","pod":"cart-1"}', "shop/cart-1"),
        ('{"pod":"cart-1"}', "cart-1"),
        ('{"namespace":"shop"}', ""),
        ("{}", ""),
    ],
)
def test_a_series_names_its_pod(labels: str, pod: str) -> None:
    assert pod_of(labels) == pod
    assert pod_text(*split_pod(pod)) == pod
    if pod:
        assert pod_of(series_of_pod(pod)) == pod


def test_a_name_means_the_only_pod_that_has_it() -> None:
    names = PodNames(["shop/cart-1", "blog/web-0", "shop/web-0", "cart-1", "alone"])
    assert names.of("cart-1") == "shop/cart-1"
    assert names.of("web-0") == ""
    assert names.of("alone") == "alone"
    assert names.of("other/cart-1") == "other/cart-1"


@pytest.mark.parametrize(
    ("pod", "workload"),
    [
        ("shop/cart-5d4f8c7b9-x2x9k", "cart"),
        ("coredns-565d847f94-5xg8k", "coredns"),
        ("node-exporter-7kq4z", "node-exporter"),
        ("db/postgres-0", "postgres"),
        ("report-29461440-8dkzl", "report"),
        ("router-3-b5xjk", "router"),
        # No letters or lengths that Kubernetes makes.
        ("kube-proxy", "kube-proxy"),
        ("my-nginx", "my-nginx"),
        ("etcd-master", "etcd-master"),
        ("cart-5d4f8c7b9-ab", "cart-5d4f8c7b9-ab"),
    ],
)
def test_a_pods_name_shows_its_workload(pod: str, workload: str) -> None:
    assert workload_by_name(pod) == workload


def _owner(metric: str, kind: str, name: str, **labels: str) -> dict[str, str]:
    return {"__name__": metric, "namespace": "shop", "owner_kind": kind, "owner_name": name, **labels}


def test_owners_are_followed_to_the_workload() -> None:
    found = workloads(
        [
            _owner("kube_pod_owner", "ReplicaSet", "cart-5d4f8c7b9", pod="cart-5d4f8c7b9-x2x9k"),
            _owner("kube_replicaset_owner", "Deployment", "cart", replicaset="cart-5d4f8c7b9"),
            # Of another namespace.
            {**_owner("kube_replicaset_owner", "Rollout", "other", replicaset="cart-5d4f8c7b9"), "namespace": "blog"},
            _owner("kube_pod_owner", "ReplicaSet", "lone-7b9", pod="lone-7b9-x2x9k"),
            _owner("kube_replicaset_owner", "<none>", "<none>", replicaset="lone-7b9"),
            _owner("kube_pod_owner", "Job", "report-29461440", pod="report-29461440-8dkzl"),
            _owner("kube_job_owner", "CronJob", "report", job_name="report-29461440"),
            _owner("kube_pod_owner", "StatefulSet", "db", pod="db-0"),
            _owner("kube_pod_owner", "<none>", "<none>", pod="by-hand"),
            _owner("kube_pod_owner", "Node", "node-a", pod="etcd-node-a"),
            _owner("kube_pod_owner", "ReplicationController", "old-3", pod="old-3-b5xjk"),
            _owner("kube_replicationcontroller_owner", "DeploymentConfig", "old", replicationcontroller="old-3"),
            _owner("kube_pod_info", "", "", pod="ignored"),
        ]
    )
    assert found == {
        "shop/cart-5d4f8c7b9-x2x9k": "Deployment/cart",
        "shop/lone-7b9-x2x9k": "ReplicaSet/lone-7b9",
        "shop/report-29461440-8dkzl": "CronJob/report",
        "shop/db-0": "StatefulSet/db",
        "shop/by-hand": "Pod/by-hand",
        "shop/etcd-node-a": "Pod/etcd",
        "shop/old-3-b5xjk": "DeploymentConfig/old",
    }
