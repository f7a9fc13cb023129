"""Situations of a cluster as clients tell of them, generated from seeds: what is wrong, or that nothing is.

Each is the ``metrics`` of a request. The same table is for the functions and for the HTTP service.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from aiops_assets.engine.detection.findings import Kind
from aiops_assets.engine.samples import Sample
from aiops_assets.synthetic.anomalies import ANOMALIES
from aiops_assets.synthetic.healthy import HEALTHY_LEVELS, healthy_histories, rows_of
from aiops_assets.timeseries.features import ENGINE_DEFAULT, FEATURES
from aiops_assets.timeseries.series import Floats

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
"""The newest sample of every situation."""
Body = list[dict[str, Any]]
Make = Callable[[np.random.Generator], Body]


@dataclass(frozen=True)
class Situation:
    """What a client tells, and what it should hear.

    Attributes:
        name: one phrase.
        make: (generator) -> the ``metrics`` of a request: name, value, timestamp.
        expected_kind: of the anomaly; ``None``: the situation is healthy.
        expected_metric: what the anomaly's name begins with.
        expected_recommendation: a part of one recommendation.
        expected_issue: which issue the prediction names, if it is one that has a name.
    """

    name: str
    make: Make
    expected_kind: Kind | None = None
    expected_metric: str = ""
    expected_recommendation: str = ""
    expected_issue: str | None = None

    def body(self, seed: int) -> Body:
        """The ``metrics`` of a request."""
        return self.make(np.random.default_rng([seed, 7]))


def samples_of(body: Sequence[Mapping[str, Any]]) -> list[Sample]:
    """A request's ``metrics`` as the functions take them."""
    return [
        Sample(one["name"], one["value"], datetime.fromisoformat(time) if (time := one.get("timestamp")) else None)
        for one in body
    ]


def timed(name: str, values: npt.NDArray[Any], step_seconds: int = 300) -> Body:
    """Samples of one name that end now."""
    times = [NOW - timedelta(seconds=step_seconds * i) for i in range(len(values) - 1, -1, -1)]
    return [
        {"name": name, "value": float(value), "timestamp": time.isoformat().replace("+00:00", "Z")}
        for time, value in zip(times, values, strict=True)
    ]


def healthy_minutes(rng: np.random.Generator) -> dict[str, Floats]:
    """Metric -> its last six minutes, as the engine's contract describes healthy ones."""
    return {name: history[0] for name, history in healthy_histories(1, rng).items()}


def minutes(rng: np.random.Generator, changed: Mapping[str, Callable[[np.random.Generator, Floats], Floats]]) -> Body:
    """Six minutes of the engine's five metrics, some of them changed."""
    found = healthy_minutes(rng)
    for name, change in changed.items():
        found[name] = change(rng, found[name])
    return [sample for name, values in found.items() for sample in timed(name, values, 60)]


def vector(histories: Mapping[str, Floats]) -> Body:
    """The 45 features as the engine computes them."""
    row = rows_of({name: values[np.newaxis] for name, values in histories.items()})[0]
    return [sample for name, value in zip(FEATURES, row, strict=True) for sample in timed(name, np.array([value]))]


def _single(name: str, low: float, high: float) -> Make:
    return lambda rng: timed(name, rng.uniform(low, high, 1))


def _cpu_spike(rng: np.random.Generator) -> Body:
    return minutes(rng, {name: ANOMALIES["cpu_spike"].shapes[name] for name in ("node_cpu_utilization",)})


def _pod_cpu_spike(rng: np.random.Generator) -> Body:
    found = healthy_minutes(rng)
    usual = found["pod_cpu_usage"]
    # It began within the window: a pod that needs a core all the time is no anomaly.
    found["pod_cpu_usage"] = np.append(usual[:4], ANOMALIES["cpu_spike"].shapes["pod_cpu_usage"](rng, usual[4:]))
    return vector(found)


def _memory_leak(rng: np.random.Generator) -> Body:
    level = rng.uniform(*HEALTHY_LEVELS["pod_memory_usage"])
    calm = level * (1 + 0.01 * rng.standard_normal(60))
    leaking = ANOMALIES["memory_leak"].shapes["pod_memory_usage"](rng, calm[20:])
    # The last minutes of a leak, whatever limit it drew.
    return timed("pod_memory_usage", np.concatenate([calm[:20], leaking + max(0.0, 0.93 - leaking[-1])]), 300)


def _restart_storm(rng: np.random.Generator) -> Body:
    return minutes(
        rng, {"container_restart_count": lambda rng, healthy: healthy + rng.integers(1, 3, healthy.shape).cumsum()}
    )


def _error_storm(rng: np.random.Generator) -> Body:
    calm = 0.01 * (1 + 0.2 * rng.standard_normal(60))
    calm[-2:] = rng.uniform(0.15, 0.25, 2)
    return timed("error_rate", calm, 60)


def _traffic_burst(rng: np.random.Generator) -> Body:
    calm = 1e6 * (1 + 0.1 * rng.standard_normal(24))
    burst = ANOMALIES["network_burst"].shapes["pod_network_receive"](rng, calm[-1:])
    return timed("pod_network_receive", np.append(calm[:-1], burst + 2e6))


def _sudden_drop(rng: np.random.Generator) -> Body:
    return timed("requests_per_second", np.append(200 + 6 * rng.standard_normal(29), rng.uniform(0, 10)))


