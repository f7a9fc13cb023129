import numpy as np
import pandas as pd
import pytest

from aiops_assets.errors import DataError, ModelError
from aiops_assets.models import isolation_forest
from aiops_assets.models.backtest import judge_generated, judge_series, labelled_folder, score_frame
from aiops_assets.models.catalog import ANOMALY_DETECTOR
from aiops_assets.models.evaluation import (
    Figures,
    decide,
    healthy_histories,
    healthy_rows,
    judge,
    rows_of,
    smoke_problems,
)
from aiops_assets.stores.records import sha256
from aiops_assets.timeseries.features import ENGINE_DEFAULT
from aiops_assets.timeseries.training_rows import VISIBLE_KINDS, labelled_series, synthetic_rows
from aiops_assets_tests.conftest import END


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return synthetic_rows(labelled_series(50, 7, END, 42, 0.03), 2000, 0.03, 42)


def _fit(rows: pd.DataFrame, seed: int = 42) -> object:
    return isolation_forest.fit(rows[rows["split"] == "train"], ANOMALY_DETECTOR.parameters, seed)


@pytest.fixture(scope="module")
def detector(rows: pd.DataFrame) -> object:
    return _fit(rows)


def test_healthy_rows_raise_few_alarms(detector: object) -> None:
    assert (isolation_forest.predict(detector, healthy_rows(2000, seed=9)) == -1).mean() <= 0.1


def test_nothing_known_is_normal(detector: object) -> None:
    assert smoke_problems(detector) == []
    partly = healthy_rows(500, seed=9)
    for metric in range(5):
        unknown = partly.copy()
        unknown[:, 9 * metric : 9 * metric + 9] = ENGINE_DEFAULT
        assert (isolation_forest.predict(detector, unknown) == 1).all()


def _histories(metric: str, change: object) -> np.ndarray:
    rng = np.random.default_rng(1)
    histories = healthy_histories(500, rng)
    histories[metric] = change(rng, histories[metric])  # type: ignore[operator]
    return rows_of(histories)


@pytest.mark.parametrize(
    ("metric", "change"),
    [
        ("node_cpu_utilization", lambda rng, h: np.clip(rng.normal(0.9, 0.05, h.shape), 0, 1)),
        ("pod_memory_usage", lambda rng, h: 0.95 + np.linspace(-0.015, 0, 6) + 0.01 * rng.standard_normal(h.shape)),
        ("container_restart_count", lambda rng, h: h + rng.poisson(1, h.shape).cumsum(axis=1)),
    ],
)
def test_spike_leak_and_storm_are_caught(detector: object, metric: str, change: object) -> None:
    assert (isolation_forest.predict(detector, _histories(metric, change)) == -1).mean() > 0.75


def test_score_and_answer_agree(detector: object, rows: pd.DataFrame) -> None:
    features = rows.iloc[:, -45:].to_numpy()
    assert (
        (isolation_forest.anomaly_score(detector, features) > 0) == (isolation_forest.predict(detector, features) == -1)
    ).all()


def test_the_fit_is_reproducible_and_survives_the_file(rows: pd.DataFrame, detector: object) -> None:
    data = isolation_forest.to_bytes(detector)
    assert sha256(data) == sha256(isolation_forest.to_bytes(_fit(rows)))
    assert sha256(data) != sha256(isolation_forest.to_bytes(_fit(rows, seed=43)))
    again, probe = isolation_forest.from_bytes(data), healthy_rows(100, 1)
    assert (isolation_forest.anomaly_score(again, probe) == isolation_forest.anomaly_score(detector, probe)).all()


def test_labels_do_not_reach_the_fit(rows: pd.DataFrame, detector: object) -> None:
    shuffled = rows.assign(label=1 - rows["label"], kind="normal")
    assert sha256(isolation_forest.to_bytes(_fit(shuffled))) == sha256(isolation_forest.to_bytes(detector))


@pytest.mark.parametrize("extreme", [1e12, -1e12, 1e-300])
def test_extreme_rows_get_an_answer(detector: object, extreme: float) -> None:
    assert isolation_forest.predict(detector, np.full(45, extreme))[0] in (-1, 1)


