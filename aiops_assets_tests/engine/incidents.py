"""Incidents and harmless events of a cluster as an on-call engineer knows them, generated from seeds.

Each is the ``metrics`` of a request with the right answer of both routes. Noise, step, level, length and metric vary
with the seed, so that no answer can be learnt by heart.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from aiops_assets.timeseries.series import Floats
from aiops_assets_tests.engine.situations import Body

NOW = datetime(2026, 11, 18, 12, tzinfo=UTC)
"""A Wednesday; the newest sample where a situation has no time of its own."""
MONDAY, SATURDAY = datetime(2026, 11, 16, 9, 10, tzinfo=UTC), datetime(2026, 11, 21, 11, 0, tzinfo=UTC)
Rng = np.random.Generator
CPU = ("node_cpu_utilization", "pod_cpu_usage", "cpu_usage", "cluster_cpu_usage")
MEMORY = ("pod_memory_usage", "memory_usage", "node_memory_utilization")
TRAFFIC = ("network_in", "pod_network_receive", "network_out")


@dataclass(frozen=True)
class Incident:
    """Metrics, and what detect and predict have to say of them.

    Attributes:
        name: one phrase.
        make: (generator) -> the ``metrics`` of a request.
        anomaly: a part of the name of an anomaly; empty: there must be none.
        issues: one of these issues has to be predicted; empty for harmless events: there must be none.
    """

    name: str
    make: Callable[[Rng], Body]
    anomaly: str = ""
    issues: tuple[str, ...] = ()

    def body(self, seed: int) -> Body:
        """The ``metrics`` of a request."""
        return self.make(np.random.default_rng([seed, 11]))


def series(name: str, values: Any, step: int, end: datetime = NOW, pod: str = "") -> Body:
    """Samples of one name so many seconds apart."""
    last = len(values) - 1
    found: Body = []
    for i, value in enumerate(values):
        time = (end - timedelta(seconds=step * (last - i))).isoformat().replace("+00:00", "Z")
        found.append(
            {"name": name, "value": float(value), "timestamp": time} | ({"labels": {"pod": pod}} if pod else {})
        )
    return found


def hours_of(days: float, end: datetime, step: int = 300) -> tuple[Floats, Floats, Floats]:
    """Day number, weekday (Monday = 0) and hour of the day of samples up to ``end``."""
    n = round(days * 86_400 / step) + 1
    seconds: Floats = end.timestamp() - step * np.arange(n - 1, -1, -1, dtype=np.float64)
    day = seconds // 86_400
    return day, (day + 3) % 7, seconds % 86_400 / 3600


def noisy(rng: Rng, values: Any, low: float = 0.005, high: float = 0.03) -> Floats:
    """Values with noise of a share of their level."""
    return np.asarray(np.asarray(values) * (1 + rng.uniform(low, high) * rng.standard_normal(len(values))))


def _crash_loop(rng: Rng) -> Body:
    step = int(rng.choice([60, 300]))
    minute = np.arange(0, 121, step // 60)
    phase = int(rng.integers(0, 5))
    return series("container_restart_count", int(rng.integers(0, 40)) + (minute + phase) // 5, step)


def _node_ramp(rng: Rng) -> Body:
    begin, rate = rng.uniform(0.58, 0.66), rng.uniform(0.006, 0.01)
    ramp = np.arange(begin, 0.86, rate)
    calm = np.full(int(rng.choice([0, 0, 20, 60])), begin)
    values = np.concatenate([calm, ramp]) + rng.uniform(0.0005, 0.004) * rng.standard_normal(len(calm) + len(ramp))
    return series("node_memory_utilization", values, 60)


def _network_burst(rng: Rng) -> Body:
    calm = noisy(rng, np.full(int(rng.integers(40, 120)), rng.uniform(1e5, 5e6)), 0.02, 0.1)
    calm[-3:] *= rng.uniform(5, 20)
    return series(str(rng.choice(TRAFFIC)), calm, 60)


def _oom_loop(rng: Rng) -> Body:
    period, minute = int(rng.integers(8, 19)), np.arange(0, 121)
    phase = int(rng.integers(0, period))
    within = (minute + phase) % period / period
    memory = noisy(rng, rng.uniform(0.3, 0.45) + 0.6 * within, 0.003, 0.01)
    return series("pod_memory_usage", memory, 60) + series("container_restart_count", (minute + phase) // period, 60)


def _full_node(rng: Rng) -> Body:
    n = int(rng.choice([1, 12, 60, 288]))
    return series("node_memory_utilization", rng.uniform(0.912, 0.93) + 0.002 * rng.uniform(-1, 1, n), 300)


def _throttled(rng: Rng) -> Body:
    n = int(rng.choice([1, 12, 60]))
    name = str(rng.choice(["pod_cpu_throttling", "cpu_throttling_ratio", "container_cpu_throttling_ratio"]))
    return series(name, rng.uniform(0.35, 0.8) * (1 + 0.03 * rng.standard_normal(n)), 300)


def _disk_in_five_hours(rng: Rng) -> Body:
    now, hours = rng.uniform(0.7, 0.85), rng.uniform(5, 14)
    ago = np.arange(round(hours * 12), -1, -1) / 12
    values = now - (1 - now) / 5 * ago + rng.uniform(0.0003, 0.002) * rng.standard_normal(len(ago))
    return series(str(rng.choice(["disk_usage", "disk_usage"])), np.abs(values), 300)


def _dns_failure(rng: Rng) -> Body:
    calm = np.abs(0.01 * (1 + 0.3 * rng.standard_normal(int(rng.integers(20, 90)))))
    calm[-int(rng.integers(2, 6)) :] = rng.uniform(0.2, 0.6)
    return series("error_rate", calm, 60)


def _slow_leak(rng: Rng) -> Body:
    name, step = str(rng.choice(["pod_memory_usage", "memory_usage"])), int(rng.choice([300, 900, 3600]))
    n = 3 * 86_400 // step
    ramp = np.linspace(rng.uniform(0.25, 0.35), rng.uniform(0.65, 0.8), n)
    return series(name, noisy(rng, ramp, 0.003, 0.02), step)


def _node_leak(rng: Rng) -> Body:
    n = round(rng.uniform(2, 4) * 288)
    ramp = np.linspace(rng.uniform(0.35, 0.45), rng.uniform(0.72, 0.84), n)
    return series("node_memory_utilization", noisy(rng, ramp, 0.003, 0.015), 300)


def _fast_leak(rng: Rng) -> Body:
    now, hours = rng.uniform(0.7, 0.85), rng.uniform(1.5, 4)
    ago = np.arange(round(hours * 60), -1, -1) / 60
    values = now - (1 - now) / 0.8 * np.minimum(ago, rng.uniform(0.7, 1.2))
    return series("pod_memory_usage", noisy(rng, values, 0.002, 0.01), 60)


def _start_up(rng: Rng) -> Body:
    values = noisy(rng, np.array([0.9, 0.8, 0.55, 0.3, 0.22, 0.2]) * rng.uniform(0.8, 1.2), 0.005, 0.03)
    pod = "cart-7d9f8b6c5-x2x4z" if rng.random() < 0.5 else ""
    return series("pod_cpu_usage", values, int(rng.choice([60, 300])), pod=pod)


def _jvm(rng: Rng) -> Body:
    values = noisy(rng, np.array([1, 1, 0.6, 0.2, 0.06, 0.05]) * rng.uniform(0.8, 1.4), 0.005, 0.03)
    return series("pod_cpu_usage", values, int(rng.choice([60, 300])))


def _roll_out(rng: Rng) -> Body:
    name = str(rng.choice(["pod_memory_usage", "pod_cpu_usage", "memory_usage"]))
    old, n, since = rng.uniform(0.2, 0.4), int(rng.integers(60, 200)), int(rng.integers(3, 30))
    new = old * rng.uniform(1.15, 1.5) if rng.random() < 0.7 else old * rng.uniform(0.6, 0.85)
    return series(name, noisy(rng, np.where(np.arange(n) < n - since, old, new)), int(rng.choice([60, 300])))


def _batch(days: int) -> Callable[[Rng], Body]:
    def make(rng: Rng) -> Body:
        name, begin = str(rng.choice(CPU)), float(rng.integers(1, 5))
        end = NOW.replace(hour=int(begin), minute=int(rng.choice([10, 20, 40])))
        _, _, hour = hours_of(days + rng.uniform(0.1, 0.6), end)
        busy = (hour >= begin) & (hour < begin + 0.9)
        return series(
            name, noisy(rng, np.where(busy, rng.uniform(0.65, 0.92), rng.uniform(0.1, 0.3)), 0.002, 0.05), 300, end
        )

    return make


def _monday(rng: Rng) -> Body:
    step = int(rng.choice([300, 600, 1800]))
    _, weekday, hour = hours_of(14, MONDAY, step)
    busy = (weekday < 5) & (hour >= 9 - rng.uniform(0, 0.3)) & (hour < 17.5)
    scale = float(rng.choice([1.0, 300.0]))
    level = scale * np.where(busy, rng.uniform(0.5, 0.85), rng.uniform(0.1, 0.25))
    name = str(rng.choice(CPU)) if scale == 1 else "requests_per_second"
    return series(name, noisy(rng, level, 0.005, 0.05), step, MONDAY)


def _saturday(rng: Rng) -> Body:
    _, weekday, hour = hours_of(14, SATURDAY)
    busy = (weekday < 5) & (hour >= 9) & (hour < 17.5)
    level = np.where(busy, rng.uniform(0.5, 0.7), rng.uniform(0.1, 0.25))
    return series(str(rng.choice(CPU)), noisy(rng, level, 0.01, 0.05), 300, SATURDAY)


def _autoscale(rng: Rng) -> Body:
    n, since, step = int(rng.integers(20, 120)), int(rng.integers(1, 8)), int(rng.choice([60, 300]))
    name = str(rng.choice(["replicas", "kube_deployment_status_replicas", "pods_running", "deployment_replicas"]))
    replicas = np.where(np.arange(n) < n - since, 3, 6)
    load = noisy(rng, np.where(np.arange(n) < n - since, 0.6, 0.42), 0.01, 0.04)
    return series(name, replicas, step) + (series("pod_cpu_usage", load, step) if rng.random() < 0.5 else [])


def _blip(rng: Rng) -> Body:
    calm = noisy(rng, np.full(int(rng.integers(15, 120)), 0.35), 0.01, 0.05)
    calm[-int(rng.integers(1, 4))] = rng.uniform(0.75, 0.85)
    return series(str(rng.choice(CPU)), calm, 60)


def _counter_reset(rng: Rng) -> Body:
    n, at = int(rng.integers(30, 120)), int(rng.integers(1, 10))
    rising = rng.poisson(40, n).cumsum().astype(float)
    rising[-at:] -= rising[-at - 1]
    return series("requests_total", rising, int(rng.choice([60, 300])))


def _constant(rng: Rng) -> Body:
    return series(str(rng.choice([*CPU, *MEMORY])), np.full(int(rng.integers(6, 300)), rng.uniform(0.2, 0.6)), 300)


def _old_shift(rng: Rng) -> Body:
    n = int(rng.integers(100, 400))
    level = np.where(np.arange(n) < n * rng.uniform(0.3, 0.6), rng.uniform(0.2, 0.3), rng.uniform(0.4, 0.6))
    return series(str(rng.choice([*CPU, *MEMORY])), noisy(rng, level), 300)


def _backup(rng: Rng) -> Body:
    begin, days = float(rng.integers(1, 5)), rng.uniform(5, 9)
    end = NOW.replace(hour=int(begin), minute=int(rng.choice([5, 10, 30])))
    _, _, hour = hours_of(days, end)
    level = np.where((hour >= begin) & (hour < begin + 0.75), rng.uniform(2e7, 8e7), rng.uniform(1e6, 3e6))
    return series(
        str(rng.choice(["network_out", "pod_network_transmit", "disk_io_write_mb"])),
        noisy(rng, level, 0.02, 0.1),
        300,
        end,
    )


def _monitoring_roll_out(rng: Rng) -> Body:
    count = int(rng.integers(3, 20))
    values = np.full(60, count)
    at = int(rng.integers(10, 55))
    values[at : at + 3] = 2 * count
    return series("container_restart_count", values, 60)


def _daily_swing(rng: Rng) -> Body:
    end = NOW + timedelta(hours=float(rng.integers(0, 24)))
    _, _, hour = hours_of(rng.uniform(2, 7), end)
    swing = rng.uniform(0.05, 0.15) * np.sin(2 * np.pi * (hour - rng.uniform(0, 24)) / 24)
    return series(str(rng.choice([*CPU, *MEMORY])), noisy(rng, 0.45 + swing), 300, end)


def _negligible_drift(rng: Rng) -> Body:
    n = int(rng.choice([48, 288, 2016]))
    ramp = np.linspace(0.345, 0.345 + rng.uniform(2e-5, 2e-3), n)
    return series(str(rng.choice(MEMORY)), ramp * (1 + rng.uniform(0, 1e-3) * rng.standard_normal(n)), 300)


def _cache_warms(rng: Rng) -> Body:
    n = int(rng.integers(60, 200))
    level = rng.uniform(0.5, 0.65) - 0.3 * np.exp(-np.arange(n) / rng.uniform(8, 20))
    return series(str(rng.choice(["pod_memory_usage", "memory_usage"])), noisy(rng, level, 0.003, 0.01), 300)


HARMFUL = (
    Incident("crash loop at the back-off cap", _crash_loop, "container_restart_count", ("crash_loop",)),
    Incident("memory ramp of a node", _node_ramp, "node_memory_utilization", ("node_pressure",)),
    Incident("network burst of three minutes", _network_burst, "network"),
    Incident("OOM loop of a pod", _oom_loop, "o", ("pod_oom", "crash_loop")),
    Incident("node at 0.915", _full_node, "node_memory_utilization", ("node_pressure",)),
    Incident("throttled container", _throttled, "throttling", ("cpu_saturation",)),
    Incident("disk full in five hours", _disk_in_five_hours, "disk_usage", ("disk_full",)),
    Incident("failures of DNS", _dns_failure, "error_rate", ("error_storm",)),
    Incident("slow leak of three days", _slow_leak, "memory_usage", ("pod_oom",)),
    Incident("leak of a node", _node_leak, "node_memory_utilization", ("node_pressure",)),
    Incident("leak that is full within the hour", _fast_leak, "pod_memory_usage", ("pod_oom",)),
)
HARMLESS = (
    Incident("CPU of a pod that starts", _start_up),
    Incident("CPU of a JVM that starts", _jvm),
    Incident("roll-out in one series", _roll_out),
    Incident("nightly batch, seen for seven days", _batch(7)),
    Incident("nightly batch, seen for two days", _batch(2)),
    Incident("Monday at nine after two weeks", _monday),
    Incident("quiet Saturday", _saturday),
    Incident("autoscaling from three to six", _autoscale),
    Incident("blip of one minute", _blip),
    Incident("reset of a counter", _counter_reset),
    Incident("constant series", _constant),
    Incident("old shift of level", _old_shift),
    Incident("backup window", _backup),
    Incident("roll-out of kube-state-metrics", _monitoring_roll_out),
    Incident("daily swing", _daily_swing),
    Incident("negligible drift", _negligible_drift),
    Incident("cache that warms up", _cache_warms),
)
