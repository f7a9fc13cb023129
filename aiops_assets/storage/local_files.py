"""Writing files of a local file system so that a crash leaves the old content or the new one."""

import os
import time
from pathlib import Path

DATED_BACK_SECONDS = 3
"""Longer than the resolution with which any file system dates a change (FAT's is two seconds)."""


def signature_of(found: os.stat_result) -> str:
    """A text that changes with each write of a file: its size, times of change and inode."""
    return f"{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns} {found.st_ino}"


def replace_file(target: Path, data: bytes) -> str:
    """Write a file beside its place and rename it; the new file's signature, empty if another writer came in between.

    The file is dated back, so that a later write has another date even within the same tick of the clock.
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        written = write_synced(temporary, data, dated_back=DATED_BACK_SECONDS)
        temporary.replace(target)
        found = target.stat()
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(target.parent)
    same = all(getattr(found, name) == getattr(written, name) for name in ("st_size", "st_mtime_ns", "st_ino"))
    return signature_of(found) if same else ""


def write_synced(path: Path, data: bytes, dated_back: int = 0) -> os.stat_result:
    """Write a file to the disk, dated so many seconds back."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        if dated_back:
            date = time.time_ns() - dated_back * 1_000_000_000
            os.utime(file.fileno(), ns=(date, date))
        os.fsync(file.fileno())
        return os.fstat(file.fileno())


def sync_folder(folder: Path) -> None:
    """Write a folder's entries to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
