"""The newest estimates of time to exhaustion as gauges: nothing is shown of what does not run out within two weeks."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from aiops_assets.reporting.described import Described, Labelled
from aiops_assets.storage.scores import EXHAUSTION_LABELS, ScoresRun

_PER_THING = ("cluster", *EXHAUSTION_LABELS)
MEDIAN = Described(
    GaugeMetricFamily,
    "aiops_exhaustion_seconds",
    "Seconds until a disk, volume, memory limit or quota is full if its newest trend persists, the median; 0: it is.",
    _PER_THING,
)
LOWER = Described(
    GaugeMetricFamily, "aiops_exhaustion_lower_seconds", "Begin of the 80 % interval of that time.", _PER_THING
)
UPPER = Described(
    GaugeMetricFamily,
    "aiops_exhaustion_upper_seconds",
    "End of the 80 % interval of that time; +Inf: perhaps never.",
    _PER_THING,
)
USAGE = Described(
    GaugeMetricFamily, "aiops_exhaustion_usage_ratio", "Used share of what runs out, the newest half hour.", _PER_THING
)
COLUMNS = {"seconds": MEDIAN, "lower": LOWER, "upper": UPPER, "usage": USAGE}
"""Column of the estimates -> its gauge."""


def exhaustion_values(run: ScoresRun) -> dict[str, Sequence[Labelled]]:
    """Column -> its values, each with its labels."""
    rows = run.exhaustion
    labels = [[run.record.cluster, *map(str, one)] for one in rows[list(EXHAUSTION_LABELS)].itertuples(index=False)]
    numbers = rows.assign(upper=rows["upper"].fillna(np.inf))
    return {column: list(zip(labels, numbers[column].astype(float).tolist(), strict=True)) for column in COLUMNS}


def exhaustion_families(values: Mapping[str, Sequence[Labelled]]) -> Iterable[Metric]:
    """The gauges with values, or without any for their documentation."""
    return (described.family(values.get(column, ())) for column, described in COLUMNS.items())
