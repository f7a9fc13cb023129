"""How good a model is on rows that no model was fitted on, and whether it may be served."""
