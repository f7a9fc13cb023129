"""Splits a window into requests: as few as the server's limits and the memory of this process allow."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from aiops_assets.timeseries.series import DAY_SECONDS, EPOCH

MAX_POINTS = 11_000
"""Most instants of a range query; Prometheus rejects more."""
MAX_SAMPLES = 300_000
"""Most instants times series of an answer, about 7 MB; larger answers are not faster and cost memory."""


@dataclass(frozen=True)
class Chunk:
    """A half-open part [start, end) of a grid, in Unix seconds that are multiples of ``step_seconds``."""

    start: int
    end: int
    step_seconds: int

    @property
    def last(self) -> int:
        """The last instant inside: Prometheus' ranges are closed, so this is the ``end`` of the request."""
        return self.end - self.step_seconds

    @property
    def points(self) -> int:
        """Number of instants in the chunk."""
        return (self.end - self.start) // self.step_seconds

    def halves(self) -> "tuple[Chunk, Chunk]":
        """The two halves of the chunk, which must have more than one instant."""
        middle = self.start + self.points // 2 * self.step_seconds
        return Chunk(self.start, middle, self.step_seconds), Chunk(middle, self.end, self.step_seconds)


def plan_chunks(start: datetime, end: datetime, step_seconds: int, series: int = 1) -> list[Chunk]:
    """Requests that cover [start, end) once, without gap or overlap.

    Both ends are floored to a multiple of the step since 1970, so that all fetches with one step share a grid. Chunks
    end at UTC midnights and span as many days as both limits allow; a day that is above them is cut into equal pieces.
    A window that holds no instant of the grid has no chunk.

    Args:
        start, end: with a time zone.
        step_seconds: distance of instants; divides a day.
        series: expected number of series of the answers; a value that is too low costs memory.

    Raises:
        ValueError: a time without a time zone, ``end`` before ``start``, or a step that does not divide a day.
    """
    if start.tzinfo is None or end.tzinfo is None:
        raise ValueError(f"{start} to {end}: give times with a time zone")
    if end < start:
        raise ValueError(f"the window ends at {end}, before it starts at {start}")
    if step_seconds < 1 or DAY_SECONDS % step_seconds:
        raise ValueError(f"a step of {step_seconds} s does not divide a day")
    step = timedelta(seconds=step_seconds)
    first, stop = ((time - EPOCH) // step * step_seconds for time in (start, end))
    inner = [edge for edge in _edges(first, stop, step_seconds, max(series, 1)) if first < edge < stop]
    return [Chunk(a, b, step_seconds) for a, b in pairwise([first, *inner, stop]) if a < b]


def _edges(first: int, stop: int, step_seconds: int, series: int) -> list[int]:
    """Unix seconds at which chunks may be cut, from the midnight at or before ``first``."""
    day_points = DAY_SECONDS // step_seconds
    most = max(min(MAX_POINTS, MAX_SAMPLES // series), 1)
    midnight = first // DAY_SECONDS * DAY_SECONDS
    if day_points <= most:
        return list(range(midnight, stop, most // day_points * DAY_SECONDS))
    pieces = -(-day_points // most)
    piece_seconds = -(-day_points // pieces) * step_seconds
    days = range(midnight, stop, DAY_SECONDS)
    return [edge for day in days for edge in range(day, day + DAY_SECONDS, piece_seconds)]
