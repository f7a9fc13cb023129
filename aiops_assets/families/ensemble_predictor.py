"""ensemble-predictor: a mixture of window scores."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd
from typing_extensions import override

from aiops_assets.families.contract import ModelSpec
from aiops_assets.families.detectors import OF_PODS, WindowFamily, frames_of
from aiops_assets.learners.contracts import WindowDetector
from aiops_assets.learners.detectors.alert_rule import ALERT_BUDGET
from aiops_assets.learners.threads import one_thread
from aiops_assets.views.catalog import POD_SERIES

if TYPE_CHECKING:
    from aiops_assets.learners.detectors.ensemble import EnsemblePredictor


class WindowEnsemble(WindowFamily["EnsemblePredictor"]):
    """A mixture of window scores."""

    model_file = "model.json"
    packages = ("numpy", "scipy", "pandas")
    framework = "numpy"
    typical_seconds = 2.0
    least_rows = 12
    """An hour of rows five minutes apart."""
    use = OF_PODS
    limits = (
        "It needs a pod's history, at least a day of it, and says little about one that has just begun. It keeps "
        "learning: what lasts long enough becomes normal. A score states how anomalous a row is, not how likely an "
        "outage."
    )
    how_refitted = "Each fit starts anew; between fits scales and alert threshold keep learning from what is scored."
    loading = (
        "from aiops_assets.learners.detectors.ensemble import EnsemblePredictor",
        "",
        'model = EnsemblePredictor.from_bytes((folder / "model.json").read_bytes())  # model.score(frame)',
    )

    @override
    def fit(
        self,
        rows: pd.DataFrame,
        parameters: Mapping[str, object],
        seed: int,
        start: "EnsemblePredictor | None" = None,
    ) -> "EnsemblePredictor":
        """Raises ModelError: no rows."""
        from aiops_assets.learners.detectors.ensemble import EnsemblePredictor

        model = EnsemblePredictor(self.features, float(str(parameters["alert_budget"])))
        with one_thread():
            model.fit(frames_of(rows))
        return model

    @override
    def window_detector(self, columns: Sequence[str], alert_budget: float | None, seed: int) -> WindowDetector:
        from aiops_assets.learners.detectors.ensemble import EnsemblePredictor

        return EnsemblePredictor(columns, alert_budget or ALERT_BUDGET)

    @override
    def from_bytes(self, data: bytes) -> "EnsemblePredictor":
        from aiops_assets.learners.detectors.ensemble import EnsemblePredictor

        return EnsemblePredictor.from_bytes(data)


ENSEMBLE_PREDICTOR = ModelSpec(
    name="ensemble-predictor",
    view=POD_SERIES,
    training_days=7,
    description="Detects deviations of a pod's metrics from their own history: changes, season, windows.",
    family=WindowEnsemble(),
    parameters={"alert_budget": ALERT_BUDGET},
)
