"""Models that are fitted and predict: seeded, without a path or a setting."""
