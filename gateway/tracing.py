"""The gateway's spans, made by hand: one server span a request.

The SDK's own span costs 26 microseconds to start and end, a finished `ReadableSpan` 5 (see gateway/README.md);
on the proxied path nothing is ever added to a span between its start and its end, so the finished form is
enough. There is no client span to the service: the service's own server span is the child of ours, and
the time between the two is the network's.
"""

import random
import re
import time

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.util.types import AttributeValue

# https://www.w3.org/TR/trace-context/: version 00 has this length; a later one may be longer and is read by its first fields.
_TRACEPARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
_LENGTH = 55
_SCOPE = InstrumentationScope("metis.gateway")
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_UNSAMPLED = TraceFlags(TraceFlags.DEFAULT)
_OK = Status(StatusCode.UNSET)


class Trace:
    """The request's place in its trace: what the service gets as its parent."""

    __slots__ = ("parent_id", "sampled", "span_id", "started_ns", "trace_id")

    def __init__(self, *, trace_id: int, parent_id: int, sampled: bool) -> None:
        self.trace_id = trace_id
        self.parent_id = parent_id
        self.sampled = sampled
        self.span_id = random.getrandbits(64) or 1
        self.started_ns = time.time_ns()

    @property
    def traceparent(self) -> bytes:
        return b"00-%032x-%016x-%02x" % (self.trace_id, self.span_id, self.sampled)

    def context(self) -> SpanContext:
        return SpanContext(self.trace_id, self.span_id, is_remote=False, trace_flags=_SAMPLED if self.sampled else _UNSAMPLED)

    def as_current(self) -> NonRecordingSpan:
        """For logs and problems, which name the trace they belong to."""
        return NonRecordingSpan(self.context())


class Tracing:
    """Begins and records traces in the process's tracer provider."""

    def __init__(self, provider: TracerProvider, *, ratio: float) -> None:
        # The provider offers no public way to hand it a finished span; its processor's `on_end` is that way.
        self._processor = provider._active_span_processor
        self._resource = provider.resource
        self._bound = round(ratio * (1 << 64))

    def begin(self, traceparent: bytes | None) -> Trace:
        """Continue the client's trace when its `traceparent` is well-formed, else begin one."""
        match = _TRACEPARENT.fullmatch(traceparent) if traceparent else None
        if match and traceparent and (len(traceparent) == _LENGTH or not traceparent.startswith(b"00")):
            trace_id, parent_id = int(match[1], 16), int(match[2], 16)
            if trace_id and parent_id:
                return Trace(trace_id=trace_id, parent_id=parent_id, sampled=bool(int(match[3], 16) & 1))
        trace_id = random.getrandbits(128) or 1
        return Trace(trace_id=trace_id, parent_id=0, sampled=(trace_id & 0xFFFFFFFFFFFFFFFF) < self._bound)

    def record(self, trace: Trace, *, name: str, attributes: dict[str, AttributeValue], error: str | None = None) -> None:
        """Hand the finished span on to the exporter, if its trace is kept."""
        if not trace.sampled:
            return
        parent = SpanContext(trace.trace_id, trace.parent_id, is_remote=True, trace_flags=_SAMPLED) if trace.parent_id else None
        self._processor.on_end(
            ReadableSpan(
                name=name,
                context=trace.context(),
                parent=parent,
                resource=self._resource,
                attributes=attributes,
                kind=SpanKind.SERVER,
                status=Status(StatusCode.ERROR, error) if error else _OK,
                start_time=trace.started_ns,
                end_time=time.time_ns(),
                instrumentation_scope=_SCOPE,
            )
        )
