"""Updates MLflow's alias and the local link `current`, which follow the champion record."""

from aiops_assets.families.catalog import MODELS
from aiops_assets.judging.statements import Statement
from aiops_assets.registry.registering import complete
from aiops_assets.registry.restoring import CHAMPION_ALIAS as CHAMPION_ALIAS
from aiops_assets.registry.restoring import names_its_manifest
from aiops_assets.registry.restoring import restore as restore
from aiops_assets.storage.served import CURRENT, ServedModels
from aiops_assets.tracking.tracker import Tracker

ATTEMPTS = 10
"""How often alias and link are compared again because the record moved meanwhile."""


def reconcile(
    served: ServedModels, tracker: Tracker, name: str, *, who: str = "aiops", repair: bool = True
) -> list[Statement]:
    """Point MLflow's alias and the local link `current` at the champion.

    A record that is missing, unreadable or wrong is restored first, if its digest, the alias or the link names a
    version that has the digest recorded in MLflow; a damaged record is kept aside. Alias and link never follow a
    record whose digest is not that of its version, because they may be the only evidence of what was served. A champion
    that an earlier release registered becomes an MLflow model.

    Args:
        served: version directories and champion records.
        tracker: MLflow.
        name: model name.
        who: author of a restored record.
        repair: whether to change anything; ``False``: only compare.

    Returns:
        What disagreed; empty when all agree or nothing is served yet.

    Raises:
        IntegrityError: the record is unreadable or wrong, and there is no evidence to restore it.
        StoreError: MLflow or the storage cannot be reached; the record is unchanged.
    """
    found = [restore(served, tracker, name, who=who, repair=repair)]
    record = None if found[0] and not repair else served.champion(name)
    for _ in range(ATTEMPTS if record else 0):
        assert record is not None
        version = record.champion.version
        if not names_its_manifest(served, record):
            break
        found.append(follow_link(served, name, version, repair=repair))
        found.append(follow_alias(tracker, name, version, repair=repair))
        found.append(follow_model(served, tracker, name, version, repair=repair))
        # Another process may have moved the record after we read it, and updated alias and link before us.
        now = served.champion(name)
        if now is None or now.champion.version == version:
            break
        record = now
    return [one for one in found if one]


def follow_link(served: ServedModels, name: str, version: int, *, repair: bool = True) -> Statement | None:
    """Point the local link at a version; what disagreed, ``None`` when it agreed or the storage has no links.

    Raises:
        StoreError: the link cannot be made.
    """
    if served.storage.local_path(name) is None:
        return None
    found = served.current(name)
    if found == str(version):
        return None
    if repair:
        served.link_current(name, version)
    difference = "is missing" if found is None else f"points at {found}" if found else "is not a link"
    text = f"the link {CURRENT} {difference}, the champion record names version {version}"
    return Statement("link_behind", text, found=found, version=version)


def follow_alias(tracker: Tracker, name: str, version: int, *, repair: bool = True) -> Statement | None:
    """Point MLflow's alias at a version; what disagreed, ``None`` when it agreed.

    Raises:
        NotFoundError: the version is not registered in MLflow.
        StoreError: MLflow cannot be reached.
    """
    found = tracker.alias(name, CHAMPION_ALIAS)
    if found == version:
        return None
    if repair or not tracker.find(name, version):
        tracker.set_alias(name, CHAMPION_ALIAS, version)
    difference = "is missing" if found is None else f"names version {found}"
    text = f"MLflow's alias {CHAMPION_ALIAS} {difference}, the champion record names version {version}"
    return Statement("alias_behind", text, found=found, version=version)


def follow_model(
    served: ServedModels, tracker: Tracker, name: str, version: int, *, repair: bool = True
) -> Statement | None:
    """Make a registered version an MLflow model where it is none; what was missing, ``None`` when nothing was.

    Raises:
        StoreError: MLflow cannot be reached.
    """
    spec = next((one for one in MODELS if one.name == name), None)
    registered = tracker.find(name, version) if spec else None
    return complete(served, tracker, spec, registered, repair=repair) if spec and registered else None
