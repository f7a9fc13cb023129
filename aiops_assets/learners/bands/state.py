"""What a band keeps of its series between two runs: plain arrays, whose last axis is that of the series."""

import io
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from aiops_assets.errors import ModelError
from aiops_assets.timeseries.local_time import Integers
from aiops_assets.timeseries.series import Floats

SLOTS, SLOT_SECONDS = 48, 1800
"""Habits are learnt by half hours of the day."""
HABIT_DAYS = 21
"""Days that are kept."""
PEAK_HOURS = 14 * 24
HABITS = 3
"""Each series is tried with three habits: none, by the time of day, and by the time of the week."""
FORMAT = 1
Singles = npt.NDArray[np.float32]


@dataclass
class BandState:
    """What a band knows of n series after its last row; single precision where there is much of it.

    Attributes:
        slots: (HABIT_DAYS, SLOTS, n) contrast of each half hour with the day before it; a row a local day, in turn.
        raw: (SLOTS, n) the newest mean of each half hour, whose mean is that of a day.
        slot_sum, slot_count: (n,) of the present half hour.
        peaks: (2, PEAK_HOURS, n) largest error of each hour above and below the expected value, in turn.
        level: (HABITS, n) of each habit.
        error: (HABITS, n) mean absolute error of each habit.
        side: (2, n) since how many rows above, and below; a row inside sets both to 0.
        recent: (n,) mean of the last hour.
        rows: (n,) known rows.
        clock: (3,) the present local day, half hour and hour since 1970; -1 before the first row.
        weekdays: (HABIT_DAYS,) weekday of each kept day; -1: none.
    """

    slots: Singles
    raw: Floats
    slot_sum: Floats
    slot_count: Floats
    peaks: Singles
    level: Floats
    error: Floats
    side: Floats
    recent: Floats
    rows: Floats
    clock: Integers
    weekdays: Integers

    @classmethod
    def new(cls, n: int) -> "BandState":
        """The state before the first row of n series."""
        unknown = np.nan
        return cls(
            slots=np.full((HABIT_DAYS, SLOTS, n), unknown, dtype=np.float32),
            raw=np.full((SLOTS, n), unknown),
            slot_sum=np.zeros(n),
            slot_count=np.zeros(n),
            peaks=np.full((2, PEAK_HOURS, n), unknown, dtype=np.float32),
            level=np.full((HABITS, n), unknown),
            error=np.full((HABITS, n), unknown),
            side=np.zeros((2, n)),
            recent=np.full(n, unknown),
            rows=np.zeros(n),
            clock=np.full(3, -1, dtype=np.int64),
            weekdays=np.full(HABIT_DAYS, -1, dtype=np.int64),
        )

    @property
    def arrays(self) -> dict[str, Any]:
        """Name -> array, such as for an npz archive; ``BandState(**arrays)`` makes the state again."""
        return {one.name: getattr(self, one.name) for one in fields(self)}

    def of_series(self, which: Sequence[int]) -> "BandState":
        """The state of some of the series, in that order; -1 stands for a new one."""
        index = np.array(which, dtype=np.int64)
        new = BandState.new(len(index))
        for name, array in self.arrays.items():
            if name in ("clock", "weekdays"):
                setattr(new, name, array.copy())
            else:
                getattr(new, name)[..., index >= 0] = array[..., index[index >= 0]]
        return new

    @classmethod
    def joined(cls, states: "Sequence[BandState]") -> "BandState":
        """The state of the series of several states, one after the other, whose clocks are the same."""
        joined = states[0].of_series([])
        for name in joined.arrays:
            if name not in ("clock", "weekdays"):
                setattr(joined, name, np.concatenate([one.arrays[name] for one in states], axis=-1))
        return joined

    def to_bytes(self) -> bytes:
        """The state as an archive of plain arrays (npz): nothing that runs when it is read."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, format=np.array(FORMAT), **self.arrays)
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> "BandState":
        """Read a state that :meth:`to_bytes` wrote.

        Raises:
            ModelError: it is none, or of another format; code ``no_band_state``.
        """
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as stored:
                if int(stored["format"]) != FORMAT:
                    raise ValueError("it has another format")
                state = cls(**{one.name: stored[one.name] for one in fields(cls)})
            new = BandState.new(len(state.rows))
            if any(array.shape != new.arrays[name].shape for name, array in state.arrays.items()):
                raise ValueError("its arrays have other shapes")
        except (ValueError, KeyError, TypeError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise ModelError(f"not a state of bands: {error}", code="no_band_state") from None
        return state
