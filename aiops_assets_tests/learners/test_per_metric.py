"""What ARIMA and Prophet share: margins, choices and scales from held-back origins, also where gaps are."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from aiops_assets.learners.forecasters.arima import ArimaForecaster
from aiops_assets.learners.forecasters.per_metric import (
    HOUR_MEDIAN,
    Margins,
    Metric,
    PerMetricForecaster,
    Scale,
    hour_median_errors,
    smallest_errors,
    unjudged,
)
from aiops_assets.timeseries.history import History
from aiops_assets.timeseries.series import Floats
from aiops_assets_tests.learners.forecaster_histories import DAY, both, forecast_of, history, noisy


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
    assert smallest_errors([near, far]) == 0
    assert smallest_errors([far * 2, far]) == 1
    assert smallest_errors([np.full((2, 9), np.nan)] * 2) == 0


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


@pytest.mark.parametrize(
    "begin",
    [4 * DAY - 5, pytest.param(4 * DAY + 100, marks=pytest.mark.long)],  # where a held-back part begins, and in it
)
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


@pytest.mark.long
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
        ArimaForecaster()._fit_model(metric)
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
    why = unjudged()
    assert why.code == "unjudged"
    assert forecaster.notes["m0"] == f"{HOUR_MEDIAN}: {why}"
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
