"""A lake, and the server that fills it."""

from pathlib import Path

import pytest

from aiops_assets.storage.lake import Lake
from aiops_assets.storage.storage import LocalStorage
from aiops_assets_tests.datasets.server import Server, truth_of


@pytest.fixture
def server() -> Server:
    return Server(truth_of())


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(LocalStorage(tmp_path), "default")
