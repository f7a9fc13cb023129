"""A real MLflow, and homes with three versions in it."""

from pathlib import Path

import pytest

from aiops_assets.tracking.tracker import Tracker
from aiops_assets_tests.registry.champion_home import ChampionHome, three_versions


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Tracker:
    """An empty MLflow."""
    return Tracker(f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db", "aiops/default")


@pytest.fixture
def home(tmp_path: Path) -> ChampionHome:
    """Versions 1, 2, 3, of which 2 is served and 1 was."""
    return three_versions(tmp_path)


@pytest.fixture(scope="module")
def agreed(tmp_path_factory: pytest.TempPathFactory) -> ChampionHome:
    """The same, for tests that put back what they change."""
    return three_versions(tmp_path_factory.mktemp("agreed"))
