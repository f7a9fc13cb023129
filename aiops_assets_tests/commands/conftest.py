"""A home with versions and a champion, for the commands that handle them."""

from pathlib import Path

import pytest

from aiops_assets_tests.registry.champion_home import ChampionHome, three_versions


@pytest.fixture
def home(tmp_path: Path) -> ChampionHome:
    """A home with an MLflow of its own: versions 1, 2, 3, of which 2 is served and 1 was."""
    return three_versions(tmp_path / "home")
