"""Pictures and model cards."""
