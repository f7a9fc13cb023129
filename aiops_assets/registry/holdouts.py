"""What versions say of hold-outs, remembered within a process.

A version never changes, nor do the rows of a data version: the three steps of a run that ask the same (fit, evaluation,
shadow) get one answer for the work of one.
"""

from collections import OrderedDict
from typing import Any

import pandas as pd

from aiops_assets.families.contract import ModelSpec
from aiops_assets.registry.loading import load_model
from aiops_assets.storage.served import ServedModels

MOST = 16
"""Two versions of each model; a forecaster's answer is 3 MB."""
_said: OrderedDict[tuple[str, str], Any] = OrderedDict()


def holdout_said(
    served: ServedModels, spec: ModelSpec, version: int, manifest_sha256: str, rows: pd.DataFrame, data_version: str
) -> Any:
    """What a version says of the hold-out of a training set; it is verified and loaded also when that is remembered.

    Args:
        served: version directories.
        spec: of the model.
        version, manifest_sha256: which.
        rows: of the training set, train and hold-out: a window detector reads the one before the other.
        data_version: of these rows.

    Raises:
        NotFoundError, IntegrityError, ModelError: the version cannot be loaded.
    """
    model = load_model(served, spec, version, manifest_sha256)
    known = _said.get((manifest_sha256, data_version))
    if known is None:
        known = spec.family.predict_holdout(model, rows)
        remember(manifest_sha256, data_version, known)
    return known


def remember(manifest_sha256: str, data_version: str, said: Any) -> None:
    """Keep what a version, told by the digest of its manifest, said of the hold-out of a data version."""
    _said[manifest_sha256, data_version] = said
    while len(_said) > MOST:
        _said.popitem(last=False)
