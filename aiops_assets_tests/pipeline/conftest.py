"""Homes that were filled once, and runs of the graph that leave out what only costs time."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from aiops_assets.settings import Settings
from aiops_assets_tests.conftest import make_settings
from aiops_assets_tests.once import made_once
from aiops_assets_tests.pipeline.graph import VIEWS, Result, leave_unrendered, materialize, remembered, small_forest


@pytest.fixture(scope="package", autouse=True)
def _small_forest() -> Iterator[None]:
    with small_forest():
        yield


@pytest.fixture
def real(tmp_path: Path) -> Settings:
    """Settings of a staging environment whose server nobody asks."""
    return make_settings(tmp_path, DATA_SOURCE="prometheus", PROMETHEUS_URL="http://127.0.0.1:9", AIOPS_ENV="staging")


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """An instance that remembers nothing; its databases are copies, for making them takes longer."""

    def make(folder: Path) -> None:
        with dg.DagsterInstance.local_temp(str(folder)) as made:
            made.all_instigator_state()  # its schedules' database is made on first use

    shutil.copytree(made_once("dagster", make), tmp_path / "instance")
    with dg.DagsterInstance.local_temp(str(tmp_path / "instance")) as instance:
        yield instance


@pytest.fixture(scope="package")
def filled(prometheus_url: str) -> tuple[Path, Result]:
    """A home whose champions saw a real server, and the run that made them."""

    def make(folder: Path) -> None:
        settings = make_settings(folder, DATA_SOURCE="prometheus", PROMETHEUS_URL=prometheus_url)
        materialize(settings, models=list(VIEWS), lasting=True)

    home = made_once("real", make)
    (run,) = remembered(make_settings(home))
    return home, run


@pytest.fixture
def home(filled: tuple[Path, Result], tmp_path: Path) -> Path:
    """A copy of it, to be changed by a test."""
    shutil.copytree(filled[0], tmp_path / "home", symlinks=True)
    return tmp_path / "home"


@pytest.fixture(autouse=True)
def _unrendered(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test's own runs; the homes above hold real pictures."""
    leave_unrendered(monkeypatch)
