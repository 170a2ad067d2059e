"""What one person may move by hand in a day, however many requests they send at once."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest

from kernel.clock import utc_now
from services.credits.domain.approvals import (
    ApprovalRequest,
    ApprovalState,
    ReversalOfTransfer,
    SigningOfGrants,
    WithdrawalForContributor,
)
from services.credits.domain.campaigns import Safeguards
from services.credits.domain.errors import (
    DailyLimit,
)
from services.credits.domain.grants import Adjustment
from services.credits.domain.ledger import AccountKind
from services.credits.store import approvals as store
from services.credits.use_cases.approvals import (
    check_safeguards,
    check_withdrawal,
)
from services.credits.use_cases.grants import propose_grants, sign_grants
from services.credits.use_cases.pledges import withdraw_pledge
from services.credits.use_cases.reversals import reverse_transfer
from tests.builders.approvals import (
    WHY,
    Start,
    ask,
    compute,
    decide,
    find_state,
    grant_some,
)
from tests.builders.credits import IN_SPRING, STILL_TO_COME, Scene


class TestDailyLimit:
    async def test_adds_up_a_persons_grants_and_reversals(self, start: Start) -> None:
        scene = await start(limit=600)
        await scene.pledge(3000)
        await grant_some(scene, 300)
        (grant,) = await scene.fetch("SELECT id FROM transfer WHERE kind = 'grant'")
        async with scene.work() as work:
            assert await check_safeguards(work, ReversalOfTransfer(grant["id"]), reason=WHY) is None
            await reverse_transfer(work, grant["id"], reason=WHY)
        with pytest.raises(DailyLimit) as refused:
            await grant_some(scene, 15)
        assert refused.value.members["left_minutes"] == 0

    async def test_is_each_persons_own_whichever_client_they_use(self, start: Start) -> None:
        scene = await start(limit=600)
        await scene.pledge(3000)
        await grant_some(scene, 600)
        same_person = scene.make_officer(client_id="autre", member_id=scene.officer.member_id)
        with pytest.raises(DailyLimit):
            await grant_some(scene, 15, caller=same_person)
        await grant_some(scene, 600, caller=scene.make_officer())

    async def test_begins_anew_at_midnight_where_the_town_lives(self, scene: Scene) -> None:
        await scene.start(ends_on=STILL_TO_COME, safeguards=Safeguards(None, 600))
        scene.now = utc_now()
        await scene.pledge(3000)
        await grant_some(scene, 600)
        scene.now += timedelta(days=1)
        await grant_some(scene, 600)

    async def test_two_at_once_cannot_pass_it_together(self, start: Start) -> None:
        scene = await start(limit=100)
        await scene.pledge(3000)
        pledges = await scene.fetch("SELECT id FROM pledge")

        async def withdraw() -> None:
            async with scene.work() as work:
                assert await check_withdrawal(work, pledges[0]["id"], minutes=60, reason=WHY) is None
                await withdraw_pledge(work, pledges[0]["id"], minutes=60, reason=WHY)

        results = await asyncio.gather(*(withdraw() for _ in range(6)), return_exceptions=True)
        assert sum(result is None for result in results) == 1
        assert sum(isinstance(result, DailyLimit) for result in results) == 5

    async def test_two_grants_at_once_cannot_pass_it_together(self, start: Start) -> None:
        scene = await start(limit=600)
        await scene.pledge(3000)
        for _ in range(2):
            await scene.admit(entitled_minutes=450)
        first, second = (row["association_id"] for row in await scene.fetch("SELECT association_id FROM panel"))
        async with scene.work() as work:
            proposals = [await propose_grants(work, scene.campaign_id) for _ in range(2)]

        async def sign(proposal_id: UUID, other: UUID) -> None:
            adjustments = (Adjustment(other, 0, "Plus tard"),)
            async with scene.work() as work:
                assert await check_safeguards(work, SigningOfGrants(proposal_id, adjustments), reason=WHY) is None
                await sign_grants(work, scene.campaign_id, proposal_id=proposal_id, adjustments=adjustments)

        results = await asyncio.gather(sign(proposals[0], second), sign(proposals[1], first), return_exceptions=True)
        assert sum(isinstance(result, DailyLimit) for result in results) == 1
        assert await scene.balance(AccountKind.POOL) == 2550

    async def test_an_approval_counts_for_who_approves(self, start: Start) -> None:
        scene = await start(above=60, limit=600)
        request = await ask(scene, SigningOfGrants(await compute(scene)))
        colleague = scene.make_officer()
        await decide(scene, request, colleague)
        (transfer,) = await scene.fetch("SELECT id FROM transfer WHERE kind = 'grant'")
        reversal = await ask(scene, ReversalOfTransfer(transfer["id"]))
        with pytest.raises(DailyLimit):
            await decide(scene, reversal, colleague)
        assert await find_state(scene, reversal) is ApprovalState.OPEN
        await decide(scene, reversal, scene.make_officer())

    async def test_two_approvals_at_once_cannot_pass_it_together(self, start: Start) -> None:
        scene = await start(above=60, limit=150)
        for _ in range(4):
            await scene.pledge(100)
        pledges = await scene.fetch("SELECT id FROM pledge")
        requests = [await ask(scene, WithdrawalForContributor(row["id"], 100)) for row in pledges]
        approver = scene.make_officer()
        results = await asyncio.gather(*(decide(scene, one, approver) for one in requests), return_exceptions=True)
        assert sum(isinstance(result, ApprovalRequest) for result in results) == 1
        assert sum(isinstance(result, DailyLimit) for result in results) == 3
        assert await scene.balance(AccountKind.POOL) == 300
        assert len(await scene.fetch("SELECT 1 FROM approval_decision")) == 1

    async def test_does_not_count_missions(self, start: Start) -> None:
        scene = await start(limit=600)
        association, contributor = await scene.fund(credit=600)
        agreed = await scene.agree(association, contributor, 600)
        await scene.handle(scene.validated(agreed, 600), actorid=str(scene.officer.member_id))
        async with scene.work() as work:
            assert await store.sum_moved_minutes(work, scene.campaign_id, since=IN_SPRING) == 600

    async def test_counts_a_reversed_settlement_once(self, start: Start) -> None:
        scene = await start()
        association, contributor = await scene.fund(credit=600)
        agreed = await scene.agree(association, contributor, 90)
        await scene.handle(scene.validated(agreed, 60))
        (settle,) = await scene.fetch("SELECT id FROM transfer WHERE kind = 'settle'")
        colleague = scene.make_officer()
        async with scene.work(colleague) as work:
            await reverse_transfer(work, settle["id"], reason=WHY)
            assert await store.sum_moved_minutes(work, scene.campaign_id, since=IN_SPRING) == 60
