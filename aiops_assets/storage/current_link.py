"""The local link ``current`` beside a model's versions: for people and local tools; this package never reads by it."""

import os
from contextlib import suppress
from pathlib import Path

from aiops_assets.errors import StoreError

CURRENT = "current"


def link_target(folder: Path) -> str | None:
    """Target of the link in a model's folder; ``None``: no link, empty: the name belongs to something else."""
    if not os.path.lexists(folder / CURRENT):
        return None
    return str((folder / CURRENT).readlink()) if (folder / CURRENT).is_symlink() else ""


def replace_link(folder: Path, target: str) -> None:
    """Make or swap the link, atomically.

    Raises:
        StoreError: the link cannot be made.
    """
    link = folder / CURRENT
    temporary = folder / f".{CURRENT}.{os.getpid()}.tmp"
    try:
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(target)
        temporary.replace(link)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise StoreError(
            f"{link} cannot be made a link ({error.strerror}): move away what is there",
            code="no_link",
            path=str(link),
        ) from error
