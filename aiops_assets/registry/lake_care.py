"""What the lake holds, what is wrong with it, and taking something out of it: `aiops lake`, and `aiops doctor`."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from aiops_assets.datasets.wrong_series import wrong_series
from aiops_assets.errors import IntegrityError, NotFoundError, StoreError
from aiops_assets.registry.doctor import Finding
from aiops_assets.storage.cluster_record import ClusterRecords
from aiops_assets.storage.day_info import DayInfo
from aiops_assets.storage.lake import Lake
from aiops_assets.storage.lake_files import readable_days
from aiops_assets.storage.served import ServedModels
from aiops_assets.storage.training_sets import TrainingSets
from aiops_assets.timeseries.catalog import MetricSpec

MAX_SHOWN = 5


@dataclass(frozen=True)
class Selection:
    """What is to be taken out; a day is selected when all that is given fits.

    Attributes:
        first, last: UTC days, both inclusive; ``None``: open.
        labels: labels that a series must have; empty: whole days.
        wrong: only series that a fetch would not store today.
        cluster_id: only days of this cluster; ``None``: of any.
    """

    first: date | None = None
    last: date | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    wrong: bool = False
    cluster_id: str | None = None

    def has(self, day: date) -> bool:
        """Whether a day is between the ends."""
        return (self.first is None or day >= self.first) and (self.last is None or day <= self.last)


@dataclass(frozen=True)
class Drop:
    """Something that is selected: a metric's day, and names of its series; empty: the whole day."""

    metric: MetricSpec
    day: date
    names: frozenset[str]


@dataclass(frozen=True)
class Stored:
    """What the lake holds of a metric: its days, those that lack series, damaged ones, and ids of clusters."""

    metric: MetricSpec
    days: tuple[date, ...]
    incomplete: tuple[date, ...]
    damaged: tuple[date, ...]
    cluster_ids: tuple[str, ...]


def contents(lake: Lake, metrics: Sequence[MetricSpec]) -> Iterator[Stored]:
    """What the lake holds of each metric, by the metadata of its days; samples are not read."""
    for metric in metrics:
        infos = {day: _info(lake, asked, day) for day, asked in readable_days(lake, metric).items()}
        yield Stored(
            metric,
            tuple(infos),
            tuple(day for day, info in infos.items() if info and info.lacking),
            tuple(day for day, info in infos.items() if info is None),
            tuple(sorted({info.cluster_id for info in infos.values() if info and info.cluster_id})),
        )


def select(lake: Lake, metrics: Sequence[MetricSpec], selection: Selection) -> Iterator[Drop]:
    """What a selection names. A damaged day, whose series cannot be read, is selected only as a whole."""
    for metric in (asked for one in metrics for asked in (one, *one.former)):
        for day in filter(selection.has, lake.days(metric)):
            try:
                wide, info = lake.read_day(metric, day)
            except (NotFoundError, IntegrityError):
                if not (selection.labels or selection.wrong or selection.cluster_id is not None):
                    yield Drop(metric, day, frozenset())
                continue
            if selection.cluster_id not in (None, info.cluster_id):
                continue
            if not (selection.labels or selection.wrong):
                yield Drop(metric, day, frozenset())
                continue
            names = {str(name) for name in wide.columns}
            if selection.labels:
                names = {name for name in names if selection.labels.items() <= json.loads(name).items()}
            if selection.wrong:
                names &= wrong_series(metric, wide)
            if names:
                yield Drop(metric, day, frozenset(names))


def take_out(lake: Lake, drops: Sequence[Drop]) -> None:
    """Remove what was selected.

    Raises:
        StoreError: the lake cannot be written; what was removed until then is gone.
    """
    for drop in drops:
        if drop.names:
            lake.drop_series(drop.metric, drop.day, drop.names)
        else:
            lake.drop_day(drop.metric, drop.day)


def dependents(drops: Sequence[Drop], served: ServedModels, sets: TrainingSets, models: Sequence[str]) -> list[str]:
    """Versions of models that were trained on what is selected: ``<model> <version>``, the served one marked."""
    selected = {(drop.metric.name, drop.day.isoformat()) for drop in drops}
    found = []
    for name in models:
        record = served.champion(name)
        for version in served.versions(name):
            try:
                manifest = served.manifest(name, version)
                days = sets.record(manifest.view, manifest.data_version).days
            except StoreError:  # named by `aiops doctor`
                continue
            if any((metric, day.day) in selected for day in days for metric in day.metrics):
                is_served = record is not None and record.champion.version == version
                found.append(f"{name} {version}{' (served)' if is_served else ''}")
    return found


def lake_findings(lake: Lake, metrics: Sequence[MetricSpec]) -> Iterator[Finding]:
    """Findings of `aiops doctor` about the lake; every stored day of the present queries is read."""
    stored = list(contents(lake, metrics))
    n_days = len({day for one in stored for day in one.days})
    if not n_days:
        yield Finding("-", "lake", "ok", "no day was fetched yet", "nothing_stored")
        return
    try:
        record = ClusterRecords(lake.storage, lake.cluster).read()
    except IntegrityError as error:
        yield Finding("-", "lake", "PROBLEM", str(error), error.code, error.facts)
        record = None
    found = {one for each in stored for one in each.cluster_ids}
    mixed = found - (record.ids if record else frozenset()) if len(found) > 1 else set()
    if mixed:
        text = f"days of clusters that nobody confirmed: {', '.join(sorted(mixed))}: `aiops lake drop --cluster-id ID`"
        yield Finding("-", "lake", "PROBLEM", text, "mixed_clusters", {"ids": tuple(sorted(mixed))})
    damaged = [(one.metric.name, day) for one in stored for day in one.damaged]
    if damaged:
        text = (
            f"damaged day files: {_some(damaged)}: `aiops run` fetches them again, `aiops lake drop` removes those "
            "that the server has no more"
        )
        yield Finding("-", "lake", "PROBLEM", text, "damaged_days", {"days": damaged})
    wrong = [(drop.metric.name, drop.day) for drop in select(lake, metrics, Selection(wrong=True))]
    if wrong:
        text = f"series that do not belong to their metric: {_some(wrong)}: `aiops lake drop --wrong` removes them"
        yield Finding("-", "lake", "PROBLEM", text, "wrong_series", {"days": wrong})
    incomplete = [(one.metric.name, day) for one in stored for day in one.incomplete]
    if incomplete:
        text = f"answers lacked series, which the next fetch requests again: {_some(incomplete)}"
        yield Finding("-", "lake", "ok", text, "incomplete_days", {"days": incomplete})
    if not (mixed or damaged or wrong):
        known = f", cluster {record.newest.id}" if record else ""
        yield Finding("-", "lake", "ok", f"{n_days} days of {sum(bool(one.days) for one in stored)} metrics{known}")


def _info(lake: Lake, metric: MetricSpec, day: date) -> DayInfo | None:
    try:
        return lake.info(metric, day)
    except IntegrityError:
        return None


def _some(days: Sequence[tuple[str, date]]) -> str:
    more = f" and {len(days) - MAX_SHOWN} more" if len(days) > MAX_SHOWN else ""
    return ", ".join(f"{name} {day}" for name, day in days[:MAX_SHOWN]) + more
