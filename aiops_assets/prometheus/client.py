"""Instant and range queries of a Prometheus-compatible server, whose answers are checked and put on an exact grid."""

import math
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from itertools import count
from typing import TypeVar

import numpy as np
import pandas as pd

from aiops_assets.errors import PrometheusAnswerError, PrometheusError, PrometheusTooMuch
from aiops_assets.prometheus.answers import MAX_SERIES, Floats, check_number, parsed, read_vector
from aiops_assets.prometheus.chunks import Chunk, plan_chunks
from aiops_assets.prometheus.matrix import Matrix, read_matrix
from aiops_assets.prometheus.retry import Retry
from aiops_assets.prometheus.transport import TIMEOUT_SECONDS, Answer, Transport
from aiops_assets.timeseries.catalog import series_count
from aiops_assets.timeseries.matchers import with_matchers

__all__ = ["Chunk", "PrometheusClient", "plan_chunks"]

T = TypeVar("T")
Part = tuple[Chunk, pd.DataFrame]

COMPLETE = {"dedup": "true", "partial_response": "false", "max_source_resolution": "0s"}
"""Parameters that make Thanos answer as Prometheus would, or not at all. Prometheus ignores unknown ones."""
TIMEOUT_SHARE = 0.9
"""Evaluation time allowed to the server, as a share of the transport's timeout: a slow query then fails with an error
for which the client halves the range."""
MAX_REQUESTS = 1000
"""Requests in place of one for a chunk, when the server's limit is so low that it is halved again and again."""
RETRY = Retry()


