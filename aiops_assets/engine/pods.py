"""Groups the samples of a request by pod, so that pods are never mixed into one series. Pods of one name in two
namespaces are two pods.

A group is judged as a whole: a pod's own samples, together with samples without a pod, which are its surroundings.
Where series of one known name also differ in other labels (containers of a pod, nodes, namespaces), each is a group of
its own. The surroundings of a pod contain the mean over nodes, as the feature columns are defined (engine contract,
section 1.1). Series of unknown names are independent: they stay in one group, under names that contain the labels.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from operator import attrgetter
from typing import TypedDict

import numpy as np

from aiops_assets.engine.prediction.sent_histories import unit_of
from aiops_assets.engine.samples import (
    CHANGE,
    FORECASTED,
    MEANINGS,
    PERCENT_TO,
    SHORT_NAMES,
    Sample,
    Series,
    by_name,
    in_percent,
)
from aiops_assets.errors import DataError
from aiops_assets.outlook.limits import LIMITS
from aiops_assets.timeseries.catalog import METRICS, POD_MEMORY
from aiops_assets.timeseries.pod_identity import PodNames, pod_text, split_pod, workload_by_name

POD_LABELS = ("pod", "pod_name", "kubernetes_pod_name")
NAMESPACE_LABELS = ("namespace", "kubernetes_namespace")
MAX_PODS, MAX_GROUPS = 50, 100
"""Most pods and groups of a request: clients wait ten seconds, and a pod with two days of samples takes a tenth."""
PCT_CHANGE = "pct_change"
CHANGES = ("std_5m", "diff", PCT_CHANGE, CHANGE)
"""Statistics from which the unit cannot be derived."""
KNOWN = frozenset([*MEANINGS, *FORECASTED, *LIMITS] + [metric.name for metric in METRICS])
"""Names with a model, a limit or a rule."""

Labels = tuple[tuple[str, str], ...]
Sets = dict[Labels, list[Sample]]
"""Labels without those of the pod -> samples of one name."""


class Identity(TypedDict, total=False):
    """How answers name a pod; empty texts where it is not known."""

    namespace: str
    pod: str
    workload: str


@dataclass(frozen=True, slots=True)
class Owner:
    """The owner of a name in a group.

    Attributes:
        name: name as sent.
        pod: pod in the labels of its samples, ``namespace/name``; empty where they name none.
        labels: labels that distinguish them from others of this name and pod; empty if there are no others.
        mean: whether they are the mean over nodes, which also have groups of their own.
        scale: divisor that was applied to its values: 100 if only other series of the name show that they are percent.
    """

    name: str
    pod: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    mean: bool = False
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class Group:
    """Samples that are judged together.

    Attributes:
        pod: the pod, ``namespace/name`` or, where no sample names a namespace, its name; empty for samples without one.
        labels: labels that distinguish it from other groups of the pod; mostly empty.
        samples: its own samples, then its surroundings, with one series per name.
        own: names whose results this group reports; the others are surroundings.
        owners: name in ``samples`` -> its owner.
    """

    pod: str
    labels: Mapping[str, str]
    samples: list[Sample]
    own: frozenset[str]
    owners: Mapping[str, Owner]

    def __str__(self) -> str:
        """A text for people: "pod shop/cart-1", "pod cart-1, container=app", "instance=node-a"."""
        parts = [f"pod {self.pod}"] if self.pod else []
        return ", ".join([*parts, *(f"{key}={value}" for key, value in self.labels.items())])

    @property
    def identity(self) -> "Identity":
        """What an answer calls the pod; its workload by a label, else by the pod's name."""
        namespace, name = split_pod(self.pod)
        labelled = (s.labels.get("workload", "") for s in self.samples if s.name in self.own)
        workload = next(filter(None, labelled), "") or workload_by_name(name)
        return {"namespace": namespace, "pod": name, "workload": workload if name else ""}

    @property
    def forecast_samples(self) -> list[Sample]:
        """The samples without surroundings that a forecast of its own ones does not use."""
        own_metrics = {FORECASTED.get(name) for name in self.own}
        return [s for s in self.samples if s.name in self.own or FORECASTED.get(s.name) not in own_metrics | {None}]


