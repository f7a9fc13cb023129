"""Scores of pods by a detector that goes on where the run before ended, from a memory that may be missing or wrong.

A pod's scores depend on its rows since its *begin* alone: the first one with a sample after an instant 8 to 9 days ago
that moves on once a day, for each pod at a time of day of its own. So scores are a function of what the lake holds, and
of nothing that happened between: a run without a memory, or with one of yesterday, finds the same ones.

A pod's memory is used if the same version by the same code made it, if the pod has the same begin, and if the rows that
it was made of are those of the lake still, by their digest. Else the pod is scored from its begin on.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from aiops_assets.learners.contracts import Flags
from aiops_assets.learners.detectors.deviation_detector import DeviationDetector
from aiops_assets.learners.detectors.running_scores import Memory, Newest, Positions, newest_scores
from aiops_assets.storage.pod_memory import PodMemories, PodMemory
from aiops_assets.timeseries.pod_parts import PARTS, number_of, part_of
from aiops_assets.timeseries.schema import DIGEST_BYTES
from aiops_assets.timeseries.series import DAY_SECONDS, Floats
from aiops_assets.views.pod_history import NEWEST, STEP, PodHistory
from aiops_assets.views.pod_series import VALUES

SLOTS_A_DAY = 9 * PARTS
"""At so many times of day begins move: each five minutes those of a ninth of the pods of a part, which are scored from
their begins on. Together they take a third of the time that as many pods of several parts do."""
FULL_AT_ONCE = 12
"""So many pods, more or less, are scored from their begin on at a time: some 150 MB."""
REPORTED = int(NEWEST / STEP)
BEGIN, ROWS = "begin", "rows_digest"
RESULTS = ("newest_score", "newest_now", "newest_alert", "newest_parts")


@dataclass(frozen=True)
class PodResults:
    """Scores of the newest hour.

    Attributes:
        score, now: (n_pods, 12), NaN before a pod's begin.
        alert: (n_pods, 12).
        contributions: (n_pods, 12, n_columns).
        resumed: (n_pods,) whether a memory was used.
    """

    score: Floats
    now: Floats
    alert: Flags
    contributions: Floats
    resumed: Flags


def begins_of(history: PodHistory, days: int) -> Positions:
    """(n_pods,) the row at which each pod begins: its first one with a sample after its instant of ``days`` ago."""
    slot = DAY_SECONDS * 1_000_000 // SLOTS_A_DAY
    latest = int(history.rows.times[-1].value // 1000) - days * DAY_SECONDS * 1_000_000
    slots_a_part = SLOTS_A_DAY // PARTS
    slots = [part_of(pod) * slots_a_part + number_of(pod) // PARTS % slots_a_part for pod in history.pods]
    phases = np.array(slots, dtype=np.int64) * slot
    anchors = latest - (latest - phases) % (DAY_SECONDS * 1_000_000)
    first = np.searchsorted(history.rows.times.as_unit("us").asi8, anchors)
    there = history.own_samples & (np.arange(len(history.rows.times)) >= first[:, np.newaxis])
    return np.where(there.any(axis=1), there.argmax(axis=1), len(history.rows.times)).astype(np.int64)


class RunningPods:
    """Scores by one version of a detector.

    Args:
        detector: the fitted detector, for which :func:`running_scores.can_run` holds.
        model: its name.
        of: what a memory has to be made by.
        memories: the files; ``None``: nothing is kept.
        days: days that are read before a row is scored.
    """

    def __init__(
        self, detector: DeviationDetector, model: str, of: Mapping[str, str], memories: PodMemories | None, days: int
    ) -> None:
        self._detector, self._model, self._of, self._memories, self._days = detector, model, dict(of), memories, days

    def scores(self, history: PodHistory) -> PodResults:
        """Scores of the newest hour of some pods: all pods of each file that one of them is in."""
        begins = begins_of(history, self._days)
        times = history.rows.times.as_unit("us").asi8
        parts = np.array([part_of(pod) for pod in history.pods])
        known = _Known(self._read(np.unique(parts).tolist()), times, len(history.pods))
        digests = _Digests(history, begins)
        place = {pod: i for i, pod in enumerate(history.pods)}
        known.fill(place, begins, digests)
        state, results = self._scored(history, begins, known)
        self._write(history, begins, parts, digests, state, results)
        score, now, alert, contributions = (results[name] for name in RESULTS)
        return PodResults(score, now, alert, contributions, known.first > 0)

    def _read(self, parts: Sequence[int]) -> list[PodMemory]:
        if self._memories is None:
            return []
        found = [self._memories.read(self._model, part) for part in parts]
        return [memory for memory in found if memory and memory.of == self._of]

    def _scored(
        self, history: PodHistory, begins: Positions, known: "_Known"
    ) -> tuple[dict[str, npt.NDArray[Any]], dict[str, npt.NDArray[Any]]]:
        """What is kept of all pods after the newest row, and their results of the newest hour."""
        n_rows = len(history.rows.times)
        groups: list[npt.NDArray[np.intp]] = []
        for first in np.unique(known.first):
            those = np.flatnonzero(known.first == first)
            n = -(-len(those) // FULL_AT_ONCE) if first == 0 else 1
            groups += np.array_split(those, n)
        states, results = [], []
        for those in groups:
            first = int(known.first[those[0]])
            memory = Memory.of(known.arrays(those)) if first else None
            before = known.results(those) if first else None
            if first < n_rows:
                since = first if first else int(min(begins[those].min(), n_rows - 1))
                newest, memory = newest_scores(self._detector, _Rows(history, those), begins[those], since, memory)
                before = _newest_of(before, newest, REPORTED)
            assert memory is not None
            assert before is not None
            states.append(memory.arrays())
            results.append(before)
        order = np.argsort(np.concatenate(groups), kind="stable")
        return _joined(states, order), _joined(results, order)

    def _write(
        self,
        history: PodHistory,
        begins: Positions,
        parts: npt.NDArray[np.int64],
        digests: "_Digests",
        state: Mapping[str, npt.NDArray[Any]],
        results: Mapping[str, npt.NDArray[Any]],
    ) -> None:
        if self._memories is None:
            return
        times = history.rows.times.as_unit("us").asi8
        every = {**state, **results, BEGIN: times[np.minimum(begins, len(times) - 1)], ROWS: digests.until(len(times))}
        for part in np.unique(parts):
            those = np.flatnonzero((parts == part) & (begins < len(times)))
            pods = tuple(history.pods[i] for i in those)
            arrays = {name: array[those] for name, array in every.items()}
            self._memories.write(self._model, int(part), PodMemory(self._of, int(times[-1]), pods, arrays))


class _Known:
    """Memories of pods that may be used; ``first`` (n_pods,) is the row after each, 0 without one."""

    def __init__(self, memories: Sequence[PodMemory], times: npt.NDArray[np.int64], n_pods: int) -> None:
        self._memories, self._times = memories, times
        self.first = np.zeros(n_pods, dtype=np.int64)
        self._memory, self._row = np.zeros((2, n_pods), dtype=np.int64)

    def fill(self, place: Mapping[str, int], begins: Positions, digests: "_Digests") -> None:
        """Find the memories that fit the rows of the lake."""
        for number, memory in enumerate(self._memories):
            first = int(np.searchsorted(self._times, memory.until, side="right"))
            if not first or self._times[first - 1] != memory.until or not {BEGIN, ROWS, *RESULTS} <= set(memory.arrays):
                continue
            for row, pod in enumerate(memory.pods):
                i = place.get(pod, -1)
                if i < 0 or begins[i] >= first or self._times[begins[i]] != memory.arrays[BEGIN][row]:
                    continue
                if (digests.of(i, first) == memory.arrays[ROWS][row]).all():
                    self.first[i], self._memory[i], self._row[i] = first, number, row

    def arrays(self, those: npt.NDArray[np.intp]) -> dict[str, npt.NDArray[Any]]:
        """Arrays of the memories of some pods, which have one."""
        numbers = self._memory[those]
        places = [np.flatnonzero(numbers == number) for number in np.unique(numbers)]
        parts = []
        for at in places:
            kept = self._memories[int(numbers[at[0]])].arrays
            parts.append({name: array[self._row[those[at]]] for name, array in kept.items()})
        return _joined(parts, np.argsort(np.concatenate(places), kind="stable"))

    def results(self, those: npt.NDArray[np.intp]) -> dict[str, npt.NDArray[Any]]:
        """The results that stand in them."""
        arrays = self.arrays(those)
        return {name: arrays[name] for name in RESULTS}


class _Digests:
    """Digests of the rows of pods from their begins on."""

    def __init__(self, history: PodHistory, begins: Positions) -> None:
        self._history, self._begins = history, begins
        self._own = [name for name in VALUES if len(history.rows.values[name]) == len(history.pods) > 1]
        self._shared = [name for name in VALUES if name not in self._own]
        self._of_shared: dict[tuple[int, int], bytes] = {}

    def of(self, pod: int, end: int) -> npt.NDArray[np.uint8]:
        """(16,) of a pod's rows up to row ``end``."""
        begin = int(self._begins[pod])
        digest = hashlib.blake2b(self._shared_rows(begin, end), digest_size=DIGEST_BYTES)
        for name in self._own:
            digest.update(np.ascontiguousarray(self._history.rows.values[name][pod, 0, begin:end]).data)
        return np.frombuffer(digest.digest(), dtype=np.uint8)

    def until(self, end: int) -> npt.NDArray[np.uint8]:
        """(n_pods, 16) of all pods."""
        return np.stack([self.of(i, end) for i in range(len(self._begins))])

    def _shared_rows(self, begin: int, end: int) -> bytes:
        if (begin, end) not in self._of_shared:
            digest = hashlib.blake2b(f"{end - begin}".encode(), digest_size=DIGEST_BYTES)
            for name in self._shared:
                digest.update(np.ascontiguousarray(self._history.rows.values[name][0, 0, begin:end]).data)
            self._of_shared[begin, end] = digest.digest()
        return self._of_shared[begin, end]


