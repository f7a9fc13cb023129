"""ARIMA and Prophet of each metric: what they learn, their intervals from held-back origins, odd histories, files."""

import json
import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from aiops_assets.errors import DataError, ModelError
from aiops_assets.models import arima
from aiops_assets.models.arima import (
    ROWS,
    ArimaForecaster,
    Estimate,
    View,
    differences,
    estimated,
    forecasts,
    same_time,
)
from aiops_assets.models.base import Forecast
from aiops_assets.models.held_back import (
    UNJUDGED,
    Margins,
    Metric,
    PerMetricForecaster,
    Scale,
    hour_median_errors,
    least_wrong,
)
from aiops_assets.models.prophet_forecaster import LOGGERS, ProphetForecaster, corrected
from aiops_assets.timeseries.history import History, history_of
from aiops_assets.timeseries.series import Floats

DAY = 288
likeliest = arima._likeliest
KINDS: list[Callable[[], PerMetricForecaster]] = [ArimaForecaster, ProphetForecaster]
both = pytest.mark.parametrize("kind", KINDS)


def history(*columns: Floats, keep: Floats | None = None, step: str = "5min") -> History:
    times = pd.date_range("2026-01-01", periods=len(columns[0]), freq=step, tz="UTC")
    frame = pd.DataFrame({"timestamp": times, **{f"m{i}": column for i, column in enumerate(columns)}})
    return history_of(frame if keep is None else frame[keep.astype(bool)])


def noisy(days: float, seed: int = 1, noise: float = 0.2) -> Floats:
    """A daily swing that stays where it is, below noise."""
    steps = np.arange(round(days * DAY))
    return 3 + np.sin(steps / DAY * 2 * np.pi) + np.random.default_rng(seed).normal(0, noise, len(steps))


def autoregressive(rows: int, share: float, seed: int = 1) -> Floats:
    values = np.random.default_rng(seed).normal(0, 1, rows)
    for t in range(1, rows):
        values[t] += share * values[t - 1]
    return values


def forecast_of(kind: Callable[[], PerMetricForecaster], known: History, horizon: int = DAY) -> Forecast:
    forecaster = kind()
    forecaster.fit(known)
    return forecaster.forecast(known, horizon)


@pytest.fixture(scope="module")
def fitted() -> dict[str, PerMetricForecaster]:
    known = history(noisy(5))
    made = {kind().kind: kind() for kind in KINDS}
    for one in made.values():
        one.fit(known)
    return made


# What ARIMA is made of


def test_a_test_tells_whether_differences_are_taken() -> None:
    noise = np.random.default_rng(1).normal(0, 1, 600)
    assert differences(noise) == 0
    assert differences(np.cumsum(noise)) == 1


def test_the_likelihood_finds_what_a_series_was_made_of() -> None:
    found, _ = estimated(5 + autoregressive(1000, 0.8))
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


def test_what_was_usual_at_a_time_is_told_by_known_rows_alone() -> None:
    values = noisy(4)
    known = np.full(DAY, 3 * DAY - 1)
    rows = known + np.arange(1, DAY + 1)
    usual = same_time(values, rows, known, DAY)
    other = np.concatenate([values[: 3 * DAY], np.full(DAY, 1e9)])
    assert np.array_equal(same_time(other, rows, known, DAY), usual)
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
    assert same_time(values, rows, known, DAY) == pytest.approx(0.05 * np.sin(rows / DAY * 2 * np.pi), abs=0.02)
    walk = forecasts(Estimate((0, 1, 0), []), View.of(values, DAY, True), known[:1], DAY, seasonal=True)[0]
    assert walk == pytest.approx(0.8 + 0.05 * np.sin(rows / DAY * 2 * np.pi), abs=0.06)


@pytest.mark.parametrize("seasonal", [False, True])
@pytest.mark.parametrize("days_ago", [4, 3.5])
def test_a_level_that_shifted_is_counted_once(days_ago: float, seasonal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arima, "least_wrong", lambda _: 2 * seasonal)  # plain scale
    values = shifted(days_ago)
    said = forecast_of(ArimaForecaster, history(values))
    assert said.value[0, 0] == pytest.approx(values[-1], abs=0.1)
    assert said.value.min() > 0.1
    assert said.value.max() < 0.9


# What both share


def test_margins_are_quantiles_of_errors_that_never_shrink() -> None:
    rng = np.random.default_rng(1)
    growing = rng.normal(0, 1, (4000, 100)) * np.concatenate([np.linspace(1, 3, 60), np.linspace(3, 1, 40)])
    margins = Margins.of(growing)
    below, above = margins.at(np.arange(1, 101))
    assert (np.diff(above) >= 0).all()
    assert (np.diff(below) <= 0).all()
    assert above[0] == pytest.approx(1.2816, abs=0.1)
    assert above[-1] == pytest.approx(1.2816 * 2.8, rel=0.15)
    assert np.allclose(margins.at(np.array([400])), 2 * margins.at(np.array([100])))


