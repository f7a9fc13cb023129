"""The one table of limits. Detection, predictions, issues and outlooks read it; a test holds alert rules to it.

Each limit is far from healthy rows as the engine's contract describes them (section 1.1b: ratios up to 0.7 with 5 %
noise). Sources: 0.8 of CPU, 0.10 of requests and 2000 ms are the ML setup guide's alerts (engine contract, section 4);
a kubelet evicts by default when less than a tenth of a disk is free (nodefs.available < 10 %), memory alike; 0.85 and
0.9 of a cluster are the engine contract's (section 6); a quarter of throttled periods is that of kubernetes-mixin's
CPUThrottlingHigh.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType


@dataclass(frozen=True)
class Limit:
    """The limits of one metric, all in its unit.

    Attributes:
        typical: value of a healthy system, which is expected where nothing else is known.
        healthy: highest level that is healthy in any system; changes up to it are no anomaly while they are steady.
        warning: level from which on an issue is possible.
        forecast: level whose breach by a forecast is worth an alert.
        alert: level that is an anomaly, whatever a history says.
        critical: level that is a critical anomaly.
        full: level at which an issue is nearly certain; memory and disk have no more.
        grows: whether a rise persists until ``full`` (memory, disk) instead of following the load.
        swings: whether it may rise and fall with the hours of a day.
    """

    typical: float
    healthy: float
    warning: float
    forecast: float
    alert: float
    critical: float
    full: float
    grows: bool = False
    swings: bool = True

    @property
    def trend_end(self) -> float:
        """Level up to which a trend is followed: ``full`` for what grows, ``alert`` for load."""
        return self.full if self.grows else self.alert


_MEMORY = Limit(typical=0.45, healthy=0.7, warning=0.85, forecast=0.9, alert=0.9, critical=0.99, full=1.0, grows=True)
_NODE_MEMORY = replace(_MEMORY, critical=0.97)
_DISK = replace(_MEMORY, critical=0.97, swings=False)
_CPU = Limit(typical=0.4, healthy=0.6, warning=0.8, forecast=0.8, alert=0.95, critical=0.99, full=1.0)
_THROTTLED = Limit(typical=0.0, healthy=0.05, warning=0.15, forecast=0.25, alert=0.25, critical=0.5, full=1.0)

THROTTLING = ("pod_cpu_throttling", "cpu_throttling_ratio", "container_cpu_throttling_ratio", "throttling_ratio")
"""Names of the share of scheduling periods in which a CPU limit stopped a container."""
_NONE = Limit(math.inf, math.inf, math.inf, math.inf, math.inf, math.inf, math.inf)

LIMITS: Mapping[str, Limit] = MappingProxyType(
    {
        "node_cpu_utilization": _CPU,
        "cpu_usage": _CPU,
        "cpu_usage_percent": _CPU,
        "cluster_cpu_usage": replace(_CPU, alert=0.85, critical=0.95),
        "pod_memory_usage": _MEMORY,
        "memory_usage": _MEMORY,
        "memory_usage_percent": _MEMORY,
        "node_memory_utilization": _NODE_MEMORY,
        "cluster_memory_usage": _NODE_MEMORY,
        "disk_usage": _DISK,
        "disk_usage_percent": _DISK,
        **dict.fromkeys(THROTTLING, _THROTTLED),
        "error_rate": Limit(typical=0.01, healthy=0.02, warning=0.05, forecast=0.1, alert=0.1, critical=0.25, full=0.5),
        "response_time_p95": Limit(
            typical=200.0, healthy=500.0, warning=1000.0, forecast=2000.0, alert=2000.0, critical=4000.0, full=8000.0
        ),
        # In cores: what a pod may use is its own.
        "pod_cpu_usage": replace(_NONE, typical=0.2, healthy=0.5),
        # 0.875 of a machine of 8 GB: other machines have other limits, so that no level is an anomaly by itself.
        "memory_usage_mb": replace(_NONE, typical=4000.0, healthy=6000.0, warning=7000.0, forecast=7000.0),
    }
)
"""Metric, as in the catalogue or as sent by hosts -> its limits. Names ending in ``_percent`` are sent in percent."""

RESTARTS_AT_ONCE, RESTARTS_AT_ONCE_CRITICAL = 3.0, 6.0
"""Restarts of one pod within five minutes that are a crash loop, and that are critical."""
RESTARTS_AN_HOUR, RESTARTS_AN_HOUR_CRITICAL = 3.0, 20.0
"""Restarts of one pod within an hour that are a crash loop, however regular they are: at the cap of the kubelet's
back-off there is one every five minutes."""
HEALTHY_CLUSTER: Mapping[str, float] = MappingProxyType({"cpu_usage": 0.5, "memory_usage": 0.6})
"""Utilisation of a cluster (ratio) that is healthy at any hour."""
