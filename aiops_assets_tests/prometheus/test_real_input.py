"""From a real Prometheus to a served model, and the 45 columns held against the engine's own queries."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from aiops_assets.commands.summary import stated_source
from aiops_assets.pipeline.resources import stores_of, tracking_of
from aiops_assets.prometheus.client import PrometheusClient
from aiops_assets.prometheus.transport import RequestsTransport
from aiops_assets.registry.lineage import LineageReader
from aiops_assets.settings import Settings
from aiops_assets.synthetic.pods import generate
from aiops_assets.timeseries.catalog import ENGINE_METRICS, NODE_MEMORY, MetricSpec
from aiops_assets.timeseries.features import FEATURES, STATISTICS, feature_matrix, row_mask
from aiops_assets.timeseries.pod_identity import pod_of
from aiops_assets.timeseries.series import from_metric_frames
from aiops_assets.views.pod_features import VISIBLE_KINDS
from aiops_assets_tests.conftest import END, make_settings
from aiops_assets_tests.pipeline.graph import champion, materialize
from aiops_assets_tests.prometheus_server import running_prometheus, scrape, write_blocks

pytestmark = [pytest.mark.needs("prometheus"), pytest.mark.long]
NAME = "anomaly-detector"

FIVE_SAMPLES = "4m59s"
"""Prometheus 2 puts six samples into ``[5m:]`` at a full minute (t - 5 min included); this is our window."""
EXACT = 1e-9
"""The server computes the same sums in another order; restart counts reach 100, so 1e-9 is a few last bits."""


@pytest.fixture(scope="module", params=["prometheus", "hybrid"])
def real(request: pytest.FixtureRequest, prometheus_url: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """One run on real input, in each mode that blends."""
    variables = {"DATA_SOURCE": request.param, "PROMETHEUS_URL": prometheus_url, "TRAINING_PODS": "4"}
    settings = make_settings(tmp_path_factory.mktemp("real"), **variables)
    materialize(settings)
    assert champion(settings) == 1
    assert stated_source(settings).startswith("prometheus+synthetic (")
    return settings


@pytest.fixture
def client(prometheus_url: str) -> Iterator[PrometheusClient]:
    with RequestsTransport(prometheus_url) as transport:
        yield PrometheusClient(transport)


@pytest.fixture(scope="module")
def rows(real: Settings) -> pd.DataFrame:
    manifest = stores_of(real).served().manifest(NAME, 1)
    return stores_of(real).training_sets().rows(manifest.view, manifest.data_version)


def test_the_blend_has_its_share_within_one_row(real: Settings, rows: pd.DataFrame) -> None:
    counts = rows["source"].value_counts()
    assert abs(counts["synthetic"] - {"prometheus": 0.2, "hybrid": 0.5}[real.data_source] * len(rows)) <= 1
    assert counts["prometheus"] == 4 * (7 * 288 - 1)
    manifest = stores_of(real).served().manifest(NAME, 1)
    assert manifest.source.rows == counts.to_dict()
    assert (manifest.source.asked, manifest.source.note, manifest.source.warnings) == (real.data_source, "", ())
    assert manifest.source.coverage == pytest.approx(1.0, abs=1e-3)
    assert (manifest.source.full_days, manifest.source.missing_share) == (7, 0.0)


def test_each_source_is_labelled_at_the_rate_on_both_sides_of_one_holdout(rows: pd.DataFrame) -> None:
    for (source, _), side in rows.groupby(["source", "split"]):
        assert side["label"].mean() == pytest.approx(0.03, abs=1 / len(side))
        # Of the fetched cluster's three nodes, none alone shows in the mean.
        hidden = {"node_memory_ramp"} if source == "prometheus" else set()
        assert set(side["kind"]) == {"normal", *VISIBLE_KINDS} - hidden
    last_train = rows.loc[rows["split"] == "train", "timestamp"].max()
    assert last_train < rows.loc[rows["split"] == "holdout", "timestamp"].min()
    for _, of_source in rows.groupby("source"):
        assert (of_source["split"] == "holdout").mean() == pytest.approx(0.2, abs=0.001)


def test_lineage_lists_queries_and_days(real: Settings) -> None:
    chain = _reader(real).trace(NAME)
    assert chain.verified, chain.problems
    assert chain.effective_source == "prometheus+synthetic"
    assert chain.queries == tuple(metric.promql for metric in ENGINE_METRICS)
    for source in ("prometheus", "synthetic"):
        days = [day.day for day in chain.days if day.source == source]
        assert days == [str((END - timedelta(days=d)).date()) for d in range(7, 0, -1)]
    assert {day.state for day in chain.days} == {"verified"}


def test_a_day_revised_afterwards_is_reported_as_revised_and_a_lost_one_as_missing(real: Settings) -> None:
    lake, metric = stores_of(real).lake(), ENGINE_METRICS[0]
    first, second = sorted(day for day in lake.days(metric) if day >= (END - timedelta(days=7)).date())[:2]
    paths = [Path(real.aiops_home, lake._path(metric, day)) for day in (first, second)]
    kept = [path.read_bytes() for path in paths]
    wide, info = lake.read_day(metric, first)
    changed, revised = lake.upsert_day(
        metric,
        first,
        wide.iloc[:3] * 1.01,
        fetched=END.to_pydatetime(),
        fetched_until=info.requested_until,
        closed=True,
    )
    assert changed
    assert revised == changed.revised == 3 * wide.shape[1]
    paths[1].unlink()
    chain = _reader(real).trace(NAME)
    states = [day.state for day in chain.days if day.source == "prometheus"]
    assert states == ["revised", "missing", *["verified"] * 5]
    assert chain.problems == (f"{second}: its prometheus data is missing",)
    for path, data in zip(paths, kept, strict=True):
        path.write_bytes(data)


def test_pods_are_drawn_and_recorded(real: Settings, rows: pd.DataFrame) -> None:
    manifest = stores_of(real).served().manifest(NAME, 1)
    record = stores_of(real).training_sets().record(manifest.view, manifest.data_version)
    assert len(record.pods) == 4
    assert set(rows.loc[rows["source"] == "prometheus", "pod"]) == set(record.pods)


def _reader(settings: Settings) -> LineageReader:
    stores = stores_of(settings)
    return LineageReader(stores.served(), stores.training_sets(), stores.lake(), tracking_of(settings).tracker())


def _untouched(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[(rows["label"] == 0) & (rows["source"] == "prometheus")]


def _answer(client: PrometheusClient, promql: str, at: pd.Timestamp, pod: str, metric: MetricSpec) -> float:
    """The server's instant answer for a pod; of a node metric the mean over the nodes."""
    found = client.query(promql, at.to_pydatetime())
    values = [value for labels, value in found if metric.per == "node" or pod_of(json.dumps(labels)) == pod]
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
    clean = _untouched(rows).sample(12, random_state=1)
    for _, row in clean.iterrows():
        expected = _engine_columns(client, metric, row["timestamp"], row["pod"], FIVE_SAMPLES)
        found = {name: row[f"{metric.name}_{name}"] for name in STATISTICS}
        assert found == pytest.approx(expected, abs=EXACT)


