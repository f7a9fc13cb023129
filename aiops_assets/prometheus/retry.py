"""Asking again: only what another try can cure, with full jitter, and never past a total deadline."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import NoReturn, TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_random_exponential

from aiops_assets.errors import PrometheusUnreachable

T = TypeVar("T")


@dataclass(frozen=True)
class Retry:
    """How often, and how long, an unreachable server is asked again.

    Attributes:
        attempts: at most so many requests, the first one included.
        deadline_seconds: no attempt begins later than this after the first one; one under way may end.
        first_seconds: the first wait is a random part of this, each further one of twice as much.
        longest_seconds: no wait is a part of more than this, unless the server itself asks for more.
        sleep: waits so many seconds.
        clock: seconds that never go back.
    """

    attempts: int = 4
    deadline_seconds: float = 120
    first_seconds: float = 0.5
    longest_seconds: float = 15
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic

    def call(self, ask: Callable[[], T], abandoned: threading.Event | None = None) -> T:
        """What ``ask`` returns, as soon as it does not raise ``PrometheusUnreachable``.

        Args:
            ask: one request; every other error goes up at once.
            abandoned: once set, nobody waits for the answer: a wait ends, and no further attempt begins.

        Raises:
            CancelledError: it was abandoned.
            PrometheusUnreachable: the last attempt's, with the number of attempts and the time they took in the
                message and among the facts: ``attempts``, ``seconds``.
        """
        began = self.clock()

        def once() -> T:
            if abandoned is not None and abandoned.is_set():
                raise CancelledError
            return ask()

        def stop(state: RetryCallState) -> bool:
            late = self.clock() - began + state.upcoming_sleep > self.deadline_seconds
            return late or state.attempt_number >= self.attempts

        def give_up(state: RetryCallState) -> NoReturn:
            error = _error(state)
            tries = f"{state.attempt_number} attempt{'s' if state.attempt_number > 1 else ''}"
            seconds = self.clock() - began
            message = f"{error}; gave up after {tries} in {seconds:.1f} s"
            facts = {**error.facts, "attempts": state.attempt_number, "seconds": seconds}
            raise PrometheusUnreachable(message, error.retry_after, code=error.code, **facts) from error

        return Retrying(
            retry=retry_if_exception_type(PrometheusUnreachable),
            stop=stop,
            wait=self._wait,
            sleep=self._sleep(abandoned),
            retry_error_callback=give_up,
        )(once)

    def _wait(self, state: RetryCallState) -> float:
        # Full jitter: clients that failed together do not come back together.
        jitter = wait_random_exponential(multiplier=self.first_seconds, max=self.longest_seconds)(state)
        return max(jitter, _error(state).retry_after or 0.0)

    def _sleep(self, abandoned: threading.Event | None) -> Callable[[float], None]:
        if abandoned is None or self.sleep is not time.sleep:
            return self.sleep
        event = abandoned

        def until_abandoned(seconds: float) -> None:
            event.wait(seconds)

        return until_abandoned


def _error(state: RetryCallState) -> PrometheusUnreachable:
    error = state.outcome.exception() if state.outcome else None
    if not isinstance(error, PrometheusUnreachable):
        raise TypeError(f"asked what to do about {error!r}")  # retry_if_exception_type lets nothing else in
    return error
