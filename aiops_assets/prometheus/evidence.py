"""What a server shows of the cluster behind it: facts that are the same at each address and differ between clusters."""

import re
from dataclasses import dataclass, field
from datetime import datetime

import yaml

from aiops_assets.errors import PrometheusError, PrometheusUnreachable
from aiops_assets.prometheus.client import PrometheusClient

BIRTH = 'kube_namespace_created{namespace="kube-system"}'
"""When the cluster was made, Unix seconds: every cluster has this namespace from its first second on."""
NODES = {"kube_node_info": "node", "node_uname_info": "nodename", "node_memory_MemTotal_bytes": "instance"}
"""Metric -> its label that names a node; the first metric that has any series is taken."""
MAX_NODES = 5_000
MAX_CONFIGURATION_CHARACTERS = 1_000_000
NOT_OF_CLUSTER = re.compile("replica", re.IGNORECASE)
"""Names of external labels that tell two servers of one cluster apart."""
NAMELESS = re.compile(r"localhost|127\.\d+\.\d+\.\d+|\[?::1\]?")
"""Node names that each machine has for itself."""


@dataclass(frozen=True)
class Evidence:
    """Facts about the cluster behind a server; each may be lacking.

    Attributes:
        births: Unix seconds at which the clusters behind the server were made; more than one: it has several.
        labels: external labels of the server, without those of a replica.
        nodes: names of the nodes, as ``named_by`` calls them.
        named_by: metric that named the nodes; empty: none did.
    """

    births: frozenset[float] = frozenset()
    labels: dict[str, str] = field(default_factory=dict)
    nodes: frozenset[str] = frozenset()
    named_by: str = ""


def gather(client: PrometheusClient, at: datetime) -> Evidence:
    """Ask a server for the facts. What it does not allow, or does not have, is lacking.

    Args:
        client: the server.
        at: instant of the queries.

    Raises:
        PrometheusUnreachable: the server cannot be reached.
    """
    births = frozenset(value for _, value in _answer(client, BIRTH, at) if value == value)
    named_by, nodes = "", frozenset[str]()
    for metric, label in NODES.items():
        found = {labels.get(label, "") for labels, _ in _answer(client, metric, at)}
        if nodes := frozenset(sorted(name for name in map(_host, found) if name)[:MAX_NODES]):
            named_by = metric
            break
    return Evidence(births, external_labels(client.configuration()), nodes, named_by)


def external_labels(configuration: str) -> dict[str, str]:
    """The external labels of a server's configuration (YAML), without those that name a replica.

    Only the block ``global`` is read: the rest may be long, and holds what nobody needs here.
    """
    block = re.search(r"^global:\n(?:[ \t][^\n]*\n?)*", configuration[:MAX_CONFIGURATION_CHARACTERS], re.MULTILINE)
    try:
        labels = yaml.safe_load(block.group())["global"]["external_labels"] if block else {}
    except (yaml.YAMLError, KeyError, TypeError, ValueError, RecursionError):
        return {}
    if not isinstance(labels, dict):
        return {}
    return {str(name): str(value) for name, value in labels.items() if not NOT_OF_CLUSTER.search(str(name))}


def _answer(client: PrometheusClient, promql: str, at: datetime) -> list[tuple[dict[str, str], float]]:
    try:
        return client.query(promql, at)
    except PrometheusUnreachable:
        raise
    except PrometheusError:  # not allowed here, as on a tenancy port: other facts may be
        return []


def _host(instance: str) -> str:
    """The host of an ``instance`` label, without its port; empty where the name is no node's own."""
    host = re.sub(r":\d+$", "", instance)
    return "" if NAMELESS.fullmatch(host) else host
