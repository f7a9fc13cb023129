"""SHA-256 of stored files, each read once per process, and again when its signature has changed.

A remembered digest notices files that people or programs change. It does not notice a disk that corrupts content
without a write; the next process does.
"""

from aiops_assets.storage.records import sha256 as sha256
from aiops_assets.storage.remembered import Remembered
from aiops_assets.storage.storage import Storage

MAX_FILES = 512
_known: Remembered[tuple[str, str], tuple[str, str]] = Remembered(MAX_FILES)
"""URL of the storage and path -> signature and digest."""


def read_hashed(storage: Storage, path: str, most: int | None = None) -> tuple[bytes, str]:
    """The whole content of a file, and its SHA-256.

    Args:
        storage: where the file is.
        path: the file.
        most: others may have put it there: it has to be one of the storage's own, of at most so many bytes
            (:meth:`Storage.read_own`); ``None``: any is read.

    Raises:
        NotFoundError: there is no such file.
        IntegrityError: it is not fit to be read.
    """
    # Read before the content: a change between the two reads leaves an old signature, never an old digest.
    signature = storage.signature(path)
    data = storage.read(path) if most is None else storage.read_own(path, most)
    digest = sha256(data)
    if signature:
        _known.put((storage.url, path), (signature, digest))
    return data, digest


def digest_of(storage: Storage, path: str, most: int | None = None) -> str:
    """The SHA-256 of a file as it is now. The file is read only if its signature differs from the remembered one.

    Arguments and errors are those of :func:`read_hashed`.
    """
    signature, digest = _known.get((storage.url, path)) or ("", "")
    if signature and storage.signature(path) == signature:
        return digest
    return read_hashed(storage, path, most)[1]
