"""Detects a champion record that is missing, unreadable or wrong, and restores it from other evidence.

A record that was edited can be readable and still be wrong: its digest is not that of the version it names. Then
MLflow's alias and the link `current` are the remaining evidence, so they do not follow such a record.

A record that is right about its champion and not signed by us is restored by a person alone: its history and vetoes, or
the choice among our own versions, may be somebody else's.
"""

from collections.abc import Iterable, Iterator

from aiops_assets.errors import ConflictError, IntegrityError, NotFoundError, StoreError
from aiops_assets.judging.statements import Statement
from aiops_assets.storage.records import ChampionMove, ChampionRecord
from aiops_assets.storage.served import CURRENT, ServedModels
from aiops_assets.storage.signatures import SIGN, UNSIGNED
from aiops_assets.tracking.tracker import MANIFEST_TAG, Tracker

CHAMPION_ALIAS = "champion"
DOCTOR = "`aiops doctor` repairs it"


def with_cure(problem: Statement, cure: str = DOCTOR) -> str:
    """The text of a record's problem and its cure; a record that is not signed names one of its own."""
    return problem.text if problem.code in UNSIGNED else f"{problem.text}: {cure}"


def restore(served: ServedModels, tracker: Tracker, name: str, *, who: str, repair: bool = True) -> Statement | None:
    """Restore a champion record that is missing, unreadable or wrong; what was wrong, ``None`` when nothing was.

    A damaged record is kept aside. History and vetoes of a readable record stay.

    Returns:
        What was wrong, and as facts also the ``witness`` that told which ``version`` it was, the file ``aside`` that
        keeps the damaged record (empty: none), and whether history and vetoes are kept.

    Raises:
        IntegrityError: the record is unreadable or wrong, and there is no evidence to restore it; the message names a
            version to promote. Or it is right and not signed; the message names the command that signs it.
        StoreError: MLflow or the storage cannot be reached.
    """
    problem = read_problem(served, name)
    record = None if problem else served.unsigned_champion(name)
    if record:
        problem = inconsistency(served, tracker, record)
    if not problem and record:
        served.champion(name)
    if not problem and (record or not served.versions(name)):
        return None
    wrong = []
    for witness, version in _witnesses(served, tracker, name, record):
        try:
            digest = _vouched(served, tracker, record, name, version)
        except (NotFoundError, IntegrityError) as error:
            wrong.append(f"{witness} names version {version}, but {error}")
            continue
        found = problem or Statement("missing_record", "the champion record is missing")
        outcome = f"{found.text}: {witness} names version {version}, which is whole"
        try:
            reason = f"restored from {witness}"
            aside = replace_record(served, record, name, version, digest, reason=reason, who=who)[1] if repair else ""
        except ConflictError:
            return None  # another process has restored it
        kept = f"the damaged record is kept as {aside}, " if aside else ""
        return Statement(
            found.code,
            f"{outcome}; {kept}its history and vetoes are {'kept' if record else 'lost'}",
            **{
                **found.facts,
                "witness": witness,
                "version": version,
                "aside": aside,
                "keeps_history": record is not None,
            },
        )
    if problem:
        whole, unsigned = _whole(served, tracker, record, name)
        promote = _likely(record, whole)
        cure = _cure(served, name, promote, whole) if whole or not unsigned else f"no version is signed: {SIGN}"
        raise IntegrityError(
            f"{'; '.join([problem.text, *wrong])}: {cure}",
            code="record_not_restored",
            **{**problem.facts, "problem": problem.code, "promote": promote, "whole": whole},
        )
    return None


def replace_record(
    served: ServedModels,
    record: ChampionRecord | None,
    name: str,
    version: int,
    manifest_sha256: str,
    *,
    reason: str,
    who: str,
) -> tuple[ChampionRecord, str]:
    """Replace a record that is missing or unreadable or, if ``record`` is given, wrong or not signed.

    Returns:
        The new record, and the name of the file that keeps the damaged one (empty: it was missing).

    Raises:
        ConflictError: the record was changed since it was read; nothing was changed.
        NotFoundError, IntegrityError: the version is missing, or differs from its recorded digests.
    """
    if record is None:
        return served.renew_champion(name, version, manifest_sha256, reason=reason, who=who)
    return served.correct_champion(record, version, manifest_sha256, reason=reason, who=who)


