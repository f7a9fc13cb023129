"""Threads for work that would delay other requests.

Each kind of work has a pool of its own: the thread of a request that timed out stays occupied until its work has ended,
so that retries cannot pile up, and slow work does not delay quick work.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any

from fastapi import Response

from aiops_assets.service.wire import json_answer

LIGHT_THREADS, HEAVY_THREADS = 2, 4


class Workers:
    """Two thread pools: light for work of milliseconds, heavy for forecasts, windows and patterns."""

    def __init__(self) -> None:
        self.light: Executor = ThreadPoolExecutor(LIGHT_THREADS, "light")
        self.heavy: Executor = ThreadPoolExecutor(HEAVY_THREADS, "heavy")

    async def call(self, pool: Executor, work: Callable[[], Any]) -> Any:
        """The result of ``work`` in a thread of ``pool``; it never starts if the request ends before."""
        return await asyncio.get_running_loop().run_in_executor(pool, work)

    async def run(self, pool: Executor, work: Callable[[], Any]) -> Response:
        """The JSON response of ``work``, serialized in the same thread."""
        found: Response = await self.call(pool, lambda: json_answer(work()))
        return found

    def stop(self) -> None:
        """Start no further work."""
        for pool in (self.light, self.heavy):
            pool.shutdown(wait=False, cancel_futures=True)
