"""Tables of the evidence for each issue, for people to read and discuss; those of events are in ``engine/events``.

Probabilities and times are judgements, not measurements, because there are no labelled incidents. A time that follows
from samples takes precedence. Actions are words as in ADR-009's answer example.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from aiops_assets.engine.events.rules import DAY, HOUR
from aiops_assets.outlook.limits import LIMITS, RESTARTS_AN_HOUR, THROTTLING, Limit


@dataclass(frozen=True)
class LevelRule:
    """The issue that a metric's level suggests: linear between the metric's limits, nothing below the first.

    Attributes:
        metrics: names in the catalogue or as sent, all with the same limits.
        issue: id of the issue.
        probabilities, minutes: probability of the issue and minutes until it, at the limits ``warning``, ``alert``,
            ``critical`` and ``full``.
    """

    metrics: tuple[str, ...]
    issue: str
    probabilities: tuple[float, float, float, float]
    minutes: tuple[float, float, float, float]

    @property
    def limit(self) -> Limit:
        """The limits of its metrics."""
        return LIMITS[self.metrics[0]]

    @property
    def levels(self) -> tuple[float, ...]:
        """Its knots, in the metric's unit."""
        limit = self.limit
        return limit.warning, limit.alert, limit.critical, limit.full


@dataclass(frozen=True)
class StateRule:
    """The issue that words of the current state suggest.

    Attributes:
        words: pattern of whole words, in lower case with ``_`` between them.
        support: probability that it adds to any issue for which there is other evidence.
        issue, probability, minutes: the issue that it suggests where there is no other evidence.
    """

    words: str
    support: float
    issue: str
    probability: float
    minutes: float


LEVEL_RULES = (
    LevelRule(
        ("pod_memory_usage", "memory_usage_percent"), "pod_oom", (0.2, 0.5, 0.91, 0.95), (2 * HOUR, 30, 3, 1)
    ),
    LevelRule(
        ("node_memory_utilization", "cluster_memory_usage"), "node_pressure",
        (0.2, 0.5, 0.86, 0.95), (2 * HOUR, 30, 6, 1),
    ),
    LevelRule(
        ("disk_usage", "disk_usage_percent"), "disk_full", (0.25, 0.5, 0.84, 0.97), (7 * DAY, 2 * DAY, DAY / 4, 1)
    ),
    LevelRule(("node_cpu_utilization", "cpu_usage_percent"), "cpu_saturation", (0.2, 0.8, 0.88, 0.9), (HOUR, 5, 2, 1)),
    LevelRule(("cluster_cpu_usage",), "cpu_saturation", (0.2, 0.4, 0.8, 0.9), (HOUR, 30, 5, 1)),
    LevelRule(THROTTLING, "cpu_saturation", (0.2, 0.5, 0.7, 0.9), (HOUR, 15, 10, 5)),
    LevelRule(("error_rate",), "error_storm", (0.3, 0.6, 0.9, 0.95), (30, 10, 1, 1)),
    LevelRule(("response_time_p95",), "latency_degradation", (0.2, 0.6, 0.9, 0.95), (HOUR, 10, 1, 1)),
)  # fmt: skip
"""By the limits of :mod:`aiops_assets.outlook.limits`."""

STATE_RULES = (
    StateRule(
        "critical|fail(?:ed|ing|ure)|down|unavailable|outage|crashed|error|unhealthy", 0.3, "service_outage", 0.6, 15
    ),
    StateRule("degraded|degrading|warning|unstable|impaired|slow", 0.15, "service_degradation", 0.4, HOUR),
)

RESTARTS, RESTART_PROBABILITIES = (0.0, 1.0, 2.0, RESTARTS_AN_HOUR, RESTARTS_AN_HOUR + 2), (0.0, 0.25, 0.5, 0.75, 0.9)
"""Probability of a crash loop by the restarts of one pod within the newest hour; a constant count is no evidence."""

ACTIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "pod_oom": ("increase_memory_limit", "check_memory_leak"),
        "cpu_saturation": ("add_hpa", "increase_cpu_limit"),
        "crash_loop": ("check_container_logs", "rollback_deployment"),
        "disk_full": ("expand_volume", "clean_up_disk"),
        "node_pressure": ("cordon_node", "add_node"),
        "error_storm": ("check_container_logs", "rollback_deployment"),
        "latency_degradation": ("scale_out", "check_dependencies"),
        "network_saturation": ("scale_out", "limit_traffic"),
        "network_unavailable": ("check_network_plugin", "cordon_node"),
        "dns_failure": ("check_dns", "check_network_policies"),
        "certificate_expiry": ("renew_certificate",),
        "volume_mount_failure": ("check_volume", "check_storage_class"),
        "image_pull_failure": ("check_image_reference",),
        "pod_unschedulable": ("add_node", "lower_resource_requests"),
        "service_outage": ("restart_pod", "check_container_logs"),
        "service_degradation": ("check_service_health",),
    }
)
"""Issue -> suggested actions."""
