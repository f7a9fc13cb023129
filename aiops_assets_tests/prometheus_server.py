"""A real Prometheus on a loopback port, back-filled with what a cluster's exporters would have shown.

The gauges of a :class:`PodSeries` become raw metrics: CPU and traffic as counters that integrate the gauge,
memory as bytes, restarts as they are. ``values[..., k]`` holds for the minute that ends at ``times[k]``. A
target is scraped once in each minute, off the full minute, so a query at ``times[k]`` reads ``values[..., k]``
of a gauge, and a ``rate(...[5m])`` is the gauge's average over four minutes that end at the last scrape.
"""

import http.client
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from aiops_assets.timeseries.catalog import (
    NETWORK_RECEIVE,
    NODE_CPU,
    NODE_MEMORY,
    POD_CPU,
    POD_MEMORY,
    RESTARTS,
    SYNTHETIC_METRICS,
)
from aiops_assets.timeseries.series import Floats, PodSeries
from aiops_assets_tests.ports import free_port

MINUTE = 60
WARM_UP_MINUTES = 6
"""Minutes before the first one, with its values: a rate has its full window at once."""
NODE_EXPORTER, CADVISOR, KUBE_STATE = 7.5, 22.5, 37.5
"""Seconds after the full minute at which each kind of target is scraped."""

CPU_MODES = {"user": 0.65, "system": 0.30, "iowait": 0.05}
"""Shares of a busy CPU's time."""
CONTAINERS = {"app": 0.8, "sidecar": 0.2}
"""Shares of a pod's CPU time, memory and limits."""
NODE_MEMORY_BYTES = 16 * 2**30
POD_MEMORY_BYTES = 512 * 2**20
POD_CPU_CORES = 1.0
PERIODS_PER_SECOND = 10.0
ALLOCATABLE = 0.9
"""Share of a node's memory that pods may have."""
SENT = 0.6
"""Bytes a pod sends for each that it receives."""
DISK_BYTES = 100e9
FILE_SYSTEMS = {"/": 1.0, "/boot": 0.3}
"""Mount points, and how full they are as a share of how full the root is."""
EARLIER = 10_000.0
"""What counters begin with: Prometheus extrapolates a counter that has just begun less far."""

# One block a text file: promtool reads a file again for each block, and cuts blocks at multiples of this.
BLOCK_SECONDS = 54 * 3600
READY_SECONDS = 60.0


@dataclass(frozen=True)
class Scraped:
    """The samples of one series as a server stores them.

    Attributes:
        name: of the metric, as queries use it.
        kind: ``counter`` or ``gauge``.
        labels: name to value.
        seconds: (n,) Unix seconds of the scrapes, rising.
        values: (n,) float64.
    """

    name: str
    kind: str
    labels: dict[str, str]
    seconds: Floats
    values: Floats


class Target:
    """Something that is scraped once a minute: it turns per-minute values into samples.

    Args:
        times: (n_minutes,) full minutes; the samples begin some minutes earlier, with the first value.
        offset: seconds after the full minute, below 60.
    """

    def __init__(self, times: pd.DatetimeIndex, offset: float) -> None:
        ends = times.as_unit("s").asi8
        warm_up = ends[0] - MINUTE * np.arange(WARM_UP_MINUTES, 0, -1)
        self._seconds = np.concatenate([warm_up, ends]) - MINUTE + offset
        self._offset = offset

    def shows(self, name: str, values: Floats, kind: str = "gauge", **labels: str) -> Scraped:
        """The values as they are."""
        return Scraped(name, kind, labels, self._seconds, self._with_warm_up(values))

    def counts(self, name: str, per_second: Floats, **labels: str) -> Scraped:
        """A counter that grows by each minute's value per second."""
        held = self._with_warm_up(per_second)
        at_minute_start = MINUTE * (np.cumsum(held) - held)
        return Scraped(name, "counter", labels, self._seconds, EARLIER + at_minute_start + self._offset * held)

    def _with_warm_up(self, values: Floats) -> Floats:
        return np.concatenate([np.full(WARM_UP_MINUTES, values[0]), values])


def disk_used(node: int, n_minutes: int) -> Floats:
    """How full a node's root file system is: (n_minutes,), ratio 0-1, a slow rise of the node's own."""
    rng = np.random.default_rng([node, 9])
    level, per_day, noise = rng.uniform(0.35, 0.6), rng.uniform(0.005, 0.02), rng.normal(0, 1e-4, n_minutes)
    return np.minimum(level + per_day * np.arange(n_minutes) / 1440 + noise, 0.95)


def throttling(cpu: Floats) -> Floats:
    """Share of scheduling periods in which a limit stops a pod that uses so many cores: (n_minutes,), ratio 0-1."""
    return np.clip(cpu / POD_CPU_CORES - 0.2, 0.0, 0.9)


