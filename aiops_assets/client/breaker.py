"""A circuit breaker around requests to the ML service from many threads."""

import contextlib
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Literal, NoReturn, TypeVar, cast

import pybreaker

from aiops_assets.errors import ServiceCircuitOpen, ServiceError, ServiceRefused

T = TypeVar("T")
State = Literal["closed", "open", "half-open"]

THRESHOLD = 3
"""After so many failures in a row a client's breaker opens, unless it is configured otherwise."""
RESET_SECONDS = 30.0
"""Default time from opening to the trial request, seconds."""


class _MonotonicStorage(pybreaker.CircuitMemoryStorage):
    """Stores the time of opening by a monotonic clock, and returns it as the datetime that pybreaker needs."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(pybreaker.STATE_CLOSED)
        self._clock = clock
        self._opened: float | None = None

    @property
    def opened_at(self) -> datetime | None:
        """Time of opening; ``None``: the breaker was never opened."""
        if self._opened is None:
            return None
        return datetime.now(UTC) - timedelta(seconds=self._clock() - self._opened)

    @opened_at.setter
    def opened_at(self, moment: datetime) -> None:
        """Store the present time of the monotonic clock instead of the given one."""
        self._opened = self._clock()


class _Listener(pybreaker.CircuitBreakerListener):
    def __init__(self, on_change: Callable[[State], None]) -> None:
        self._on_change = on_change

    def state_change(
        self,
        cb: pybreaker.CircuitBreaker,
        old_state: pybreaker.CircuitBreakerState | None,
        new_state: pybreaker.CircuitBreakerState,
    ) -> None:
        self._on_change(cast(State, new_state.name))


class Breaker:
    """Closed: all requests are sent. Open: none is. Half-open: one is, and its outcome closes or opens the breaker.

    pybreaker holds a lock during a call, which would serialize requests. So a request is sent first and its outcome is
    reported to pybreaker afterwards; only the trial request runs inside a call.

    An answer that rejects the request (:class:`ServiceRefused`) shows that the service is alive and is not a failure.
    """

    def __init__(
        self,
        threshold: int,
        reset_seconds: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        on_change: Callable[[State], None] = lambda state: None,
    ) -> None:
        """Create a closed breaker.

        Args:
            threshold: failures in a row that open it.
            reset_seconds: time from opening to the trial request.
            clock: a monotonic clock, seconds.
            on_change: called with each new state.
        """
        self._breaker = pybreaker.CircuitBreaker(
            fail_max=threshold,
            reset_timeout=reset_seconds,
            exclude=[ServiceRefused],
            listeners=[_Listener(on_change)],
            state_storage=_MonotonicStorage(clock),
            throw_new_error_on_trip=False,
        )
        self._trial = threading.Lock()

    @property
    def state(self) -> State:
        """State: closed, open or half-open."""
        return cast(State, self._breaker.current_state)

    @property
    def failures(self) -> int:
        """Number of failures since the last success."""
        return int(self._breaker.fail_counter)

    def call(self, send: Callable[[], T]) -> T:
        """The result of ``send``.

        Raises:
            ServiceCircuitOpen: the breaker is open; nothing was sent.
            ServiceError: as ``send`` raises it.
        """
        if self.state == "closed":
            return self._send(send)
        # While the trial is under way, other requests neither start one nor wait for it.
        if not self._trial.acquire(blocking=False):
            raise ServiceCircuitOpen(_OPEN)
        try:
            return self._breaker.call(send)
        except pybreaker.CircuitBreakerError:
            raise ServiceCircuitOpen(_OPEN) from None
        finally:
            self._trial.release()

    def _send(self, send: Callable[[], T]) -> T:
        try:
            result = send()
        except ServiceError as error:
            self._tell(error)
            raise
        self._tell(None)
        return result

    def _tell(self, outcome: ServiceError | None) -> None:
        # The outcome of a request from before the breaker opened is ignored.
        if self.state != "closed":
            return
        with contextlib.suppress(ServiceError, pybreaker.CircuitBreakerError):
            self._breaker.call(_nothing if outcome is None else lambda: _raise(outcome))


_OPEN = "the ML service failed too often and is not asked for now; look at it, or wait for ML_CIRCUIT_BREAKER_TIMEOUT"


def _nothing() -> None:
    return None


def _raise(error: ServiceError) -> NoReturn:
    raise error
