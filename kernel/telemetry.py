"""Traces, JSON logs and metrics, the same in every process.

Names follow OpenTelemetry's semantic conventions. Spans go to an OTLP collector when one is set, else
to a file that `metis trace` draws from, else nowhere. W3C context crosses HTTP in `traceparent` and
the bus in the CloudEvent's `traceparent`: a handler's span is a child of the span that published.
"""

import contextlib
import functools
import json
import logging
import re
import sys
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased, TraceIdRatioBased
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from prometheus_client import Counter, Gauge, Histogram

from kernel.settings import KernelSettings

log_territory: ContextVar[str] = ContextVar("log_territory", default="")

REQUESTS = Histogram(
    "http_server_request_duration_seconds",
    "Time to answer a request.",
    ["service", "method", "route", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
HANDLED = Histogram("metis_event_handling_seconds", "Time to handle an event.", ["service", "type"])
FAILED = Counter("metis_event_failures_total", "Failed tries to handle an event.", ["service", "type"])
PUBLISHED = Counter("metis_events_published_total", "Events the broker confirmed.", ["service"])
PUBLISH_FAILURES = Counter(
    "metis_publish_failures_total", "Events the broker did not take; they stay in the outbox.", ["service"]
)
OUTBOX_DEPTH = Gauge("metis_outbox_depth", "Events waiting for the relay.", ["service"])
OUTBOX_AGE = Gauge("metis_outbox_age_seconds", "Age of the oldest waiting event.", ["service"])
RETRIES = Gauge("metis_retries_waiting", "Failed events waiting for their next try.", ["service"])
BROKER_DEAD_LETTERS = Gauge(
    "metis_broker_dead_letters", "Messages that RabbitMQ delivered too often and put aside; should stay 0.", ["service"]
)
DEAD_LETTERS = Gauge("metis_dead_letters", "Events parked after their last try.", ["service"])


class FileExporter(SpanExporter):
    """Appends one JSON object a span to a file: the embedded default's collector."""

    def __init__(self, path: Path, *, service: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab", buffering=0)
        self._service = service

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        # One write a batch, in append mode: processes can share the file without mixing lines.
        self._file.write(b"".join(orjson.dumps(self._record(span)) + b"\n" for span in spans))
        return SpanExportResult.SUCCESS

    def _record(self, span: ReadableSpan) -> dict[str, Any]:
        context = span.get_span_context()
        assert context is not None
        return {
            "trace": f"{context.trace_id:032x}",
            "span": f"{context.span_id:016x}",
            "parent": f"{span.parent.span_id:016x}" if span.parent else None,
            "service": self._service,
            "name": span.name,
            "kind": span.kind.name.lower(),
            "start_ns": span.start_time,
            "end_ns": span.end_time,
            "error": span.status.description if span.status.status_code is StatusCode.ERROR else None,
            "attributes": dict(span.attributes or {}),
        }

    def shutdown(self) -> None:
        self._file.close()


class JsonFormatter(logging.Formatter):
    """One JSON object a line, with trace and territory."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "service": self._service,
            "logger": record.name,
            "message": record.getMessage(),
        }
        context = trace.get_current_span().get_span_context()
        if context.is_valid:
            line["trace"] = f"{context.trace_id:032x}"
        if territory := log_territory.get():
            line["territory"] = territory
        line.update(getattr(record, "facts", {}))
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def set_up_telemetry(service: str, settings: KernelSettings) -> TracerProvider:
    """Install logs and traces for this process; shut the returned provider down at the end."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(service))
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler], force=True)
    for chatty in ("aio_pika", "aiormq", "uvicorn.access", "asyncio"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    provider = TracerProvider(
        resource=Resource.create({"service.name": service, "service.namespace": "metis"}),
        sampler=ParentBased(ALWAYS_ON if settings.trace_ratio == 1 else TraceIdRatioBased(settings.trace_ratio)),
    )
    exporter: SpanExporter | None = None
    if settings.otlp_endpoint:
        exporter = OTLPSpanExporter(endpoint=settings.otlp_endpoint.rstrip("/") + "/v1/traces")
    elif settings.spans_file:
        exporter = FileExporter(Path(settings.spans_file), service=service)
    if exporter:
        provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=500, max_queue_size=16384))
    trace._set_tracer_provider(provider, log=False)
    return provider


@functools.cache
def tracer() -> trace.Tracer:
    return trace.get_tracer("metis")


def current_traceparent() -> str | None:
    return traceparent_of(trace.get_current_span())


def traceparent_of(span: Span) -> str | None:
    """The W3C header of a span, or None outside any trace."""
    context = span.get_span_context()
    if not context.is_valid:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"


_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")


def span_context_of(traceparent: str | None) -> SpanContext | None:
    """The span that a W3C `traceparent` names; None when it is absent or malformed."""
    if traceparent and (match := _TRACEPARENT.fullmatch(traceparent)):
        trace_id, span_id, flags = (int(part, 16) for part in match.groups())
        context = SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags))
        return context if context.is_valid else None
    return None


def context_from(traceparent: str | None) -> Context:
    """The context that a W3C `traceparent` names; an empty one when it is absent or malformed."""
    remote = span_context_of(traceparent)
    return trace.set_span_in_context(NonRecordingSpan(remote), Context()) if remote else Context()


@contextlib.contextmanager
def span(
    name: str, *, kind: SpanKind = SpanKind.INTERNAL, context: Context | None = None, attributes: dict[str, Any] | None = None
) -> Iterator[Span]:
    """A span around the block; an exception marks it as failed and passes through."""
    current = tracer().start_span(name, context=context, kind=kind, attributes=attributes)
    token = otel_context.attach(trace.set_span_in_context(current))
    try:
        yield current
    except Exception as error:
        current.set_status(Status(StatusCode.ERROR, f"{type(error).__name__}: {error}"))
        raise
    finally:
        otel_context.detach(token)
        current.end()
