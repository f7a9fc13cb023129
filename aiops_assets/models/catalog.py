"""Which models there are. A spec is all that the asset chain of a model needs to know."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class ModelSpec:
    """One model.

    Attributes:
        name: also its directory, its InferenceService and its registered model.
        view: which training set it fits.
        training_days: window, unless ``TRAINING_DAYS`` says otherwise.
        description: one line for people.
        parameters: hyperparameters, recorded with each fit.
    """

    name: str
    view: str
    training_days: int
    description: str
    parameters: dict[str, object] = field(default_factory=dict)


POD_FEATURES = "pod_features"

ANOMALY_DETECTOR = ModelSpec(
    name="anomaly-detector",
    view=POD_FEATURES,
    training_days=7,
    description="Tells from one row of 45 features of a pod and its nodes whether this is not normal.",
    parameters={"contamination": 0.03, "n_estimators": 200, "max_samples": 512},
)
MODELS = (ANOMALY_DETECTOR,)
