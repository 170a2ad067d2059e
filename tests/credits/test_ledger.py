"""What PostgreSQL itself holds: double entry, bounds, keys, and rows that never change."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from kernel.database import Database
from kernel.ids import new_id
from kernel.work import Work
from services.credits.domain.errors import NotEnoughCredit, TransferKeyReused, UnknownFlow
from services.credits.domain.ledger import AccountKey, AccountKind, Leg, TransferKind, make_leg
from services.credits.store import ledger
from tests.builders.credits import Scene

LEDGER = ("account", "transfer", "entry")
# What a transfer written by hand has to say of its two accounts and its time, and the accounts after it.
NEXT = "s.version + 1, s.balance_minutes - 15, t.version + 1, t.balance_minutes + 15, '2150-01-01'"
AFTER = "balance_minutes + CASE kind WHEN 'pool' THEN 15 ELSE -15 END"


def make_pledge_leg(scene: Scene, *, minutes: int = 600, key: str | None = None, contributor_id: UUID | None = None) -> Leg:
    return make_leg(
        TransferKind.PLEDGE,
        campaign_id=scene.campaign_id,
        holder_id=contributor_id or new_id(),
        minutes=minutes,
        key=key or str(new_id()),
        why="Promesse",
    )


async def post(scene: Scene, *legs: Leg) -> list[ledger.Posted]:
    async with scene.work() as work:
        return await ledger.post(work, legs)


class TestPost:
    async def test_writes_two_entries_with_running_balances(self, scene: Scene) -> None:
        contributor = new_id()
        legs = [make_pledge_leg(scene, minutes=minutes, contributor_id=contributor) for minutes in (600, 300)]
        await post(scene, *legs)
        rows = await scene.fetch(
            "SELECT kind, account_version, minutes, balance_after_minutes FROM entry JOIN account ON account.id = account_id"
            " ORDER BY kind, account_version"
        )
        assert [tuple(row) for row in rows] == [
            ("pool", 1, 600, 600), ("pool", 2, 300, 900), ("promised", 1, -600, -600), ("promised", 2, -300, -900),
        ]  # fmt: skip

    async def test_refuses_to_break_a_bound_and_names_the_account(self, scene: Scene) -> None:
        contributor = await scene.pledge(600)
        back = make_leg(
            TransferKind.WITHDRAW, campaign_id=scene.campaign_id, holder_id=contributor, minutes=601, key="k", why="Retrait"
        )
        with pytest.raises(NotEnoughCredit) as refused:
            await post(scene, back)
        assert refused.value.members["account"] == f"pool/{scene.campaign_id}"
        assert refused.value.members["missing_minutes"] == 1
        assert await scene.balance(AccountKind.POOL) == 600

    async def test_refuses_to_deliver_more_than_was_promised(self, scene: Scene) -> None:
        contributor = await scene.pledge(60)
        leg = make_leg(
            TransferKind.DELIVER, campaign_id=scene.campaign_id, holder_id=contributor, minutes=75, key="k", why="Heures"
        )
        with pytest.raises(NotEnoughCredit) as refused:
            await post(scene, leg)
        assert refused.value.members["account"] == f"promised/{scene.campaign_id}/{contributor}"
        assert refused.value.members["missing_minutes"] == 15

    async def test_posts_all_or_none(self, scene: Scene) -> None:
        good = make_pledge_leg(scene)
        bad = make_leg(
            TransferKind.WITHDRAW,
            campaign_id=scene.campaign_id,
            holder_id=good.source.holder_id,
            minutes=601,
            key="k",
            why="Retrait",
        )
        with pytest.raises(NotEnoughCredit):
            await post(scene, good, bad)
        assert (await scene.books()).transfers == 0

    async def test_same_key_and_request_gives_the_transfer_of_before(self, scene: Scene) -> None:
        leg = make_pledge_leg(scene, key="key")
        (first,) = await post(scene, leg)
        (second,) = await post(scene, leg)
        assert (first.is_new, second.is_new, first.transfer_id) == (True, False, second.transfer_id)
        assert (await scene.books()).transfers == 1

    async def test_same_key_for_another_request_is_an_error(self, scene: Scene) -> None:
        contributor = new_id()
        await post(scene, make_pledge_leg(scene, key="key", contributor_id=contributor))
        with pytest.raises(TransferKeyReused):
            await post(scene, make_pledge_leg(scene, key="key", contributor_id=contributor, minutes=601))

    async def test_a_key_is_a_territorys_own(self, scene: Scene, database: Database) -> None:
        other = await Scene(database, "2A004").start()
        await post(scene, make_pledge_leg(scene, key=f"key:{scene.campaign_id}"))
        (posted,) = await post(other, make_pledge_leg(other, key=f"key:{scene.campaign_id}"))
        assert posted.is_new

    async def test_same_key_at_once_writes_one_transfer(self, scene: Scene) -> None:
        leg = make_pledge_leg(scene, key="key")
        posted = await asyncio.gather(*(post(scene, leg) for _ in range(10)))
        assert len({one[0].transfer_id for one in posted}) == 1
        assert sum(one[0].is_new for one in posted) == 1
        assert await scene.balance(AccountKind.POOL) == 600

    @pytest.mark.parametrize(
        ("kind", "source", "target"),
        [
            ("grant", "credit", "pool"),
            ("settle", "credit", "served"),
            ("expire", "pool", "lapsed"),
            ("reserve", "pool", "credit"),
        ],
    )
    async def test_refuses_a_flow_that_the_domain_does_not_know(self, scene: Scene, kind: str, source: str, target: str) -> None:
        await scene.pledge(600)
        association, _ = await scene.fund(credit=600)
        (lot,) = await scene.fetch("SELECT id FROM lot")
        keys = [
            AccountKey.of(AccountKind(one), campaign_id=scene.campaign_id, holder_id=association, lot_id=lot["id"])
            for one in (source, target)
        ]
        with pytest.raises(UnknownFlow):
            await post(scene, Leg(TransferKind(kind), keys[0], keys[1], 15, "key", "Pourquoi pas"))

    async def test_refuses_a_reversal_that_is_not_the_opposite(self, scene: Scene) -> None:
        await scene.fund(credit=600)
        (grant,) = await scene.fetch("SELECT id FROM transfer WHERE kind = 'grant'")
        contributor = await scene.pledge(60)
        pool, promised = (
            AccountKey.of(kind, campaign_id=scene.campaign_id, holder_id=contributor)
            for kind in (AccountKind.POOL, AccountKind.PROMISED)
        )
        with pytest.raises(UnknownFlow):
            await post(scene, Leg(TransferKind.REVERSE, pool, promised, 15, "key", "Pourquoi pas", reverses=grant["id"]))

    @pytest.mark.parametrize("link", ["mission_id", "grant_id", "pledge_id"])
    async def test_refuses_to_name_what_is_not_there(self, scene: Scene, link: str) -> None:
        named: dict[str, Any] = {link: new_id()}
        with pytest.raises(asyncpg.PostgresError, match="that is not there"):
            await post(scene, replace(make_pledge_leg(scene), **named))

    async def test_refuses_to_move_credit_between_associations(self, scene: Scene) -> None:
        association, _ = await scene.fund(credit=600)
        (lot,) = await scene.fetch("SELECT id FROM lot")
        source = AccountKey(scene.campaign_id, AccountKind.CREDIT, association, lot["id"])
        target = AccountKey(scene.campaign_id, AccountKind.HELD, new_id(), lot["id"])
        with pytest.raises(UnknownFlow):
            await post(scene, Leg(TransferKind.RESERVE, source, target, 15, "key", "Pour une autre"))

    @pytest.mark.parametrize("late", [timedelta(microseconds=-1), timedelta(0), timedelta(days=400)])
    async def test_refuses_to_reserve_from_a_lot_that_has_expired(self, scene: Scene, late: timedelta) -> None:
        """The service never asks for it; this is PostgreSQL's own word, to the microsecond. What was held goes back all the same."""
        association, contributor = await scene.fund(credit=600)
        agreed = await scene.agree(association, contributor, 60)
        (lot,) = await scene.fetch("SELECT id, expires_at FROM lot")
        scene.now = lot["expires_at"] + late
        leg = make_leg(
            TransferKind.RESERVE, campaign_id=scene.campaign_id, holder_id=association, lot_id=lot["id"], minutes=45, key="key",
            why="Trop tard", mission_id=agreed.mission_id,
        )  # fmt: skip
        if late < timedelta(0):
            assert (await post(scene, leg))[0].is_new
            return
        with pytest.raises(NotEnoughCredit) as refused:
            await post(scene, leg)
        assert refused.value.members["account"] == f"credit/{scene.campaign_id}/{association}"
        assert refused.value.members["missing_minutes"] == 45
        await scene.handle(scene.cancelled(agreed))
        assert await scene.balance(AccountKind.HELD, association) == 0

    async def test_refuses_another_territorys_campaign(self, scene: Scene, database: Database) -> None:
        other = Scene(database, "2A005")
        other.campaign_id = scene.campaign_id
        with pytest.raises(asyncpg.ForeignKeyViolationError):
            await post(other, make_pledge_leg(other))

    async def test_refuses_outside_a_territory(self, database: Database, scene: Scene) -> None:
        connection = await asyncpg.connect(database.url)
        try:
            with pytest.raises(asyncpg.PostgresError, match="no territory"):
                await connection.fetch("SELECT * FROM lock_accounts('{}', '{}', '{}')")
        finally:
            await connection.close()

    async def test_many_at_once_on_the_hot_pool_lose_nothing(self, scene: Scene) -> None:
        await asyncio.gather(*(post(scene, make_pledge_leg(scene, minutes=15)) for _ in range(60)))
        books = await scene.books()
        assert (books.by_kind["pool"], books.sum_minutes, books.transfers, books.entries) == (900, 0, 60, 120)
        assert books.accounts_out_of_step == 0


