"""What is asked again, how often, and for how long."""

import threading
from concurrent.futures import CancelledError

import pytest

from aiops_assets.errors import PrometheusAccessError, PrometheusQueryError, PrometheusUnreachable
from aiops_assets.prometheus.retry import Retry
from aiops_assets_tests.raising import raises


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.waits: list[float] = []

    def read(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds


class Server:
    """Raises one error after the other, then answers."""

    def __init__(self, *errors: Exception, clock: Clock, seconds: float = 0) -> None:
        self.asked = 0
        self._errors = list(errors)
        self._clock, self._seconds = clock, seconds

    def __call__(self) -> str:
        self.asked += 1
        self._clock.now += self._seconds
        if self._errors:
            raise self._errors.pop(0)
        return "answer"


def down(retry_after: float | None = None) -> PrometheusUnreachable:
    return PrometheusUnreachable("down; look", retry_after, code="gateway", status=503)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def retry_of(clock: Clock, attempts: int = 4, deadline_seconds: float = 120, first_seconds: float = 0.5) -> Retry:
    return Retry(attempts, deadline_seconds, first_seconds, sleep=clock.sleep, clock=clock.read)


def test_what_is_down_for_a_moment_is_asked_again(clock: Clock) -> None:
    server = Server(down(), down(), down(), clock=clock)
    assert retry_of(clock).call(server) == "answer"
    assert server.asked == 4
    assert all(0 <= wait <= 0.5 * 2**i for i, wait in enumerate(clock.waits))


def test_waits_are_random_and_never_longer_than_the_longest(clock: Clock) -> None:
    server = Server(*[down() for _ in range(60)], clock=clock)
    assert retry_of(clock, attempts=61, deadline_seconds=10_000).call(server) == "answer"
    assert max(clock.waits) <= 15
    assert len(set(clock.waits)) == 60


def test_the_last_error_tells_how_often_it_was_tried(clock: Clock) -> None:
    last = PrometheusUnreachable("still down", 3, code="not_ready", status=503)
    server = Server(down(), down(2), down(), last, clock=clock)
    with raises(PrometheusUnreachable, "not_ready", status=503, attempts=4) as caught:
        retry_of(clock).call(server)
    assert caught.value.facts["seconds"] == pytest.approx(sum(clock.waits))
    assert caught.value.retry_after == 3
    assert caught.value.__cause__ is last
    assert server.asked == 4


@pytest.mark.parametrize("error", [PrometheusAccessError("no"), PrometheusQueryError("no"), ZeroDivisionError("no")])
def test_what_another_try_cannot_cure_goes_up_at_once(clock: Clock, error: Exception) -> None:
    server = Server(down(), error, clock=clock)
    with pytest.raises(type(error), match=r"^no$"):
        retry_of(clock).call(server)
    assert server.asked == 2


def test_a_server_that_asks_to_be_left_alone_is(clock: Clock) -> None:
    assert retry_of(clock).call(Server(down(40), down(0), clock=clock)) == "answer"
    assert clock.waits[0] == 40
    assert clock.waits[1] <= 1


def test_a_wait_past_the_deadline_is_not_begun(clock: Clock) -> None:
    server = Server(down(121), clock=clock)
    with raises(PrometheusUnreachable, "gateway", status=503, attempts=1, seconds=0):
        retry_of(clock).call(server)
    assert (server.asked, clock.waits) == (1, [])


def test_time_spent_in_attempts_counts(clock: Clock) -> None:
    server = Server(*[down() for _ in range(9)], clock=clock, seconds=50)
    with raises(PrometheusUnreachable, "gateway", attempts=3) as caught:
        retry_of(clock, attempts=9).call(server)
    assert caught.value.facts["seconds"] == pytest.approx(150 + sum(clock.waits))
    assert server.asked == 3


@pytest.mark.parametrize("when", ["before", "while it waits"])
def test_nothing_is_asked_for_somebody_who_has_gone(clock: Clock, when: str) -> None:
    gone = threading.Event()
    server = Server(down(), clock=clock)

    def leave(seconds: float) -> None:
        gone.set()

    if when == "before":
        gone.set()
    with pytest.raises(CancelledError):
        Retry(sleep=leave, clock=clock.read).call(server, gone)
    assert server.asked == (0 if when == "before" else 1)
