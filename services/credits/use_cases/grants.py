"""Compute the grants of a campaign, keep the computation, and post what the officer signs."""

from collections.abc import Sequence
from datetime import date
from uuid import UUID

from kernel.clock import LOCAL_ZONE, local_date
from kernel.events.credits import CreditGranted
from kernel.work import Work
from services.credits.domain.campaigns import Campaign
from services.credits.domain.errors import ActorUnfit, AlreadySigned, ComputationOfAnother, EmptyPanel, ProposalOutdated
from services.credits.domain.grants import (
    Adjustment,
    GrantComputation,
    GrantDecision,
    compute_grants,
    decide_grants,
    digest_computation,
)
from services.credits.domain.ledger import AccountKind, TransferKind, make_leg
from services.credits.domain.lots import Lot, decide_last_day, end_of_day
from services.credits.domain.refusals import Attempt, RefusalSubject
from services.credits.store import campaigns, ledger, lots, registry
from services.credits.store import grants as store
from services.credits.use_cases.refusals import keep_if_refused
from services.credits.use_cases.safeguards import require_signature_alone


async def propose_grants(work: Work, campaign_id: UUID) -> UUID:
    """Compute from panel and pool, and keep every figure with its inputs. Nothing is posted."""
    campaign = await campaigns.use_campaign(work, campaign_id)
    campaign.require_not_closed()
    seats = await campaigns.list_seats(work, campaign_id)
    if not seats:
        raise EmptyPanel("Put associations on the panel first: PUT /campaigns/{id}/panel/{association_id}.")
    pool_minutes = (await ledger.list_balances(work, campaign_id, AccountKind.POOL)).get(campaign_id, 0)
    computed = compute_grants(seats, rules=campaign.facts.rules, pool_minutes=pool_minutes)
    return await store.add_proposal(work, campaign_id, computed)


async def sign_grants(
    work: Work,
    campaign_id: UUID,
    *,
    proposal_id: UUID,
    adjustments: Sequence[Adjustment],
    expires_on: date | None = None,
    approval_id: UUID | None = None,
) -> None:
    """Post all grants of a proposal, as adjusted, in one commit, under the digest of its computation.

    `expires_on`: the last day on which they can be spent, not after the campaign's; by default that one.
    """
    campaign = await campaigns.lock_campaign(work, campaign_id)
    campaign.require_spendable_on(local_date(work.now))
    last_day = decide_last_day(expires_on, campaign_ends_on=campaign.facts.ends_on, today=local_date(work.now))
    computed = await store.get_computation(work, campaign_id, proposal_id, campaign=campaign)
    if await store.is_signed(work, proposal_id):
        raise AlreadySigned("Read them at GET /campaigns/{id}/grants; a correction needs a new proposal or a reversal.")
    await _require_current(work, campaign, computed)
    minutes = {line.seat.association_id: line.computed_minutes for line in computed.lines}
    decisions = decide_grants(minutes, adjustments, step_minutes=campaign.facts.rules.step_minutes)
    if approval_id is None:
        await require_signature_alone(work, campaign, minutes=sum(decision.minutes for decision in decisions))
    await _require_known_associations(work, [decision for decision in decisions if decision.minutes])
    await store.add_signature(
        work,
        campaign_id=campaign_id,
        proposal_id=proposal_id,
        minutes=sum(decision.minutes for decision in decisions),
        digest=digest_computation(computed, campaign_id=campaign_id, proposal_id=proposal_id),
        approval_id=approval_id,
    )
    signed = await store.add_grants(work, campaign_id=campaign_id, proposal_id=proposal_id, decisions=decisions)
    granted = [(grant_id, decision) for grant_id, decision in signed if decision.minutes]
    await _post_grants(work, campaign, granted, last_day=last_day)


async def require_computation(work: Work, campaign_id: UUID, proposal_id: UUID, *, digest: str | None) -> None:
    """The proposal is this campaign's and, where the officer quotes a digest, the computation that they read."""
    campaign = await campaigns.get_campaign(work, campaign_id)
    computed = await store.get_computation(work, campaign_id, proposal_id, campaign=campaign)
    asked_minutes = sum(line.computed_minutes for line in computed.lines)
    keep_if_refused(work, Attempt(RefusalSubject.GRANTS, campaign_id, asked_minutes))
    if digest is not None and digest != digest_computation(computed, campaign_id=campaign_id, proposal_id=proposal_id):
        raise ComputationOfAnother("The digest is not this proposal's: read the proposal again, then sign what you read.")


async def _post_grants(work: Work, campaign: Campaign, signed: Sequence[tuple[UUID, GrantDecision]], *, last_day: date) -> None:
    """Each grant is a lot of its own, spendable to its last day."""
    expires_at = end_of_day(last_day, zone=LOCAL_ZONE)
    await lots.add_lots(
        work,
        [Lot(grant_id, campaign.id, one.association_id, one.minutes, expires_at, grant_id=grant_id) for grant_id, one in signed],
    )
    legs = [
        make_leg(
            TransferKind.GRANT,
            campaign_id=campaign.id,
            holder_id=decision.association_id,
            lot_id=grant_id,
            minutes=decision.minutes,
            key=f"grant:{grant_id}",
            why=decision.adjustment_reason or "Dotation calculée d'après la baisse de subvention",
            grant_id=grant_id,
        )
        for grant_id, decision in signed
    ]
    await ledger.post(work, legs)
    for grant_id, decision in signed:
        work.publish(
            CreditGranted(
                campaign_id=campaign.id,
                association_id=decision.association_id,
                grant_id=grant_id,
                minutes=decision.minutes,
                expires_on=last_day,
            ),
            subject=grant_id,
        )


async def _require_current(work: Work, campaign: Campaign, computed: GrantComputation) -> None:
    """A signature stands under figures that still hold. More in the pool is no reason to compute anew; less is refused there."""
    seats = {seat.association_id: seat for seat in await campaigns.list_seats(work, campaign.id)}
    if computed.rules != campaign.facts.rules or seats != {line.seat.association_id: line.seat for line in computed.lines}:
        raise ProposalOutdated("The panel, its subsidies or its grants changed meanwhile: compute a new proposal and sign that.")


async def _require_known_associations(work: Work, decisions: Sequence[GrantDecision]) -> None:
    known = await registry.find_actors(work, [decision.association_id for decision in decisions])
    for decision in decisions:
        actor = known.get(decision.association_id)
        if actor is None or actor.archived or actor.kind != "association":
            state = "unknown to the registry" if actor is None else "archived" if actor.archived else f"a {actor.kind}"
            raise ActorUnfit(
                f"{decision.association_id} is {state}: public credit goes to recorded associations only. "
                "Record it, or adjust its grant to 0 with a reason.",
                association_id=str(decision.association_id),
            )