@pytest.mark.parametrize(
    ("row", "message"), [(np.zeros(44), "width 44.*expects 45"), (np.full(45, np.nan), "NaN or infinity")]
)
def test_bad_rows_are_refused(detector: object, row: np.ndarray, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        isolation_forest.predict(detector, row)


def test_too_few_rows_are_refused(rows: pd.DataFrame) -> None:
    with pytest.raises(ModelError, match="at least 50"):
        isolation_forest.fit(rows.head(49), ANOMALY_DETECTOR.parameters, 1)


def test_figures_know_a_perfect_and_a_blind_detector(rows: pd.DataFrame) -> None:
    class Fixed:
        def __init__(self, answers: np.ndarray) -> None:
            self.answers = answers

        def predict(self, _: np.ndarray) -> np.ndarray:
            return self.answers

        def decision_function(self, _: np.ndarray) -> np.ndarray:
            return self.answers.astype(float)

    truth = np.where(rows["label"] == 1, -1, 1)
    perfect = judge(Fixed(truth), rows)
    assert perfect.average_precision == perfect.precision == perfect.recall == perfect.f1 == 1.0
    assert perfect.false_alarm_rate == 0.0
    everything = judge(Fixed(np.full(len(rows), -1)), rows)
    assert everything.false_alarm_rate == everything.recall == 1.0
    assert everything.average_precision == pytest.approx(0.03, abs=0.005)
    blind = judge(Fixed(np.ones(len(rows))), rows)
    assert blind.recall == 0.0
    assert blind.precision is None
    assert blind.f1 is None
    normal = judge(Fixed(np.ones(len(rows))), rows.assign(label=0, kind="normal"))
    assert normal.average_precision is None
    assert "average_precision" not in normal.as_metrics()


def _figures(average_precision: float | None) -> Figures:
    return Figures(100, 3, average_precision, None, None, None, None, {})


@pytest.mark.parametrize(
    ("new", "old", "new_source", "old_source", "promote", "reason"),
    [
        (0.5, None, "synthetic", None, True, "first version"),
        (0.6, 0.5, "synthetic", "synthetic", True, "not worse"),
        (0.5, 0.5, "prometheus", "prometheus", True, "not worse"),
        (0.4, 0.5, "prometheus", "synthetic", True, "first version that saw prometheus data"),
        (0.4, 0.5, "prometheus", "prometheus", False, "worse"),
        (0.9, 0.1, "synthetic", "prometheus", False, "saw prometheus data"),
        (None, 0.5, "synthetic", "synthetic", False, "no anomalous row"),
    ],
)
def test_the_rule(
    new: float, old: float | None, new_source: str, old_source: str | None, promote: bool, reason: str
) -> None:
    champion = None if old_source is None else _figures(old)
    decision = decide(_figures(new), champion, challenger_source=new_source, champion_source=old_source)
    assert decision.promote is promote
    assert reason in decision.reason


def test_generated_days_are_judged_by_row_and_by_episode(detector: object) -> None:
    series = labelled_series(10, 3, END, 5, 0.03, VISIBLE_KINDS)
    figures, episodes = judge_generated(detector, series)
    assert figures.recall_by_kind["cpu_spike"] > 0.95
    assert episodes["memory_leak"] > 0.9 > figures.recall_by_kind["memory_leak"]


def _incident(n: int = 3000) -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(1)
    values = rng.normal(0, 1, (n, 3))
    labels = np.zeros(n, dtype=int)
    labels[2500:2550] = 1
    values[labels == 1] += 8
    times = pd.date_range("2026-01-01", periods=n, freq="5min", tz="UTC")
    frame = pd.DataFrame(values, columns=list("abc")).assign(
        timestamp=times, split=np.where(np.arange(n) < 2000, "train", "test")
    )
    return frame, labels


def test_the_recipe_finds_an_incident_in_any_columns_without_looking_ahead() -> None:
    frame, labels = _incident()
    figures = judge_series("set__incident", frame, labels)
    assert figures.average_precision > 0.8
    assert figures.alert_share_of_normal < 0.15
    scores, _ = score_frame(frame)
    truncated, _ = score_frame(frame.iloc[:2600])
    assert (scores[:2600] == truncated).all()


def test_a_folder_of_another_layout_is_named(tmp_path: object) -> None:
    with pytest.raises(DataError, match="holds no series"):
        list(labelled_folder(tmp_path))  # type: ignore[arg-type]
    with pytest.raises(DataError, match="0 columns"):
        score_frame(_incident()[0][["timestamp", "split"]])
