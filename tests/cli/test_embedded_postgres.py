"""A real PostgreSQL in a directory: created, started, taken over, stopped, and found again on its port."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from cli import embedded_postgres
from cli.console import CliError
from cli.embedded_postgres import Server

PASSWORD = 'pass"word with spaces'


@pytest.fixture
def folder() -> Iterator[Path]:
    # Closed to others, as mktemp -d and a home directory are; pytest's own paths are too long for sockets elsewhere.
    with tempfile.TemporaryDirectory(prefix="metis-pg-") as path:
        yield Path(path)


def start(folder: Path) -> Server:
    return embedded_postgres.start(folder / "data", password=PASSWORD, log=folder / "log", durable=False)


async def ask(server: Server, query: str) -> object:
    host = f"postgresql://{embedded_postgres.OWNER}@127.0.0.1:{server.port}/postgres"
    connection = await asyncpg.connect(host, password=PASSWORD)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


class TestStart:
    async def test_is_created_kept_on_its_port_and_survives_a_stale_pid_file(self, folder: Path) -> None:
        first = start(folder)
        try:
            assert first.version >= 15
            assert await ask(first, "SELECT lower('ÉCOLE')") == "école"
            assert await ask(first, "SHOW listen_addresses") == "127.0.0.1"
            taken_over = start(folder)
            assert taken_over == first
        finally:
            embedded_postgres.stop(first)
        # The machine lost its power; another process has the number now.
        (folder / "data" / "postmaster.pid").write_text(
            f"{os.getpid()}\n{folder}/data\n1\n{first.port}\n\n127.0.0.1\n1 1\nready\n"
        )
        again = start(folder)
        try:
            assert again.port == first.port
            assert again.pid != first.pid
        finally:
            embedded_postgres.stop(again)
        assert embedded_postgres.find_running(folder / "data", password=PASSWORD) is None

    def test_says_which_version_the_data_are_of(self, folder: Path) -> None:
        (folder / "data").mkdir()
        (folder / "data" / "PG_VERSION").write_text("9\n")
        with pytest.raises(CliError, match="PostgreSQL 9") as refusal:
            start(folder)
        assert refusal.value.cure


class TestFindInstallation:
    def test_says_the_cure_where_there_is_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(embedded_postgres, "_candidates", lambda: iter(()))
        with pytest.raises(CliError) as refusal:
            embedded_postgres.find_installation()
        assert "METIS_DATABASE_URL" in refusal.value.cure
