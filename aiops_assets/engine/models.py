"""The models that the coordination engine calls by name (engine contract, sections 1 and 2)."""

ROW_DETECTOR = "anomaly-detector"
"""Asked about rows of 45 columns."""
WINDOW_DETECTOR = "ensemble-predictor"
"""Asked about a pod's history, where there is one."""
FORECASTER = "predictive-analytics"
"""Asked for forecasts, by rows of 3264, 5, 4 or 3 columns."""
