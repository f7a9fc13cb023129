"""The filesystem object below every store: a local folder, or a bucket behind a URL.

The stores build on four promises: a file is there completely or not at all; a directory is committed with its
manifest last, and only once; a compare-and-swap lets exactly one of two writers succeed; a failed write leaves the old
content in place.
"""

import errno
import fcntl
import os
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, cast

from typing_extensions import override

from aiops_assets.errors import ConflictError, IntegrityError, NotFoundError, StoreError
from aiops_assets.storage.local_files import (
    DATED_BACK_SECONDS,
    STAGING,
    age,
    locked,
    locked_staging,
    os_errors,
    read_bounded,
    reading,
    replace_file,
    signature_of,
    sync_folder,
    write_synced,
)

if TYPE_CHECKING:
    from obstore import UpdateVersion
    from obstore.store import ObjectStore

YOUNG_SECONDS = 600
"""Leftovers younger than this may still have a writer."""
UNLOCKED_SECONDS = 2
"""How long a writer may need from making its lock file to locking it."""
TICK_SECONDS = 0.02
"""Longer than the resolution of the clock with which local file systems date a change."""


class Storage(ABC):
    """Files below one root. Paths are relative, with forward slashes."""

    url: str

    @abstractmethod
    def read(self, path: str) -> bytes:
        """The whole content of a file. Raises NotFoundError."""

    @abstractmethod
    def read_own(self, path: str, most: int) -> bytes:
        """The whole content of a file that must be one of this storage and not be larger than ``most`` bytes.

        Type, place and size are looked at before it is read.

        Raises:
            NotFoundError: there is no such file.
            IntegrityError: it is no regular file, a link, outside of the root, or larger.
        """

    @abstractmethod
    def read_part(self, path: str, start: int, length: int) -> bytes:
        """So many bytes of a file; fewer where it ends, StoreError or none behind. Raises NotFoundError."""

    @abstractmethod
    def signature(self, path: str) -> str:
        """A text that changes whenever the file does, got without reading it; empty: unknown. Raises NotFoundError."""

    @abstractmethod
    def write(self, path: str, data: bytes) -> None:
        """Create or replace a file, atomically."""

    @abstractmethod
    def remove(self, path: str) -> None:
        """Remove a file; it is no error if there is none."""

    @abstractmethod
    def names(self, path: str) -> list[str]:
        """Sorted names of the files and folders right below ``path``; empty when there is no such folder."""

    @abstractmethod
    def commit_directory(self, path: str, files: Mapping[str, bytes], last: str) -> dict[str, str]:
        """Create a directory that never changes again, ``last`` written last. Raises ConflictError if it exists.

        Returns:
            name -> signature of the file as it was written; unknown ones are left out.
        """

    @abstractmethod
    def compare_and_swap(self, path: str, expected: bytes | None, new: bytes) -> str:
        """Replace ``expected`` (``None``: no file) by ``new``. Raises ConflictError if the content is another.

        Returns:
            the signature of the new file, which any later write changes; empty: unknown.
        """

    @abstractmethod
    def remove_directory(self, path: str, first: str) -> None:
        """Remove a committed directory, ``first`` (its manifest) first: a part of it never looks complete."""

    @abstractmethod
    def sweep(self, path: str, *, remove: bool = True) -> list[str]:
        """Names of what killed writers left right below ``path``; with ``remove`` it is removed."""

    def exists(self, path: str) -> bool:
        """Whether there is such a file."""
        folder, _, name = path.rpartition("/")
        return name in self.names(folder)

    def locate(self, path: str) -> str:
        """The path or URL by which a person or KServe finds a file."""
        return f"{self.url}/{path}"

    def local_path(self, path: str) -> Path | None:
        """The path on this machine; ``None`` for a bucket."""
        return None


def open_storage(url: str | Path) -> Storage:
    """A local folder for a plain path or ``file://``; for any other URL (``s3://``, ``gs://``) a bucket."""
    text = str(url)
    if "://" not in text:
        return LocalStorage(Path(text))
    if text.startswith("file://"):
        return LocalStorage(Path(text.removeprefix("file://")))
    from obstore.store import from_url

    # The client's default retries last three minutes, longer than Dagster waits for a sensor.
    store = from_url(
        text,
        client_options={"connect_timeout": "5s", "timeout": "20s"},
        retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=30)},
    )
    return ObjectStorage(store, text.rstrip("/"))


