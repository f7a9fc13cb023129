"""lstm-predictor: an LSTM autoencoder over windows of samples."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd
from typing_extensions import override

from aiops_assets.families.contract import ModelSpec
from aiops_assets.families.detectors import OF_PODS, WindowFamily, frames_of
from aiops_assets.learners.contracts import WindowDetector
from aiops_assets.learners.detectors.alert_rule import ALERT_BUDGET
from aiops_assets.views.catalog import POD_SERIES

if TYPE_CHECKING:
    from aiops_assets.learners.detectors.lstm_autoencoder import LstmAutoencoder


class LstmFamily(WindowFamily["LstmAutoencoder"]):
    """An LSTM autoencoder."""

    model_file = "model.pt2"
    protocol = "torch.export"
    packages = ("torch", "numpy", "scipy", "pandas")
    framework = "pytorch"
    typical_seconds = 12.0
    computes_on_gpu = True
    least_rows = 17
    """``lstm_network.WINDOW`` and the row before it, which cannot be imported without torch."""
    use = OF_PODS + " What an autoencoder that learned such windows cannot reconstruct is anomalous."
    limits = (
        "It needs a pod's history: a score is of the last 80 minutes, and scales and alert threshold need a day of it. "
        "Its weights stay as they were fitted, but its scales keep learning: what lasts long enough becomes normal. A "
        "score states how anomalous a row is, not how likely an outage."
    )
    how_refitted = (
        "With a champion there are two fits: a full refit, and a warm start from the champion's weights, which is kept "
        "unless the gate finds it worse."
    )
    loading = (
        "import torch",
        "from aiops_assets.learners.detectors.lstm_autoencoder import LstmAutoencoder",
        "",
        "# The network alone, in plain PyTorch: (n, 17, n_columns) float64 samples -> (n, 2, n_columns) errors.",
        'network = torch.export.load(folder / "model.pt2").module()',
        "# With its scales and thresholds:",
        'model = LstmAutoencoder.from_bytes((folder / "model.pt2").read_bytes())  # model.score(frame)',
    )

    @override
    def fit(
        self, rows: pd.DataFrame, parameters: Mapping[str, object], seed: int, start: "LstmAutoencoder | None" = None
    ) -> "LstmAutoencoder":
        """Raises ModelError: no rows."""
        from aiops_assets.learners.detectors.lstm_autoencoder import LstmAutoencoder

        model = LstmAutoencoder(self.features, float(str(parameters["alert_budget"])), seed)
        model.fit(frames_of(rows), start=start)
        return model

    @override
    def why_anew(self, start: "LstmAutoencoder", parameters: Mapping[str, object]) -> str:
        """Training can always start from earlier weights."""
        return ""

    @override
    def window_detector(self, columns: Sequence[str], alert_budget: float | None, seed: int) -> WindowDetector:
        from aiops_assets.learners.detectors.lstm_autoencoder import LstmAutoencoder

        return LstmAutoencoder(columns, alert_budget or ALERT_BUDGET, seed)

    @override
    def from_bytes(self, data: bytes) -> "LstmAutoencoder":
        from aiops_assets.learners.detectors.lstm_autoencoder import LstmAutoencoder

        return LstmAutoencoder.from_bytes(data)


LSTM_PREDICTOR = ModelSpec(
    name="lstm-predictor",
    view=POD_SERIES,
    training_days=7,
    description="Detects when an autoencoder cannot reconstruct a pod's metrics from their own history.",
    family=LstmFamily(),
    parameters={"alert_budget": ALERT_BUDGET},
)
