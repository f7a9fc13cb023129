"""What the asset chain asks of each kind of model, asked of each."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest

from aiops_assets.errors import ModelError
from aiops_assets.families.anomaly_detector import ANOMALY_DETECTOR
from aiops_assets.families.arima_predictor import ARIMA_PREDICTOR
from aiops_assets.families.catalog import MODELS
from aiops_assets.families.contract import Family, ModelSpec
from aiops_assets.families.detectors import DetectorFamily
from aiops_assets.families.ensemble_predictor import ENSEMBLE_PREDICTOR, WindowEnsemble
from aiops_assets.families.fracast_predictor import FRACAST_PREDICTOR
from aiops_assets.families.lstm_predictor import LSTM_PREDICTOR
from aiops_assets.families.predictive_analytics import PREDICTIVE_ANALYTICS
from aiops_assets.families.prophet_predictor import PROPHET_PREDICTOR
from aiops_assets.judging.forecasting.task import FORECASTING
from aiops_assets.learners.contracts import Forecast, Scored
from aiops_assets.learners.detectors import isolation_forest
from aiops_assets.synthetic.healthy import healthy_rows
from aiops_assets.timeseries.features import ENGINE_DEFAULT, FEATURES
from aiops_assets.timeseries.history import History
from aiops_assets.views.pod_features import VISIBLE_KINDS, holdout_start, labelled_series, synthetic_rows
from aiops_assets.views.pod_series import VALUES, segment_rows
from aiops_assets_tests.conftest import END
from aiops_assets_tests.service.served_home import model_file, predictions_before_storing, rows_of

Fitted = tuple[Family[Any, Any], Any, pd.DataFrame]
Detector = tuple[DetectorFamily[Any], Any, pd.DataFrame]
LSTM = pytest.param("lstm", marks=pytest.mark.long)
"""Its fit takes seconds."""
PROPHET = pytest.param("prophet", marks=pytest.mark.long)
"""Its forecasts of a hold-out take seconds."""
FRACAST = pytest.param("fracast", marks=pytest.mark.long)
"""Its forecasts take most of a second each."""


@pytest.fixture(scope="module")
def forest() -> Fitted:
    rows = synthetic_rows(labelled_series(20, 4, END, 42, 0.03), 1000, 0.03, 42)
    return _fitted(ANOMALY_DETECTOR, rows)


@pytest.fixture(scope="module")
def pods() -> pd.DataFrame:
    series = labelled_series(6, 4, END, 42, 0.03, VISIBLE_KINDS)
    return segment_rows(series, holdout_start(len(series.times)), "synthetic")


@pytest.fixture(scope="module")
def ensemble(pods: pd.DataFrame) -> Fitted:
    return _fitted(ENSEMBLE_PREDICTOR, pods)


@pytest.fixture(scope="module")
def lstm(pods: pd.DataFrame) -> Fitted:
    return _fitted(LSTM_PREDICTOR, pods)


@pytest.fixture(scope="module")
def trees() -> Fitted:
    return _stored(PREDICTIVE_ANALYTICS)


@pytest.fixture(scope="module")
def arima() -> Fitted:
    return _stored(ARIMA_PREDICTOR)


@pytest.fixture(scope="module")
def prophet() -> Fitted:
    return _stored(PROPHET_PREDICTOR)


@pytest.fixture(scope="module")
def fracast() -> Fitted:
    return _stored(FRACAST_PREDICTOR)


def _fitted(spec: ModelSpec, rows: pd.DataFrame) -> Fitted:
    family = spec.family
    return family, family.fit(rows[rows["split"] == "train"], spec.parameters, 42), rows


def _stored(spec: ModelSpec) -> Fitted:
    """The one that all tests share, as its file has it."""
    return spec.family, spec.family.from_bytes(model_file(spec.name)), rows_of(spec.view)


@pytest.fixture(params=["forest", "ensemble", LSTM])
def detector(request: pytest.FixtureRequest) -> Detector:
    return request.getfixturevalue(request.param)  # type: ignore[no-any-return]


@pytest.fixture(params=["trees", "arima", PROPHET, FRACAST])
def forecaster(request: pytest.FixtureRequest) -> Fitted:
    return request.getfixturevalue(request.param)  # type: ignore[no-any-return]


@pytest.fixture(params=["forest", "ensemble", LSTM, "trees", "arima", PROPHET, FRACAST])
def fitted(request: pytest.FixtureRequest) -> Fitted:
    return request.getfixturevalue(request.param)  # type: ignore[no-any-return]


def test_every_row_gets_score_alert_and_contributions(detector: Detector) -> None:
    family, model, rows = detector
    scored = family.explain(model, rows)
    assert scored.score.shape == scored.alert.shape == (len(rows),)
    assert scored.contributions.shape == (len(rows), len(family.contributors))
    assert np.isfinite(scored.score).all()
    sums = scored.contributions.sum(axis=1)
    assert np.all(np.isclose(sums, 1.0) | (sums == 0.0))


def test_the_hold_out_is_judged_as_part_of_the_whole(detector: Detector) -> None:
    family, model, rows = detector
    holdout = (rows["split"] == "holdout").to_numpy()
    whole, part = family.explain(model, rows), family.predict_holdout(model, rows)
    assert (whole.score[holdout] == part.score).all()
    assert (whole.alert[holdout] == part.alert).all()


def test_the_file_of_a_detector_holds_the_whole_model(detector: Detector) -> None:
    family, model, rows = detector
    again = family.predict_holdout(family.from_bytes(family.to_bytes(model)), rows)
    assert again.score == pytest.approx(family.predict_holdout(model, rows).score, abs=1e-5)


@pytest.mark.parametrize(
    "spec", [PREDICTIVE_ANALYTICS, ARIMA_PREDICTOR, pytest.param(PROPHET_PREDICTOR, marks=pytest.mark.long)]
)
def test_the_file_of_a_forecaster_holds_the_whole_model(spec: ModelSpec) -> None:
    family, model, rows = _stored(spec)
    again = family.predict_holdout(model, rows)
    before = predictions_before_storing(spec.name)
    for side in ("value", "lower", "upper"):
        assert again[side].to_numpy() == pytest.approx(before[side].to_numpy(), rel=1e-9)


def test_labels_do_not_reach_the_fit(detector: Detector) -> None:
    family, model, rows = detector
    parameters = next(spec.parameters for spec in MODELS if cast(object, spec.family) is family)
    train = rows[rows["split"] == "train"]
    hidden = train.assign(label=1 - train["label"], kind="normal")
    again = family.fit(hidden, parameters, 42)
    assert (family.predict_holdout(again, rows).score == family.predict_holdout(model, rows).score).all()


def test_a_good_model_has_no_smoke_problem_and_a_quiet_probe(fitted: Fitted) -> None:
    family, model, _ = fitted
    assert family.smoke_problems(model) == []
    probe = family.probe(model)
    if family.task is FORECASTING:
        assert np.isfinite(probe.value).all()
    else:
        assert probe.alert.mean() < 0.1


def test_each_is_compared_with_what_knows_nothing(fitted: Fitted) -> None:
    family, model, rows = fitted
    said, null = family.predict_holdout(model, rows), family.baseline(rows)
    comparison = family.task.compare(rows, said, null, family.task.baseline_name, 42)
    assert comparison.opponent == family.task.baseline_name
    assert comparison.challenger_figures.as_metrics() == family.task.figures(said, rows).as_metrics()
    assert comparison.opponent_figures.as_metrics() == family.task.figures(null, rows).as_metrics()
    assert comparison.gaps
    decision = comparison.decide(challenger_source="synthetic", champion_source=None)
    assert decision.because.code
    same = family.task.compare(rows, said, said, "itself", 42)
    assert same.worse() == []


def test_a_forecaster_that_says_nonsense_does_not_pass_the_smoke_test(forecaster: Fitted) -> None:
    family, model, _ = forecaster
    ways = {"nan": "not finite", "outside": "outside its interval", "shrinking": "shrink"}
    if family in (PREDICTIVE_ANALYTICS.family, FRACAST_PREDICTOR.family):
        ways["off"] = "outside the next interval"
    for how, problem in ways.items():
        assert problem in family.smoke_problems(Nonsense(model, how))[0]


class Nonsense:
    """A forecaster that goes wrong in one way."""

    def __init__(self, model: Any, how: str) -> None:
        self.model, self.how = model, how

    def forecast(self, history: History, horizon: int) -> Forecast:
        said: Forecast = self.model.forecast(history, horizon)
        if self.how == "nan":
            return replace(said, value=said.value * np.nan)
        if self.how == "outside":
            return replace(said, value=said.upper + 1.0)
        if self.how == "off":
            return replace(said, lower=said.upper + 0.5, value=said.upper + 0.5, upper=2 * said.upper + 1.0)
        shrinking = np.linspace(1.0, 0.1, horizon)[:, np.newaxis]
        return replace(said, lower=said.value - shrinking, upper=said.value + shrinking)


def test_rows_are_judged_wherever_they_stand(ensemble: Detector) -> None:
    """The order of the frame is not the order of time, and pods of one name in two sources are two."""
    family, model, rows = ensemble
    scored = family.explain(model, rows)
    shuffled = rows.sample(frac=1, random_state=3)
    again = family.explain(model, shuffled)
    assert (again.score == scored.score[shuffled.index]).all()
    assert (again.alert == scored.alert[shuffled.index]).all()
    twice = pd.concat([rows.assign(source="prometheus"), rows], ignore_index=True)
    assert (family.explain(model, twice).score == np.tile(scored.score, 2)).all()


def test_what_comes_later_changes_nothing_before(ensemble: Detector) -> None:
    family, model, rows = ensemble
    early = rows[rows["timestamp"] < END - pd.Timedelta(hours=12)]
    assert (family.explain(model, early).score == family.explain(model, rows).score[early.index]).all()


@pytest.mark.parametrize(
    ("metric", "change"),
    [(0, lambda row: 0.95), (2, lambda row: row + 3.0), (3, lambda row: 1.1)],
)
def test_the_metric_that_is_odd_contributes_most_to_a_row(
    forest: Detector, metric: int, change: Callable[[np.ndarray], Any]
) -> None:
    family, model, _ = forest
    matrix = healthy_rows(200, seed=3)
    for column in (0, 1, 3, 4, 5, 6):
        matrix[:, 9 * metric + column] = change(matrix[:, 9 * metric + column])
    rows = pd.DataFrame(matrix, columns=list(FEATURES))
    contributions = family.explain(model, rows).contributions
    assert (contributions.argmax(axis=1) == metric).mean() >= 0.9


def test_a_row_of_which_nothing_is_known_has_no_contribution(forest: Detector) -> None:
    family, model, _ = forest
    rows = pd.DataFrame([ENGINE_DEFAULT * 5], columns=list(FEATURES))
    assert family.explain(model, rows).contributions.sum() == 0.0


class Broken:
    """A window detector that goes wrong in one way."""

    def __init__(self, how: str) -> None:
        self.how = how

    def score(self, frame: pd.DataFrame) -> Scored:
        n = len(frame) - (self.how == "too few")
        score = np.full(n, np.nan if self.how == "nan" else 0.0)
        return Scored(score, np.full(n, self.how == "always"), np.zeros((n, len(VALUES))))


@pytest.mark.parametrize(
    ("how", "problem"),
    [("nan", "scores that are not finite"), ("always", "raises 600 alerts"), ("too few", "gets (599,) scores")],
)
def test_a_broken_window_detector_does_not_pass_the_smoke_test(how: str, problem: str) -> None:
    problems = WindowEnsemble().smoke_problems(Broken(how))  # type: ignore[arg-type]
    assert problem in problems[0]
    assert "a constant series" in problems[0]


def test_a_broken_forest_does_not_pass_the_smoke_test(forest: Fitted) -> None:
    family, _, rows = forest
    train = rows[rows["split"] == "train"]
    blind = isolation_forest.fit(
        train.assign(**dict.fromkeys(FEATURES, 0.4)), {**ANOMALY_DETECTOR.parameters, "contamination": 0.5}, 1
    )
    blind.named_steps["forest"].offset_ = 0.0
    assert family.smoke_problems(blind) == ["the engine's default vector (nothing is known) raises an alert"]


def test_no_rows_are_named() -> None:
    with pytest.raises(ModelError, match="no training rows"):
        WindowEnsemble().fit(pd.DataFrame(columns=["timestamp", "pod", "source", *VALUES]), {"alert_budget": 0.01}, 1)
