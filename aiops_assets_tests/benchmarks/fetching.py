"""What fetching costs, beside receiving the bytes alone and beside prometheus-api-client, from one real server.

Each measurement is a process of its own, so that its peak of memory is its own:
``python -m aiops_assets_tests.benchmarks.fetching floor|ours|theirs URL`` prints it as JSON.
"""

import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd

from aiops_assets.datasets.ingest import ingest_metric
from aiops_assets.prometheus.client import Chunk, PrometheusClient, plan_chunks
from aiops_assets.prometheus.transport import RequestsTransport
from aiops_assets.storage.lake import Lake
from aiops_assets.storage.storage import open_storage
from aiops_assets.timeseries.catalog import MetricSpec
from aiops_assets_tests.benchmarks.rows import Row
from aiops_assets_tests.prometheus_server import Scraped, running_prometheus, write_blocks

Found = dict[str, float]

N_SERIES, N_DAYS, STEP = 1_000, 30, 300
DAY_POINTS = 86_400 // STEP
WHAT = f"{N_SERIES:,} series x {N_DAYS} days"
BEFORE = 60
"""Seconds from a scrape to the query's next instant: each instant sees one scrape of the five minutes before it."""
END = datetime(2026, 11, 1, tzinfo=UTC)
START = END - timedelta(days=N_DAYS)
NOW = END + timedelta(minutes=4)
"""All days are over and settled; the last one is still open."""
NEXT = NOW + timedelta(minutes=5)
ROUNDS = 3
LOAD = MetricSpec(
    name="load",
    promql="load",
    unit="ratio",
    per="pod",
    step_seconds=STEP,
    description="a gauge that every pod shows",
)


def missing() -> str:
    """What this machine lacks to measure, in words; empty if nothing."""
    found = {
        "the programs prometheus and promtool": all(map(shutil.which, ("prometheus", "promtool"))),
        "the package prometheus-api-client": importlib.util.find_spec("prometheus_api_client") is not None,
        "/proc, which tells the peak of memory": Path("/proc/self/status").exists(),
    }
    return ", ".join(what for what, there in found.items() if not there)


def rows() -> list[Row]:
    """Ours beside receiving the bytes, in some minutes; says on the error channel how far it is."""
    rounds = _rounds("floor", "ours")
    ours = [found["ours"] for found in rounds]
    again = median(100 * found["again_at_client"] / found["at_client"] for found in ours)
    peak = max(found["megabytes"] for found in ours)
    return [
        Row(f"{WHAT} into Parquet / receiving the bytes (goal 1.3)", _ratio(rounds, "ours", "floor"), 2.5),
        Row(f"MB at the peak of fetching {WHAT}", peak, 400),
        Row("% of its time at the client for a fetch with nothing new", again, 5),
    ]


def rows_beside_theirs() -> list[Row]:
    """prometheus-api-client beside ours."""
    name = f"{WHAT} as MetricRangeDataFrames / into Parquet"
    return [Row(name, _ratio(_rounds("ours", "theirs"), "theirs", "ours"), 5, at_least=True)]


def _rounds(*names: str) -> list[dict[str, Found]]:
    with _server() as url:
        _measure("floor", url)  # the first one also reads the server's files, and does not count
        return [{name: _measure(name, url) for name in names} for _ in range(ROUNDS)]


def _ratio(rounds: list[dict[str, Found]], above: str, below: str) -> float:
    return median(found[above]["seconds"] / found[below]["seconds"] for found in rounds)


def _measure(name: str, url: str) -> Found:
    command = [sys.executable, "-m", __spec__.name, name, url]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    found: Found = json.loads(done.stdout)
    _say(f"fetching: {name:6} " + ", ".join(f"{what} {value:.3g}" for what, value in found.items()))
    return found


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@contextmanager
def _server() -> Iterator[str]:
    """The URL of a server that has scraped the gauge every five minutes."""
    with tempfile.TemporaryDirectory() as folder:
        _say(f"fetching: making a Prometheus with {WHAT} at {STEP // 60} minutes")
        storage = Path(folder) / "tsdb"
        write_blocks(_scraped(), storage)
        with running_prometheus(storage) as url:
            yield url


