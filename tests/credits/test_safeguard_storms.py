"""Four eyes and limits under many hands at once: seeded histories, whose rows are then examined as an auditor would."""

import asyncio
import random
from contextlib import suppress
from uuid import UUID

import pytest

from kernel.auth import Caller
from kernel.database import Database
from kernel.errors import MetisError
from services.credits.domain.approvals import ApprovalState, DecisionOutcome, ReversalOfTransfer
from services.credits.domain.campaigns import Safeguards
from services.credits.store import approvals as store
from services.credits.use_cases.approvals import check_safeguards, check_withdrawal, decide_request, withdraw_request
from services.credits.use_cases.pledges import withdraw_pledge
from services.credits.use_cases.reversals import reverse_transfer
from tests.builders.credits import Scene

THRESHOLD, LIMIT = 60, 300
OFFICERS, STEPS, PLEDGES = 4, 15, 12
WHY = "Au hasard"


class Storm:
    """Officers who do, propose and decide by chance, all at once, and each of them with two clients at once."""

    def __init__(self, scene: Scene, *, seed: int) -> None:
        self.scene = scene
        self.chance = random.Random(seed)
        self.officers = [scene.make_officer() for _ in range(OFFICERS)]
        self.pledges: list[UUID] = []
        self.transfers: list[UUID] = []

    async def run(self) -> None:
        for _ in range(PLEDGES):
            await self.scene.pledge(self.chance.randrange(60, 400))
        self.pledges = [row["id"] for row in await self.scene.fetch("SELECT id FROM pledge")]
        self.transfers = [row["id"] for row in await self.scene.fetch("SELECT id FROM transfer")]
        await asyncio.gather(*(self.work_through(officer) for officer in self.officers * 2))

    async def work_through(self, officer: Caller) -> None:
        for _ in range(STEPS):
            step = self.chance.choice([self.take_back, self.reverse, self.decide, self.decide, self.withdraw])
            with suppress(MetisError):  # a refusal is an answer
                await step(officer)

    async def take_back(self, officer: Caller) -> None:
        pledge_id, minutes = self.chance.choice(self.pledges), self.chance.randrange(10, 130)
        async with self.scene.work(officer) as work:
            if await check_withdrawal(work, pledge_id, minutes=minutes, reason=WHY) is None:
                await withdraw_pledge(work, pledge_id, minutes=minutes, reason=WHY)

    async def reverse(self, officer: Caller) -> None:
        transfer_id, minutes = self.chance.choice(self.transfers), self.chance.randrange(10, 90)
        async with self.scene.work(officer) as work:
            if await check_safeguards(work, ReversalOfTransfer(transfer_id, minutes), reason=WHY) is None:
                await reverse_transfer(work, transfer_id, reason=WHY, minutes=minutes)

    async def decide(self, officer: Caller) -> None:
        request_id = await self.any_open(officer)
        outcome = DecisionOutcome.DECLINED if self.chance.random() < 0.2 else DecisionOutcome.APPROVED
        if request_id is not None:
            async with self.scene.work(officer) as work:
                await decide_request(work, request_id, outcome=outcome, reason=WHY)

    async def withdraw(self, officer: Caller) -> None:
        request_id = await self.any_open(officer)
        if request_id is not None and self.chance.random() < 0.3:
            async with self.scene.work(officer) as work:
                await withdraw_request(work, request_id, reason=WHY)

    async def any_open(self, officer: Caller) -> UUID | None:
        async with self.scene.work(officer) as work:
            rows = (await work.connection.execute(store.select_requests(now=work.now, state=ApprovalState.OPEN))).all()
        return self.chance.choice(rows).id if rows else None


@pytest.mark.parametrize("seed", range(2))
async def test_no_hand_moves_more_than_the_rules_let_it(database: Database, territory: str, seed: int) -> None:
    scene = await Scene(database, territory).start(safeguards=Safeguards(THRESHOLD, LIMIT))
    storm = Storm(scene, seed=seed)
    await storm.run()
    moved = await scene.fetch(
        "SELECT who, sum(minutes) AS minutes FROM transfer WHERE kind IN ('withdraw', 'reverse') GROUP BY who"
    )
    assert moved, "nothing happened at all"
    assert all(row["minutes"] <= LIMIT for row in moved)
    decided = await scene.fetch(
        "SELECT r.*, d.outcome, d.decided_by FROM approval_request r JOIN approval_decision d ON d.request_id = r.id"
    )
    assert all((row["decided_by"] == row["proposed_by"]) == (row["outcome"] == "withdrawn") for row in decided)
    approved = [row for row in decided if row["outcome"] == "approved"]
    assert approved, "nothing was approved at all"
    transfers = await scene.fetch("SELECT kind, who, minutes, pledge_id, reverses FROM transfer")
    for row in approved:
        done = [
            one
            for one in transfers
            if (one["who"], one["minutes"]) == (str(row["decided_by"]), row["minutes"])
            and row["subject_id"] in {one["pledge_id"] if one["kind"] == "withdraw" else one["reverses"]}
        ]
        assert done, f"approved and not done: {row['kind']} {row['minutes']}"
    for one in transfers:
        if one["kind"] == "withdraw" and one["minutes"] > THRESHOLD:
            assert any(row["subject_id"] == one["pledge_id"] and row["minutes"] == one["minutes"] for row in approved)
    for transfer_id in storm.transfers:
        undone = sum(one["minutes"] for one in transfers if one["reverses"] == transfer_id)
        assert undone <= THRESHOLD or any(row["subject_id"] == transfer_id for row in approved)
    books = await scene.books()
    assert (books.sum_minutes, books.accounts_out_of_step) == (0, 0)
