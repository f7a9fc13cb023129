"""A service, a clock that a test moves, and a client of both."""

from collections.abc import Iterator

import pytest

from aiops_assets.client import MLServiceClient
from aiops_assets_tests.client.fake_service import Clock, Service


@pytest.fixture
def service() -> Iterator[Service]:
    running = Service()
    yield running
    running.stop()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def client(service: Service, clock: Clock) -> Iterator[MLServiceClient]:
    with MLServiceClient(service.url, timeout_seconds=5, clock=clock) as asking:
        yield asking
