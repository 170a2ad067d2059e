"""Who owns the database and switches its triggers off can change everything; nothing of it goes unnoticed."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from cli.ledger_verify.findings import Finding, Report
from kernel.database import Database
from kernel.events.matching import MissionAgreed
from kernel.ids import new_id
from services.credits.auditing.runs import run_audit
from services.credits.domain.seals import build_block
from services.credits.sealing.rows import WaitingRows
from services.credits.settings import Settings
from services.credits.store import seals
from tests.builders import closings as close
from tests.builders.bundles import verify_ledger
from tests.builders.credits import Scene
from tests.builders.seals import make_seal_key, make_sealer, play_everything
from tests.support.clients import PUBLIC_KEYS
from tests.support.culprit import Culprit

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
async def ledger(scene: Scene, database: Database, service_url: Callable[[str], str], culprit: Culprit) -> Scene:
    """Everything played, closed, audited and sealed, in several blocks."""
    running = await play_everything(scene)
    await close_it(scene, running)
    settings = Settings(database_url=SecretStr(service_url("credits")), internal_public_keys=PUBLIC_KEYS)
    async with scene.work() as work:
        await run_audit(work, settings=settings)
    for table in dict.fromkeys(table for table, _, _ in await culprit.columns() if table != "seal_block"):
        await culprit.fill(table)
    sealed = await make_sealer(block_rows=16).seal(database, scene.territory)
    assert sealed.blocks > 2
    return scene


async def close_it(scene: Scene, running: MissionAgreed) -> None:
    """A signed report, and an addendum about a mission that was called off later."""
    await close.run_all(scene)
    await close.sign(scene)
    await scene.handle(scene.cancelled(running))
    await close.add(scene)


Verify = Callable[..., Awaitable[Report]]


@pytest.fixture
def verify(ledger: Scene, database: Database, tmp_path: Path) -> Verify:
    async def run(head: str | None = None) -> Report:
        return await verify_ledger(database, ledger.territory, tmp_path, head=head)

    return run


class TestAltered:
    async def test_every_column_of_every_table(self, verify: Verify, culprit: Culprit, subtests: pytest.Subtests) -> None:
        assert (await verify()).findings == []
        for table, column, kind in await culprit.columns():
            with subtests.test(table=table, column=column):
                async with culprit.altering(table, column, kind):
                    first = (await verify()).first
                assert first is not None and (first.table or "seal_block") == table
                _names(first, column)
        assert (await verify()).findings == []

    async def test_a_signed_report_with_its_digest_and_signature(self, verify: Verify, culprit: Culprit) -> None:
        """One lie that agrees with itself: the digest is the text's, the signature is under it, the addendum names it."""
        await culprit.run(
            "UPDATE closing_report SET content = replace(content, '\"minutes\":', '\"minutes\":1'), digest = encode(sha256("
            "convert_to(replace(content, '\"minutes\":', '\"minutes\":1'), 'UTF8')), 'hex') WHERE territory = $1 AND number = 0"
        )
        lie = await culprit.value("SELECT digest FROM closing_report WHERE territory = $1 AND number = 0")
        await culprit.run("UPDATE closing_signature SET digest = $2 WHERE territory = $1 AND number = 0", lie)
        await culprit.run("UPDATE closing_report SET previous_digest = $2 WHERE territory = $1 AND number = 1", lie)
        found = {(one.kind, one.table): one.columns for one in (await verify()).findings}
        assert set(found) == {("altered", "closing_report"), ("altered", "closing_signature")}
        assert found["altered", "closing_signature"] == ("digest",)

    async def test_a_block_made_anew_without_the_key(self, verify: Verify, ledger: Scene, culprit: Culprit) -> None:
        await culprit.run("UPDATE transfer SET why = 'Autre motif' WHERE territory = $1 AND kind = 'pledge'")
        await culprit.run("DELETE FROM seal_block WHERE territory = $1 AND number > 1")
        async with ledger.work() as work:
            head = await seals.find_head(work)
            assert head is not None
            rows = WaitingRows(await seals.list_sealed_tables(work), after=head.last, below=await seals.get_horizon(work))
            other = make_seal_key()
            forged = build_block(
                await rows.take(work, 16),
                territory=ledger.territory,
                previous=head,
                public_key=head.public_key,
                sealed_at=work.now,
            )
            await seals.save_block(work, replace(forged, signature=other.sign(forged.hash)))
        finding = next(one for one in (await verify()).findings if one.kind.startswith("block"))
        assert (finding.kind, finding.block, "signature" in finding.columns) == ("block-forged", 2, True)


def _names(first: Finding, column: str) -> None:
    if column == "territory":  # gone from this one
        assert first.kind in {"missing", "state-missing", "block-missing", "block-altered"}
    elif (first.table, column) == (None, "number"):
        assert first.kind in {"block-missing", "block-altered"} and first.block == 2
    else:
        assert column in first.columns or first.kind in {"state-missing", "missing", "part"}


