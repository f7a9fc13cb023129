import numpy as np
import pandas as pd
import pytest

from aiops_assets.errors import ModelError
from aiops_assets.families.anomaly_detector import ANOMALY_DETECTOR, RowForest
from aiops_assets.judging.detection.figures import judge
from aiops_assets.judging.detection.generated_days import judge_generated
from aiops_assets.learners.contracts import Scored
from aiops_assets.learners.detectors import isolation_forest
from aiops_assets.storage.records import sha256
from aiops_assets.synthetic.healthy import healthy_histories, healthy_rows, rows_of
from aiops_assets.timeseries.features import ENGINE_DEFAULT
from aiops_assets.views.pod_features import VISIBLE_KINDS, labelled_series, synthetic_rows
from aiops_assets_tests.conftest import END
from aiops_assets_tests.raising import raises


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
    assert RowForest().smoke_problems(detector) == []
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
    ("row", "code", "facts"),
    [(np.zeros(44), "wrong_width", {"width": 44, "expected": 45}), (np.full(45, np.nan), "not_finite", {})],
)
def test_bad_rows_are_refused(detector: object, row: np.ndarray, code: str, facts: dict[str, int]) -> None:
    with raises(ModelError, code, **facts):
        isolation_forest.predict(detector, row)


def test_too_few_rows_are_refused(rows: pd.DataFrame) -> None:
    with raises(ModelError, "too_few_rows", rows=49, least=50):
        isolation_forest.fit(rows.head(49), ANOMALY_DETECTOR.parameters, 1)


def test_figures_know_a_perfect_and_a_blind_detector(rows: pd.DataFrame) -> None:
    def said(alert: np.ndarray) -> Scored:
        return Scored(alert.astype(float), alert, np.zeros((len(alert), 1)))

    truth = (rows["label"] == 1).to_numpy()
    perfect = judge(said(truth), rows)
    assert perfect.average_precision == perfect.precision == perfect.recall == perfect.f1 == 1.0
    assert perfect.false_alarm_rate == 0.0
    everything = judge(said(np.ones(len(rows), dtype=bool)), rows)
    assert everything.false_alarm_rate == everything.recall == 1.0
    assert everything.average_precision == pytest.approx(0.03, abs=0.005)
    blind = judge(said(np.zeros(len(rows), dtype=bool)), rows)
    assert blind.recall == 0.0
    assert blind.precision is None
    assert blind.f1 is None
    normal = judge(said(np.zeros(len(rows), dtype=bool)), rows.assign(label=0, kind="normal"))
    assert normal.average_precision is None
    assert "average_precision" not in normal.as_metrics()


def test_alerts_on_consecutive_rows_are_judged_by_events() -> None:
    """Two pods, ten rows each; rows 4 to 7 of the first are one event, and the last of it another of the second."""
    times = pd.date_range("2026-11-01", periods=10, freq="5min", tz="UTC")
    labels = np.zeros(20, dtype=int)
    labels[4:8], labels[19] = 1, 1
    rows = pd.DataFrame({"timestamp": [*times, *times], "pod": ["a"] * 10 + ["b"] * 10, "label": labels})
    rows = rows.assign(kind=np.where(labels == 1, "cpu_spike", "normal"))

    def event_f1(*alerted: int, of: pd.DataFrame = rows) -> float | None:
        alert = np.zeros(len(of), dtype=bool)
        alert[list(alerted)] = True
        found = judge(Scored(alert.astype(float), alert, np.zeros((len(of), 1))), of)
        assert found.f1 is None
        return found.event_f1

    assert event_f1(4, 19) == 1.0
    assert event_f1(6, 9, 19) == 1.0  # within two rows of an event
    assert event_f1(4) == pytest.approx(2 / 3)
    assert event_f1(4, 19, 0, 10) == pytest.approx(2 / 3)
    assert event_f1() is None
    shuffled = rows.sample(frac=1, random_state=1, ignore_index=True)
    assert event_f1(*np.flatnonzero(shuffled["label"]), of=shuffled) == 1.0
    apart = rows.assign(timestamp=rows["timestamp"].iloc[0] + pd.to_timedelta(np.arange(20), "h"))
    alert = (rows["label"] == 1).to_numpy()
    drawn = judge(Scored(alert.astype(float), alert, np.zeros((20, 1))), apart)
    assert (drawn.f1, drawn.event_f1) == (1.0, None)


def test_generated_days_are_judged_by_row_and_by_episode(detector: object) -> None:
    series = labelled_series(10, 3, END, 5, 0.03, VISIBLE_KINDS)
    figures, episodes = judge_generated(detector, series)
    assert figures.recall_by_kind["cpu_spike"] > 0.95
    assert episodes["memory_leak"] > 0.9 > figures.recall_by_kind["memory_leak"]
