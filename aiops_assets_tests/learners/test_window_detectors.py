"""Both window detectors by one contract, through the back-test that people use."""

import json

import numpy as np
import pandas as pd
import pytest

from aiops_assets.errors import DataError, ModelError, SchemaError
from aiops_assets.families.backtests import DETECTORS, backtest
from aiops_assets.families.lstm_predictor import LSTM_PREDICTOR
from aiops_assets.learners.detectors.ensemble import EnsemblePredictor
from aiops_assets_tests.raising import raises

BOTH = pytest.mark.parametrize("name", list(DETECTORS))


def series(n: int = 3000, columns: int = 4, step: str = "5min", train: float = 0.5, seed: int = 1) -> pd.DataFrame:
    """Metrics with a daily season, noise of their own and levels of their own."""
    rng = np.random.default_rng(seed)
    times = pd.date_range("2026-01-01", periods=n, freq=step, tz="UTC")
    hours = (times - times[0]).total_seconds().to_numpy()[:, np.newaxis] / 3600
    level, swing, phase = rng.uniform(1, 100, columns), rng.uniform(0.05, 0.4, columns), rng.uniform(0, 24, columns)
    values = level * (1 + swing * np.sin((hours + phase) * np.pi / 12) + 0.03 * rng.standard_normal((n, columns)))
    frame = pd.DataFrame(values, columns=[f"metric_{i}" for i in range(columns)])
    frame.insert(0, "split", np.where(np.arange(n) < train * n, "train", "test"))
    frame.insert(0, "timestamp", times)
    return frame


def with_incident(frame: pd.DataFrame, begin: int, rows: int = 10, times: float = 2.0) -> pd.DataFrame:
    changed = frame.copy()
    columns = [name for name in frame.columns if name.startswith("metric_")]
    changed.loc[begin : begin + rows - 1, columns] *= times
    return changed


def peak(scored: pd.DataFrame, begin: int = 0) -> int:
    """The row with the highest score from ``begin`` on."""
    return begin + int(scored["score"].to_numpy()[begin:].argmax())


@BOTH
def test_an_incident_is_ranked_first_and_alerted(name: str) -> None:
    scored = backtest(name, with_incident(series(), 2500))
    assert list(scored.columns) == ["timestamp", "score", "alert", "page"]
    assert 2500 <= peak(scored, 1500) < 2512
    assert scored["alert"].iloc[2500:2510].any()


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.long) if name == LSTM_PREDICTOR.name else name for name in DETECTORS]
)
def test_no_row_looks_ahead(name: str) -> None:
    """What comes later, cut off or replaced, changes no score and no alert before."""
    frame = with_incident(series(n=2400, columns=3), 2000)
    frame.iloc[1500:1520, 2:] = np.nan
    whole = backtest(name, frame)
    for end in (1250, 1510, 2001, 2395):
        cut = backtest(name, frame.iloc[:end])
        pd.testing.assert_frame_equal(cut, whole.iloc[:end])
        other = frame.copy()
        other.iloc[end:, 2:] = 1e9
        pd.testing.assert_frame_equal(backtest(name, other).iloc[:end], whole.iloc[:end])


@BOTH
def test_no_row_looks_ahead_where_rows_are_nearer_than_the_cadence(name: str) -> None:
    frame = series(n=1000, columns=2, step="1min")
    extra = frame.iloc[550::50].assign(timestamp=lambda rows: rows["timestamp"] + pd.Timedelta(seconds=10))
    extra[["metric_0", "metric_1"]] += 50
    dense = pd.concat([frame, extra]).sort_values("timestamp", ignore_index=True)
    whole = backtest(name, dense)
    for end in np.flatnonzero(dense["timestamp"].dt.second == 10)[:6]:
        pd.testing.assert_frame_equal(backtest(name, dense.iloc[:end]), whole.iloc[:end])


@BOTH
def test_train_and_test_rows_may_take_turns(name: str) -> None:
    frame = with_incident(series(n=2400), 2000)
    for train in (np.arange(2400) % 2 == 0, np.random.default_rng(2).random(2400) < 0.3):
        scored = backtest(name, frame.assign(split=np.where(train, "train", "test")))
        assert np.isfinite(scored["score"]).all()


