"""The credits service as a process of its own; tests kill it between its commit and its answer.

Reads one JSON object from stdin: url, bus_url, public_keys. Prints its port, then serves until it is killed. Every request
is carried out and committed as in production, and no answer ever leaves. Neither bus nor jobs run.
"""

import asyncio
import json
import sys
from typing import Any

from pydantic import SecretStr

from services.credits.app import make_service
from services.credits.settings import Settings
from tests.support.servers import serve_app


async def serve(order: dict[str, Any]) -> None:
    settings = Settings(
        database_url=SecretStr(order["url"]),
        bus_database_url=SecretStr(order["bus_url"]),
        internal_public_keys=order["public_keys"],
        database_pool_size=2,
    )
    app = make_service(settings)
    app.state.database.after_publish = lambda _: None

    async def keep_the_answer(message: Any) -> None:
        await asyncio.Event().wait()

    async def serve_silently(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, keep_the_answer)

    async with serve_app(serve_silently) as port:
        print(port, flush=True)  # noqa: T201 - read by the test
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(json.loads(sys.stdin.readline())))
