"""aiops_assets: models that learn from a cluster's own metrics, as a Dagster asset graph."""

__version__ = "0.2.0"
