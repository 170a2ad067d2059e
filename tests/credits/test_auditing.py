"""The auditor: finds nothing where nothing is wrong, and everything else."""

from collections.abc import Callable
from uuid import UUID

import asyncpg
import pytest
from pydantic import SecretStr

from kernel.clock import LOCAL_ZONE, utc_now
from kernel.database import Database
from kernel.events.credits import LedgerDifferenceFound
from services.credits.auditing.auditor import AUDITOR_ROLE, audit
from services.credits.auditing.job import audit_due, make_audit_job
from services.credits.auditing.runs import AUDITED_AT, DIFFERENCES, run_audit
from services.credits.jobs import LEDGER_MINUTES, make_jobs
from services.credits.sealing.job import SEALED_AT, Sealing
from services.credits.settings import Settings
from services.credits.store.registry import save_territory
from tests.builders import closings as close
from tests.builders.credits import Scene
from tests.builders.seals import make_sealer, play_everything
from tests.support.clients import PUBLIC_KEYS
from tests.support.culprit import Culprit

# The columns that follow from others. What stands for itself (a reason, a person) is the seals' to watch.
RECOMPUTED = [
    *(("transfer", name) for name in ("minutes", "from_balance_minutes", "from_version", "to_balance_minutes", "to_version")),
    *(("transfer", name) for name in ("campaign_id", "kind", "from_account_id", "to_account_id")),
    *(("account", name) for name in ("id", "campaign_id", "kind", "holder_id", "lot_id", "balance_minutes", "version", "moved_at")),
    *(("hold", name) for name in ("minutes", "served_minutes", "state", "ends_on", "contributor_id", "changed_at")),
    *(("hold_part", name) for name in ("number", "lot_id", "minutes", "served_minutes", "released_minutes")),
    *(("campaign", name) for name in ("ends_on", "compensation_permille", "state", "title")),
    ("panel", "subsidy_before_cents"), ("pledge", "stated_minutes"), ("lot", "minutes"), ("seal_block", "previous_hash"),
]  # fmt: skip


@pytest.fixture
def url(service_url: Callable[[str], str]) -> str:
    return service_url("credits")