class LocalStorage(Storage):
    """A folder. Files and directories are written beside their place and renamed into it."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.url = str(self.root)

    @override
    def read(self, path: str) -> bytes:
        target = self.root / path
        with reading(target):
            return read_bounded(target)

    @override
    def read_own(self, path: str, most: int) -> bytes:
        target = self.root / path
        with reading(target):
            return read_bounded(target, most, below=self.root)

    @override
    def read_part(self, path: str, start: int, length: int) -> bytes:
        target = self.root / path
        with reading(target), target.open("rb", buffering=0) as file:
            return os.pread(file.fileno(), length, start)

    @override
    def signature(self, path: str) -> str:
        """Size, times of change and inode.

        A second change within one tick of the clock would not show, so that a file that has just been written is
        waited for.
        """
        target = self.root / path
        with reading(target):
            found = target.stat()
        age = time.time() - found.st_ctime
        if age < 0:  # dated by another clock
            return ""
        if age < TICK_SECONDS:
            time.sleep(TICK_SECONDS)
        return signature_of(found)

    @override
    def write(self, path: str, data: bytes) -> None:
        target = self.root / path
        with os_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            replace_file(target, data)

    @override
    def remove(self, path: str) -> None:
        with os_errors(self.root / path):
            (self.root / path).unlink(missing_ok=True)

    @override
    def names(self, path: str) -> list[str]:
        folder = self.root / path
        with os_errors(folder):
            if not folder.is_dir():
                return []
            return sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith(STAGING))

    @override
    def commit_directory(self, path: str, files: Mapping[str, bytes], last: str) -> dict[str, str]:
        """A rename makes the directory appear as a whole: no reader ever sees a part of it."""
        target = self.root / path
        with os_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            self.sweep(path.rpartition("/")[0])
            with locked_staging(target.parent) as staging:
                content = staging / "content"
                content.mkdir()
                written = {
                    name: write_synced(content / name, files[name], dated_back=DATED_BACK_SECONDS)
                    for name in sorted(files, key=lambda name: name == last)
                }
                sync_folder(content)
                try:
                    content.rename(target)
                except OSError as error:
                    if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
                        raise ConflictError(f"{target} exists already and never changes") from None
                    raise
                sync_folder(target.parent)
            # The rename of a folder changes no date of the files in it, which had a folder of their own until then.
            return {name: signature_of(found) for name, found in written.items()}

    @override
    def compare_and_swap(self, path: str, expected: bytes | None, new: bytes) -> str:
        target = self.root / path
        with os_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            with locked(target.parent / f".{target.name}.lock"):
                found = read_bounded(target) if target.exists() else None
                if found != expected:
                    raise ConflictError(f"{target} was changed by somebody else meanwhile: look at it, then try again")
                return replace_file(target, new)

    @override
    def local_path(self, path: str) -> Path | None:
        return self.root / path

    @override
    def remove_directory(self, path: str, first: str) -> None:
        """A rename removes the directory as a whole; ``sweep`` removes what a kill leaves after that."""
        target = self.root / path
        with os_errors(target):
            if not target.is_dir():
                return
            with locked_staging(target.parent) as staging:
                target.rename(staging / "content")
                sync_folder(target.parent)

    @override
    def sweep(self, path: str, *, remove: bool = True) -> list[str]:
        """A living writer holds the lock in its staging folder; its temporary files exist for a short time only."""
        folder = self.root / path
        left = []
        for staging in sorted(folder.glob(f"{STAGING}*")):
            with suppress(OSError):
                lock = staging / "lock"
                if age(staging) < (UNLOCKED_SECONDS if lock.exists() else YOUNG_SECONDS):
                    continue
                if remove or lock.exists():
                    with lock.open("a") as held:
                        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        if remove:
                            shutil.rmtree(staging, ignore_errors=True)
                left.append(staging.name)
        for temporary in sorted(folder.glob(".*.tmp")):
            with suppress(OSError):
                if age(temporary) >= YOUNG_SECONDS:
                    if remove:
                        temporary.unlink()
                    left.append(temporary.name)
        return left


class ObjectStorage(Storage):
    """A bucket, which has no rename: the manifest is written last, and a directory exists once its manifest does."""

    def __init__(self, store: "ObjectStore", url: str) -> None:
        self.store = store
        self.url = url

    @override
    def read(self, path: str) -> bytes:
        with self._errors(path):
            return bytes(self.store.get(path).bytes())

    @override
    def read_own(self, path: str, most: int) -> bytes:
        """An object has no type; its size is known before its content is fetched."""
        with self._errors(path):
            found = self.store.get(path)
            if found.meta["size"] > most:
                raise IntegrityError(
                    f"{self.locate(path)} has more than {most / 1e6:.3g} MB, the most that is read of it",
                    code="too_large",
                    path=self.locate(path),
                )
            return bytes(found.bytes())

    @override
    def read_part(self, path: str, start: int, length: int) -> bytes:
        with self._errors(path):
            return bytes(self.store.get_range(path, start=start, length=length)) if length else b""

    @override
    def signature(self, path: str) -> str:
        """The entity tag, version, size and time of change; empty where the bucket gives no entity tag."""
        with self._errors(path):
            found = self.store.head(path)
        if not found["e_tag"]:
            return ""
        return f"{found['e_tag']} {found['version']} {found['size']} {found['last_modified'].isoformat()}"

    @override
    def write(self, path: str, data: bytes) -> None:
        with self._errors(path):
            self.store.put(path, data)

    @override
    def remove(self, path: str) -> None:
        with self._errors(path), suppress(FileNotFoundError):
            self.store.delete(path)

    @override
    def names(self, path: str) -> list[str]:
        with self._errors(path):
            listing = self.store.list_with_delimiter(path or None)
        found = [str(entry["path"]) for entry in listing["objects"]] + list(listing["common_prefixes"])
        return sorted(entry.rstrip("/").rpartition("/")[2] for entry in found)

    @override
    def commit_directory(self, path: str, files: Mapping[str, bytes], last: str) -> dict[str, str]:
        """Each file is written only where there is none, so the first writer gets the directory."""
        with self._errors(path):
            for name in sorted(files, key=lambda name: name == last):
                self.store.put(f"{path}/{name}", files[name], mode="create")
        return {}

    @override
    def compare_and_swap(self, path: str, expected: bytes | None, new: bytes) -> str:
        """The write carries the entity tag of the content that was compared; that of the new file costs a request."""
        with self._errors(path):
            if expected is None:
                self.store.put(path, new, mode="create")
                return ""
            found = self.store.get(path)
            if bytes(found.bytes()) != expected:
                raise ConflictError(f"{self.locate(path)} was changed by somebody else meanwhile: try again")
            known = {"e_tag": found.meta["e_tag"], "version": found.meta["version"]}
            self.store.put(path, new, mode=cast("UpdateVersion", {k: v for k, v in known.items() if v is not None}))
            return ""

    @override
    def remove_directory(self, path: str, first: str) -> None:
        """Without its manifest the rest no longer counts as a directory."""
        with self._errors(path):
            with suppress(FileNotFoundError):
                self.store.delete(f"{path}/{first}")
            for entries in self.store.list(f"{path}/"):
                for entry in entries:
                    with suppress(FileNotFoundError):
                        self.store.delete(str(entry["path"]))

    @override
    def sweep(self, path: str, *, remove: bool = True) -> list[str]:
        """A write to a bucket leaves nothing behind when it fails."""
        return []

    @contextmanager
    def _errors(self, path: str) -> Iterator[None]:
        from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

        where = self.locate(path)
        try:
            yield
        except FileNotFoundError:
            raise NotFoundError(f"{where} does not exist") from None
        except AlreadyExistsError:
            raise ConflictError(f"{where} exists already") from None
        except PreconditionError:
            raise ConflictError(f"{where} was changed by somebody else meanwhile: try again") from None
        except (BaseError, OSError) as error:
            raise StoreError(f"{where}: {str(error).splitlines()[0]}") from error
