"""What holds of ARIMA and Prophet of each metric: what they learn, their intervals, odd histories, files, refusals."""

import json
import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from aiops_assets.errors import DataError, ModelError
from aiops_assets.learners.forecasters import arima
from aiops_assets.learners.forecasters.arima import ArimaForecaster
from aiops_assets.learners.forecasters.per_metric import HOUR_MEDIAN, Metric, PerMetricForecaster, Scale
from aiops_assets.learners.forecasters.prophet import LOGGERS, ProphetForecaster, correct
from aiops_assets.timeseries.history import History
from aiops_assets_tests.learners.forecaster_histories import DAY, KINDS, both, forecast_of, history, noisy
from aiops_assets_tests.raising import raises


@pytest.fixture(scope="module")
def fitted() -> dict[str, PerMetricForecaster]:
    known = history(noisy(5))
    made = {kind().kind: kind() for kind in KINDS}
    for one in made.values():
        one.fit(known)
    return made


@pytest.mark.long
@both
def test_a_season_below_noise_is_learnt(kind: Callable[[], PerMetricForecaster]) -> None:
    values = noisy(6)
    said = forecast_of(kind, history(values[:-DAY])).value[:, 0]
    wrong = np.abs(said - values[-DAY:]).mean()
    assert wrong < 0.5 * np.abs(np.median(values[-2 * DAY : -DAY]) - values[-DAY:]).mean()
    # The search for ARIMA's likelihood ends after a count of steps, at another place on each kind of processor.
    assert wrong < 0.95 * np.abs(values[-2 * DAY : -DAY] - values[-DAY:]).mean()


@pytest.mark.long
@both
def test_about_eight_of_ten_values_lie_in_the_interval(kind: Callable[[], PerMetricForecaster]) -> None:
    inside = []
    for seed in range(3):
        values = noisy(5, seed)
        said = forecast_of(kind, history(values[:-DAY]))
        inside.append(np.mean((values[-DAY:] >= said.lower[:, 0]) & (values[-DAY:] <= said.upper[:, 0])))
    assert 0.7 <= np.mean(inside) <= 0.9


