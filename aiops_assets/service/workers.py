"""Threads for work that would delay other requests, and a bounded wait for them.

Each kind of work has a pool of its own, so that slow work does not delay quick work. A request that would wait for most
of its time is refused before any work is done for it. A request whose time is over ends: its work asks between two
steps, with :func:`require_wanted`, whether anybody still waits.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from math import ceil
from time import monotonic
from typing import Any

from fastapi import Response

from aiops_assets.errors import ServiceBusy
from aiops_assets.service.wire import json_answer

LIGHT_THREADS, HEAVY_THREADS = 2, 2
"""More threads do not finish more work: Python runs one at a time, and the machine has other processes too."""
WAITING_SHARE = 0.4
"""Share of a request's time that it may wait for a thread: the rest is for its work, and for a wrong estimate."""
LATE_SHARE = 0.6
"""Share of a request's time after which no work is begun for it: the estimate was wrong, and so is every later one."""
PLACE_SECONDS = 1.0
"""Longest time that a request waits for a place among those that wait for a thread, seconds."""
MEMORY = 0.2
"""Weight of the newest work in the mean duration."""


@dataclass(eq=False)
class Running:
    """A request that is being answered.

    Attributes:
        seconds: its longest time.
        waited: how long it waited for a thread, seconds; ``None`` while it waits.
        over: its time is over, or its client is gone.
    """

    seconds: float
    waited: float | None = 0.0
    over: bool = False


RUNNING: ContextVar[Running] = ContextVar("running")
"""The request that the present code works for."""


class NotWanted(Exception):
    """Nobody waits for the answer any more."""


def require_wanted() -> None:
    """Raise NotWanted if the request that this code works for is over."""
    running = RUNNING.get(None)
    if running is not None and running.over:
        raise NotWanted


class Lane:
    """Threads for one kind of work.

    Args:
        name: name of the threads.
        threads: number of threads.
    """

    def __init__(self, name: str, threads: int) -> None:
        self._executor = ThreadPoolExecutor(threads, name)
        self._threads = threads
        self._taken = 0
        self._mean = 0.0
        self._without_place: deque[asyncio.Future[None]] = deque()

    def expected_wait(self) -> float:
        """Seconds until a thread is free for one more request, by the mean duration of earlier work."""
        return max(0, self._taken - self._threads + 1) * self._mean / self._threads

    async def call(self, work: Callable[[], Any]) -> Any:
        """The result of ``work`` in a thread.

        Raises:
            ServiceBusy: it would have to wait too long.
        """
        running = RUNNING.get(None) or Running(float("inf"))
        if not self._has_place(running) or self._without_place:
            await self._place(running)
        self._taken += 1
        context = copy_context()
        running.waited, came = None, monotonic()

        def timed() -> Any:
            began = monotonic()
            running.waited = began - came
            require_wanted()
            if running.waited > LATE_SHARE * running.seconds:
                raise self._busy()
            try:
                return work()
            finally:
                self._mean += (monotonic() - began - self._mean) * (MEMORY if self._mean else 1.0)

        future = self._executor.submit(context.run, timed)
        loop = asyncio.get_running_loop()
        future.add_done_callback(lambda _: loop.is_closed() or loop.call_soon_threadsafe(self._done))
        return await asyncio.wrap_future(future)

    def stop(self) -> None:
        """Start no further work."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _has_place(self, running: Running) -> bool:
        return self.expected_wait() <= WAITING_SHARE * running.seconds

    async def _place(self, running: Running) -> None:
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._without_place.append(place)
        try:
            async with asyncio.timeout(min(PLACE_SECONDS, running.seconds)):
                await place
        except BaseException as error:
            if place.done() and not place.cancelled():  # it was given at the very moment when nobody wanted it any more
                self._give_place()
            if not isinstance(error, TimeoutError):
                raise
            raise self._busy() from None

    def _busy(self) -> ServiceBusy:
        wait = max(1, ceil(self.expected_wait()))
        text = f"the service is busy: {self._taken} requests are being worked on; send it again in {wait} s"
        return ServiceBusy(text, retry_after=wait, taken=self._taken)

    def _done(self) -> None:
        self._taken -= 1
        self._give_place()

    def _give_place(self) -> None:
        while self._without_place and (place := self._without_place.popleft()):
            if not place.done():
                place.set_result(None)
                return


class Workers:
    """Two lanes: light for work of milliseconds, heavy for forecasts, windows and patterns."""

    def __init__(self) -> None:
        self.light = Lane("light", LIGHT_THREADS)
        self.heavy = Lane("heavy", HEAVY_THREADS)

    async def run(self, lane: Lane, work: Callable[[], Any]) -> Response:
        """The JSON response of ``work``, serialized in the same thread."""
        found: Response = await lane.call(lambda: json_answer(work()))
        return found

    def stop(self) -> None:
        """Start no further work."""
        for lane in (self.light, self.heavy):
            lane.stop()
