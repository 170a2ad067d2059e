"""The proxied path, over real sockets."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from kernel.auth import AUDIENCE, Caller, Role, TokenChecker, TokenSigner, make_key_pair
from kernel.clock import utc_now
from tests.builders.gateway import make_access_token
from tests.gateway.conftest import TERRITORY, Door, OpenDoor
from tests.support.clients import ALL_SCOPES, PUBLIC_KEYS, make_caller
from tests.support.servers import FakeService, Received, send_raw, serve_raw, unused_port
from tests.support.waiting import wait_until

OFFICER = make_caller(TERRITORY, Role.OFFICER)


class TestForward:
    async def test_gives_method_path_query_and_body_to_the_service_and_its_answer_back(self, door: Door) -> None:
        door.matching.status, door.matching.body = 201, b'{"id":"x"}'
        door.matching.headers += [
            (b"etag", b'"1"'),
            (b"link", b'</x>; rel="next"'),
            (b"server", b"secret/1.0"),
            (b"set-cookie", b"a=b"),
        ]
        answer = await door.call(
            "POST", "/needs?a=1&b=%20", content=b'{"title":"caf\xc3\xa9"}', headers={"content-type": "application/json"}
        )
        assert (answer.status_code, answer.content) == (201, b'{"id":"x"}')
        assert answer.headers["etag"] == '"1"'
        assert answer.headers["link"] == '</x>; rel="next"'
        assert "set-cookie" not in answer.headers
        assert "secret" not in answer.headers.get("server", "")
        seen = door.matching.last
        assert (seen.method, seen.raw_path, seen.query) == ("POST", b"/v1/territories/92071/needs", b"a=1&b=%20")
        assert seen.body == b'{"title":"caf\xc3\xa9"}'
        assert seen.header("content-type") == "application/json"

    async def test_each_service_gets_its_own_addresses(self, door: Door) -> None:
        await door.call("GET", "")
        await door.call("GET", "/needs")
        assert [request.raw_path for request in door.registry.received] == [b"/v1/territories/92071"]
        assert [request.raw_path for request in door.matching.received] == [b"/v1/territories/92071/needs"]

    async def test_the_service_gets_an_internal_token_that_names_the_caller(self, door: Door) -> None:
        caller = make_caller(TERRITORY, Role.ASSOCIATION, scopes=frozenset({"matching:read"}))
        access_token = make_access_token(caller)
        await door.call("GET", "/needs", token=access_token)
        sent = door.matching.last.header("authorization")
        assert sent is not None
        assert access_token not in sent
        assert TokenChecker(PUBLIC_KEYS, audience=AUDIENCE).check(sent.removeprefix("Bearer "), now=utc_now()) == caller

    async def test_the_internal_token_is_kept_for_a_while(self, door: Door) -> None:
        token = make_access_token(OFFICER)
        for _ in range(3):
            await door.call("GET", "/needs", token=token)
        assert len({request.header("authorization") for request in door.matching.received}) == 1

    async def test_a_head_that_no_operation_has_is_refused(self, door: Door) -> None:
        answer = await door.call("HEAD", "/needs")
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")

    async def test_an_answer_without_body_stays_without(self, door: Door) -> None:
        async def answer_204(request: Received) -> FakeService:
            return FakeService(status=204, body=b"", headers=[])

        door.matching.respond = answer_204
        answer = await door.call("DELETE", "/needs/1")
        assert (answer.status_code, answer.content) == (204, b"")
        assert "transfer-encoding" not in answer.headers


class TestHeaders:
    async def test_only_known_headers_reach_a_service(self, door: Door) -> None:
        made_up = {
            "forwarded": "for=1.2.3.4", "x-forwarded-for": "1.2.3.4", "x-forwarded-host": "evil", "x-real-ip": "1.2.3.4",
            "cookie": "session=1", "x-territory": "13055", "x-roles": "officer", "proxy-authorization": "Basic eDp5",
            "te": "trailers", "x-http-method-override": "DELETE", "x-original-url": "/health", "host": "evil.example",
        }  # fmt: skip
        kept = {"accept": "application/json", "accept-language": "fr", "idempotency-key": "k1", "if-none-match": '"1"'}
        await door.call("GET", "/needs", headers=made_up | kept)
        names = door.matching.last.names()
        assert names == {"host", "authorization", "traceparent", "user-agent", *kept}
        assert door.matching.last.header("host") != "evil.example"

    async def test_headers_that_the_document_declares_are_passed_on(self, door: Door) -> None:
        await door.call("PATCH", "/needs/1", headers={"if-match": '"3"', "idempotency-key": "k"}, json={})
        assert door.matching.last.header("if-match") == '"3"'
        assert door.matching.last.header("idempotency-key") == "k"

    async def test_a_header_named_in_connection_ends_here(self, door: Door) -> None:
        await door.call(
            "GET", "/needs", headers={"connection": "keep-alive, If-None-Match", "if-none-match": '"1"', "accept": "a/b"}
        )
        assert door.matching.last.header("if-none-match") is None
        assert door.matching.last.header("accept") == "a/b"

    @pytest.mark.parametrize(
        "smuggled",
        [
            b"content-length: 0\r\ncontent-length: 40\r\n",
            b"content-length: 40\r\ntransfer-encoding: chunked\r\n",
            b"transfer-encoding: xchunked\r\n",
            b"transfer-encoding : chunked\r\n",
            b"accept: a\r\n b: c\r\n",
            b"accept: a\nx-evil: 1\r\n",
            b"accept: a\rx-evil: 1\r\n",
            b"accept: a\x00b\r\n",
            b"x y: 1\r\n",
        ],
    )
    async def test_a_malformed_head_never_reaches_a_service(self, door: Door, smuggled: bytes) -> None:
        head = (
            b"POST /v1/territories/92071/needs HTTP/1.1\r\nhost: x\r\nauthorization: Bearer "
            + make_access_token(OFFICER).encode()
        )
        inner = b"GET /v1/territories/92071/clients HTTP/1.1\r\nhost: x\r\n\r\n"
        answer = await send_raw(door.port, head + b"\r\n" + smuggled + b"connection: close\r\n\r\n" + inner, seconds=0.5)
        assert not answer or answer.startswith(b"HTTP/1.1 4")
        assert door.matching.received == []
        assert door.registry.received == []

    async def test_a_chunked_body_is_one_body_for_the_service(self, door: Door) -> None:
        token = make_access_token(OFFICER).encode()
        request = (
            b"POST /v1/territories/92071/needs HTTP/1.1\r\nhost: x\r\nauthorization: Bearer " + token + b"\r\n"
            b"transfer-encoding: chunked\r\nconnection: close\r\n\r\n3\r\nabc\r\n5\r\n\r\nGET\r\n0\r\n\r\n"
        )
        answer = await send_raw(door.port, request)
        assert answer.startswith(b"HTTP/1.1 200")
        assert door.matching.last.body == b"abc\r\nGET"
        assert door.matching.last.header("content-length") == "8"
        assert len(door.matching.received) == 1


class TestPaths:
    """The path that the gateway matched is the path that the service sees."""

    @pytest.mark.parametrize(
        "path",
        [
            "/v1/territories/92071/needs/../clients",
            "/v1/territories/92071/needs/..",
            "/v1/territories/92071/needs/.",
            "/v1/territories/92071/needs/%2e%2e",
            "/v1/territories/92071/needs/%2E%2e",
            "/v1/territories/92071/needs/.%2e",
            "/v1/territories/92071/needs/a%2Fb",
            "/v1/territories/92071/needs/a%2fb",
            "/v1/territories/92071/needs/a%5Cb",
            "/v1/territories/92071/needs/a\\b",
            "/v1/territories/92071/needs/a%00",
            "/v1/territories/92071/needs/a%0d%0ab",
            "/v1/territories/92071/needs/%ff",
            "/v1/territories/92071/needs/%zz",
            "/v1/territories/92071/needs/%",
            "/v1/territories/92071/needs/",
            "/v1/territories/92071//needs",
            "//v1/territories/92071/needs",
            "/v1//territories/92071/needs",
            "/v1/territories//needs",
            "/v1/territories/92071/n%65eds",
            "/V1/territories/92071/needs",
            "/v1/territories/%39%32071/needs",
            "/v1/territories/92071%20/needs",
            "/v1/territories/*/needs",
            "/v1/territories/92071/client-checks",
            "/v1/territories/92071/needs/a/b/c/d",
            "/v1/territories",
            "/v1/",
            "/health/../v1/territories/92071/needs",
        ],
    )
    async def test_what_can_be_read_in_two_ways_matches_nothing(self, door: Door, path: str) -> None:
        token = make_access_token(OFFICER)
        request = f"GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n"
        answer = await send_raw(door.port, request.encode())
        assert answer.startswith((b"HTTP/1.1 404", b"HTTP/1.1 400")), answer
        assert door.matching.received == []
        assert door.registry.received == []

    @pytest.mark.parametrize("segment", ["caf%C3%A9", "a%20b", "%252e%252e", "a+b", "~", "...", "a;b=c", "%41"])
    async def test_a_plain_segment_arrives_as_it_was_sent(self, door: Door, segment: str) -> None:
        token = make_access_token(OFFICER)
        path = f"/v1/territories/92071/actors/refs/{segment}"
        request = (
            f"PUT {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        )
        assert (await send_raw(door.port, request.encode())).startswith(b"HTTP/1.1 200")
        assert door.registry.last.raw_path == path.encode()

    async def test_an_absolute_target_names_only_a_path(self, door: Door) -> None:
        token = make_access_token(OFFICER)
        request = f"GET http://127.0.0.1:1/v1/territories/92071/needs HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n"
        await send_raw(door.port, request.encode())
        assert door.matching.last.raw_path == b"/v1/territories/92071/needs"

    async def test_a_query_with_raw_bytes_is_refused(self, door: Door) -> None:
        token = make_access_token(OFFICER).encode()
        request = (
            b"GET /v1/territories/92071/needs?q=\xc3\xa9 HTTP/1.1\r\nhost: x\r\nauthorization: Bearer "
            + token
            + b"\r\nconnection: close\r\n\r\n"
        )
        answer = await send_raw(door.port, request)
        assert answer.startswith(b"HTTP/1.1 400")
        assert door.matching.received == []


class TestAccess:
    @pytest.mark.parametrize(
        "header", [None, "", "Bearer", "Bearer ", "Basic eDp5", "Bearer a.b.c", "Bearer " + "a" * 5000, "Bearer é"]
    )
    async def test_without_a_valid_token_401_with_a_challenge(self, door: Door, header: str | None) -> None:
        line = "" if header is None else f"authorization: {header}\r\n"
        request = f"GET /v1/territories/92071/needs HTTP/1.1\r\nhost: x\r\n{line}connection: close\r\n\r\n"
        answer = (await send_raw(door.port, request.encode("latin-1"))).decode()
        assert answer.startswith("HTTP/1.1 401")
        assert "content-type: application/problem+json" in answer
        assert 'www-authenticate: Bearer realm="metis"' in answer
        assert ('error="invalid_token"' in answer) is (header is not None)
        assert door.matching.received == []

    async def test_what_is_published_needs_no_token(self, open_door: OpenDoor) -> None:
        async with open_door(address_limit_per_minute=3) as door:
            url = "/v1/territories/92071/matching/rules"
            assert (await door.client.get(url)).status_code == 200
            sent = door.matching.last.header("authorization")
            assert sent is not None
            caller = TokenChecker(PUBLIC_KEYS, audience=AUDIENCE).check(sent.removeprefix("Bearer "), now=utc_now())
            assert (caller.territory, caller.roles, caller.actor_id) == ("92071", frozenset({"visitor"}), None)
            # What is no token is refused all the same; nothing else opens; and visits are counted by their address.
            assert (await door.client.get(url, headers={"authorization": "Bearer a.b.c"})).status_code == 401
            assert (await door.client.get("/v1/territories/92071/needs")).status_code == 401
            assert (await door.client.get(url)).status_code == 429

    async def test_a_token_of_another_key_is_refused(self, door: Door) -> None:
        private, _ = make_key_pair()
        token = TokenSigner(private).sign(OFFICER, now=utc_now(), lifetime=timedelta(hours=1), audience="metis-gateway")
        assert (await door.call("GET", "/needs", token=token)).status_code == 401

    async def test_a_token_changed_by_hand_is_refused(self, door: Door) -> None:
        token = make_access_token(OFFICER)
        assert (await door.call("GET", "/needs", token=token)).status_code == 200
        head, payload, signature = token.split(".")
        assert (await door.call("GET", "/needs", token=f"{head}.{payload[:-2]}AA.{signature}")).status_code == 401

    async def test_an_unsigned_token_is_refused(self, door: Door) -> None:
        payload = make_access_token(OFFICER).split(".")[1]
        assert (await door.call("GET", "/needs", token=f"eyJhbGciOiJub25lIn0.{payload}.")).status_code == 401

    async def test_an_internal_token_does_not_open_the_public_door(self, door: Door) -> None:
        token = make_access_token(OFFICER, audience=AUDIENCE)
        assert (await door.call("GET", "/needs", token=token)).status_code == 401

    async def test_an_expired_token_is_refused(self, door: Door) -> None:
        token = make_access_token(OFFICER, lifetime_seconds=60, now=utc_now() - timedelta(seconds=61))
        assert (await door.call("GET", "/needs", token=token)).status_code == 401

    async def test_a_token_that_expires_while_known_is_refused(self, door: Door) -> None:
        token = make_access_token(OFFICER, lifetime_seconds=1)
        assert (await door.call("GET", "/needs", token=token)).status_code == 200
        expired = await wait_until(lambda: _is_refused(door, token), seconds=5, what="the end of the token")
        assert "invalid_token" in expired

    async def test_another_territory_is_forbidden(self, door: Door) -> None:
        answer = await door.call("GET", "/needs", caller=make_caller("92014", Role.OFFICER))
        assert answer.status_code == 403
        assert "92014" in answer.json()["detail"]
        assert door.matching.received == []

    async def test_a_missing_scope_is_named(self, door: Door) -> None:
        answer = await door.call(
            "GET", "/needs", caller=make_caller(TERRITORY, Role.OFFICER, scopes=frozenset({"registry:read"}))
        )
        assert answer.status_code == 403
        assert 'error="insufficient_scope", scope="matching:read"' in answer.headers["www-authenticate"]

    async def test_a_role_that_may_not_is_forbidden(self, door: Door) -> None:
        partner = make_caller(TERRITORY, Role.PARTNER)
        assert (await door.call("GET", "/needs", caller=partner)).status_code == 200
        assert (await door.call("POST", "/needs", caller=partner, json={})).status_code == 403
        assert len(door.matching.received) == 1

    async def test_the_instance_admin_acts_in_any_territory_for_that_one_only(self, door: Door) -> None:
        admin = Caller("*", "instance-admin", roles=frozenset({Role.INSTANCE_ADMIN}), scopes=ALL_SCOPES)
        token = make_access_token(admin)
        for territory in ("92071", "92014"):
            answer = await door.client.put(f"/v1/territories/{territory}", json={}, headers={"authorization": f"Bearer {token}"})
            assert answer.status_code == 200
            sent = (door.registry.last.header("authorization") or "").removeprefix("Bearer ")
            assert TokenChecker(PUBLIC_KEYS).check(sent, now=utc_now()).territory == territory

    async def test_two_authorization_headers_are_refused(self, door: Door) -> None:
        token = make_access_token(OFFICER)
        line = f"authorization: Bearer {token}\r\n"
        request = f"GET /v1/territories/92071/needs HTTP/1.1\r\nhost: x\r\n{line}{line}connection: close\r\n\r\n"
        assert (await send_raw(door.port, request.encode())).startswith(b"HTTP/1.1 401")

    async def test_unknown_method_405_names_the_possible_ones(self, door: Door) -> None:
        answer = await door.call("PUT", "/needs/1", json={})
        assert (answer.status_code, answer.headers["allow"]) == (405, "DELETE, GET, PATCH")
        assert answer.json()["type"].endswith("/method-not-allowed")


class TestBody:
    async def test_too_large_by_its_length_is_refused_unread(self, open_door: OpenDoor) -> None:
        async with open_door(body_limit_bytes=2048) as door:
            token = make_access_token(OFFICER)
            head = (
                f"POST /v1/territories/92071/needs HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n"
                "expect: 100-continue\r\ncontent-length: 2049\r\n\r\n"
            )
            answer = await send_raw(door.port, head.encode())  # the body is never sent, and the connection closes
            assert answer.startswith(b"HTTP/1.1 413")
            assert door.matching.received == []

    async def test_too_large_by_its_chunks_is_refused(self, open_door: OpenDoor) -> None:
        async with open_door(body_limit_bytes=2048) as door:

            async def chunks() -> AsyncIterator[bytes]:
                for _ in range(3):
                    yield b"x" * 1000

            answer = await door.call("POST", "/needs", content=chunks())
            assert answer.status_code == 413
            assert door.matching.received == []

    async def test_the_largest_body_passes(self, open_door: OpenDoor) -> None:
        async with open_door(body_limit_bytes=300_000) as door:
            answer = await door.call("POST", "/needs", content=b"x" * 300_000)
            assert answer.status_code == 200
            assert len(door.matching.last.body) == 300_000

    async def test_one_that_never_ends_is_408(self, open_door: OpenDoor) -> None:
        async with open_door(body_timeout_seconds=0.1) as door:
            token = make_access_token(OFFICER)
            head = f"POST /v1/territories/92071/needs HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-length: 9\r\n\r\nabc"
            answer = await send_raw(door.port, head.encode())
            assert answer.startswith(b"HTTP/1.1 408")
            assert door.matching.received == []


class TestFailingService:
    async def test_a_dead_service_is_503_with_retry_after(self, open_door: OpenDoor) -> None:
        async with open_door(matching_url=f"http://127.0.0.1:{unused_port()}") as door:
            for method in ("GET", "POST"):
                answer = await door.call(method, "/needs")
                assert answer.status_code == 503
                assert answer.headers["retry-after"] == "2"
                assert answer.json()["type"].endswith("/unavailable")
            assert "Idempotency-Key" in answer.json()["detail"]

    async def test_a_slow_service_is_504(self, open_door: OpenDoor) -> None:
        async with open_door(upstream_timeout_seconds=0.1) as door:
            door.matching.respond = _wait_for_ever
            answer = await door.call("GET", "/needs")
            assert answer.status_code == 504
            assert answer.json()["type"].endswith("/no-answer-in-time")

    @pytest.mark.parametrize(("method", "asked"), [("GET", 2), ("POST", 1)])
    async def test_a_connection_reset_is_retried_for_get_only(self, open_door: OpenDoor, method: str, asked: int) -> None:
        heads: list[bytes] = []

        async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heads.append(await reader.readuntil(b"\r\n\r\n"))

        async with serve_raw(hang_up) as port, open_door(matching_url=f"http://127.0.0.1:{port}") as door:
            answer = await door.call(method, "/needs")
            assert answer.status_code == 503
            assert len(heads) == asked

    @pytest.mark.parametrize(
        "garbage", [b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok" * 2, b"\x00" * 100]
    )
    async def test_something_else_than_one_http_answer_is_503(self, open_door: OpenDoor, garbage: bytes) -> None:
        async with serve_raw(_answer_raw(garbage)) as port, open_door(matching_url=f"http://127.0.0.1:{port}") as door:
            assert (await door.call("POST", "/needs")).status_code == 503

    async def test_a_service_that_restarts_between_requests_is_found_again(self, open_door: OpenDoor) -> None:
        answered = 0

        async def answer_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal answered
            await reader.readuntil(b"\r\n\r\n")
            answered += 1
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            await writer.drain()  # says it keeps the connection, and hangs up all the same

        async with serve_raw(answer_once) as port, open_door(matching_url=f"http://127.0.0.1:{port}") as door:
            for _ in range(5):
                assert (await door.call("GET", "/needs")).status_code == 200
            assert answered == 5


class TestStream:
    async def test_a_long_answer_passes_piece_by_piece(self, open_door: OpenDoor) -> None:
        more = asyncio.Event()

        async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/csv\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n")
            await more.wait()
            writer.write(b"4\r\nlast\r\n0\r\n\r\n")
            await writer.drain()

        async with serve_raw(trickle) as port, open_door(matching_url=f"http://127.0.0.1:{port}") as door:
            headers = {"authorization": f"Bearer {make_access_token(OFFICER)}"}
            async with door.client.stream("GET", "/v1/territories/92071/needs", headers=headers) as answer:
                pieces = answer.aiter_raw()
                assert await anext(pieces) == b"first"
                more.set()
                assert [piece async for piece in pieces] == [b"last"]
                assert answer.headers["content-type"] == "text/csv"

    async def test_megabytes_arrive_whole(self, door: Door) -> None:
        door.matching.body = bytes(range(256)) * 20_000
        answer = await door.call("GET", "/needs")
        assert answer.content == door.matching.body
        assert (await door.call("GET", "/needs")).content == door.matching.body

    async def test_an_answer_that_breaks_off_is_seen_to_be_broken(self, open_door: OpenDoor) -> None:
        part = b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n" + b"x" * 70_000
        async with serve_raw(_answer_raw(part)) as port, open_door(matching_url=f"http://127.0.0.1:{port}") as door:
            token = make_access_token(OFFICER)
            request = f"GET /v1/territories/92071/needs HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n"
            answer = await send_raw(door.port, request.encode())  # returns because the gateway closes
            assert b"content-length: 100000" in answer
            assert len(answer.partition(b"\r\n\r\n")[2]) < 100_000

    async def test_a_client_slower_than_the_service_makes_the_service_wait(self, open_door: OpenDoor) -> None:
        sent_bytes = 0

        async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal sent_bytes
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 200000000\r\n\r\n")
            for _ in range(2000):
                writer.write(b"x" * 100_000)
                await writer.drain()
                sent_bytes += 100_000

        async with serve_raw(pour) as port, open_door(matching_url=f"http://127.0.0.1:{port}") as door:
            reader, writer = await asyncio.open_connection("127.0.0.1", door.port, limit=1024)
            token = make_access_token(OFFICER)
            writer.write(f"GET /v1/territories/92071/needs HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n".encode())
            await reader.read(100)
            before = -1
            while sent_bytes != before:  # until the service stands still
                before = sent_bytes
                await asyncio.sleep(0.2)
            assert sent_bytes < 50_000_000
            writer.close()


class TestClientLeaves:
    async def test_the_service_is_no_longer_waited_for(self, open_door: OpenDoor) -> None:
        asked, left = asyncio.Event(), asyncio.Event()

        async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            asked.set()
            await reader.read()
            left.set()

        async with serve_raw(wait) as port, open_door(matching_url=f"http://127.0.0.1:{port}") as door:
            _, writer = await asyncio.open_connection("127.0.0.1", door.port)
            token = make_access_token(OFFICER)
            writer.write(f"GET /v1/territories/92071/needs HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n".encode())
            await asyncio.wait_for(asked.wait(), 5)
            writer.close()
            await asyncio.wait_for(left.wait(), 5)
            span = await wait_until(door.spans.get_finished_spans, what="the span")
            assert span[0].attributes["http.response.status_code"] == 499


def _answer_raw(answer: bytes):  # type: ignore[no-untyped-def]
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()

    return talk


async def _wait_for_ever(request: Received) -> None:
    await asyncio.Event().wait()


async def _is_refused(door: Door, token: str) -> str | None:
    answer = await door.call("GET", "/needs", token=token)
    return answer.headers["www-authenticate"] if answer.status_code == 401 else None
