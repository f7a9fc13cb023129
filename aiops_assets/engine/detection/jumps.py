"""Finds metrics that doubled, or fell to a third, within five minutes, which a forest over one row hardly detects.

Each column may be healthy by itself, before and after a jump. Noise of 5 % of the level (engine contract, section 1.1b)
changes a metric by less than a third within five minutes.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass

from aiops_assets.engine.detection.findings import MEDIUM_FROM, Finding, shown
from aiops_assets.engine.detection.row_verdict import kind_of
from aiops_assets.engine.detection.sent_row import LAG_5, VALUE, WIDTH, SentRow
from aiops_assets.timeseries.catalog import ENGINE_METRICS, NODE_CPU, NODE_MEMORY, POD_CPU, POD_MEMORY

TIMES_UP, TIMES_DOWN = 2.0, 3.0


@dataclass(frozen=True)
class Jump:
    """The least jump of a metric within five minutes.

    Attributes:
        metric: index in ``ENGINE_METRICS``.
        rise, fall: least change, in the metric's unit: an idle pod may double what it uses.
    """

    metric: int
    rise: float
    fall: float


JUMPS = (
    Jump(ENGINE_METRICS.index(NODE_CPU), rise=0.3, fall=0.2),
    Jump(ENGINE_METRICS.index(NODE_MEMORY), rise=0.2, fall=0.2),
    Jump(ENGINE_METRICS.index(POD_CPU), rise=0.5, fall=0.3),
    Jump(ENGINE_METRICS.index(POD_MEMORY), rise=0.3, fall=0.2),
)


def find_jumps(row: SentRow, judged: Collection[str] = ()) -> list[Finding]:
    """Findings about metrics whose level jumped: medium, and high from twice the least change on.

    Args:
        row: row of the newest samples.
        judged: names that are judged by their own history instead: bursts that occur every hour are not anomalous.
    """
    found = []
    for jump in JUMPS:
        first = WIDTH * jump.metric
        value, before = row.values[first + VALUE], row.values[first + LAG_5]
        change = value - before
        up = change >= jump.rise and value >= TIMES_UP * before
        down = -change >= jump.fall and TIMES_DOWN * value <= before
        if not (up or down):
            continue
        level = row.level(jump.metric)
        if level is None or level.name in judged:
            continue
        metric = ENGINE_METRICS[jump.metric].name
        excess = MEDIUM_FROM + math.log2(abs(change) / (jump.rise if up else jump.fall))
        expected = before * level.factor
        reason = (
            f"{level.name} is {shown(level.value, level.factor)}, {expected:.4g} five minutes before: "
            f"it {'more than doubled' if up else 'fell to less than a third'}, which noise does not explain."
        )
        kind = kind_of(metric, value, up)
        limit = expected + (jump.rise if up else -jump.fall) * level.factor
        found.append(
            Finding(metric, level.name, level.value, expected, level.time, kind, excess, reason, "limits", limit)
        )
    return found
