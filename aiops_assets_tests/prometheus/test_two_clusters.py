"""Two clusters in one real server: with a matcher each query sees the one that it is of."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from aiops_assets.prometheus.client import PrometheusClient
from aiops_assets.prometheus.transport import RequestsTransport
from aiops_assets.synthetic.pods import generate
from aiops_assets.timeseries.catalog import METRICS, MetricSpec
from aiops_assets.timeseries.queries import queried
from aiops_assets.timeseries.shape import shape_problem
from aiops_assets_tests.conftest import END
from aiops_assets_tests.prometheus_server import Scraped, running_prometheus, scrape, write_blocks

pytestmark = pytest.mark.needs("prometheus")

MINUTES = 90
WINDOW = (END - pd.Timedelta(minutes=60), END)
CLUSTERS = {"one": (3, 7), "two": (4, 8)}
"""Cluster -> number of pods and seed."""


def scraped(cluster: str) -> list[Scraped]:
    """The last minutes of a cluster."""
    pods, seed = CLUSTERS[cluster]
    return [
        replace(samples, seconds=samples.seconds[-MINUTES:], values=samples.values[-MINUTES:])
        for samples in scrape(generate(pods, 1, END, seed))
    ]


def labelled(cluster: str) -> list[Scraped]:
    return [replace(samples, labels={"cluster": cluster, **samples.labels}) for samples in scraped(cluster)]


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A server of each cluster alone, without the label, and ``shared``, which holds both."""
    storage = {name: tmp_path_factory.mktemp(name) / "tsdb" for name in ("shared", *CLUSTERS)}
    both = [samples for cluster in CLUSTERS for samples in labelled(cluster)]
    write_blocks(sorted(both, key=lambda samples: samples.name), storage["shared"])
    for cluster in CLUSTERS:
        write_blocks(scraped(cluster), storage[cluster])
    with ExitStack() as stack:
        yield {name: stack.enter_context(running_prometheus(Path(folder))) for name, folder in storage.items()}


def fetched(url: str, metric: MetricSpec, matchers: str = "") -> pd.DataFrame:
    with RequestsTransport(url) as transport:
        client = PrometheusClient(transport, matchers=matchers)
        return client.query_range(metric.promql, *WINDOW, metric.step_seconds)


@pytest.mark.parametrize("cluster", CLUSTERS)
@pytest.mark.parametrize("metric", [m for m in METRICS if m.per != "labels"], ids=lambda metric: metric.name)
def test_a_matched_query_is_answered_as_by_the_clusters_own_server(
    urls: dict[str, str], metric: MetricSpec, cluster: str
) -> None:
    matchers = f'cluster="{cluster}"'
    for spec in (metric, metric.members):
        alone, matched = fetched(urls[cluster], spec), fetched(urls["shared"], spec, matchers)
        assert alone.shape[1]
        assert shape_problem(queried(spec, matchers, 60), matched.columns) is None
        names = [json.loads(name) for name in matched.columns]
        assert {labels.pop("cluster", cluster) for labels in names} == {cluster}
        matched.columns = pd.Index([json.dumps(labels, separators=(",", ":"), sort_keys=True) for labels in names])
        pd.testing.assert_frame_equal(matched[alone.columns], alone, rtol=1e-9, check_flags=False)


def test_without_a_matcher_the_answer_is_of_both(urls: dict[str, str]) -> None:
    [nodes] = fetched(urls["shared"], next(m for m in METRICS if m.name == "node_memory_utilization").members).iloc[-1]
    assert nodes == 6