class TestDeleted:
    async def test_a_row_in_the_middle(self, verify: Verify, ledger: Scene, culprit: Culprit) -> None:
        key = await culprit.value("SELECT id::text FROM transfer WHERE territory = $1 AND kind = 'grant'")
        sequence = await sequence_of(ledger, f"transfer:{key}")
        await culprit.run("DELETE FROM transfer WHERE territory = $1 AND kind = 'grant'")
        first = (await verify()).first
        assert first is not None
        assert (first.kind, first.table, first.key, first.sequence) == ("missing", "transfer", key, sequence)

    async def test_a_block_in_the_middle(self, verify: Verify, culprit: Culprit) -> None:
        await culprit.run("DELETE FROM seal_block WHERE territory = $1 AND number = 2")
        first = (await verify()).first
        assert first is not None and (first.kind, first.block) == ("block-missing", 2)

    async def test_the_tail_is_seen_by_who_has_the_head(self, verify: Verify, ledger: Scene, culprit: Culprit) -> None:
        async with ledger.work() as work:
            head = await seals.find_head(work)
        assert head is not None
        refs = await culprit.value("SELECT refs FROM seal_block WHERE territory = $1 ORDER BY number DESC LIMIT 1")
        async with ledger.work() as work:
            keys = {table.name: table.key for table in await seals.list_sealed_tables(work)}
        for table, _, key in (ref.partition(":") for ref in refs):
            await culprit.run(f"DELETE FROM {table} WHERE territory = $1 AND {keys[table]} = $2", key)
        await culprit.run(
            "DELETE FROM seal_block WHERE territory = $1 AND number = (SELECT max(number) FROM seal_block WHERE territory = $1)"
        )
        told = await verify(head.hash.hex())
        assert "head-missing" in {finding.kind for finding in told.findings}
        assert "head-missing" not in {finding.kind for finding in (await verify()).findings}

    async def test_the_honest_head_is_found(self, verify: Verify, ledger: Scene) -> None:
        async with ledger.work() as work:
            blocks = await seals.list_heads(work, after=0, limit=10)
        for block in blocks:  # every head that was ever published
            assert (await verify(block.hash.hex())).findings == []


class TestSwapped:
    async def test_two_rows(self, verify: Verify, ledger: Scene, culprit: Culprit) -> None:
        """Each takes the other's place: all columns but the id."""
        rows = "SELECT id FROM transfer WHERE territory = $1 AND kind IN ('reserve', 'settle') ORDER BY id LIMIT 2"
        one, other = await culprit.connection.fetch(rows, ledger.territory)
        spare = new_id()
        for old, new in ((one["id"], spare), (other["id"], one["id"]), (spare, other["id"])):
            await culprit.connection.execute(
                "UPDATE transfer SET id = $2 WHERE territory = $1 AND id = $3", ledger.territory, new, old
            )
        first = (await verify()).first
        assert first is not None and first.table == "transfer" and first.key in {str(one["id"]), str(other["id"])}
        assert first.sequence == await sequence_of(ledger, f"transfer:{first.key}")

    async def test_two_transactions(self, verify: Verify, ledger: Scene, culprit: Culprit) -> None:
        rows = "SELECT id, xact FROM transfer WHERE territory = $1 AND kind IN ('pledge', 'grant') ORDER BY kind"
        one, other = await culprit.connection.fetch(rows, ledger.territory)
        for row, xact in ((one, other["xact"]), (other, one["xact"])):
            await culprit.connection.execute(
                "UPDATE transfer SET xact = $2 WHERE territory = $1 AND id = $3", ledger.territory, xact, row["id"]
            )
        first = (await verify()).first
        assert first is not None and (first.kind, first.table, first.columns) == ("altered", "transfer", ("xact",))


class TestAdded:
    async def test_a_row_in_the_past(self, verify: Verify, culprit: Culprit) -> None:
        key = new_id()
        await culprit.run(
            "INSERT INTO refusal SELECT (jsonb_populate_record(r, jsonb_build_object('id', $2::uuid))).* FROM refusal r"
            " WHERE territory = $1 LIMIT 1", key,
        )  # fmt: skip
        first = (await verify()).first
        assert first is not None and (first.kind, first.table, first.key) == ("added", "refusal", str(key))

    async def test_a_transfer_without_its_accounts(self, verify: Verify, culprit: Culprit) -> None:
        """As new as any other: nothing in the chain tells it, the books do."""
        await culprit.run(
            "INSERT INTO transfer SELECT (jsonb_populate_record(t, jsonb_build_object('id', $2::uuid, 'idempotency_key', 'k',"
            " 'from_version', 99, 'to_version', 99, 'xact', pg_current_xact_id()::text))).* FROM transfer t"
            " WHERE territory = $1 AND kind = 'grant'", new_id(),
        )  # fmt: skip
        assert {finding.kind for finding in (await verify()).findings} >= {"gap"}


async def sequence_of(scene: Scene, ref: str) -> int:
    async with scene.work() as work:
        for block in await seals.list_blocks(work, after=0, limit=100):
            if ref in block.refs:
                return block.first_sequence + block.refs.index(ref)
    raise AssertionError(f"{ref} is not sealed")
