"""Checks the samples of a request: impossible values, and the share of the judged metrics that were reported."""

from collections.abc import Iterable

from aiops_assets.engine.detection.limits import OTHERS, UNITS
from aiops_assets.engine.detection.sent_row import LEVELS, WIDTH, SentRow
from aiops_assets.engine.samples import CHANGE, FORECASTED, MEANINGS, Sample
from aiops_assets.errors import DataError
from aiops_assets.timeseries.catalog import ENGINE_METRICS
from aiops_assets.timeseries.features import ENGINE_DEFAULT

SIGNED = ("diff", "pct_change", CHANGE)
"""Statistics that may be negative."""
MIN_RATIO = -0.05
"""Least valid ratio: Prometheus extrapolates rates, so that the idle share of a CPU may be slightly above 1."""


def reject_impossible(samples: Iterable[Sample]) -> None:
    """Raise DataError if a count, a ratio or another known amount is negative.

    ``samples`` are the newest of each name, which are judged. One wrong sample of a history hardly changes what is
    expected.
    """
    for sample in samples:
        if sample.value >= 0:
            continue
        name, meaning = sample.name, MEANINGS.get(sample.name)
        if meaning is None and not (name in UNITS or name in OTHERS or name in FORECASTED):
            continue
        unit = UNITS.get(name, "") if meaning is None else meaning.metric.unit
        signed = meaning is not None and meaning.statistic in SIGNED
        if not signed and not (unit == "ratio" and sample.value >= MIN_RATIO):
            raise DataError(f"{name}: {sample.value:g} is below 0, which it cannot be: send what was measured")


def metrics_without_samples(row: SentRow) -> list[str]:
    """Metrics of which the request holds the engine's default for a failed query, with all its levels."""
    return [
        ENGINE_METRICS[metric].name
        for metric, names in row.sent.items()
        if _is_default(row, metric) and {one.column.statistic for one in names} >= set(LEVELS)
    ]


def share_reported(row: SentRow, others: int) -> float:
    """Share (0-1) of the judged metrics that were reported.

    If any of the engine's five metrics was sent, all five are judged, because the row detector uses the engine's
    default for the rest. A level reports a metric; a change alone, or the default itself, does not.

    Args:
        row: row of the newest samples.
        others: number of names without a column that were judged by a limit or by their own history.
    """
    reported = sum(_is_reported(row, metric) for metric in row.sent)
    about = others + (len(ENGINE_METRICS) if row.sent else 0)
    return (reported + others) / about if about else 0.0


def _is_reported(row: SentRow, metric: int) -> bool:
    if _is_default(row, metric):
        return False
    return any(one.column.statistic in LEVELS for one in row.sent[metric])


def _is_default(row: SentRow, metric: int) -> bool:
    first = WIDTH * metric
    return row.values[first : first + WIDTH] == list(ENGINE_DEFAULT)