@BOTH
def test_the_order_of_rows_does_not_matter_and_repeated_rows_share_their_score(name: str) -> None:
    frame = with_incident(series(n=1200, columns=2), 1000)
    whole = backtest(name, frame)
    shuffled = pd.concat([frame, frame.iloc[[700, 701]]]).sample(frac=1.0, random_state=3)
    scored = backtest(name, shuffled)
    expected = whole.iloc[shuffled.index].reset_index(drop=True)
    pd.testing.assert_frame_equal(scored, expected)


@BOTH
def test_train_rows_may_be_younger_than_test_rows(name: str) -> None:
    frame = with_incident(series(n=2400), 300)
    frame["split"] = np.where(np.arange(2400) < 1200, "test", "train")
    scored = backtest(name, frame)
    assert 300 <= peak(scored.iloc[:1200]) < 312
    assert (scored["timestamp"] == frame["timestamp"]).all()


@BOTH
@pytest.mark.parametrize("step", ["10s", "1min", "1h"])
def test_every_cadence(name: str, step: str) -> None:
    frame = with_incident(series(n=1000, columns=2, step=step), 900)
    scored = backtest(name, frame)
    assert scored["score"].iloc[900:910].max() > scored["score"].iloc[500:900].quantile(0.99)


@BOTH
@pytest.mark.parametrize("value", [0.0, 7.5, -3e9])
def test_a_constant_series_raises_no_alert(name: str, value: float) -> None:
    frame = series(n=600, columns=3)
    frame.iloc[:, 2:] = value
    scored = backtest(name, frame)
    assert np.isfinite(scored["score"]).all()
    assert not scored["alert"].any()


@BOTH
def test_one_column_ten_rows_and_a_thousand_columns(name: str) -> None:
    one = backtest(name, with_incident(series(n=800, columns=1), 700))
    assert one["score"].iloc[400:].idxmax() in range(700, 712)
    ten = backtest(name, series(n=10, columns=2, train=1.0))
    assert len(ten) == 10
    assert np.isfinite(ten["score"]).all()
    wide = backtest(name, series(n=60, columns=1000))
    assert np.isfinite(wide["score"]).all()


@BOTH
def test_gaps_and_silence_are_scored_and_raise_no_alert(name: str) -> None:
    frame = series(n=1500)
    frame.iloc[1200:1300, 2:] = np.nan
    frame.iloc[:, 3] = np.nan  # a metric that never came
    scored = backtest(name, frame.drop(index=range(1000, 1040)))
    assert np.isfinite(scored["score"]).all()
    silent = scored[scored["timestamp"].isin(frame["timestamp"].iloc[1206:1300])]
    assert not silent["alert"].any()


@BOTH
def test_what_cannot_be_fitted_is_named(name: str) -> None:
    with raises(ModelError, "too_few_rows", rows=9, least=10):
        backtest(name, series(n=18))
    nothing = series(n=100)
    nothing.iloc[:, 2:] = np.nan
    with raises(ModelError, "no_values"):
        backtest(name, nothing)
    with raises(ModelError, "no_columns"):
        backtest(name, series(n=100)[["timestamp", "split"]])
    with raises(DataError, "no_train_row"):
        backtest(name, series(n=100, train=0.0))
    with pytest.raises(SchemaError, match="metric_1 holds"):
        backtest(name, series(n=100).assign(metric_1="text"))
    with raises(DataError, "unknown_detector", name="oracle", known=tuple(DETECTORS)):
        backtest("oracle", series(n=100))


def test_the_metric_that_was_changed_contributes_first() -> None:
    """Spikes and shifts of one metric out of eight, nine in ten at least."""
    right = []
    for seed in range(5):
        frame = series(n=4000, columns=8, seed=seed)
        rng = np.random.default_rng([seed, 9])
        begins = range(2200, 3900, 85)
        changed = rng.integers(0, 8, len(begins))
        for kind, (begin, metric) in enumerate(zip(begins, changed, strict=True)):
            rows = (1, 6)[kind % 2]
            column = f"metric_{metric}"
            frame.loc[begin : begin + rows - 1, column] += 6 * frame.loc[:2000, column].diff().std()
        scored = backtest("ensemble-predictor", frame, explain=True)
        for begin, metric in zip(begins, changed, strict=True):
            at = peak(scored.iloc[: begin + 6], begin)
            right.append(scored["first_column"].iloc[at] == f"metric_{metric}")
    assert len(right) == 100
    assert np.mean(right) >= 0.9


