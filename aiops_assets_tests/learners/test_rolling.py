"""Windows of few rows, and parts of rows: the same numbers as those of all rows."""

import numpy as np
import pytest

from aiops_assets.learners.detectors import rolling
from aiops_assets.learners.detectors.counters import MAX_GAP_ROWS, increases
from aiops_assets.learners.detectors.raw_rows import Read
from aiops_assets.learners.detectors.rolling import AllRows, FewRows
from aiops_assets.timeseries.series import Floats
from aiops_assets_tests.learners.array_rows import ArrayRows

N = 60


def values(share_missing: float) -> Floats:
    rng = np.random.default_rng(4)
    found = rng.normal(0.0, 1.0, (N, 7))
    found[rng.random(found.shape) < share_missing] = np.nan
    found[:, 6] = np.nan
    found[:40, 5] = np.nan
    return found


@pytest.mark.parametrize("share_missing", [0.0, 0.3])
@pytest.mark.parametrize("first", [0, 1, 5, N - 3])
@pytest.mark.parametrize("rows", [2, 9, 12])
@pytest.mark.parametrize("at_once", [4_000_000, 100])
def test_few_rows_are_those_of_all(
    share_missing: float, first: int, rows: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rolling, "MAX_WINDOW_VALUES", at_once)
    made, every, few = values(share_missing)[:, : 7 if share_missing else 5], AllRows(), FewRows(first)
    for found, expected in (
        (few.medians_before(made, rows), every.medians_before(made, rows)),
        (few.means(made, rows), every.means(made, rows)),
        *zip(few.range_before(made, rows, 2), every.range_before(made, rows, 2), strict=True),
    ):
        np.testing.assert_allclose(found[first:], expected[first:], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("start", "stop"), [(0, N), (-5, 8), (-9, -2), (1, 2), (30, 45), (N - 3, N), (20, 20)])
def test_a_part_of_rows_is_read_as_it_is_among_all(start: int, stop: int) -> None:
    """Of three entities with a counter each: one begins late, one is silent for as long as an increase is spread."""
    rng = np.random.default_rng(5)
    raw = np.stack([np.cumsum(rng.poisson(2.0, (N, 3)), axis=0), rng.normal(0, 1, (N, 3))], axis=2).astype(float)
    raw[30 - MAX_GAP_ROWS + 1 : 30, 1] = np.nan
    raw[40 - MAX_GAP_ROWS : 41, 2] = np.nan
    begins = np.array([0, 3, 25])
    counters = np.array([True, False] * 3)

    def read(rows: Floats) -> Floats:
        return increases(rows.reshape(len(rows), 6), counters).reshape(rows.shape)

    whole = raw.copy()
    for i, begin in enumerate(begins):
        whole[:begin, i] = np.nan
    expected = np.concatenate([np.full((9, 3, 2), np.nan), read(whole)])[start + 9 : stop + 9]
    found = Read(ArrayRows(raw), begins, read).part(start, stop)
    np.testing.assert_array_equal(found, expected)
