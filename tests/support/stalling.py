"""A way to a server that can fall silent: connections stay open and new ones are taken, but nothing comes through."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit

Connect = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class StallingProxy:
    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._flowing = asyncio.Event()
        self._flowing.set()

    def stall(self) -> None:
        self._flowing.clear()

    def resume(self) -> None:
        self._flowing.set()

    async def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._flowing.wait()
        there_reader, there_writer = await asyncio.open_connection(*self._address)
        await asyncio.gather(self._pump(reader, there_writer), self._pump(there_reader, writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                await self._flowing.wait()
                writer.write(data)
                await writer.drain()
        with contextlib.suppress(ConnectionError):
            writer.close()


@asynccontextmanager
async def stalling(url: str) -> AsyncIterator[tuple[StallingProxy, str]]:
    """The proxy, and the URL of the same server behind it."""
    proxy = StallingProxy(*address_of(url))
    async with standing_before(url, proxy.connect) as way:
        try:
            yield proxy, way
        finally:
            proxy.resume()


def address_of(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.hostname and parts.port, url
    return parts.hostname, parts.port


@asynccontextmanager
async def standing_before(url: str, connect: Connect) -> AsyncIterator[str]:
    """The URL of the same server, whose clients `connect` gets first."""
    parts = urlsplit(url)
    server = await asyncio.start_server(connect, "127.0.0.1", 0)
    user = parts.netloc.rpartition("@")[0]
    try:
        yield urlunsplit(parts._replace(netloc=f"{user}@127.0.0.1:{server.sockets[0].getsockname()[1]}"))
    finally:
        server.close()
