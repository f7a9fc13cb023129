"""A home that a real server filled once; a test that changes it takes its own copy."""

import shutil
from pathlib import Path

import dagster as dg
import pytest

from aiops_assets_tests.conftest import make_settings
from aiops_assets_tests.pipeline.graph import VIEWS, materialize


@pytest.fixture(scope="session")
def filled(prometheus_url: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dg.ExecuteInProcessResult]:
    """A home whose champions saw a real server, and the run that made them."""
    home = tmp_path_factory.mktemp("filled")
    settings = make_settings(home, DATA_SOURCE="prometheus", PROMETHEUS_URL=prometheus_url)
    return home, materialize(settings, models=list(VIEWS))


@pytest.fixture
def home(filled: tuple[Path, dg.ExecuteInProcessResult], tmp_path: Path) -> Path:
    shutil.copytree(filled[0], tmp_path / "home", symlinks=True)
    return tmp_path / "home"
