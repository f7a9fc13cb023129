"""Shadow scores: which challenger and champion are compared on a window, and the scores of both."""

import pandas as pd

from aiops_assets.errors import IntegrityError
from aiops_assets.families.contract import ModelSpec
from aiops_assets.registry.code_digest import code_of
from aiops_assets.registry.version import version_of
from aiops_assets.storage.handoff import VersionRef
from aiops_assets.storage.records import TrainingSetRecord
from aiops_assets.storage.served import ServedModels
from aiops_assets.storage.shadow import ShadowRecord


def window_record(
    served: ServedModels,
    spec: ModelSpec,
    training_set: TrainingSetRecord,
    *,
    effective_source: str,
    challenger: int,
    challenger_sha256: str,
    champion: int | None,
) -> ShadowRecord:
    """The record of a window's scores; its ``note`` states why those of the champion will be missing, if so.

    Args:
        served: version directories and champion records.
        spec: the model.
        training_set: record of the training set whose hold-out is scored.
        effective_source: where its rows came from in this run.
        challenger, challenger_sha256: the version that was judged.
        champion: the version that was champion then; it may have been replaced since. ``None``: there was none.

    Raises:
        StoreError: the storage cannot be read at all.
    """
    digest, note = _digest(served, spec.name, champion) if champion else ("", "")
    if champion and not note:
        there = VersionRef(name=spec.name, version=champion, manifest_sha256=digest)
        note = version_of(served, spec, there).load_problem()
    return ShadowRecord(
        name=spec.name,
        challenger=challenger,
        challenger_sha256=challenger_sha256,
        champion=champion or 0,
        champion_sha256=digest,
        note=note,
        data_version=training_set.data_version,
        effective_source=effective_source,
        window_start=training_set.window_start,
        window_end=training_set.window_end,
        code_version=code_of(spec.family),
        metrics=spec.family.contributors,
    )


def score_window(served: ServedModels, spec: ModelSpec, record: ShadowRecord, rows: pd.DataFrame) -> pd.DataFrame:
    """Predictions of both versions for the hold-out, with the shadow columns of the task.

    Args:
        served: version directories.
        spec: the model.
        record: names the versions; with a ``note`` there are no predictions of the champion.
        rows: rows of the training set, train and hold-out, because a window detector also reads earlier rows.

    Raises:
        NotFoundError, IntegrityError, ModelError: the challenger cannot be loaded any more.
    """
    family = spec.family
    data = record.data_version
    challenger = version_of(
        served,
        spec,
        VersionRef(name=spec.name, version=record.challenger, manifest_sha256=record.challenger_sha256),
    )
    challenger_prediction = challenger.predict_holdout(rows, data)
    if record.champion_sha256 == record.challenger_sha256:
        champion_prediction = challenger_prediction
    elif record.champion and not record.note:
        champion = VersionRef(name=spec.name, version=record.champion, manifest_sha256=record.champion_sha256)
        champion_prediction = challenger.beside(champion).predict_holdout(rows, data)
    else:
        champion_prediction = None
    return family.task.side_by_side(
        rows, challenger_prediction, champion_prediction, challenger.explain, family.contributors
    )


def _digest(served: ServedModels, name: str, version: int) -> tuple[str, str]:
    """Manifest digest of a present or earlier champion, and why it is unknown; one of the two is empty."""
    try:
        record = served.champion(name)
    except IntegrityError as error:
        return "", str(error)
    moves = (record.champion, *record.history) if record else ()
    digest = next((move.manifest_sha256 for move in moves if move.version == version), "")
    return digest, "" if digest else f"the champion record has no version {version} any more"
