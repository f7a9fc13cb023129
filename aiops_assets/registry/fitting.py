"""A fit as a retrain does it: anew, and where the kind of model allows it also on from the champion."""

import time
from dataclasses import dataclass
from typing import Any

import pandas as pd

from aiops_assets.errors import IntegrityError, ModelError, NotFoundError
from aiops_assets.models.catalog import ModelSpec
from aiops_assets.models.families import family_of
from aiops_assets.registry.loading import load_model
from aiops_assets.stores.served import ServedModels

ANEW = "fitted anew"
REFIT = "the full refit"


@dataclass(frozen=True)
class Fitted:
    """A fitted model.

    Attributes:
        model: of the family.
        said: what it says of the hold-out.
        how: anew, or from which version, and what that was compared with.
        seconds: of all fits together.
    """

    model: Any
    said: Any
    how: str
    seconds: float


def fit_model(served: ServedModels, spec: ModelSpec, rows: pd.DataFrame, data_version: str, seed: int) -> Fitted:
    """Fit on the train rows; go on from the champion where that is not worse than the full refit.

    The comparison is the gate's own, on the hold-out that neither was fitted on. A champion of the same rows has
    nothing new to learn, and one that cannot be loaded is not gone on from.

    Args:
        served: version directories and the champion record.
        spec: of the model.
        rows: of the training set.
        data_version: of it.
        seed: of models that draw.

    Raises:
        ModelError: nothing can be fitted on the train rows.
    """
    family, train = family_of(spec), rows[rows["split"] == "train"]
    begin = time.perf_counter()
    model = family.fit(train, spec.parameters, seed)
    seconds = time.perf_counter() - begin
    said = family.judge_holdout(model, rows)
    champion, why_not = _champion(served, spec, data_version)
    if champion is None:
        return Fitted(model, said, f"{ANEW}{why_not}", seconds)
    version, start = champion
    begin = time.perf_counter()
    try:
        further = family.fit(train, spec.parameters, seed, start=start)
    except ModelError as error:
        return Fitted(model, said, f"{ANEW}; version {version} cannot be gone on from: {error}", seconds)
    seconds += time.perf_counter() - begin
    says = family.judge_holdout(further, rows)
    comparison = family.compare(rows, says, said, REFIT, seed)
    if worse := family.worse(comparison):
        return Fitted(model, said, f"{ANEW}: going on from version {version} is worse ({' and '.join(worse)})", seconds)
    return Fitted(further, says, f"went on from version {version}, not worse than {REFIT}", seconds)


def _champion(served: ServedModels, spec: ModelSpec, data_version: str) -> tuple[tuple[int, Any] | None, str]:
    """The champion's version and model, or why there is none to go on from."""
    if not family_of(spec).continues:
        return None, ""
    try:
        record = served.champion(spec.name)
        if record is None:
            return None, "; there was no champion"
        if record.champion.data_version == data_version:
            return None, f"; version {record.champion.version} has seen the same rows"
        version = record.champion.version
        return (version, load_model(served, spec, version, record.champion.manifest_sha256)), ""
    except (NotFoundError, IntegrityError, ModelError) as error:
        return None, f"; the champion cannot be gone on from: {error}"