@dataclass(frozen=True)
class _Rows:
    """Raw rows of some pods, made when they are asked for."""

    history: PodHistory
    those: npt.NDArray[np.intp]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of rows, pods and metrics."""
        return len(self.history.rows.times), len(self.those), len(VALUES)

    def part(self, start: int, stop: int) -> Floats:
        """(stop - start, n_pods, n_metrics) rows from ``start`` to before ``stop``."""
        values = np.empty((stop - start, len(self.those), len(VALUES)))
        for i, name in enumerate(VALUES):
            array = self.history.rows.values[name]
            own = len(array) > 1 or len(self.history.pods) == 1
            values[..., i] = array[self.those if own else [0], 0, start:stop].T
        return values


def _newest_of(before: Mapping[str, npt.NDArray[Any]] | None, newest: Newest, rows: int) -> dict[str, npt.NDArray[Any]]:
    """The last rows of results, those before and those that are new."""
    new = {
        "newest_score": newest.score.T,
        "newest_now": newest.now.T,
        "newest_alert": newest.alert.T,
        "newest_parts": newest.contributions.swapaxes(0, 1),
    }
    missing = {"newest_score": np.nan, "newest_now": np.nan, "newest_alert": False, "newest_parts": 0.0}
    result = {}
    for name, array in new.items():
        old = (
            before[name] if before else np.full((len(array), rows, *array.shape[2:]), missing[name], dtype=array.dtype)
        )
        result[name] = np.concatenate([old, array], axis=1)[:, -rows:]
    return result


def _joined(
    parts: Sequence[Mapping[str, npt.NDArray[Any]]], order: npt.NDArray[np.intp]
) -> dict[str, npt.NDArray[Any]]:
    """Arrays one after the other, then in order; where one is narrower, its oldest are missing."""
    found: dict[str, npt.NDArray[Any]] = {}
    for name in parts[0]:
        arrays = [part[name] for part in parts]
        if arrays[0].ndim > 1:
            width = max(array.shape[1] for array in arrays)
            arrays = [_widened(array, width) for array in arrays]
        found[name] = np.concatenate(arrays)[order]
    return found


def _widened(array: npt.NDArray[Any], width: int) -> npt.NDArray[Any]:
    if array.shape[1] == width:
        return array
    fill = np.nan if array.dtype.kind == "f" else 1
    more = np.full((len(array), width - array.shape[1], *array.shape[2:]), fill, dtype=array.dtype)
    return np.concatenate([more, array], axis=1)
