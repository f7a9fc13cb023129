"""Which version is served: promoted and rolled back by people, followed by MLflow's alias and the link `current`.

Only the champion record decides which version is served. Every move of it updates the alias and the link afterwards;
if a process is killed in between, the next move, run or `aiops doctor` updates them.
"""

from aiops_assets.errors import IntegrityError, ModelError, NotFoundError, StoreError
from aiops_assets.families.catalog import MODELS, named
from aiops_assets.families.contract import ModelSpec
from aiops_assets.judging.decision import Reason
from aiops_assets.registry.reconciling import CHAMPION_ALIAS as CHAMPION_ALIAS
from aiops_assets.registry.reconciling import reconcile as reconcile
from aiops_assets.registry.restoring import (
    moves_of,
    read_problem,
    record_problem,
    recorded_digest,
    replace_record,
    restore,
    with_cure,
)
from aiops_assets.registry.version import version_of
from aiops_assets.storage.champion_record import vetoed
from aiops_assets.storage.handoff import VersionRef
from aiops_assets.storage.records import ChampionRecord
from aiops_assets.storage.served import ServedModels
from aiops_assets.tracking.tracker import Tracker


def model_named(name: str) -> ModelSpec:
    """The spec of a model by its name, also of models that are no longer trained.

    Raises:
        NotFoundError: there is no such model; the message names the known ones.
    """
    for spec in MODELS:
        if spec.name == named(name):
            return spec
    there = [spec.name for spec in MODELS]
    raise NotFoundError(f"there is no model {name!r}: there are {', '.join(there)}", code="no_model", there=there)


def promote(
    served: ServedModels, tracker: Tracker, spec: ModelSpec, version: int, *, reason: str, who: str
) -> ChampionRecord:
    """Make a version the champion because a person decided so; a veto on it is lifted.

    The version is verified against the digest recorded outside its directory, loaded and smoke-tested before the record
    moves. If it is the champion already, nothing moves.

    Raises:
        NotFoundError: there is no such version, or its digest is recorded nowhere.
        IntegrityError: the version differs from its recorded digest.
        ModelError: the version cannot be loaded here, or its predictions are not usable.
        ConflictError: another writer moved the champion meanwhile; nothing was changed.
        StoreError: MLflow cannot be reached; the message states whether the champion was moved before.
    """
    name = spec.name
    record, is_right = _record(served, tracker, name, who)
    if version not in served.versions(name):
        raise _no_version(served, name, version)
    moves = moves_of(record) if is_right or record is None else record.history
    digest = recorded_digest(tracker, moves, name, version)
    version_of(served, spec, VersionRef(name=name, version=version, manifest_sha256=digest)).require_servable()
    if not is_right:
        record = replace_record(served, record, name, version, digest, reason=reason, who=who)[0]
    elif record is None or record.champion.version != version:
        seen = record.champion.version if record else None
        record = served.move_champion(name, version, digest, reason=reason, who=who, seen=seen, by_hand=True)
    return _followed(served, tracker, record)


def rollback(
    served: ServedModels, tracker: Tracker, spec: ModelSpec, to: int | None, *, reason: str, who: str
) -> ChampionRecord:
    """Serve an earlier version again and veto the present champion, so that no run serves that one again.

    Args:
        served: version directories and champion records.
        tracker: MLflow; only queried for the digest of a version that was never champion.
        spec: the model.
        to: a version whose digest is recorded; by default the newest earlier champion that is undamaged, can be
            loaded, and is not vetoed.
        reason, who: why, and who decided; both are recorded.

    Raises:
        NotFoundError: nothing is served, or no earlier version can be served; the message names the reason for each.
        IntegrityError: the record cannot be read or is wrong (the message names the cure), or ``to`` differs from its
            recorded digest.
        ModelError: predictions of ``to`` are not usable.
        ConflictError: another writer moved the champion meanwhile; nothing was changed.
        StoreError: MLflow cannot be reached; the message states whether the champion was moved before.
    """
    name = spec.name
    if problem := record_problem(served, tracker, name):
        raise IntegrityError(with_cure(problem), code="doubted_record", **{**problem.facts, "problem": problem.code})
    record = served.champion(name)
    if record is None:
        raise NotFoundError(
            f"{name} is not served from {served.locate(name)}: there is nothing to roll back", code="nothing_served"
        )
    champion = record.champion.version
    if to is None:
        to, digest = _newest_servable(served, spec, record)
    elif to != champion:
        if to not in served.versions(name):
            raise _no_version(served, name, to)
        digest = recorded_digest(tracker, moves_of(record), name, to)
        version_of(served, spec, VersionRef(name=name, version=to, manifest_sha256=digest)).require_servable()
    if to != champion:
        record = served.move_champion(
            name, to, digest, reason=reason, who=who, seen=champion, by_hand=True, veto_seen=True
        )
    return _followed(served, tracker, record)


