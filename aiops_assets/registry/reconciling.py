"""What follows the champion record: MLflow's alias and the local link `current`."""

from aiops_assets.registry.disagreement import Disagreement
from aiops_assets.registry.restoring import CHAMPION_ALIAS as CHAMPION_ALIAS
from aiops_assets.registry.restoring import names_its_manifest
from aiops_assets.registry.restoring import restore as restore
from aiops_assets.storage.served import CURRENT, ServedModels
from aiops_assets.tracking.tracker import Tracker

ATTEMPTS = 10
"""How often what is derived is compared again because the record moved meanwhile."""


def reconcile(
    served: ServedModels, tracker: Tracker, name: str, *, who: str = "aiops", mend: bool = True
) -> list[Disagreement]:
    """Let MLflow's alias and the local link `current` follow the champion record.

    A record that is missing, unreadable or wrong is restored first, where its digest or one of them names a version
    that is what MLflow recorded of it; a damaged one is kept aside. They never follow a record whose digest is not
    that of the version it names: they may be all that still tells what was served.

    Args:
        served: version directories and champion records.
        tracker: MLflow.
        name: of the model.
        who: for a restored record.
        mend: ``False``: only look.

    Returns:
        What disagreed; empty when nothing did, or nothing is served yet.

    Raises:
        IntegrityError: the record is unreadable or wrong, and nothing tells what it was.
        StoreError: MLflow or the storage is away; the record is as it was.
    """
    found = [restore(served, tracker, name, who=who, mend=mend)]
    record = None if found[0] and not mend else served.champion(name)
    for _ in range(ATTEMPTS if record else 0):
        assert record is not None
        version = record.champion.version
        if not names_its_manifest(served, record):
            break
        found.append(follow_link(served, name, version, mend=mend))
        found.append(follow_alias(tracker, name, version, mend=mend))
        # Somebody may have moved it after we read it, and let things follow before we did.
        now = served.champion(name)
        if now is None or now.champion.version == version:
            break
        record = now
    return [one for one in found if one]


def follow_link(served: ServedModels, name: str, version: int, *, mend: bool = True) -> Disagreement | None:
    """Let the local link follow the record; what disagreed, ``None`` when nothing did, also where there are no links.

    Raises:
        StoreError: it cannot be made.
    """
    if served.storage.local_path(name) is None:
        return None
    found = served.current(name)
    if found == str(version):
        return None
    if mend:
        served.link_current(name, version)
    said = "is missing" if found is None else f"points at {found}" if found else "is no link"
    text = f"the link {CURRENT} {said}, the champion record says version {version}"
    return Disagreement("link_behind", text, found=found, version=version)


def follow_alias(tracker: Tracker, name: str, version: int, *, mend: bool = True) -> Disagreement | None:
    """Let MLflow's alias follow the record; what disagreed, ``None`` when nothing did.

    Raises:
        NotFoundError: MLflow does not know the champion.
        StoreError: MLflow is away.
    """
    found = tracker.alias(name, CHAMPION_ALIAS)
    if found == version:
        return None
    if mend or not tracker.find(name, version):
        tracker.set_alias(name, CHAMPION_ALIAS, version)
    said = "is missing" if found is None else f"names version {found}"
    text = f"MLflow's alias {CHAMPION_ALIAS} {said}, the champion record says version {version}"
    return Disagreement("alias_behind", text, found=found, version=version)