def test_alerts_keep_to_their_budget_also_after_the_level_moved() -> None:
    """References learn: a frozen threshold would be under alert for all the rest."""
    frame = series(n=9000, columns=3)
    frame.loc[5000:, [name for name in frame.columns if name.startswith("metric_")]] *= 1.5
    alert = backtest("ensemble-predictor", frame)["alert"]
    assert alert.iloc[5000:5010].any()
    assert alert.iloc[5500:].mean() < 0.02
    shares = []
    for budget in (0.002, 0.05):
        detector = EnsemblePredictor(["metric_0", "metric_1"], budget)
        quiet = series(n=9000, columns=2)
        detector.fit([quiet.iloc[:4500]])
        shares.append(detector.score(quiet).alert[4500:].mean())
        assert shares[-1] < 1.2 * budget
    assert 2 * shares[0] < shares[1]


def test_units_and_huge_values_do_not_matter() -> None:
    frame = with_incident(series(), 2500)
    in_bytes = frame.assign(metric_0=frame["metric_0"] * 1e9)
    scored, other = (backtest("ensemble-predictor", one) for one in (frame, in_bytes))
    np.testing.assert_allclose(other["score"], scored["score"], rtol=1e-3, atol=1e-3)
    huge = frame.copy()
    huge.loc[2600, "metric_1"] = 1e308
    assert np.isfinite(backtest("ensemble-predictor", huge)["score"]).all()


def test_the_file_gives_the_same_answers_and_holds_nothing_that_runs() -> None:
    frame = series(n=900)
    columns = [name for name in frame.columns if name.startswith("metric_")]
    detector = EnsemblePredictor(columns)
    detector.fit([frame.iloc[:450]])
    data = detector.to_bytes()
    again = EnsemblePredictor.from_bytes(data)
    first, second = detector.score(frame), again.score(frame)
    assert (first.score == second.score).all()
    assert (first.alert == second.alert).all()
    assert (first.contributions == second.contributions).all()
    assert again.to_bytes() == data
    document = json.loads(data)
    for broken in (b"\x80\x04", b"{}", b"[1]", json.dumps({**document, "format": 99}).encode()):
        with pytest.raises(ModelError):
            EnsemblePredictor.from_bytes(broken)


def test_entities_are_learnt_together_and_scored_apart() -> None:
    """A pod twenty times larger does not hide what happens in a small one."""
    large, small = series(n=2000, columns=2, seed=1), series(n=2000, columns=2, seed=2)
    large[["metric_0", "metric_1"]] *= 20
    detector = EnsemblePredictor(["metric_0", "metric_1"])
    detector.fit([large.iloc[:1600], small.iloc[:1600]])
    scored = detector.score(with_incident(small, 1900))
    assert 1900 <= int(scored.score[1600:].argmax()) + 1600 < 1912
    assert scored.alert[1900:1910].any()


def test_wrong_use_is_named() -> None:
    frame = series(n=300)
    detector = EnsemblePredictor(["metric_0"])
    with raises(ModelError, "not_fitted"):
        detector.score(frame)
    detector.fit([frame])
    with raises(ModelError, "other_cadence", step_seconds=300):
        detector.score(series(n=300, step="1min"))
    with pytest.raises(SchemaError, match="metric_0 is missing"):
        detector.score(frame.drop(columns="metric_0"))
    for budget in (0.0, 0.7):
        with raises(ModelError, "bad_alert_budget", alert_budget=budget):
            EnsemblePredictor(["metric_0"], budget)
    assert len(detector.score(frame.iloc[:0]).score) == 0
    assert np.isfinite(detector.score(frame.iloc[:1]).score).all()
