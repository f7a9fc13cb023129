"""Keys and groups of the assets.

Dagster draws the last part of a key, so a key is one part that names both the model (or the view) and what is made of
it. Letters, digits and underscores alone need no quotes in a selection.
"""

import dagster as dg

from aiops_assets.datasets.selection import asset_name
from aiops_assets.families.contract import ModelSpec

TRAINING_SET, MODEL, EVALUATION, SERVED, SHADOW, CARD = (
    "training_set",
    "model",
    "evaluation",
    "served",
    "shadow",
    "card",
)
DATA, SCORES_GROUP = "data", "scores"
"""Groups of what belongs to no single model; each model is a group."""
OWNER = "team:aiops"
HANDED_OVER_AS = "aiops/handed_over_as"
"""Metadata of an asset: where its reference lies below home: as in earlier releases, so that their homes work."""


def key_of(name: str, kind: str) -> dg.AssetKey:
    """Key of what is made of a model."""
    return dg.AssetKey(asset_name(name, kind))


def group_of(name: str) -> str:
    """Group of a model's assets."""
    return name.replace("-", "_")


def handed_over(name: str, kind: str) -> dict[str, str]:
    """The metadata for :data:`HANDED_OVER_AS`."""
    return {HANDED_OVER_AS: f"{kind}/{name}"}


def tags_of(spec: ModelSpec) -> dict[str, str]:
    """Tags of a model's assets, to select by: ``tag:"aiops/task"="detector"``."""
    return {"aiops/model": spec.name, "aiops/task": spec.family.task.name, "aiops/view": spec.view}
