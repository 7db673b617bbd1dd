"""OpenTelemetry traces: a span for each request, one for each upstream that it asked. Off unless configured.

The packages are an extra (`pip install kyma-proxy[tracing]`) and are imported only where traces are configured.
Attributes are those of the semantic conventions for HTTP; bodies, query strings, headers and keys are never among them.
"""

from __future__ import annotations

import asyncio
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from kyma_proxy import __version__
from kyma_proxy.flow import Flow
from kyma_proxy.settings import ConfigError, Settings, TracingSettings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

    from kyma_proxy.observe.requests import RequestRecord

FLUSH_MILLIS: Final = 3_000
"""How long the end of a process waits for its last spans to be taken."""


def require_tracing(settings: Settings) -> None:
    """Raise ConfigError, with the position, where traces are configured and the packages for them are missing."""
    if settings.server.tracing is None:
        return
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.exporter") is None:
        message = "traces need more packages: pip install 'kyma-proxy[tracing]'"
        raise ConfigError((settings.problem(("server", "tracing"), message),))


class Tracing:
    """Makes spans and sends them, behind the requests, to a collector."""

    def __init__(self, settings: TracingSettings) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

        resource = Resource({"service.name": settings.service_name, "service.version": __version__})
        sampler = ParentBased(TraceIdRatioBased(settings.sample_ratio))
        self._provider: TracerProvider = TracerProvider(resource=resource, sampler=sampler, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=settings.endpoint)))
        self._tracer = self._provider.get_tracer("kyma_proxy", __version__)

    def begin(self, flow: Flow) -> RequestTrace:
        """Begin the span of a request; a `traceparent` that the client sent is continued."""
        flow.trace = trace = RequestTrace(self._tracer, flow)
        return trace

    async def stop(self) -> None:
        """Send what is left, for a little while."""

        def flush() -> None:
            self._provider.force_flush(FLUSH_MILLIS)
            self._provider.shutdown()

        await asyncio.to_thread(flush)


class RequestTrace:
    """The spans of one request."""

    def __init__(self, tracer: Any, flow: Flow) -> None:
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._tracer = tracer
        self._propagator = TraceContextTextMapPropagator()
        sent = {name: flow.headers[name] for name in ("traceparent", "tracestate") if name in flow.headers}
        self._span: Span = tracer.start_span(
            flow.method,
            context=self._propagator.extract(sent),
            kind=SpanKind.SERVER,
            attributes={
                "http.request.method": flow.method,
                "url.path": flow.path,
                "url.scheme": flow.scheme,
                "kyma.request_id": flow.id,
            },
        )
        self._asked: Span | None = None
        flow.facts["trace_id"] = f"{self._span.get_span_context().trace_id:032x}"

    def asking(self, upstream: str) -> str:
        """An upstream is asked from now on; what it is to be told in `traceparent`."""
        from opentelemetry.trace import SpanKind, set_span_in_context

        self._asked = self._tracer.start_span(
            f"ask {upstream}",
            context=set_span_in_context(self._span),
            kind=SpanKind.CLIENT,
            attributes={"kyma.upstream": upstream},
        )
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier, set_span_in_context(self._asked))
        return carrier["traceparent"]

    def answered(self, status: int | None) -> None:
        """The upstream has answered, or failed (None)."""
        if self._asked is None:
            return
        if status is not None:
            self._asked.set_attribute("http.response.status_code", status)
        else:
            _fail(self._asked)
        self._asked.end()

    def end(self, record: RequestRecord) -> None:
        """The request is over, as its record says."""
        self._span.update_name(f"{record.method} {record.route}")
        self._span.set_attribute("http.route", record.route)
        if record.status is not None:
            self._span.set_attribute("http.response.status_code", record.status)
        if record.ending is not None:
            self._span.set_attribute("kyma.reason", record.ending.reason.value)
            self._span.set_attribute("kyma.by", record.ending.by)
        if record.identity is not None:
            self._span.set_attribute("kyma.account_id", record.identity.account_id)
        if record.status is None or record.status >= 500:
            _fail(self._span)
        self._span.end()


def _fail(span: Span) -> None:
    from opentelemetry.trace import StatusCode

    span.set_status(StatusCode.ERROR)