def pod_of(labels: Mapping[str, str]) -> str:
    """The pod in labels, ``namespace/name`` or a name alone; empty where they name none."""
    namespace, name = (
        next((labels[key] for key in keys if labels.get(key)), "") for keys in (NAMESPACE_LABELS, POD_LABELS)
    )
    return pod_text(namespace, name)


def groups_of(samples: Sequence[Sample], now: datetime) -> list[Group]:
    """Groups, the one without a pod first; an empty list if all samples can be judged as one group.

    Args:
        samples: samples of any names, in any order.
        now: present time with an offset, for samples without a time.

    Raises:
        DataError: more than 50 pods, or 100 groups; or see :func:`~aiops_assets.engine.samples.by_name`.
    """
    if not any(map(attrgetter("labels"), samples)):
        return []
    by_pod: dict[str, dict[str, Sets]] = {}
    pods = [pod_of(sample.labels) for sample in samples]
    known = PodNames(pods)
    for sample, pod in zip(samples, pods, strict=True):
        sets = by_pod.setdefault(known.of(pod) or pod, {}).setdefault(sample.name, {})
        sets.setdefault(_rest(sample.labels, pod), []).append(sample)
    outside = by_pod.pop("", {})
    if not by_pod and all(len(sets) == 1 for sets in outside.values()):
        return []
    if len(by_pod) > MAX_PODS:
        raise DataError(
            f"samples of {len(by_pod)} pods: send those of at most {MAX_PODS} pods at once",
            code="too_many_pods",
            pods=len(by_pod),
        )
    surroundings, percent = _surroundings(outside, now), _in_percent(samples)
    found: list[Group] = []
    for pod, names in [("", outside), *by_pod.items()]:
        for group in _groups_of_pod(pod, names, surroundings, percent):
            if len(found) == MAX_GROUPS:
                raise DataError(
                    f"known metrics come with more than {MAX_GROUPS} sets of labels: send fewer pods, nodes or "
                    "containers at once, or a mean over them",
                    code="too_many_groups",
                    most=MAX_GROUPS,
                )
            found.append(group)
    return found


@dataclass(frozen=True, slots=True)
class _Named:
    """Samples under a key that is unique in a group."""

    key: str
    owner: Owner
    samples: Sequence[Sample]


def _groups_of_pod(
    pod: str, names: Mapping[str, Sets], surroundings: Sequence[_Named], percent: frozenset[str]
) -> Iterator[Group]:
    """A group of the names with one set of labels, and one for each set of labels of other known names."""
    parts: dict[Labels, list[tuple[str, list[Sample]]]] = {}
    whole: list[_Named] = []
    for name, sets in names.items():
        if len(sets) == 1:
            whole.append(_Named(name, Owner(name, pod), next(iter(sets.values()))))
        elif name in KNOWN:
            for labels, found in sets.items():
                parts.setdefault(labels, []).append((name, found))
        else:
            differing = _differing(sets)
            for labels, found in sets.items():
                shown = _only(labels, differing)
                whole.append(_Named(_with_labels(name, shown), Owner(name, pod, shown), found))
    beside = [one for one in surroundings if not (one.owner.pod == pod and not one.owner.mean)]
    if whole:
        yield _group(pod, {}, whole, beside, percent)
    differing = _differing(parts)
    joint = [one for one in whole if one.key in KNOWN]
    beside = joint + _not_reported_by(joint, beside)
    for labels, named in parts.items():
        shown = _only(labels, differing)
        own = [_Named(name, Owner(name, pod, shown), found) for name, found in named]
        yield _group(pod, shown, own, beside, percent)


