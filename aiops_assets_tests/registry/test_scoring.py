"""Champions asked about the newest window: what each says is its own answer, and who cannot answer is said."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from aiops_assets.datasets.newest import NewestWindow, generated_window
from aiops_assets.datasets.notes import Note
from aiops_assets.errors import DataError
from aiops_assets.families.catalog import MODEL_NAMES, MODELS
from aiops_assets.judging.forecasting.holdout import TRIVIAL
from aiops_assets.learners.detectors.isolation_forest import anomaly_score
from aiops_assets.registry.pod_scoring import PodScoring
from aiops_assets.registry.running_pods import begins_of
from aiops_assets.registry.scoring import NOTHING_SERVED, OTHER_SIZE, ChampionPredictions, predict_newest
from aiops_assets.storage.scores import (
    ABOVE_CAP,
    FORECAST_COLUMNS,
    NO_CPU,
    NO_DETECTOR,
    SCORE_COLUMNS,
    TOO_FEW_SAMPLES,
    UNWATCHED,
)
from aiops_assets.timeseries.catalog import ENGINE_METRICS, FORECAST_METRICS, POD_CPU
from aiops_assets.timeseries.features import feature_row
from aiops_assets.timeseries.series import Floats
from aiops_assets.views.cluster_metrics import history_of_segment
from aiops_assets.views.pod_history import PodHistory
from aiops_assets.views.pod_series import segment_rows
from aiops_assets_tests.conftest import make_settings
from aiops_assets_tests.service.served_home import SPECS, ServedHome, model_file

NOW = datetime(2026, 11, 1, 10, 2, 30, tzinfo=UTC)
UNTIL = datetime(2026, 11, 1, 10, 0, tzinfo=UTC)
DETECTOR, ENSEMBLE, ARIMA = "anomaly-detector", "ensemble-predictor", "arima-predictor"
PRETRAINED = "fracast-predictor"
SERVED = (DETECTOR, ENSEMBLE, ARIMA)
SPIKING = "synthetic-001"


def changed(
    window: NewestWindow, metrics: Sequence[str], pod: int, change: Callable[[Floats], None], minutes: int
) -> NewestWindow:
    """A window in which the newest minutes of a pod's metrics are changed in place by a function."""
    assert isinstance(window.pods, PodHistory)
    parts = {}
    for part, last in (("rows", minutes // 5), ("recent", minutes)):
        series = getattr(window.pods, part)
        values = {name: array.copy() for name, array in series.values.items()}
        for name in metrics:
            change(values[name][pod, 0, -last:])
        parts[part] = replace(series, values=values)
    return replace(window, pods=replace(window.pods, **parts))


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> NewestWindow:
    """Five pods, one of which uses more CPU time in the newest half hour than any healthy one."""
    settings = make_settings(tmp_path_factory.mktemp("window"), TRAINING_PODS="5")
    made = generated_window(settings, NOW)
    assert isinstance(made.pods, PodHistory)

    def spike(values: Floats) -> None:
        values += 3.0

    return changed(made, [POD_CPU.name], made.pods.pods.index(SPIKING), spike, 30)


@pytest.fixture
def home(tmp_path: Path) -> ServedHome:
    return ServedHome(tmp_path / "models").serve(SERVED)


@pytest.fixture(scope="module")
def predictions(tmp_path_factory: pytest.TempPathFactory, window: NewestWindow) -> ChampionPredictions:
    home = ServedHome(tmp_path_factory.mktemp("answers") / "models").serve((DETECTOR, ENSEMBLE))
    better = {f"mae_to_{name}_{label}": 0.7 for name in TRIVIAL for label in ("1h", "24h")}
    home.promote(home.publish(ARIMA, metrics=better), ARIMA)
    return predict_newest(home.served, MODELS, window, NOW, "prod")


def test_the_run_says_what_it_is_of(predictions: ChampionPredictions, window: NewestWindow) -> None:
    record = predictions.run.record
    assert (record.cluster, record.made_at, record.source, record.pods) == ("prod", NOW, "synthetic", 5)
    assert (record.scored_until, record.forecast_from) == (UNTIL, UNTIL)
    assert [(m.name, m.version, m.kind, m.data_version, m.effective_source) for m in record.models] == [
        (DETECTOR, 1, "detector", "data-of-1", "synthetic"),
        (ENSEMBLE, 1, "detector", "data-of-1", "synthetic"),
        (ARIMA, 1, "forecaster", "data-of-1", "synthetic"),
    ]
    assert [m.proven for m in record.models] == [(), (), ("1h", "24h")]
    assert record.left_out == dict.fromkeys([name for name in MODEL_NAMES if name not in SERVED], NOTHING_SERVED)
    assert len(record.pods_version) == len(record.cluster_version) == 32
    assert tuple(predictions.run.scores.columns) == SCORE_COLUMNS
    assert tuple(predictions.run.forecasts.columns) == FORECAST_COLUMNS


@pytest.mark.parametrize("name", [DETECTOR, ENSEMBLE])
def test_every_five_minutes_of_the_newest_hour_of_every_pod_is_scored(
    predictions: ChampionPredictions, name: str
) -> None:
    rows = predictions.run.scores[predictions.run.scores["model_name"] == name]
    instants = [UNTIL - timedelta(minutes=5 * back) for back in range(11, -1, -1)]
    assert {pod: list(of["timestamp"].sort_values()) for pod, of in rows.groupby("pod")} == {
        f"synthetic-{i:03d}": instants for i in range(5)
    }
    assert set(rows["model_version"]) == {1}


def test_a_row_detectors_score_is_that_of_the_row_of_the_instant(
    predictions: ChampionPredictions, window: NewestWindow
) -> None:
    family = SPECS[DETECTOR].family
    model = family.from_bytes(model_file(DETECTOR))
    assert isinstance(window.pods, PodHistory)
    rows = predictions.run.scores[predictions.run.scores["model_name"] == DETECTOR]
    for _, row in rows.iloc[[0, 17, -1]].iterrows():
        minutes = window.pods.recent
        at = int(minutes.times.searchsorted(row["timestamp"]))
        i = window.pods.pods.index(row["pod"])
        history = {m.name: minutes.per_pod(m.name)[i, 0, at - 5 : at + 1] for m in ENGINE_METRICS}
        expected = anomaly_score(model, feature_row(history)[np.newaxis])[0]
        assert row["anomaly_score"] == pytest.approx(expected, abs=1e-12)
        assert row["is_anomaly"] == (expected > 0)


def test_a_window_detector_reads_the_whole_week_before_it_answers(
    predictions: ChampionPredictions, window: NewestWindow
) -> None:
    """Each pod from its own begin on, eight to nine days ago."""
    family = SPECS[ENSEMBLE].family
    assert isinstance(window.pods, PodHistory)
    series = segment_rows(window.pods.rows, 0, "synthetic")
    begins = {
        pod: window.pods.rows.times[i] for pod, i in zip(window.pods.pods, begins_of(window.pods, 8), strict=True)
    }
    series = series[series["timestamp"] >= series["pod"].map(begins)].reset_index(drop=True)
    assert series["timestamp"].min() <= pd.Timestamp(UNTIL) - pd.Timedelta(days=8)
    said = family.explain(family.from_bytes(model_file(ENSEMBLE)), series)
    expected = series[["timestamp", "pod"]].assign(score=said.score, alert=said.alert)
    rows = predictions.run.scores[predictions.run.scores["model_name"] == ENSEMBLE]
    both = rows.merge(expected, on=["timestamp", "pod"])
    assert len(both) == len(rows)
    np.testing.assert_allclose(both["anomaly_score"], both["score"], rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(both["is_anomaly"], both["alert"])


@pytest.mark.parametrize("name", [DETECTOR, ENSEMBLE])
def test_a_spike_scores_highest_raises_an_alert_and_names_its_metric(
    predictions: ChampionPredictions, name: str
) -> None:
    rows = predictions.run.scores[(predictions.run.scores["model_name"] == name)]
    spiking = rows[(rows["pod"] == SPIKING) & (rows["timestamp"] > UNTIL - timedelta(minutes=25))]
    assert spiking["is_anomaly"].any()
    highest = spiking.iloc[int(spiking["anomaly_score"].to_numpy().argmax())]
    shares = json.loads(highest["contributing_features"])
    assert next(iter(shares)) == POD_CPU.name
    assert list(shares.values()) == sorted(shares.values(), reverse=True)
    assert sum(shares.values()) == pytest.approx(1.0, abs=0.03)
    # A harmless change of another pod may look as strange to a model that sees six minutes.
    assert highest["anomaly_score"] > rows.loc[rows["pod"] != SPIKING, "anomaly_score"].quantile(0.95)


def test_forecasts_are_the_models_own_every_five_minutes_of_an_hour_and_every_hour_of_a_day(
    predictions: ChampionPredictions, window: NewestWindow
) -> None:
    metrics = [metric.name for metric in FORECAST_METRICS]
    assert window.cluster is not None
    model = SPECS[ARIMA].family.from_bytes(model_file(ARIMA))
    forecast = model.forecast(history_of_segment(window.cluster, metrics), 288)
    rows = predictions.run.forecasts
    assert set(rows["model_name"]) == {ARIMA}
    assert set(rows["made_at"]) == {pd.Timestamp(NOW)}
    minutes = [*range(5, 60, 5), *range(60, 1441, 60)]
    for i, metric in enumerate(metrics):
        of = rows[rows["metric_name"] == metric]
        assert of["predicted_for"].tolist() == [UNTIL + timedelta(minutes=m) for m in minutes]
        steps = [m // 5 - 1 for m in minutes]
        for side in ("value", "lower", "upper"):
            np.testing.assert_array_equal(of[side], getattr(forecast, side)[steps, i])


def test_a_model_that_cannot_be_loaded_is_left_out_and_the_others_answer(
    home: ServedHome, window: NewestWindow
) -> None:
    (home.folder / ENSEMBLE / "1" / "model.json").write_bytes(b"{}")
    (home.folder / ARIMA / "champion.json").write_bytes(b"{")
    run = predict_newest(home.served, MODELS, window, NOW, "prod").run
    assert "model.json" in run.record.left_out[ENSEMBLE]
    assert str(home.folder / ARIMA) in run.record.left_out[ARIMA]
    assert [model.name for model in run.record.models] == [DETECTOR]
    assert set(run.scores["model_name"]) == {DETECTOR}
    assert run.forecasts.empty
    assert (run.record.scored_until, run.record.forecast_from) == (UNTIL, None)


def test_without_pods_only_forecasters_answer_and_without_a_cluster_only_detectors(
    home: ServedHome, window: NewestWindow
) -> None:
    specs = [SPECS[name] for name in SERVED]
    podless = replace(window, pods=None, lacking={"pods": DataError("no pod lives")})
    run = predict_newest(home.served, specs, podless, NOW, "prod").run
    assert run.record.left_out == {DETECTOR: "no pod lives", ENSEMBLE: "no pod lives"}
    assert (run.record.scored_until, run.record.pods, len(run.scores)) == (None, 0, 0)
    assert tuple(run.scores.columns) == SCORE_COLUMNS
    clusterless = replace(window, cluster=None, lacking={"cluster": DataError("no metric")})
    run = predict_newest(home.served, specs, clusterless, NOW, "prod").run
    assert run.record.left_out == {ARIMA: "no metric"}
    assert len(run.scores) == 2 * 5 * 12


def test_a_metric_that_is_not_scraped_leaves_the_forecasters_out(home: ServedHome, window: NewestWindow) -> None:
    assert window.cluster is not None
    silent = replace(window, cluster=window.cluster.assign(disk_usage=np.nan))
    run = predict_newest(home.served, [SPECS[ARIMA]], silent, NOW, "prod").run
    assert "disk_usage: no sample" in run.record.left_out[ARIMA]


def test_a_pod_that_was_away_in_the_newest_hour_is_not_scored(home: ServedHome, window: NewestWindow) -> None:
    assert isinstance(window.pods, PodHistory)

    def end(values: Floats) -> None:
        values[:] = np.nan

    metrics = [metric.name for metric in ENGINE_METRICS if metric.per == "pod"]
    gone = changed(window, metrics, 0, end, 90)
    run = predict_newest(home.served, [SPECS[DETECTOR], SPECS[ENSEMBLE]], gone, NOW, "prod").run
    assert sorted(set(run.scores["pod"])) == [f"synthetic-{i:03d}" for i in range(1, 5)]
    assert run.record.pods == 4
    assert run.record.unwatched == dict.fromkeys(UNWATCHED, 0)


@pytest.mark.parametrize("pods_at_once", [1, 2, 3, 5])
def test_scores_do_not_depend_on_how_many_pods_are_read_at_a_time(
    home: ServedHome, window: NewestWindow, predictions: ChampionPredictions, pods_at_once: int
) -> None:
    for name in (DETECTOR, ENSEMBLE):
        champion = home.served.champion(name)
        assert champion
        found = PodScoring(home.served, window, pods_at_once=pods_at_once).scores(SPECS[name], champion.champion)
        whole = predictions.run.scores[predictions.run.scores["model_name"] == name]
        order = ["pod", "timestamp"]
        pd.testing.assert_frame_equal(
            found.sort_values(order, ignore_index=True), whole.sort_values(order, ignore_index=True)
        )


def test_pods_that_live_without_a_score_are_counted_by_reason(home: ServedHome, window: NewestWindow) -> None:
    """One of five has samples in other minutes than rows are of; of 3 + 2 the reader has said why."""
    assert isinstance(window.pods, PodHistory)
    rows = {name: array.copy() for name, array in window.pods.rows.values.items()}
    recent = {name: array.copy() for name, array in window.pods.recent.values.items()}
    at = window.pods.recent.times.minute % 5 == 0
    for metric in ENGINE_METRICS:
        if metric.per == "pod":
            rows[metric.name][0], recent[metric.name][0, :, at] = np.nan, np.nan
    pods = PodHistory(replace(window.pods.rows, values=rows), replace(window.pods.recent, values=recent))
    sparse = replace(window, pods=pods, unwatched={ABOVE_CAP: 3, NO_CPU: 2})
    run = predict_newest(home.served, [SPECS[DETECTOR], SPECS[ENSEMBLE]], sparse, NOW, "prod").run
    assert run.record.pods == 4
    assert run.record.unwatched == {ABOVE_CAP: 3, NO_CPU: 2, TOO_FEW_SAMPLES: 1, NO_DETECTOR: 0}
    run = predict_newest(home.served, [SPECS[ARIMA]], sparse, NOW, "prod").run
    assert (run.record.pods, run.record.unwatched) == (
        0,
        {ABOVE_CAP: 3, NO_CPU: 2, TOO_FEW_SAMPLES: 0, NO_DETECTOR: 5},
    )


def test_models_of_generated_rows_claim_little_of_a_cluster(window: NewestWindow, tmp_path: Path) -> None:
    """As on a first day: what they are is noted, no horizon is proven, and one of another size forecasts nothing."""
    better = {f"mae_to_{name}_1h": 0.7 for name in TRIVIAL}
    home = ServedHome(tmp_path / "models").serve((DETECTOR,))
    for name in (ARIMA, PRETRAINED):
        home.promote(home.publish(name, metrics=better), name)
    own = replace(window, source="prometheus")
    record = predict_newest(home.served, MODELS, own, NOW, "prod").run.record
    assert [(model.name, model.proven) for model in record.models] == [(DETECTOR, ()), (PRETRAINED, ())]
    assert record.notes == (Note("models_of_generated_rows", models=(DETECTOR, PRETRAINED)).text,)
    assert record.left_out[ARIMA] == OTHER_SIZE
    home.promote(home.publish(ARIMA, metrics=better, effective_source="prometheus+synthetic"), ARIMA)
    after = predict_newest(home.served, MODELS, own, NOW, "prod").run.record
    assert {model.name: model.proven for model in after.models}[ARIMA] == ("1h",)
    generated = predict_newest(home.served, MODELS, window, NOW, "prod").run.record
    assert (generated.notes, generated.models[1].proven) == ((), ("1h",))