STEPS = np.arange(4 * DAY)
ODD: dict[str, tuple[Any, Any]] = {
    "constant": (np.full(4 * DAY, 3.0), None),
    "step": (np.where(STEPS < 3 * DAY, 1.0, 5.0), None),
    "ramp": (STEPS * 0.01, None),
    "70 rows": (noisy(1)[:70], None),
    "40 rows": (noisy(1)[:40], None),
    "12 rows": (noisy(1)[:12], None),
    "two days": (noisy(2), None),
    "a day missing": (noisy(4), STEPS // DAY != 2),
    "two ends": (noisy(4), (STEPS < 15) | (STEPS >= 4 * DAY - 30)),
    "gaps": (np.where(np.random.default_rng(1).random(4 * DAY) < 0.3, np.nan, noisy(4)), None),
    "counter reset": (np.where(STEPS < 3 * DAY, STEPS, STEPS - 3 * DAY) * 2.0, None),
    "ends in a gap": (np.where(STEPS < 3 * DAY, noisy(4), np.nan), None),
    "huge": (noisy(4) * 1e18, None),
    "far from zero": (1e12 + noisy(4), None),
    "tiny": (noisy(4) * 1e-9, None),
    "spikes": (np.where(STEPS % 100 == 0, 1e6, 1.0), None),
}


@both
@pytest.mark.parametrize("odd", ODD)
def test_odd_histories_have_sensible_forecasts_with_intervals_that_widen(
    kind: Callable[[], PerMetricForecaster], odd: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Which order is the best one, is not asked here: two of four take half the time.
    monkeypatch.setattr(arima, "ORDERS", arima.ORDERS[:2])
    values, keep = ODD[odd]
    said = forecast_of(kind, history(values, keep=keep))
    assert np.isfinite(said.value).all()
    assert (said.lower <= said.value).all()
    assert (said.value <= said.upper).all()
    assert (np.diff((said.upper - said.value)[:, 0]) >= -1e-9 * np.nanmax(np.abs(values))).all()
    least, most = np.nanmin(values), np.nanmax(values)
    assert least - (most - least) <= said.value.min()
    assert said.value.max() <= most + (most - least)
    assert said.lower.min() >= 0  # none of them ever was below


@both
@pytest.mark.parametrize("odd", ["constant", "40 rows"])
def test_where_no_model_is_possible_the_last_hour_goes_on_and_a_note_says_so(
    kind: Callable[[], PerMetricForecaster], odd: str
) -> None:
    known = history(ODD[odd][0])
    forecaster = kind()
    forecaster.fit(known)
    code, facts = {"constant": ("never_changed", {}), "40 rows": ("too_few_rows", {"rows": 40})}[odd]
    with raises(ModelError, code, **facts) as refused:
        forecaster._fit_model(*Metric.all_of(known))
    assert forecaster.notes["m0"] == f"{HOUR_MEDIAN}: {refused.value}"
    said = forecaster.forecast(known, 12)
    assert said.value[:, 0] == pytest.approx(np.full(12, np.median(known.values[-12:])))
    assert forecaster.kind != "arima" or forecaster.orders == {}  # type: ignore[attr-defined]


@pytest.mark.long
def test_notes_and_orders_say_what_was_fitted(fitted: dict[str, PerMetricForecaster]) -> None:
    own = fitted["arima"]
    assert isinstance(own, ArimaForecaster)
    assert own.notes["m0"].startswith(f"ARIMA{own.orders['m0']}")
    assert fitted["prophet"].notes["m0"].startswith("Prophet")


def test_what_prophet_says_is_corrected_by_the_newest_residuals() -> None:
    values = np.concatenate([np.full(DAY - 12, 2.0), np.full(12, 5.0)])
    metric = Metric(pd.date_range("2026-01-01", periods=DAY, freq="5min", tz="UTC"), values, values > 0, DAY)
    scale, said = Scale(0.0, 1.0, False, 0.0, 9.0), np.ones(2 * DAY)
    by = {key: correct(said, scale, metric, 0, DAY - 1, DAY, *key) for key in ((0.0, 0.0), (0.0, 1.0), (3.0, 1.0))}
    assert by[0.0, 0.0] == pytest.approx(np.ones(DAY))
    assert by[0.0, 1.0] == pytest.approx(np.full(DAY, 2.0))
    assert by[3.0, 1.0][35] == pytest.approx(2 + 3 / np.e)


def test_a_stan_that_fails_leaves_the_last_hour_and_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    from prophet import Prophet

    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("optimization failed")

    monkeypatch.setattr(Prophet, "fit", fails)
    forecaster, known = ProphetForecaster(), history(noisy(3))
    forecaster.fit(known)
    with raises(ModelError, "no_fit", cause="optimization failed") as refused:
        forecaster._fit_model(*Metric.all_of(known))
    assert forecaster.notes["m0"] == f"{HOUR_MEDIAN}: {refused.value}"


@both
def test_a_file_is_one_json_document_that_forecasts_the_same(
    kind: Callable[[], PerMetricForecaster], fitted: dict[str, PerMetricForecaster]
) -> None:
    forecaster = fitted[kind().kind]
    data = forecaster.to_bytes()
    assert json.loads(data)["kind"] == forecaster.kind
    loaded = type(forecaster).from_bytes(data)
    later = history(noisy(6, seed=2))
    said, again = forecaster.forecast(later, DAY), loaded.forecast(later, DAY)
    for side in ("value", "lower", "upper"):
        assert getattr(again, side) == pytest.approx(getattr(said, side), rel=1e-9, abs=0)
    assert loaded.notes == forecaster.notes


@both
def test_files_of_something_else_are_refused(
    kind: Callable[[], PerMetricForecaster], fitted: dict[str, PerMetricForecaster]
) -> None:
    own, other = (fitted[name] for name in (kind().kind, "prophet" if kind().kind == "arima" else "arima"))
    found, expected = ((one.kind, one.format) for one in (other, own))
    with raises(ModelError, "other_file", found=found, expected=expected):
        type(own).from_bytes(other.to_bytes())
    for data in (b"\x80", b"{}", b"[]", own.to_bytes()[:-9]):
        with raises(ModelError, "not_a_model_file", expected=own.kind):
            type(own).from_bytes(data)


@both
@pytest.mark.parametrize("rows", [1, 2, 24, DAY - 1, DAY + 13])
def test_a_history_shorter_than_the_one_that_was_learnt_from_is_gone_on_with(
    kind: Callable[[], PerMetricForecaster], fitted: dict[str, PerMetricForecaster], rows: int
) -> None:
    values = noisy(7, seed=3)
    newest = history(values[: 6 * DAY])
    begin = 6 * DAY - rows
    known = History(
        newest.metrics, newest.times[begin:], newest.values[begin:], newest.known[begin:], newest.step_seconds
    )
    said = fitted[kind().kind].forecast(known, DAY)
    assert said.times[0] == newest.times[-1] + pd.Timedelta("5min")
    assert np.abs(said.value[:, 0] - values[-DAY:]).mean() < 0.8
    assert ((said.lower <= said.value) & (said.value <= said.upper)).all()


@both
def test_a_later_history_is_followed_without_a_new_fit(kind: Callable[[], PerMetricForecaster]) -> None:
    level = np.cumsum(np.random.default_rng(1).normal(0, 0.1, 6 * DAY)) + 50
    forecaster = kind()
    forecaster.fit(history(level[: 5 * DAY]))
    moved = np.concatenate([level[: 5 * DAY], level[5 * DAY :] + 9])
    near, far = (forecaster.forecast(history(values), 6).value[:, 0] for values in (level, moved))
    assert far - near == pytest.approx(np.full(6, 9.0), abs=2.5)
    assert near == pytest.approx(np.full(6, level[-1]), abs=1.5)


@pytest.mark.long
@both
def test_metrics_are_modelled_alone_each_in_its_unit(kind: Callable[[], PerMetricForecaster]) -> None:
    first, second = noisy(3, 1), noisy(3, 2) * 1e6
    together = forecast_of(kind, history(first, second), 12)
    assert together.metrics == ("m0", "m1")
    for m, values in enumerate((first, second)):
        alone = forecast_of(kind, history(values), 12)
        assert together.value[:, m] == pytest.approx(alone.value[:, 0])
        assert together.upper[:, m] == pytest.approx(alone.upper[:, 0])


@both
def test_hours_are_forecast_from_hours(kind: Callable[[], PerMetricForecaster]) -> None:
    values = noisy(10)[::12]
    said = forecast_of(kind, history(np.tile(values, 2), step="1h"), 24)
    assert np.abs(said.value[:, 0] - values[:24]).mean() < 0.5


@both
def test_what_cannot_be_asked_is_refused_by_name(
    kind: Callable[[], PerMetricForecaster], fitted: dict[str, PerMetricForecaster]
) -> None:
    known = history(noisy(1))
    with raises(ModelError, "fitted_on_others", fitted=((), 0), asked=(("m0",), 300)):
        kind().forecast(known, 12)
    forecaster = fitted[kind().kind]
    with raises(ModelError, "fitted_on_others", fitted=(("m0",), 300), asked=(("m0", "m1"), 300)):
        forecaster.forecast(history(noisy(1), noisy(1)), 12)
    for horizon in (0, DAY + 1):
        with raises(DataError, "bad_horizon", horizon=horizon, most=288, step_seconds=300):
            forecaster.forecast(known, horizon)


def test_a_history_without_a_sample_is_refused() -> None:
    known = history(noisy(1))
    empty = History(known.metrics, known.times, known.values, np.zeros_like(known.known), known.step_seconds)
    with raises(ModelError, "no_samples"):
        ArimaForecaster().fit(empty)


def test_prophet_and_stan_are_quiet_and_their_loggers_are_left_as_they_were(
    capfd: pytest.CaptureFixture[str],
) -> None:
    before = {name: logging.getLogger(name).disabled for name in LOGGERS}
    root = logging.getLogger().handlers[:]
    forecast_of(ProphetForecaster, history(noisy(2)), 3)
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")
    assert {name: logging.getLogger(name).disabled for name in LOGGERS} == before
    assert logging.getLogger().handlers == root
