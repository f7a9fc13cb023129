"""The pretrained forecaster: what it forecasts from an hour and from days, its intervals, its file."""

import json
import socket
from typing import Any

import numpy as np
import pytest

from aiops_assets.errors import DataError, ModelError
from aiops_assets.learners.contracts import Forecast
from aiops_assets.learners.forecasters import pretrained
from aiops_assets.learners.forecasters.pretrained import PretrainedForecaster
from aiops_assets.timeseries.history import History
from aiops_assets_tests.learners.forecaster_histories import DAY, history, noisy
from aiops_assets_tests.raising import raises


def made(known: History, horizon: int = 12) -> Forecast:
    forecaster = PretrainedForecaster()
    forecaster.fit(known)
    return forecaster.forecast(known, horizon)


@pytest.fixture(scope="module")
def fitted() -> PretrainedForecaster:
    forecaster = PretrainedForecaster()
    forecaster.fit(history(noisy(1)))
    return forecaster


def test_an_hour_is_enough_and_nothing_is_asked_of_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    pretrained._network.cache_clear()
    known = history(3 + np.random.default_rng(1).normal(0, 0.1, 12))
    found = made(known)
    assert ((found.lower <= found.value) & (found.value <= found.upper)).all()
    assert np.abs(found.value - 3).max() < 0.3
    again = made(known)
    assert (again.value == found.value).all()


def test_a_season_that_was_seen_twice_goes_on() -> None:
    values = noisy(3, noise=0.05)
    known = history(values[: 2 * DAY + 60])
    forecaster = PretrainedForecaster()
    forecaster.metrics, forecaster.step_seconds, forecaster.factors = known.metrics, 300, {"m0": 1.0}
    found = forecaster.forecast(known, DAY)
    came = values[2 * DAY + 60 :]
    wrong = np.abs(found.value[: len(came), 0] - came).mean()
    assert wrong < 0.5 * np.abs(values[2 * DAY + 59] - came).mean()
    width = (found.upper - found.lower)[:, 0]
    assert (np.diff(width) >= -1e-9).all()


ODD: dict[str, Any] = {
    "constant": np.full(30, 3.0),
    "one sample": np.array([0.4] * 12),
    "gaps": np.where(np.arange(60) % 3 == 0, np.nan, noisy(1)[:60]),
    "huge": noisy(1)[:40] * 1e18,
    "far from zero": 1e9 + noisy(1)[:40],
}


@pytest.mark.parametrize("odd", ODD)
def test_odd_histories_have_sensible_forecasts(odd: str) -> None:
    known = history(ODD[odd])
    found = made(known)
    for side in (found.value, found.lower, found.upper):
        assert np.isfinite(side).all()
    values = known.values[known.known]
    room = np.ptp(values) + 1e-9 * np.abs(values).max()
    assert (found.value >= values.min() - room).all()
    assert (found.value <= values.max() + room).all()


def test_a_gap_of_days_in_hourly_rows_is_no_error() -> None:
    values = 3 + np.random.default_rng(1).normal(0, 0.1, 14 * 24)
    gap = np.where((np.arange(len(values)) >= 200) & (np.arange(len(values)) < 275), np.nan, values)
    broken = np.concatenate([values[:-60], np.full(59, np.nan), values[-1:]])
    found = made(history(gap, broken, step="1h"))
    for side in (found.value, found.lower, found.upper):
        assert np.isfinite(side).all()
    assert np.abs(found.value - 3).max() < 0.5


def test_what_stood_still_is_the_surer_the_longer_it_did() -> None:
    hour, day = (made(history(np.full(rows, 3.0))) for rows in (12, DAY))
    assert (hour.value == 3.0).all()
    assert (hour.lower < 3.0).all()
    assert (day.upper - day.lower < 0.1 * (hour.upper - hour.lower)).all()


def test_the_unit_of_a_metric_does_not_matter() -> None:
    values = noisy(1)[:40]
    found, tiny = made(history(values)), made(history(values * 1e-9))
    assert tiny.value * 1e9 == pytest.approx(found.value, rel=1e-4)
    assert tiny.upper * 1e9 == pytest.approx(found.upper, rel=1e-4)


def test_after_an_hour_intervals_are_a_third_wider_than_the_networks_own(monkeypatch: pytest.MonkeyPatch) -> None:
    known = history(noisy(1)[:12])
    found = made(known)
    monkeypatch.setattr(pretrained, "YOUNG_ROWS", 0.0)
    alone = made(known)
    assert found.value == pytest.approx(alone.value)
    assert found.upper - found.value == pytest.approx((1 + 4 / 12) * (alone.upper - alone.value))


def test_intervals_are_calibrated_where_origins_show_how_wide_they_must_be(fitted: PretrainedForecaster) -> None:
    assert fitted.origins == pretrained.ORIGINS
    young = PretrainedForecaster()
    young.fit(history(noisy(1)[:20]))
    assert (young.origins, young.factors) == (0, {"m0": 1.0})
    assert pretrained._factor(np.full(6, 4.0)) == pytest.approx(2.0)  # as many origins as the prior weighs
    assert pretrained._factor(np.array([])) == 1.0


def test_its_file_holds_the_factors_and_which_weights_they_are_of(
    fitted: PretrainedForecaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = fitted.to_bytes()
    assert len(data) < 1000
    again = PretrainedForecaster.from_bytes(data)
    assert (again.metrics, again.factors, again.origins) == (fitted.metrics, fitted.factors, fitted.origins)
    changes: list[dict[str, object]] = [{"format": 9}, {"kind": "arima"}, {"factors": {}}]
    for change in changes:
        with raises(ModelError, "not_a_model_file"):
            PretrainedForecaster.from_bytes(json.dumps(json.loads(data) | change).encode())
    with raises(ModelError, "not_a_model_file"):
        PretrainedForecaster.from_bytes(b"\x80")
    monkeypatch.setattr(pretrained, "weights_digest", lambda: "0" * 64)
    with raises(ModelError, "other_weights"):
        PretrainedForecaster.from_bytes(data)


def test_without_the_package_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained, "PACKAGE", "no_such_package")
    pretrained.weights_digest.cache_clear()
    with raises(ModelError, "no_weights"):
        pretrained.weights_digest()
    pretrained.weights_digest.cache_clear()


def test_other_metrics_and_far_horizons_are_refused(fitted: PretrainedForecaster) -> None:
    with raises(ModelError, "fitted_on_others"):
        fitted.forecast(history(noisy(1), noisy(1)), 12)
    with raises(DataError, "bad_horizon"):
        fitted.forecast(history(noisy(1)), DAY + 1)
