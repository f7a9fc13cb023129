"""What happens to a generated host: kinds of incidents, how long they take, when they begin, and what they do to it.

Kinds, phases and shares are those of the ML setup guide; its counts of scenarios contradict its shares.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aiops_assets.hosts.metrics import CPU, ERRORS, MEMORY, P50, P95, P99
from aiops_assets.timeseries.series import Floats

BUILD_UP, PEAK, DROP, RECOVERY = 60, (10, 15), 2, 30
"""Minutes of a CPU spike: to its peak, least and most at the peak, and after it."""
SPIKE_MINUTES = (BUILD_UP + PEAK[0] + DROP + RECOVERY, BUILD_UP + PEAK[1] + DROP + RECOVERY)
STORM_RECOVERY = 15
GAP_MINUTES = 30
"""Quiet minutes between two scenarios, where there is room for them."""

Columns = dict[str, Floats]
Change = Callable[[np.random.Generator, Columns], None]
"""Changes the minutes of one scenario, given as views of the columns."""


@dataclass(frozen=True)
class Scenario:
    """A kind of incident.

    Attributes:
        label: of its rows.
        share: of all rows.
        shortest, longest: minutes of one.
        change: what it does to the columns.
    """

    label: str
    share: float
    shortest: int
    longest: int
    change: Change

    def lengths(self, rng: np.random.Generator, rows: int) -> list[int]:
        """Minutes of each one in so many rows, whose sum is the share as nearly as whole scenarios allow.

        In a history that is too short for one, a single one is shortened in proportion.
        """
        wanted = round(self.share * rows)
        if wanted < self.shortest:
            return [wanted] if wanted else []
        usual = (self.shortest + self.longest) / 2
        counts = (round(wanted / usual), wanted // self.longest, -(-wanted // self.longest))
        count = min((max(1, one) for one in counts), key=lambda one: abs(self._nearest(one, wanted) - wanted))
        total = self._nearest(count, wanted)
        # Any lengths at first; then minutes are given or taken one by one until the sum is right.
        found = rng.integers(self.shortest, self.longest + 1, count)
        while left := total - int(found.sum()):
            able = np.flatnonzero(found < self.longest if left > 0 else found > self.shortest)[: abs(left)]
            found[able] += np.sign(left)
        return [int(minutes) for minutes in found]

    def _nearest(self, count: int, wanted: int) -> int:
        """The sum of ``count`` lengths that is nearest to the wanted one."""
        return min(max(wanted, count * self.shortest), count * self.longest)


@dataclass(frozen=True)
class Occurrence:
    """One scenario in a history: rows from ``begin`` to before ``end``."""

    scenario: Scenario
    begin: int
    end: int


def _cpu_spike(rng: np.random.Generator, columns: Columns) -> None:
    cpu = columns[CPU.name]
    # In a shortened one the phases keep their proportions.
    scale = min(1.0, len(cpu) / SPIKE_MINUTES[0])
    build_up, drop, recovery = (max(1, round(scale * minutes)) for minutes in (BUILD_UP, DROP, RECOVERY))
    peak = max(len(cpu) - build_up - drop - recovery, 1)
    shape = np.concatenate(
        [
            np.linspace(30, 85, build_up, endpoint=False),
            rng.uniform(85, 95, peak),
            np.full(drop, 35.0),
            np.full(recovery, 30.0),
        ]
    )[: len(cpu)]
    calm = np.ones(len(cpu))
    calm[build_up : build_up + peak] = 0.0
    cpu[:] = shape + calm * rng.uniform(-1.0, 1.0, len(cpu))
    # What waits for a busy processor takes longer.
    slower = 1 + 1.5 * np.clip((shape - 50) / 45, 0, 1)
    for name in (P50.name, P95.name, P99.name):
        columns[name] *= slower


def _memory_leak(rng: np.random.Generator, columns: Columns) -> None:
    memory = columns[MEMORY.name]
    memory[:] = np.linspace(30, 90, len(memory)) + rng.uniform(-0.5, 0.5, len(memory))


def _error_storm(rng: np.random.Generator, columns: Columns) -> None:
    errors = columns[ERRORS.name]
    recovery = min(STORM_RECOVERY, len(errors) * 2 // 3)
    storm = len(errors) - recovery
    left = np.concatenate([np.ones(storm), np.linspace(1, 0, recovery, endpoint=False)])
    errors[:] = 0.01 + 0.24 * left * rng.uniform(0.9, 1.0, len(errors))
    for name, times in ((P50.name, 2.0), (P95.name, 5.0), (P99.name, 6.0)):
        columns[name] *= 1 + times * left


CPU_SPIKE = Scenario("cpu_spike", 0.075, *SPIKE_MINUTES, _cpu_spike)
MEMORY_LEAK = Scenario("memory_leak", 0.04, 6 * 60, 12 * 60, _memory_leak)
ERROR_STORM = Scenario("error_storm", 0.035, 5 + STORM_RECOVERY, 10 + STORM_RECOVERY, _error_storm)
SCENARIOS = (CPU_SPIKE, MEMORY_LEAK, ERROR_STORM)


def occurrences(rng: np.random.Generator, rows: int) -> list[Occurrence]:
    """Scenarios in random order at random times of so many rows; no two overlap."""
    drawn = [(scenario, minutes) for scenario in SCENARIOS for minutes in scenario.lengths(rng, rows)]
    order = rng.permutation(len(drawn))
    free = rows - sum(minutes for _, minutes in drawn)
    gap = min(GAP_MINUTES, free // (len(drawn) + 1))
    # Uniform cuts of what is free beyond the gaps: the quiet time before each one.
    cuts: npt.NDArray[np.int64] = np.sort(rng.integers(0, free - gap * (len(drawn) + 1) + 1, len(drawn)))
    found: list[Occurrence] = []
    taken = 0
    for position, cut in zip(order, cuts, strict=True):
        scenario, minutes = drawn[position]
        begin = int(cut) + gap * (len(found) + 1) + taken
        found.append(Occurrence(scenario, begin, begin + minutes))
        taken += minutes
    return found
