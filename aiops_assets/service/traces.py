"""OpenTelemetry traces of requests, sent by OTLP over HTTP to SERVICE_TRACES_URL; off without it.

Only this module needs the extra ``opentelemetry``. A span has method, path, route and status of a request by
OpenTelemetry's semantic conventions for HTTP, and nothing of its body, its query or its key.
"""

from typing import TYPE_CHECKING

from aiops_assets import __version__
from aiops_assets.errors import SettingsError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span as RecordedSpan

SERVICE_NAME = "aiops-ml-service"
EXPORT_SECONDS = 5.0
"""Longest time of one export, seconds; while the receiver is away, spans are dropped."""
FAILED_FROM = 500


class RequestSpan:
    """A request that is being recorded."""

    def __init__(self, span: "RecordedSpan", method: str) -> None:
        self._span = span
        self._method = method

    @property
    def traceparent(self) -> str:
        """Its own trace context."""
        context = self._span.get_span_context()
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"

    def end(self, route: str, status: int) -> None:
        """Name the span by its route, and hand it to the exporter."""
        from opentelemetry.trace import StatusCode

        if route:
            self._span.update_name(f"{self._method} {route}")
            self._span.set_attribute("http.route", route)
        if status:
            self._span.set_attribute("http.response.status_code", status)
        if not status or status >= FAILED_FROM:
            self._span.set_status(StatusCode.ERROR)
        self._span.end()


class Traces:
    """Records requests and exports them in the background.

    Args:
        exporter: where spans go; they are lost, and never delay an answer, where it fails.
    """

    def __init__(self, exporter: "SpanExporter") -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        resource = Resource.create({"service.name": SERVICE_NAME, "service.version": __version__})
        # Not the process's own provider: MLflow has one, too.
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("aiops_assets.service", __version__)

    def begin(self, method: str, path: str, traceparent: str) -> RequestSpan:
        """Begin a span as a child of the sender's, or of a new trace."""
        from opentelemetry.context import Context
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        parent = TraceContextTextMapPropagator().extract({"traceparent": traceparent}, Context())
        attributes = {"http.request.method": method, "url.path": path}
        span = self._tracer.start_span(method, parent, SpanKind.SERVER, attributes)
        return RequestSpan(span, method)

    def flush(self) -> None:
        """Export what was recorded, within seconds."""
        self._provider.force_flush(int(EXPORT_SECONDS * 1000))

    def stop(self) -> None:
        """Export what was recorded, and record nothing more."""
        self._provider.shutdown()


def traces_to(url: str) -> Traces:
    """Traces that are sent to a receiver of OTLP over HTTP.

    Args:
        url: such as ``http://collector:4318/v1/traces``; headers, with a key in them, are those of
            OTEL_EXPORTER_OTLP_HEADERS.

    Raises:
        SettingsError: the extra ``opentelemetry`` is not installed.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ModuleNotFoundError:
        raise SettingsError(
            "SERVICE_TRACES_URL needs the extra opentelemetry: pip install 'aiops-assets[service,opentelemetry]'",
            code="no_opentelemetry",
        ) from None
    return Traces(OTLPSpanExporter(endpoint=url, timeout=EXPORT_SECONDS))