def test_six_samples_at_a_full_minute_differ_by_what_the_sixth_explains(
    rows: pd.DataFrame, client: PrometheusClient
) -> None:
    """The tolerance that is stated: mean6 = (5 mean5 + x) / 6 with x the sample at t - 5 min, so is lag_5."""
    metric = ENGINE_METRICS[2]
    for _, row in _untouched(rows).sample(5, random_state=2).iterrows():
        answers = _engine_columns(client, metric, row["timestamp"], row["pod"], "5m")
        mean5, oldest = row[f"{metric.name}_mean_5m"], row[f"{metric.name}_lag_5"]
        assert answers["mean_5m"] == pytest.approx((5 * mean5 + oldest) / 6, abs=EXACT)
        assert answers["max_5m"] == pytest.approx(max(row[f"{metric.name}_max_5m"], oldest), abs=EXACT)


def test_rows_equal_the_server_while_a_node_is_away(tmp_path: Path) -> None:
    """Around the edges of a node's absence some of its window is there: no row is lost, and each equals the server."""
    series = generate(5, 1, END, seed=11)
    away = (END - pd.Timedelta(hours=12)).timestamp(), (END - pd.Timedelta(hours=11, minutes=40)).timestamp()
    scraped = []
    for samples in scrape(series):
        if samples.name.startswith("node_memory") and samples.labels["instance"] == "node-1":
            kept = (samples.seconds < away[0]) | (samples.seconds > away[1])
            samples = replace(samples, seconds=samples.seconds[kept], values=samples.values[kept])
        scraped.append(samples)
    write_blocks(scraped, tmp_path / "tsdb")
    start = END - pd.Timedelta(days=1)
    with running_prometheus(tmp_path / "tsdb") as url, RequestsTransport(url) as transport:
        client = PrometheusClient(transport)
        frames = {m.name: client.query_range(m.promql, start, END, m.step_seconds) for m in ENGINE_METRICS}
        assert frames[NODE_MEMORY.name].isna().any().sum() == 1
        real = from_metric_frames(frames, ENGINE_METRICS, start, END, [f"demo/{pod}" for pod in series.pods])
        assert row_mask(real, every=1)[:, 5:].all()
        for minute in [715, *range(718, 730), *range(736, 750)]:
            row = feature_matrix(real, np.array([0]), np.array([minute]))[0]
            found = dict(zip(STATISTICS, row[FEATURES.index(f"{NODE_MEMORY.name}_value") :], strict=False))
            asked = _engine_columns(client, NODE_MEMORY, real.times[minute], "", FIVE_SAMPLES)
            assert found == pytest.approx(asked, abs=EXACT), real.times[minute]