def veto_on(served: ServedModels, name: str, version: int) -> Reason | None:
    """Why no run may serve a version: who vetoed it (or the same model), when, and how to serve it nevertheless.

    ``None``: there is no veto.
    """
    record = served.champion(name)
    if record is None:
        return None
    veto = record.veto_on(version, served.manifest(name, version).files)
    return vetoed(name, version, veto) if veto else None


def retire(served: ServedModels, name: str, keep: int) -> list[int]:
    """Remove all version directories but the newest ``keep``; the numbers of the removed ones.

    The champion, the champion before it and the version that a rollback would serve always stay. MLflow keeps copies.

    Raises:
        IntegrityError: the champion record cannot be read; nothing was removed.
    """
    versions = served.versions(name)
    removed = []
    for version in versions[:-keep]:
        # Read the record before each removal: a person may promote an old version meanwhile.
        record = served.champion(name)
        if record is None:
            break
        if version not in _kept(record):
            served.remove(name, version)
            removed.append(version)
    oldest = min(set(versions) - set(removed), default=0)
    for version in served.incomplete_versions(name):
        # Left in a bucket by a removal that was killed; a writer at work has a newer number.
        if version < oldest:
            served.remove(name, version)
    return removed


def _kept(record: ChampionRecord) -> set[int]:
    vetoed_versions = {veto.version for veto in record.vetoed}
    earlier = [move.version for move in record.earlier]
    targets = [version for version in earlier if version not in vetoed_versions]
    return {record.champion.version, *earlier[:1], *targets[:1]}


def _newest_servable(served: ServedModels, spec: ModelSpec, record: ChampionRecord) -> tuple[int, str]:
    """The version that a rollback serves by default, with its digest."""
    name, wrong = spec.name, []
    champion_files = _files(served, name, record.champion.version, record.champion.manifest_sha256)
    for move in record.earlier:
        try:
            version = version_of(served, spec, move)
            files = version.verify().files
            if files == champion_files:
                wrong.append(f"version {move.version} is the same model")
                continue
            if veto := record.veto_on(move.version, files):
                wrong.append(f"version {move.version} was rolled back by {veto.who} ({veto.reason})")
                continue
            version.require_servable()
        except (NotFoundError, IntegrityError, ModelError) as error:
            wrong.append(f"version {move.version}: {error}")
            continue
        return move.version, move.manifest_sha256
    why = "; ".join(wrong) or "no other version was served before"
    raise NotFoundError(
        f"{name} version {record.champion.version} stays: there is no earlier champion to go back to ({why}); "
        f"`aiops rollback {name} --to VERSION` serves any other",
        code="nothing_to_go_back_to",
        champion=record.champion.version,
        passed_over=wrong,
    )


def _files(served: ServedModels, name: str, version: int, manifest_sha256: str) -> dict[str, str]:
    try:
        return served.manifest(name, version, manifest_sha256).files
    except (NotFoundError, IntegrityError):
        return {}


def _record(served: ServedModels, tracker: Tracker, name: str, who: str) -> tuple[ChampionRecord | None, bool]:
    """The record, restored where it was damaged if possible (``None``: missing or unreadable), and whether it is right.

    Where it is wrong, only a person can name the version to serve.
    """
    if not record_problem(served, tracker, name):
        return served.champion(name), True
    try:
        restore(served, tracker, name, who=who)
    except IntegrityError:
        return (None if read_problem(served, name) else served.unsigned_champion(name)), False
    return served.champion(name), True


def _followed(served: ServedModels, tracker: Tracker, record: ChampionRecord) -> ChampionRecord:
    try:
        reconcile(served, tracker, record.name)
    except StoreError as error:
        done = f"{record.name} version {record.champion.version} is the champion"
        raise StoreError(
            f"{done}, but what follows it lags behind: {error}; then `aiops doctor` repairs it",
            code="lags_behind",
            champion=record.champion.version,
        ) from error
    return record


def _no_version(served: ServedModels, name: str, version: int) -> NotFoundError:
    there = served.versions(name)
    text = f"{name} has no version {version} in {served.locate(name)}: there are {', '.join(map(str, there))}"
    if not there:
        text = f"{name} has no version in {served.locate(name)}: run `aiops run` first"
    return NotFoundError(text, code="no_version", version=version, there=there)
