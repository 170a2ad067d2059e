"""Many callers at two replicas at once: one order of the books explains every answer, and nothing is lost or doubled."""

import asyncio
from collections.abc import Callable
from datetime import date
from random import Random
from typing import Any
from uuid import UUID

import pytest

from kernel.database import Database
from services.credits.use_cases.combiner import Combiner
from services.credits.use_cases.missions import Reservation, decide_missions
from tests.builders.credits import Scene
from tests.builders.histories import History, check_linearizable, check_nothing_lost_or_doubled, play_caller
from tests.builders.lots import decide, reservation
from tests.builders.promise_histories import (
    PromiseHistory,
    Replica,
    check_account,
    check_pool_refusals,
    check_promise_refusals,
    play_promises,
)
from tests.support.books import check_books

pytestmark = pytest.mark.timeout(120)
CALLERS, ROUNDS = 32, 5
# The combiner reads the real clock.
FAR = date(2126, 12, 31)


class TestCredit:
    @pytest.mark.parametrize("seed", [1, 2, 3])
    async def test_are_linearizable(self, scene: Scene, make_database: Callable[..., Database], seed: int) -> None:
        random = Random(seed)
        await scene.start(ends_on=FAR)
        contributors = [await scene.pledge(100_000) for _ in range(3)]
        associations = [await scene.admit(entitled_minutes=600) for _ in range(2)]
        await scene.sign()
        replicas = [Combiner(make_database("credits", pool_size=2), decide_missions) for _ in range(2)]
        history = History()

        def make_for(own: Random) -> Callable[[], Reservation]:
            return lambda: reservation(scene, own.choice(associations), own.choice(contributors), own.randint(1, 8) * 15)

        callers = []
        for _ in range(CALLERS):
            own = Random(random.random())
            make = make_for(own)
            callers.append(play_caller(history, random=own, replicas=replicas, caller=scene.officer, make=make, rounds=ROUNDS))
        await asyncio.gather(*callers)
        rows = await check_books(scene.fetch, [scene.campaign_id])
        refused = [call for call in history.calls if call.answer.refusal]
        assert refused, "nobody was refused: this history shows nothing"
        assert any(not call.answer.is_new for call in history.calls)
        check_linearizable(history.calls, {one: await self.list_credit(scene, one) for one in associations})
        check_nothing_lost_or_doubled(history.calls, rows.transfers)

    async def list_credit(self, scene: Scene, association_id: UUID) -> list[Any]:
        return await scene.fetch(
            """
            SELECT account_version AS version, balance_after_minutes AS balance, idempotency_key AS key
            FROM entry JOIN account ON account.id = account_id JOIN transfer ON transfer.id = transfer_id
            WHERE account.kind = 'credit' AND holder_id = $1 ORDER BY account_version
            """,
            association_id,
        )


class TestPromisesAndPool:
    @pytest.mark.parametrize("seed", [1, 2, 3])
    async def test_are_linearizable(self, scene: Scene, make_database: Callable[..., Database], seed: int) -> None:
        random = Random(seed)
        await scene.start(ends_on=FAR)
        contributors = [await scene.pledge(900) for _ in range(2)]
        association = await scene.admit(entitled_minutes=600)
        await scene.sign()
        missions = [reservation(scene, association, contributors[number % 2], 60) for number in range(8)]
        await decide(scene, *missions)
        pledges = {
            row["id"]: row["contributor_id"]
            for row in await scene.fetch("SELECT id, contributor_id FROM pledge WHERE campaign_id = $1", scene.campaign_id)
        }
        replicas = [Replica(scene, make_database("credits", pool_size=4)) for _ in range(2)]
        history = PromiseHistory()
        callers = [
            play_promises(
                history, random=Random(random.random()), replicas=replicas, pledges=pledges,
                association_id=association, missions=missions, rounds=ROUNDS,
            )
            for _ in range(CALLERS)
        ]  # fmt: skip
        await asyncio.gather(*callers)
        await check_books(scene.fetch, [scene.campaign_id])
        pool = await self.list_entries(scene, "pool", scene.campaign_id)
        refused = check_pool_refusals(history.deeds, check_account(history.deeds, pool))
        for contributor in contributors:
            entries = await self.list_entries(scene, "promised", contributor)
            steps = check_account(history.deeds, entries)
            refused += check_promise_refusals(history.deeds, steps, entries, contributor_id=contributor, committed=4 * 60)
        assert refused == sum(deed.refusal is not None for deed in history.deeds) > 0
        made = {entry["kind"] for entry in pool} | {entry["kind"] for entry in entries}
        assert made == {"pledge", "withdraw", "grant", "deliver"}

    async def list_entries(self, scene: Scene, kind: str, holder_id: UUID) -> list[Any]:
        return await scene.fetch(
            """
            SELECT account_version AS version, balance_after_minutes AS balance, idempotency_key AS key, transfer.kind,
              transfer.minutes, pledge_id
            FROM entry JOIN account ON account.id = account_id JOIN transfer ON transfer.id = transfer_id
            WHERE account.kind = $1 AND holder_id = $2 ORDER BY account_version
            """,
            kind,
            holder_id,
        )