def _level_shift(rng: np.random.Generator) -> Body:
    values = 500 + 10 * rng.standard_normal(120)
    values[-3:] += rng.uniform(150, 300)
    return timed("queue_length_bytes", values)


def _slow_ramp(rng: np.random.Generator) -> Body:
    ramp = np.linspace(rng.uniform(0.3, 0.5), rng.uniform(0.96, 0.99), 72)
    return timed("memory_usage", 100 * (ramp + 0.003 * rng.standard_normal(72)))


def _fast_trend(rng: np.random.Generator) -> Body:
    return timed("memory_usage", rng.uniform(0.72, 0.78, 1)) + timed("memory_trend_1h", rng.uniform(0.3, 0.5, 1))


def _disk_full(rng: np.random.Generator) -> Body:
    return timed("disk_usage", np.linspace(rng.uniform(0.6, 0.8), rng.uniform(0.93, 0.99), 48))


def _noisy(rng: np.random.Generator) -> Body:
    day = np.sin(2 * np.pi * (np.arange(600) / 288 + rng.random()))
    season = 100 + 20 * day + rng.uniform(1, 5) * rng.standard_normal(600)
    few = 10 * (1 + 0.1 * rng.standard_normal(30))
    return minutes(rng, {}) + timed("requests_per_second", season) + timed("latency_ms", few)


def _constant_counter(rng: np.random.Generator) -> Body:
    counts = np.full(60, float(rng.integers(0, 21)))
    return timed("container_restart_count", counts) + timed("jobs_done_total", 100 + counts)


def _rising_counter(rng: np.random.Generator) -> Body:
    rising = rng.poisson(40, 90).cumsum().astype(np.float64)
    started_again = np.append(rising[:30], rng.poisson(40, 1))
    return timed("requests_total", rising) + timed("bytes_total", started_again)


def _gentle_ramp(rng: np.random.Generator) -> Body:
    ramp = np.linspace(0.3, rng.uniform(0.5, 0.6), 96)  # full within thrice its length, which makes it a leak
    return timed("pod_memory_usage", ramp * (1 + 0.01 * rng.standard_normal(96)))


def _defaults(rng: np.random.Generator) -> Body:
    return [{"name": name, "value": value} for name, value in zip(FEATURES, ENGINE_DEFAULT * 5, strict=True)]


def _short_names(rng: np.random.Generator) -> Body:
    return (
        timed("cpu_usage", rng.uniform(20, 60, 1))
        + timed("memory_usage", rng.uniform(20, 70, 1))
        + timed("cpu_trend_5m", rng.uniform(-3, 3, 1))
        + timed("memory_trend_1h", rng.uniform(-3, 3, 1))
        + timed("container_restarts", rng.integers(0, 21, 1))
    )


WRONG = (
    Situation("cpu spike", _cpu_spike, "cpu_spike", "node_cpu_utilization", "Scale up replicas", "cpu_saturation"),
    Situation("a pod's cpu spike", _pod_cpu_spike, "cpu_spike", "pod_cpu_usage", "Scale up replicas", "cpu_saturation"),
    Situation(
        "no cpu left, in percent",
        _single("cpu_usage", 96, 100),
        "cpu_saturation",
        "cpu_usage",
        "add a node",
        "cpu_saturation",
    ),
    Situation("memory leak", _memory_leak, "memory_leak", "pod_memory_usage", "Check for memory leak", "pod_oom"),
    Situation("slow ramp to the limit", _slow_ramp, "memory_leak", "memory_usage", "Check for memory leak", "pod_oom"),
    Situation(
        "full within the hour", _fast_trend, "memory_leak", "memory_trend_1h", "Check for memory leak", "pod_oom"
    ),
    Situation(
        "memory exhausted",
        _single("pod_memory_usage", 0.95, 1.1),
        "memory_saturation",
        "pod_memory_usage",
        "Raise the memory limit",
        "pod_oom",
    ),
    Situation(
        "restart storm",
        _restart_storm,
        "restart_storm",
        "container_restart_count",
        "logs of the last restart",
        "crash_loop",
    ),
    Situation(
        "node memory pressure",
        _single("node_memory_utilization", 0.92, 0.99),
        "node_pressure",
        "node_memory_utilization",
        "Free memory on the nodes",
        "node_pressure",
    ),
    Situation("disk full", _disk_full, "disk_full", "disk_usage", "Free disk space", "disk_full"),
    Situation("error storm", _error_storm, "burst", "error_rate", "what drives error_rate", "error_storm"),
    Situation("traffic burst", _traffic_burst, "burst", "pod_network_receive", "what drives pod_network_receive"),
    Situation("sudden drop", _sudden_drop, "drop", "requests_per_second", "still gets work"),
    Situation("level shift", _level_shift, "level_shift", "queue_length_bytes", "new level"),
)
HEALTHY = (
    Situation("healthy minutes", lambda rng: minutes(rng, {})),
    Situation("healthy vector", lambda rng: vector(healthy_minutes(rng))),
    Situation("noisy but healthy", _noisy),
    Situation("constant counter", _constant_counter),
    Situation("rising counter", _rising_counter),
    Situation("gentle ramp", _gentle_ramp, expected_issue="pod_oom"),  # nothing is wrong now: it is full tomorrow
    Situation("defaults only", _defaults),
    Situation("short names", _short_names),
    Situation("an unknown name", _single("something_else", -1e9, 1e9)),
    Situation("nothing at all", lambda rng: []),
)
SITUATIONS = (*WRONG, *HEALTHY)
