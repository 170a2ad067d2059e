"""Migrations carry the books of before over: same transfers, same balances and versions, lots that add up, times that rise on."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from alembic import command
from alembic.config import Config

from kernel.clock import LOCAL_ZONE
from kernel.database import Database
from kernel.ids import new_id
from kernel.migrate import runtime_role, url_for
from services.credits.domain.ledger import AccountKind
from services.credits.domain.lots import end_of_day
from services.credits.use_cases.missions import Release, Reservation, Settlement
from tests.builders.credits import Scene
from tests.builders.lots import MISSION_END, carry_in, decide_one, reverse, sweep
from tests.builders.old_ledger import OldTown
from tests.support.books import check_books

pytestmark = pytest.mark.timeout(90)
MIGRATIONS = Path(__file__).parent.parent.parent / "services" / "credits" / "migrations"
TERRITORIES = ("92071", "2A004")
ACCOUNTS = "SELECT campaign_id, kind, holder_id, id, version, balance_minutes FROM account ORDER BY id"
ENTRIES = "SELECT account_id, account_version, transfer_id, minutes, balance_after_minutes FROM entry ORDER BY 1, 2"
TRANSFERS = """
SELECT id, campaign_id, kind, from_account_id, to_account_id, minutes, who, why, effective_at, recorded_at, idempotency_key,
  mission_id, grant_id, pledge_id, reverses FROM transfer ORDER BY id
