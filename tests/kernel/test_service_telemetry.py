"""What operators see of a service that runs: its spans at a collector, its log lines, its metrics."""

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from kernel.auth import Role
from kernel.clock import utc_now
from kernel.ids import new_id
from kernel.telemetry import JsonFormatter, context_from, log_territory, span
from tests.conftest import ROOT
from tests.support.clients import PUBLIC_KEYS, SIGNER, make_caller
from tests.support.servers import FakeService, serve_app, unused_port
from tests.support.waiting import wait_until

TRACE_ID, PARENT_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE_ID}-{PARENT_ID}-01"
ROUTE = "/v1/territories/{territory}/actors/{id}"


@dataclass
class Running:
    """A registry that has answered one request, and was then stopped as an operator stops it."""

    path: str
    answer: dict[str, Any]
    metrics: str
    exports: list[ExportTraceServiceRequest]
    lines: list[dict[str, Any]]


@pytest.fixture(scope="module")
async def registry(service_url: Callable[[str], str], bus_url: str) -> Running:
    collector = FakeService(headers=[(b"content-type", b"application/x-protobuf")], body=b"")
    async with serve_app(collector) as port:
        address = f"http://127.0.0.1:{(own := unused_port())}"
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "kernel.web", "services.registry.app:make_service",
            cwd=ROOT, stderr=asyncio.subprocess.PIPE, env=os.environ | {
                "METIS_PORT": str(own), "METIS_DATABASE_URL": service_url("registry"), "METIS_BUS_DATABASE_URL": bus_url,
                "METIS_INTERNAL_PUBLIC_KEYS": PUBLIC_KEYS, "METIS_OTLP_ENDPOINT": f"http://127.0.0.1:{port}/",
            },
        )  # fmt: skip
        path = f"/v1/territories/92071/actors/{new_id()}"
        try:
            answer, metrics = await _ask(address, path)
        finally:
            process.send_signal(signal.SIGTERM)
            _, logged = await process.communicate()
    exports = [ExportTraceServiceRequest.FromString(one.body) for one in collector.received if one.raw_path == b"/v1/traces"]
    lines = [json.loads(line) for line in logged.decode().splitlines()]
    return Running(path, answer, metrics, exports, lines)


async def _ask(address: str, path: str) -> tuple[dict[str, Any], str]:
    """The answer to a request for an actor that is not there, and the metrics afterwards."""
    async with httpx2.AsyncClient(base_url=address) as client:

        async def ready() -> bool:
            try:
                return (await client.get("/health/ready")).status_code == 200
            except httpx2.TransportError:
                return False

        await wait_until(ready, seconds=60, what="the registry to be ready")
        token = SIGNER.sign(make_caller("92071", Role.OFFICER), now=utc_now(), lifetime=timedelta(minutes=5))
        answer = await client.get(path, headers={"authorization": f"Bearer {token}", "traceparent": TRACEPARENT})

        async def measured() -> str | None:
            text = (await client.get("/metrics")).text
            return text if "metis_dead_letters{" in text and "metis_outbox_depth{" in text else None

        return answer.json(), await wait_until(measured, what="what waits to be measured")


def find_spans(running: Running) -> list[tuple[str, Span]]:
    """Service's name and span, of the trace that the request named."""
    found = []
    for export in running.exports:
        for resource in export.resource_spans:
            named = {one.key: one.value.string_value for one in resource.resource.attributes}
            spans = [span for scope in resource.scope_spans for span in scope.spans]
            found += [(named["service.name"], span) for span in spans if span.trace_id.hex() == TRACE_ID]
    return found


@pytest.mark.timeout(120)
class TestRunningService:
    def test_sends_its_spans_to_the_collector_before_it_ends(self, registry: Running) -> None:
        """METIS_OTLP_ENDPOINT is the collector's base address: spans go to its /v1/traces."""
        served = [(service, span) for service, span in find_spans(registry) if span.kind == Span.SPAN_KIND_SERVER]
        ((service, span),) = served
        assert (service, span.name, span.parent_span_id.hex()) == ("registry", f"GET {ROUTE}", PARENT_ID)
        attributes = {one.key: one.value for one in span.attributes}
        assert attributes["http.response.status_code"].int_value == 404
        assert span.end_time_unix_nano > span.start_time_unix_nano

    def test_traces_no_probe(self, registry: Running) -> None:
        names = {
            span.name
            for export in registry.exports
            for resource in export.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        }
        assert not [name for name in names if "/health" in name or "/metrics" in name]

    def test_logs_a_refusal_with_its_trace_and_its_town(self, registry: Running) -> None:
        (line,) = [line for line in registry.lines if line["message"].startswith("refused")]
        assert (line["trace"], line["territory"]) == (TRACE_ID, "92071")
        assert (line["service"], line["level"], line["code"], line["status"]) == ("registry", "info", "not-found", 404)
        assert registry.answer["trace"] == TRACE_ID

    def test_counts_requests_by_route_and_not_by_address(self, registry: Running) -> None:
        counted = (
            f'http_server_request_duration_seconds_count{{method="GET",route="{ROUTE}",service="registry",status="404"}} 1.0'
        )
        assert counted in registry.metrics.splitlines()
        assert registry.path.rpartition("/")[2] not in registry.metrics

    def test_measures_what_waits(self, registry: Running) -> None:
        names = {line.partition("{")[0] for line in registry.metrics.splitlines() if 'service="registry"' in line}
        assert {"metis_outbox_depth", "metis_outbox_age_seconds", "metis_retries_waiting", "metis_dead_letters"} <= names


class TestJsonFormatter:
    def format(self, *, level: int = logging.INFO, message: str = "%s est prêt", **rest: Any) -> dict[str, Any]:
        record = logging.LogRecord("metis.essai", level, "essai.py", 1, message, ("Café",), rest.pop("exc_info", None))
        vars(record).update(rest)
        text = JsonFormatter("registry").format(record)
        assert "\n" not in text
        line: dict[str, Any] = json.loads(text)
        return line

    def test_is_one_line_with_an_instant_that_names_its_zone(self) -> None:
        line = self.format(level=logging.WARNING)
        assert line.pop("time").endswith("+00:00")
        assert line == {"level": "warning", "service": "registry", "logger": "metis.essai", "message": "Café est prêt"}

    def test_names_trace_and_town_where_there_are_some(self) -> None:
        token = log_territory.set("92071")
        try:
            with span("essai", context=context_from(TRACEPARENT)):
                line = self.format()
        finally:
            log_territory.reset(token)
        assert (line["trace"], line["territory"]) == (TRACE_ID, "92071")
        assert {"trace", "territory"}.isdisjoint(self.format())

    def test_adds_the_facts_and_writes_what_is_no_json_as_text(self) -> None:
        id = new_id()
        line = self.format(facts={"mission": id, "minutes": 60})
        assert (line["mission"], line["minutes"]) == (str(id), 60)

    def test_keeps_a_stack_on_the_same_line(self) -> None:
        try:
            raise ValueError("deux\nlignes")
        except ValueError:
            line = self.format(exc_info=sys.exc_info())
        assert line["exception"].startswith("Traceback")
        assert line["exception"].endswith("ValueError: deux\nlignes")
