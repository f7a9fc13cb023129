"""Notes for people on the rows of a training set: each has a code and facts, and its wording stands here."""

from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import Any

from aiops_assets.judging.statements import Statement
from aiops_assets.timeseries.catalog import POD_CPU, POD_MEMORY, RESTARTS
from aiops_assets.timeseries.quality import Shortage

MAX_NAMES = 3
"""Number of pods that a sentence names."""
CURES = {
    POD_MEMORY.name: (
        "set memory limits, since kube-state-metrics has kube_pod_container_resource_limits only of containers with one"
    ),
    RESTARTS.name: "is kube-state-metrics scraped, and for all namespaces?",
    POD_CPU.name: "is cAdvisor scraped on all nodes?",
}
"""Metric -> what people can do where pods lack it."""


class Note(Statement):
    """A note on rows, as records and cards repeat it: a code of ``WORDINGS``, and facts that the sentence names."""

    def __init__(self, code: str, /, **facts: Any) -> None:
        super().__init__(code, WORDINGS[code](**facts), **facts)


def _no_server() -> str:
    return "PROMETHEUS_URL is not set"


def _cached_days(problem: str, hours: float) -> str:
    return f"{problem}; cached days are used, fetched {hours:.1f} h ago"


def _cached_newest(problem: str) -> str:
    return f"{problem}; cached days are used"


def _synthetic_allowed(problem: str, shortage: Shortage | None = None, has_cache: bool = True) -> str:
    return "; ".join([problem, *_insufficient(shortage, has_cache), "FALLBACK allows synthetic data"])


def _nothing_allowed(
    problem: str, fallback: Sequence[str], shortage: Shortage | None = None, has_cache: bool = True
) -> str:
    allowed = f"FALLBACK={','.join(fallback)} allows nothing else"
    return "; ".join([problem, *_insufficient(shortage, has_cache), allowed])


def _insufficient(shortage: Shortage | None, has_cache: bool) -> list[str]:
    if shortage is None and has_cache:
        return []
    return [f"cached days do not suffice: {shortage.text if shortage else 'there are none'}"]


def _young_history(begin: date, shortage: Shortage) -> str:
    why = f"the history begins on {begin} and does not suffice to train on ({shortage.text})"
    return f"{why}; until it does, rows are generated"


def _low_coverage(share: float, days: int, full_days: int, lowest: str) -> str:
    return f"coverage of the window is {share:.0%} of {days} days, {full_days} of them full (least: {lowest})"


def _part_of_window(share: float, lowest: str) -> str:
    return f"{share:.0%} of the window is there (least: {lowest})"


def _short_cluster(asked: float, got: float) -> str:
    return f"SYNTHETIC_RATIO={asked:g}: a generated cluster has no more rows than its window, {got:.0%} are"


def _silent_pods(silent: int, pods: int) -> str:
    return f"{silent} of {pods} pods gave no row: gaps in their metrics"


def _metric_not_judged(
    metric: str, share: float, lacking: int, pods: int, names: Sequence[str], window_lacking: int, window_pods: int
) -> str:
    some, every = (window_lacking, window_pods) if window_lacking else (lacking, pods)
    shown = ", ".join(names[:MAX_NAMES]) + (f" and {some - MAX_NAMES} more" if some > MAX_NAMES else "")
    drawn = f"{lacking} of the {pods} drawn pods are among them, and " if window_lacking and lacking else ""
    rows = "all fetched rows have it" if share == 1 else f"{share:.1%} of the fetched rows have it"
    which = f"{some} of {every} pods, which lack it ({shown})"
    return f"{metric} is not judged for {which}; {drawn}{rows}: {cure_of(metric)}"


def _metric_unknown(metric: str, pods: int) -> str:
    return f"{metric}: none of the {pods} drawn pods has a sample of it, so that no row knows it; {cure_of(metric)}"


def _metric_part_of_life(metric: str, partly: int, pods: int) -> str:
    return (
        f"{partly} of {pods} drawn pods have {metric} for less than half of their life: their other rows lack it "
        "or are left out"
    )


def cure_of(metric: str) -> str:
    """What people can do where a metric is lacking."""
    return CURES.get(metric, "is its exporter scraped?")


def _missing_nodes(
    metrics: Sequence[str], least: int, most: int, hours: float, share: float, names: Sequence[str] = ()
) -> str:
    which = f" ({', '.join(names)})" if names else ""
    return (
        f"nodes were missing{which}: {least} of {most} at the least stood behind {' and '.join(metrics)}, fewer than "
        f"{most} for {hours:.1f} h ({share:.0%} of the time)"
    )


def _doubled_restarts(doubled: int, pods: int, first: datetime) -> str:
    return (
        f"restarts of {doubled} of {pods} drawn pods doubled for minutes, first at {first:%Y-%m-%d %H:%M} UTC: two "
        "kube-state-metrics were scraped at once, as in a roll-out, so that normal rows of that time show a storm"
    )


def _pods_left_out(most: int, scored: int, living: int) -> str:
    return f"SCORED_PODS_MAX={most}: {scored} of {living} living pods are scored"


def _models_of_generated_rows(models: Sequence[str]) -> str:
    return f"fitted on generated rows alone, and on none of this cluster: {', '.join(models)}"


def _old_sample(name: str, hours: float) -> str:
    return f"the newest sample of {name} is {hours:.1f} h old"


WORDINGS: dict[str, Callable[..., str]] = {
    "no_server": _no_server,
    "cached_days": _cached_days,
    "cached_newest": _cached_newest,
    "synthetic_allowed": _synthetic_allowed,
    "nothing_allowed": _nothing_allowed,
    "young_history": _young_history,
    "low_coverage": _low_coverage,
    "part_of_window": _part_of_window,
    "short_cluster": _short_cluster,
    "silent_pods": _silent_pods,
    "metric_not_judged": _metric_not_judged,
    "metric_part_of_life": _metric_part_of_life,
    "metric_unknown": _metric_unknown,
    "missing_nodes": _missing_nodes,
    "doubled_restarts": _doubled_restarts,
    "pods_left_out": _pods_left_out,
    "old_sample": _old_sample,
    "models_of_generated_rows": _models_of_generated_rows,
}
"""Code of a note -> its sentence."""
