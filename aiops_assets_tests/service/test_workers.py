"""Waiting for threads and for memory: bounded, refused early, and of no use to a request that is over."""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any

import pytest

from aiops_assets.errors import ServiceBusy
from aiops_assets.service import bodies_in_flight
from aiops_assets.service.bodies_in_flight import CONTAINER, InFlight, count_values
from aiops_assets.service.workers import RUNNING, Lane, NotWanted, Running, require_wanted

MEAN_SECONDS = 1.0


def in_lane(use: "Coroutine[Any, Any, None]") -> None:
    asyncio.run(use)


async def request(lane: Lane, work: Any, running: Running) -> Any:
    RUNNING.set(running)
    return await lane.call(work)


class TestLane:
    def test_who_would_wait_too_long_is_refused_and_told_when_to_come_again(self) -> None:
        async def use() -> None:
            lane, go = Lane("test", 1), threading.Event()
            lane._mean = MEAN_SECONDS
            tasks = [asyncio.create_task(request(lane, go.wait, Running(10.0))) for _ in range(4)]
            await asyncio.sleep(0.05)
            assert lane.expected_wait() == 4 * MEAN_SECONDS
            with pytest.raises(ServiceBusy) as caught:
                await request(lane, go.wait, Running(0.5))
            assert caught.value.facts == {"retry_after": 4, "taken": 4}
            go.set()
            assert await asyncio.gather(*tasks) == [True] * 4
            assert lane.expected_wait() == 0.0
            lane.stop()

        in_lane(use())

    def test_who_waits_for_a_place_gets_it_when_one_is_free(self) -> None:
        async def use() -> None:
            lane, go = Lane("test", 1), threading.Event()
            lane._mean = 9.0
            first = asyncio.create_task(request(lane, go.wait, Running(10.0)))
            await asyncio.sleep(0.02)
            second = asyncio.create_task(request(lane, lambda: "answer", Running(10.0)))
            await asyncio.sleep(0.02)
            assert not second.done()
            go.set()
            assert await second == "answer"
            assert await first is True
            lane.stop()

        in_lane(use())

    def test_no_work_is_begun_for_a_request_that_is_over_and_what_has_begun_ends(self) -> None:
        async def use() -> None:
            lane, go, begun = Lane("test", 1), threading.Event(), threading.Event()
            steps: list[str] = []

            def work() -> None:
                begun.set()
                go.wait()
                require_wanted()
                steps.append("a step nobody waits for")

            running, next_one = Running(10.0), Running(10.0)
            task = asyncio.create_task(request(lane, work, running))
            queued = asyncio.create_task(request(lane, lambda: steps.append("begun"), next_one))
            await asyncio.to_thread(begun.wait)
            running.over = next_one.over = True
            go.set()
            for one in (task, queued):
                with pytest.raises(NotWanted):
                    await one
            assert steps == []
            lane.stop()

        in_lane(use())

    def test_work_that_would_begin_too_late_is_refused(self) -> None:
        async def use() -> None:
            lane, go = Lane("test", 1), threading.Event()
            first = asyncio.create_task(request(lane, go.wait, Running(10.0)))
            late = asyncio.create_task(request(lane, lambda: "too late", Running(0.1)))
            await asyncio.sleep(0.1)
            go.set()
            with pytest.raises(ServiceBusy):
                await late
            assert await first is True
            lane.stop()

        in_lane(use())


class TestInFlight:
    def test_further_bodies_wait_until_others_are_done_with(self) -> None:
        async def use() -> None:
            held = InFlight(100)
            assert await held.hold("a", 60)
            assert await held.hold("b", 40)
            waiting = asyncio.create_task(held.hold("b", 10))
            await asyncio.sleep(0.01)
            assert not waiting.done()
            assert await held.hold("a", 500)  # who came first may always go on
            held.release("a")
            assert await waiting
            assert held.total == 50
            held.release("b")
            assert held.total == 0

        in_lane(use())

    def test_waiting_ends(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(bodies_in_flight, "PATIENCE_SECONDS", 0.01)

        async def use() -> None:
            held = InFlight(100)
            assert await held.hold("a", 100)
            assert not await held.hold("b", 1)
            held.release("b")
            assert held.total == 100

        in_lane(use())


@pytest.mark.parametrize(
    ("json", "values"),
    [(b"", 0), (b'{"a":1}', CONTAINER), (b"[1,2,3]", CONTAINER + 2), (b"[[],[],{}]", 4 * CONTAINER + 2)],
)
def test_values_are_counted(json: bytes, values: int) -> None:
    assert count_values(json) == values
