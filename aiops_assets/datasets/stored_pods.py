"""The living pods of a lake, some of them read at a time: rows every five minutes of nine days would be half a gigabyte
of five thousand pods. Held are the minutes of the newest hour, and rows of days that are not closed yet.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import date
from functools import cached_property, partial

import numpy as np
import numpy.typing as npt
import pandas as pd

from aiops_assets.datasets.row_days import (
    ROW_SECONDS,
    ROWS_A_DAY,
    Instants,
    RowDays,
    held_rows,
    of_instants,
    row_instants,
    taken,
)
from aiops_assets.datasets.window import Window, pod_in
from aiops_assets.errors import EmptyDataError, SchemaError
from aiops_assets.storage.day_rows import DayRows, HeldRows, RowCopies
from aiops_assets.storage.lake import Lake
from aiops_assets.timeseries.catalog import ENGINE_METRICS, NETWORK_RECEIVE, MetricSpec
from aiops_assets.timeseries.pod_identity import pod_of
from aiops_assets.timeseries.pod_parts import part_of
from aiops_assets.timeseries.schema import combined_digest
from aiops_assets.timeseries.series import Floats, PodSeries, minute_grid
from aiops_assets.views.pod_history import (
    POD_VALUES,
    Column,
    PodHistory,
    empty_kind,
    is_row,
    lasting,
    member_mean,
    recent_begin,
)

OF_ROWS = (*ENGINE_METRICS, NETWORK_RECEIVE)
NODES = "nodes"
"""The one entity of a metric of nodes, whose rows are means over them."""


class StoredPods:
    """What :class:`~aiops_assets.views.pod_history.PodHistory` is of pods in memory.

    Attributes:
        pods: the pods, in order of name.
        times: instants of rows.
        until: the newest minute.
    """

    def __init__(
        self, lake: Lake, window: Window, pods: Sequence[str], until: pd.Timestamp, days: int, copies: RowCopies
    ) -> None:
        """Read the newest hour, and prepare to read the rest.

        Args:
            lake: the lake.
            window: its days.
            pods: the pods, in order of name.
            until: the newest minute.
            days: how many days of rows before it.
            copies: of the rows of closed days.

        Raises:
            EmptyDataError: a node metric without any series.
            SchemaError: a pod has two series of one metric.
        """
        self.pods, self.until = tuple(pods), until
        begin = until - pd.Timedelta(days=days)
        grid = minute_grid((begin + pd.Timedelta(minutes=1)).ceil("min"), until + pd.Timedelta(minutes=1))
        self.times, self._minutes = grid[is_row(grid)], grid[grid >= recent_begin(until)]
        self._place = {pod: i for i, pod in enumerate(self.pods)}
        self._lake, self._window = lake, window
        self._days: dict[str, dict[date, DayRows]] = {}
        self._recent: dict[str, Floats] = {}
        self._newest = (self._minutes[0].date(), self._minutes[-1].date())
        used: dict[tuple[str, date], str] = {}
        for metric in OF_ROWS:
            asked = window.asked[metric.name]
            if metric.per == "pod":
                reader = RowDays(lake, copies, metric.name, pod_of, used=used)
                self._read_pods(reader, metric, asked)
            else:
                reader = RowDays(lake, copies, f"{metric.name}-mean", lambda _: NODES, _mean, used)
                self._days[metric.name] = {day: reader.day(spec, day) for day, spec in asked.items()}
                self._recent[metric.name] = self._members(asked)
                if not any(rows.names for rows in self._days[metric.name].values()):
                    raise EmptyDataError(f"{metric.name}: no series up to {until} for {metric.promql}")
        copies.keep(used, window.days[0])
        self._last: dict[str, tuple[date, Floats]] = {}

    @property
    def rows(self) -> PodSeries:
        """Rows of all pods at once: of few pods."""
        return self._whole.rows

    @property
    def recent(self) -> PodSeries:
        """Minutes of the newest hour of all pods."""
        n, values = len(self.pods), dict(self._recent)
        return PodSeries(self._minutes, self.pods, values, empty_kind(n, len(self._minutes)))

    @property
    def begins(self) -> dict[str, pd.Timestamp]:
        """Pod -> its first row with a sample of its own."""
        return self._whole.begins

    @cached_property
    def rows_until(self) -> pd.Timestamp:
        """The newest instant of rows at which a pod has a sample of its own; the newest of all if none has."""
        there = np.zeros(len(self._minutes), dtype=bool)
        for name in POD_VALUES:
            there |= np.isfinite(self._recent[name]).any(axis=(0, 1))
        at = np.flatnonzero(there & is_row(self._minutes))
        return pd.Timestamp(self._minutes[at[-1]]) if len(at) else self._whole.rows_until

    def lasting(self, grace: pd.Timedelta) -> set[str]:
        """Pods with samples both before the last minutes and within them."""
        return lasting(self.recent, grace)

    @property
    def digest(self) -> str:
        """A digest of the pods and of the samples of the days that they are read of: 32 hex digits."""
        days = {day.day: day.digest for day in self._window.found}
        return combined_digest({**days, "pods": "\n".join(self.pods), "until": self.until.isoformat()})

    def of_pods(self, those: npt.NDArray[np.intp]) -> PodHistory:
        """Some of the pods, by their positions."""
        pods = tuple(self.pods[i] for i in those)
        parts: dict[int, list[int]] = {}
        for i, pod in enumerate(pods):
            parts.setdefault(part_of(pod), []).append(i)
        values = {}
        for metric in OF_ROWS:
            of_pods = metric.per == "pod"
            found = np.full((len(pods) if of_pods else 1, 1, len(self.times)), np.nan)
            for day, rows in self._days[metric.name].items():
                inside, of_day = self._slices(day)
                if inside.start >= inside.stop:
                    continue
                if not of_pods:
                    found[0, 0, inside] = rows.part(part_of(NODES))[0, of_day] if rows.names else np.nan
                    continue
                for part, at in parts.items():
                    there, array = taken(rows, part, [pods[i] for i in at])
                    found[np.array(at, dtype=np.intp)[there], 0, inside] = array[:, of_day]
            values[metric.name] = found
        recent = {metric.name: self._recent[metric.name] for metric in ENGINE_METRICS}
        recent |= {name: recent[name][those] for name in POD_VALUES}
        n = len(pods)
        return PodHistory(
            PodSeries(self.times, pods, values, empty_kind(n, len(self.times))),
            PodSeries(self._minutes, pods, recent, empty_kind(n, len(self._minutes))),
        )

    def column(self, name: str) -> Column:
        """Rows of a metric of all pods, read where it is indexed by a stretch of time."""
        return _OfAll(self, name)

    def rows_of_all(self, name: str, at: slice) -> Floats:
        """(n_pods, n) rows of a pod metric in a stretch of time, by positions in ``times``."""
        start, stop, _ = at.indices(len(self.times))
        found = np.full((len(self.pods), stop - start), np.nan)
        for day, rows in self._days[name].items():
            inside, of_day = self._slices(day)
            first, end = max(start, inside.start), min(stop, inside.stop)
            if first < end:
                shift = of_day.start - inside.start
                stretch = slice(first + shift, end + shift)
                held = isinstance(rows, HeldRows)
                part = self._stretch(rows, stretch) if held else self._day_of_all(name, day)[:, stretch]
                found[:, first - start : end - start] = part
        return found

    def _day_of_all(self, name: str, day: date) -> Floats:
        """(n_pods, 288) rows of a day, kept until another one is read: stretches of time are read in order."""
        if name not in self._last or self._last[name][0] != day:
            self._last[name] = day, self._stretch(self._days[name][day], slice(0, ROWS_A_DAY))
        return self._last[name][1]

    def _stretch(self, rows: DayRows, at: slice) -> Floats:
        """(n_pods, n) rows of a day in a stretch of time."""
        found = np.full((len(self.pods), at.stop - at.start), np.nan)
        for part, those in self._parts.items():
            there, array = taken(rows, part, [self.pods[i] for i in those])
            found[those[there]] = array[:, at]
        return found

    @cached_property
    def _parts(self) -> Mapping[int, npt.NDArray[np.intp]]:
        parts = np.array([part_of(pod) for pod in self.pods])
        return {int(part): np.flatnonzero(parts == part) for part in np.unique(parts)}

    @cached_property
    def _whole(self) -> PodHistory:
        return self.of_pods(np.arange(len(self.pods)))

    def _slices(self, day: date) -> tuple[slice, slice]:
        """Positions of a day's rows among ``times``, and in the day."""
        first = int((row_instants(day)[0] - self.times.as_unit("us").asi8[0]) // (1_000_000 * ROW_SECONDS))
        begin, end = max(first, 0), max(first, 0, min(first + ROWS_A_DAY, len(self.times)))
        return slice(begin, end), slice(begin - first, end - first)

    def _read_pods(self, reader: RowDays, metric: MetricSpec, asked: Mapping[date, MetricSpec]) -> None:
        """Days of a pod metric, and its minutes of the newest hour, for which the newest day is not read again."""
        days: dict[date, DayRows] = {}
        instants = self._minutes.as_unit("us").asi8
        minutes = np.full((len(self.pods), 1, len(instants)), np.nan)
        for day, spec in asked.items():
            if day not in self._newest:
                days[day] = self._of_all(reader, metric, spec, day)
                continue
            together = self._of_living(metric, spec, day, np.concatenate([row_instants(day), instants]))
            values = {part: array[:, :ROWS_A_DAY].copy() for part, array in together.values.items()}
            days[day] = HeldRows(together.names, values)
            for part, array in together.values.items():
                at = [self._place[pod] for pod in together.names[part]]
                late = array[:, ROWS_A_DAY:]
                minutes[at, 0] = np.where(np.isnan(late), minutes[at, 0], late)
        self._days[metric.name], self._recent[metric.name] = days, minutes

    def _of_all(self, reader: RowDays, metric: MetricSpec, asked: MetricSpec, day: date) -> DayRows:
        """The rows of a day; only those of living pods where the names of pods are uncertain."""
        if asked.promql not in metric.formerly:
            with suppress(ValueError):  # a pod has two series: as long as it does not live, that is no matter
                return reader.day(asked, day)
        return self._of_living(metric, asked, day, row_instants(day))

    def _of_living(self, metric: MetricSpec, asked: MetricSpec, day: date, instants: Instants) -> HeldRows:
        owner = partial(pod_in, self._window, self._place.keys(), metric, asked)
        blocks = self._lake.read_blocks(asked, day, lambda name: bool(owner(name)))
        try:
            return held_rows(blocks, instants, owner)
        except ValueError:
            raise SchemaError(
                f"{asked.name} {day}: two series for one pod; `aiops lake drop --wrong` removes series that do not "
                "belong to the metric",
                code="two_series_for_a_pod",
                metric=asked.name,
            ) from None

    def _members(self, asked: Mapping[date, MetricSpec]) -> Floats:
        """(1, n_nodes, n_minutes) of the newest hour."""
        instants = self._minutes.as_unit("us").asi8
        found: dict[str, Floats] = {}
        for day in sorted(set(self._newest) & asked.keys()):
            for block in self._lake.read_blocks(asked[day], day, lambda _: True):
                for name, row in zip(block.names, of_instants(block, instants), strict=True):
                    before = found.get(name, row)
                    found[name] = np.where(np.isnan(row), before, row)
        return np.stack(list(found.values()) or [np.full(len(instants), np.nan)])[np.newaxis]


class _OfAll:
    """A column of all pods, ``[:, start:stop]`` of which is read when it is asked for."""

    def __init__(self, pods: StoredPods, name: str) -> None:
        self._pods, self._name = pods, name

    def __getitem__(self, at: tuple[slice, slice]) -> Floats:
        return self._pods.rows_of_all(self._name, at[1])[at[0]]


def _mean(series: Floats) -> Floats:
    return member_mean(series[np.newaxis])[0]
