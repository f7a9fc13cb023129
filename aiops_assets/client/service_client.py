"""Client of the ML service: pooled connections, a circuit breaker, and the last answer while the service is away.

    with MLServiceClient.from_environment(os.environ) as client:
        answer = client.detect([{"name": "node_cpu_utilization", "value": 0.97}])
        answer.body["anomaly_detected"], answer.cached

Source: engine contract, sections 2.2 and 2.4; ADR-009.
"""

import json
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

from prometheus_client import CollectorRegistry, Counter, Gauge

from aiops_assets.client.breaker import RESET_SECONDS, THRESHOLD, Breaker, State
from aiops_assets.client.connection import POOL_SIZE, TIMEOUT_SECONDS, Connection
from aiops_assets.client.environment import ClientSettings, read_variables
from aiops_assets.client.questions import Metric, encoded, question, written
from aiops_assets.errors import ServiceCircuitOpen, ServiceRefused, ServiceUnavailable, SettingsError

DETECT, PREDICT, ANALYZE = "/api/v1/anomaly/detect", "/api/v1/prediction/predict", "/api/v1/pattern/analyze"
HEALTH = "/health"
MOST_CACHED = 256
OLDEST_CACHED_SECONDS = 3600.0
"""An older answer says nothing of now."""
BREAKER_STATES: Mapping[State, int] = {"closed": 0, "half-open": 1, "open": 2}

log = logging.getLogger("aiops.client")
# The standard library's logger: the client is installed without the service's structlog, which takes its records.

Status = Literal["healthy", "degraded", "unavailable"]


@dataclass(frozen=True)
class Answer:
    """What the service said, now or earlier.

    Attributes:
        body: its JSON object.
        cached: whether it is an earlier answer, because the service gave none now.
        age_seconds: how long ago it was given; 0 when it was now.
    """

    body: Mapping[str, Any]
    cached: bool = False
    age_seconds: float = 0.0

    @property
    def degraded(self) -> bool:
        """Whether it is less than what was asked for: not of now."""
        return self.cached


