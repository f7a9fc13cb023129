"""The client for asyncio: the requests of :class:`MLServiceClient`, made in threads of its own.

    async with AsyncMLServiceClient.from_environment(os.environ) as client:
        answer = await client.detect([{"name": "node_cpu_utilization", "value": 0.97}])

Connections, circuit breaker, cache and metrics are those of the client behind it, which may be used beside it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from aiops_assets.client.breaker import State
from aiops_assets.client.connection import POOL_SIZE
from aiops_assets.client.environment import ClientSettings
from aiops_assets.client.service_client import MLServiceClient, Status

P = ParamSpec("P")
T = TypeVar("T")


def _awaited(
    method: Callable[Concatenate[MLServiceClient, P], T],
) -> "Callable[Concatenate[AsyncMLServiceClient, P], Awaitable[T]]":
    """A method of the client with the same arguments, answer and errors, to be awaited."""

    async def run(self: "AsyncMLServiceClient", /, *args: P.args, **kwargs: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.threads, lambda: method(self.client, *args, **kwargs))

    run.__name__, run.__doc__ = method.__name__, method.__doc__
    return run


class AsyncMLServiceClient:
    """A client of an ML service for asyncio; safe to use from many tasks.

    A task that is cancelled waits no longer; its request ends in its thread, within the timeout.

    Args:
        client: sends the requests; it is closed with this one.
        pool_size: most concurrent requests; further ones wait.
    """

    def __init__(self, client: MLServiceClient, *, pool_size: int = POOL_SIZE) -> None:
        self.client = client
        self.threads = ThreadPoolExecutor(pool_size, "aiops-client")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], **more: Any) -> Self:
        """A client as of :meth:`MLServiceClient.from_environment`.

        Raises:
            SettingsError: a variable has a wrong value, or ML_SERVICE_URL is not set.
        """
        return cls(MLServiceClient.from_environment(environment, **more), pool_size=more.get("pool_size", POOL_SIZE))

    @classmethod
    def from_settings(cls, settings: ClientSettings, **more: Any) -> Self:
        """A client as of :meth:`MLServiceClient.from_settings`.

        Raises:
            SettingsError: ML_SERVICE_URL is not set.
        """
        return cls(MLServiceClient.from_settings(settings, **more), pool_size=more.get("pool_size", POOL_SIZE))

    detect = _awaited(MLServiceClient.detect)
    predict = _awaited(MLServiceClient.predict)
    analyze = _awaited(MLServiceClient.analyze)
    health = _awaited(MLServiceClient.health)

    def status(self) -> Status:
        """State of the client, without a request; see :meth:`MLServiceClient.status`."""
        return self.client.status()

    @property
    def breaker_state(self) -> State:
        """State of the circuit breaker: closed, open or half-open."""
        return self.client.breaker_state

    def __repr__(self) -> str:
        return f"Async{self.client!r}"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Wait for the requests that are under way, and close the kept-alive connections."""
        await asyncio.get_running_loop().run_in_executor(None, self.threads.shutdown)
        self.client.close()