def scrape(series: PodSeries, n_nodes: int = 3) -> list[Scraped]:
    """What node_exporter, cAdvisor and kube-state-metrics show of a cluster.

    Args:
        series: has the metrics of ``SYNTHETIC_METRICS``; the node columns of its first pods are the nodes.
        n_nodes: at most as many as ``series`` has node columns.
    """
    n_minutes = len(series.times)
    cpu, memory = (series.values[m.name].reshape(-1, n_minutes) for m in (NODE_CPU, NODE_MEMORY))
    scraped: list[Scraped] = []
    for i in range(n_nodes):
        node, disk = f"node-{i}", disk_used(i, n_minutes)
        scraped += _node(Target(series.times, NODE_EXPORTER), node, cpu[i], memory[i], disk)
        scraped += _allocatable(Target(series.times, KUBE_STATE), node, n_minutes)
        # cAdvisor shows each whole node once more, as id="/" without a pod.
        received = series.values[NETWORK_RECEIVE.name][i::n_nodes, 0].sum(axis=0)
        scraped += _traffic(Target(series.times, CADVISOR), received, {"id": "/", "node": node})
    for i, pod in enumerate(series.pods):
        labels = {"namespace": "demo", "pod": pod, "node": f"node-{i % n_nodes}"}
        values = {m.name: series.values[m.name][i, 0] for m in SYNTHETIC_METRICS if m.per == "pod"}
        scraped += _cadvisor(Target(series.times, CADVISOR), labels, values)
        scraped += _kube_state(Target(series.times, KUBE_STATE), labels, values[RESTARTS.name])
    return sorted(scraped, key=lambda samples: samples.name)


def _node(target: Target, node: str, busy: Floats, memory: Floats, disk: Floats) -> Iterator[Scraped]:
    unequal = 0.25 * np.minimum(busy, 1 - busy)
    for cpu, share in (("0", busy + unequal), ("1", busy - unequal)):
        parts = {"idle": 1 - share, **{mode: part * share for mode, part in CPU_MODES.items()}}
        for mode, part in parts.items():
            yield target.counts("node_cpu_seconds_total", part, instance=node, cpu=cpu, mode=mode)
    total = np.full(len(memory), float(NODE_MEMORY_BYTES))
    yield target.shows("node_memory_MemTotal_bytes", total, instance=node)
    yield target.shows("node_memory_MemAvailable_bytes", (1 - memory) * total, instance=node)
    size = np.full(len(disk), DISK_BYTES)
    for mountpoint, fullness in FILE_SYSTEMS.items():
        labels = {"instance": node, "mountpoint": mountpoint}
        yield target.shows("node_filesystem_size_bytes", size, **labels)
        yield target.shows("node_filesystem_avail_bytes", (1 - fullness * disk) * size, **labels)


def _cadvisor(target: Target, pod: dict[str, str], values: Mapping[str, Floats]) -> Iterator[Scraped]:
    # cAdvisor shows each pod's whole once more, as container="": a query that adds it up counts twice.
    for container, share in {**CONTAINERS, "": 1.0}.items():
        labels = {**pod, "container": container}
        yield target.counts("container_cpu_usage_seconds_total", share * values[POD_CPU.name], **labels)
        used = share * POD_MEMORY_BYTES * values[POD_MEMORY.name]
        yield target.shows("container_memory_working_set_bytes", used, **labels)
        if container:
            periods = np.full(len(used), share * PERIODS_PER_SECOND)
            throttled = periods * throttling(values[POD_CPU.name])
            yield target.counts("container_cpu_cfs_periods_total", periods, **labels)
            yield target.counts("container_cpu_cfs_throttled_periods_total", throttled, **labels)
    yield from _traffic(target, values[NETWORK_RECEIVE.name], pod)


def _traffic(target: Target, received: Floats, labels: dict[str, str]) -> Iterator[Scraped]:
    for interface, share in (("eth0", 1.0), ("lo", 0.5)):
        for direction, ratio in (("receive", 1.0), ("transmit", SENT)):
            name = f"container_network_{direction}_bytes_total"
            yield target.counts(name, share * ratio * received, interface=interface, **labels)


def _allocatable(target: Target, node: str, n_minutes: int) -> Iterator[Scraped]:
    for resource, amount in (("memory", ALLOCATABLE * NODE_MEMORY_BYTES), ("cpu", 2.0)):
        yield target.shows("kube_node_status_allocatable", np.full(n_minutes, amount), node=node, resource=resource)


