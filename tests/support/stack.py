"""The whole platform as processes of its own, on the session's PostgreSQL and RabbitMQ."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from unittest import mock

from cli.stack import Stack, run_stack
from cli.state import State


@asynccontextmanager
async def running_stack(folder: Path, *, postgres_url: str, amqp_url: str | None) -> AsyncIterator[Stack]:
    environment = {
        "METIS_DATABASE_URL": postgres_url,
        "METIS_WEBHOOK_ALLOW_PRIVATE": "true",
        "METIS_CLIENT_LIMIT_PER_MINUTE": "1000000",
        "METIS_ADDRESS_LIMIT_PER_MINUTE": "1000000",
    }
    if amqp_url:
        environment["METIS_AMQP_URL"] = amqp_url
    with mock.patch.dict(os.environ, environment):
        async with run_stack(State(folder), environment=environment) as stack:
            yield stack
