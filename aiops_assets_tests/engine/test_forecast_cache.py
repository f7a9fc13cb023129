"""One forecast of a day is what any shorter question would have been answered."""

import numpy as np
import pandas as pd
import pytest

from aiops_assets.engine.prediction.forecast_cache import ForecastCache
from aiops_assets.errors import DataError
from aiops_assets.families.predictive_analytics import PREDICTIVE_ANALYTICS
from aiops_assets.learners.forecasters.predictive_analytics import PredictiveAnalytics
from aiops_assets.timeseries.history import History, steps_a_day
from aiops_assets.views.cluster_metrics import VALUES
from aiops_assets_tests.engine.forecasting import NOW, LastValue
from aiops_assets_tests.service.served_home import model_file

COLUMNS = 5


@pytest.fixture(scope="module")
def served() -> PredictiveAnalytics:
    return PredictiveAnalytics.from_bytes(model_file(PREDICTIVE_ANALYTICS.name))


def history(rows: int, step_seconds: int = 300, seed: int = 0) -> History:
    values = np.random.default_rng(seed).uniform(0.2, 0.8, (rows, COLUMNS)).cumsum(axis=0) / rows
    times = pd.date_range(end=NOW, periods=rows, freq=f"{step_seconds}s", name="timestamp")
    return History(tuple(VALUES), times, values, np.ones(values.shape, dtype=bool), step_seconds)


@pytest.mark.parametrize(("rows", "step_seconds"), [(1, 300), (40, 300), (600, 300), (3, 3600), (48, 3600)])
def test_the_served_forecaster_says_the_same_of_a_step_however_far_it_is_asked(
    served: PredictiveAnalytics, rows: int, step_seconds: int
) -> None:
    known, day = history(rows, step_seconds), steps_a_day(step_seconds)
    once = ForecastCache(served)
    for horizon in (1, day // 3, day):
        said, expected = once.forecast(known, horizon), served.forecast(known, horizon)
        assert said.metrics == expected.metrics
        assert said.times.equals(expected.times)
        for side in ("value", "lower", "upper"):
            np.testing.assert_allclose(getattr(said, side), getattr(expected, side), rtol=1e-12)


def test_a_history_is_asked_about_once_and_any_other_again() -> None:
    forecaster = LastValue()
    once = ForecastCache(forecaster)
    one = history(20)
    unknown = one.known.copy()
    unknown[3, 0] = False
    others = [
        history(20, seed=1),
        history(20, step_seconds=3600),
        history(19),
        History(one.metrics, one.times + pd.Timedelta(minutes=5), one.values, one.known, 300),
        History(one.metrics, one.times, one.values, unknown, 300),
        History(one.metrics[::-1], one.times, one.values, one.known, 300),
    ]
    for horizon in (12, 288, 1):
        assert once.forecast(history(20), horizon).value.shape == (horizon, COLUMNS)
    assert [horizon for _, horizon in forecaster.asked] == [288]
    for other in others:
        once.forecast(other, 12)
        once.forecast(other, 6)
    assert len(forecaster.asked) == 1 + len(others)


@pytest.mark.parametrize("step_seconds", [300, 3600])
def test_a_horizon_outside_a_day_is_refused_by_the_forecaster_itself(
    served: PredictiveAnalytics, step_seconds: int
) -> None:
    once, known = ForecastCache(served), history(20, step_seconds)
    once.forecast(known, 1)
    for horizon in (-1, 0, steps_a_day(step_seconds) + 1):
        with pytest.raises(DataError, match=f"horizon {horizon}: 1 to "):
            once.forecast(known, horizon)


def test_an_answer_cannot_change_the_next_one() -> None:
    once = ForecastCache(LastValue())
    said = once.forecast(history(20), 12)
    for side in (said.value, said.lower, said.upper):
        with pytest.raises(ValueError, match="read-only"):
            side[0] = 0.0
