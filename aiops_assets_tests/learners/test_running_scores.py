"""The newest rows of many entities at once: the same scores as of each entity's whole frame."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest

from aiops_assets.learners.detectors.deviation_detector import DeviationDetector
from aiops_assets.learners.detectors.ensemble import EnsemblePredictor
from aiops_assets.learners.detectors.lstm_autoencoder import LstmAutoencoder
from aiops_assets.learners.detectors.running_means import weighted_before
from aiops_assets.learners.detectors.running_scores import Memory, Newest, can_run, newest_scores
from aiops_assets.timeseries.series import Floats
from aiops_assets_tests.learners.array_rows import ArrayRows

STEP_SECONDS = 1200
COLUMNS = ("cpu", "memory", "restarts")
DAY = 86_400 // STEP_SECONDS
N = 9 * DAY
BEGINS = np.array([0, 0, 0, 40, N - 30, N - 3, N])


def entities(seed: int, n: int) -> Floats:
    """(N, n, 3): a daily curve, a level that wanders, and a counter; some samples are missing."""
    rng = np.random.default_rng(seed)
    hours = np.arange(N)[:, np.newaxis] * 2 * np.pi / DAY
    daily = 1 + np.sin(hours + rng.uniform(0, 3, n)) + rng.normal(0, 0.1, (N, n))
    wander = np.cumsum(rng.normal(0, 0.02, (N, n)), axis=0)
    counted = np.cumsum(rng.poisson(0.3, (N, n)), axis=0).astype(float)
    values = np.stack([daily, wander, counted], axis=2)
    values[rng.random(values.shape) < 0.01] = np.nan
    return values


def frame(values: Floats, first: int = 0) -> pd.DataFrame:
    times = pd.date_range("2026-11-01", periods=N, freq=f"{STEP_SECONDS}s", unit="us", tz="UTC")
    made = pd.DataFrame(values[first:], columns=list(COLUMNS))
    return made.assign(timestamp=times[first : len(values)])


@pytest.fixture(scope="module", params=[(EnsemblePredictor, N), (LstmAutoencoder, N), (EnsemblePredictor, DAY - 10)])
def detector(request: pytest.FixtureRequest) -> DeviationDetector:
    """One of each kind, and one that was trained on less than a day."""
    kind, rows = request.param
    found: DeviationDetector = kind(COLUMNS, 0.02)
    trained = entities(1, 2)[:rows]
    found.fit([frame(trained[:, i]) for i in range(2)])  # type: ignore[attr-defined]
    assert found.calibration.counters.tolist() == [0, 0, 1]
    return found


@pytest.fixture(scope="module")
def values() -> Floats:
    """Seven entities; the first one is disturbed twice, the second is silent for hours, the third lacks a metric."""
    made = entities(2, len(BEGINS))
    for begin in (N - 2 * DAY, N - 8):
        made[begin : begin + 6, 0, :2] += 4.0
    made[N - 40 : N - 20, 1] = np.nan
    made[:, 2, 1] = np.nan
    return made


def run(detector: DeviationDetector, values: Floats, cuts: Sequence[int]) -> Newest:
    """Scores in pieces that end before these rows, each with the arrays of the memory before."""
    parts: list[Newest] = []
    memory: Memory | None = None
    first = 0
    for cut in (*cuts, len(values)):
        kept = Memory.of(memory.arrays()) if memory else None
        part, memory = newest_scores(detector, ArrayRows(values[:cut]), BEGINS, first, kept)
        parts.append(part)
        first = cut
    return Newest(*(np.concatenate([getattr(p, f) for p in parts]) for f in ("score", "now", "alert", "contributions")))


@pytest.mark.parametrize(
    "cuts",
    [(), range(N - 9, N, 3), (N - 200, N - 90, N - 1), (20, 100, 101, N - 31), (N - 31, N - 30, N - 29, N - 3, N - 2)],
)
def test_rows_in_pieces_have_the_scores_of_each_entitys_whole_frame(
    detector: DeviationDetector, values: Floats, cuts: Sequence[int]
) -> None:
    found = run(detector, values, cuts)
    n_alerts = 0
    for i, begin in enumerate(BEGINS):
        assert np.isnan(found.score[:begin, i]).all()
        assert not found.alert[:begin, i].any()
        if begin == N:
            continue
        expected = detector.score(frame(values[:, i], begin))
        assert expected.now is not None
        np.testing.assert_allclose(found.score[begin:, i], expected.score, rtol=1e-8, atol=1e-9)
        np.testing.assert_allclose(found.now[begin:, i], expected.now, rtol=1e-8, atol=1e-9)
        np.testing.assert_allclose(found.contributions[begin:, i], expected.contributions, rtol=1e-7, atol=1e-9)
        np.testing.assert_array_equal(found.alert[begin:, i], expected.alert)
        n_alerts += int(expected.alert.sum())
    assert n_alerts


def test_what_is_before_a_begin_is_not_read(detector: DeviationDetector, values: Floats) -> None:
    other = values.copy()
    for i, begin in enumerate(BEGINS):
        other[:begin, i] = 1e6
    found, expected = run(detector, other, [N - 6]), run(detector, values, [N - 6])
    np.testing.assert_array_equal(found.score, expected.score)


def test_only_fitted_detectors_that_say_what_is_unusual_now_can_run(detector: DeviationDetector) -> None:
    assert can_run(detector)
    assert not can_run(EnsemblePredictor(COLUMNS))
    assert not can_run(object())


def test_means_go_on_as_pandas_has_them() -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(size=(60, 4))
    values[:5, 1], values[20:30, 2], values[:, 3] = np.nan, np.nan, 0.1
    expected = pd.DataFrame(values).ewm(alpha=0.2).mean().shift(1).to_numpy()
    state = np.full(4, np.nan), np.ones(4)
    for first in range(0, 60, 7):
        found, state = weighted_before(values[first : first + 7], *state, 0.2)
        np.testing.assert_array_equal(found, expected[first : first + 7])
