"""The models that the coordination engine calls by name (engine contract, sections 1 and 2)."""

from typing import Final, Literal

ROW_DETECTOR: Final = "anomaly-detector"
"""Asked about rows of 45 columns."""
WINDOW_DETECTOR: Final = "ensemble-predictor"
"""Asked about a pod's history, where there is one."""
FORECASTER: Final = "predictive-analytics"
"""Asked for forecasts, by rows of 3264, 5, 4 or 3 columns."""

Judge = Literal["anomaly-detector", "limits", "history of the request", "ensemble-predictor"]
"""Who found an anomaly."""
