"""Threads for what would keep other requests waiting.

Each kind of work has a pool of its own: a request that ran out of time leaves its thread to its pool until that has
ended, so that tries again cannot pile up beside it, and heavy questions do not keep light ones waiting.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any

from fastapi import Response

from aiops_assets.service.wire import json_answer

LIGHT_THREADS, HEAVY_THREADS = 2, 4


class Workers:
    """Two pools: light for what takes milliseconds, heavy for forecasts, windows and patterns."""

    def __init__(self) -> None:
        self.light: Executor = ThreadPoolExecutor(LIGHT_THREADS, "light")
        self.heavy: Executor = ThreadPoolExecutor(HEAVY_THREADS, "heavy")

    async def call(self, pool: Executor, work: Callable[[], Any]) -> Any:
        """What ``work`` returns; what has not begun when the request ends is never done."""
        return await asyncio.get_running_loop().run_in_executor(pool, work)

    async def run(self, pool: Executor, work: Callable[[], Any]) -> Response:
        """The answer of ``work``, written as JSON in the same thread."""
        found: Response = await self.call(pool, lambda: json_answer(work()))
        return found

    def stop(self) -> None:
        """Begin nothing any more."""
        for pool in (self.light, self.heavy):
            pool.shutdown(wait=False, cancel_futures=True)