class PrometheusClient:
    """Queries over a transport.

    Requests to an unreachable server are repeated (:class:`Retry`). Every method may raise each kind of
    ``PrometheusError``.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        retry: Retry = RETRY,
        ahead: int = 2,
        matchers: str = "",
        most_series: int = MAX_SERIES,
    ) -> None:
        """Create a client; no request is sent yet.

        Args:
            transport: carries the requests. If it has an attribute ``timeout_seconds``, the server gets a share of
                it (``TIMEOUT_SHARE``) as the timeout of each query.
            retry: how often an unreachable server is tried.
            ahead: most requests that are under way at once, of all methods and threads together; of a range as many
                may be answered and not yet used.
            matchers: label matchers that every selector of every query gets, such as ``cluster="prod-1"``.
            most_series: a query with more series is refused, by its count and by its answers.

        Raises:
            ValueError: ``ahead`` is below 1.
        """
        if ahead < 1:
            raise ValueError(f"ahead={ahead}: at least one request must be under way")
        self._transport = transport
        self._retry = retry
        self._ahead = ahead
        self._under_way = threading.BoundedSemaphore(ahead)
        self._matchers = matchers
        self._most_series = most_series
        silence = float(getattr(transport, "timeout_seconds", TIMEOUT_SECONDS))
        self._common = {**COMPLETE, "timeout": f"{max(1, int(TIMEOUT_SHARE * silence))}s"}

    def probe(self) -> None:
        """Query ``vector(1)``: the answer proves that network, TLS, token and query engine work, on every product.

        Raises:
            PrometheusError: the server cannot be used; the class says why.
        """
        if self._instant("vector(1)", {}) != [({}, 1.0)]:
            raise PrometheusAnswerError(
                "vector(1) was not 1; PROMETHEUS_URL must name a Prometheus API", code="failed_probe"
            )

    def query(self, promql: str, at: datetime) -> list[tuple[dict[str, str], float]]:
        """Labels and value of every series at one instant; NaN for a NaN or infinite value.

        Raises:
            PrometheusError: no answer that can be used; the class says why.
            ValueError: ``at`` has no time zone.
        """
        if at.tzinfo is None:
            raise ValueError(f"{at}: give a time with a time zone")
        return self._instant(promql, {"time": f"{at.timestamp():.3f}"})

    def configuration(self) -> str:
        """The server's configuration as YAML, secrets masked by the server itself; empty where it is not to be had.

        Thanos has none, and many proxies do not let it through: one attempt is made.
        """
        try:
            answer = self._transport.get("/api/v1/status/config", self._common)
        except PrometheusError:
            return ""
        document = parsed(answer.body) if answer.status == 200 else None
        data = document.get("data") if document else None
        return str(data.get("yaml", "")) if isinstance(data, dict) else ""

    def count_series(self, promql: str, at: datetime) -> int:
        """Number of series that a query has at one instant.

        Raises:
            PrometheusError: no answer that can be used; the class says why. ``PrometheusAnswerError`` also for more
                series than the client takes.
            ValueError: ``at`` has no time zone.
        """
        counts = self.query(series_count(promql), at)
        if len(counts) > 1 or not all(math.isfinite(count) for _, count in counts):
            raise PrometheusAnswerError(
                f"a count is one number, and not {counts}; PROMETHEUS_URL must be Prometheus",
                code="not_a_count",
                counts=counts,
            )
        series = int(counts[0][1]) if counts else 0
        check_number(series, promql, self._most_series)
        return series

    def stream(
        self, promql: str, start: datetime, end: datetime, step_seconds: int = 60, series: int = 1
    ) -> Iterator[tuple[Chunk, pd.DataFrame]]:
        """The frames of :meth:`query_range`, one chunk at a time, in order of time and without a gap.

        At most ``ahead`` answers are kept besides the one that was yielded. A chunk that is too large for the
        server is requested in halves, down to single instants, and yielded in these parts. When the caller stops
        or an error is raised, no further request begins, and those under way are waited for.

        Args:
            promql: the query.
            start, end: the half-open window, both floored to the step; with a time zone.
            step_seconds: distance of instants; divides a day.
            series: approximate number of series, which decides the length of chunks.

        Yields:
            a chunk and its frame. Index ``timestamp``: the chunk's complete grid, UTC. Columns as those of
            :meth:`query_range`, of the series that the chunk has. ``attrs["not_finite"]``: number of samples
            that were NaN or infinite. ``attrs["notes"]``, if there are any: what the server remarks on the query, such
            as PromQL's infos; mostly the same for each chunk.

        Raises:
            PrometheusError: no answer that can be used; the class says why.
            ValueError: see :func:`plan_chunks`.
        """
        return self._stream(promql, plan_chunks(start, end, step_seconds, series))

    def query_range(
        self, promql: str, start: datetime, end: datetime, step_seconds: int = 60, series: int = 1
    ) -> pd.DataFrame:
        """Every series of a query over the half-open window [start, end), both floored to the step.

        Args:
            promql: the query.
            start, end: with a time zone.
            step_seconds: distance of instants; divides a day.
            series: approximate number of series, which decides how many requests are sent.

        Returns:
            a wide frame. Index ``timestamp``: the complete grid, UTC. One float64 column a series, named by
            its labels (:func:`series_name`), in sorted order. NaN where there is no sample, and where the
            sample is NaN or infinite: ``attrs["not_finite"]`` counts the latter. ``attrs["notes"]``, if
            there are any: the server's remarks on the query, each once. No column at all when the query has no
            series: the caller decides.

        Raises:
            PrometheusError: no answer that can be used; the class says why.
            ValueError: see :func:`plan_chunks`.
        """
        chunks = plan_chunks(start, end, step_seconds, series)
        if not chunks:
            return _frame(Chunk(0, 0, step_seconds), Matrix((), np.empty((0, 0)), 0))
        whole = Chunk(chunks[0].start, chunks[-1].end, step_seconds)
        columns: dict[str, Floats] = {}
        not_finite, notes = 0, dict[str, None]()
        for chunk, frame in self._stream(promql, chunks):
            offset = (chunk.start - whole.start) // step_seconds
            for name, values in zip(frame.columns, frame.to_numpy().T, strict=True):
                if name not in columns:
                    columns[name] = np.full(whole.points, np.nan)
                columns[name][offset : offset + chunk.points] = values
            check_number(len(columns), promql, self._most_series)
            not_finite += frame.attrs["not_finite"]
            notes |= dict.fromkeys(frame.attrs.get("notes", ()))
        names = sorted(columns)
        stacked = np.empty((len(names), whole.points))
        for row, name in enumerate(names):
            stacked[row] = columns.pop(name)
        return _frame(whole, Matrix(tuple(names), stacked, not_finite, tuple(notes)))

    def _stream(self, promql: str, chunks: list[Chunk]) -> Iterator[Part]:
        abandoned = threading.Event()
        todo = iter(chunks)
        under_way: deque[Future[list[Part]]] = deque()
        with ThreadPoolExecutor(self._ahead, thread_name_prefix="prometheus") as pool:

            def begin_next() -> None:
                # The error of a failed chunk is raised when its turn comes; chunks after it are not needed.
                failed = any(future.done() and future.exception() for future in under_way)
                if not failed and (chunk := next(todo, None)) is not None:
                    under_way.append(pool.submit(self._parts, promql, chunk, abandoned))

            try:
                for _ in range(self._ahead):
                    begin_next()
                while under_way:
                    parts = under_way.popleft().result()
                    begin_next()
                    yield from parts
            finally:
                abandoned.set()

    def _parts(
        self, promql: str, chunk: Chunk, abandoned: threading.Event, requests: Iterator[int] | None = None
    ) -> list[Part]:
        """A chunk and its frame, or parts of it that are small enough for the server, in order.

        Args:
            promql: the query.
            chunk: what is requested.
            abandoned: set when the answer is no longer needed.
            requests: counts the requests that take the place of one.
        """
        requests = requests or count(1)
        sent = next(requests)
        bounds = {"start": str(chunk.start), "end": str(chunk.last), "step": str(chunk.step_seconds)}

        def read(answer: Answer) -> pd.DataFrame:
            grid = (chunk.start, chunk.points, chunk.step_seconds)
            return _frame(chunk, read_matrix(answer, promql, *grid, most_series=self._most_series))

        try:
            return [(chunk, self._ask("/api/v1/query_range", {"query": promql, **bounds}, read, abandoned))]
        except PrometheusTooMuch as error:
            helps = chunk.end - chunk.start > error.facts.get("least_seconds", 0)
            if chunk.points < 2 or not helps or sent >= MAX_REQUESTS:
                raise
        return [part for half in chunk.halves() for part in self._parts(promql, half, abandoned, requests)]

    def _instant(self, promql: str, time: Mapping[str, str]) -> list[tuple[dict[str, str], float]]:
        def read(answer: Answer) -> list[tuple[dict[str, str], float]]:
            return read_vector(answer, promql, self._most_series)

        return self._ask("/api/v1/query", {"query": promql, **time}, read)

    def _ask(
        self,
        path: str,
        params: Mapping[str, str],
        read: Callable[[Answer], T],
        abandoned: threading.Event | None = None,
    ) -> T:
        """Send a request and read its answer; repeat it while the server is unreachable."""
        everything = {**params, "query": with_matchers(params["query"], self._matchers), **self._common}

        def once() -> T:
            with self._under_way:
                answer = self._transport.get(path, everything)
            return read(answer)

        return self._retry.call(once, abandoned)


def _frame(chunk: Chunk, matrix: Matrix) -> pd.DataFrame:
    """A matrix on the grid of a chunk as a wide frame, columns sorted."""
    rows = range(len(matrix.names))
    order = sorted(rows, key=matrix.names.__getitem__)
    values = matrix.values if order == list(rows) else matrix.values[order]
    first = pd.Timestamp(chunk.start, unit="s", tz="UTC")
    index = pd.date_range(first, periods=chunk.points, freq=f"{chunk.step_seconds}s", unit="us", name="timestamp")
    columns = pd.Index([matrix.names[i] for i in order], dtype=str)
    frame = pd.DataFrame(values.T, index=index, columns=columns, copy=False)
    frame.attrs["not_finite"] = matrix.not_finite
    if matrix.notes:
        frame.attrs["notes"] = matrix.notes
    return frame
