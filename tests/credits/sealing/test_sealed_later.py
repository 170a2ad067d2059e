"""Migration 0014 seals what had stood unsealed, in a chain that goes on."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from kernel.database import Database
from kernel.migrate import runtime_role, url_for
from tests.builders import closings as close
from tests.builders.bundles import verify_ledger
from tests.builders.credits import Scene
from tests.builders.seals import make_seal_key, make_sealer
from tests.credits.test_upgrade import execute, migrate

pytestmark = pytest.mark.timeout(90)
SEALED = "SELECT DISTINCT split_part(ref, ':', 1) AS name FROM seal_block, unnest(refs) AS ref WHERE number > $1"


@pytest.fixture
async def old_url(postgres_url: str, service_url: Callable[[str], str]) -> AsyncIterator[tuple[str, str]]:
    """A database as it was before: its owner's URL, and the runtime role's."""
    service_url("credits")  # brings the runtime role
    name, role = "metis_test_unsealed", runtime_role("credits")
    await execute(postgres_url, f"CREATE DATABASE {name}")
    owner_url = url_for(postgres_url, database=name)
    await execute(
        owner_url,
        f'ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO "{role}"',
        f'ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO "{role}"',
        f'GRANT USAGE ON SCHEMA public TO "{role}"',
    )
    await migrate(owner_url, "0014-1")
    yield owner_url, url_for(service_url("credits"), database=name, role=role, password="only-for-tests")
    await execute(postgres_url, f"DROP DATABASE {name} WITH (FORCE)")


class TestSealedLater:
    async def test_a_closing_of_before_is_sealed_by_the_next_block(self, old_url: tuple[str, str], tmp_path: Path) -> None:
        owner_url, runtime_url = old_url
        sealer = make_sealer(make_seal_key())
        database = Database(runtime_url, service="credits", pool_size=3)
        scene = await Scene(database, "92071").start()
        await close.play(scene)
        await close.run_all(scene)
        await close.sign(scene)
        before = await sealer.seal(database, "92071")
        await database.close()
        assert before.head is not None
        await migrate(owner_url, "0014")
        database = Database(runtime_url, service="credits", pool_size=3)
        scene.database = database
        try:
            await sealer.seal(database, "92071")
            sealed = {row["name"] for row in await scene.fetch(SEALED, before.head.number)}
            assert sealed == {"closing", "closing_step", "closing_report", "closing_signature", "closing_statement"}
            assert (await verify_ledger(database, "92071", tmp_path, head=before.head.hash.hex())).findings == []
            await execute(
                owner_url,
                "SET session_replication_role = replica",
                "UPDATE closing_signature SET signed_by = 'another'",
            )
            first = (await verify_ledger(database, "92071", tmp_path)).first
            assert first is not None and (first.kind, first.table, first.columns) == (
                "altered",
                "closing_signature",
                ("signed_by",),
            )
        finally:
            await database.close()
