"""Whether a server belongs to the cluster whose days the lake holds: another one is refused, never mixed with it.

The first fact that both sides have decides:

1. *Birth*: the time at which the namespace ``kube-system`` was made. Equal: the same cluster. Different: another one.
2. *Content*: stored samples, compared with what the server says about the same series at the same instants. A server
   behind another address, a Thanos over it or its replica agrees; another cluster has other pods, or other values.
3. *External labels* of the server. Different values of one label: another cluster.
4. *Nodes*: names at present and at the last fetch. None in common: another cluster. Nodes come and go, so one in common
   is enough.

Without any of them nothing is known, and the server is accepted.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from aiops_assets.datasets.agreement import agreement
from aiops_assets.errors import (
    IntegrityError,
    OtherClusterError,
    PrometheusAnswerError,
)
from aiops_assets.prometheus.client import PrometheusClient
from aiops_assets.prometheus.evidence import Evidence, gather
from aiops_assets.storage.cluster_record import ClusterRecord, ClusterRecords, KnownCluster
from aiops_assets.storage.lake import Lake

Fact = Literal["birth", "content", "labels", "nodes"]

AGREES, DIFFERS = 0.5, 0.2
"""Share of samples from which on a server agrees, and below which it differs; between them nothing is decided."""
SHOWN_NODES = 3


@dataclass(frozen=True)
class Verdict:
    """Whether a server is of the known cluster.

    Attributes:
        same: ``None``: nothing is known.
        fact: which fact decided.
        known, found: the two sides of it, for people.
    """

    same: bool | None
    fact: Fact | None = None
    known: str = ""
    found: str = ""


def identify(client: PrometheusClient, lake: Lake, server: str, now: datetime) -> str:
    """The id of the cluster behind a server, which is recorded at first sight; empty where no fact is to be had.

    Args:
        client: the server.
        lake: the lake with the days of CLUSTER.
        server: host:port, for records and messages.
        now: present time.

    Raises:
        OtherClusterError: the lake holds days of another cluster.
        PrometheusAnswerError: the server has several clusters.
        PrometheusUnreachable: the server cannot be reached.
        StoreError: the lake cannot be read or written.
    """
    evidence = _of_one_cluster(client, server, now)
    records = ClusterRecords(lake.storage, lake.cluster)
    record = records.read()
    newest = record.newest if record else None
    _require_same(newest, evidence, client, lake, server)
    if not (evidence.births or evidence.labels or evidence.nodes):
        return newest.id if newest else ""
    seen = _known(evidence, server, now)
    if record is None or newest is None:
        records.replace(None, ClusterRecord(known=(seen,)))
        return seen.id
    update = {"nodes": seen.nodes, "named_by": seen.named_by} if seen.nodes else {}
    update |= {name: getattr(seen, name) for name in ("births", "labels") if getattr(seen, name)}
    after = newest.model_copy(update=update)
    if after != newest:
        records.replace(record, ClusterRecord(known=(after, *record.known[1:])))
    return newest.id


def require_same_cluster(client: PrometheusClient, lake: Lake, server: str, now: datetime) -> None:
    """Check that an archive is of the cluster whose days the lake holds; nothing is recorded.

    Raises:
        OtherClusterError, PrometheusAnswerError, PrometheusUnreachable, StoreError: see :func:`identify`.
    """
    record = ClusterRecords(lake.storage, lake.cluster).read()
    evidence = _of_one_cluster(client, server, now)
    _require_same(record.newest if record else None, evidence, client, lake, server)


def archive_check(lake: Lake, server: str, now: datetime) -> Callable[[PrometheusClient], None]:
    """A function that raises where an archive is of another cluster; what it found once it does not look up again."""
    checked: list[PrometheusClient] = []

    def check(archive: PrometheusClient) -> None:
        if archive not in checked:
            require_same_cluster(archive, lake, server, now)
            checked.append(archive)

    return check


def confirm(client: PrometheusClient, lake: Lake, server: str, now: datetime, who: str) -> KnownCluster:
    """Record the cluster behind a server as the one of CLUSTER from now on, whatever was known before.

    Raises:
        PrometheusAnswerError: the server has several clusters, or shows no fact by which to know one.
        PrometheusUnreachable, StoreError: see :func:`identify`.
    """
    evidence = _of_one_cluster(client, server, now)
    if not (evidence.births or evidence.labels or evidence.nodes):
        raise PrometheusAnswerError(
            f"{server} shows nothing by which its cluster could be known again: neither {', '.join(_FACTS)}",
            code="no_evidence",
            server=server,
        )
    records = ClusterRecords(lake.storage, lake.cluster)
    try:
        record = records.read()
    except IntegrityError:
        lake.storage.remove(records.path)
        record = None
    seen = _known(evidence, server, now).model_copy(update={"who": who})
    before = tuple(cluster for cluster in (record.known if record else ()) if cluster.id != seen.id)
    records.replace(record, ClusterRecord(known=(seen, *before)))
    return seen


def require_one_cluster(lake: Lake, ids: Sequence[str]) -> None:
    """Check that days are of the clusters of the record, whose mixing somebody has confirmed where there are several.

    Args:
        lake: the lake with the days.
        ids: ``cluster_id`` of the days; empty ones, of an earlier release, are accepted.

    Raises:
        IntegrityError: days of several clusters.
    """
    found = sorted({one for one in ids if one})
    if len(found) < 2:
        return
    record = ClusterRecords(lake.storage, lake.cluster).read()
    if record and set(found) <= record.ids:
        return
    raise IntegrityError(
        f"the lake of CLUSTER={lake.cluster} holds days of {len(found)} clusters ({', '.join(found)}), which must not "
        "be mixed: remove those of the wrong one by `aiops lake drop --cluster-id ID`",
        code="mixed_clusters",
        ids=tuple(found),
    )


def compare(known: KnownCluster | None, found: Evidence, content: Callable[[], float | None]) -> Verdict:
    """Whether a server is of the known cluster, by the first fact that decides.

    Args:
        known: the cluster that the lake's newest days are of; ``None``: they are of an earlier release, or there are
            none.
        found: facts of the server.
        content: share of stored samples that the server agrees with; ``None``: it has too few of them.
    """
    if known and known.births and found.births:
        same = set(known.births) == set(found.births)
        return Verdict(same, "birth", _times(known.births), _times(found.births))
    share = content()
    if share is not None and not DIFFERS <= share < AGREES:
        return Verdict(share >= AGREES, "content", "the stored samples", f"agrees with {share:.0%} of them")
    if known is None:
        return Verdict(None)
    for name in sorted(set(known.labels) & set(found.labels)):
        if known.labels[name] != found.labels[name]:
            return Verdict(False, "labels", f"{name}={known.labels[name]}", f"{name}={found.labels[name]}")
    if known.nodes and found.nodes and known.named_by == found.named_by:
        same = bool(set(known.nodes) & found.nodes)
        return Verdict(same, "nodes", _some(known.nodes), _some(sorted(found.nodes)))
    return Verdict(None)


def _require_same(
    newest: KnownCluster | None, evidence: Evidence, client: PrometheusClient, lake: Lake, server: str
) -> None:
    verdict = compare(newest, evidence, lambda: agreement(client, lake, newest))
    if verdict.same is False:
        raise _refusal(lake.cluster, server, newest, verdict)


def _of_one_cluster(client: PrometheusClient, server: str, now: datetime) -> Evidence:
    evidence = gather(client, now)
    if len(evidence.births) > 1:
        raise PrometheusAnswerError(
            f"{server} has {len(evidence.births)} clusters: choose one by PROMETHEUS_MATCHER, such as "
            "PROMETHEUS_MATCHER='cluster=\"prod-1\"'",
            code="several_clusters",
            clusters=len(evidence.births),
        )
    return evidence


def _known(evidence: Evidence, server: str, now: datetime) -> KnownCluster:
    births, nodes = tuple(sorted(evidence.births)), tuple(sorted(evidence.nodes))
    facts = json.dumps([births, sorted(evidence.labels.items()), nodes])
    return KnownCluster(
        id=hashlib.blake2b(facts.encode(), digest_size=6).hexdigest(),
        since=now.astimezone(UTC).isoformat(),
        server=server,
        births=births,
        labels=evidence.labels,
        nodes=nodes,
        named_by=evidence.named_by,
    )


_FACTS: dict[Fact, str] = {
    "birth": "creation of the namespace kube-system",
    "content": "stored samples",
    "labels": "external labels",
    "nodes": "names of nodes",
}


def _refusal(cluster: str, server: str, newest: KnownCluster | None, verdict: Verdict) -> OtherClusterError:
    assert verdict.fact is not None
    before = f"since {newest.since[:10]} from {newest.server}" if newest else "by an earlier release"
    return OtherClusterError(
        f"{server} is another cluster than the one whose days CLUSTER={cluster} holds, fetched {before} "
        f"({_FACTS[verdict.fact]}: {verdict.known}; now: {verdict.found}); nothing was fetched: correct "
        "PROMETHEUS_URL, or set CLUSTER to a name of its own for this cluster, or, if it is the same one rebuilt, run "
        "`aiops lake confirm`",
        code="other_cluster",
        cluster=cluster,
        fact=verdict.fact,
        known=verdict.known,
        found=verdict.found,
    )


def _times(births: Sequence[float] | frozenset[float]) -> str:
    return ", ".join(f"{datetime.fromtimestamp(birth, UTC):%Y-%m-%d %H:%M:%S}" for birth in sorted(births))


def _some(nodes: Sequence[str]) -> str:
    more = f" and {len(nodes) - SHOWN_NODES} more" if len(nodes) > SHOWN_NODES else ""
    return ", ".join(nodes[:SHOWN_NODES]) + more
