"""`aiops metrics`: which metrics are fetched, and what the server has of them."""

import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

import click

from aiops_assets.commands.errors import one_line_errors
from aiops_assets.commands.tables import show_table
from aiops_assets.errors import PrometheusError
from aiops_assets.prometheus.client import PrometheusClient
from aiops_assets.prometheus.moved_labels import count_moved, describe_moved
from aiops_assets.prometheus.probing import Probed, probe_metrics
from aiops_assets.settings import Settings, load_settings


@click.command()
@click.option("--probe", is_flag=True, help="Ask PROMETHEUS_URL how many series each metric has now.")
@one_line_errors
def metrics(probe: bool) -> None:
    """List all metrics that are fetched, also those of METRICS_FILE: name, unit, what a series is per, step and PromQL.

    With --probe, each problem is a line on stderr that quotes the server and names the setting to look at, and the exit
    code is 1. That nothing is there of a metric that a healthy cluster may lack is none.
    """
    table = load_settings(os.environ)
    if not probe:
        _show(table, ())
        return
    from aiops_assets.pipeline.resources import prometheus_of

    with prometheus_of(table).clients() as (client, archive):
        now = datetime.now(UTC)
        found = tuple(probe_metrics(client, table.metrics, now))
        problems = _problems(table, found, archive)
        problems += filter(None, [describe_moved(count_moved(client, now))])
    _show(table, found)
    for problem in problems:
        click.echo(f"error: {problem}", err=True)
    if problems:
        sys.exit(1)


def _show(table: Settings, found: Sequence[Probed]) -> None:
    counts = {one.metric.name: "-" if one.series is None else str(one.series) for one in found}
    headings = ("METRIC", *(("SERIES NOW",) if found else ()), "UNIT", "PER", "STEP", "PROMQL")
    rows = (
        (
            metric.name,
            *((counts[metric.name],) if found else ()),
            metric.unit,
            metric.per,
            f"{metric.step_seconds} s",
            metric.promql,
        )
        for metric in table.metrics
    )
    show_table(headings, rows)


def _problems(table: Settings, found: Sequence[Probed], archive: PrometheusClient | None) -> list[str]:
    problems = []
    if archive is not None:
        try:
            archive.probe()
        except PrometheusError as error:
            problems.append(str(error).replace("PROMETHEUS_URL", "THANOS_URL"))
    problems += [f"{one.metric.name}: {one.error}" for one in found if one.error]
    if silent := [one.metric.name for one in found if one.series == 0 and not one.metric.optional]:
        problems.append(f"PROMETHEUS_URL's server answers{_limits(table)}, but has nothing for {', '.join(silent)}")
    return problems


def _limits(table: Settings) -> str:
    """Settings that leave a part of the server's series to be seen."""
    limits = {"PROMETHEUS_NAMESPACE": table.prometheus_namespace, "PROMETHEUS_TENANT": table.prometheus_tenant}
    named = [f"{name}={value}" for name, value in limits.items() if value]
    return f" for {' and '.join(named)}" if named else ""
