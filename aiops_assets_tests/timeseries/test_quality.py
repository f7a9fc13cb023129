from datetime import date, timedelta

import numpy as np
import pytest

from aiops_assets.timeseries.catalog import NODE_CPU, POD_CPU, POD_MEMORY
from aiops_assets.timeseries.quality import (
    Shortage,
    WindowCoverage,
    count_outside,
    doubled_at,
    missing_share,
    too_little,
    window_coverage,
)

DAYS = [date(2026, 10, 25) + timedelta(days=i) for i in range(7)]


def _coverage(got: dict[str, dict[date, int]]) -> WindowCoverage:
    return window_coverage(got, DAYS, {"fine": 1440, "coarse": 288})


def test_the_metric_that_has_least_decides() -> None:
    full = dict.fromkeys(DAYS, 1440)
    coverage = _coverage({"fine": full, "coarse": {DAYS[0]: 288, DAYS[1]: 144}})
    assert coverage.by_metric == pytest.approx({"fine": 1.0, "coarse": 1.5 / 7})
    assert coverage.share == pytest.approx(1.5 / 7)
    assert (coverage.days, coverage.full_days) == (7, 1)
    assert (f"{coverage.share:.0%}", coverage.days, coverage.lowest) == ("21%", 7, "coarse")


def test_a_day_is_full_from_ninety_percent_on() -> None:
    assert _coverage({"fine": {DAYS[0]: 1296, DAYS[1]: 1295}}).full_days == 1


def test_a_metric_without_any_day_is_not_there() -> None:
    assert _coverage({"fine": {}}).share == 0.0


@pytest.mark.parametrize(
    ("share", "full_days", "days", "shortage"),
    [
        (1.0, 7, 7, None),
        (0.5, 3, 7, None),
        (0.49, 3, 7, Shortage("low_coverage", found=0.49, wanted=0.5)),
        (0.6, 2, 7, Shortage("few_full_days", found=2, wanted=3)),
        (1.0, 2, 2, None),
    ],
)
def test_what_stops_training(share: float, full_days: int, days: int, shortage: Shortage | None) -> None:
    assert too_little(share, full_days, days, least=0.5) == shortage


def test_missing_rows_are_counted_within_each_pods_life() -> None:
    mask = np.zeros((3, 40), dtype=bool)
    mask[0, ::5] = True
    mask[1, 10:31:5] = True
    mask[1, 20] = False
    assert missing_share(mask, 5) == pytest.approx(1 / (8 + 5))
    assert missing_share(np.zeros((2, 10), dtype=bool), 5) == 0.0


def test_counters_that_two_exporters_add_up_are_found() -> None:
    counts = np.array(
        [
            [14, 28, 28, 14, 14, 15],
            [1, 1, 2, 2, 3, 3],  # restarts
            [3, 6, 6, 0, 0, 1],  # a restart storm, and a pod of the same name
            [0, 0, 0, 0, 0, 0],
            [7, np.nan, 7, 14, np.nan, 7],
        ]
    )
    assert doubled_at(counts) == {0: 1, 4: 3}
    assert doubled_at(counts, most=1) == {}
    assert doubled_at(np.empty((0, 0))) == {}


def test_values_outside_the_bounds_are_counted_and_nan_is_no_value() -> None:
    values = [-0.2, -0.01, 0.5, 1.04, 1.06, np.nan]
    assert count_outside(values, NODE_CPU) == 2
    assert count_outside(values, POD_CPU) == 2  # cores are never below zero
    assert count_outside(values, POD_MEMORY) == 2  # nor is a share that no rate is in
