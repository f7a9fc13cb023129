"""Beyond a forecast: breaches of thresholds, and the time to exhaustion."""
