"""Steps of four eyes: what is proposed, asked and decided in a scene."""

from collections.abc import Awaitable, Callable
from uuid import UUID

from kernel.auth import Caller
from kernel.ids import new_id
from services.credits.domain.approvals import (
    LIFETIME,
    ApprovalRequest,
    ApprovalState,
    CarryInOfCredit,
    Decision,
    DecisionOutcome,
    Operation,
    ReversalOfTransfer,
    SigningOfGrants,
)
from services.credits.domain.campaigns import ExpiryRule, Safeguards
from services.credits.domain.grants import Adjustment
from services.credits.store import approvals as store
from services.credits.store import campaigns
from services.credits.use_cases.approvals import (
    check_safeguards,
    decide_request,
)
from services.credits.use_cases.grants import propose_grants, sign_grants
from tests.builders.credits import IN_SPRING, Scene

Start = Callable[..., Awaitable[Scene]]
APPROVED, DECLINED = DecisionOutcome.APPROVED, DecisionOutcome.DECLINED
WHY = "Dotations du printemps"


def make_request(*, proposed_by: UUID | None = None, decision: Decision | None = None) -> ApprovalRequest:
    operation = ReversalOfTransfer(new_id())
    return ApprovalRequest(
        new_id(), new_id(), operation, "0" * 64, 60, WHY, proposed_by or new_id(), IN_SPRING, IN_SPRING + LIFETIME, decision
    )


async def compute(scene: Scene, *, entitled_minutes: int = 600) -> UUID:
    """A proposal for one association, with a pool that serves it."""
    await scene.pledge(entitled_minutes)
    await scene.admit(entitled_minutes=entitled_minutes)
    async with scene.work() as work:
        return await propose_grants(work, scene.campaign_id)


async def ask(scene: Scene, operation: Operation, *, caller: Caller | None = None) -> ApprovalRequest:
    async with scene.work(caller) as work:
        request = await check_safeguards(work, operation, reason=WHY)
    assert request is not None
    return request


async def decide(
    scene: Scene, request: ApprovalRequest, caller: Caller, *, outcome: DecisionOutcome = APPROVED
) -> ApprovalRequest:
    async with scene.work(caller) as work:
        return await decide_request(work, request.id, outcome=outcome, reason="Vu et vérifié")


async def find_state(scene: Scene, request: ApprovalRequest) -> ApprovalState:
    async with scene.work() as work:
        return (await store.get_request(work, request.id)).state_at(scene.now)


async def undo_pledge(scene: Scene, pledge_id: UUID) -> None:
    """It takes two persons, too."""
    (row,) = await scene.fetch("SELECT id FROM transfer WHERE kind = 'pledge' AND pledge_id = $1", pledge_id)
    await decide(scene, await ask(scene, ReversalOfTransfer(row["id"])), scene.make_officer())


async def carry_over(scene: Scene, *, above: int | None = None, limit: int | None = None) -> CarryInOfCredit:
    """An open campaign after one that closed with 600 minutes to carry over; what would bring them in."""
    earlier = await scene.start(expiry=ExpiryRule.CARRY_OVER)
    await scene.fund(credit=600)
    await scene.close()
    from_campaign_id = earlier.campaign_id
    await scene.start(safeguards=Safeguards(above, limit))
    return CarryInOfCredit(scene.campaign_id, from_campaign_id)


async def grant_some(scene: Scene, minutes: int, *, caller: Caller | None = None) -> None:
    """Grant so many minutes to a new association, all others nothing, as the route does."""
    association_id = await scene.admit(entitled_minutes=minutes)
    async with scene.work() as work:
        seats = await campaigns.list_seats(work, scene.campaign_id)
        proposal_id = await propose_grants(work, scene.campaign_id)
    others = tuple(Adjustment(seat.association_id, 0, "Plus tard") for seat in seats if seat.association_id != association_id)
    async with scene.work(caller) as work:
        assert await check_safeguards(work, SigningOfGrants(proposal_id, others), reason=WHY) is None
        await sign_grants(work, scene.campaign_id, proposal_id=proposal_id, adjustments=others)
