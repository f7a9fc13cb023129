"""Recommendations for anomalies from a table of advice, for the most severe first."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from aiops_assets.engine.detection.findings import Anomaly, Kind
from aiops_assets.engine.samples import MEANINGS
from aiops_assets.engine.wording import distinct, say
from aiops_assets.judging.statements import Statement
from aiops_assets.outlook.breaches import SEVERITIES


@dataclass(frozen=True)
class Advice:
    """One line of the table.

    Attributes:
        kinds: kinds of anomalies for which it is given.
        code: of :data:`aiops_assets.engine.wording.ADVICE`.
        metric: name in the catalogue, if the advice is for one metric only.
    """

    kinds: tuple[Kind, ...]
    code: str
    metric: str = ""


ADVICE = (
    Advice(("cpu_spike", "cpu_saturation"), "scale_up"),
    Advice(("cpu_saturation",), "relieve_node_cpu", "node_cpu_utilization"),
    Advice(("memory_saturation",), "raise_memory_limit"),
    Advice(("memory_leak",), "check_memory_leak"),
    Advice(("node_pressure",), "free_node_memory"),
    Advice(("disk_full",), "free_disk"),
    Advice(("restart_storm",), "check_logs"),
    Advice(("restart_storm",), "roll_back"),
    Advice(("restart",), "check_restart"),
    Advice(("burst",), "check_load"),
    Advice(("drop",), "check_work"),
    Advice(("level_shift",), "check_change"),
    Advice(("swing",), "watch"),
)


def recommendations(anomalies: Iterable[Anomaly], context: Mapping[str, str]) -> list[Statement]:
    """Advice for anomalies, the most severe first, each once.

    Args:
        anomalies: the reported anomalies.
        context: ``namespace`` and ``resource``, if known.
    """
    where = _where(context)
    ordered = sorted(anomalies, key=lambda one: (-SEVERITIES.index(one.severity), -one.confidence))
    advised = (
        say(advice.code, where=where, metric=one.metric_name)
        for one in ordered
        for advice in ADVICE
        if one.kind in advice.kinds and advice.metric in ("", _metric(one))
    )
    return list(distinct(advised))


def _metric(anomaly: Anomaly) -> str:
    meaning = MEANINGS.get(anomaly.metric_name)
    return anomaly.metric_name if meaning is None else meaning.metric.name


def _where(context: Mapping[str, str]) -> str:
    """ "shop/cart", "cart", "namespace shop", or "the workload"."""
    namespace, resource = (context.get(key, "").strip() for key in ("namespace", "resource"))
    if resource:
        return f"{namespace}/{resource}" if namespace else resource
    return f"namespace {namespace}" if namespace else "the workload"