class MLServiceClient:
    """Asks an ML service; safe to use from many threads.

    Where the service fails, or has failed so often that it is not asked (:class:`Breaker`), the last answer to the
    same question is returned, marked as cached. The question is the path and the request without the values and times
    of metrics and without start and end: which metrics, with which labels, events, state, context and options. So
    nobody gets the answer about another pod or another state, and a metric whose value has changed still has one.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
        threshold: int = THRESHOLD,
        reset_seconds: float = RESET_SECONDS,
        token_file: Path | None = None,
        pool_size: int = POOL_SIZE,
        oldest_cached_seconds: float = OLDEST_CACHED_SECONDS,
        registry: CollectorRegistry | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is sent yet.

        Args:
            url: ``http(s)://host[:port][/prefix]``, without credentials.
            timeout_seconds: for a whole request.
            threshold: failures in a row after which the service is not asked any more.
            reset_seconds: how long it is then not asked.
            token_file: holds an API key, sent as ``Authorization: Bearer``; read at each request: keys rotate.
            pool_size: most connections, and so requests at once; further ones wait for one, within their time.
            oldest_cached_seconds: older answers are not returned.
            registry: where the client's metrics go; its own by default. It can hold those of one client.
            clock: seconds that never go back.
        """
        self._connection = Connection(url, timeout_seconds=timeout_seconds, token_file=token_file, pool_size=pool_size)
        self._clock = clock
        self._oldest = oldest_cached_seconds
        self._cache: OrderedDict[str, tuple[float, Answer]] = OrderedDict()
        self._cache_lock = threading.Lock()
        self.registry = CollectorRegistry() if registry is None else registry
        self._requests = Counter(
            "aiops_client_requests", "Requests by how they ended.", ("path", "outcome"), registry=self.registry
        )
        self._hits = Counter("aiops_client_cached_answers", "Earlier answers given.", ("path",), registry=self.registry)
        self._state = Gauge("aiops_client_breaker_state", "0 closed, 1 half-open, 2 open.", registry=self.registry)
        self._breaker = Breaker(threshold, reset_seconds, clock=clock, on_change=self._changed)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], **more: Any) -> Self:
        """A client as the environment's ``ML_`` variables say; ``more`` goes to the constructor.

        Other variables are not looked at.

        Raises:
            SettingsError: a variable has a wrong value, or ML_SERVICE_URL none.
        """
        return cls.from_settings(read_variables(environment), **more)

    @classmethod
    def from_settings(cls, settings: ClientSettings, **more: Any) -> Self:
        """A client as settings say.

        Raises:
            SettingsError: there is no ML_SERVICE_URL.
        """
        if settings.ml_service_url is None:
            raise SettingsError("ML_SERVICE_URL is not set: e.g. ML_SERVICE_URL=http://host:8080", code="no_url")
        told = {
            "timeout_seconds": settings.ml_service_timeout,
            "threshold": settings.ml_circuit_breaker_threshold,
            "reset_seconds": settings.ml_circuit_breaker_timeout,
            "token_file": settings.ml_service_token_file,
        }
        return cls(settings.ml_service_url, **{**told, **more})

    def __repr__(self) -> str:
        return f"MLServiceClient({self._connection.url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the kept connections."""
        self._connection.close()

    def detect(
        self,
        metrics: Iterable[Metric],
        threshold: float | None = None,
        context: Mapping[str, object] | None = None,
    ) -> Answer:
        """Anomalies among metrics.

        Args:
            metrics: samples, or objects ``{name, value, timestamp?, labels?}``.
            threshold: of the score; the service's own by default.
            context: ``{namespace, resource}``.

        Raises:
            DataError: the request cannot be written as JSON.
            ServiceRefused: the service says what is wrong with the request.
            ServiceUnavailable: no answer, and no earlier one to the same question.
        """
        return self._ask(DETECT, {"metrics": written(metrics), "threshold": threshold, "context": context})

    def predict(
        self,
        historical_metrics: Iterable[Metric] | None = None,
        predict_ahead: str | None = None,
        include_confidence: bool | None = None,
        issue_context: Mapping[str, object] | None = None,
    ) -> Answer:
        """Values and issues to come.

        Args:
            historical_metrics: as of :meth:`detect`.
            predict_ahead: "5m", "1h", "24h".
            include_confidence: whether confidences are wanted.
            issue_context: ``{current_state, recent_events[], metrics[]}``.

        Raises:
            DataError, ServiceRefused, ServiceUnavailable: as of :meth:`detect`.
        """
        request = {
            "historical_metrics": None if historical_metrics is None else written(historical_metrics),
            "predict_ahead": predict_ahead,
            "include_confidence": include_confidence,
            "issue_context": issue_context,
        }
        return self._ask(PREDICT, request)

    def analyze(
        self,
        metrics: Iterable[Metric] = (),
        time_range: Mapping[str, object] | None = None,
        analysis_type: str | None = None,
        historical_data: Mapping[str, object] | None = None,
    ) -> Answer:
        """Patterns in metrics and events.

        Args:
            metrics: as of :meth:`detect`.
            time_range: ``{start, end}``.
            analysis_type: trend, seasonal, correlation, layer_detection; all by default.
            historical_data: ``{time_range, events[]}``.

        Raises:
            DataError, ServiceRefused, ServiceUnavailable: as of :meth:`detect`.
        """
        request = {
            "metrics": written(metrics),
            "time_range": time_range,
            "analysis_type": analysis_type,
            "historical_data": historical_data,
        }
        return self._ask(ANALYZE, request)

    def health(self) -> Answer:
        """What the service says of itself; never cached, and neither stopped nor counted by the breaker.

        Raises:
            ServiceRefused, ServiceUnavailable: it does not say that it is well.
        """
        return Answer(self._send(HEALTH, None))

    def status(self) -> Status:
        """How far the client can be relied on, without asking the service.

        ``healthy``: the last request was answered, or none was made. ``degraded``: it was not, but the service is
        still asked, or there are earlier answers. ``unavailable``: the service is not asked, and there are none.
        """
        if self._breaker.state == "closed":
            return "degraded" if self._breaker.failures else "healthy"
        with self._cache_lock:
            usable = any(self._clock() - given <= self._oldest for given, _ in self._cache.values())
        return "degraded" if usable else "unavailable"

    @property
    def breaker_state(self) -> State:
        """closed, open or half-open."""
        return self._breaker.state

    def _ask(self, path: str, request: Mapping[str, object]) -> Answer:
        sent = {key: value for key, value in request.items() if value is not None}
        body = encoded(sent)
        asked = question(path, json.loads(body))
        try:
            answer = Answer(self._breaker.call(lambda: self._send(path, body)))
        except ServiceUnavailable as error:
            if isinstance(error, ServiceCircuitOpen):
                self._requests.labels(path, "not_sent").inc()
            return self._earlier(path, asked, error)
        with self._cache_lock:
            self._cache[asked] = (self._clock(), answer)
            self._cache.move_to_end(asked)
            while len(self._cache) > MOST_CACHED:
                self._cache.popitem(last=False)
        return answer

    def _send(self, path: str, body: bytes | None) -> Mapping[str, Any]:
        outcome = "failed"
        try:
            answer = self._connection.ask(path, body)
            outcome = "answered"
        except ServiceRefused:
            outcome = "refused"
            raise
        finally:
            self._requests.labels(path, outcome).inc()
        return answer

    def _earlier(self, path: str, asked: str, error: ServiceUnavailable) -> Answer:
        with self._cache_lock:
            given, answer = self._cache.get(asked, (0.0, None))
        age = self._clock() - given
        if answer is None or age > self._oldest:
            raise error
        self._hits.labels(path).inc()
        log.warning("%s: %s; the answer of %.0f s ago is returned", path, error, age)
        return replace(answer, cached=True, age_seconds=age)

    def _changed(self, state: State) -> None:
        self._state.set(BREAKER_STATES[state])
        log.log(logging.INFO if state == "closed" else logging.WARNING, "circuit breaker is %s", state)
