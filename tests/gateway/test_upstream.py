"""The HTTP client of the proxied path, on both event loops it meets."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import uvloop

from gateway.upstream import Upstream, UpstreamFailed, UpstreamTooSlow
from tests.support.servers import serve_raw, unused_port

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
REQUEST = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def upstream_of(talk: Talk, *, connections: int = 4, timeout_seconds: float = 5) -> AsyncIterator[Upstream]:
    async with serve_raw(talk) as port:
        upstream = Upstream("matching", f"http://127.0.0.1:{port}", connections=connections, timeout_seconds=timeout_seconds)
        yield upstream
        upstream.close()


def answering(*answers: bytes) -> Talk:
    """Gives these answers, one a request, on each connection."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
        await reader.read()

    return talk


class TestAsk:
    @pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
    def test_keeps_the_connection(self, run: Callable[..., None]) -> None:
        connections = 0
        talk = answering(*[ANSWER] * 10)

        async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal connections
            connections += 1
            await talk(reader, writer)

        async def main() -> None:
            async with upstream_of(count) as upstream:
                for _ in range(10):
                    assert (await upstream.ask(REQUEST, repeatable=False)).body == b"ok"
            assert connections == 1

        run(main())

    @pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
    def test_streams_what_is_long(self, run: Callable[..., None]) -> None:
        body = b"x" * 3_000_000

        async def main() -> None:
            async with upstream_of(answering(b"HTTP/1.1 200 OK\r\ncontent-length: 3000000\r\n\r\n" + body, ANSWER)) as upstream:
                answer = await upstream.ask(REQUEST, repeatable=False)
                assert answer.stream is not None
                assert b"".join([chunk async for chunk in answer.stream.chunks()]) == body
                assert (await upstream.ask(REQUEST, repeatable=False)).body == b"ok"

        run(main())

    async def test_skips_interim_answers(self) -> None:
        async with upstream_of(answering(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" + ANSWER)) as upstream:
            answer = await upstream.ask(REQUEST, repeatable=False)
            assert (answer.status, answer.body, answer.headers) == (200, b"ok", [(b"content-length", b"2")])

    async def test_an_answer_nobody_asked_for_is_never_given_to_the_next(self) -> None:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(ANSWER)
            await writer.drain()
            await asyncio.sleep(0.05)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil")
            await reader.read()

        async with upstream_of(talk) as upstream:
            assert (await upstream.ask(REQUEST, repeatable=False)).body == b"ok"
            await asyncio.sleep(0.2)
            assert (await upstream.ask(REQUEST, repeatable=False)).body == b"ok"

    async def test_a_closing_answer_is_not_followed_on_the_same_connection(self) -> None:
        closing = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"
        async with upstream_of(answering(closing)) as upstream:
            for _ in range(3):
                assert (await upstream.ask(REQUEST, repeatable=False)).body == b"ok"

    async def test_gives_up_in_time_and_frees_its_place(self) -> None:
        async with upstream_of(answering(b"HTTP/1.1 200 OK\r\n"), connections=1, timeout_seconds=0.1) as upstream:
            for _ in range(3):
                with pytest.raises(UpstreamTooSlow):
                    await upstream.ask(REQUEST, repeatable=False)

    async def test_a_stream_that_stalls_is_too_slow(self) -> None:
        part = b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\nx"
        async with upstream_of(answering(part), timeout_seconds=0.1) as upstream:
            answer = await upstream.ask(REQUEST, repeatable=False)
            assert answer.stream is not None
            with pytest.raises(UpstreamTooSlow):
                _ = [chunk async for chunk in answer.stream.chunks()]

    async def test_waits_for_a_free_place(self) -> None:
        at_once, most = 0, 0

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal at_once, most
            while await reader.readuntil(b"\r\n\r\n"):
                at_once += 1
                most = max(most, at_once)
                await asyncio.sleep(0.01)
                at_once -= 1
                writer.write(ANSWER)

        async with upstream_of(talk, connections=3) as upstream:
            answers = await asyncio.gather(*(upstream.ask(REQUEST, repeatable=False) for _ in range(20)))
            assert {answer.body for answer in answers} == {b"ok"}
            assert most == 3

    async def test_a_cancelled_wait_frees_its_place(self) -> None:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = await reader.readuntil(b"\r\n\r\n")
            if b"slow" in head:
                await asyncio.Event().wait()
            writer.write(ANSWER)
            await reader.read()

        async with upstream_of(talk, connections=1) as upstream:
            for _ in range(3):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await upstream.ask(REQUEST.replace(b"/ ", b"/slow "), repeatable=True)
            assert (await upstream.ask(REQUEST, repeatable=False)).body == b"ok"

    async def test_nobody_there(self) -> None:
        upstream = Upstream("matching", f"http://127.0.0.1:{unused_port()}", connections=1, timeout_seconds=1)
        for _ in range(3):
            with pytest.raises(UpstreamFailed, match="matching cannot be reached"):
                await upstream.ask(REQUEST, repeatable=True)


class TestUrl:
    @pytest.mark.parametrize("url", ["ftp://x", "http://", "http://x/path", "x:80"])
    def test_must_be_a_host_and_a_port(self, url: str) -> None:
        with pytest.raises(ValueError, match="must be http"):
            Upstream("matching", url, connections=1, timeout_seconds=1)
