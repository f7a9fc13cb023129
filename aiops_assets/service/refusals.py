"""What was refused before it was read: counted for /metrics, and logged once instead of once a request.

Refusals come in floods: a line for each would fill a disk, and take the time that the others need.
"""

from time import monotonic

import structlog
from prometheus_client import Counter

LOG_SECONDS = 60.0
"""Shortest time between two lines about the same reason."""

log = structlog.get_logger("aiops.service")


class Refusals:
    """Counts refusals by reason, and logs the first of each reason at once, further ones as a number each minute.

    Args:
        counter: a counter with the label ``reason``.
        log_seconds: see :data:`LOG_SECONDS`.
    """

    def __init__(self, counter: Counter, log_seconds: float = LOG_SECONDS) -> None:
        self._counter = counter
        self._log_seconds = log_seconds
        self._logged: dict[str, float] = {}
        self._unlogged: dict[str, int] = {}

    def note(self, reason: str, **facts: object) -> None:
        """Record a refusal; ``facts`` are those of the line, if one is logged."""
        self._counter.labels(reason).inc()
        now, before = monotonic(), self._logged.get(reason)
        if before is not None and now - before < self._log_seconds:
            self._unlogged[reason] = self._unlogged.get(reason, 0) + 1
            return
        self._logged[reason] = now
        log.warning("refused", reason=reason, not_logged_since=self._unlogged.pop(reason, 0), **facts)
