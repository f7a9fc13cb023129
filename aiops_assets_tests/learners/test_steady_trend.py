"""What rises steadily is forecast to go on, by those that model each metric alone; what only wanders is not."""

import json
from collections.abc import Callable

import numpy as np
import pytest

from aiops_assets.errors import ModelError
from aiops_assets.learners.forecasters.arima import ArimaForecaster
from aiops_assets.learners.forecasters.per_metric import Metric, PerMetricForecaster
from aiops_assets.learners.forecasters.prophet import ProphetForecaster
from aiops_assets.learners.forecasters.steady_trend import SteadyTrend
from aiops_assets.timeseries.series import Floats
from aiops_assets_tests.learners.forecaster_histories import DAY, both, forecast_of, history, noisy
from aiops_assets_tests.raising import raises

STEPS = np.arange(15 * DAY)
DAYS = STEPS / DAY
NOISE = np.random.default_rng(3).normal(0, 1, len(STEPS))
WAVE = np.sin(2 * np.pi * DAYS)
RAMP = 0.3 + 0.03 * DAYS + 0.002 * NOISE
"""A disk that fills three points a day."""


def trend_of(values: Floats) -> SteadyTrend:
    (metric,) = Metric.all_of(history(values))
    return SteadyTrend.of(metric.times, metric.values, metric.known, DAY)


@pytest.mark.parametrize(
    ("values", "a_day", "days"),
    [
        (RAMP, 0.03, 14),
        (-RAMP, -0.03, 14),
        (RAMP * 1e9, 0.03e9, 14),
        (RAMP[: 8 * DAY] + 0.01 * WAVE[: 8 * DAY], 0.03, 8),
        (np.where(DAYS < 10, 0.6, RAMP), 0.03, 5),
        (2.0 * STEPS[: 5 * DAY // 2], 2.0 * DAY, 2.5),
        (np.where(STEPS == 4000, 99.0, RAMP), 0.03, 14),
    ],
)
def test_a_plain_trend_is_found_with_its_span(values: Floats, a_day: float, days: float) -> None:
    found = trend_of(values)
    assert found.a_day == pytest.approx(a_day, rel=0.02)
    assert found.since == pytest.approx(history(values).times[-round(days * DAY)].timestamp())


@pytest.mark.parametrize(
    "values",
    [
        noisy(14),
        np.full(9 * DAY, 0.4),
        WAVE + np.where(DAYS > 11, 3.0, 0.0),
        np.cumsum(NOISE),
        0.001 * DAYS + 0.2 * NOISE + WAVE,
        2.0 * STEPS[: 2 * DAY],
        np.where(DAYS % 7 > 5, 0.4, 1.0),
    ],
    ids=["season", "constant", "shift", "random walk", "slow", "too short", "weekends"],
)
def test_what_wanders_shifts_or_repeats_has_no_trend(values: Floats) -> None:
    assert trend_of(values) == SteadyTrend()


@pytest.mark.parametrize(("kind", "rows"), [(ProphetForecaster, 14 * DAY), (ArimaForecaster, 4 * DAY)])
def test_a_disk_that_fills_goes_on_filling(kind: Callable[[], PerMetricForecaster], rows: int) -> None:
    said = forecast_of(kind, history(RAMP[:rows]))
    truth = RAMP[rows : rows + DAY]
    assert ((said.lower[:, 0] <= truth) & (truth <= said.upper[:, 0])).mean() >= 0.6
    assert np.abs(said.value[:, 0] - truth).mean() < 0.004  # of the last value: .015
    assert (said.upper - said.lower).max() < 0.02


@both
def test_a_steady_counter_has_an_interval_as_narrow_as_its_errors(kind: Callable[[], PerMetricForecaster]) -> None:
    counter: Floats = (20_000 + 10 * STEPS).astype(np.float64)
    said = forecast_of(kind, history(counter[: 3 * DAY]))
    truth = counter[3 * DAY : 4 * DAY]
    assert said.value[:, 0] == pytest.approx(truth, abs=1e-6)
    assert ((said.lower[:, 0] < truth) & (truth < said.upper[:, 0])).all()
    assert (said.upper - said.lower).max() < 10


@both
def test_a_trend_that_has_ended_since_the_fit_is_not_followed(kind: Callable[[], PerMetricForecaster]) -> None:
    forecaster = kind()
    forecaster.fit(history(RAMP[: 6 * DAY]))
    ended = np.where(DAYS < 6, RAMP, RAMP[6 * DAY] + 0.002 * NOISE)
    assert forecaster.forecast(history(RAMP[: 9 * DAY]), DAY).value[-1, 0] == pytest.approx(0.6, abs=0.01)
    assert forecaster.forecast(history(ended[: 9 * DAY]), DAY).value[-1, 0] == pytest.approx(0.48, abs=0.005)


@both
def test_a_file_of_the_format_before_loads_without_trends(kind: Callable[[], PerMetricForecaster]) -> None:
    forecaster = kind()
    forecaster.fit(history(noisy(3)))
    document = json.loads(forecaster.to_bytes())
    assert document.pop("trends") == [{"a_day": 0.0, "since": 0.0}]
    older = json.dumps({**document, "format": forecaster.oldest}).encode()
    said, again = (one.forecast(history(noisy(4)), 9) for one in (forecaster, type(forecaster).from_bytes(older)))
    assert np.array_equal(said.value, again.value)
    with raises(ModelError, "other_file"):
        kind().from_bytes(json.dumps({**document, "format": forecaster.oldest - 1}).encode())
    with raises(ModelError, "not_a_model_file"):
        kind().from_bytes(json.dumps({**document, "format": forecaster.format}).encode())
