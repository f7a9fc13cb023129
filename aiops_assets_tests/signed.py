"""The keys of a run of the tests, and model roots whose versions and champion records are signed with them."""

import os
from functools import cache
from pathlib import Path

from aiops_assets.storage.served import ServedModels
from aiops_assets.storage.signatures import Keys
from aiops_assets.storage.storage import Storage, open_storage
from aiops_assets_tests.once import made_once

CONFIG = "AIOPS_TEST_CONFIG"
"""Variable for child processes: the folder that the run of the tests has its keys in."""


@cache
def keys_of_tests() -> Keys:
    """Keys that all workers share; from now on settings and child processes find them, and not a person's own."""
    folder = Path(os.environ.get(CONFIG) or made_once("config", _make))
    os.environ["XDG_CONFIG_HOME"] = os.environ[CONFIG] = str(folder)
    return keys_in(folder / "aiops_assets")


def keys_in(folder: Path) -> Keys:
    """The keys of a folder, named as by default."""
    return Keys(folder / "verify.pub", folder / "signing.key")


def served_in(root: Path | Storage) -> ServedModels:
    """Versions and champion records below a root, signed and checked with the keys of the tests."""
    return ServedModels(root if isinstance(root, Storage) else open_storage(root), keys_of_tests())


def _make(folder: Path) -> None:
    keys_in(folder / "aiops_assets").make()
