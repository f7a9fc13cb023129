"""Retries of requests that a later attempt can cure, with full jitter and a total deadline."""

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
    """How often, and how long, requests to an unreachable server are repeated.

    Attributes:
        attempts: most requests, the first one included.
        deadline_seconds: no attempt begins later than this after the first one; one under way may end.
        first_seconds: the first wait is random between 0 and this; the upper bound doubles with each wait.
        longest_seconds: largest upper bound of a wait, unless the server requests a longer one.
        sleep: waits a number of seconds.
        clock: a monotonic clock, seconds.
    """

    attempts: int = 4
    deadline_seconds: float = 120
    first_seconds: float = 0.5
    longest_seconds: float = 15
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic

    def call(self, ask: Callable[[], T], abandoned: threading.Event | None = None) -> T:
        """The result of ``ask``, which is repeated while it raises ``PrometheusUnreachable``.

        Args:
            ask: sends one request; its other exceptions are raised at once.
            abandoned: set when the answer is no longer needed: a wait ends, and no further attempt begins.

        Raises:
            CancelledError: ``abandoned`` was set.
            PrometheusUnreachable: the last attempt's, with the number of attempts and the time they took, in
                the message and among the facts: ``attempts``, ``seconds``.
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
        # Full jitter: clients that failed together do not return together.
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
        raise TypeError(f"not an error to retry after: {error!r}")  # retry_if_exception_type admits no other type
    return error
