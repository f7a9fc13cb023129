"""What events, conditions and alerts stand for: issue, probability and time, as data.

Probabilities and times are judgements, not measurements, because there are no labelled incidents. Names are those of
their programs: reasons of Kubernetes' components (OOMKilling, BackOff, FailedScheduling), condition types with their
status (``DiskPressure=True``), alerts of kube-prometheus (KubePodCrashLooping); words are for free text and for the
types of ADR-009's request example (pod_restart, high_cpu).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

HOUR, DAY = 60.0, 1440.0
"""Durations in minutes."""
MAX_TEXT_CHARACTERS = 300


@dataclass(frozen=True)
class EventRule:
    """The issue that an event suggests, by its words or by its name.

    Attributes:
        words: pattern of whole words of a text, in lower case with ``_`` between them; empty: names only.
        issue: id of the issue.
        probability: probability (0-1) of the issue given one such event.
        minutes: minutes until the issue occurs.
        names: reasons, condition types with their status, alerts; compared without regard to case and separators.
        about: pattern of words that an event's object, reason or message must contain; such a rule of a name precedes
            those of the same name without one.
        normal: whether Kubernetes sends it with the type Normal as well.
    """

    words: str
    issue: str
    probability: float
    minutes: float
    names: tuple[str, ...] = ()
    about: str = ""
    normal: bool = False

    def matches(self, words: str) -> bool:
        """Whether a text of :func:`words_of` contains these words without a "not" or "no" before them."""
        return bool(self.words) and has_words(self.words, words)


EVENT_RULES = (
    EventRule(
        "oom|oom_?kill(?:ed|ing|er)?s?|out_of_memory|exit_code_137", "pod_oom", 0.7, 10,
        names=("OOMKilling", "OOMKilled", "SystemOOM", "ContainerOOMKilled", "KubeContainerOOMKilled"),
    ),
    EventRule("memory_leak(?:s|ing|_detected)?", "pod_oom", 0.6, 3 * HOUR),
    EventRule("high_mem(?:ory)?|mem(?:ory)?(?:_usage)?_(?:high|pressure|spike|warning|critical)", "pod_oom", 0.4, HOUR),
    EventRule("restart(?:s|ed|ing)?", "pod_oom", 0.15, 30),
    EventRule(
        "crash_?loop(?:s|ed|ing)?|crash(?:ed|es|ing)?|(?<!pull_)back_?off", "crash_loop", 0.7, 5,
        names=("BackOff", "CrashLoopBackOff", "BackoffLimitExceeded", "KubePodCrashLooping"),
    ),
    EventRule("restart(?:s|ed|ing)?", "crash_loop", 0.35, 15),
    EventRule(
        "unhealthy|(?:liveness|readiness|startup)(?:_probe)?_fail(?:ed|ure|ing)?", "crash_loop", 0.3, 15,
        names=("Unhealthy",),
    ),
    EventRule(
        "", "crash_loop", 0.5, 15,
        names=("FailedCreatePodContainer", "FailedPostStartHook", "CreateContainerError", "RunContainerError",
               "CreateContainerConfigError", "StartError", "ContainerCannotRun", "Failed"),
    ),
    EventRule(
        "high_cpu|cpu(?:_usage)?_(?:high|spike|pressure|critical|saturation)", "cpu_saturation", 0.5, 15,
        names=("NodeCPUHighUsage", "NodeSystemSaturation", "KubeHpaMaxedOut"),
    ),
    EventRule("throttl(?:ed|ing)", "cpu_saturation", 0.5, 10, names=("CPUThrottlingHigh",)),
    EventRule(
        "disk_(?:pressure|full)|no_space(?:_left)?|enospc|volume_full", "disk_full", 0.7, HOUR,
        names=("DiskPressure=True", "NodeHasDiskPressure", "KubeletHasDiskPressure", "FreeDiskSpaceFailed",
               "ImageGCFailed", "NodeFilesystemAlmostOutOfSpace", "NodeFilesystemAlmostOutOfFiles"),
        normal=True,
    ),
    EventRule(
        "", "disk_full", 0.6, 4 * HOUR,
        names=("KubePersistentVolumeFillingUp", "KubePersistentVolumeInodesFillingUp", "NodeFilesystemSpaceFillingUp",
               "NodeFilesystemFilesFillingUp"),
    ),
    EventRule("high_disk|disk(?:_usage)?_(?:high|warning|critical)", "disk_full", 0.4, DAY),
    EventRule(
        "node_?not_?ready|node_(?:down|unreachable|pressure)|kubelet_?down", "node_pressure", 0.7, 5,
        names=("NodeNotReady", "Ready=False", "Ready=Unknown", "KubeNodeNotReady", "KubeNodeUnreachable", "KubeletDown",
               "KubeNodeReadinessFlapping", "KernelDeadlock=True", "ReadonlyFilesystem=True", "Rebooted"),
        normal=True,
    ),
    EventRule(
        "(?:memory|disk|pid)_pressure|evict(?:ed|ion|ing)?", "node_pressure", 0.5, 15,
        names=("MemoryPressure=True", "DiskPressure=True", "PIDPressure=True", "NodeHasDiskPressure",
               "NodeHasInsufficientMemory", "NodeHasInsufficientPID", "KubeletHasDiskPressure",
               "KubeletHasInsufficientMemory", "KubeletHasInsufficientPID"),
        normal=True,
    ),
    EventRule(
        "", "node_pressure", 0.5, 15,
        names=("Evicted", "EvictionThresholdMet", "KubeNodePressure", "KubeNodeEviction", "NodeMemoryHighUtilization",
               "NodeMemoryMajorPagesFaults", "KubeletPlegDurationHigh", "KubeletTooManyPods",
               "NodeStatusUnknown", "NodeStatusNeverUpdated", "ContainerGCFailed"),
    ),
    EventRule(
        "error_(?:storm|spike|burst)|high_errors?|error_rate_(?:high|spike)", "error_storm", 0.6, 5,
        names=("KubeAPIErrorBudgetBurn", "KubeClientErrors", "KubeAggregatedAPIErrors"),
    ),
    EventRule("errors|exceptions?|5xx|http_5(?:xx|\\d\\d)", "error_storm", 0.35, 10),
    EventRule(
        "latency|slow_(?:response|request)s?|time_?outs?|timed_out|deadline_exceeded", "latency_degradation", 0.4, 15
    ),
    EventRule(
        "network_(?:saturation|congestion|burst)|packets?_(?:loss|drop(?:s|ped)?)", "network_saturation", 0.5, 15
    ),
    EventRule(
        "network_(?:unavailable|unreachable|not_ready|down)|no_route_to_host", "network_unavailable", 0.6, 5,
        names=("NetworkUnavailable=True", "NetworkNotReady", "FailedCreatePodSandBox", "NodeNetworkInterfaceFlapping",
               "NodeNetworkReceiveErrs", "NodeNetworkTransmitErrs"),
    ),
    EventRule("connections?_(?:refused|reset)", "error_storm", 0.3, 10),
    EventRule(
        "(?:core_?)?dns(?:_[a-z0-9]+){0,3}?_(?:fail(?:ed|ures?|ing)?|errors?|down|unavailable|timeouts?|timed_out|panic)"
        "|fail(?:ed|ure|s|ing)?_to_resolve|(?:could|can)_?not_(?:be_)?resolved?|unable_to_resolve|no_such_host"
        "|name_resolution|nxdomain|servfail|server_misbehaving|unknown_host(?:_exception)?", "dns_failure", 0.6, 5,
        names=("CoreDNSDown", "CoreDNSErrorsHigh", "CoreDNSPanicCount", "CoreDNSLatencyHigh",
               "CoreDNSForwardErrorsHigh", "DNSFailure"),
    ),
    EventRule(
        "(?:certs?|certificates?)(?:_[a-z0-9]+){0,4}?_(?:expir[a-z]*|invalid|not_ready|renewal_(?:errors?|failed|failure)"
        "|rotation_(?:errors?|failed|failure))|expir[a-z]*(?:_[a-z0-9]+){0,3}?_(?:certs?|certificates?)|x509"
        "|fail(?:ed|ing|s)?_to_(?:renew|rotate)(?:_[a-z0-9]+){0,3}?_(?:certs?|certificates?)",
        "certificate_expiry", 0.7, DAY,
        names=("KubeClientCertificateExpiration", "KubeletClientCertificateExpiration",
               "KubeletServerCertificateExpiration", "KubeletClientCertificateRenewalErrors",
               "KubeletServerCertificateRenewalErrors", "CertManagerCertExpirySoon", "CertManagerCertNotReady",
               "CertManagerAbsent", "CertificateExpired", "CertificateExpiring", "Expiring"),
    ),
    EventRule("", "certificate_expiry", 0.7, DAY, names=("Ready=False", "Ready=Unknown"), about="kind_certificate"),
    EventRule("", "certificate_expiry", 0.7, DAY, names=("Expired", "OrderFailed"), about="certificates?|kind_order"),
    EventRule(
        "fail(?:ed|ure|ing)?_(?:to_)?(?:mount|attach)(?:_?volumes?)?|mount(?:_?volume)?_fail(?:ed|ure)"
        "|unable_to_(?:attach|mount)(?:_or_mount)?(?:_volumes?)?", "volume_mount_failure", 0.7, 5,
        names=("FailedMount", "FailedAttachVolume", "FailedMapVolume", "FailedBinding", "ProvisioningFailed",
               "KubePersistentVolumeErrors", "VolumeResizeFailed", "FileSystemResizeFailed"),
    ),
    EventRule(
        "image_pull(?:_back_?off|_failed)?|err_image(?:_pull)?|fail(?:ed|ure)_to_pull(?:_image)?|err_image_never_pull",
        "image_pull_failure", 0.8, 5,
        names=("ImagePullBackOff", "ErrImagePull", "ErrImageNeverPull", "InvalidImageName", "InspectFailed"),
    ),
    EventRule(
        "", "image_pull_failure", 0.8, 5,
        names=("BackOff", "Failed"), about="image|pull(?:ing)?",
    ),
    EventRule(
        "failed_scheduling|unschedulable|insufficient_(?:cpu|memory)", "pod_unschedulable", 0.7, 5,
        names=("FailedScheduling", "PodScheduled=False", "KubeDaemonSetNotScheduled", "InsufficientFreeCPU",
               "InsufficientFreeMemory", "NotTriggerScaleUp"),
    ),
    EventRule(
        "quota_exceeded|exceeded_quota", "pod_unschedulable", 0.4, 15,
        names=("FailedCreate", "ReplicaFailure=True", "KubeQuotaExceeded", "KubeQuotaFullyUsed", "KubeCPUOvercommit",
               "KubeMemoryOvercommit"),
    ),
    EventRule(
        "", "service_outage", 0.6, 15,
        names=("Available=False", "Failing=True", "TargetDown", "KubeAPIDown", "KubeSchedulerDown",
               "KubeControllerManagerDown", "KubeAggregatedAPIDown", "KubeProxyDown", "ClusterOperatorDown",
               "etcdInsufficientMembers", "etcdNoLeader", "etcdMembersDown"),
    ),
    EventRule(
        "", "service_degradation", 0.5, 30,
        names=("Degraded=True", "NodeDegraded=True", "RenderDegraded=True", "ContainersReady=False",
               "Initialized=False", "Failed=True", "AbleToScale=False", "ScalingActive=False",
               "ClusterOperatorDegraded", "OperatorDegraded", "Degraded", "KubePodNotReady",
               "KubeDeploymentReplicasMismatch",
               "KubeStatefulSetReplicasMismatch", "KubeDeploymentRolloutStuck", "KubeDaemonSetRolloutStuck",
               "KubeStatefulSetUpdateNotRolledOut", "KubeContainerWaiting", "KubeJobFailed", "KubeHpaReplicasMismatch",
               "KubePdbNotEnoughHealthyPods", "NodeNotHealthy"),
    ),
    EventRule(
        "", "service_degradation", 0.5, 30,
        names=("Ready=False", "Ready=Unknown"), about="kind_(?!node|certificate)[a-z]+|containers_not_(?:ready"
        "|initialized)|containers_with_(?:unready|incomplete)_status|unknown_container_statuses",
    ),
    EventRule(
        "progress_deadline_exceeded", "service_degradation", 0.7, 15,
        names=("ProgressDeadlineExceeded",),
    ),
    EventRule(
        "", "service_degradation", 0.7, 15,
        names=("Progressing=True", "Progressing=False", "Progressing=Unknown"), about="progress_deadline_exceeded",
    ),
)  # fmt: skip
"""``Progressing`` is "False" with this reason in a Deployment; while a roll-out goes on it is "True"."""

SEVERITY_RULES: Mapping[str, EventRule] = MappingProxyType(
    {
        "critical": EventRule("", "service_degradation", 0.5, 15),
        "page": EventRule("", "service_degradation", 0.5, 15),
        "error": EventRule("", "service_degradation", 0.4, 30),
        "high": EventRule("", "service_degradation", 0.4, 30),
        "warning": EventRule("", "service_degradation", 0.3, HOUR),
    }
)
"""Of an alert whose name and annotations match no rule, by its severity."""
QUIET_SEVERITIES = ("none",)

ENDED = (
    "resolved|recover(?:ed|y)|cleared|(?<!connection_)(?<!socket_)(?<!stream_)closed(?!_connection)"
    "|no_longer(?:_[a-z]+)?"
)
OVER = f"{ENDED}|normal|healthy|succeeded|success|completed|no_(?:errors?|issues?|restarts?)"
"""Free text that contains one of these patterns reports something that is over or well, so it is no evidence. In a
state, and in a text that contains a reason, only the patterns of ``ENDED`` are read this way."""

HARMLESS = (
    "Watchdog", "InfoInhibitor", "DeadMansSwitch", "Heartbeat", "Scheduled", "Pulling", "Pulled", "Created", "Started",
    "Starting", "Completed", "PodCompleted", "SuccessfulCreate", "SuccessfulDelete", "SuccessfulRescale",
    "SuccessfulAttachVolume", "SuccessfulMountVolume", "ScalingReplicaSet", "Killing", "NodeReady", "NodeSchedulable",
    "NodeNotSchedulable", "RegisteredNode", "NodeHasSufficientMemory", "NodeHasNoDiskPressure",
    "NodeHasSufficientPID", "KubeletHasSufficientMemory", "KubeletHasNoDiskPressure", "KubeletHasSufficientPID",
    "KubeletReady", "NodeAllocatableEnforced", "InvalidDiskCapacity", "DNSConfigForming", "SandboxChanged",
    "LeaderElection", "NewReplicaSetAvailable", "MinimumReplicasAvailable", "ReplicaSetUpdated", "RollingOut",
    "AsExpected", "WaitForFirstConsumer", "ExternalProvisioning", "Issuing", "ContainerCreating", "PodInitializing",
)  # fmt: skip
"""Names of what is well or usual, whatever the message says. Kubelets send InvalidDiskCapacity at each start."""


@lru_cache(maxsize=4096)
def canonical(name: str) -> str:
    """A name as names are compared: in lower case without separators, but with ``=``."""
    return re.sub(r"[^a-z0-9=]", "", name.lower())


def _by_name() -> dict[str, tuple[EventRule, ...]]:
    found: dict[str, tuple[EventRule, ...]] = {}
    for rule in EVENT_RULES:
        for name in rule.names:
            found[canonical(name)] = (*found.get(canonical(name), ()), rule)
    return found


RULES_BY_NAME: Mapping[str, tuple[EventRule, ...]] = MappingProxyType(_by_name())
CONDITION_TYPES = frozenset(
    name.partition("=")[0]
    for name in (*RULES_BY_NAME, "complete=", "upgradeable=", "established=", "scalinglimited=")
    if "=" in name
)
"""Types of conditions, as :func:`canonical` writes them."""
ANY = "|".join(f"(?:{rule.words})" for rule in EVENT_RULES if rule.words)
"""The words of all rules; most texts have none of them."""
QUIET_NAMES = frozenset(map(canonical, HARMLESS))


def words_of(text: str) -> str:
    """The text in lower case with ``_`` between words: "CrashLoopBackOff" becomes crash_loop_back_off."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", text)
    return re.sub(r"[^a-z0-9]+", "_", parted.lower()).strip("_")


