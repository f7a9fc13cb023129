"""What ARIMA is made of: orders, likelihoods, forecasts of every origin in one pass, the daily profile."""

import numpy as np
import pytest

from aiops_assets.learners.forecasters import arima
from aiops_assets.learners.forecasters.arima import (
    FIT_ROWS,
    ArimaForecaster,
    Estimate,
    View,
    daily_profile,
    differences,
    fit_arima,
    forecasts,
)
from aiops_assets.learners.forecasters.per_metric import Scale
from aiops_assets.timeseries.series import Floats
from aiops_assets_tests.learners.forecaster_histories import DAY, autoregressive, forecast_of, history, noisy

likeliest = arima._likeliest


def test_a_test_tells_whether_differences_are_taken() -> None:
    noise = np.random.default_rng(1).normal(0, 1, 600)
    assert differences(noise) == 0
    assert differences(np.cumsum(noise)) == 1


def test_the_likelihood_finds_what_a_series_was_made_of() -> None:
    found, _ = fit_arima(5 + autoregressive(1000, 0.8))
    assert found.order[1] == 0
    view = View(np.array([5.0] * 99 + [9.0]), np.zeros(100), 0)
    ahead = forecasts(found, view, np.array([99]), 200, seasonal=False)[0]
    assert ahead[-1] == pytest.approx(5, abs=0.7)
    assert (ahead[1] - ahead[-1]) / (ahead[0] - ahead[-1]) == pytest.approx(0.8, abs=0.1)


def test_one_pass_serves_every_origin_as_statsmodels_serves_one() -> None:
    from statsmodels.tsa.arima.model import ARIMA

    values = np.cumsum(autoregressive(300, 0.5))
    estimate = Estimate((2, 1, 1), [0.5, 0.1, 0.3])
    origins = np.array([99, 180, 299])
    ahead = forecasts(estimate, View(values, np.zeros(300), 0), origins, 20, seasonal=False)
    for origin, row in zip(origins, ahead, strict=True):
        model = ARIMA(values[: origin + 1], order=(2, 1, 1), concentrate_scale=True)
        assert row == pytest.approx(model.filter(estimate.parameters).forecast(20), rel=1e-6)


def test_a_forecast_computes_no_covariance_of_the_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    from statsmodels.tsa.statespace.mlemodel import MLEModel

    def computed(*_: object, **__: object) -> None:
        raise AssertionError

    for name in ("score_obs", "loglikeobs", "loglike"):
        monkeypatch.setattr(MLEModel, name, computed)
    view = View(autoregressive(100, 0.5), np.zeros(100), 0)
    ahead = forecasts(Estimate((1, 0, 0), [0.0, 0.5]), view, np.array([99]), 5, seasonal=False)
    assert ahead[0] == pytest.approx(view.level[-1] * 0.5 ** np.arange(1, 6))


def test_the_search_for_the_likelihood_of_a_counter_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    from statsmodels.tsa.statespace.mlemodel import MLEModel

    evaluated: list[int] = []
    loglike = MLEModel.loglike

    def counted(*given: object, **named: object) -> float:
        evaluated.append(1)
        return float(loglike(*given, **named))

    monkeypatch.setattr(MLEModel, "loglike", counted)
    counter = Scale.of(1e12 + 3e6 * np.arange(400.0), compressed=False).into(1e12 + 3e6 * np.arange(400.0))

    def evaluations(limit: int) -> int:
        evaluated.clear()
        monkeypatch.setattr(arima, "EVALUATIONS", limit)
        with arima.contained():
            assert likeliest(counter, (1, 1, 1))
        return len(evaluated)

    step = 21 * 3  # a step of the search tries at most 21 places, and each of the two parameters at each of them
    assert evaluations(20) <= 20 + step < evaluations(arima.ITERATIONS * step)


def test_what_was_usual_at_a_time_is_told_by_known_rows_alone() -> None:
    values = noisy(4)
    known = np.full(DAY, 3 * DAY - 1)
    rows = known + np.arange(1, DAY + 1)
    usual = daily_profile(values, rows, known, DAY)
    other = np.concatenate([values[: 3 * DAY], np.full(DAY, 1e9)])
    assert np.array_equal(daily_profile(other, rows, known, DAY), usual)
    assert usual == pytest.approx(np.sin(rows / DAY * 2 * np.pi), abs=0.3)


def shifted(days_ago: float, seed: int = 1) -> Floats:
    """14 days of a small season and noise that went from .2 to .8 so many days ago."""
    steps = np.arange(14 * DAY)
    level = np.where(steps < 14 * DAY - round(days_ago * DAY), 0.2, 0.8)
    return level + 0.05 * np.sin(steps / DAY * 2 * np.pi) + np.random.default_rng(seed).normal(0, 0.01, len(steps))


@pytest.mark.parametrize("days_ago", [4, 3.5, 1, 0.5])
def test_the_shape_of_a_day_has_no_level_also_after_a_shift(days_ago: float) -> None:
    values, known = shifted(days_ago), np.full(DAY, 14 * DAY - 1)
    rows = known + np.arange(1, DAY + 1)
    assert daily_profile(values, rows, known, DAY) == pytest.approx(0.05 * np.sin(rows / DAY * 2 * np.pi), abs=0.02)
    walk = forecasts(Estimate((0, 1, 0), []), View.of(values, DAY, True), known[:1], DAY, seasonal=True)[0]
    assert walk == pytest.approx(0.8 + 0.05 * np.sin(rows / DAY * 2 * np.pi), abs=0.06)


@pytest.mark.long
@pytest.mark.parametrize("seasonal", [False, True])
@pytest.mark.parametrize("days_ago", [4, 3.5])
def test_a_level_that_shifted_is_counted_once(days_ago: float, seasonal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arima, "smallest_errors", lambda _: 2 * seasonal)  # plain scale
    values = shifted(days_ago)
    said = forecast_of(ArimaForecaster, history(values))
    assert said.value[0, 0] == pytest.approx(values[-1], abs=0.1)
    assert said.value.min() > 0.1
    assert said.value.max() < 0.9


def test_a_likelihood_that_fails_leaves_a_random_walk_and_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    from statsmodels.tsa.arima.model import ARIMA

    def fails(*_: object, **__: object) -> None:
        raise np.linalg.LinAlgError("singular")

    monkeypatch.setattr(ARIMA, "fit", fails)
    values = noisy(1)
    forecaster = ArimaForecaster()
    forecaster.fit(history(values))
    assert forecaster.orders == {"m0": (0, 1, 0)}
    assert "a random walk: no likelihood with d = " in forecaster.notes["m0"]
    assert forecaster.forecast(history(values), 5).value[:, 0] == pytest.approx(np.full(5, values[-1]))


def test_an_order_without_a_likelihood_gives_way_to_others_and_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arima, "_likeliest", lambda values, order: likeliest(values, order) if order[0] == 1 else None)
    found, note = fit_arima(autoregressive(300, 0.8), (2, 0, 2))
    assert found.order == (1, 0, 1)
    assert note.endswith("; no likelihood of ARIMA(2, 0, 2)")


def test_arima_learns_from_the_newest_rows_alone() -> None:
    values = noisy(20)
    assert len(View.of(values, DAY, seasonal=True).remainder(len(values) - FIT_ROWS, len(values))) == FIT_ROWS
    assert len(View.of(values[:500], DAY, seasonal=True).remainder(500 - FIT_ROWS, 500)) == 500 - DAY
