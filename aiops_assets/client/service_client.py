"""Client of the ML service: pooled connections, a circuit breaker, and cached answers while the service is down.

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
from aiops_assets.client.questions import Metric, encoded, metric_objects, question
from aiops_assets.errors import ServiceCircuitOpen, ServiceRefused, ServiceUnavailable, SettingsError

DETECT, PREDICT, ANALYZE = "/api/v1/anomaly/detect", "/api/v1/prediction/predict", "/api/v1/pattern/analyze"
HEALTH = "/health"
MAX_CACHED = 256
OLDEST_CACHED_SECONDS = 3600.0
"""Largest age of a cached answer, seconds."""
BREAKER_STATES: Mapping[State, int] = {"closed": 0, "half-open": 1, "open": 2}

log = logging.getLogger("aiops.client")
# The standard library's logger: the client is installed without the service's structlog, which takes its records.

Status = Literal["healthy", "degraded", "unavailable"]


@dataclass(frozen=True)
class Answer:
    """An answer of the service, now or earlier.

    Attributes:
        body: the JSON object of the answer.
        cached: whether it is an earlier answer, because the request failed.
        age_seconds: age of the answer; 0 unless it is cached.
    """

    body: Mapping[str, Any]
    cached: bool = False
    age_seconds: float = 0.0

    @property
    def degraded(self) -> bool:
        """Whether the answer is not of now."""
        return self.cached


class MLServiceClient:
    """A client of an ML service; safe to use from many threads.

    If a request fails, or the circuit breaker is open (:class:`Breaker`), the last answer to the same question is
    returned, marked as cached. The question is the path and the request without the values and times of metrics and
    without start and end: which metrics, with which labels, events, state, context and options. So an answer about
    another pod or state is never returned, and a metric whose value has changed still has a cached answer.
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
        """Create a client; no request is sent yet.

        Args:
            url: ``http(s)://host[:port][/prefix]``, without credentials.
            timeout_seconds: for a whole request.
            threshold: failures in a row that open the circuit breaker.
            reset_seconds: time from opening to the trial request.
            token_file: file with the API key, sent as ``Authorization: Bearer``; read for each request, because keys
                rotate.
            pool_size: most connections, and so concurrent requests; further ones wait for one, within their timeout.
            oldest_cached_seconds: largest age of a cached answer.
            registry: registry of the client's metrics, by default its own; it can hold those of one client.
            clock: a monotonic clock, seconds.
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
        """A client with the settings of the environment's ``ML_`` variables; ``more`` goes to the constructor.

        Other variables are ignored.

        Raises:
            SettingsError: a variable has a wrong value, or ML_SERVICE_URL is not set.
        """
        return cls.from_settings(read_variables(environment), **more)

    @classmethod
    def from_settings(cls, settings: ClientSettings, **more: Any) -> Self:
        """A client with the given settings; ``more`` goes to the constructor.

        Raises:
            SettingsError: ML_SERVICE_URL is not set.
        """
        if settings.ml_service_url is None:
            raise SettingsError("ML_SERVICE_URL is not set: e.g. ML_SERVICE_URL=http://host:8080", code="no_url")
        values = {
            "timeout_seconds": settings.ml_service_timeout,
            "threshold": settings.ml_circuit_breaker_threshold,
            "reset_seconds": settings.ml_circuit_breaker_timeout,
            "token_file": settings.ml_service_token_file,
        }
        return cls(settings.ml_service_url, **{**values, **more})

    def __repr__(self) -> str:
        return f"MLServiceClient({self._connection.url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the kept-alive connections."""
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
            threshold: least confidence of an anomaly; by default that of the service.
            context: ``{namespace, resource}``.

        Raises:
            DataError: the request cannot be written as JSON.
            ServiceRefused: the service rejects the request; the message says why.
            ServiceUnavailable: there is no answer, and no earlier one to the same question.
        """
        return self._ask(DETECT, {"metrics": metric_objects(metrics), "threshold": threshold, "context": context})

    def predict(
        self,
        historical_metrics: Iterable[Metric] | None = None,
        predict_ahead: str | None = None,
        include_confidence: bool | None = None,
        issue_context: Mapping[str, object] | None = None,
    ) -> Answer:
        """Predictions of metrics and issues.

        Args:
            historical_metrics: samples or objects, as for :meth:`detect`.
            predict_ahead: "5m", "1h", "24h".
            include_confidence: whether to include confidences.
            issue_context: ``{current_state, recent_events[], metrics[]}``.

        Raises:
            DataError, ServiceRefused, ServiceUnavailable: as for :meth:`detect`.
        """
        request = {
            "historical_metrics": None if historical_metrics is None else metric_objects(historical_metrics),
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
            metrics: samples or objects, as for :meth:`detect`.
            time_range: ``{start, end}``.
            analysis_type: trend, seasonal, correlation, layer_detection; all by default.
            historical_data: ``{time_range, events[]}``.

        Raises:
            DataError, ServiceRefused, ServiceUnavailable: as for :meth:`detect`.
        """
        request = {
            "metrics": metric_objects(metrics),
            "time_range": time_range,
            "analysis_type": analysis_type,
            "historical_data": historical_data,
        }
        return self._ask(ANALYZE, request)

    def health(self) -> Answer:
        """Health of the service; never cached, and independent of the circuit breaker.

        Raises:
            ServiceRefused, ServiceUnavailable: the service does not answer that it is healthy.
        """
        return Answer(self._send(HEALTH, None))

    def status(self) -> Status:
        """State of the client, without a request.

        ``healthy``: the last request was answered, or none was made. ``degraded``: it failed, but requests are still
        sent or there are cached answers. ``unavailable``: the breaker is open and there are no cached answers.
        """
        if self._breaker.state == "closed":
            return "degraded" if self._breaker.failures else "healthy"
        with self._cache_lock:
            usable = any(self._clock() - given <= self._oldest for given, _ in self._cache.values())
        return "degraded" if usable else "unavailable"

    @property
    def breaker_state(self) -> State:
        """State of the circuit breaker: closed, open or half-open."""
        return self._breaker.state

    def _ask(self, path: str, request: Mapping[str, object]) -> Answer:
        sent = {key: value for key, value in request.items() if value is not None}
        body = encoded(sent)
        key = question(path, json.loads(body))
        try:
            answer = Answer(self._breaker.call(lambda: self._send(path, body)))
        except ServiceUnavailable as error:
            if isinstance(error, ServiceCircuitOpen):
                self._requests.labels(path, "not_sent").inc()
            return self._earlier(path, key, error)
        with self._cache_lock:
            self._cache[key] = (self._clock(), answer)
            self._cache.move_to_end(key)
            while len(self._cache) > MAX_CACHED:
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

    def _earlier(self, path: str, key: str, error: ServiceUnavailable) -> Answer:
        with self._cache_lock:
            given, answer = self._cache.get(key, (0.0, None))
        age = self._clock() - given
        if answer is None or age > self._oldest:
            raise error
        self._hits.labels(path).inc()
        log.warning("%s: %s; the answer of %.0f s ago is returned", path, error, age)
        return replace(answer, cached=True, age_seconds=age)

    def _changed(self, state: State) -> None:
        self._state.set(BREAKER_STATES[state])
        log.log(logging.INFO if state == "closed" else logging.WARNING, "circuit breaker is %s", state)
