"""From a real Prometheus to a served model, and the 45 columns held against the engine's own queries."""

import os
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from aiops_assets.lineage import LineageReader
from aiops_assets.prometheus.client import PrometheusClient
from aiops_assets.prometheus.transport import RequestsTransport
from aiops_assets.resources import stores_of, tracking_of
from aiops_assets.settings import Settings
from aiops_assets.timeseries.catalog import ENGINE_METRICS, MetricSpec
from aiops_assets.timeseries.features import STATISTICS
from aiops_assets_tests.conftest import END, make_settings

pytestmark = pytest.mark.needs("prometheus")
NAME = "anomaly-detector"

FIVE_SAMPLES = "4m59s"
"""Prometheus 2 puts six samples into ``[5m:]`` at a full minute (t - 5 min included); this is our window."""
EXACT = 1e-9
"""The server computes the same sums in another order; restart counts reach 100, so 1e-9 is a few last bits."""


@pytest.fixture(scope="module")
def real(prometheus_url: str, aiops: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """One command on real input."""
    home = tmp_path_factory.mktemp("real")
    variables = {"DATA_SOURCE": "prometheus", "PROMETHEUS_URL": prometheus_url, "TRAINING_PODS": "4"}
    environment = {**os.environ, **variables, "AIOPS_HOME": str(home), "SYNTHETIC_END": "2026-11-01"}
    done = subprocess.run([aiops, "run"], env=environment, cwd=home, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "version 1 trained; version 1 is served" in done.stdout
    return make_settings(home, **variables)


@pytest.fixture
def client(prometheus_url: str) -> Iterator[PrometheusClient]:
    with RequestsTransport(prometheus_url) as transport:
        yield PrometheusClient(transport)


@pytest.fixture(scope="module")
def rows(real: Settings) -> pd.DataFrame:
    manifest = stores_of(real).served().manifest(NAME, 1)
    return stores_of(real).training_sets().rows(manifest.view, manifest.data_version)


def test_lineage_lists_queries_and_days(real: Settings) -> None:
    stores = stores_of(real)
    reader = LineageReader(stores.served(), stores.training_sets(), stores.lake(), tracking_of(real).tracker())
    chain = reader.trace(NAME)
    assert chain.verified, chain.problems
    assert chain.effective_source == "prometheus"
    assert chain.queries == tuple(metric.promql for metric in ENGINE_METRICS)
    assert [day.day for day in chain.days] == [str((END - timedelta(days=d)).date()) for d in range(7, 0, -1)]
    assert {day.state for day in chain.days} == {"verified"}


def test_a_day_fetched_again_is_revised_and_a_lost_one_missing(real: Settings) -> None:
    stores = stores_of(real)
    lake, metric = stores.lake(), ENGINE_METRICS[0]
    days = lake.days(metric)
    wide, info = lake.read_day(metric, days[0])
    lake.write_day(metric, days[0], wide * 1.01, "later")
    path = Path(real.aiops_home, lake._path(metric, days[1]))
    kept = path.read_bytes()
    path.unlink()
    reader = LineageReader(stores.served(), stores.training_sets(), lake, tracking_of(real).tracker())
    chain = reader.trace(NAME)
    assert [day.state for day in chain.days] == ["revised", "missing", *["verified"] * 5]
    assert chain.problems == (f"{days[1]}: its source data is missing",)
    lake.write_day(metric, days[0], wide, info.fetched)
    path.write_bytes(kept)


def test_pods_are_drawn_and_recorded(real: Settings, rows: pd.DataFrame) -> None:
    manifest = stores_of(real).served().manifest(NAME, 1)
    record = stores_of(real).training_sets().record(manifest.view, manifest.data_version)
    assert len(record.pods) == 4
    assert set(rows["pod"]) == set(record.pods)
    assert rows["label"].mean() == pytest.approx(0.03, abs=1 / len(rows))


def _answer(client: PrometheusClient, promql: str, at: pd.Timestamp, pod: str, metric: MetricSpec) -> float:
    """The server's instant answer for a pod; of a node metric the mean over the nodes."""
    found = client.query(promql, at.to_pydatetime())
    values = [value for labels, value in found if metric.per == "node" or labels.get("pod") == pod]
    assert values, promql
    return float(np.mean(values))


def _engine_columns(
    client: PrometheusClient, metric: MetricSpec, at: pd.Timestamp, pod: str, window: str
) -> dict[str, float]:
    """The nine statistics as the engine asks for them (contract of the 45 columns)."""
    q = metric.promql
    over = {name: f"{name}_over_time(({q})[{window}:])" for name in ("avg", "stddev", "min", "max")}
    # An offset belongs to each selector; evaluating at the earlier instant is the same.
    value, lag_1, lag_5 = (_answer(client, q, at - pd.Timedelta(minutes=lag), pod, metric) for lag in (0, 1, 5))
    windows = [_answer(client, over[name], at, pod, metric) for name in ("avg", "stddev", "min", "max")]
    diff = value - lag_1
    return dict(zip(STATISTICS, [value, *windows, lag_1, lag_5, diff, diff / lag_1 if lag_1 else 0.0], strict=True))


@pytest.mark.parametrize("metric", ENGINE_METRICS, ids=lambda metric: metric.name)
def test_rows_equal_what_the_server_answers_to_the_engines_queries(
    rows: pd.DataFrame, client: PrometheusClient, metric: MetricSpec
) -> None:
    clean = rows[rows["label"] == 0].sample(12, random_state=1)
    for _, row in clean.iterrows():
        expected = _engine_columns(client, metric, row["timestamp"], row["pod"], FIVE_SAMPLES)
        found = {name: row[f"{metric.name}_{name}"] for name in STATISTICS}
        assert found == pytest.approx(expected, abs=EXACT)


def test_six_samples_at_a_full_minute_differ_by_what_the_sixth_explains(
    rows: pd.DataFrame, client: PrometheusClient
) -> None:
    """The tolerance that is stated: mean6 = (5 mean5 + x) / 6 with x the sample at t - 5 min, so is lag_5."""
    metric = ENGINE_METRICS[2]
    for _, row in rows[rows["label"] == 0].sample(5, random_state=2).iterrows():
        answers = _engine_columns(client, metric, row["timestamp"], row["pod"], "5m")
        mean5, oldest = row[f"{metric.name}_mean_5m"], row[f"{metric.name}_lag_5"]
        assert answers["mean_5m"] == pytest.approx((5 * mean5 + oldest) / 6, abs=EXACT)
        assert answers["max_5m"] == pytest.approx(max(row[f"{metric.name}_max_5m"], oldest), abs=EXACT)