class TestTampering:
    """The runtime role reads the ledger and calls its functions; it changes no row of it."""

    @pytest.mark.parametrize("table", [table for table in LEDGER if table != "entry"])
    @pytest.mark.parametrize(
        "statement",
        [
            "INSERT INTO {table} SELECT * FROM {table} LIMIT 0",
            "UPDATE {table} SET territory = territory",
            "DELETE FROM {table}",
            "TRUNCATE {table} CASCADE",
            "ALTER TABLE {table} DISABLE TRIGGER ALL",
        ],
    )
    async def test_the_runtime_role_is_refused(self, scene: Scene, table: str, statement: str) -> None:
        await scene.fund(credit=600)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await scene.fetch(statement.format(table=table))

    async def test_an_entry_is_but_a_side_of_its_transfer(self, scene: Scene) -> None:
        await scene.fund(credit=600)
        for statement in ("UPDATE entry SET minutes = 0", "DELETE FROM entry"):
            with pytest.raises(asyncpg.PostgresError, match=r"cannot|permission denied"):
                await scene.fetch(statement)

    @pytest.mark.parametrize("table", ["grant_proposal", "grant_proposal_line", "signed_grant", "refusal", "lot"])
    @pytest.mark.parametrize("statement", ["UPDATE {table} SET territory = territory", "DELETE FROM {table}"])
    async def test_decisions_are_as_fixed(self, scene: Scene, table: str, statement: str) -> None:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await scene.fetch(statement.format(table=table))

    @pytest.mark.parametrize(
        "call",
        [
            "ledger_flow_is_allowed('pledge', 'promised', 'pool')",
            "ledger_check_reversals('{}')",
            "ledger_missing_minutes('pool', 0)",
        ],
    )
    async def test_inner_functions_are_not_for_the_runtime_role(self, scene: Scene, call: str) -> None:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await scene.fetch(f"SELECT {call}")

    async def test_another_territorys_rows_cannot_be_seen(self, scene: Scene, database: Database) -> None:
        await scene.fund(credit=600)
        other = Scene(database, "2A006")
        for table in LEDGER:
            assert await other.fetch(f"SELECT * FROM {table}") == []
        pool = [[scene.campaign_id], ["pool"], [scene.campaign_id]]
        assert await other.fetch("SELECT * FROM lock_accounts($1, $2, $3)", *pool) == []


