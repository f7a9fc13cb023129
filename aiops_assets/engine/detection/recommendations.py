"""Recommendations for anomalies from a table of advice, for the most severe first."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from aiops_assets.engine.detection.findings import Anomaly, Kind
from aiops_assets.engine.samples import MEANINGS
from aiops_assets.outlook.breaches import SEVERITIES


@dataclass(frozen=True)
class Advice:
    """One line of the table.

    Attributes:
        kinds: kinds of anomalies for which it is given.
        text: the advice; ``{where}`` stands for the workload and ``{metric}`` for the name as sent.
        metric: name in the catalogue, if the advice is for one metric only.
    """

    kinds: tuple[Kind, ...]
    text: str
    metric: str = ""


ADVICE = (
    Advice(("cpu_spike", "cpu_saturation"), "Scale up replicas of {where}, or raise the CPU limit: it needs more CPU."),
    Advice(
        ("cpu_saturation",),
        "Move work off the nodes of {where}, or add a node: no CPU time is left there.",
        "node_cpu_utilization",
    ),
    Advice(("memory_saturation",), "Raise the memory limit of {where} before it is killed (OOM), or look for a leak."),
    Advice(
        ("memory_leak",), "Check for memory leak in {where}: its memory keeps rising. A restart buys time until then."
    ),
    Advice(
        ("node_pressure",),
        "Free memory on the nodes of {where}, or add a node: pods without requests are evicted first.",
    ),
    Advice(("disk_full",), "Free disk space on the nodes of {where}: remove unused images and logs, or grow the disk."),
    Advice(
        ("restart_storm",),
        "Check the logs of the last restart of {where} (kubectl logs --previous): it is in a crash loop.",
    ),
    Advice(("restart_storm",), "Roll back the last deployment of {where} if the restarts began with it."),
    Advice(("restart",), "Check why a container of {where} restarted: its exit code, and its memory limit."),
    Advice(("burst",), "Check what drives {metric} of {where} up: traffic, retries or errors."),
    Advice(("drop",), "Check whether {where} still gets work: {metric} fell (routing, readiness, a stuck job)."),
    Advice(
        ("level_shift",),
        "Check what changed in {where} when {metric} moved to a new level.",
    ),
    Advice(("swing",), "Watch {metric} of {where}: its changes are larger than usual."),
)
"""The table of advice. Examples of ADR-009 are "Scale up replicas" and "Check for memory leak"."""


def recommendations(anomalies: Iterable[Anomaly], context: Mapping[str, str]) -> list[str]:
    """Advice for anomalies, the most severe first, each once.

    Args:
        anomalies: the reported anomalies.
        context: ``namespace`` and ``resource``, if known.
    """
    where = _where(context)
    ordered = sorted(anomalies, key=lambda one: (-SEVERITIES.index(one.severity), -one.confidence))
    texts = [
        advice.text.format(where=where, metric=one.metric_name)
        for one in ordered
        for advice in ADVICE
        if one.kind in advice.kinds and advice.metric in ("", _metric(one))
    ]
    return list(dict.fromkeys(texts))


def _metric(anomaly: Anomaly) -> str:
    meaning = MEANINGS.get(anomaly.metric_name)
    return anomaly.metric_name if meaning is None else meaning.metric.name


def _where(context: Mapping[str, str]) -> str:
    """ "shop/cart", "cart", "namespace shop", or "the workload"."""
    namespace, resource = (context.get(key, "").strip() for key in ("namespace", "resource"))
    if resource:
        return f"{namespace}/{resource}" if namespace else resource
    return f"namespace {namespace}" if namespace else "the workload"
