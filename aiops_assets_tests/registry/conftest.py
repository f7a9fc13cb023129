"""A real MLflow, and a home with three versions in it."""

import itertools
from pathlib import Path

import pytest

from aiops_assets.tracking.tracker import Tracker
from aiops_assets_tests.registry.champion_home import ChampionHome, home_of

_numbers = itertools.count()


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Tracker:
    """One MLflow for all: it takes seconds to make. Each home has a model name of its own in it."""
    return Tracker(f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db", "aiops/default")


@pytest.fixture
def home(tracker: Tracker, tmp_path: Path) -> ChampionHome:
    """Versions 1, 2, 3, of which 2 is served and 1 was."""
    return filled(tmp_path, tracker)


@pytest.fixture(scope="module")
def agreed(tracker: Tracker, tmp_path_factory: pytest.TempPathFactory) -> ChampionHome:
    """The same, for tests that put back what they change."""
    return filled(tmp_path_factory.mktemp("agreed"), tracker)


def filled(folder: Path, tracker: Tracker) -> ChampionHome:
    made = home_of(folder, tracker, f"detector-{next(_numbers)}")
    for _ in range(3):
        made.add()
    made.serve(1, None)
    made.serve(2, 1)
    return made