def _scraped() -> list[Scraped]:
    """The gauge of every pod, up to an hour after the last day: usages of all the digits that a quotient has."""
    instants = np.arange(START.timestamp(), END.timestamp() + 3600, STEP)
    daily = np.sin(2 * np.pi * instants / 86_400)
    rng = np.random.default_rng(1)
    scraped = []
    for pod in range(N_SERIES):
        level, swing = rng.uniform(0.2, 0.8), rng.uniform(0.01, 0.1)
        values = level + swing * daily + rng.normal(0, 0.01, len(instants))
        labels = {"instance": f"10.128.{pod % 12}.10:10250", "namespace": f"team-{pod % 40:02d}", "pod": f"p-{pod:04d}"}
        scraped.append(Scraped("load", "gauge", labels, instants - BEFORE, values))
    return scraped


def floor(url: str) -> Found:
    """Receive every byte of the same chunks, one after the other, and drop it."""
    began, used = time.perf_counter(), time.process_time()
    n_bytes = 0
    with RequestsTransport(url) as transport:
        for chunk in plan_chunks(START, END, STEP, N_SERIES):
            bounds = {"start": str(chunk.start), "end": str(chunk.last), "step": str(STEP)}
            n_bytes += len(transport.get("/api/v1/query_range", {"query": LOAD.promql, **bounds}).body)
    seconds, cpu = time.perf_counter() - began, time.process_time() - used
    return {"seconds": seconds, "cpu_seconds": cpu, "megabytes_received": n_bytes / 1e6}


class TimedClient(PrometheusClient):
    """A client that knows how long its caller has waited for it."""

    seconds = 0.0

    def stream(
        self, promql: str, start: datetime, end: datetime, step_seconds: int = 60, series: int = 1
    ) -> Iterator[tuple[Chunk, pd.DataFrame]]:
        """See PrometheusClient."""
        parts = super().stream(promql, start, end, step_seconds, series)
        while True:
            with self._waiting():
                part = next(parts, None)
            if part is None:
                return
            yield part

    def count_series(self, promql: str, at: datetime) -> int:
        """See PrometheusClient."""
        with self._waiting():
            return super().count_series(promql, at)

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds += time.perf_counter() - began


def ours(url: str) -> Found:
    """Fetch all days into a new lake; then once more, five minutes later."""
    with tempfile.TemporaryDirectory() as folder, RequestsTransport(url) as transport:
        lake = Lake(open_storage(folder), "bench")
        client = TimedClient(transport)
        began, used = time.perf_counter(), time.process_time()
        _ingest(client, lake, NOW)
        found = {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - used}
        found |= {"megabytes": _peak_megabytes(), "at_client": client.seconds}
        _ingest(client, lake, NEXT)
    return found | {"again_at_client": client.seconds - found["at_client"]}


def _ingest(client: PrometheusClient, lake: Lake, now: datetime) -> None:
    """Fetch every day up to today's; what is stored must be all there is."""
    days = [(START + timedelta(days=i)).date() for i in range(N_DAYS + 1)]
    # With all that a fetch does: the companion first, which says how many series there should be.
    ingest_metric(client, lake, LOAD.members, days, now, cluster_id="bench")
    infos = ingest_metric(client, lake, LOAD, days, now, cluster_id="bench").infos
    stored = [info.samples if info else 0 for info in infos.values()]
    if stored[:-1] != [N_SERIES * DAY_POINTS] * N_DAYS:
        raise RuntimeError(f"not every sample was stored: {stored}")


def _peak_megabytes() -> float:
    """The most memory this process ever held. ``getrusage`` would count what its parent held when it forked."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) * 1024 / 1e6


def theirs(url: str) -> Found:
    """Fetch the same days with prometheus-api-client into its frames, a day at a time, and drop them."""
    from prometheus_api_client.metric_range_df import MetricRangeDataFrame
    from prometheus_api_client.prometheus_connect import PrometheusConnect

    began = time.perf_counter()
    connection = PrometheusConnect(url)
    n_rows = 0
    for i in range(N_DAYS):
        start = START + timedelta(days=i)
        last = start + timedelta(days=1, seconds=-STEP)
        n_rows += len(MetricRangeDataFrame(connection.custom_query_range(LOAD.promql, start, last, str(STEP))))
    if n_rows != N_SERIES * DAY_POINTS * N_DAYS:
        raise RuntimeError(f"prometheus-api-client has {n_rows} rows")
    return {"seconds": time.perf_counter() - began, "megabytes": _peak_megabytes()}


if __name__ == "__main__":
    measurement = {"floor": floor, "ours": ours, "theirs": theirs}[sys.argv[1]]
    print(json.dumps(measurement(sys.argv[2])))
