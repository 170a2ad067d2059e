"""What a connection planned while the ledger was empty must not read the whole of it later."""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import asyncpg
import pytest

from kernel.auth import Caller
from kernel.clock import utc_now
from kernel.database import Database
from kernel.ids import new_id
from kernel.migrate import create_database, database_name, upgrade, url_for
from kernel.work import Work, open_work
from services.credits.domain.campaigns import Outcome, Promise
from services.credits.domain.statements import AsOf, Basis
from services.credits.store.statements import list_balances_at
from services.credits.use_cases.combiner import Combiner
from services.credits.use_cases.pledges import decide_promises
from tests.builders.credits import Scene

pytestmark = pytest.mark.timeout(120)
MIGRATIONS = Path(__file__).parents[2] / "services" / "credits" / "migrations"
PREFIX = f"metis_test_young_{os.getpid()}"
PROMISES = 1500
READ = "SELECT relname, seq_tup_read + coalesce(idx_tup_fetch, 0) AS rows FROM pg_stat_xact_user_tables WHERE relname = ANY($1)"


def young_owner_url(postgres_url: str) -> str:
    return url_for(postgres_url, database=database_name("credits", prefix=PREFIX))


@pytest.fixture
async def young(postgres_url: str, service_url: Callable[[str], str], territory: str) -> AsyncIterator[Scene]:
    """The first town of an instance, with one connection, which has planned everything before there was anything."""
    service_url("credits")  # brings the runtime role, and its password
    url = await create_database(postgres_url, service="credits", password="only-for-tests", prefix=PREFIX)
    name, owner_url = database_name("credits", prefix=PREFIX), young_owner_url(postgres_url)
    await asyncio.to_thread(upgrade, owner_url, MIGRATIONS)
    owner = await asyncpg.connect(owner_url)
    for table in ("account", "outbox", "pledge", "transfer"):  # statistics that came by themselves would plan anew
        await owner.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
    await owner.close()
    database = Database(url, service="credits", pool_size=1)
    yield await Scene(database, territory).start()
    await database.close()
    admin = await asyncpg.connect(postgres_url)
    await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    await admin.close()


def promise(scene: Scene) -> Promise:
    return Promise(scene.campaign_id, str(new_id()), new_id(), 15)


async def count_read(work: Work) -> Counter[str]:
    """Rows that this connection has read of each table, since it last reported to the server's statistics."""
    rows = await work.driver.fetch(READ, ["account", "campaign", "fact", "outbox", "pledge", "transfer"])
    return Counter({row["relname"]: row["rows"] for row in rows})


async def pledge_many(scene: Scene, count: int) -> None:
    combiner = Combiner(scene.database, decide_promises)
    await asyncio.gather(*(combiner.submit(scene.officer, promise(scene)) for _ in range(count)))


class TestPlansOfTheFirstHour:
    async def test_read_no_more_of_a_ledger_that_has_grown(self, young: Scene) -> None:
        for count in (2, PROMISES):
            await pledge_many(young, count)
        async with open_work(young.database, Caller.system(young.territory), now=utc_now()) as work:
            before = await count_read(work)
            answers = await decide_promises(work, [(work, promise(young)) for _ in range(2)])
            read = await count_read(work) - before
        assert [answer[1] for answer in answers if isinstance(answer, tuple)] == [Outcome.CREATED] * 2
        assert read.total() < 100, f"{read} rows read for two promises among {PROMISES}"


class TestPlansForATownThatStatisticsHaveNotSeen:
    async def test_read_no_more_for_a_balance_of_before(self, young: Scene, postgres_url: str) -> None:
        neighbour = await Scene(young.database, "2A004").start()
        await pledge_many(neighbour, 300)
        owner = await asyncpg.connect(young_owner_url(postgres_url))
        await owner.execute("ANALYZE")
        await owner.close()
        await pledge_many(young, PROMISES)
        pool = (await young.fetch("SELECT id FROM account WHERE kind = 'pool'"))[0]["id"]
        half = (await young.fetch("SELECT recorded_at FROM transfer ORDER BY id OFFSET $1 LIMIT 1", PROMISES // 2))[0][
            "recorded_at"
        ]
        async with open_work(young.database, Caller.system(young.territory), now=utc_now()) as work:
            before = await count_read(work)
            balances = await list_balances_at(work, young.campaign_id, [pool], AsOf(Basis.RECORDED, half))
            read = await count_read(work) - before
        assert 0 < balances[pool][0] < PROMISES
        assert read.total() < 100, f"{read} rows read for one balance among {PROMISES}"
