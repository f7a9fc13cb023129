"""predictive-analytics: trees over all metrics and horizons at once."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd
from typing_extensions import override

from aiops_assets.families.contract import Asking, ModelSpec
from aiops_assets.families.forecasters import INTERVALS, METRICS, ForecastFamily
from aiops_assets.learners.contracts import Forecaster
from aiops_assets.views.catalog import CLUSTER_METRICS_VIEW
from aiops_assets.views.cluster_metrics import history_of_segment, main_segment

if TYPE_CHECKING:
    from aiops_assets.learners.forecasters.predictive_analytics import PredictiveAnalytics


class PredictiveFamily(ForecastFamily["PredictiveAnalytics"]):
    """Trees over all metrics at once."""

    takes_any_size = True
    asking = Asking.ENGINE_ROWS
    least_rows = 1
    model_file = "model.aiops"
    older_files = ("model.joblib",)
    protocol = "joblib"
    packages = ("scikit-learn", "numpy", "scipy", "joblib", "pandas")
    pickled_by = "scikit-learn"
    framework = "scikitlearn"
    typical_seconds = 20.0
    use = (
        "For forecasts of a cluster's metrics up to a day ahead: trees over all metrics and horizons at once, from any "
        "history, a single sample or weeks."
    )
    limits = (
        "`cpu_usage` is in cores per container, not a ratio, and is clipped to 0-1 in answers to the engine: a mean "
        "above one core is answered as 1. A forecast from a single sample has no trend and no season of its own, and "
        f"is much less certain than one from two weeks. {INTERVALS}"
    )
    how_refitted = (
        "With a champion there are two fits: a full refit, and a warm start that boosts the champion's booster further "
        "and is kept unless the gate finds it worse. A random forest is always fitted anew."
    )
    loading = (
        "import joblib",
        "from aiops_assets.learners.forecasters.predictive_analytics import PredictiveAnalytics",
        "",
        "# What was learnt, without this package: numbers, arrays and scikit-learn's own estimators.",
        'learnt = joblib.load(folder / "model.aiops")["parts"]["history"]',
        'model = PredictiveAnalytics.from_bytes((folder / "model.aiops").read_bytes())',
        "# model.forecast(history, 288), of a history.History of five metrics",
    )

    @override
    def fit(
        self,
        rows: pd.DataFrame,
        parameters: Mapping[str, object],
        seed: int,
        start: "PredictiveAnalytics | None" = None,
    ) -> "PredictiveAnalytics":
        """Generated segments beside the cluster's own are learnt from, too."""
        from aiops_assets.learners.forecasters.predictive_analytics import PredictiveAnalytics

        own, others = main_segment(rows)
        model = PredictiveAnalytics(seed, str(parameters["trees"]), int(str(parameters["lookback_window"])), start)
        model.fit(history_of_segment(own, METRICS), [history_of_segment(other, METRICS) for other in others])
        return model

    @override
    def forecaster(self, seed: int) -> Forecaster:
        """The part for long histories: trees over all that is known at an origin."""
        from aiops_assets.learners.forecasters.learned import LearnedForecaster

        return LearnedForecaster(seed)

    @override
    def why_anew(self, start: "PredictiveAnalytics", parameters: Mapping[str, object]) -> str:
        return str(start.why_anew(str(parameters["trees"]), int(str(parameters["lookback_window"]))))

    @override
    def from_bytes(self, data: bytes) -> "PredictiveAnalytics":
        from aiops_assets.learners.forecasters.predictive_analytics import PredictiveAnalytics

        return PredictiveAnalytics.from_bytes(data)


PREDICTIVE_ANALYTICS = ModelSpec(
    name="predictive-analytics",
    view=CLUSTER_METRICS_VIEW,
    training_days=14,
    earlier_days=16,
    description="Forecasts the five metrics of a cluster up to a day ahead, with an 80 % interval.",
    family=PredictiveFamily(),
    parameters={"trees": "boosting", "lookback_window": 24, "forecast_horizon": 12},
)
