"""A home with versions and a champion, for the commands that handle them."""

import shutil
from pathlib import Path

import pytest

from aiops_assets_tests.registry.champion_home import ChampionHome, home_of


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with an MLflow of its own: versions 1, 2, 3, of which 2 is served and 1 was."""
    home = home_of(tmp_path_factory.mktemp("filled"))
    for _ in range(3):
        home.add()
    home.serve(1, None)
    home.serve(2, 1)
    return home.folder


@pytest.fixture
def home(filled: Path, tmp_path: Path) -> ChampionHome:
    shutil.copytree(filled, tmp_path / "home", symlinks=True)
    return home_of(tmp_path / "home")
