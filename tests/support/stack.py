"""The whole platform as processes of its own, on the session's RabbitMQ.

Its PostgreSQL is one of its own, too: the runtime roles' passwords are one for a whole server.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from unittest import mock

from cli.stack import Stack, run_stack
from cli.state import State


def find_logged(stack: Stack, trace: str) -> list[str]:
    """What the services logged of a trace."""
    files = sorted(stack.state.logs.glob("*.log"))
    return [line for file in files for line in file.read_text().splitlines() if trace in line]


@asynccontextmanager
async def running_stack(folder: Path, *, amqp_url: str) -> AsyncIterator[Stack]:
    environment = {
        "METIS_AMQP_URL": amqp_url,
        "METIS_WEBHOOK_ALLOW_PRIVATE": "true",
        "METIS_CLIENT_LIMIT_PER_MINUTE": "1000000",
        "METIS_ADDRESS_LIMIT_PER_MINUTE": "1000000",
    }
    with mock.patch.dict(os.environ, environment):
        os.environ.pop("METIS_DATABASE_URL", None)
        running = run_stack(State(folder), environment=environment, durable=False)
        stack = await running.__aenter__()
    try:
        yield stack
    finally:
        await running.__aexit__(None, None, None)