def _kube_state(target: Target, pod: dict[str, str], restarts: Floats) -> Iterator[Scraped]:
    for container, share in CONTAINERS.items():
        labels = {**pod, "container": container}
        for resource, limit in (("memory", POD_MEMORY_BYTES), ("cpu", POD_CPU_CORES)):
            values = np.full(len(restarts), share * limit)
            yield target.shows("kube_pod_container_resource_limits", values, resource=resource, **labels)
        counts = restarts if container == "app" else np.zeros(len(restarts))
        yield target.shows("kube_pod_container_status_restarts_total", counts, kind="counter", **labels)


def exposition(scraped: Sequence[Scraped], start: float, end: float) -> str:
    """OpenMetrics text of the samples in [start, end), Unix seconds; series of one metric must be neighbours."""
    lines = []
    family = ""
    for samples in scraped:
        if samples.name != family:
            family = samples.name
            lines.append(f"# TYPE {family.removesuffix('_total')} {samples.kind}")
        labels = ",".join(f'{name}="{value}"' for name, value in samples.labels.items())
        first, stop = np.searchsorted(samples.seconds, [start, end])
        points = zip(samples.values[first:stop].tolist(), samples.seconds[first:stop].tolist(), strict=True)
        lines += [f"{family}{{{labels}}} {value!r} {seconds!r}" for value, seconds in points]
    return "\n".join([*lines, "# EOF", ""])


def write_blocks(scraped: Sequence[Scraped], directory: Path) -> None:
    """Make a server's storage in ``directory`` of the samples.

    Raises:
        RuntimeError: promtool refused; the message carries its output.
    """
    first = min(samples.seconds[0] for samples in scraped)
    last = max(samples.seconds[-1] for samples in scraped)
    start = first // BLOCK_SECONDS * BLOCK_SECONDS
    directory.mkdir(parents=True, exist_ok=True)
    text = directory / "samples.txt"
    while start <= last:
        text.write_text(exposition(scraped, start, start + BLOCK_SECONDS))
        command = ["promtool", "tsdb", "create-blocks-from", "openmetrics"]
        limits = ["--quiet", f"--max-block-duration={BLOCK_SECONDS // 3600}h"]
        done = subprocess.run([*command, *limits, str(text), str(directory)], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"promtool: {done.stdout}{done.stderr}")
        start += BLOCK_SECONDS
    text.unlink()


@contextmanager
def running_prometheus(
    storage: Path, target: str = "", configuration: str = "", arguments: Sequence[str] = ()
) -> Iterator[str]:
    """Yield the URL of a server over ``storage``; it deletes nothing, and ends with the block.

    Args:
        storage: a folder; empty for a server without samples.
        target: host:port that is scraped every second; nothing is by default.
        configuration: all of it, in place of the one that scrapes ``target``.
        arguments: further ones of the program.

    Raises:
        RuntimeError: it did not become ready; the message carries its log.
    """
    config, log = storage / "prometheus.yml", storage / "prometheus.log"
    job = f"{{job_name: tested, scrape_interval: 1s, static_configs: [{{targets: ['{target}']}}]}}" if target else ""
    plain = f"global: {{scrape_interval: 1m, evaluation_interval: 1m}}\nscrape_configs: [{job}]\n"
    config.write_text(configuration or plain)
    port = free_port()
    command = [
        "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={storage}",
        "--storage.tsdb.retention.time=100y",
        # Otherwise it merges the blocks behind the caller's back, a minute after its start.
        f"--storage.tsdb.max-block-duration={BLOCK_SECONDS // 3600}h",
        f"--web.listen-address=127.0.0.1:{port}",
        *arguments,
    ]
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as server:
        try:
            if not _becomes_ready(server, port):
                raise RuntimeError(f"Prometheus is not ready: {log.read_text()[-2000:]}")
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            try:
                server.wait(timeout=10)
            except subprocess.TimeoutExpired:
                server.kill()


@contextmanager
def backfilled_prometheus(series: PodSeries, directory: Path, n_nodes: int = 3) -> Iterator[str]:
    """Yield the URL of a server that has scraped a cluster of these pods and nodes.

    Args:
        series: see :func:`scrape`.
        directory: empty or absent; becomes the server's storage.
        n_nodes: how many of the series' node columns are nodes.
    """
    write_blocks(scrape(series, n_nodes), directory)
    with running_prometheus(directory) as url:
        yield url


def _becomes_ready(server: subprocess.Popen[bytes], port: int) -> bool:
    ends = time.monotonic() + READY_SECONDS
    while server.poll() is None and time.monotonic() < ends:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        try:
            connection.request("GET", "/-/ready")
            if connection.getresponse().status == 200:
                return True
        except (OSError, http.client.HTTPException):
            pass
        finally:
            connection.close()
        time.sleep(0.05)
    return False