def read_problem(served: ServedModels, name: str) -> Statement | None:
    """Why the champion record cannot be read; ``None`` when it can be read or does not exist."""
    try:
        served.unsigned_champion(name)
    except IntegrityError as error:
        return Statement(error.code, str(error), **error.facts)
    return None


def record_problem(served: ServedModels, tracker: Tracker, name: str) -> Statement | None:
    """Why the champion record cannot be read, is wrong or not signed; ``None`` when nothing is wrong with it.

    MLflow is only queried where directories do not decide.
    """
    if problem := read_problem(served, name):
        return problem
    record = served.unsigned_champion(name)
    if record and not names_its_manifest(served, record) and (problem := inconsistency(served, tracker, record)):
        return problem
    try:
        served.champion(name)
    except IntegrityError as error:
        return Statement(error.code, str(error), **error.facts)
    return None


def names_its_manifest(served: ServedModels, record: ChampionRecord) -> bool:
    """Whether the record's digest is that of the manifest in the directory of the version it names."""
    return _digest_there(served, record.name, record.champion.version) == record.champion.manifest_sha256


def inconsistency(served: ServedModels, tracker: Tracker, record: ChampionRecord) -> Statement | None:
    """Why a readable record is wrong about its champion; ``None`` when it is right.

    The record is right if MLflow recorded the same digest for the version; then the version is damaged or removed.
    Without MLflow a record only counts as wrong when its digest is that of another version.
    """
    name, version, digest = record.name, record.champion.version, record.champion.manifest_sha256
    there = _digest_there(served, name, version)
    is_away, tag = False, ""
    try:
        is_away = bool(tracker.absence())
        tag = "" if is_away else _tag(tracker, name, version)
    except StoreError:
        is_away = True
    if tag == digest or (there == digest and not tag):
        return None
    if is_away and not _versions_of(served, name, digest):
        return None
    facts = {"named": version, "digest": digest, "there": there, "in_mlflow": tag}
    if there == digest:
        return Statement(
            "digests_differ",
            f"champion record ({digest[:12]}) and MLflow ({tag[:12]}) recorded other manifests of {name} version "
            f"{version}: one of them was changed",
            **facts,
        )
    statement = f"{served.locate(name)}/champion.json names version {version} with manifest {digest[:12]}"
    if tag and tag == there:
        text = f"the record is wrong: {statement}, and {tag[:12]} is that version's, as MLflow recorded it"
        return Statement("wrong_record", text, **facts)
    if not there:
        return Statement("wrong_record", f"the record is wrong: {statement}, and there is no such version", **facts)
    statement = f"{statement}, and that version's is {there[:12]}"
    if tag or _versions_of(served, name, digest):
        return Statement("wrong_record", f"the record is wrong: {statement}", **facts)
    return Statement("doubtful_record", statement, **facts)


def moves_of(record: ChampionRecord | None) -> tuple[ChampionMove, ...]:
    """The champions of a record, newest first; empty without a record."""
    return (record.champion, *record.history) if record else ()


def recorded_digest(tracker: Tracker, moves: Iterable[ChampionMove], name: str, version: int) -> str:
    """Digest of a version's manifest as it was recorded outside its directory, by MLflow and by the champion record.

    Args:
        tracker: MLflow.
        moves: entries of the champion record that are trusted.
        name: model name.
        version: version number.

    Raises:
        NotFoundError: neither has a digest of the version.
        IntegrityError: the two digests differ.
        StoreError: MLflow cannot be reached, and the version was never champion.
    """
    known = next((move.manifest_sha256 for move in moves if move.version == version), "")
    try:
        tag = _tag(tracker, name, version)
    except StoreError as error:
        if known:
            return known
        raise StoreError(
            f"{error} (only MLflow has a digest of {name} version {version})", code="mlflow_alone", version=version
        ) from error
    if known and tag and known != tag:
        raise IntegrityError(
            f"{name} version {version}: champion record ({known[:12]}) and MLflow ({tag[:12]}) recorded other "
            "manifests: one of them was changed; do not serve it",
            code="digests_differ",
            version=version,
        )
    if not (known or tag):
        raise NotFoundError(
            f"MLflow recorded no digest of {name} version {version}, so it cannot be verified: run `aiops run`, "
            "which registers what a killed run left, or trains it again",
            code="no_digest",
            version=version,
        )
    return known or tag