@pytest.fixture
async def owner(owner_url: Callable[[str], str]) -> Any:
    connection = await asyncpg.connect(owner_url("credits"))
    yield connection
    await connection.close()


class TestOwner:
    """Not even the owner of the tables changes a row, or writes half a transfer, short of switching the triggers off."""

    @pytest.mark.parametrize("table", ["transfer", "lot"])
    @pytest.mark.parametrize(
        "statement", ["UPDATE {table} SET minutes = minutes", "DELETE FROM {table}", "TRUNCATE {table} CASCADE"]
    )
    async def test_changes_are_refused(self, scene: Scene, owner: Any, table: str, statement: str) -> None:
        await scene.fund(credit=600)
        with pytest.raises(asyncpg.PostgresError, match="the ledger only grows"):
            await owner.execute(statement.format(table=table))

    @pytest.mark.parametrize(
        ("change", "answer"),
        [
            ("balance_minutes = 0", "by its transfers alone"),
            ("balance_minutes = balance_minutes + 15, version = version + 1", "does not agree with its transfers"),
            ("holder_id = gen_random_uuid(), version = version + 1", "by its transfers alone"),
            ("id = gen_random_uuid(), version = version + 1", "by its transfers alone"),
        ],
    )
    async def test_an_account_moves_by_transfers_alone(self, scene: Scene, owner: Any, change: str, answer: str) -> None:
        contributor = await scene.pledge(600)
        with pytest.raises(asyncpg.PostgresError, match=answer):
            await self.run(owner, scene, f"UPDATE account SET {change} WHERE holder_id = '{contributor}'")

    async def test_an_account_stays_and_starts_at_zero(self, scene: Scene, owner: Any) -> None:
        await scene.pledge(600)
        with pytest.raises(asyncpg.PostgresError, match="the ledger only grows"):
            await owner.execute("DELETE FROM account")
        # Of this scene alone: the owner sees those of tests that took a campaign away, too.
        started = f"""INSERT INTO account (territory, id, campaign_id, kind, holder_id, balance_minutes)
            SELECT territory, gen_random_uuid(), campaign_id, kind, gen_random_uuid(), balance_minutes
            FROM account WHERE kind = 'promised' AND campaign_id = '{scene.campaign_id}'"""
        with pytest.raises(asyncpg.PostgresError, match="starts at zero"):
            await self.run(owner, scene, started)

    @pytest.mark.parametrize(
        ("numbers", "update", "answer"),
        [
            # A transfer that moves no account.
            (NEXT, "", "moves no account"),
            # One that moves only one of its two.
            (
                NEXT,
                "SET version = version + 1, moved_at = '2150-01-01', balance_minutes = balance_minutes - 15 WHERE kind = 'promised'",
                "moves no account",
            ),
            # A version left out.
            (
                NEXT.replace("version + 1", "version + 2"),
                f"SET version = version + 2, moved_at = '2150-01-01', balance_minutes = {AFTER}",
                "does not agree",
            ),
            # A wrong running balance.
            (
                NEXT.replace("minutes - 15", "minutes - 30"),
                f"SET version = version + 1, moved_at = '2150-01-01', balance_minutes = {AFTER.replace('-15', '-30')}",
                "does not agree",
            ),
            # A time before the account's last, and another one than the account is left with.
            (
                NEXT.replace("2150", "2020"),
                f"SET version = version + 1, moved_at = '2020-01-01', balance_minutes = {AFTER}",
                "does not agree",
            ),
            (NEXT, f"SET version = version + 1, moved_at = '2149-01-01', balance_minutes = {AFTER}", "does not agree"),
            (NEXT, f"SET version = version + 1, balance_minutes = {AFTER}", "does not agree"),
        ],
    )
    async def test_transfers_and_accounts_change_together(
        self, scene: Scene, owner: Any, numbers: str, update: str, answer: str
    ) -> None:
        await scene.pledge(600)
        with pytest.raises(asyncpg.PostgresError, match=answer):
            await self.run(owner, scene, self.move(scene, numbers, update))

    async def test_what_agrees_could_be_written(self, scene: Scene, owner: Any) -> None:
        """The ways above fail for what they leave out, and for nothing else."""
        contributor = await scene.pledge(600)
        change = f"SET version = version + 1, moved_at = '2150-01-01', balance_minutes = {AFTER}"
        await self.run(owner, scene, self.move(scene, NEXT, change))
        assert await scene.balance(AccountKind.PROMISED, contributor) == -615

    def move(self, scene: Scene, numbers: str, update: str) -> str:
        insert = f"""
            INSERT INTO transfer (territory, id, campaign_id, kind, from_account_id, to_account_id, minutes, who, why, effective_at,
              idempotency_key, from_version, from_balance_minutes, to_version, to_balance_minutes, recorded_at)
            SELECT s.territory, gen_random_uuid(), s.campaign_id, 'pledge', s.id, t.id, 15, 'x', 'x', now(), 'half', {numbers}
            FROM account s, account t WHERE s.kind = 'promised' AND t.kind = 'pool' AND s.territory = '{scene.territory}'
              AND t.territory = s.territory AND s.campaign_id = '{scene.campaign_id}' AND t.campaign_id = s.campaign_id"""
        where = f"territory = '{scene.territory}' AND campaign_id = '{scene.campaign_id}'"
        where = f"{update} {'AND' if 'WHERE' in update else 'WHERE'} {where}"
        return f"WITH written AS ({insert}) UPDATE account {where}" if update else insert

    @pytest.mark.parametrize(
        ("statement", "answer"),
        [
            ("UPDATE pledge SET campaign_id = gen_random_uuid()", "by its key"),
            ("UPDATE hold_part SET mission_id = gen_random_uuid()", "by its key"),
            ("UPDATE campaign SET id = gen_random_uuid()", "by its key"),
            ("UPDATE hold SET mission_id = gen_random_uuid()", "by its key"),
            ("DELETE FROM campaign", "the ledger only grows"),
            ("DELETE FROM hold", "the ledger only grows"),
            (
                "INSERT INTO pledge (territory, id, campaign_id, ref, contributor_id, stated_minutes, note)"
                " SELECT territory, gen_random_uuid(), gen_random_uuid(), 'x', contributor_id, 15, '' FROM pledge LIMIT 1",
                "names a campaign that is not there",
            ),
            (
                "INSERT INTO hold_part (territory, mission_id, number, lot_id, minutes)"
                " SELECT territory, gen_random_uuid(), 1, lot_id, 15 FROM hold_part LIMIT 1",
                "names a mission that is not there",
            ),
        ],
    )
    async def test_what_is_named_is_there_and_stays(self, scene: Scene, owner: Any, statement: str, answer: str) -> None:
        association, contributor = await scene.fund(credit=600)
        await scene.agree(association, contributor, 60)
        with pytest.raises(asyncpg.PostgresError, match=answer):
            await self.run(owner, scene, statement)

    async def run(self, owner: Any, scene: Scene, statement: str) -> None:
        try:
            await owner.execute(f"BEGIN; SET LOCAL metis.territory = '{scene.territory}'; {statement}; COMMIT")
        finally:
            await owner.execute("ROLLBACK")

    @pytest.mark.parametrize(
        ("kind", "balance"),
        [("promised", 15), ("delivered", 15), *((kind, -15) for kind in ("pool", "served", "lapsed"))],
    )
    async def test_a_balance_past_its_bound_is_refused(self, scene: Scene, owner: Any, kind: str, balance: int) -> None:
        holder = scene.campaign_id if kind in {"pool", "lapsed"} else new_id()
        with pytest.raises(asyncpg.CheckViolationError, match="ck_account_bound"):
            await owner.execute(
                "INSERT INTO account (territory, id, campaign_id, kind, holder_id, balance_minutes) VALUES ($1, $2, $3, $4, $5, $6)",
                scene.territory, new_id(), scene.campaign_id, kind, holder, balance,
            )  # fmt: skip


class TestLockBalances:
    async def test_holds_others_back_until_the_end(self, scene: Scene) -> None:
        association, contributor = await scene.fund(credit=600)
        (lot,) = await scene.fetch("SELECT id FROM lot")
        credit = AccountKey(scene.campaign_id, AccountKind.CREDIT, association, lot["id"])

        async def lock(work: Work) -> int:
            return (await ledger.lock_balances(work, [credit]))[credit]

        async with scene.work() as work:
            assert await lock(work) == 600
            waiting = asyncio.create_task(scene.agree(association, contributor, 60))
            # A transaction sees one state of pg_stat_activity: a new one for every look.
            while not await scene.fetch(
                "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' LIMIT 1"
            ):
                await asyncio.sleep(0)
            assert await lock(work) == 600
        await waiting
        assert await scene.balance(AccountKind.CREDIT, association) == 540
