"""A look at drift: the newest 24 hours of the lake beside the days that the champions were trained on.

Of each metric there is one line for the whole cluster: the mean over its pods or nodes at an instant, so that pods that
come and go under new names do not look like a drift. It is read from the lake on both sides, of all series, because a
training set holds only the pods that were drawn for it. Generated rows are not compared: they are another cluster each
day, by design.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd

from aiops_assets.errors import IntegrityError, NotFoundError, StoreError
from aiops_assets.families.contract import ModelSpec
from aiops_assets.storage.drift import DriftReport, DriftStore, MetricFigures
from aiops_assets.storage.lake import Lake
from aiops_assets.storage.lake_files import readable_days
from aiops_assets.storage.served import ServedModels
from aiops_assets.storage.training_sets import TrainingSets
from aiops_assets.timeseries.catalog import COARSE_STEP_SECONDS, MetricSpec
from aiops_assets.timeseries.day_drift import day_drift
from aiops_assets.timeseries.drift_profile import MIN_DAYS, Integers, Profile, profile_of
from aiops_assets.timeseries.series import Floats
from aiops_assets.views.catalog import VIEWS

DAY = timedelta(days=1)
AGAIN_AFTER = timedelta(minutes=55)
"""Looks are an hour apart: each reads two days of all series, and windows of a day hardly differ in less time."""


@dataclass(frozen=True)
class Trained:
    """A metric in the days that champions were trained on.

    Attributes:
        metric: the metric.
        days: UTC day -> digest of its samples when it was trained on.
        models: names of these champions.
    """

    metric: MetricSpec
    days: Mapping[date, str]
    models: tuple[str, ...]

    @property
    def key(self) -> str:
        """Name of its profile: 32 hex digits that depend on the query and the days."""
        text = "\n".join([self.metric.name, self.metric.promql, *(f"{day} {self.days[day]}" for day in self.days)])
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


class Looks:
    """Looks at one cluster.

    Args:
        lake: days of metrics.
        sets: training sets, for the days that champions were trained on.
        served: champion records.
        store: where report and profiles are kept.
        specs: the models whose champions count.
    """

    def __init__(
        self, lake: Lake, sets: TrainingSets, served: ServedModels, store: DriftStore, specs: Sequence[ModelSpec]
    ) -> None:
        self.lake = lake
        self.sets = sets
        self.served = served
        self.store = store
        self.specs = specs

    def newest(self, now: datetime) -> DriftReport:
        """The report of a look now, or the one of the last hour if the champions are still the same.

        Raises:
            StoreError: champion records or the lake cannot be read at all.
        """
        champions = self._champions()
        before = self.store.newest()
        if before and before.champions == champions and timedelta(0) <= now - before.when < AGAIN_AFTER:
            return before
        report = self._look(champions, now, before if before and before.champions == champions else None)
        self.store.put(report)
        return report

    def _champions(self) -> dict[str, str]:
        """Model -> data version, of the champions that were trained on fetched days."""
        found = {spec.name: self.served.champion(spec.name) for spec in self.specs}
        return {
            name: record.champion.data_version
            for name, record in found.items()
            if record and record.champion.effective_source != "synthetic"
        }

    def _look(self, champions: Mapping[str, str], now: datetime, before: DriftReport | None) -> DriftReport:
        trained, not_judged = self._trained(champions)
        profiles = {}
        for one in trained:
            if profile := self._profile(one):
                profiles[one.key] = profile
            else:
                not_judged[one.metric.name] = f"fewer than {MIN_DAYS} days of training are left in the lake"
        self.store.keep_profiles({one.key for one in trained})
        figures, lingers = [], False
        for one in trained:
            if profile := profiles.get(one.key):
                days = [now.astimezone(UTC).date() - DAY, now.astimezone(UTC).date()]
                seconds, values = line(self.lake, one.metric, days, now - DAY, now)
                if drift := day_drift(profile, seconds, values, len(profiles)):
                    lingers |= drift.lingers
                    figures.append(
                        MetricFigures(
                            metric=one.metric.name,
                            models=one.models,
                            psi=drift.psi,
                            ks=drift.ks,
                            shift=drift.shift,
                            width=drift.width,
                            strength=drift.strength,
                            coverage=drift.coverage,
                            drifted=drift.drifted,
                        )
                    )
                else:
                    not_judged[one.metric.name] = "less than half of the newest day can be compared with training"
        since, seen = episode(any(one.drifted for one in figures), lingers, now, before)
        return DriftReport(
            when=now,
            champions=dict(champions),
            metrics=tuple(figures),
            not_judged=not_judged,
            since=since,
            seen=seen,
        )

    def _trained(self, champions: Mapping[str, str]) -> tuple[list[Trained], dict[str, str]]:
        """Each metric with the days that champions were trained on, and why others cannot be compared."""
        found: dict[str, Trained] = {}
        not_judged = {}
        for spec in self.specs:
            if spec.name not in champions:
                continue
            try:
                record = self.sets.record(spec.view, champions[spec.name])
            except (NotFoundError, IntegrityError) as error:
                not_judged[spec.name] = str(error)
                continue
            for metric in VIEWS[spec.view].metrics:
                query = self.lake.query_of(metric)
                if record.queries.get(metric.name, query) != query:
                    not_judged[metric.name] = "its query is another one than when the champion was trained"
                    continue
                days = {
                    date.fromisoformat(day.day): day.metrics[metric.name]
                    for day in sorted(record.days, key=lambda day: day.day)
                    if metric.name in day.metrics  # not a generated day of a blend
                }
                one = Trained(metric, days, (spec.name,))
                known = found.get(one.key, Trained(metric, days, ()))
                found[one.key] = Trained(metric, days, (*known.models, spec.name))
        return list(found.values()), not_judged

    def _profile(self, trained: Trained) -> Profile | None:
        if known := self.store.profile(trained.key):
            return known
        if not trained.days:
            return None
        begin = datetime.combine(min(trained.days), datetime.min.time(), UTC)
        until = datetime.combine(max(trained.days), datetime.min.time(), UTC) + DAY
        profile = profile_of(*line(self.lake, trained.metric, trained.days, begin, until), COARSE_STEP_SECONDS)
        if profile:
            self.store.put_profile(trained.key, profile)
        return profile


def episode(
    drifted: bool, lingers: bool, now: datetime, before: DriftReport | None
) -> tuple[datetime | None, datetime | None]:
    """Begin of the drift that there is now, and when it was last seen; it ends after a day in which it was not.

    Args:
        drifted: whether any metric has drifted now.
        lingers: whether any is near enough to its limit for a drift that has begun to go on.
        now: time of the look.
        before: the report of the look before, of the same champions.
    """
    since, seen = (before.since, before.seen) if before else (None, None)
    if seen is None or now - seen > DAY:
        since, seen = None, None
    if drifted or (since and lingers):
        return since or now, now
    return since, seen


def line(
    lake: Lake, metric: MetricSpec, days: Iterable[date], after: datetime, until: datetime
) -> tuple[Integers, Floats]:
    """One line of a metric for the whole cluster, on a grid of five minutes; days that cannot be read are missing.

    The mean over all series with a sample at an instant, then over the five minutes. Of counters, by how much all
    series together rose in these minutes.

    Args:
        lake: the lake.
        metric: the metric.
        days: which of its days are read, one at a time.
        after, until: the samples in [after, until) are used.

    Returns:
        (n,) Unix time and (n,) values in the metric's unit.
    """
    seconds, values = [np.empty(0, np.int64)], [np.empty(0)]
    stored = readable_days(lake, metric)
    for day in days:
        try:
            wide = lake.read_day(stored.get(day, metric), day)[0]
        except StoreError:
            continue
        wide = wide[(wide.index >= pd.Timestamp(after)) & (wide.index < pd.Timestamp(until))]
        if wide.empty:
            continue
        at, found = _of_all(wide, metric)
        seconds.append(at)
        values.append(found)
    return np.concatenate(seconds), np.concatenate(values)


def _of_all(wide: pd.DataFrame, metric: MetricSpec) -> tuple[Integers, Floats]:
    array = wide.to_numpy(dtype=np.float64)
    at = pd.DatetimeIndex(wide.index).as_unit("s").asi8 // COARSE_STEP_SECONDS * COARSE_STEP_SECONDS
    if metric.cumulative:
        rose = np.diff(array, axis=0, prepend=array[:1])
        found = np.where(np.isfinite(rose), np.maximum(rose, 0.0), 0.0).sum(axis=1)
    else:
        there = np.isfinite(array)
        found = np.where(there, array, 0.0).sum(axis=1) / np.maximum(there.sum(axis=1), 1)
    bins, position = np.unique(at, return_inverse=True)
    total = np.asarray(np.bincount(position, weights=found), dtype=np.float64)
    return bins, total if metric.cumulative else total / np.bincount(position)
