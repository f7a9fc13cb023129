"""Tables of the evidence for each issue, for people to read and discuss.

Probabilities and times are judgements, not measurements, because there are no labelled incidents. A time that follows
from samples takes precedence. Names of events are those of Kubernetes (OOMKilled, BackOff, FailedScheduling) and
of ADR-009's request example (pod_restart, high_cpu); actions are words as in its answer example.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

HOUR, DAY = 60.0, 1440.0
"""Durations in minutes."""


@dataclass(frozen=True)
class EventRule:
    """The issue that words of an event, or of the state, suggest.

    Attributes:
        words: a pattern of whole words, in lower case with ``_`` between them.
        issue: id of the issue.
        probability: probability (0-1) of the issue given one such event.
        minutes: minutes until the issue occurs.
    """

    words: str
    issue: str
    probability: float
    minutes: float

    def matches(self, text: str) -> bool:
        """Whether a text of :func:`words_of` contains these words without a "not" or "no" before them."""
        return re.search(f"_(?<!_not_)(?<!_no_)(?:{self.words})(?=_|$)", f"_{text}") is not None


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
        words: pattern as in :class:`EventRule`.
        support: probability that it adds to any issue for which there is other evidence.
        issue, probability, minutes: the issue that it suggests where there is no other evidence.
    """

    words: str
    support: float
    issue: str
    probability: float
    minutes: float


EVENT_RULES = (
    EventRule("oom|oom_?kill(?:ed|ing)?|out_of_memory|exit_code_137", "pod_oom", 0.7, 10),
    EventRule("memory_leak(?:s|_detected)?", "pod_oom", 0.6, 3 * HOUR),
    EventRule("high_mem(?:ory)?|mem(?:ory)?(?:_usage)?_(?:high|pressure|spike|warning|critical)", "pod_oom", 0.4, HOUR),
    EventRule("restart(?:s|ed|ing)?", "pod_oom", 0.15, 30),
    EventRule("crash_?loop|crash(?:ed|es|ing)?|(?<!pull_)back_?off", "crash_loop", 0.7, 5),
    EventRule("restart(?:s|ed|ing)?", "crash_loop", 0.35, 15),
    EventRule("unhealthy|(?:liveness|readiness|startup)(?:_probe)?_fail(?:ed|ure)?", "crash_loop", 0.3, 15),
    EventRule("high_cpu|cpu(?:_usage)?_(?:high|spike|pressure|critical|saturation)", "cpu_saturation", 0.5, 15),
    EventRule("throttl(?:ed|ing)", "cpu_saturation", 0.5, 10),
    EventRule("disk_(?:pressure|full)|no_space(?:_left)?|enospc|volume_full", "disk_full", 0.7, HOUR),
    EventRule("high_disk|disk(?:_usage)?_(?:high|warning|critical)", "disk_full", 0.4, DAY),
    EventRule("node_?not_?ready|node_(?:down|unreachable|pressure)|kubelet_down", "node_pressure", 0.7, 5),
    EventRule("(?:memory|disk|pid)_pressure|evict(?:ed|ion|ing)?", "node_pressure", 0.5, 15),
    EventRule("error_(?:storm|spike|burst)|high_errors?|error_rate_(?:high|spike)", "error_storm", 0.6, 5),
    EventRule("errors|exceptions?|5xx|http_5(?:xx|\\d\\d)", "error_storm", 0.35, 10),
    EventRule("latency|slow_(?:response|request)s?|time_?outs?|timed_out", "latency_degradation", 0.4, 15),
    EventRule(
        "network_(?:saturation|congestion|burst)|packets?_(?:loss|drop(?:s|ped)?)", "network_saturation", 0.5, 15
    ),
    EventRule("connections?_(?:refused|reset)", "error_storm", 0.3, 10),
    EventRule("image_pull(?:_back_?off)?|err_image(?:_pull)?", "image_pull_failure", 0.8, 5),
    EventRule("failed_scheduling|unschedulable|insufficient_(?:cpu|memory)", "pod_unschedulable", 0.7, 5),
)
ENDED = "resolved|recover(?:ed|y)|cleared|(?<!connection_)(?<!socket_)(?<!stream_)closed(?!_connection)"
OVER = f"{ENDED}|normal|healthy|succeeded|success|completed|no_(?:errors?|issues?|restarts?)"
"""Events with these words are no evidence, because what they name is over. For a state, only the words of ``ENDED``
have this meaning."""

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
        "image_pull_failure": ("check_image_reference",),
        "pod_unschedulable": ("add_node", "lower_resource_requests"),
        "service_outage": ("restart_pod", "check_container_logs"),
        "service_degradation": ("check_service_health",),
    }
)
"""Issue -> suggested actions."""


def words_of(text: str) -> str:
    """The text in lower case with ``_`` between words: "CrashLoopBackOff" becomes crash_loop_back_off."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", text)
    return re.sub(r"[^a-z0-9]+", "_", parted.lower()).strip("_")