def _vouched(served: ServedModels, tracker: Tracker, record: ChampionRecord | None, name: str, version: int) -> str:
    """Digest of a version that may be recorded as the lost champion.

    Raises:
        NotFoundError, IntegrityError: the version may not be; the message says why.
    """
    champion = record.champion if record else None
    if champion and _digest_there(served, name, version) == champion.manifest_sha256:
        moves = [champion.model_copy(update={"version": version})]
    else:
        moves = []
    digest = recorded_digest(tracker, moves, name, version)
    manifest = served.verified(name, version, digest)
    if record and (veto := record.veto_on(version, manifest.files)):
        raise IntegrityError(f"{veto.who} rolled it back ({veto.reason})", code="vetoed", who=veto.who)
    return digest


def _witnesses(
    served: ServedModels, tracker: Tracker, name: str, record: ChampionRecord | None
) -> Iterator[tuple[str, int]]:
    """Each piece of evidence and the version that it names, the best one first."""
    if record:
        for version in _versions_of(served, name, record.champion.manifest_sha256):
            if version != record.champion.version:
                yield "the record's digest", version
    alias = tracker.alias(name, CHAMPION_ALIAS)
    if alias is not None:
        yield "MLflow's alias", alias
    link = served.current(name)
    if link and link.isdigit() and int(link) != alias:
        yield f"the link {CURRENT}", int(link)


def _whole(
    served: ServedModels, tracker: Tracker, record: ChampionRecord | None, name: str
) -> tuple[list[int], list[int]]:
    """Versions that have the digest recorded outside their directories, and those that lack a signature alone."""
    history = record.history if record else ()
    whole, unsigned = [], []
    for version in served.versions(name):
        try:
            served.verified(name, version, recorded_digest(tracker, history, name, version))
            whole.append(version)
        except (NotFoundError, IntegrityError) as error:
            if error.code in UNSIGNED:
                unsigned.append(version)
    return whole, unsigned


def _likely(record: ChampionRecord | None, whole: list[int]) -> int | None:
    """The whole version that was most likely served: the newest earlier champion, else the newest without a veto."""
    history = record.history if record else ()
    vetoed = {veto.version for veto in record.vetoed} if record else set()
    likely = [move.version for move in history if move.version in whole and move.version not in vetoed]
    return next(iter(likely or [version for version in whole if version not in vetoed][::-1] or whole[::-1]), None)


def _cure(served: ServedModels, name: str, version: int | None, whole: list[int]) -> str:
    """What a person types where nothing tells what the record was: a promotion that works, if there is one."""
    if version is None:
        path = f"{served.locate(name)}/champion.json"
        return f"no version is whole: move {path} away, then `aiops run` trains and serves another"
    there = ", ".join(map(str, whole))
    return f"name the version to serve, such as `aiops promote {name} {version}` (whole versions: {there})"


def _tag(tracker: Tracker, name: str, version: int) -> str:
    registered = tracker.find(name, version)
    return registered.tags.get(MANIFEST_TAG, "") if registered else ""


def _digest_there(served: ServedModels, name: str, version: int) -> str:
    try:
        return served.manifest_sha256(name, version)
    except (NotFoundError, IntegrityError):
        return ""


def _versions_of(served: ServedModels, name: str, manifest_sha256: str) -> list[int]:
    return [version for version in served.versions(name) if _digest_there(served, name, version) == manifest_sha256]
