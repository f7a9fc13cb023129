"""Finds the layers in trouble: infrastructure, platform or application.

Evidence is an abnormal metric or an event about a failure, each with a probability that it means trouble in its layer.
Evidence of one layer is combined as independent: 1 - prod(1 - p).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from aiops_assets.engine.events.event import Event
from aiops_assets.engine.pattern_analysis.pattern_types import Pattern, described
from aiops_assets.engine.samples import MEANINGS
from aiops_assets.engine.wording import say
from aiops_assets.judging.statements import Statement

LAYERS = ("infrastructure", "platform", "application")
PATTERN_WEIGHT = 0.85
"""Weight of a pattern, times its confidence: a metric may change without any trouble."""
HIGH_RATIO, HIGH_RATIO_WEIGHT = 0.9, 0.6
FULL_RATIO, FULL_RATIO_WEIGHT = 0.97, 0.7
FAILURE_WEIGHT = 0.55
REPEATED_WEIGHT = 0.2
"""Weight of each further event of a type that was counted already, because it mostly repeats the first."""
MAX_REPEATS = 5
ABNORMAL = ("upward_trend", "change_point", "spike", "dip", "counter_storm")

LAYER_NAMES: Mapping[str, re.Pattern[str]] = MappingProxyType(
    {
        "infrastructure": re.compile(
            r"(?<![a-z])(nodes?|machine\w*|mco|mcd|kernel|kubelet|host|hardware|filesystem|disk|ntp|hypervisor|memorypressure"
            r"|diskpressure|pidpressure|nodenotready|nodehas\w*|node\w+)(?![a-z])"
        ),
        "platform": re.compile(
            r"(?<![a-z])(\w*operators?|sdn|ovn\w*|ovs|networking|ingress|router|dns|coredns|etcd\w*|apiserver|api-server|"
            r"scheduler|storage\w*|pvc?s?|persistentvolume\w*|volume\w*|csi|ceph|cluster\w*|registry|certificate|"
            r"failedmount|failedattachvolume|failedscheduling|network\w*)(?![a-z])"
        ),
        "application": re.compile(
            r"(?<![a-z])(pods?|containers?|deployments?|replicasets?|statefulsets?|workloads?|applications?|app|apps|"
            r"http|https|requests?|responses?|latency|crashloopbackoff|imagepullbackoff|errimagepull|oomkilled|oomkill\w*"
            r"|unhealthy|liveness|readiness|backoff)(?![a-z])"
        ),
    }
)
"""Layer -> words of names and events that identify it. The earliest word decides; at a tie, the order of the layers."""
LAYER_LABELS = (
    ("application", ("pod", "container", "deployment", "app", "workload")),
    ("infrastructure", ("node", "machine", "instance", "device")),
)
LAYER_ISSUES = (
    ("platform", ("certificate_expiry", "dns_failure", "volume_mount_failure", "network_unavailable")),
    ("infrastructure", ("node_pressure", "disk_full")),
    ("application", ("pod_oom", "crash_loop", "image_pull_failure")),
)
PLATFORM_NAMESPACE = re.compile(r"^(openshift|kube)(-|$)")
FAILURE = re.compile(
    r"fail|error|crash|oom|kill|evict|degraded|unavailable|not.?ready|pressure|time.?out|back.?off|unhealthy|panic"
    r"|lost|unreachable|denied|exceeded|deadlock|corrupt|critical|down\b|outage|refused|stuck|errimage|pullback"
)
RECOVERY = re.compile(
    r"recovered|resolved|succeeded|no longer|restored|hasno|hassufficient"
    r"|\b(0|no|without) (\w+ ){0,2}(errors?|failures?|pressure)"
    r"|\bnot (oom|crash|fail|degraded|evict)"
)


@dataclass(frozen=True)
class Evidence:
    """One sign of trouble.

    Attributes:
        layer: one of :data:`LAYERS`.
        weight: probability (0-1) that it means trouble in that layer.
        metric: name as sent; empty for an event.
        start, end: time span, Unix seconds.
    """

    layer: str
    weight: float
    metric: str
    start: float
    end: float


def layer_of_metric(name: str, labels: Mapping[str, str]) -> str | None:
    """The layer of a metric; ``None``: unknown.

    It follows from a label ``layer``, else a namespace of the platform, else the name, else the other labels.
    """
    stated = labels.get("layer", "").lower()
    if stated in LAYERS:
        return stated
    meaning = MEANINGS.get(name)
    by_name = _layer_of_text(meaning.metric.name if meaning else name)
    if by_name != "infrastructure" and PLATFORM_NAMESPACE.match(labels.get("namespace", "")):
        return "platform"
    return by_name or next((layer for layer, keys in LAYER_LABELS if any(map(labels.get, keys))), None)


def _layer_of_text(text: str) -> str | None:
    # Words of a name end at underscores and capitals, as do those of a reason such as NodeNotReady.
    lowered = text.lower().replace("_", " ")
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text).lower().replace("_", " ")
    found = [
        (match.start(), position, layer)
        for position, (layer, words) in enumerate(LAYER_NAMES.items())
        for match in (words.search(lowered), words.search(spaced))
        if match
    ]
    return min(found)[2] if found else None


def layer_of_event(event: Event) -> str | None:
    """The layer of an event about a failure; ``None`` for any other event."""
    text = event.text.lower()
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", event.text).lower()
    failed = (FAILURE.search(text) or FAILURE.search(spaced)) and not RECOVERY.search(text)
    if event.quiet or not (event.rules or failed):
        return None
    stated = event.labels.get("layer", "").lower()
    if stated in LAYERS:
        return stated
    by_type = _layer_of_text(event.type)
    if by_type != "infrastructure" and PLATFORM_NAMESPACE.match(event.labels.get("namespace", "")):
        return "platform"
    by_labels = next((layer for layer, keys in LAYER_LABELS if any(map(event.labels.get, keys))), None)
    by_issue = next((layer for layer, issues in LAYER_ISSUES for rule in event.rules if rule.issue in issues), None)
    return by_type or by_labels or by_issue or _layer_of_text(event.text)


def metric_evidence(pattern: Pattern, labels: Mapping[str, str]) -> Evidence | None:
    """A pattern of one metric as a sign of trouble in its layer."""
    layer = layer_of_metric(pattern.metrics[0], labels) if pattern.pattern in ABNORMAL else None
    if layer is None:
        return None
    start, end = pattern.start_time.timestamp(), pattern.end_time.timestamp()
    return Evidence(layer, PATTERN_WEIGHT * pattern.confidence, pattern.metrics[0], start, end)


def level_evidence(name: str, labels: Mapping[str, str], value: float, factor: float, time: float) -> Evidence | None:
    """A ratio near its limit as a sign of trouble, whatever its history.

    Args:
        name: name as sent.
        labels: labels as sent.
        value: newest value as sent.
        factor: divisor of values as sent that gives ratios.
        time: time of the value, Unix seconds.
    """
    meaning = MEANINGS.get(name)
    layer = layer_of_metric(name, labels)
    levels = ("value", "mean_5m", "min_5m", "max_5m")
    if layer is None or meaning is None or meaning.metric.unit != "ratio" or meaning.statistic not in levels:
        return None
    ratio = value / factor
    if ratio < HIGH_RATIO:
        return None
    return Evidence(layer, FULL_RATIO_WEIGHT if ratio >= FULL_RATIO else HIGH_RATIO_WEIGHT, name, time, time)


def event_evidence(events: Sequence[Event], start: float, end: float) -> list[Evidence]:
    """Events about failures as signs of trouble; one without a time covers the whole window.

    What holds lasts until the end of the window.
    """
    seen: dict[tuple[str, str], int] = {}
    evidence = []
    for event in events:
        layer = layer_of_event(event)
        if layer is None:
            continue
        repeats = seen.get((layer, event.type), 0)
        seen[layer, event.type] = repeats + 1
        weight = FAILURE_WEIGHT if repeats == 0 else REPEATED_WEIGHT if repeats <= MAX_REPEATS else 0.0
        first = max(event.time.timestamp(), start) if event.time else start
        evidence.append(Evidence(layer, weight, "", first, first if event.time and not event.holds else end))
    return evidence


def affected_layers(evidence: Sequence[Evidence]) -> tuple[list[Pattern], list[Statement]]:
    """A pattern and an insight for each layer with signs of trouble, the surest first.

    Descriptions count the evidence without names, in which the engine might find words of other layers.
    """
    patterns = []
    for layer in LAYERS:
        pieces = [piece for piece in evidence if piece.layer == layer]
        if not pieces:
            continue
        # Patterns of one metric have one cause, so that only the strongest is used.
        strongest: dict[str, float] = {}
        clear = 1.0
        for piece in pieces:
            if piece.metric:
                strongest[piece.metric] = max(strongest.get(piece.metric, 0.0), piece.weight)
            else:
                clear *= 1 - piece.weight
        for weight in strongest.values():
            clear *= 1 - weight
        patterns.append(
            described(
                f"{layer}_layer",
                tuple(strongest),
                1 - clear,
                min(piece.start for piece in pieces),
                max(piece.end for piece in pieces),
                layer=layer,
                abnormal=len(strongest),
                failures=sum(not piece.metric for piece in pieces),
            )
        )
    patterns.sort(key=lambda pattern: -pattern.confidence)
    return patterns, [
        say("affected_layer", **pattern.description.facts, confidence=pattern.confidence) for pattern in patterns
    ]