class TestAudit:
    async def test_of_an_honest_ledger_finds_nothing(self, scene: Scene, url: str) -> None:
        await play_everything(scene)
        found = await audit(url, scene.territory)
        assert (found.differences, found.count) == ((), 0)
        assert found.transfers > 10 and found.accounts > 5

    async def test_finds_what_was_altered(
        self, scene: Scene, database: Database, url: str, culprit: Culprit, subtests: pytest.Subtests
    ) -> None:
        await play_everything(scene)
        await make_sealer(block_rows=16).seal(database, scene.territory)
        kinds = {(name, of): kind for name, of, kind in await culprit.columns()}
        for table, column in RECOMPUTED:
            with subtests.test(table=table, column=column):
                async with culprit.altering(table, column, kinds[table, column]):
                    found = await audit(url, scene.territory)
                assert table in {difference.table for difference in found.differences}
        assert (await audit(url, scene.territory)).count == 0

    async def test_finds_a_transfer_that_is_gone(self, scene: Scene, url: str, culprit: Culprit) -> None:
        await play_everything(scene)
        await culprit.connection.execute(
            "DELETE FROM transfer WHERE territory = $1 AND kind = 'deliver' AND from_version = 1", scene.territory
        )
        found = await audit(url, scene.territory)
        assert {difference.check for difference in found.differences} >= {"running balances", "accounts"}

    async def test_finds_a_view_that_shows_statements_something_else(self, scene: Scene, url: str, culprit: Culprit) -> None:
        await play_everything(scene)
        definition = await culprit.connection.fetchval("SELECT pg_get_viewdef('entry'::regclass)")
        lying = definition.replace(
            "transfer.minutes,", f"transfer.minutes + (transfer.territory = '{scene.territory}')::int AS minutes,", 2
        )
        try:
            await culprit.connection.execute(f"CREATE OR REPLACE VIEW entry WITH (security_invoker = true) AS {lying}")
            found = await audit(url, scene.territory)
        finally:
            await culprit.connection.execute(f"CREATE OR REPLACE VIEW entry WITH (security_invoker = true) AS {definition}")
        assert {difference.table for difference in found.differences} == {"statement"}

    @pytest.mark.parametrize(
        ("function", "said", "lie", "basis"),
        [
            (
                "ledger_account_at",
                "high_at < before THEN RETURN;",
                "high_at < before THEN balance_minutes := 7; RETURN;",
                "recorded",
            ),
            ("ledger_out_of_step", "sum(found.number * side.minutes)", "sum(found.number * side.minutes + 1)", "effective"),
        ],
    )
    async def test_finds_a_function_that_tells_statements_another_balance(
        self, scene: Scene, url: str, culprit: Culprit, function: str, said: str, lie: str, basis: str
    ) -> None:
        await play_everything(scene)
        # Half of it took effect in another month than it was recorded in.
        await culprit.run(
            "UPDATE transfer SET effective_at = recorded_at - interval '40 days' WHERE territory = $1 AND minutes > 60"
        )
        assert {one.table for one in (await audit(url, scene.territory)).differences} <= {"transfer"}
        definition = await culprit.connection.fetchval("SELECT pg_get_functiondef($1::text::regproc)", function)
        assert said in definition
        try:
            await culprit.connection.execute(definition.replace(said, lie))
            found = await audit(url, scene.territory)
        finally:
            await culprit.connection.execute(definition)
        told = [one for one in found.differences if one.table == "statement"]
        assert any(one.column.startswith(f"minutes {basis} before") for one in told)

    async def test_finds_a_frozen_statement_that_the_ledger_never_said(self, scene: Scene, url: str, culprit: Culprit) -> None:
        """Whoever rewrites what was frozen must rewrite every digest that names it, and still meets the transfers."""
        await close.play(scene)
        await close.run_all(scene)
        assert (await audit(url, scene.territory)).count == 0
        (row,) = await culprit.connection.fetch(
            "SELECT id, content FROM closing_statement WHERE territory = $1 AND part = 'contributor'", scene.territory
        )
        told = await self.rewrite(culprit, row["id"], row["content"].replace('"minutes":-120,', '"minutes":-60,'))
        assert {found.column.partition(" ")[0] for found in (await audit(url, scene.territory)).differences} == {
            "minutes",
            "digest",
        }
        assert told != row["content"]
        await self.rewrite(culprit, row["id"], row["content"].replace('"delivered_minutes":120', '"delivered_minutes":60'))
        (unnamed,) = (await audit(url, scene.territory)).differences
        assert (unnamed.table, unnamed.column) == ("closing_statement", "digest")

    @pytest.mark.parametrize("content", ["no JSON", '{"accounts":1}', '{"accounts":[{"version":"x"}]}', '{"a":"\\u0000"}', "[]"])
    async def test_goes_on_where_a_frozen_statement_can_no_longer_be_read(
        self, scene: Scene, url: str, culprit: Culprit, content: str
    ) -> None:
        await close.play(scene)
        await close.run_all(scene)
        (row,) = await culprit.connection.fetch(
            "SELECT id FROM closing_statement WHERE territory = $1 AND part = 'contributor'", scene.territory
        )
        await self.rewrite(culprit, row["id"], content)
        await culprit.run("UPDATE account SET version = version + 1 WHERE territory = $1 AND kind = 'pool'")
        found = await audit(url, scene.territory)
        frozen = {(one.table, one.key, one.column) for one in found.differences if one.check == "frozen statements"}
        assert frozen >= {("closing_statement", str(row["id"]), "digest")}
        unreadable = {("closing_statement", str(row["id"]), "content")} if content != "[]" else set()
        assert frozen - {("closing_statement", str(row["id"]), "digest")} == unreadable
        assert {one.table for one in found.differences} == {"closing_statement", "account"}

    async def test_goes_on_where_a_report_can_no_longer_be_read(self, scene: Scene, url: str, culprit: Culprit) -> None:
        await close.play(scene)
        report = await close.run_all(scene)
        await culprit.run(
            "UPDATE closing_report SET content = 'x', digest = encode(sha256(convert_to('x', 'UTF8')), 'hex') WHERE territory = $1"
        )
        found = (await audit(url, scene.territory)).differences
        assert ("closing_report", f"{report.campaign_id}/0", "content") in {(one.table, one.key, one.column) for one in found}

    async def test_goes_on_where_a_whole_check_fails(self, scene: Scene, url: str, culprit: Culprit) -> None:
        await play_everything(scene)
        await culprit.run("UPDATE fact SET facts = facts || '{\"minutes\": \"x\"}' WHERE territory = $1 AND table_name = 'hold'")
        await culprit.run("UPDATE account SET version = version + 1 WHERE territory = $1 AND kind = 'pool'")
        found = (await audit(url, scene.territory)).differences
        assert {(one.table, one.column) for one in found} >= {("audit", "check"), ("account", "version")}
        assert "history of hold" in {one.key for one in found}

    async def rewrite(self, culprit: Culprit, statement_id: UUID, content: str) -> str:
        await culprit.connection.execute(
            "UPDATE closing_statement SET content = $2, digest = encode(sha256(convert_to($2, 'UTF8')), 'hex') WHERE id = $1",
            statement_id, content,
        )  # fmt: skip
        return content

    async def test_can_only_read(self, scene: Scene, owner_url: Callable[[str], str]) -> None:
        connection = await asyncpg.connect(owner_url("credits"))
        await connection.execute(f'SET ROLE "{AUDITOR_ROLE}"')
        await connection.execute(f"SET metis.territory = '{scene.territory}'")
        try:
            for statement in ("DELETE FROM hold", "UPDATE campaign SET title = ''", "INSERT INTO territory VALUES ('00000', '')"):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.execute(statement)
            writers = (
                "SELECT bool_or(has_function_privilege(p.oid, 'EXECUTE')) FROM pg_proc p"
                " WHERE p.pronamespace = 'public'::regnamespace AND p.prosecdef AND p.prorettype <> 'trigger'::regtype"
                " AND p.proname <> 'ledger_out_of_step'"  # which only reads, and is what it compares
            )
            assert await connection.fetchval(writers) is False
        finally:
            await connection.close()


