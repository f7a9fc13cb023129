"""Homes whose models the service reads, and the service itself in this process."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

import pytest
from starlette.testclient import TestClient

from aiops_assets.families.catalog import MODEL_NAMES
from aiops_assets.service.serving import app_of
from aiops_assets_tests.conftest import make_settings
from aiops_assets_tests.service.served_home import ServedHome

PATIENCE_SECONDS = 60


@contextmanager
def service(home: Path, model: str = "", *, demo: bool = False, **variables: str) -> Iterator[TestClient]:
    """The service over a home, started and stopped; with ``demo`` it is ready."""
    settings = make_settings(home, SERVICE_POLL_SECONDS="0.05", **variables)
    with TestClient(app_of(settings, model, demo=demo), raise_server_exceptions=False) as client:
        if demo:
            wait_until(client, "/v2/health/ready")
        yield client


def wait_until(client: TestClient, path: str, status: int = 200) -> None:
    """Ask until the status is as expected, for a bounded time."""
    end = monotonic() + PATIENCE_SECONDS
    while (found := client.get(path)).status_code != status:
        assert monotonic() < end, f"{path} is {found.status_code}: {found.text}"
        sleep(0.02)


@pytest.fixture(scope="session")
def whole_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which all models are served; tests do not change it."""
    folder = tmp_path_factory.mktemp("whole")
    ServedHome(folder / "models").serve(MODEL_NAMES)
    return folder


@pytest.fixture(scope="session")
def whole(whole_home: Path) -> Iterator[TestClient]:
    """The service with all models ready."""
    with service(whole_home) as client:
        for name in MODEL_NAMES:
            wait_until(client, f"/v1/models/{name}")
        yield client


@pytest.fixture
def home(tmp_path: Path) -> ServedHome:
    """An empty model root in ``tmp_path/models``."""
    return ServedHome(tmp_path / "models")
