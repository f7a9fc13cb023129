"""What Dagster loads: the name that workspace.yaml, pyproject.toml and deploy/ use."""

from aiops_assets.pipeline.definitions import defs as defs