def test_margins_know_of_errors_that_are_all_on_one_side_and_of_none() -> None:
    below, above = Margins.of(np.linspace(1, 2, 101)[:, None].repeat(5, axis=1)).at(np.arange(1, 6))
    assert (below == 0).all()
    assert above == pytest.approx(np.full(5, 1.9))
    assert (Margins.of(np.full((3, 5), np.nan)).at(np.arange(1, 6)) == 0).all()


def test_the_least_wrong_candidate_is_chosen_near_and_far_alike() -> None:
    near, far = np.full((9, 200), 1.0), np.full((9, 200), 1.0)
    near[:, :3], far[:, 190:] = 0.1, 0.1
    assert least_wrong([near, far]) == 0
    assert least_wrong([far * 2, far]) == 1
    assert least_wrong([np.full((2, 9), np.nan)] * 2) == 0


def test_errors_are_of_what_came_and_was_known() -> None:
    known = np.array([True, True, True, False, True])
    metric = Metric(pd.date_range("2026-01-01", periods=5, freq="5min", tz="UTC"), np.arange(5.0), known, DAY)
    errors = metric.errors(np.array([0, 2]), np.zeros((2, 3)))
    assert np.array_equal(errors, [[1, 2, np.nan], [np.nan, 4, np.nan]], equal_nan=True)


def gapped(days: int, begin: int, end: int, after: float = 0.0) -> History:
    """Noise with a gap; the first sample after it, moved by so much, tells what stands in the gap."""
    values, keep = noisy(days), np.ones(days * DAY)
    keep[begin:end] = 0
    values[end] += after
    return history(values, keep=keep)


def test_an_origin_in_a_gap_is_the_newest_sample_before_it() -> None:
    metric = Metric.all_of(gapped(1, 100, 120))[0]
    assert metric.origins(np.array([90, 99, 105, 119, 120])).tolist() == [90, 99, 120]
    assert metric.origins(np.array([110, 119])).tolist() == []
    assert metric.origins(np.array([110, 119, 130])).tolist() == [130]


