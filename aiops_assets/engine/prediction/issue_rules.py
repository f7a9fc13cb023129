"""Tables of the evidence for each issue, for people to read and discuss; those of events are in ``engine/events``.

Probabilities and times are judgements, not measurements, because there are no labelled incidents. A time that follows
from samples takes precedence. Actions are words as in ADR-009's answer example.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from aiops_assets.engine.events.rules import DAY, HOUR


@dataclass(frozen=True)
class LevelRule:
    """The issue that a metric's level suggests: linear between the knots, nothing below the first.

    Attributes:
        metrics: names in the catalogue or as sent.
        issue: id of the issue.
        levels: knots, in the metric's unit.
        probabilities, minutes: probability of the issue and minutes until it, at the knots.
        limit: level whose breach by a forecast is evidence, in the metric's unit.
        full: level at which a trend ends, in the metric's unit.
        leaks: whether a trend continues until ``full`` (memory, disk); otherwise it follows the load.
    """

    metrics: tuple[str, ...]
    issue: str
    levels: tuple[float, ...]
    probabilities: tuple[float, ...]
    minutes: tuple[float, ...]
    limit: float
    full: float
    leaks: bool = False


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
        ("pod_memory_usage", "memory_usage_percent"), "pod_oom",
        (0.85, 0.9, 0.95, 1.0), (0.2, 0.5, 0.75, 0.95), (2 * HOUR, 30, 10, 1), limit=0.95, full=1.0, leaks=True,
    ),
    LevelRule(
        ("node_memory_utilization",), "node_pressure",
        (0.85, 0.9, 0.95, 1.0), (0.2, 0.5, 0.8, 0.95), (2 * HOUR, 30, 10, 1), limit=0.95, full=1.0, leaks=True,
    ),
    LevelRule(
        ("disk_usage", "disk_usage_percent"), "disk_full",
        (0.85, 0.9, 0.95, 1.0), (0.25, 0.5, 0.75, 0.97), (7 * DAY, 2 * DAY, DAY / 2, 1),
        limit=0.95, full=1.0, leaks=True,
    ),
    LevelRule(
        ("node_cpu_utilization", "cpu_usage_percent"), "cpu_saturation",
        (0.8, 0.85, 0.9, 0.95, 1.0), (0.2, 0.4, 0.6, 0.8, 0.9), (HOUR, 30, 15, 5, 1), limit=0.9, full=0.95,
    ),
    LevelRule(("error_rate",), "error_storm", (0.05, 0.1, 0.25), (0.3, 0.6, 0.9), (30, 10, 1), limit=0.1, full=0.1),
    LevelRule(
        ("response_time_p95",), "latency_degradation",
        (1000, 2000, 4000), (0.2, 0.6, 0.9), (HOUR, 10, 1), limit=2000, full=2000,
    ),
)  # fmt: skip
"""In ratios, errors per request and milliseconds. CPU begins at the ML setup guide's 80 %, error rate and p95 latency
at its alerts of 0.10 and 2000 ms (engine contract, section 4); memory and disk are around the kubelet's 90 %."""

STATE_RULES = (
    StateRule(
        "critical|fail(?:ed|ing|ure)|down|unavailable|outage|crashed|error|unhealthy", 0.3, "service_outage", 0.6, 15
    ),
    StateRule("degraded|degrading|warning|unstable|impaired|slow", 0.15, "service_degradation", 0.4, HOUR),
)

RESTARTS_AN_HOUR, RESTART_PROBABILITIES = (0.0, 1.0, 2.0, 3.0, 5.0), (0.0, 0.25, 0.5, 0.75, 0.9)
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
