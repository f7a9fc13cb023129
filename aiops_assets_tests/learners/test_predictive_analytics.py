"""The served forecaster: it answers from whatever history is at hand."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from aiops_assets.engine.served_rows import answer
from aiops_assets.errors import DataError, ModelError
from aiops_assets.families.forecasters import METRICS
from aiops_assets.families.predictive_analytics import PredictiveFamily
from aiops_assets.judging.forecasting.holdout import figures_of, holdout_forecasts
from aiops_assets.learners.forecasters.direct import draw_pairs
from aiops_assets.learners.forecasters.learned import LearnedForecaster
from aiops_assets.learners.forecasters.predictive_analytics import HOURLY, LOOKBACK, SAMPLE, PredictiveAnalytics
from aiops_assets.learners.forecasters.trees import Boosting, RandomForest, Trees
from aiops_assets.timeseries.engine_layouts import history_of_row
from aiops_assets.timeseries.history import History
from aiops_assets.timeseries.series import Floats
from aiops_assets.views.cluster_metrics import history_of_segment
from aiops_assets_tests.raising import raises
from aiops_assets_tests.views.cluster_rows import cluster_rows


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return cluster_rows(9)


@pytest.fixture(scope="module")
def history(rows: pd.DataFrame) -> History:
    return history_of_segment(rows, METRICS)


@pytest.fixture(scope="module")
def fitted(rows: pd.DataFrame) -> PredictiveAnalytics:
    model: PredictiveAnalytics = PredictiveFamily().fit(
        rows[rows["split"] == "train"], {"trees": "boosting", "lookback_window": 24}, 42
    )
    return model


@pytest.mark.long
def test_it_beats_the_trivial_ones_on_a_hold_out_it_never_saw(fitted: PredictiveAnalytics, rows: pd.DataFrame) -> None:
    figures = figures_of(holdout_forecasts(fitted, rows, METRICS))
    for name, ratios in figures.ratios.items():
        assert all(ratio < 1.0 for ratio in ratios.values()), (name, ratios)


@pytest.mark.parametrize(("rows_known", "part"), [(1, SAMPLE), (23, SAMPLE), (24, LOOKBACK), (400, LOOKBACK)])
def test_what_is_known_decides_which_part_answers(
    fitted: PredictiveAnalytics, history: History, rows_known: int, part: str
) -> None:
    known = history.newest(rows_known)
    said, alone = fitted.forecast(known, 12), fitted.parts[part].forecast(known, 12)
    assert np.array_equal(said.value, alone.value)
    assert np.array_equal(said.upper, alone.upper)


def test_more_history_gives_narrower_intervals(fitted: PredictiveAnalytics, history: History) -> None:
    widths = []
    for known in (history.newest(1), history.newest(24), history):
        said = fitted.forecast(known, 288)
        widths.append(((said.upper - said.lower) / np.median(history.values, axis=0)).mean())
    assert widths[0] > widths[1] > widths[2]


def test_intervals_of_a_lookback_hold_about_eight_of_ten_values(fitted: PredictiveAnalytics, history: History) -> None:
    """On the hold-out, which the fit never saw: each part is calibrated for what it knows."""
    inside = []
    for rows_known in (1, 24):
        found = []
        for at in range(len(history.times) - 500, len(history.times) - 72, 24):
            said = fitted.forecast(history.until(at).newest(rows_known), 72)
            truth = history.values[at : at + 72]
            found.append(np.mean((truth >= said.lower) & (truth <= said.upper)))
        inside.append(np.mean(found))
    assert all(0.65 <= share <= 0.95 for share in inside), inside


def test_an_hourly_history_is_forecast_in_hours(fitted: PredictiveAnalytics, history: History) -> None:
    hourly = history.sampled(3600).newest(48)
    said = fitted.forecast(hourly, 12)
    assert np.array_equal(said.value, fitted.parts[HOURLY].forecast(hourly, 12).value)
    assert (said.times - hourly.times[-1] == pd.to_timedelta(np.arange(1, 13), unit="h")).all()
    with raises(ModelError, "other_steps", step_seconds=600, known=[300, 3600]):
        fitted.forecast(history.sampled(600), 12)
    with raises(DataError, "bad_horizon", horizon=25, most=24, step_seconds=3600):
        fitted.forecast(hourly, 25)


def test_the_engines_row_is_answered_by_the_native_forecast(fitted: PredictiveAnalytics, history: History) -> None:
    sample = history.values[-1]
    native = fitted.forecast(history_of_row(sample, now=history.times[-1]), 12)
    assert fitted.hourly_baseline
    answered = answer(fitted, [sample.tolist()], 12, fitted.hourly_baseline, now=history.times[-1])
    assert isinstance(answered, dict)
    for name in ("cpu_usage", "memory_usage"):
        column = native.value[:, METRICS.index(name)]
        assert answered[name]["forecast"] == pytest.approx(np.clip(column, 0.0, 1.0).tolist())


def test_the_file_holds_the_whole_model(fitted: PredictiveAnalytics, history: History) -> None:
    again = PredictiveAnalytics.from_bytes(fitted.to_bytes())
    assert again.hourly_baseline == fitted.hourly_baseline
    assert again.lookback == fitted.lookback
    for known in (history, history.newest(24), history.newest(1), history.sampled(3600)):
        said, expected = again.forecast(known, 12), fitted.forecast(known, 12)
        assert np.array_equal(said.value, expected.value)
        assert np.array_equal(said.lower, expected.lower)


def test_the_file_loads_without_this_package(fitted: PredictiveAnalytics, tmp_path: Path) -> None:
    (tmp_path / "model.joblib").write_bytes(fitted.to_bytes())
    script = (
        "import json, sys, joblib; sys.modules['aiops_assets'] = None\n"
        "document = joblib.load('model.joblib')\n"
        "made_by = type(document['parts']['history']['stages'][0]).__module__.split('.')[0]\n"
        "print(json.dumps([sorted(document['parts']), made_by]))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [["history", "hourly", "lookback", "sample"], "sklearn"]


def test_other_files_are_refused() -> None:
    import io

    import joblib

    buffer = io.BytesIO()
    joblib.dump({"format": 99}, buffer)
    for data, code in ((buffer.getvalue(), "other_format"), (b"no pickle", "not_a_model_file")):
        with raises(ModelError, code):
            PredictiveAnalytics.from_bytes(data)


@pytest.mark.parametrize(("trees", "stages"), [(Boosting(42), 2), (RandomForest(42), 1)])
def test_boosting_goes_on_from_the_booster_and_the_forest_is_fitted_anew(
    history: History, trees: Trees, stages: int
) -> None:
    known = history.newest(150)
    before = LearnedForecaster(42, 1, trees)
    before.fit(known)
    further = LearnedForecaster(42, 1, trees, start=before)
    further.fit(known)
    assert len(further.trees.stages) == stages
    assert (further.trees.stages[0] is before.trees.stages[0]) == (stages == 2)
    again = LearnedForecaster()
    again.restore(further.state())
    assert np.array_equal(again.forecast(known, 12).value, further.forecast(known, 12).value)


def test_what_boosting_goes_on_from_is_forgotten_after_four_windows() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(300, 3)), rng.normal(size=300)
    trees, lengths = Boosting(42), []
    for _ in range(6):
        trees = trees.fit(x, y, trees)
        lengths.append(len(trees.stages))
    assert lengths == [1, 2, 3, 4, 1, 2]


def test_a_memory_is_what_a_shorter_history_would_know(history: History) -> None:
    model = LearnedForecaster(42, 24)
    model.fit(history)
    assert np.array_equal(model.forecast(history, 288).value, model.forecast(history.newest(24), 288).value)


def test_what_cannot_be_fitted_is_said(history: History, rows: pd.DataFrame) -> None:
    with raises(ModelError, "unknown_trees", trees="oak", known=("boosting", "random_forest")):
        PredictiveAnalytics(trees="oak")
    with raises(ModelError, "other_steps", step_seconds=3600, known=[300]):
        PredictiveAnalytics().fit(history.sampled(3600))
    with raises(ModelError, "silent_metrics", metrics=("disk_usage",)):
        PredictiveFamily().fit(rows.assign(disk_usage=np.nan), {"trees": "boosting", "lookback_window": 24}, 42)
    with raises(ModelError, "not_fitted"):
        PredictiveAnalytics().to_bytes()


def test_an_hourly_forecast_is_as_near_the_last_value_as_the_history_says(fitted: PredictiveAnalytics) -> None:
    """A level that only jumps is best told by its last value, a clean season is not."""
    rng = np.random.default_rng(3)
    times = pd.date_range("2026-03-02", periods=48, freq="h", tz="UTC", name="timestamp")
    jumps = np.select([np.arange(48) < 20, np.arange(48) < 40], [0.2, 0.5], 0.7) + 1e-3 * rng.standard_normal(48)
    season = 0.5 + 0.2 * np.sin(np.arange(48) / 24 * 2 * np.pi)
    values = np.stack([jumps, season, season, season, season], axis=1)
    known = History(METRICS, times, values, np.ones_like(values, dtype=bool), 3600)
    said, learned = fitted.forecast(known, 12), LearnedForecaster.forecast(fitted.parts[HOURLY], known, 12)
    off, without = (np.abs(one.value[:, 0] - jumps[-1]).mean() for one in (said, learned))
    assert off < 0.5 * without
    came = 0.5 + 0.2 * np.sin(np.arange(48, 60) / 24 * 2 * np.pi)
    assert np.abs(said.value[:, 1] - came).mean() < 0.5 * np.abs(season[-1] - came).mean()
    assert (said.lower <= said.value).all()
    assert (said.value <= said.upper).all()


def stepped(back: int, rows: int = 1500) -> Floats:
    rng = np.random.default_rng(back)
    return np.where(np.arange(rows) < rows - back, 0.2, 0.8) + 0.01 * rng.standard_normal(rows)


def history_like(values: Floats) -> History:
    times = pd.date_range("2026-03-02", periods=len(values), freq="5min", tz="UTC", name="timestamp")
    together = np.tile(values[:, np.newaxis], (1, len(METRICS)))
    return History(METRICS, times, together, np.ones_like(together, dtype=bool), 300)


@pytest.mark.parametrize("back", [12, 36, 116, 200])
def test_a_level_that_shifted_is_followed_or_the_interval_knows_of_it(fitted: PredictiveAnalytics, back: int) -> None:
    """The cluster that it learned from always returned to its median; another may stay where it went."""
    values = stepped(back)
    said = fitted.forecast(history_like(values), 288)
    assert said.value[0] == pytest.approx(values[-1], abs=0.1)
    assert (said.upper[:, 0] > 0.75).all()
    assert (np.diff((said.upper - said.value)[:, 0]) >= -1e-9).all()


@pytest.mark.parametrize("value", [0.0, 0.1, 0.5, 1e6])
@pytest.mark.parametrize("n", [24, 2016])
def test_what_never_moved_stays_where_it_is(fitted: PredictiveAnalytics, value: float, n: int) -> None:
    said = fitted.forecast(history_like(np.full(n, value)), 12)
    assert said.value == pytest.approx(value, abs=1e-9)
    assert (said.lower <= value).all()
    assert (said.upper >= value).all()


def test_what_goes_on_from_what_is_said() -> None:
    model = PredictiveAnalytics()
    assert model.why_anew("random_forest", 24) == "the champion has boosting and a look-back of 24 rows"
    assert model.why_anew("boosting", 12) == "the champion has boosting and a look-back of 24 rows"
    assert model.why_anew("boosting", 24) == "the champion has no booster"
    assert RandomForest().why_anew() == "a random forest is always fitted anew"
    assert Boosting(stages=(1, 2, 3)).why_anew() == ""
    assert Boosting(stages=(1, 2, 3, 4)).why_anew() == "the champion's booster is of 4 windows already"


@pytest.mark.long
def test_two_hours_are_enough_to_be_fitted_and_less_is_refused_in_words(history: History) -> None:
    model = PredictiveAnalytics()
    model.fit(history.newest(24))
    assert np.isfinite(model.forecast(history.newest(24), 12).value).all()
    assert np.isfinite(model.forecast(history.sampled(3600), 12).value).all()
    with raises(ModelError, "no_samples"):
        model.fit(history.newest(12))


def test_no_origin_lies_in_a_gap() -> None:
    """There stands what lies between its ends, of which one came later."""
    known = np.arange(2000) % 300 < 200
    t, h = draw_pairs(known, 100, 288, 5000, np.random.default_rng(1))
    assert len(t) > 1000
    assert known[t].all()
    assert known[t + h].all()
