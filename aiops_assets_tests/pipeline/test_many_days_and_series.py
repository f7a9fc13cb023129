"""What a fetch does to the lake's old days, how many series of a metric it takes, and which queries it tries."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import ThreadingHTTPServer
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from aiops_assets.errors import PrometheusAnswerError
from aiops_assets.pipeline.assets.raw_metrics import fetch_all, raw_metrics_asset
from aiops_assets.pipeline.resources import prometheus_of, resources_for, stores_of
from aiops_assets.prometheus.client import PrometheusClient
from aiops_assets.settings import Settings
from aiops_assets.timeseries.catalog import COARSE_STEP_SECONDS, POD_CPU
from aiops_assets_tests.benchmarks.computing_server import Cluster, Handler
from aiops_assets_tests.conftest import make_settings
from aiops_assets_tests.raising import raises

N_PODS = 6
NOW = datetime.now(UTC)
CLOSED = (NOW - timedelta(days=2)).date()
OLD, YESTERDAY = (NOW - timedelta(days=400)).date(), (NOW - timedelta(days=1)).date()


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server of six pods."""
    monkeypatch.setattr(Handler, "cluster", Cluster(N_PODS), raising=False)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def variables(url: str, **more: str) -> dict[str, str]:
    return {"DATA_SOURCE": "prometheus", "PROMETHEUS_URL": url, "SYNTHETIC_END": NOW.date().isoformat(), **more}


def test_a_fetch_removes_old_days(url: str, tmp_path: Path) -> None:
    settings = make_settings(tmp_path, **variables(url, KEEP_LAKE_DAYS="30"))
    lake = stores_of(settings).lake()
    begin = datetime(OLD.year, OLD.month, OLD.day, tzinfo=UTC)
    grid = pd.date_range(begin, periods=9, freq=f"{COARSE_STEP_SECONDS}s", unit="us", name="timestamp")
    wide = pd.DataFrame(0.5, index=grid, columns=['{"pod":"a"}'])
    lake.upsert_day(POD_CPU, OLD, wide, fetched=NOW, fetched_until=NOW, closed=True)
    done = _materialized(settings)
    assert done.success
    found = done.asset_materializations_for_node("raw_metrics")[0].metadata
    assert found["days_pruned"].value == 1
    assert lake.days(POD_CPU) == [YESTERDAY]
    assert lake.verify_day(POD_CPU, YESTERDAY).series == N_PODS


def test_a_metric_with_more_series_than_are_allowed_is_refused(url: str, tmp_path: Path) -> None:
    settings = make_settings(tmp_path, **variables(url, PROMETHEUS_MAX_SERIES=str(N_PODS - 1)))
    with (
        prometheus_of(settings).clients() as (client, _),
        raises(PrometheusAnswerError, "too_many_series", series=N_PODS, most=N_PODS - 1),
    ):
        client.count_series(POD_CPU.promql, NOW)
    assert stores_of(settings).lake().days(POD_CPU) == []


def test_only_queries_that_will_be_sent_are_tried(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = make_settings(tmp_path, **variables(url))
    prometheus, lake = prometheus_of(settings), stores_of(settings).lake()
    counted: list[str] = []
    count_series = PrometheusClient.count_series

    def counting(client: PrometheusClient, promql: str, at: datetime) -> int:
        counted.append(promql)
        return count_series(client, promql, at)

    monkeypatch.setattr(PrometheusClient, "count_series", counting)

    def tried() -> set[str]:
        counted.clear()
        fetch_all(prometheus, lake, metrics, [CLOSED], NOW, [], lambda line: None)
        return set(counted)

    metrics = settings.metrics
    assert tried() >= {metric.promql for metric in metrics}
    assert tried() == {
        metric.promql for metric in metrics if metric.per == "labels"
    }  # there are none, so no day of them
    lake.drop_day(POD_CPU, CLOSED)
    assert POD_CPU.promql in tried()
    lake.drop_day(POD_CPU.members, CLOSED)
    assert POD_CPU.promql in tried()
    assert lake.verify_day(POD_CPU, CLOSED).series == N_PODS


def _materialized(settings: Settings) -> dg.ExecuteInProcessResult:
    with dg.DagsterInstance.ephemeral() as instance:
        return dg.materialize(
            [raw_metrics_asset(settings)],
            partition_key=YESTERDAY.isoformat(),
            resources=resources_for(settings),
            instance=instance,
        )
