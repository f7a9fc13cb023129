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
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Literal

import numpy as np
import pandas as pd

from aiops_assets.errors import (
    IntegrityError,
    NotFoundError,
    OtherClusterError,
    PrometheusAnswerError,
    PrometheusError,
    PrometheusUnreachable,
)
from aiops_assets.prometheus.answers import series_name
from aiops_assets.prometheus.client import PrometheusClient
from aiops_assets.prometheus.evidence import Evidence, gather
from aiops_assets.storage.cluster_record import ClusterRecord, ClusterRecords, KnownCluster
from aiops_assets.storage.lake import Lake
from aiops_assets.timeseries.catalog import CLUSTER_METRICS, NODE_MEMORY, POD_CPU, MetricSpec

Fact = Literal["birth", "content", "labels", "nodes"]

COMPARED_METRICS = (POD_CPU, NODE_MEMORY, *CLUSTER_METRICS[:2])
"""Metrics whose stored samples are compared: levels that hardly two clusters share at one instant."""
MAX_COMPARED_METRICS = 2
"""The first so many of them that both sides have are enough."""
COMPARED_INSTANTS = 4
COMPARED_DAYS = 3
"""The newest so many stored days are looked at for one that can be compared."""
MIN_COMPARED = 4
"""Fewer samples than these decide nothing."""
CLOSE = 0.05
"""Relative difference of values that agree: two replicas scrape the same pods at different seconds."""
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


def agreement(client: PrometheusClient, lake: Lake, known: KnownCluster | None) -> float | None:
    """Mean over metrics of the share (0 to 1) of stored samples of a cluster with which a server agrees.

    Days of an earlier release, which do not say what cluster they are of, count as its own until somebody confirms a
    rebuilt one.

    Args:
        client: the server.
        lake: the lake with the days of CLUSTER.
        known: the cluster; ``None``: only days of an earlier release are there.

    Returns:
        ``None``: nothing is stored, or the server has nothing of those instants any more, or not enough.
    """
    ids = {known.id} if known and known.who else {known.id if known else "", ""}
    shares: list[float] = []
    n_compared = 0
    for metric in COMPARED_METRICS:
        if len(shares) == MAX_COMPARED_METRICS:
            break
        compared, agreeing = _compared(client, metric, _newest_day(lake, metric, ids))
        n_compared += compared
        if compared:
            shares.append(agreeing / compared)
    return float(np.mean(shares)) if n_compared >= MIN_COMPARED else None


def _compared(client: PrometheusClient, metric: MetricSpec, wide: pd.DataFrame | None) -> tuple[int, int]:
    """Number of samples of a stored day of which the server has the instant, and with how many of them it agrees."""
    if wide is None or wide.empty:
        return 0, 0
    compared = agreeing = 0
    for row in np.unique(np.linspace(0, len(wide) - 1, COMPARED_INSTANTS + 2).astype(int)[1:-1]):
        try:
            answer = client.query(metric.promql, wide.index[row].to_pydatetime())
        except PrometheusUnreachable:
            raise
        except PrometheusError:
            return 0, 0
        theirs = {series_name(labels): value for labels, value in answer}
        ours = wide.iloc[row].dropna()
        if not theirs:
            continue
        compared += len(ours)
        agreeing += sum(
            name in theirs and bool(np.isclose(theirs[name], value, rtol=CLOSE, atol=0.0))
            for name, value in ours.items()
        )
    return compared, agreeing


def _newest_day(lake: Lake, metric: MetricSpec, ids: Set[str]) -> pd.DataFrame | None:
    """Samples of the newest stored day of a cluster but one, which is whole, or of the newest; ``None``: none."""
    days = lake.days(metric)[-COMPARED_DAYS:]
    for day in [*days[-2::-1], *days[-1:]]:
        try:
            wide, info = lake.read_day(metric, day)
        except (NotFoundError, IntegrityError):
            continue
        if info.cluster_id in ids:
            return wide
    return None


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


def days_by_cluster(lake: Lake, metric: MetricSpec) -> dict[str, list[date]]:
    """``cluster_id`` -> stored days of a metric that are of this cluster; damaged ones are left out."""
    found: dict[str, list[date]] = {}
    for day in lake.days(metric):
        try:
            info = lake.info(metric, day)
        except IntegrityError:
            continue
        if info:
            found.setdefault(info.cluster_id, []).append(day)
    return found
