"""A way to a server that breaks: each connection ends after so many bytes of the server's, in the middle of whatever it says."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from tests.support.stalling import address_of, standing_before


class CuttingProxy:
    """`bytes_each`: of the first connection, the second, and so on; those after them last."""

    def __init__(self, host: str, port: int, bytes_each: Iterable[int]) -> None:
        self._address = (host, port)
        self._bytes_each = iter(bytes_each)
        self.cuts = 0

    async def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left = next(self._bytes_each, None)
        there_reader, there_writer = await asyncio.open_connection(*self._address)
        await asyncio.gather(self._pass_on(reader, there_writer), self._pass_on(there_reader, writer, left))

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, left: int | None = None) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data[:left])
                await writer.drain()
                if left is not None and (left := left - len(data)) <= 0:
                    self.cuts += 1
                    writer.transport.abort()
                    return
        with contextlib.suppress(ConnectionError):
            writer.close()


@asynccontextmanager
async def cutting(url: str, bytes_each: Iterable[int]) -> AsyncIterator[tuple[CuttingProxy, str]]:
    """The proxy, and the URL of the same server behind it."""
    proxy = CuttingProxy(*address_of(url), bytes_each)
    async with standing_before(url, proxy.connect) as way:
        yield proxy, way
