"""A fit as a retrain does it: anew, and where the kind of model allows it also on from the champion."""

import time
from dataclasses import dataclass
from typing import Any

import pandas as pd

from aiops_assets.errors import IntegrityError, ModelError, NotFoundError
from aiops_assets.families.contract import ModelSpec
from aiops_assets.registry.loading import load_model
from aiops_assets.storage.served import ServedModels

ANEW = "fitted anew"
REFIT = "the full refit"


@dataclass(frozen=True)
class Fitted:
    """A fitted model.

    Attributes:
        data: the model file.
        said: what the model in that file says of the hold-out.
        how: anew, or from which version, and what that was compared with.
        seconds: of all fits together: learning, writing, reading back and asking about the hold-out.
    """

    data: bytes
    said: Any
    how: str
    seconds: float


def fit_model(served: ServedModels, spec: ModelSpec, rows: pd.DataFrame, data_version: str, seed: int) -> Fitted:
    """Fit on the train rows; go on from the champion where that is not worse than the full refit.

    The comparison is the gate's own, on the hold-out that neither was fitted on. What is judged is what was written
    and read again.

    Args:
        served: version directories and the champion record.
        spec: of the model.
        rows: of the training set.
        data_version: of it.
        seed: of models that draw.

    Raises:
        ModelError: nothing can be fitted on the train rows.
    """
    family, train = spec.family, rows[rows["split"] == "train"]

    def fitted(start: Any = None) -> tuple[bytes, Any, float]:
        begin = time.perf_counter()
        data = family.to_bytes(family.fit(train, spec.parameters, seed, start=start))
        said = family.predict_holdout(family.from_bytes(data), rows)
        return data, said, time.perf_counter() - begin

    data, said, seconds = fitted()
    champion, why_anew = _champion(served, spec, rows, data_version)
    if champion is None:
        return Fitted(data, said, f"{ANEW}: {why_anew}", seconds)
    version, start = champion
    try:
        further, says, more = fitted(start)
    except ModelError as error:
        return Fitted(data, said, f"{ANEW}: version {version} cannot be gone on from: {error}", seconds)
    seconds += more
    if worse := family.task.worse(family.task.compare(rows, says, said, REFIT, seed)):
        return Fitted(data, said, f"{ANEW}: going on from version {version} is worse ({' and '.join(worse)})", seconds)
    return Fitted(further, says, f"went on from version {version}, not worse than {REFIT}", seconds)


def _champion(
    served: ServedModels, spec: ModelSpec, rows: pd.DataFrame, data_version: str
) -> tuple[tuple[int, Any] | None, str]:
    """The champion's version and model, or why there is none to go on from."""
    family = spec.family
    try:
        record = served.champion(spec.name)
        if record is None:
            return None, "there was no champion"
        version, digest = record.champion.version, record.champion.manifest_sha256
        if record.champion.data_version == data_version:
            return None, f"version {version} has seen the same rows"
        until = served.manifest(spec.name, version, digest).trained_until
        if until is None or until >= rows.loc[rows["split"] == "holdout", "timestamp"].min():
            return None, f"version {version} may have seen rows of the hold-out"
        model = load_model(served, spec, version, digest)
    except (NotFoundError, IntegrityError, ModelError) as error:
        return None, f"the champion cannot be gone on from: {error}"
    why_anew = family.why_anew(model, spec.parameters)
    return (None, why_anew) if why_anew else ((version, model), "")
