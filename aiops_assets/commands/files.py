"""Files that commands write."""

from pathlib import Path

from aiops_assets.errors import StoreError
from aiops_assets.storage.storage import LocalStorage


def write_whole(path: Path, data: bytes) -> None:
    """Write a file atomically. Raises StoreError."""
    try:
        LocalStorage(path.parent).write(path.name, data)
    except StoreError as error:
        reason = getattr(error.__cause__, "strerror", None) or str(error)
        raise StoreError(
            f"{path} cannot be written ({reason}): nothing was changed, name another place",
            code="not_written",
            path=path,
            reason=reason,
        ) from error
