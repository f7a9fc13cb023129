"""Which models there are. A spec is all that the asset chain of a model needs to know."""

from dataclasses import dataclass, field

from aiops_assets.models.ensemble import ALERT_BUDGET
from aiops_assets.timeseries.views import POD_FEATURES, POD_SERIES

ROW_FOREST, WINDOW_ENSEMBLE = "row_forest", "window_ensemble"


@dataclass(frozen=True)
class ModelSpec:
    """One model.

    Attributes:
        name: also its directory, its InferenceService and its registered model.
        view: which training set it fits.
        training_days: window, unless ``TRAINING_DAYS`` says otherwise.
        description: one line for people.
        family: which kind of model it is, see :func:`~aiops_assets.models.families.family_of`.
        parameters: hyperparameters, recorded with each fit.
    """

    name: str
    view: str
    training_days: int
    description: str
    family: str = ROW_FOREST
    parameters: dict[str, object] = field(default_factory=dict)


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
MODELS = (ANOMALY_DETECTOR, ENSEMBLE_PREDICTOR)
