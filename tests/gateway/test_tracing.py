import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind, StatusCode

from gateway.tracing import Tracing
from tests.gateway.conftest import Door, OpenDoor
from tests.support.servers import unused_port
from tests.support.waiting import wait_until

TRACE_ID, PARENT_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def tracing() -> Tracing:
    return Tracing(TracerProvider(shutdown_on_exit=False), ratio=1)


class TestBegin:
    def test_continues_a_valid_trace(self, tracing: Tracing) -> None:
        trace = tracing.begin(f"00-{TRACE_ID}-{PARENT_ID}-01".encode())
        assert (f"{trace.trace_id:032x}", f"{trace.parent_id:016x}", trace.sampled) == (TRACE_ID, PARENT_ID, True)
        assert trace.traceparent == f"00-{TRACE_ID}-{trace.span_id:016x}-01".encode()

    def test_follows_the_choice_not_to_sample(self, tracing: Tracing) -> None:
        trace = tracing.begin(f"00-{TRACE_ID}-{PARENT_ID}-00".encode())
        assert not trace.sampled
        assert trace.traceparent.endswith(b"-00")

    def test_reads_a_later_version_by_its_first_fields(self, tracing: Tracing) -> None:
        assert f"{tracing.begin(f'01-{TRACE_ID}-{PARENT_ID}-01-more'.encode()).trace_id:032x}" == TRACE_ID

    @pytest.mark.parametrize(
        "header",
        [
            None, b"", b"x", f"00-{TRACE_ID}-{PARENT_ID}-01-more".encode(), f"ff-{TRACE_ID}-{PARENT_ID}-01".encode(),
            f"00-{'0' * 32}-{PARENT_ID}-01".encode(), f"00-{TRACE_ID}-{'0' * 16}-01".encode(), f"00-{TRACE_ID.upper()}-{PARENT_ID}-01".encode(),
            f"00-{TRACE_ID[:-1]}_-{PARENT_ID}-01".encode(), f"00-{TRACE_ID}-{PARENT_ID}-0".encode(),
        ],
    )  # fmt: skip
    def test_begins_anew_after_anything_else(self, tracing: Tracing, header: bytes | None) -> None:
        trace = tracing.begin(header)
        assert f"{trace.trace_id:032x}" != TRACE_ID
        assert trace.parent_id == 0

    def test_keeps_the_share_it_is_told_to(self) -> None:
        provider = TracerProvider(shutdown_on_exit=False)
        shares = {ratio: sum(Tracing(provider, ratio=ratio).begin(None).sampled for _ in range(1000)) for ratio in (0, 0.5, 1)}
        assert (shares[0], shares[1]) == (0, 1000)
        assert 400 < shares[0.5] < 600


class TestSpan:
    async def test_one_server_span_whose_child_the_service_becomes(self, door: Door) -> None:
        await door.call("GET", "/needs/0190?x=1", headers={"traceparent": f"00-{TRACE_ID}-{PARENT_ID}-01"})
        [span] = await wait_until(door.spans.get_finished_spans, what="the span")
        assert span.name == "GET /v1/territories/{territory}/needs/{need_id}"
        assert span.kind is SpanKind.SERVER
        assert f"{span.context.trace_id:032x}" == TRACE_ID
        assert f"{span.parent.span_id:016x}" == PARENT_ID
        assert dict(span.attributes) == {
            "http.request.method": "GET",
            "http.route": "/v1/territories/{territory}/needs/{need_id}",
            "url.path": "/v1/territories/92071/needs/0190",
            "http.response.status_code": 200,
            "metis.territory": "92071",
        }
        assert span.start_time < span.end_time
        assert door.matching.last.header("traceparent") == f"00-{TRACE_ID}-{span.context.span_id:016x}-01"

    async def test_what_a_collector_gets_can_be_encoded(self, door: Door) -> None:
        await door.call("GET", "/needs")
        encoded = encode_spans(await wait_until(door.spans.get_finished_spans, what="the span"))
        assert encoded.resource_spans[0].scope_spans[0].scope.name == "metis.gateway"

    async def test_a_failing_service_marks_it_and_a_refusal_does_not(self, open_door: OpenDoor) -> None:
        async with open_door(matching_url=f"http://127.0.0.1:{unused_port()}") as door:
            problem = (await door.call("GET", "/needs")).json()
            await door.call("PUT", "", json={})
            failed, refused = await wait_until(lambda: _two(door), what="both spans")
            assert (failed.status.status_code, failed.status.description) == (StatusCode.ERROR, "HTTP 503")
            assert refused.status.status_code is StatusCode.UNSET
            assert problem["trace"] == f"{failed.context.trace_id:032x}"

    async def test_the_token_request_is_traced_to_the_registry(self, door: Door) -> None:
        door.registry.status = 401
        form = {"grant_type": "client_credentials", "client_id": "92071.x", "client_secret": "x"}
        await door.client.post("/oauth/token", data=form)
        [span] = await wait_until(door.spans.get_finished_spans, what="the span")
        assert span.name == "POST /oauth/token"
        assert f"{span.context.span_id:016x}" in (door.registry.last.header("traceparent") or "")


def _two(door: Door):  # type: ignore[no-untyped-def]
    spans = door.spans.get_finished_spans()
    return spans if len(spans) == 2 else None