def _group(
    pod: str, labels: Mapping[str, str], own: Sequence[_Named], beside: Sequence[_Named], percent: frozenset[str]
) -> Group:
    named = [*own, *_not_reported_by(own, beside)]
    samples = [replace(s, name=one.key) if s.name != one.key else s for one in named for s in one.samples]
    owners = {one.key: one.owner for one in named}
    unseen = percent - _in_percent(samples)
    if unseen:
        scaled = {key for key in owners if _family(key) in unseen and not key.endswith(PCT_CHANGE)}
        samples = [replace(s, value=s.value / PERCENT_TO) if s.name in scaled else s for s in samples]
        owners |= {key: replace(owners[key], scale=PERCENT_TO) for key in scaled}
    return Group(pod, labels, samples, frozenset(one.key for one in own), owners)


def _not_reported_by(own: Iterable[_Named], beside: Iterable[_Named]) -> list[_Named]:
    """The surroundings without metrics that the pod's own samples report."""
    own_metrics = {metric_of(one.key) for one in own}
    return [one for one in beside if metric_of(one.key) not in own_metrics]


def _in_percent(samples: Iterable[Sample]) -> frozenset[str]:
    """Families of ratios whose levels were sent in percent: all series of a name have one unit."""
    levels: dict[str, list[float]] = {}
    for sample in samples:
        meaning = MEANINGS.get(sample.name)
        if unit_of(sample.name) == "ratio" and (meaning is None or meaning.statistic not in CHANGES):
            levels.setdefault(_family(sample.name), []).append(sample.value)
    percent, _ = in_percent(levels, may_pass_one=[POD_MEMORY.name])
    return percent


def _family(name: str) -> str:
    """The family of a name, whose names have one unit: a metric with its features, or its short names."""
    return f"{metric_of(name)} in short" if name in SHORT_NAMES else metric_of(name)


def metric_of(name: str) -> str:
    """The metric of a name in the catalogue; the name itself if it has none."""
    meaning = MEANINGS.get(name)
    return name if meaning is None else meaning.metric.name


def _surroundings(outside: Mapping[str, Sets], now: datetime) -> list[_Named]:
    """Samples without a pod that a row or a forecast of a pod uses; of several nodes the mean."""
    found = []
    for name, sets in outside.items():
        if name not in MEANINGS and name not in FORECASTED:
            continue
        if len(sets) == 1:
            found.append(_Named(name, Owner(name), next(iter(sets.values()))))
        elif name in MEANINGS and MEANINGS[name].metric.per == "node":
            found.append(_Named(name, Owner(name, mean=True), _mean(name, sets.values(), now)))
    return found


def _mean(name: str, sets: Iterable[list[Sample]], now: datetime) -> list[Sample]:
    """The mean over series at the times of the longest: of each series the newest sample until then, else its first."""
    series = [one for found in sets for one in by_name(found, now).values()]
    longest: Series = max(series, key=lambda one: len(one.values))
    places = [np.searchsorted(one.times, longest.times, side="right").clip(1) - 1 for one in series]
    means = np.mean([one.values[place] for one, place in zip(series, places, strict=True)], axis=0)
    if not longest.timed:
        return [Sample(name, value) for value in means.tolist()]
    times = [time.replace(tzinfo=UTC) for time in longest.times.astype("datetime64[us]").tolist()]
    return [Sample(name, value, time) for value, time in zip(means.tolist(), times, strict=True)]


def _rest(labels: Mapping[str, str], pod: str) -> Labels:
    """Labels without those of the pod, and without empty values, which do not exist for Prometheus."""
    of_pod = (*POD_LABELS, *NAMESPACE_LABELS) if pod else ()
    return tuple(sorted((key, value) for key, value in labels.items() if value and key not in of_pod))


def _differing(sets: Iterable[Labels]) -> frozenset[str]:
    """Keys whose values are not the same in all sets."""
    first, *others = [set(labels) for labels in sets] or [set()]
    return frozenset(key for key, _ in first.union(*others) - first.intersection(*others))


def _only(labels: Labels, keys: frozenset[str]) -> dict[str, str]:
    return {key: value for key, value in labels if key in keys}


def _with_labels(name: str, labels: Mapping[str, str]) -> str:
    """A name with labels in Prometheus' notation: ``queue_length{queue="a"}``."""
    text = ", ".join(f'{key}="{value}"' for key, value in labels.items())
    return f"{name}{{{text}}}"
