"""The models that the coordination engine calls by name (engine contract, sections 1 and 2)."""

from typing import Final, Literal

ROW_DETECTOR: Final = "anomaly-detector"
"""Scores rows of 45 columns."""
WINDOW_DETECTOR: Final = "ensemble-predictor"
"""Scores a pod's history, where there is one."""
FORECASTER: Final = "predictive-analytics"
"""Forecasts, from rows of 3264, 5, 4 or 3 columns."""
COLD_START: Final = "fracast-predictor"
"""Forecasts what is sent while the forecaster is missing, or has seen no row of the cluster."""

Judge = Literal["anomaly-detector", "limits", "history of the request", "ensemble-predictor", "scores"]
"""The detectors that can find an anomaly; ``scores`` is the newest run of scores."""
Basis = Literal["calibrated", "not calibrated"]
"""Whether a confidence was measured: how often what has it is right on rows that no fit has seen."""