"""


async def migrate(owner_url: str, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["url"] = owner_url
    await asyncio.to_thread(command.upgrade, config, revision)


async def execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


@dataclass
class Old:
    """A migrated database, what its rows were before, and the towns that filled it."""

    database: Database
    towns: dict[str, OldTown]
    before: dict[str, dict[str, list[Any]]]

    def scene(self, territory: str) -> Scene:
        scene = Scene(self.database, territory)
        scene.campaign_id = self.towns[territory].open
        return scene


async def read(connection: Any) -> dict[str, list[Any]]:
    queries = {"accounts": ACCOUNTS, "entries": ENTRIES, "transfers": TRANSFERS}
    return {name: [tuple(row) for row in await connection.fetch(query)] for name, query in queries.items()}


@pytest.fixture(params=["superuser", "plain owner"])
async def old(request: pytest.FixtureRequest, postgres_url: str, service_url: Callable[[str], str]) -> AsyncIterator[Old]:
    """Row-level security is forced: an owner that may not bypass it sees no row unless the migration provides for it."""
    service_url("credits")  # brings the runtime role
    name = f"metis_test_old_{id(request)}"
    role = runtime_role("credits")
    await execute(
        postgres_url, f"CREATE ROLE {name} LOGIN PASSWORD 'only-for-tests' NOSUPERUSER NOBYPASSRLS", f"CREATE DATABASE {name}"
    )
    owner_url = url_for(postgres_url, database=name)
    if request.param == "plain owner":
        await execute(postgres_url, f"ALTER DATABASE {name} OWNER TO {name}")
        owner_url = url_for(postgres_url, database=name, role=name, password="only-for-tests")
    await execute(
        owner_url,
        f'ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO "{role}"',
        f'ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO "{role}"',
        f'GRANT USAGE ON SCHEMA public TO "{role}"',
    )
    await migrate(owner_url, "0003")
    runtime_url = url_for(service_url("credits"), database=name, role=role, password="only-for-tests")
    towns = await fill(runtime_url)
    # The server's clock was an hour ahead when the first promises came, then it was set back.
    await execute(
        url_for(postgres_url, database=name),
        "SET session_replication_role = replica",
        "UPDATE transfer SET recorded_at = recorded_at + interval '1 hour' WHERE kind = 'pledge'",
    )
    before = await read_all(runtime_url)
    await migrate(owner_url, "head")
    database = Database(runtime_url, service="credits", pool_size=3)
    yield Old(database, towns, before)
    await database.close()
    await execute(postgres_url, f"DROP DATABASE {name} WITH (FORCE)", f"DROP ROLE {name}")


async def fill(url: str) -> dict[str, OldTown]:
    connection = await asyncpg.connect(url)
    towns = {}
    for territory in TERRITORIES:
        async with connection.transaction():
            await connection.execute("SELECT set_config('metis.territory', $1, true)", territory)
            towns[territory] = await OldTown(connection, territory).fill()
    await connection.close()
    return towns


async def read_all(url: str) -> dict[str, dict[str, list[Any]]]:
    connection = await asyncpg.connect(url)
    found = {}
    for territory in TERRITORIES:
        async with connection.transaction():
            await connection.execute("SELECT set_config('metis.territory', $1, true)", territory)
            found[territory] = await read(connection)
    await connection.close()
    return found


class TestUpgrade:
    async def test_carries_the_books_over(self, old: Old) -> None:
        for territory, town in old.towns.items():
            scene = old.scene(territory)
            async with scene.work() as work:
                assert await read(work.driver) == old.before[territory]
            rows = await check_books(scene.fetch)
            lots = {(lot["campaign_id"], lot["association_id"]): lot for lot in rows.lots}
            assert {key: lot["minutes"] for key, lot in lots.items()} == {
                (town.open, town.first): 600,
                (town.open, town.second): 300,
                (town.lapsed, town.first): 100,
                (town.marked, town.first): 50,
            }
            assert {lot["expires_at"] for lot in rows.lots} == {end_of_day(date(2026, 12, 31), zone=LOCAL_ZONE)}
            parts = {
                part["mission_id"]: (part["minutes"], part["served_minutes"], part["released_minutes"]) for part in rows.parts
            }
            states = {name: parts.get(mission) for name, mission in town.missions.items()}
            assert states == {
                "held": (60, 0, 0), "settled": (90, 60, 30), "released": (45, 0, 45), "reversed": (30, 0, 30),
                "outlives": (15, 0, 0), "refused": None, "cancelled": None,
            }  # fmt: skip
            (notice,) = await scene.fetch("SELECT expires_on, days_before FROM expiry_notice")
            assert tuple(notice) == (date(2026, 12, 31), 30)

    async def test_what_was_said_before_is_known(self, old: Old) -> None:
        scene, town = old.scene(TERRITORIES[0]), old.towns[TERRITORIES[0]]
        for hold in await scene.fetch("SELECT * FROM hold WHERE state <> 'held' ORDER BY mission_id"):
            mission, minutes = hold["mission_id"], hold["minutes"] or 60
            for again in (
                Reservation(mission, town.open, town.first, town.contributor, minutes, MISSION_END),
                Release(mission, town.open, town.first, "Annulée"),
            ):
                assert not (await decide_one(scene, again)).is_new
        settled = await decide_one(scene, Settlement(town.missions["settled"], town.open, 60))
        assert (settled.refusal, settled.is_new) == (None, False)
        async with scene.work() as work:
            assert await read(work.driver) == old.before[TERRITORIES[0]]

    async def test_the_ledger_goes_on(self, old: Old) -> None:
        territory = TERRITORIES[1]
        scene, town = old.scene(territory), old.towns[territory]
        new = Reservation(new_id(), town.open, town.first, town.contributor, 30, MISSION_END)
        assert (await decide_one(scene, new)).refusal is None
        part = Settlement(town.missions["held"], town.open, 15, is_final=False, part="a")
        assert (await decide_one(scene, part)).refusal is None
        assert (await decide_one(scene, Settlement(town.missions["held"], town.open, 15))).refusal is None
        assert (await decide_one(scene, Release(new.mission_id, town.open, town.first, "Annulée"))).refusal is None
        assert (await reverse(scene, town.transfers["settle-settled"], 20)).minutes == 20
        assert (await reverse(scene, town.transfers["deliver-settled"])).minutes == 40
        assert await scene.balance(AccountKind.SERVED, town.first) == 30
        await scene.pledge(600)
        await scene.sign()  # what was undone of the second association's grant is granted anew
        await check_books(scene.fetch)

    async def test_times_rise_from_the_latest_of_before(self, old: Old) -> None:
        """What was recorded stays as it was, falls included; what follows comes after all of it."""
        scene, town = old.scene(TERRITORIES[1]), old.towns[TERRITORIES[1]]
        moved = {row["id"]: row["moved_at"] for row in await scene.fetch("SELECT id, moved_at FROM account")}
        latest = await scene.fetch("SELECT account_id, max(recorded_at) AS at FROM entry GROUP BY account_id")
        assert {account: at for account, at in moved.items() if at} == {row["account_id"]: row["at"] for row in latest}
        versions = {row["id"]: row["version"] for row in await scene.fetch("SELECT id, version FROM account")}
        await decide_one(scene, Settlement(town.missions["held"], town.open, 15))
        await scene.pledge(600, contributor_id=town.contributor)
        new = [
            row
            for row in await scene.fetch("SELECT * FROM entry ORDER BY account_id, account_version")
            if row["account_version"] > versions.get(row["account_id"], 0)
        ]
        assert {row["account_id"] for row in new} & {account for account, at in moved.items() if at}
        last = dict(moved)
        for row in new:
            before = last.get(row["account_id"])
            assert before is None or row["recorded_at"] > before
            last[row["account_id"]] = row["recorded_at"]

    async def test_the_next_sweep_books_what_was_only_marked(self, old: Old) -> None:
        scene, town = old.scene(TERRITORIES[0]), old.towns[TERRITORIES[0]]
        assert [await sweep(scene), await sweep(scene)] == [50, 0]
        assert await carry_in(scene, into=town.open, origin=town.marked) == 50
        await check_books(scene.fetch)

    async def test_a_hold_of_before_that_outlives_its_lot_goes_by_the_rule(self, old: Old) -> None:
        scene, town = old.scene(TERRITORIES[0]), old.towns[TERRITORIES[0]]
        scene.now += timedelta(days=1)
        await decide_one(scene, Release(town.missions["outlives"], town.lapsed, town.first, "Annulée"))
        scene.campaign_id = town.lapsed
        assert await scene.balance(AccountKind.LAPSED) == 100
        await check_books(scene.fetch)
