"""Times of events: RFC 3339 as Kubernetes writes it, epoch numbers, and the many forms of a time that was never set."""

from datetime import UTC, datetime

from aiops_assets.errors import DataError

FIRST_EPOCH, LAST_EPOCH = 1e8, 1e11
"""Numbers between these are epoch seconds, 1973 to 5138; a thousand, 10^6 and 10^9 times as many are ms, us and ns."""
LAST_YEAR = 2200


def read_time(sent: object, place: str, position: int) -> datetime | None:
    """A time with an offset, UTC where none is given; ``None`` for one that was never set.

    Never set are: nothing, an empty text, 0, and the years 1 and 1970 of Go's and of the epoch's zero.

    Args:
        sent: the value as sent.
        place: place of the event, for the message: ``recent_events[3]``.
        position: position of the event in its list.

    Raises:
        DataError: ``bad_time``: it cannot be read.
    """
    if sent is None or (isinstance(sent, str) and not sent.strip()):
        return None
    try:
        time = _moment(sent)
        if time.year > LAST_YEAR:
            raise ValueError
    except (TypeError, ValueError, OverflowError, OSError):
        raise DataError(
            f"{place}: the time {sent!r:.40} cannot be read: send it as 2026-11-21T12:00:00Z",
            code="bad_time",
            position=position,
        ) from None
    return time if time.year > 1970 else None


def _moment(sent: object) -> datetime:
    if isinstance(sent, datetime):
        return sent if sent.tzinfo else sent.replace(tzinfo=UTC)
    if isinstance(sent, str):
        try:
            time = datetime.fromisoformat(sent.strip())
        except ValueError:
            return _epoch(float(sent))
        return time if time.tzinfo else time.replace(tzinfo=UTC)
    if isinstance(sent, bool) or not isinstance(sent, int | float):
        raise TypeError
    return _epoch(float(sent))


def _epoch(number: float) -> datetime:
    if number == 0:
        return datetime.fromtimestamp(0, UTC)
    for scale in (1.0, 1e3, 1e6, 1e9):
        if FIRST_EPOCH <= number / scale < LAST_EPOCH:
            return datetime.fromtimestamp(number / scale, UTC)
    raise ValueError