def has_words(pattern: str, words: str) -> bool:
    """Whether words of :func:`words_of` contain those of a pattern without a "not" or "no" before them."""
    return _compiled(pattern).search(f"_{words}") is not None


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(f"_(?<!_not_)(?<!_no_)(?<!_not_be_)(?:{pattern})(?=_|$)")


@lru_cache(maxsize=4096)
def rules_of(text: str) -> tuple[EventRule, ...]:
    """The rules whose words are in a text; none if the text says that something is over."""
    words = words_of(text[:MAX_TEXT_CHARACTERS])
    if not has_words(ANY, words) or has_words(OVER, words):
        return ()
    return tuple(rule for rule in EVENT_RULES if rule.matches(words))


@lru_cache(maxsize=4096)
def rules_of_name(name: str, about: str) -> tuple[EventRule, ...]:
    """The rules of a reason, of a condition with its status, or of an alert.

    Args:
        name: the name; a name without rules of its own is read by its words, except for a condition that is not true.
        about: its object's kind, its reason and its message, without names of objects.
    """
    key = canonical(name)
    if key in QUIET_NAMES:
        return ()
    known = RULES_BY_NAME.get(key)
    if known is None:
        condition, _, status = name.partition("=")
        return rules_of(condition) if not status or status == "True" else ()
    words = words_of(about[:MAX_TEXT_CHARACTERS])
    closer = tuple(rule for rule in known if rule.about and has_words(rule.about, words))
    return closer or tuple(rule for rule in known if not rule.about)


@lru_cache(maxsize=4096)
def is_phrase(token: str) -> bool:
    """Whether a token such as crash-looping consists of a rule's words, and is not the name of an object."""
    words = re.sub("^(?:pod|container|node|service)_", "", words_of(token))
    return any(re.fullmatch(rule.words, words) for rule in EVENT_RULES if rule.words)


def normal_rules(rules: Iterable[EventRule]) -> tuple[EventRule, ...]:
    """The rules that hold for an event of the type Normal too."""
    return tuple(rule for rule in rules if rule.normal)
