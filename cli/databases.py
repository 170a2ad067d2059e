"""The services' databases, for commands that look into them: of the running local stack, or named by the environment."""

import os
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from cli import embedded_postgres
from cli.console import CliError
from cli.migrate import SERVICES, owner_url
from cli.state import State

if TYPE_CHECKING:
    import asyncpg


def url_of(service: str, state: State) -> str:
    """METIS_<SERVICE>_DATABASE_URL, else the service's database on METIS_DATABASE_URL's server, else on the local one."""
    if given := os.environ.get(f"METIS_{service.upper()}_DATABASE_URL"):
        return given
    server_url = os.environ.get("METIS_DATABASE_URL") or _local_server_url(state)
    if server_url is None:
        raise CliError(
            f"No database: nothing runs in {state.path}, and METIS_DATABASE_URL is not set.",
            cure="Start `metis up` (or `metis demo`) first, name its directory with --state, or set METIS_DATABASE_URL.",
        )
    return owner_url(server_url, service)


def _local_server_url(state: State) -> str | None:
    if not state.exists:
        return None
    server = embedded_postgres.find_running(state.postgres, password=state.secrets().postgres_password)
    return server.url if server else None


async def connect(service: str, state: State) -> "asyncpg.Connection[Any]":
    """A connection to one service's database. Raises CliError in words when it cannot be had."""
    import asyncpg

    try:
        return await asyncpg.connect(url_of(service, state), timeout=10)
    except (OSError, asyncpg.PostgresError, TimeoutError) as error:
        raise CliError(
            f"The database of {service} cannot be reached: {type(error).__name__}: {error}",
            cure=f"Check METIS_DATABASE_URL (or METIS_{service.upper()}_DATABASE_URL), or run `metis doctor`.",
        ) from error


async def each_territory(connection: "asyncpg.Connection[Any]") -> AsyncIterator[str]:
    """Enter one territory after the other: row-level security shows only the entered one's rows, even to an owner."""
    for row in await connection.fetch("SELECT territory FROM territory ORDER BY territory"):
        await connection.execute("SELECT set_config('metis.territory', $1, false)", row["territory"])
        yield row["territory"]


def chosen_services(service: str | None) -> list[str]:
    """The one asked for, or all."""
    if service is None:
        return list(SERVICES)
    if service not in SERVICES:
        raise CliError(f"No service is called {service!r}.", cure=f"One of: {', '.join(SERVICES)}.")
    return [service]
