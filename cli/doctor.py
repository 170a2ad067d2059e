"""What a person would check when Métis does not work (`metis doctor`): each finding with its cure."""

import asyncio
import os
import shutil
import socket
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from rich.markup import escape
from rich.table import Table

from cli import embedded_postgres
from cli.console import CliError, console
from cli.migrate import SERVICES
from cli.stack import HOST, PORTS
from cli.state import State
from kernel.bus.transport import dead_queue_name

OK, NOTE, FAULT = "ok", "note", "fault"
MARKS = {OK: "[green]✓[/]", NOTE: "[yellow]·[/]", FAULT: "[bold red]✗[/]"}
FREE_BYTES = 500 * 1024 * 1024
CLOCK_SECONDS = 5.0


@dataclass(frozen=True)
class Finding:
    """One check: what was looked at, what was seen, and what to do about it if it is a fault."""

    subject: str
    level: str
    seen: str
    cure: str = ""


async def examine(state: State) -> AsyncIterator[Finding]:
    yield _python()
    yield _disk(state.path)
    yield _state(state)
    ports = {**PORTS, **state.read("running.json").get("ports", {})} if state.exists else PORTS
    async for finding in _processes(ports):
        yield finding
    yield await _database(state)
    yield await _broker()
    yield await _clock(state)


def _python() -> Finding:
    # An older one could not even have read this file.
    return Finding("Python", OK, ".".join(map(str, sys.version_info[:3])))


def _disk(path: Path) -> Finding:
    folder = next(parent for parent in (path, *path.parents) if parent.exists())
    free = shutil.disk_usage(folder).free
    if free < FREE_BYTES:
        return Finding("Disk", FAULT, f"{free // 2**20} MiB free in {folder}", "Free at least 500 MiB.")
    if not os.access(folder, os.W_OK):
        return Finding("Disk", FAULT, f"{folder} cannot be written", "Change its rights, or choose another folder with --state.")
    return Finding("Disk", OK, f"{free / 2**30:.1f} GiB free in {folder}")


def _state(state: State) -> Finding:
    if not state.exists:
        return Finding("State", NOTE, f"{state.path} does not exist yet", "`metis demo` or `metis up` makes it.")
    secrets = state.path / "secrets.json"
    if secrets.exists() and secrets.stat().st_mode & 0o077:
        return Finding("State", FAULT, f"{secrets} can be read by others", f"chmod 600 {secrets}")
    return Finding("State", OK, str(state.path))


async def _processes(ports: dict[str, int]) -> AsyncIterator[Finding]:
    """Each process's own word on its health; a port taken by somebody else is told apart from one not in use."""
    from cli.http import HTTPError, make_client

    async with make_client(timeout_seconds=5) as client:
        for name, port in ports.items():
            address = f"http://{HOST}:{port}"
            if not _listens(port):
                yield Finding(name, NOTE, f"nothing listens on {address}", "Start it with `metis up`.")
                continue
            try:
                answer = await client.get(f"{address}/health/ready")
                text = answer.text.strip()[:200]
            except HTTPError as error:
                yield Finding(name, FAULT, f"{address} does not answer: {error}", f"See .metis/logs/{name}.log.")
                continue
            if answer.status_code == 200:
                yield Finding(name, OK, f"{address} {text}")
            elif answer.status_code == 503:
                yield Finding(name, FAULT, f"{address} is not ready: {text}", f"See .metis/logs/{name}.log.")
            else:
                yield Finding(name, NOTE, f"{address} belongs to another program", "`metis up` will take another port by itself.")


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((HOST, port)) == 0


async def _database(state: State) -> Finding:
    import asyncpg

    url = os.environ.get("METIS_DATABASE_URL")
    if url is None:
        try:
            installation = embedded_postgres.find_installation()
        except CliError as error:
            return Finding("PostgreSQL", FAULT, error.message, error.cure)
        server = embedded_postgres.find_running(state.postgres, password="")
        if server is None:
            return Finding("PostgreSQL", OK, f"{installation.major} in {installation.bin}; not running")
        url = embedded_postgres.find_running(state.postgres, password=state.secrets().postgres_password).url  # type: ignore[union-attr]
    try:
        connection = await asyncpg.connect(url, timeout=5)
    except (OSError, asyncpg.PostgresError, ValueError) as error:
        return Finding(
            "PostgreSQL", FAULT, f"{type(error).__name__}: {error}", "Check METIS_DATABASE_URL and that the server runs."
        )
    try:
        version = int(await connection.fetchval("SHOW server_version_num")) // 10000
    finally:
        await connection.close()
    if version < 15:
        return Finding("PostgreSQL", FAULT, f"version {version}", "PostgreSQL 15 to 18 is needed.")
    return Finding("PostgreSQL", OK, f"version {version}, answers")


async def _broker() -> Finding:
    url = os.environ.get("METIS_AMQP_URL")
    if url is None:
        return Finding("Broker", OK, "none set: the embedded transport (PostgreSQL) carries the events")
    from kernel.bus.setaside import count_set_aside

    parts = urlsplit(url)
    try:
        counts = await asyncio.wait_for(count_set_aside(url, SERVICES), 20)
    except Exception as error:
        # Whatever the client raises is the finding; a doctor does not fall ill.
        return Finding(
            "Broker", FAULT, f"{parts.hostname}:{parts.port or 5672}: {error!r}", "Check METIS_AMQP_URL and that RabbitMQ runs."
        )
    if put_aside := {name: count for name, count in counts.items() if count}:
        seen = ", ".join(f"{count} messages in {dead_queue_name(name)}" for name, count in put_aside.items())
        cure = "Its log says what ended the service each time; mend that, then `metis deadletters recover`."
        return Finding("Broker", FAULT, f"taken again and again, never answered: {seen}", cure)
    return Finding("Broker", OK, f"RabbitMQ at {parts.hostname}:{parts.port or 5672} answers")


async def _clock(state: State) -> Finding:
    """Tokens live for minutes and webhook signatures for five: the database's clock and ours must agree."""
    import asyncpg

    url = os.environ.get("METIS_DATABASE_URL")
    if url is None:
        year = time.gmtime().tm_year
        if year < 2026:
            return Finding("Clock", FAULT, f"it is the year {year} here", "Set the machine's clock (NTP).")
        return Finding("Clock", OK, time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()))
    try:
        connection = await asyncpg.connect(url, timeout=5)
        there = float(await connection.fetchval("SELECT extract(epoch FROM clock_timestamp())"))
        await connection.close()
    except (OSError, asyncpg.PostgresError, ValueError) as error:
        return Finding("Clock", NOTE, f"cannot be compared: {type(error).__name__}")
    apart = abs(time.time() - there)
    if apart > CLOCK_SECONDS:
        return Finding("Clock", FAULT, f"{apart:.0f} s apart from the database's", "Set both clocks by NTP.")
    return Finding("Clock", OK, f"{apart:.1f} s apart from the database's")


async def run(state: State) -> int:
    """Print the table; the number of faults."""
    table = Table(title="metis doctor", title_justify="left")
    for heading in ("", "What", "Seen", "What to do"):
        table.add_column(heading, overflow="fold")
    faults = 0
    async for finding in examine(state):
        faults += finding.level == FAULT
        table.add_row(
            MARKS[finding.level], finding.subject, escape(finding.seen), escape(finding.cure if finding.level != OK else "")
        )
    console.print(table)
    return faults
