"""Retention of the lake: days that are older than KEEP_LAKE_DAYS are removed, unless something needs them.

Two things do. A version that is kept, served or not: its training set's record names its days, and `aiops lineage`
compares them with the lake. And the longest window that a model trains on or scores, which the next run reads.
"""

from collections.abc import Iterator, Set
from dataclasses import dataclass
from datetime import date, timedelta

from aiops_assets.datasets.newest import CLUSTER_DAYS, POD_DAYS
from aiops_assets.datasets.selection import active_models
from aiops_assets.errors import IntegrityError, StoreError
from aiops_assets.families.catalog import MODELS
from aiops_assets.settings import Settings
from aiops_assets.storage.day_info import query_digest
from aiops_assets.storage.lake import Lake
from aiops_assets.storage.lake_files import StoredDay, remove, stored_days
from aiops_assets.storage.records import TrainingSetRecord
from aiops_assets.storage.served import ServedModels
from aiops_assets.storage.training_sets import TrainingSets
from aiops_assets.storage.workloads import Workloads
from aiops_assets.timeseries.catalog import MEMBERS

SPARE_DAYS = 2
"""A run that began before midnight reads a window that begins earlier than today's; and today itself is not over."""
ANY_QUERY = ""


@dataclass(frozen=True)
class Expired:
    """What retention would remove, and what it would if no version needed it.

    Attributes:
        removable: files that nothing needs, oldest first.
        needed: number of older files that kept versions were trained on.
        before: days before this one are old.
    """

    removable: tuple[StoredDay, ...]
    needed: int
    before: date


def first_kept(settings: Settings, today: date) -> date | None:
    """The first day that retention never touches; ``None``: KEEP_LAKE_DAYS is not set, and all days stay."""
    if settings.keep_lake_days is None:
        return None
    windows = [spec.training_days + spec.earlier_days for spec in (*MODELS, *active_models(settings))]
    longest = max(settings.training_days or 0, *windows, POD_DAYS, CLUSTER_DAYS) + SPARE_DAYS
    end = min(today, settings.end.date())
    return min(today - timedelta(days=settings.keep_lake_days), end - timedelta(days=longest))


def expired(lake: Lake, served: ServedModels, sets: TrainingSets, settings: Settings, today: date) -> Expired:
    """Files of days that are too old, of any metric and query, and that neither a version nor a window needs.

    Args:
        lake: the lake.
        served: versions that are kept.
        sets: their training sets.
        settings: KEEP_LAKE_DAYS, and what decides the longest window.
        today: present UTC day.

    Raises:
        IntegrityError: the days of a version cannot be known, so that none may be removed.
        StoreError: something cannot be read.
    """
    before = first_kept(settings, today)
    if before is None:
        return Expired((), 0, date.min)
    old = sorted(stored for stored in stored_days(lake) if stored.day < before)
    needs = needed_days(lake, served, sets) if old else frozenset()
    removable = tuple(stored for stored in old if not _is_needed(stored, needs))
    return Expired(removable, len(old) - len(removable), before)


def prune(lake: Lake, found: Expired) -> None:
    """Remove files. A kill in between leaves whole files; the next call removes the rest.

    Raises:
        StoreError: the lake cannot be written; what was removed until then is gone.
    """
    for stored in found.removable:
        remove(lake, stored)
    Workloads(lake.storage, lake.cluster).prune(found.before)


def needed_days(lake: Lake, served: ServedModels, sets: TrainingSets) -> Set[StoredDay]:
    """The days that kept versions of all models were trained on, and those of the metrics' companions.

    Raises:
        IntegrityError: a version's manifest or its training set's record cannot be read.
    """
    found: set[StoredDay] = set()
    for name in served.storage.names(""):
        for version in served.versions(name):
            try:
                manifest = served.manifest(name, version)
                if manifest.cluster != lake.cluster:
                    continue
                record = sets.record(manifest.view, manifest.data_version)
            except StoreError as error:
                raise IntegrityError(
                    f"no day of the lake was removed: which days {name} {version} needs is not known ({error}): "
                    "`aiops doctor` names the cure",
                    code="unknown_days",
                    name=name,
                    version=version,
                ) from error
            found.update(_days_of(record))
    return found


def _days_of(record: TrainingSetRecord) -> Iterator[StoredDay]:
    for day in record.days:
        for metric in day.metrics:
            # The record of an early release may not name the query: then the days of all its queries stay.
            promql = {**record.queries, **day.queries}.get(metric)
            query = query_digest(promql) if promql is not None else ANY_QUERY
            yield StoredDay(date.fromisoformat(day.day), metric, query)
            yield StoredDay(date.fromisoformat(day.day), metric + MEMBERS, ANY_QUERY)


def _is_needed(stored: StoredDay, needs: Set[StoredDay]) -> bool:
    return stored in needs or StoredDay(stored.day, stored.metric, ANY_QUERY) in needs
