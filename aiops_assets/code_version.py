"""Which code made a model: the release, and a digest of the modules that decide what a fit yields."""

import hashlib
from functools import cache
from pathlib import Path

from aiops_assets import __version__

PURE = ("timeseries", "models")


@cache
def code_version() -> str:
    """For example ``0.2.0+3f2a91c04b7e``.

    The digest makes sure that an edit, also an uncommitted one, is another version: training that is
    skipped because "nothing changed" would otherwise skip it after a fix of the features.
    """
    root = Path(__file__).parent
    digest = hashlib.blake2b(digest_size=6)
    for folder in PURE:
        for path in sorted((root / folder).glob("**/*.py")):
            digest.update(path.relative_to(root).as_posix().encode())
            digest.update(path.read_bytes())
    return f"{__version__}+{digest.hexdigest()}"
