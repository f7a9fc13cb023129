"""When the ML service is not asked any more: a circuit breaker around requests from many threads."""

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
"""Failures in a row that open the breaker of a client, unless it is told."""
RESET_SECONDS = 30.0
"""How long it then stays open before the trial, unless it is told."""


class _MonotonicStorage(pybreaker.CircuitMemoryStorage):
    """Keeps the moment of opening by a clock that never goes back, and shows it as the time pybreaker wants."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(pybreaker.STATE_CLOSED)
        self._clock = clock
        self._opened: float | None = None

    @property
    def opened_at(self) -> datetime | None:
        """The moment of opening."""
        if self._opened is None:
            return None
        return datetime.now(UTC) - timedelta(seconds=self._clock() - self._opened)

    @opened_at.setter
    def opened_at(self, moment: datetime) -> None:
        """Remembers this moment, whatever the other clock says."""
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
    """Closed: requests go out. Open: none does. Half-open: one does, and its outcome closes or opens.

    pybreaker holds a lock during a call, which would send requests one after the other. So a request goes out first
    and its outcome is told to pybreaker after it; only the one trial runs inside.

    An answer that refuses the request (:class:`ServiceRefused`) is a sign of life and no failure.
    """

    def __init__(
        self,
        threshold: int,
        reset_seconds: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        on_change: Callable[[State], None] = lambda state: None,
    ) -> None:
        """A closed breaker.

        Args:
            threshold: failures in a row that open it.
            reset_seconds: how long it stays open before the trial.
            clock: seconds that never go back.
            on_change: told each new state.
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
        """closed, open or half-open."""
        return cast(State, self._breaker.current_state)

    @property
    def failures(self) -> int:
        """How many failures there were since the last success."""
        return int(self._breaker.fail_counter)

    def call(self, send: Callable[[], T]) -> T:
        """What ``send`` returns.

        Raises:
            ServiceCircuitOpen: nothing was sent.
            ServiceError: whatever ``send`` raises.
        """
        if self.state == "closed":
            return self._send(send)
        # While the trial is under way nobody else tries, or waits for it.
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
        # What was sent before the breaker opened says nothing new.
        if self.state != "closed":
            return
        with contextlib.suppress(ServiceError, pybreaker.CircuitBreakerError):
            self._breaker.call(_nothing if outcome is None else lambda: _raise(outcome))


_OPEN = "the ML service failed too often and is not asked for now; look at it, or wait for ML_CIRCUIT_BREAKER_TIMEOUT"


def _nothing() -> None:
    return None


def _raise(error: ServiceError) -> NoReturn:
    raise error
