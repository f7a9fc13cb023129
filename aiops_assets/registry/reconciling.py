"""What must agree with the champion record: MLflow's alias, the local link `current`, and the digests MLflow keeps."""

from collections.abc import Iterator

from aiops_assets.errors import ConflictError, IntegrityError, NotFoundError, StoreError
from aiops_assets.stores.records import ChampionRecord
from aiops_assets.stores.served import CURRENT, ServedModels
from aiops_assets.tracking import MANIFEST_TAG, Tracker

CHAMPION_ALIAS = "champion"
ATTEMPTS = 10
"""How often what is derived is compared again because the record moved meanwhile."""


def reconcile(served: ServedModels, tracker: Tracker, name: str, *, who: str = "aiops", mend: bool = True) -> list[str]:
    """Let MLflow's alias and the local link `current` follow the champion record.

    A record that is missing or unreadable is restored from them first, where they name a version that is what MLflow
    recorded of it; a damaged one is kept aside.

    Args:
        served: version directories and champion records.
        tracker: MLflow.
        name: of the model.
        who: for a restored record.
        mend: ``False``: only look.

    Returns:
        What disagreed, one line each; empty when nothing did, or nothing is served yet.

    Raises:
        IntegrityError: the record is unreadable, and nothing tells what it was.
        StoreError: MLflow or the storage is away; the record is as it was.
    """
    found = [restore(served, tracker, name, who=who, mend=mend)]
    record = None if found[0] and not mend else served.champion(name)
    for _ in range(ATTEMPTS if record else 0):
        assert record is not None
        version = record.champion.version
        found.append(follow_link(served, name, version, mend=mend))
        found.append(follow_alias(tracker, name, version, mend=mend))
        # Somebody may have moved it after we read it, and let things follow before we did.
        now = served.champion(name)
        if now is None or now.champion.version == version:
            break
        record = now
    return [line for line in found if line]


def restore(served: ServedModels, tracker: Tracker, name: str, *, who: str, mend: bool = True) -> str:
    """Restore a champion record that is missing or unreadable; what was wrong, empty when nothing was.

    Raises:
        IntegrityError: the record is unreadable, and nothing tells what it was.
        StoreError: MLflow or the storage is away.
    """
    problem = damage(served, name)
    if not problem and (served.champion(name) or not served.versions(name)):
        return ""
    wrong = []
    for witness, version in _witnesses(served, tracker, name):
        try:
            digest = recorded_digest(tracker, None, name, version)
            served.verified(name, version, digest)
        except (NotFoundError, IntegrityError) as error:
            wrong.append(f"{witness} names version {version}, but {error}")
            continue
        said = f"{problem or 'the champion record is missing'}: {witness} names version {version}, which is whole"
        try:
            reason = f"restored from {witness}"
            aside = served.renew_champion(name, version, digest, reason=reason, who=who)[1] if mend else ""
        except ConflictError:
            return ""  # somebody else was faster
        return f"{said}; the damaged record is kept as {aside}, its history and vetoes are lost" if aside else said
    if problem:
        there = ", ".join(map(str, served.versions(name))) or "none"
        cure = f"name the version to serve, `aiops promote {name} VERSION` (versions: {there})"
        raise IntegrityError(f"{'; '.join([problem, *wrong])}: {cure}")
    return ""


def follow_link(served: ServedModels, name: str, version: int, *, mend: bool = True) -> str:
    """Let the local link follow the record; what disagreed, empty when nothing did, also where there are no links.

    Raises:
        StoreError: it cannot be made.
    """
    if served.storage.local_path(name) is None:
        return ""
    found = served.current(name)
    if found == str(version):
        return ""
    if mend:
        served.link_current(name, version)
    said = "is missing" if found is None else f"points at {found}" if found else "is no link"
    return f"the link {CURRENT} {said}, the champion record says version {version}"


def follow_alias(tracker: Tracker, name: str, version: int, *, mend: bool = True) -> str:
    """Let MLflow's alias follow the record; what disagreed, empty when nothing did.

    Raises:
        NotFoundError: MLflow does not know the champion.
        StoreError: MLflow is away.
    """
    found = tracker.alias(name, CHAMPION_ALIAS)
    if found == version:
        return ""
    if mend or not tracker.find(name, version):
        tracker.set_alias(name, CHAMPION_ALIAS, version)
    said = "is missing" if found is None else f"names version {found}"
    return f"MLflow's alias {CHAMPION_ALIAS} {said}, the champion record says version {version}"


def recorded_digest(tracker: Tracker, record: ChampionRecord | None, name: str, version: int) -> str:
    """Digest of a version's manifest as it was recorded outside its directory, by MLflow and by the champion record.

    Raises:
        NotFoundError: neither knows it.
        IntegrityError: they contradict each other.
        StoreError: MLflow is away, and the version was never champion.
    """
    moves = (record.champion, *record.history) if record else ()
    known = next((move.manifest_sha256 for move in moves if move.version == version), "")
    try:
        registered = tracker.find(name, version)
    except StoreError as error:
        if known:
            return known
        raise StoreError(f"{error} (nothing but MLflow vouches for {name} version {version})") from error
    tag = registered.tags.get(MANIFEST_TAG, "") if registered else ""
    if known and tag and known != tag:
        raise IntegrityError(
            f"{name} version {version}: champion record ({known[:12]}) and MLflow ({tag[:12]}) recorded other "
            "manifests: one of them was changed; do not serve it"
        )
    if not (known or tag):
        raise NotFoundError(
            f"MLflow recorded no digest of {name} version {version}, so nothing vouches for it: run `aiops run`, "
            "which registers what a killed run left, or trains it again"
        )
    return known or tag


def damage(served: ServedModels, name: str) -> str:
    """Why the champion record cannot be read; empty when it can, or there is none."""
    try:
        served.champion(name)
    except IntegrityError as error:
        return str(error)
    return ""


def _witnesses(served: ServedModels, tracker: Tracker, name: str) -> Iterator[tuple[str, int]]:
    alias = tracker.alias(name, CHAMPION_ALIAS)
    if alias is not None:
        yield "MLflow's alias", alias
    link = served.current(name)
    if link and link.isdigit() and int(link) != alias:
        yield f"the link {CURRENT}", int(link)
