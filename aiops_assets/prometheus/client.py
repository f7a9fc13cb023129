"""Instant and range queries of a Prometheus-compatible server, as checked numbers on an exact grid."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd

from aiops_assets.errors import PrometheusAnswerError
from aiops_assets.prometheus.answers import Floats, read_matrix, read_vector
from aiops_assets.prometheus.transport import Transport

DAY_SECONDS = 86_400
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Chunk:
    """A half-open part [start, end) of a grid, in Unix seconds that are multiples of ``step_seconds``."""

    start: int
    end: int
    step_seconds: int

    @property
    def last(self) -> int:
        """The last instant inside: Prometheus' ranges are closed, so this is the ``end`` to ask for."""
        return self.end - self.step_seconds

    @property
    def points(self) -> int:
        """How many instants the chunk has."""
        return (self.end - self.start) // self.step_seconds


def plan_chunks(start: datetime, end: datetime, step_seconds: int) -> list[Chunk]:
    """Requests that cover [start, end) once, without gap or overlap.

    Both ends are floored to the step since 1970, so that every fetch of a step has one grid; chunks are cut
    at UTC midnights. A window that holds no instant of the grid has no chunk.

    Raises:
        ValueError: a naive time, ``end`` before ``start``, or a step that midnights are not multiples of.
    """
    if start.tzinfo is None or end.tzinfo is None:
        raise ValueError(f"{start} to {end}: give times with a time zone")
    if end < start:
        raise ValueError(f"the window ends at {end}, before it starts at {start}")
    if step_seconds < 1 or DAY_SECONDS % step_seconds:
        raise ValueError(f"a step of {step_seconds} s does not divide a day")
    step = timedelta(seconds=step_seconds)
    first, stop = ((time - EPOCH) // step * step_seconds for time in (start, end))
    chunks = []
    while first < stop:
        midnight = (first // DAY_SECONDS + 1) * DAY_SECONDS
        chunks.append(Chunk(first, min(midnight, stop), step_seconds))
        first = midnight
    return chunks


class PrometheusClient:
    """Queries over a transport. Every method may raise each of the four kinds of ``PrometheusError``."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def probe(self) -> None:
        """Ask for ``vector(1)``: the answer proves network, TLS, token and query engine, on every product.

        Raises:
            PrometheusError: the server cannot be used; the class says why.
        """
        if self._instant("vector(1)", {}) != [({}, 1.0)]:
            raise PrometheusAnswerError("vector(1) was not 1; PROMETHEUS_URL must name a Prometheus API")

    def query(self, promql: str, at: datetime) -> list[tuple[dict[str, str], float]]:
        """Labels and value of every series at one instant; NaN for a NaN or infinite value.

        Raises:
            PrometheusError: no answer that can be used; the class says why.
            ValueError: ``at`` has no time zone.
        """
        if at.tzinfo is None:
            raise ValueError(f"{at}: give a time with a time zone")
        return self._instant(promql, {"time": f"{at.timestamp():.3f}"})

    def query_range(self, promql: str, start: datetime, end: datetime, step_seconds: int = 60) -> pd.DataFrame:
        """Every series of a query over the half-open window [start, end), both floored to the step.

        Returns:
            a wide frame. Index ``timestamp``: the complete grid, UTC. One float64 column a series, named by
            its labels (:func:`series_name`), in sorted order. NaN where there is no sample, and where the
            sample is NaN or infinite. No column at all when the query has no series: the caller decides.

        Raises:
            PrometheusError: no answer that can be used; the class says why.
            ValueError: see :func:`plan_chunks`.
        """
        chunks = plan_chunks(start, end, step_seconds)
        points = sum(chunk.points for chunk in chunks)
        columns: dict[str, Floats] = {}
        offset = 0
        for chunk in chunks:
            params = {
                "query": promql,
                "start": str(chunk.start),
                "end": str(chunk.last),
                "step": str(chunk.step_seconds),
            }
            answer = self._transport.get("/api/v1/query_range", params)
            series = read_matrix(answer, promql, chunk.start, chunk.points, chunk.step_seconds)
            for name, values in series.items():
                if name not in columns:
                    columns[name] = np.full(points, np.nan)
                columns[name][offset : offset + chunk.points] = values
            offset += chunk.points
        first = pd.Timestamp(chunks[0].start if chunks else 0, unit="s", tz="UTC")
        index = pd.date_range(first, periods=points, freq=f"{step_seconds}s", unit="us", name="timestamp")
        return pd.DataFrame(columns, index=index, columns=pd.Index(sorted(columns), dtype=str))

    def _instant(self, promql: str, time: dict[str, str]) -> list[tuple[dict[str, str], float]]:
        answer = self._transport.get("/api/v1/query", {"query": promql, **time})
        return read_vector(answer, promql)