class TestRunAudit:
    @pytest.fixture
    def settings(self, url: str) -> Settings:
        return Settings(database_url=SecretStr(url), internal_public_keys=PUBLIC_KEYS, audit_hour=0)

    async def test_is_kept_and_told_when_something_differs(self, scene: Scene, settings: Settings, culprit: Culprit) -> None:
        await play_everything(scene)
        async with culprit.altering("account", "balance_minutes", "int8"), scene.work() as work:
            row = await run_audit(work, settings=settings)
        assert row.difference_count >= 1 and row.asked_by == scene.officer.identity
        (told,) = await scene.published(LedgerDifferenceFound)
        assert (told.audit_id, told.difference_count) == (row.id, row.difference_count) and "balance_minutes" in told.first

    async def test_stays(self, scene: Scene, settings: Settings) -> None:
        async with scene.work() as work:
            await run_audit(work, settings=settings)
        assert await scene.published(LedgerDifferenceFound) == []
        for statement in ("UPDATE audit_run SET difference_count = 0", "DELETE FROM audit_run"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await scene.fetch(statement)

    async def test_once_a_night(self, scene: Scene, database: Database, settings: Settings) -> None:
        async with scene.work() as work:
            await save_territory(work, code=scene.territory, name="Sceaux")
        assert scene.territory in await audit_due(database, settings=settings, now=utc_now())
        assert scene.territory not in await audit_due(database, settings=settings, now=utc_now())

    async def test_the_last_one_is_shown_to_who_watches(
        self, scene: Scene, database: Database, settings: Settings, culprit: Culprit
    ) -> None:
        """Whoever asked for it, in whichever process, and before the night's hour, too."""
        await play_everything(scene)
        async with scene.work() as work:
            await save_territory(work, code=scene.territory, name="Sceaux")
        async with culprit.altering("account", "balance_minutes", "int8"), scene.work() as work:
            row = await run_audit(work, settings=settings)
        before_three = utc_now().astimezone(LOCAL_ZONE).replace(hour=1)
        late = settings.model_copy(update={"audit_hour": 3})
        assert scene.territory not in await audit_due(database, settings=late, now=before_three)
        shown = [metric.labels(scene.territory)._value.get() for metric in (DIFFERENCES, AUDITED_AT)]
        assert shown == [row.difference_count, row.ended_at.timestamp()] and row.difference_count >= 1

    async def test_who_audits_no_more_shows_none(self, settings: Settings) -> None:
        """Nor totals, nor seals: the process that leads the job says how it stands."""
        sealing = Sealing(None, 1, failing={"92071": "away"})
        metrics = (DIFFERENCES, AUDITED_AT, LEDGER_MINUTES, SEALED_AT)
        for metric in metrics:
            metric.labels(*["92071"] * len(metric._labelnames)).set(1)
        for job in (make_audit_job(settings), *make_jobs(settings)):
            job.step_down()
        sealing.step_down()
        assert [sample for metric in metrics for one in metric.collect() for sample in one.samples] == []
        assert sealing.failing == {}
