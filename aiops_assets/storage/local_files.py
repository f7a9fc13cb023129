"""Reading files of a local file system that may be anything, and writing so that a crash leaves the old or the new."""

import errno
import fcntl
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aiops_assets.errors import IntegrityError, NotFoundError, StoreError

STAGING = ".staging-"

DATED_BACK_SECONDS = 3
"""Longer than the resolution with which any file system dates a change (FAT's is two seconds)."""


def signature_of(found: os.stat_result) -> str:
    """A text that changes with each write of a file: its size, times of change and inode."""
    return f"{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns} {found.st_ino}"


def read_bounded(path: Path, most: int | None = None, *, below: Path | None = None) -> bytes:
    """The content of a regular file. Type and size are looked at before the first byte is read.

    Opening waits for nobody, so that a FIFO without a writer is an error and no pause for ever.

    Args:
        path: the file.
        most: largest size, bytes; ``None``: any.
        below: the file must not be a link, and its folder has to be in this folder, links followed; ``None``: both are
            allowed to be anything.

    Raises:
        IntegrityError: it is no regular file ("not_a_file"), a link or outside ("outside"), or larger ("too_large").
        OSError: it cannot be read.
    """
    no_link = 0
    if below is not None:
        no_link = os.O_NOFOLLOW
        folder, root = path.parent.resolve(), below.resolve()
        if folder != root and root not in folder.parents:
            raise _unfit(path, "outside", f"lies outside of {below}, where a link leads: not read")
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC | no_link)
    except OSError as error:
        if error.errno == errno.ELOOP and no_link:
            raise _unfit(path, "outside", "is a link: not read; put the file itself there") from None
        if error.errno == errno.ENXIO:  # a socket
            raise _not_a_file(path) from None
        raise
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise _not_a_file(path)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            if most is None:
                return file.read()
            # Another process may append to it meanwhile.
            data = b"" if found.st_size > most else file.read(most + 1)
            if found.st_size > most or len(data) > most:
                raise _unfit(path, "too_large", f"has more than {most / 1e6:.3g} MB, the most that is read of it")
            return data
    finally:
        os.close(descriptor)


def _not_a_file(path: Path) -> IntegrityError:
    return _unfit(path, "not_a_file", "is no regular file (a folder, FIFO, device or socket): not read; move it away")


def _unfit(path: Path, code: str, problem: str) -> IntegrityError:
    return IntegrityError(f"{path} {problem}", code=code, path=str(path))


def create_private(target: Path, data: bytes, mode: int) -> None:
    """Create or replace a file that from its first moment nobody else can read, or all as ``mode`` says."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), mode)  # whatever the umask is
            os.fsync(file.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(target.parent)


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


def age(path: Path) -> float:
    """Seconds since a file was written or an entry of a folder made; of a link itself, not its target."""
    return time.time() - path.lstat().st_mtime


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file, which is made if it is missing. Opening waits for nobody, also not at a FIFO."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def locked_staging(parent: Path) -> Iterator[Path]:
    """A new folder beside the target: locked while its writer lives, removed when the block ends."""
    staging = Path(tempfile.mkdtemp(prefix=STAGING, dir=parent))
    # A served model is read by another user in its container; mkdtemp makes folders private.
    staging.chmod(0o755)
    try:
        with locked(staging / "lock"):
            yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn errors of the operating system into StoreError, and that there is no such file into NotFoundError."""
    with os_errors(path):
        try:
            yield
        except FileNotFoundError:
            raise NotFoundError(f"{path} does not exist") from None


@contextmanager
def os_errors(path: Path) -> Iterator[None]:
    """Turn errors of the operating system into StoreError, with the cure."""
    cures = {
        errno.ENOSPC: "the disk is full; nothing was changed: free some space and run again",
        errno.EDQUOT: "the quota is used up; nothing was changed: free some space and run again",
        errno.EACCES: "no permission: make it writable or set AIOPS_HOME or MODEL_ROOT elsewhere",
        errno.EPERM: "no permission: make it writable or set AIOPS_HOME or MODEL_ROOT elsewhere",
        errno.EROFS: "read-only file system: set AIOPS_HOME or MODEL_ROOT elsewhere",
        errno.ENOENT: "no such place: set AIOPS_HOME or MODEL_ROOT elsewhere",
        errno.ENOTDIR: "a file is in the way of a folder: set AIOPS_HOME or MODEL_ROOT elsewhere",
    }
    try:
        yield
    except OSError as error:
        cure = cures.get(error.errno or 0, error.strerror or str(error))
        raise StoreError(f"{path}: {cure}") from error
