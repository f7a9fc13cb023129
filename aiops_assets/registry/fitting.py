"""A fit as a retrain does it: anew, and where the kind of model allows it also on from the champion."""

import time
from dataclasses import dataclass, replace
from typing import Generic

import pandas as pd

from aiops_assets.errors import IntegrityError, ModelError, NotFoundError
from aiops_assets.families.contract import Model, ModelSpec, Prediction
from aiops_assets.registry.version import Version, version_of
from aiops_assets.storage.served import ServedModels

ANEW = "fitted anew"
REFIT = "the full refit"


@dataclass(frozen=True)
class Fitted(Generic[Model, Prediction]):
    """A fitted model.

    Attributes:
        data: the model file.
        model: read back from that file.
        said: what it says of the hold-out.
        how: anew, or from which version, and what that was compared with.
        seconds: of all fits together: learning, writing, reading back and asking about the hold-out.
    """

    data: bytes
    model: Model
    said: Prediction
    how: str
    seconds: float


def fit_model(
    served: ServedModels, spec: ModelSpec[Model, Prediction], rows: pd.DataFrame, data_version: str, seed: int
) -> Fitted[Model, Prediction]:
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

    def fitted(how: str, start: Model | None = None) -> Fitted[Model, Prediction]:
        begin = time.perf_counter()
        data = family.to_bytes(family.fit(train, spec.parameters, seed, start=start))
        model = family.from_bytes(data)
        said = family.predict_holdout(model, rows)
        return Fitted(data, model, said, how, time.perf_counter() - begin)

    anew = fitted(ANEW)
    champion, why_anew = _champion(served, spec, rows, data_version)
    if champion is None:
        return replace(anew, how=f"{ANEW}: {why_anew}")
    number = champion.number
    try:
        further = fitted(f"went on from version {number}, not worse than {REFIT}", champion.model())
    except ModelError as error:
        return replace(anew, how=f"{ANEW}: version {number} cannot be gone on from: {error}")
    seconds = anew.seconds + further.seconds
    if worse := family.task.compare(rows, further.said, anew.said, REFIT, seed).worse():
        how = f"{ANEW}: going on from version {number} is worse ({' and '.join(worse)})"
        return replace(anew, how=how, seconds=seconds)
    return replace(further, seconds=seconds)


def _champion(
    served: ServedModels, spec: ModelSpec[Model, Prediction], rows: pd.DataFrame, data_version: str
) -> tuple[Version[Model, Prediction] | None, str]:
    """The champion, or why there is none to go on from."""
    try:
        record = served.champion(spec.name)
        if record is None:
            return None, "there was no champion"
        version = version_of(served, spec, record.champion)
        if record.champion.data_version == data_version:
            return None, f"version {version.number} has seen the same rows"
        until = version.manifest.trained_until
        if until is None or until >= rows.loc[rows["split"] == "holdout", "timestamp"].min():
            return None, f"version {version.number} may have seen rows of the hold-out"
        why_anew = spec.family.why_anew(version.model(), spec.parameters)
    except (NotFoundError, IntegrityError, ModelError) as error:
        return None, f"the champion cannot be gone on from: {error}"
    return (None, why_anew) if why_anew else (version, "")
