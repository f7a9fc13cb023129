"""The fit of a run: a full refit and, where the family allows it, a warm start from the champion."""

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
        data: content of the model file.
        model: the model as read back from that file.
        prediction: its predictions for the hold-out.
        how: refit or warm start, from which version, and what it was compared with.
        seconds: duration of all fits together: fitting, writing, reading back and predicting the hold-out.
    """

    data: bytes
    model: Model
    prediction: Prediction
    how: str
    seconds: float


def fit_model(
    served: ServedModels, spec: ModelSpec[Model, Prediction], rows: pd.DataFrame, data_version: str, seed: int
) -> Fitted[Model, Prediction]:
    """Fit on the train rows; keep a warm start from the champion if it is not worse than the full refit.

    Both are compared as by the gate, on the hold-out that neither has seen, after they were written and read back.

    Args:
        served: version directories and the champion record.
        spec: the model.
        rows: rows of the training set, train and hold-out.
        data_version: data version of these rows.
        seed: seed of random draws in the fit and of the bootstrap.

    Raises:
        ModelError: no model can be fitted on the train rows.
    """
    family, train = spec.family, rows[rows["split"] == "train"]

    def timed_fit(how: str, start: Model | None = None) -> Fitted[Model, Prediction]:
        begin = time.perf_counter()
        data = family.to_bytes(family.fit(train, spec.parameters, seed, start=start))
        model = family.from_bytes(data)
        prediction = family.predict_holdout(model, rows)
        return Fitted(data, model, prediction, how, time.perf_counter() - begin)

    refit = timed_fit(ANEW)
    champion, why_anew = _champion(served, spec, rows, data_version)
    if champion is None:
        return replace(refit, how=f"{ANEW}: {why_anew}")
    number = champion.number
    try:
        warm = timed_fit(f"warm start from version {number}, not worse than {REFIT}", champion.model())
    except ModelError as error:
        return replace(refit, how=f"{ANEW}: no warm start from version {number}: {error}")
    seconds = refit.seconds + warm.seconds
    if worse := family.task.compare(rows, warm.prediction, refit.prediction, REFIT, seed).worse():
        how = f"{ANEW}: a warm start from version {number} is worse ({' and '.join(worse)})"
        return replace(refit, how=how, seconds=seconds)
    return replace(warm, seconds=seconds)


def _champion(
    served: ServedModels, spec: ModelSpec[Model, Prediction], rows: pd.DataFrame, data_version: str
) -> tuple[Version[Model, Prediction] | None, str]:
    """The champion for a warm start, or ``None`` and why there is no warm start."""
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
        return None, f"no warm start from the champion: {error}"
    return (None, why_anew) if why_anew else (version, "")
