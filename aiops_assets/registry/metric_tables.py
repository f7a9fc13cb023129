"""The rows that a run stores of the metrics of one's own."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from aiops_assets.datasets.own_rows import Entity
from aiops_assets.learners.forecasters.plain import Ahead
from aiops_assets.registry.silence import Watched
from aiops_assets.storage.metric_state import MetricState
from aiops_assets.storage.scores import (
    AHEAD_COLUMNS,
    METRIC_COLUMNS,
    METRIC_NOT_FETCHED,
    METRIC_SERIES,
    METRIC_WITHOUT_VALUES,
    ScoresRun,
    no_rows,
)
from aiops_assets.timeseries.watch import OwnMetric

HOUR_SECONDS = 3600


@dataclass
class MetricTables:
    """Rows of all metrics of a run.

    Attributes:
        above_cap: number of series that are not scored because there are too many.
        counters: gauges that behave as counters.
        empty: metrics that have never had a value.
        watched: each metric after the run.
        parts, parts_ahead: of the tables.
    """

    above_cap: int = 0
    counters: tuple[str, ...] = ()
    empty: tuple[str, ...] = ()
    watched: list[Watched] = field(default_factory=list)
    parts: list[pd.DataFrame] = field(default_factory=list)
    parts_ahead: list[pd.DataFrame] = field(default_factory=list)

    def add(self, own: OwnMetric, rows: pd.DataFrame) -> None:
        """Add rows of a metric."""
        if len(rows):
            self.parts.append(rows.assign(metric=own.spec.name, unit=own.unit, severity=own.watch.severity))

    def add_ahead(self, rows: pd.DataFrame) -> None:
        """Add forecasts of a metric."""
        if len(rows):
            self.parts_ahead.append(rows)

    @property
    def scores(self) -> pd.DataFrame:
        """Rows of METRIC_COLUMNS."""
        return _together(self.parts, METRIC_COLUMNS)

    @property
    def ahead(self) -> pd.DataFrame:
        """Rows of AHEAD_COLUMNS."""
        return _together(self.parts_ahead, AHEAD_COLUMNS)

    @property
    def until(self) -> pd.Timestamp | None:
        """The newest instant of any metric; ``None``: there is no row."""
        return max((part["timestamp"].max() for part in self.parts), default=None)


NO_VALUE = "it has no value in the lake: its query yields none within lower and upper"


def with_metrics(run: ScoresRun, tables: MetricTables, not_fetched: Mapping[str, str]) -> ScoresRun:
    """A run with the rows of the metrics of one's own; ``not_fetched``: those without a usable answer, and why."""
    until = tables.until
    unwatched = {
        **(run.record.unwatched or {}),
        METRIC_SERIES: tables.above_cap,
        METRIC_NOT_FETCHED: len(not_fetched),
    }
    empty = {name: NO_VALUE for name in tables.empty if name not in not_fetched}
    unwatched[METRIC_WITHOUT_VALUES] = len(empty)
    update = {
        "metrics_until": until.to_pydatetime() if until is not None else None,
        "unwatched": unwatched,
        "metrics_not_scored": {**not_fetched, **empty},
    }
    return replace(run, record=run.record.model_copy(update=update), metrics=tables.scores, ahead=tables.ahead)


def shown_rows(own: OwnMetric, entities: Sequence[Entity], state: MetricState) -> pd.DataFrame:
    """Known rows of the newest hour, in order of series and time."""
    newest = np.flatnonzero(state.seconds > state.until - HOUR_SECONDS)
    which, at = np.nonzero(np.isfinite(state.shown["value"][:, newest]))
    at = newest[at]
    sides = {name: array[which, at] for name, array in state.shown.items()}
    frame = pd.DataFrame({"timestamp": _times(state.seconds[at]), **sides})
    return frame.assign(alert=sides["alert"] == 1, **_texts(entities, which))


def ahead_rows(
    own: OwnMetric, entities: Sequence[Entity], until: int, horizons: Sequence[int], ahead: Ahead
) -> pd.DataFrame:
    """Forecasts of all series that have one, in order of series and horizon."""
    which, at = np.nonzero(np.isfinite(ahead.value))
    sides = {name: getattr(ahead, name)[which, at] for name in ("value", "lower", "upper")}
    if own.counter or own.spec.lower is not None:
        least = 0.0 if own.counter else float(own.spec.lower or 0.0)
        sides = {name: np.maximum(one, least) for name, one in sides.items()}
    if not own.counter and own.spec.upper is not None:
        sides = {name: np.minimum(one, own.spec.upper) for name, one in sides.items()}
    frame = pd.DataFrame({"timestamp": _times(np.full(len(which), until)), **sides, **_texts(entities, which)})
    seconds = np.array(horizons, dtype=np.int64)[at]
    return frame.assign(metric=own.spec.name, unit=own.unit, horizon_seconds=seconds)


def _times(seconds: "np.ndarray") -> pd.DatetimeIndex:
    return pd.DatetimeIndex(pd.to_datetime(seconds, unit="s", utc=True)).as_unit("us")


def _texts(entities: Sequence[Entity], which: "np.ndarray") -> dict[str, list[str]]:
    labels = [json.dumps(one.labels, sort_keys=True, ensure_ascii=False) for one in entities]
    return {"labels": [labels[i] for i in which], "entity": [entities[i].name for i in which]}


def _together(parts: Sequence[pd.DataFrame], columns: tuple[str, ...]) -> pd.DataFrame:
    return pd.concat(parts, ignore_index=True)[list(columns)] if parts else no_rows(columns)
