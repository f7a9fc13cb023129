"""Checks of raw_metrics, evaluated during the fetch. None blocks: training sets check their window themselves."""

import re
from collections.abc import Sequence
from datetime import date, timedelta

import dagster as dg

from aiops_assets.datasets.ingest import MetricFetch
from aiops_assets.datasets.newest import STALE
from aiops_assets.prometheus.moved_labels import describe_moved
from aiops_assets.storage.lake import Lake
from aiops_assets.storage.lake_files import readable_days
from aiops_assets.timeseries.catalog import MEMBERS, METRICS
from aiops_assets.timeseries.quality import FULL_DAY

WARNINGS = {
    "server_reached": "Warns when the server could not be reached, so that nothing new was fetched.",
    "archive_reached": "Warns if THANOS_URL could not be reached for days that the server lacks. They stay open.",
    "day_coverage": "Warns of single days with less than 90 % of their samples. The window as a whole is judged where "
    "it is trained on.",
    "newest_samples": "Warns when the newest sample of a metric is over an hour older than what was requested.",
    "complete": "Fails when an answer had fewer series than the server counted, or than it had before. Such days stay "
    "open and are requested again.",
    "bounds": "Warns of values outside the catalogue's bounds in what was fetched. They are not stored.",
    "members": "Warns when a node stood behind an average for a part of the time only.",
    "pod_labels": "Warns when kube-state-metrics is scraped without honorLabels, so that its series are of one pod.",
    "stored_files": "Warns of damaged day files, which were fetched again.",
    "query_notes": "Warns of remarks on queries, such as PromQL's infos. What was fetched is whole.",
}

FAILURES = {"complete"}
"""Checks that fail instead of warning: what is stored is known to lack something. No check of a fetch blocks."""
CATALOGUE = frozenset(metric.name for metric in METRICS)
POSITION = re.compile(r" \(\d+:\d+\)$")
"""Where in the query a remark of PromQL is about, which is another place in the companion's."""


def check_specs(asset: dg.AssetKey) -> list[dg.AssetCheckSpec]:
    """The specs of all checks of a fetch."""
    return [dg.AssetCheckSpec(name, asset=asset, description=text) for name, text in WARNINGS.items()]


def check_results(
    problem: str, fetches: Sequence[MetricFetch], days: Sequence[date], lake: Lake, moved: int = 0
) -> list[dg.AssetCheckResult]:
    """The results of all checks of a fetch.

    Args:
        problem: why the server could not be reached; empty when it was.
        fetches: results of the metrics and companions that were fetched.
        days: requested days.
        lake: the lake after the fetch.
        moved: number of series of kube-state-metrics whose labels were moved.
    """
    problems = {
        "server_reached": problem,
        "archive_reached": next((fetch.archive_away for fetch in fetches if fetch.archive_away), ""),
        "day_coverage": _listed(_uncovered(fetches, days, lake)),
        "newest_samples": _listed(_behind(fetches)),
        "complete": _listed(_incomplete(fetches)),
        "bounds": _listed(_out_of_bounds(fetches)),
        "members": _listed(_missing_members(fetches, lake)),
        "pod_labels": describe_moved(moved),
        "stored_files": _listed([message for fetch in fetches for message in fetch.damaged]),
        "query_notes": _listed(query_notes(fetches)),
    }
    return [
        dg.AssetCheckResult(
            check_name=name,
            passed=not text,
            severity=dg.AssetCheckSeverity.ERROR if name in FAILURES else dg.AssetCheckSeverity.WARN,
            description=text or None,
        )
        for name, text in problems.items()
    ]


def query_notes(fetches: Sequence[MetricFetch]) -> list[str]:
    """Remarks on queries with their metric's name; once for a metric and the companion that repeats its query."""
    found: dict[tuple[str, str], str] = {}
    for fetch in fetches:
        name = fetch.metric.name.removesuffix(MEMBERS)
        for note in fetch.notes:
            found.setdefault((name, POSITION.sub("", note)), f"{name}: {note}")
    return list(found.values())


def _listed(problems: Sequence[str], most: int = 20) -> str:
    more = [f"and {len(problems) - most} more"] if len(problems) > most else []
    return "; ".join([*problems[:most], *more])


def _is_companion(fetch: MetricFetch) -> bool:
    return fetch.metric.name.endswith(MEMBERS)


def _uncovered(fetches: Sequence[MetricFetch], days: Sequence[date], lake: Lake) -> list[str]:
    """Messages about days with few samples; those of which a file of an earlier release's query is read have them."""
    found = []
    for fetch in (fetch for fetch in fetches if not _is_companion(fetch)):
        former = {day for day, asked in readable_days(lake, fetch.metric).items() if asked is not fetch.metric}
        empty = [day for day in days if fetch.infos.get(day) is None and day not in former]
        if len(empty) == len(days):
            if fetch.metric.optional:
                continue
            found.append(f"{fetch.metric.name}: no sample on any day; is its exporter scraped?")
            continue
        found += [f"{fetch.metric.name} {day}: no sample" for day in empty]
        found += [
            f"{fetch.metric.name} {day}: {info.coverage:.0%}, {info.reason}"
            for day, info in fetch.infos.items()
            if info and info.coverage < FULL_DAY and day not in former
        ]
    return found


def _behind(fetches: Sequence[MetricFetch]) -> list[str]:
    """Messages about metrics of the catalogue that the server has not scraped, or not received, for a while.

    Those of METRICS_FILE may be of rare events.
    """
    return [
        f"{fetch.metric.name}: the newest sample is {fetch.behind / timedelta(hours=1):.1f} h older than it could be; "
        "does the server still scrape its exporter, or receive from another server?"
        for fetch in fetches
        if fetch.behind and fetch.behind > STALE and fetch.metric.name in CATALOGUE
    ]


def _incomplete(fetches: Sequence[MetricFetch]) -> list[str]:
    """Messages about days whose answers lacked series."""
    return [
        f"{fetch.metric.name} {day}: {share:.0%} of the series that the server has were not in its answer"
        for fetch in fetches
        for day, share in fetch.incomplete.items()
    ]


def _out_of_bounds(fetches: Sequence[MetricFetch]) -> list[str]:
    """Messages about fetched days with impossible values."""
    return [
        f"{fetch.metric.name} {day}: {outside} values outside {fetch.metric.lower} to {fetch.metric.upper} were not "
        "stored; is a unit wrong?"
        for fetch in fetches
        for day, outside in fetch.outside.items()
    ]


def _missing_members(fetches: Sequence[MetricFetch], lake: Lake) -> list[str]:
    """Messages about averages over nodes that were computed from fewer nodes for a while. Pods are expected to vary."""
    nodes = {fetch.metric.members.name for fetch in fetches if fetch.metric.per == "node"}
    found = []
    for fetch in (fetch for fetch in fetches if fetch.metric.name in nodes):
        for day in fetch.fetched:
            counts = lake.read_day(fetch.metric, day)[0].to_numpy()
            if counts.size and counts.min() < counts.max():
                found.append(f"{fetch.metric.name} {day}: {counts.min():.0f} of {counts.max():.0f} at the least")
    return found
