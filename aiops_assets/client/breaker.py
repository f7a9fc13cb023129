"""A circuit breaker around requests to the ML service from many threads."""

import threading
import time
from collections.abc import Callable
from typing import Literal, TypeVar

from aiops_assets.errors import ServiceCircuitOpen, ServiceError, ServiceRefused

T = TypeVar("T")
State = Literal["closed", "open", "half-open"]

THRESHOLD = 3
"""After so many failures in a row a client's breaker opens, unless it is configured otherwise."""
RESET_SECONDS = 30.0
"""Default time from opening to the trial request, seconds."""
_OPEN = "the ML service failed too often, so nothing is sent to it; check it, or wait for ML_CIRCUIT_BREAKER_TIMEOUT"


class Breaker:
    """Closed: all requests are sent. Open: none is. Half-open: one is, and its outcome closes or opens the breaker.

    An answer that rejects the request (:class:`ServiceRefused`) shows that the service is alive and is not a failure.
    No lock is held while a request is sent.

    Args:
        threshold: failures in a row that open it.
        reset_seconds: time from opening to the trial request.
        clock: a monotonic clock, seconds.
        on_change: called with each new state.
    """

    def __init__(
        self,
        threshold: int,
        reset_seconds: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        on_change: Callable[[State], None] = lambda state: None,
    ) -> None:
        self.state: State = "closed"
        self.failures = 0
        self._threshold, self._reset_seconds, self._clock, self._on_change = threshold, reset_seconds, clock, on_change
        self._opened = 0.0
        self._lock = threading.Lock()

    def call(self, send: Callable[[], T]) -> T:
        """The result of ``send``.

        Raises:
            ServiceCircuitOpen: the breaker is open; nothing was sent.
            ServiceError: as ``send`` raises it.
        """
        is_trial = self._admit()
        try:
            result = send()
        except ServiceRefused:
            self._ended(is_trial, failed=False)
            raise
        except BaseException as error:
            # What is no failure of the service, such as an interrupt, only ends a trial.
            if is_trial or isinstance(error, ServiceError):
                self._ended(is_trial, failed=True)
            raise
        self._ended(is_trial, failed=False)
        return result

    def _admit(self) -> bool:
        """Whether the request is the trial. While that is under way, other requests neither start one nor wait."""
        with self._lock:
            if self.state == "closed":
                return False
            if self.state == "half-open" or self._clock() - self._opened < self._reset_seconds:
                raise ServiceCircuitOpen(_OPEN)
            self._become("half-open")
            return True

    def _ended(self, is_trial: bool, *, failed: bool) -> None:
        with self._lock:
            # The outcome of a request from before the breaker opened is ignored.
            if not is_trial and self.state != "closed":
                return
            self.failures = self.failures + 1 if failed else 0
            if failed and (is_trial or self.failures >= self._threshold):
                self._opened = self._clock()
                self._become("open")
            elif is_trial:
                self._become("closed")

    def _become(self, state: State) -> None:
        self.state = state
        self._on_change(state)
