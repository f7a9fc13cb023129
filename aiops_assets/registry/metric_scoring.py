"""Scores of the metrics of one's own: an expected band for each series, alerts as its entry wants them, and forecasts.

Each run goes on from the state of the run before, and only rows that are new are read and judged. Without a state the
band is learnt from the days that the lake holds.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from aiops_assets.datasets.own_rows import Entity, OwnRows, entity_of, first_day, read_rows
from aiops_assets.learners.bands.expected import Band, Learned, RunningBand
from aiops_assets.learners.bands.options import BandOptions
from aiops_assets.learners.bands.state import BandState
from aiops_assets.learners.contracts import Flags
from aiops_assets.learners.detectors.counters import counters_of, increases
from aiops_assets.learners.forecasters.plain import forecast_ahead
from aiops_assets.learners.silence.stillness import Stillness
from aiops_assets.registry.metric_tables import MetricTables, ahead_rows, shown_rows
from aiops_assets.registry.silence import Watched
from aiops_assets.storage.lake import Lake
from aiops_assets.storage.metric_state import SHOWN, MetricState, MetricStates
from aiops_assets.timeseries.catalog import COARSE_STEP_SECONDS
from aiops_assets.timeseries.local_time import Integers
from aiops_assets.timeseries.series import DAY_SECONDS, Floats
from aiops_assets.timeseries.watch import OwnMetric

HOUR_SECONDS = 3600
FORGOTTEN_SECONDS = 14 * DAY_SECONDS
"""A series without a value for so long is forgotten."""
HISTORY_DAYS = 14
HORIZONS = {"5m": 300, "1h": HOUR_SECONDS, "24h": DAY_SECONDS}
ROWS_OF_ALERT = 3
"""An alert needs two of so many rows outside the band: a single one is a blip."""


@dataclass(frozen=True)
class _Work:
    """One metric in a run.

    Attributes:
        own: the metric.
        before: its state, for the series below; one of new series where there was none.
        entities: of the series.
        rows: new rows of these series.
        values: (n, n_rows) what is scored of them.
    """

    own: OwnMetric
    before: MetricState
    entities: tuple[Entity, ...]
    rows: OwnRows
    values: Floats


def score_metrics(
    metrics: Sequence[OwnMetric],
    lake: Lake,
    states: MetricStates,
    now: datetime,
    workloads: Mapping[str, str],
    series_max: int,
) -> MetricTables:
    """Judge what is new of all metrics.

    Args:
        metrics: those of METRICS_FILE, as they are queried.
        lake: what was fetched of them.
        states: what the runs before have kept; updated.
        now: present time, with time zone.
        workloads: pod (``namespace/name``) -> ``kind/name`` of its workload.
        series_max: most series of all metrics together; known ones first.

    Raises:
        StoreError: the lake or a state cannot be read or written at all.
    """
    works: list[_Work] = []
    above_cap = 0
    room = series_max
    for own in metrics:
        work, left_out = _prepared(own, lake, states, now, workloads, room)
        above_cap += left_out
        if work:
            works.append(work)
            room -= len(work.entities)
    known = {work.own.spec.name for work in works}
    tables = MetricTables(
        above_cap=above_cap,
        counters=tuple(one.own.spec.name for one in works if _is_told(one)),
        empty=tuple(own.spec.name for own in metrics if own.spec.name not in known),
    )
    for work, (learned, band) in zip(works, _learned(works), strict=True):
        state = replace(_judged(work, learned), band=band)
        states.write(work.own.spec.name, state)
        tables.watched.append(Watched(work.own, work.entities, state))
        tables.add(work.own, shown_rows(work.own, work.entities, state))
        if work.own.forecast:
            step = max(work.own.spec.step_seconds, COARSE_STEP_SECONDS)
            ahead = forecast_ahead(state.history.astype(np.float64), step, tuple(HORIZONS.values()))
            tables.add_ahead(ahead_rows(work.own, work.entities, state.until, tuple(HORIZONS.values()), ahead))
    return tables


def _is_told(work: _Work) -> bool:
    return work.before.looks_like_counter and not work.own.counter


def _prepared(
    own: OwnMetric, lake: Lake, states: MetricStates, now: datetime, workloads: Mapping[str, str], room: int
) -> tuple[_Work | None, int]:
    """A metric with its new rows, and how many of its series there is no room for."""
    spec, identity = own.spec, _identity(own, lake)
    before = states.read(spec.name)
    since = first_day(lake, spec, now)
    if before and (before.identity != identity or before.until > now.timestamp() or _earlier(since, before.since)):
        before = None  # of another query, of a clock that was wrong, or of fewer days than there are by now
    rows = read_rows(lake, spec, before.until if before else None, now)
    if before is None and not len(rows.seconds):
        return None, 0
    before = before or _nothing(identity, since, int(rows.seconds[0]) - spec.step_seconds)
    until = int(rows.seconds[-1]) if len(rows.seconds) else before.until
    known = [
        name
        for name, seen in zip(before.series, before.seen, strict=True)
        if seen > until - FORGOTTEN_SECONDS or name in rows.series
    ]
    names = [*known, *sorted(set(rows.series) - set(known))]
    entities = {name: entity_of(spec, name, workloads) for name in names}
    names = [name for name in names if not own.watch.excludes(entities[name].labels)]
    kept = names[: max(room, 0)]
    place = {name: i for i, name in enumerate(rows.series)}
    values = np.full((len(kept), len(rows.seconds)), np.nan)
    there = [i for i, name in enumerate(kept) if name in place]
    values[there] = rows.values[[place[kept[i]] for i in there]]
    state = _of_series(before, kept)
    scored = _increase(state.raw, values, spec.step_seconds) if own.counter else values
    if not own.counter and before.band.clock[0] < 0:
        state = replace(state, looks_like_counter=any(counters_of([one[:, np.newaxis]])[0] for one in values))
    rows = replace(rows, series=tuple(kept), values=values)
    return _Work(own, state, tuple(entities[name] for name in kept), rows, scored), len(names) - len(kept)


def _earlier(day: str, than: str) -> bool:
    return bool(day) and bool(than) and day < than


def _identity(own: OwnMetric, lake: Lake) -> str:
    """What a state depends on: not what matters to people, so that they may change their mind."""
    holidays = sorted(day.isoformat() for day in own.watch.holidays)
    learnt = own.spec.step_seconds, own.counter, own.forecast, own.watch.time_zone, holidays
    return repr((lake.query_of(own.spec), *learnt))


def _nothing(identity: str, since: str, until: int) -> MetricState:
    none = np.zeros((0, 0))
    return MetricState(
        identity=identity,
        since=since,
        until=until,
        series=(),
        looks_like_counter=False,
        band=BandState.new(0),
        seen=np.zeros(0),
        raw=np.zeros(0),
        stillness=np.zeros((0, 3)),
        seconds=np.zeros(0, dtype=np.int64),
        shown=dict.fromkeys(SHOWN, none),
        history=none,
    )


def _of_series(state: MetricState, names: Sequence[str]) -> MetricState:
    """The state of some series, in that order; new ones begin anew."""
    place = {name: i for i, name in enumerate(state.series)}
    which = np.array([place.get(name, -1) for name in names], dtype=np.int64)

    def taken(array: Floats, unknown: float) -> Floats:
        result = np.full((len(which), *array.shape[1:]), unknown)
        result[which >= 0] = array[which[which >= 0]]
        return result

    return replace(
        state,
        series=tuple(names),
        band=state.band.of_series(which.tolist()),
        seen=taken(state.seen, -np.inf),
        raw=taken(state.raw, np.nan),
        stillness=taken(state.stillness, 0.0),
        shown={name: taken(array, np.nan) for name, array in state.shown.items()},
        history=taken(state.history, np.nan),
    )


def _increase(raw: Floats, values: Floats, step_seconds: int) -> Floats:
    """Increase per second of counters since the row before; ``raw`` is what they were before the first row."""
    whole = np.concatenate([raw[:, np.newaxis], values], axis=1)
    change = increases(whole.T, np.ones(len(whole), dtype=bool)).T if len(whole) else whole
    return np.asarray(change[:, 1:] / step_seconds, dtype=np.float64)


def _learned(works: Sequence[_Work]) -> list[tuple[Learned, BandState]]:
    """What is expected of each metric's rows, and the band after them.

    Metrics on one clock learn together, which takes as long for many as for one.
    """
    groups: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for i, work in enumerate(works):
        watch, seconds, band = work.own.watch, work.rows.seconds, work.before.band
        newest = int(seconds[-1]) if len(seconds) else 0
        begin = work.before.until if band.clock[0] >= 0 else None
        clock = band.clock.tobytes() + band.weekdays.tobytes()
        groups[(work.own.spec.step_seconds, watch.time_zone, watch.holidays, newest, begin, clock)].append(i)
    found: dict[int, tuple[Learned, BandState]] = {}
    for members in groups.values():
        found |= dict(zip(members, _learned_together([works[i] for i in members]), strict=True))
    return [found[i] for i in range(len(works))]


def _learned_together(works: Sequence[_Work]) -> Iterator[tuple[Learned, BandState]]:
    seconds = max((work.rows.seconds for work in works), key=len)
    values = np.concatenate([_aligned(work.values, len(seconds)) for work in works])
    own = works[0].own
    running = RunningBand(
        BandState.joined([work.before.band for work in works]),
        own.spec.step_seconds,
        own.watch.time_zone,
        own.watch.holidays,
    )
    learned = running.learn(seconds, values)
    first = 0
    for work in works:
        n, rows = work.values.shape
        which = slice(first, first + n), slice(len(seconds) - rows, None)
        part = Learned(learned.expected[which], learned.above[which], learned.below[which])
        yield part, running.state.of_series(range(first, first + n))
        first += n


def _aligned(values: Floats, rows: int) -> Floats:
    """Values with unknown rows before them, so that there are so many."""
    return np.concatenate([np.full((len(values), rows - values.shape[1]), np.nan), values], axis=1)


def _judged(work: _Work, learned: Learned) -> MetricState:
    """The state after the new rows, with the alerts of the newest hour."""
    own, before, rows = work.own, work.before, work.rows
    lower, upper = (None, None) if own.counter else (own.spec.lower, own.spec.upper)
    if own.counter:
        lower = 0.0
    options = BandOptions(
        own.spec.step_seconds,
        own.watch.direction,
        own.watch.min_deviation,
        own.watch.min_deviation_ratio,
        lower,
        upper,
        own.watch.time_zone,
        own.watch.holidays,
    )
    band = learned.band(work.values, options)
    until = int(rows.seconds[-1]) if len(rows.seconds) else before.until
    seconds = np.concatenate([before.seconds, rows.seconds])
    shown = {name: np.concatenate([before.shown[name], one], axis=1) for name, one in _sides(work, band).items()}
    shown["alert"] = _alerts(own, seconds, shown["score"]).astype(np.float64)
    kept = np.flatnonzero(seconds > until - HOUR_SECONDS - ROWS_OF_ALERT * own.spec.step_seconds)
    return replace(
        before,
        until=until,
        seen=_newest(before.seen, work.values, np.broadcast_to(rows.seconds.astype(np.float64), work.values.shape)),
        raw=_newest(before.raw, rows.values, rows.values),
        stillness=_stillness(before, rows.values),
        seconds=seconds[kept],
        shown={name: array[:, kept] for name, array in shown.items()},
        history=_history(own, before, rows.seconds, work.values) if own.forecast else np.zeros((len(before.series), 0)),
    )


def _sides(work: _Work, band: Band) -> dict[str, Floats]:
    sides = {"value": work.values, "score": band.score, "expected": band.expected}
    return {**sides, "lower": band.lower, "upper": band.upper, "alert": np.full(work.values.shape, np.nan)}


def _alerts(own: OwnMetric, seconds: Integers, score: Floats) -> Flags:
    """(n, n_rows) whether a row is an alert: outside the band as is one of the two before, at a time that counts."""
    outside = np.nan_to_num(score) > 1
    before = np.zeros_like(outside)
    for back in range(1, ROWS_OF_ALERT):
        before[:, back:] |= outside[:, :-back]
    return np.asarray(outside & before & own.watch.judged(seconds))


def _stillness(before: MetricState, values: Floats) -> Floats:
    after = Stillness(*before.stillness.T).after(before.raw, values)
    return np.stack([after.still, after.longest, after.changes], axis=1)


def _newest(before: Floats, known: Floats, values: Floats) -> Floats:
    """(n,) the newest of ``values`` where ``known`` is a number; what was before where none is."""
    if not known.shape[1]:
        return before
    there = np.isfinite(known)
    last = known.shape[1] - 1 - there[:, ::-1].argmax(axis=1)
    return np.where(there.any(axis=1), values[np.arange(len(values)), last], before)


def _history(own: OwnMetric, before: MetricState, seconds: Integers, values: Floats) -> Floats:
    """The rows that forecasts read: at most one every five minutes, of the newest two weeks."""
    every = max(own.spec.step_seconds, COARSE_STEP_SECONDS)
    rows = HISTORY_DAYS * DAY_SECONDS // every
    old = before.history if before.history.shape[1] else np.zeros((len(values), 0))
    whole = np.concatenate([old, values[:, seconds % every == 0]], axis=1)
    return np.asarray(whole[:, -rows:], dtype=np.float64)
