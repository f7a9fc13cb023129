"""Which models there are. A spec is all that the asset chain of a model needs to know."""

from dataclasses import dataclass, field

from aiops_assets.learners.detectors.deviation_scores import ALERT_BUDGET
from aiops_assets.views.catalog import CLUSTER_METRICS_VIEW, POD_FEATURES, POD_SERIES

ROW_FOREST, WINDOW_ENSEMBLE, LSTM = "row_forest", "window_ensemble", "lstm"
PREDICTIVE, ARIMA, PROPHET = "predictive", "arima", "prophet"


@dataclass(frozen=True)
class ModelSpec:
    """One model.

    Attributes:
        name: also its directory, its InferenceService and its registered model.
        view: which training set it fits.
        training_days: window, unless ``TRAINING_DAYS`` says otherwise.
        description: one line for people.
        family: which kind of model it is, see :func:`~aiops_assets.families.registry.family_of`.
        parameters: hyperparameters, recorded with each fit.
        source: DATA_SOURCE of this model; empty: the environment's.
    """

    name: str
    view: str
    training_days: int
    description: str
    family: str = ROW_FOREST
    parameters: dict[str, object] = field(default_factory=dict)
    source: str = ""


ANOMALY_DETECTOR = ModelSpec(
    name="anomaly-detector",
    view=POD_FEATURES,
    training_days=7,
    description="Tells from one row of 45 features of a pod and its nodes whether this is not normal.",
    family=ROW_FOREST,
    parameters={"contamination": 0.03, "n_estimators": 200, "max_samples": 512},
)
ENSEMBLE_PREDICTOR = ModelSpec(
    name="ensemble-predictor",
    view=POD_SERIES,
    training_days=7,
    description="Tells from the history of a pod's metrics when it stops behaving as it did: changes, season, windows.",
    family=WINDOW_ENSEMBLE,
    parameters={"alert_budget": ALERT_BUDGET},
)
LSTM_PREDICTOR = ModelSpec(
    name="lstm-predictor",
    view=POD_SERIES,
    training_days=7,
    description="Tells from the history of a pod's metrics when an autoencoder that learned it cannot follow any more.",
    family=LSTM,
    parameters={"alert_budget": ALERT_BUDGET},
)
PREDICTIVE_ANALYTICS = ModelSpec(
    name="predictive-analytics",
    view=CLUSTER_METRICS_VIEW,
    training_days=14,
    description="Says how the five metrics of a cluster go on, up to a day ahead, with an 80 % interval.",
    family=PREDICTIVE,
    parameters={"trees": "boosting", "lookback_window": 24, "forecast_horizon": 12},
)
ARIMA_PREDICTOR = ModelSpec(
    name="arima-predictor",
    view=CLUSTER_METRICS_VIEW,
    training_days=14,
    description="Says how each metric of a cluster goes on by an ARIMA model of its own, with an 80 % interval.",
    family=ARIMA,
)
PROPHET_PREDICTOR = ModelSpec(
    name="prophet-predictor",
    view=CLUSTER_METRICS_VIEW,
    training_days=14,
    description="Says how each metric of a cluster goes on by a Prophet model of its own, with an 80 % interval.",
    family=PROPHET,
)
MODELS = (
    ANOMALY_DETECTOR,
    ENSEMBLE_PREDICTOR,
    LSTM_PREDICTOR,
    PREDICTIVE_ANALYTICS,
    ARIMA_PREDICTOR,
    PROPHET_PREDICTOR,
)
MODEL_NAMES = tuple(spec.name for spec in MODELS)
ALIASES = {"timeseries-predictor": (ARIMA_PREDICTOR.name, PROPHET_PREDICTOR.name)}
"""Older name -> the models that it stood for; the first is meant."""


def named(name: str) -> str:
    """The model that a name, older ones too, stands for; other names as they are."""
    return ALIASES.get(name, (name,))[0]
