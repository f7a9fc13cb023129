"""Pure time-series code over numpy and pandas: no network, no framework."""