@pytest.mark.parametrize("begin", [4 * DAY - 5, 4 * DAY + 100])  # where a held-back part begins, and in it
@both
def test_no_model_is_judged_from_within_a_gap(
    kind: Callable[[], PerMetricForecaster], begin: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    errors = Metric.errors

    def noted(metric: Metric, origins: Any, ahead: Floats) -> Floats:
        asked.extend(origins)
        return errors(metric, origins, ahead)

    monkeypatch.setattr(Metric, "errors", noted)
    known = gapped(8, begin, begin + DAY // 2)
    forecast_of(kind, known)
    assert asked
    assert known.known[asked, 0].all()


def test_the_sample_after_a_gap_changes_no_forecast_from_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    begin, end = 5 * DAY, 5 * DAY + 60
    asked: list[tuple[Any, Floats]] = []
    errors = Metric.errors

    def noted(metric: Metric, origins: Any, ahead: Floats) -> Floats:
        asked.append((origins, ahead))
        return errors(metric, origins, ahead)

    monkeypatch.setattr(Metric, "errors", noted)
    found = []
    for after in (0.0, 90.0):
        asked.clear()
        metric = Metric.all_of(gapped(8, begin, end, after))[0]
        hour_median_errors(metric)
        ArimaForecaster()._fitted(metric)
        found.append([ahead[origins < end] for origins, ahead in asked])
        assert all(len(ahead) > 10 for ahead in found[-1])
    for plain, moved in zip(*found, strict=True):
        assert np.array_equal(plain, moved)


@both
def test_a_held_back_part_without_samples_judges_no_model_and_a_note_says_so(
    kind: Callable[[], PerMetricForecaster],
) -> None:
    known = history(noisy(9))
    known = History(known.metrics, known.times, known.values, known.known.copy(), known.step_seconds)
    known.known[4 * DAY :] = False
    forecaster = kind()
    forecaster.fit(known)
    assert forecaster.notes["m0"] == f"median of the last hour: {UNJUDGED}"
    said = forecaster.forecast(known, 12)
    assert (said.upper > said.lower).all()


@pytest.mark.parametrize("compressed", [False, True])
def test_a_scale_is_undone_and_goes_not_far_beyond_what_was(compressed: bool) -> None:
    values = np.concatenate([noisy(1), [500.0]])
    scale = Scale.of(values, compressed)
    assert scale.back(scale.into(values), values) == pytest.approx(values)
    least, most = scale.back(np.array([-1e6, 1e6]), values)
    assert least == pytest.approx(values.min() - np.ptp(values) / 2)
    assert most == pytest.approx(values.max() + np.ptp(values) / 2)
    assert abs(scale.into(np.array([500.0]))[0]) < 10 if compressed else scale.into(np.array([500.0]))[0] > 100


def test_what_prophet_says_is_corrected_by_the_newest_residuals() -> None:
    values = np.concatenate([np.full(DAY - 12, 2.0), np.full(12, 5.0)])
    metric = Metric(pd.date_range("2026-01-01", periods=DAY, freq="5min", tz="UTC"), values, values > 0, DAY)
    scale, said = Scale(0.0, 1.0, False, 0.0, 9.0), np.ones(2 * DAY)
    by = {key: corrected(said, scale, metric, 0, DAY - 1, DAY, *key) for key in ((0.0, 0.0), (0.0, 1.0), (3.0, 1.0))}
    assert by[0.0, 0.0] == pytest.approx(np.ones(DAY))
    assert by[0.0, 1.0] == pytest.approx(np.full(DAY, 2.0))
    assert by[3.0, 1.0][35] == pytest.approx(2 + 3 / np.e)


# What holds of both


@both
def test_a_season_below_noise_is_learnt(kind: Callable[[], PerMetricForecaster]) -> None:
    values = noisy(6)
    said = forecast_of(kind, history(values[:-DAY])).value[:, 0]
    wrong = np.abs(said - values[-DAY:]).mean()
    assert wrong < 0.5 * np.abs(np.median(values[-2 * DAY : -DAY]) - values[-DAY:]).mean()
    assert wrong < 0.9 * np.abs(values[-2 * DAY : -DAY] - values[-DAY:]).mean()


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
    kind: Callable[[], PerMetricForecaster], odd: str
) -> None:
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
    why = {"constant": "it never changed", "40 rows": "40 rows are too few"}[odd]
    assert forecaster.notes["m0"].startswith(f"median of the last hour: {why}")
    said = forecaster.forecast(known, 12)
    assert said.value[:, 0] == pytest.approx(np.full(12, np.median(known.values[-12:])))
    assert forecaster.kind != "arima" or forecaster.orders == {}  # type: ignore[attr-defined]


def test_notes_and_orders_say_what_was_fitted(fitted: dict[str, PerMetricForecaster]) -> None:
    own = fitted["arima"]
    assert isinstance(own, ArimaForecaster)
    assert own.notes["m0"].startswith(f"ARIMA{own.orders['m0']}")
    assert fitted["prophet"].notes["m0"].startswith("Prophet")


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
    found, note = estimated(autoregressive(300, 0.8), (2, 0, 2))
    assert found.order == (1, 0, 1)
    assert note.endswith("; no likelihood of ARIMA(2, 0, 2)")


def test_a_stan_that_fails_leaves_the_last_hour_and_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    from prophet import Prophet

    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("optimization failed")

    monkeypatch.setattr(Prophet, "fit", fails)
    forecaster = ProphetForecaster()
    forecaster.fit(history(noisy(3)))
    assert forecaster.notes["m0"] == "median of the last hour: Prophet found no fit: optimization failed"


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
    with pytest.raises(
        ModelError, match=f"of kind '{other.kind}', format {other.format}: not '{own.kind}', {own.format}"
    ):
        type(own).from_bytes(other.to_bytes())
    for data in (b"\x80", b"{}", b"[]", own.to_bytes()[:-9]):
        with pytest.raises(ModelError, match=f"not a model file of '{own.kind}'"):
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
    with pytest.raises(ModelError, match="fitted on nothing"):
        kind().forecast(known, 12)
    forecaster = fitted[kind().kind]
    with pytest.raises(ModelError, match=r"fitted on m0 in steps of 300 s, asked about m0, m1 in steps of 300 s"):
        forecaster.forecast(history(noisy(1), noisy(1)), 12)
    for horizon in (0, DAY + 1):
        with pytest.raises(DataError, match=r"1 to 288 steps of 300 s can be forecast, a day"):
            forecaster.forecast(known, horizon)


def test_a_history_without_a_sample_is_refused() -> None:
    known = history(noisy(1))
    empty = History(known.metrics, known.times, known.values, np.zeros_like(known.known), known.step_seconds)
    with pytest.raises(ModelError, match="no metric has samples"):
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


def test_arima_learns_from_the_newest_rows_alone() -> None:
    values = noisy(20)
    assert len(View.of(values, DAY, seasonal=True).remainder(len(values) - ROWS, len(values))) == ROWS
    assert len(View.of(values[:500], DAY, seasonal=True).remainder(500 - ROWS, 500)) == 500 - DAY
