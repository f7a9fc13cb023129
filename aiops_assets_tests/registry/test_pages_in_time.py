"""How long it takes from a fault to the page, with the shipped schedule and settling time, on a real Prometheus."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from dagster._utils.schedules import cron_string_iterator

from aiops_assets.datasets.newest import fetch_newest, stored_window
from aiops_assets.pipeline.automation.jobs import every
from aiops_assets.pipeline.resources import stores_of
from aiops_assets.prometheus.client import PrometheusClient
from aiops_assets.prometheus.transport import RequestsTransport
from aiops_assets.registry.paging import Paging
from aiops_assets.synthetic.pods import generate
from aiops_assets.timeseries.catalog import POD_CPU, POD_MEMORY, RESTARTS
from aiops_assets_tests.conftest import make_settings
from aiops_assets_tests.prometheus_server import backfilled_prometheus

MIDNIGHT = pd.Timestamp("2026-11-04", tz="UTC")
DAYS = 8
WORST = pd.Timestamp("2026-11-03T10:01", tz="UTC")
"""Just after the instant of a row."""
LIMIT = timedelta(minutes=20)
AFTER_THE_RUN = timedelta(minutes=2)
"""The run itself, a scrape each 30 s, and an evaluation of rules each 30 s."""
FAULTS = {POD_CPU.name: 3.0, POD_MEMORY.name: 0.3, RESTARTS.name: 1.0}
"""What is added from the fault on; a restart every five minutes."""


@dataclass(frozen=True)
class Sick:
    """A server that has scraped pods of which some are sick from WORST on: metric -> pod."""

    url: str
    pods: dict[str, str]


@pytest.fixture(scope="module")
def sick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sick]:
    series = generate(len(FAULTS) + 3, DAYS, MIDNIGHT, seed=5)
    at = series.times >= WORST
    values = {name: array.copy() for name, array in series.values.items()}
    struck: dict[str, str] = {}
    for metric, amount in FAULTS.items():
        # All are of one workload, so that the largest is the one whose growth is no other's size.
        pod = int(np.nanmean(values[metric][:, 0], axis=1).argmax())
        since = (series.times[at] - WORST).total_seconds() // 300 + 1
        values[metric][pod, 0, at] += amount * (since if metric == RESTARTS.name else 1.0)
        struck[metric] = series.pods[pod]
    made = replace(series, values=values)
    with backfilled_prometheus(made, tmp_path_factory.mktemp("sick") / "tsdb") as url:
        yield Sick(url, struck)


@pytest.mark.long
@pytest.mark.needs("prometheus")
def test_a_fault_is_a_page_within_twenty_minutes_and_nothing_else_is(tmp_path: Path, sick: Sick) -> None:
    settings = make_settings(tmp_path)
    stores = stores_of(settings)
    paging = Paging(stores.page_states(), settings.alerts_per_day, settings.score_minutes)
    ticks = cron_string_iterator((WORST - timedelta(minutes=6)).timestamp(), every(settings.score_minutes), "UTC")
    first: dict[tuple[str, str], timedelta] = {}
    with RequestsTransport(sick.url) as transport:
        client = PrometheusClient(transport)
        for back in range(DAYS - 1, 0, -2):  # each reads a day and the day before
            fetch_newest(client, stores.lake(), (WORST.normalize() - timedelta(days=back - 1, minutes=1)))
        for tick in ticks:
            if tick > WORST + LIMIT:
                break
            fetch_newest(client, stores.lake(), tick)
            rows = paging.pages(stored_window(settings, stores.lake(), tick)).rows
            for found in zip(rows["pod"] + rows["node"], rows["metric"], strict=True):
                first.setdefault(found, tick - WORST)
    assert set(first) == {(pod, metric) for metric, pod in sick.pods.items()}
    assert max(first.values()) + AFTER_THE_RUN <= LIMIT
