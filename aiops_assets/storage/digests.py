"""SHA-256 of stored files, each read once a process, and again when its signature is another.

A remembered digest is as good as a fresh one against people and programs that change files. It is not against a disk
that rots beneath them: that is noticed by the next process.
"""

from aiops_assets.storage.records import sha256 as sha256
from aiops_assets.storage.remembered import Remembered
from aiops_assets.storage.storage import Storage

MOST_FILES = 512
_known: Remembered[tuple[str, str], tuple[str, str]] = Remembered(MOST_FILES)
"""URL of the storage and path -> signature and digest."""


def read_hashed(storage: Storage, path: str) -> tuple[bytes, str]:
    """The whole content of a file, and its digest.

    Raises:
        NotFoundError: there is no such file.
    """
    # Before the content: a change between the two makes the signature too old, never the digest.
    signature = storage.signature(path)
    data = storage.read(path)
    digest = sha256(data)
    if signature:
        _known.put((storage.url, path), (signature, digest))
    return data, digest


def digest_of(storage: Storage, path: str) -> str:
    """The digest of a file as it is now; it is only read when it is not the file that was hashed last.

    Raises:
        NotFoundError: there is no such file.
    """
    signature, digest = _known.get((storage.url, path)) or ("", "")
    if signature and storage.signature(path) == signature:
        return digest
    return read_hashed(storage, path)[1]
