"""What a pod is called: by its namespace and name, which one cluster has only once; and the workload that it is of.

The text of a pod is ``namespace/name``; neither part can contain a slash. A pod whose samples carry no namespace is
called by its name alone: a generated one, or one of a query that aggregates by (pod).
"""

import json
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

_HASH = "[4-9bcdf]{6,10}"
"""Hash of a ReplicaSet's template: a decimal number, whose digits Kubernetes replaces by these (rand.SafeEncodeString).
"""
_RANDOM = "[bcdfghjklmnpqrstvwxz2456789]{5}"
"""What Kubernetes appends to a generated name (rand.String): no vowel, so that it spells no word."""
_PATTERNS = tuple(
    re.compile(pattern)
    for pattern in (
        rf"(.+)-{_HASH}-{_RANDOM}",  # Deployment
        rf"(.+)-\d+-{_RANDOM}",  # CronJob (minutes since 1970), indexed Job, DeploymentConfig (its revision)
        rf"(.+)-{_RANDOM}",  # DaemonSet, Job, ReplicaSet
        r"(.+)-\d+",  # StatefulSet
    )
)


def pod_text(namespace: str, name: str) -> str:
    """The text of a pod; empty without a name."""
    return f"{namespace}/{name}" if namespace and name else name


def split_pod(pod: str) -> tuple[str, str]:
    """Namespace and name of a pod's text; the namespace is empty where it is not known."""
    namespace, _, name = pod.rpartition("/")
    return namespace, name


@lru_cache(maxsize=262_144)
def pod_of(labels: str) -> str:
    """The pod that a series belongs to, by its labels as JSON; empty where they name none."""
    found = json.loads(labels)
    return pod_text(str(found.get("namespace", "")), str(found.get("pod", "")))


def series_of_pod(pod: str) -> str:
    """The name of a pod's series, labels as JSON, without any other label."""
    namespace, name = split_pod(pod)
    return json.dumps({"namespace": namespace, "pod": name} if namespace else {"pod": name}, sort_keys=True)


class PodNames:
    """The pods of a window. One without a namespace is the pod of this name that has one, if there is only one.

    So series of an earlier release's query by (pod) continue in those of the query by (namespace, pod). A sum over
    pods of one name in several namespaces is no pod.
    """

    def __init__(self, pods: Iterable[str]) -> None:
        """Know pods by their texts, in any order."""
        self._pods = frozenset(pods)
        named: dict[str, list[str]] = {}
        for pod in self._pods:
            namespace, name = split_pod(pod)
            if namespace:
                named.setdefault(name, []).append(pod)
        self._named: Mapping[str, list[str]] = named

    def of(self, pod: str) -> str:
        """The pod that a text means; empty for a name that pods of several namespaces have."""
        namespace, name = split_pod(pod)
        found = self._named.get(name, ())
        if namespace or not found:
            return pod
        return found[0] if len(found) == 1 else ""


def workload_by_name(pod: str) -> str:
    """The workload that a pod is of, as its name shows: without what Kubernetes appends to names of workloads.

    Args:
        pod: text or name of a pod.

    Returns:
        its name, such as "cart" of "shop/cart-5d4f8c7b9-x2x9k"; the pod's own name where nothing was appended.
    """
    name = split_pod(pod)[1]
    return next((found[1] for found in (pattern.fullmatch(name) for pattern in _PATTERNS) if found), name)


def workloads(series: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """The workload of each pod, as kube-state-metrics knows it.

    A pod belongs to a ReplicaSet, which mostly belongs to a Deployment; a Job mostly to a CronJob. What no controller
    has made is its own workload; that of a node's static pod is named like the pod without the node.

    Args:
        series: labels of series of ``kube_pod_owner``, ``kube_replicaset_owner``, ``kube_job_owner`` and
            ``kube_replicationcontroller_owner``; others are ignored.

    Returns:
        pod -> ``kind/name``, such as "Deployment/cart".
    """
    pods: dict[str, tuple[str, str, str]] = {}
    owners: dict[tuple[str, str, str], tuple[str, str]] = {}
    for labels in series:
        namespace = labels.get("namespace", "")
        owner = labels.get("owner_kind", ""), labels.get("owner_name", "")
        there = "" not in owner and "<none>" not in owner
        if pod := labels.get("pod", "") if labels.get("__name__") == "kube_pod_owner" else "":
            pods[pod_text(namespace, pod)] = (namespace, *owner) if there else (namespace, "Pod", pod)
        elif middle := _MIDDLE.get(labels.get("__name__", "")):
            kind, label = middle
            if there:
                owners[namespace, kind, labels.get(label, "")] = owner
    return {pod: _workload(pod, owner, owners) for pod, owner in pods.items()}


_MIDDLE = {
    "kube_replicaset_owner": ("ReplicaSet", "replicaset"),
    "kube_job_owner": ("Job", "job_name"),
    "kube_replicationcontroller_owner": ("ReplicationController", "replicationcontroller"),
}


def _workload(pod: str, owner: tuple[str, str, str], owners: Mapping[tuple[str, str, str], tuple[str, str]]) -> str:
    _, kind, name = owner
    if kind == "Node":
        return f"Pod/{split_pod(pod)[1].removesuffix(f'-{name}')}"
    kind, name = owners.get(owner, (kind, name))
    return f"{kind}/{name}"
