"""Forecasters: trees over all metrics, ARIMA, Prophet, their calibrated intervals, trivial baselines."""
