"""What becomes of credit that nobody spent: back to the pool, lapsed, or carried over into a later campaign."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date
from uuid import UUID

from kernel.clock import LOCAL_ZONE, local_date
from kernel.events.credits import CreditExpired, CreditGranted
from kernel.ids import new_id
from kernel.work import Work
from services.credits.domain.campaigns import Campaign, ExpiryRule
from services.credits.domain.errors import BadInput, NothingCarried
from services.credits.domain.ledger import (
    AccountKey,
    AccountKind,
    Leg,
    TransferKind,
    expiry_outcome,
    make_expiry_leg,
)
from services.credits.domain.lots import Lot, decide_last_day, end_of_day
from services.credits.store import campaigns, ledger, lots, missions


async def expire_lots(work: Work, campaign: Campaign, due: Sequence[Lot]) -> int:
    """Book what is left on these lots by the campaign's rule; returns how much that was. Repeating it finds nothing left."""
    return await _expire(work, {campaign.id: campaign}, due)


async def expire_due_lots(work: Work) -> int:
    """Book the lots past their expiry, and what is left of closed campaigns; nobody could spend them any more anyway.

    Campaigns first and then all accounts at once, as a batch of missions locks them: campaign by campaign, the two would
    wait for each other.
    """
    due = await lots.list_due_lots(work, now=work.now)
    return await _expire(work, await missions.use_campaigns(work, {lot.campaign_id for lot in due}), due)


async def _expire(work: Work, of: Mapping[UUID, Campaign], due: Sequence[Lot]) -> int:
    """The key names the lot and the version of its account: what comes back to a lot later expires under another one."""
    left = await ledger.lock_credit(work, due)
    legs = [
        make_expiry_leg(_rule(of, lot), lot.account(AccountKind.CREDIT), minutes=minutes, key=f"expire:{lot.id}:{version}")
        for lot, minutes, version in left
    ]
    await ledger.post(work, legs)
    by_association: Counter[tuple[UUID, UUID]] = Counter()
    for lot, minutes, _ in left:
        by_association[lot.campaign_id, lot.association_id] += minutes
    for (campaign_id, association_id), minutes in by_association.items():
        outcome = expiry_outcome(of[campaign_id].facts.rules.expiry)
        work.publish(
            CreditExpired(campaign_id=campaign_id, association_id=association_id, minutes=minutes, outcome=outcome),
            subject=campaign_id,
        )
    return by_association.total()


def _rule(of: Mapping[UUID, Campaign], lot: Lot) -> ExpiryRule:
    return of[lot.campaign_id].facts.rules.expiry


async def carry_credit_in(work: Work, campaign_id: UUID, *, from_campaign_id: UUID, expires_on: date | None = None) -> int:
    """Bring what an earlier campaign carried over to an open one: a new lot for each association, until that one's end or,
    before it, the day that the officer chose.

    Returns the minutes. They are no part of the pool: their hours were promised to the earlier campaign, so that
    contributors must promise anew what is to be served here.
    """
    if from_campaign_id == campaign_id:
        raise BadInput.at("/from_campaign_id", "must name an earlier campaign: what expired in this one stays unspendable here")
    # In the order of their ids, whichever way the credit goes: two officers carrying both ways would wait for each other.
    if from_campaign_id < campaign_id:
        await campaigns.lock_campaign(work, from_campaign_id)
    campaign = await campaigns.use_campaign(work, campaign_id)
    campaign.require_spendable_on(local_date(work.now))
    last_day = decide_last_day(expires_on, campaign_ends_on=campaign.facts.ends_on, today=local_date(work.now))
    earlier = await campaigns.lock_campaign(work, from_campaign_id)
    left = await list_left(work, earlier)
    if not left:
        raise NothingCarried(f"Campaign {earlier.ref} has carried over nothing that was not brought into a campaign before.")
    expires_at = end_of_day(last_day, zone=LOCAL_ZONE)
    brought = [
        Lot(new_id(), campaign.id, association_id, minutes, expires_at, carried_from=earlier.id)
        for association_id, minutes in sorted(left.items())
    ]
    await lots.add_lots(work, brought)
    await ledger.post(work, [_carry_leg(lot, earlier) for lot in brought])
    for lot in brought:
        work.publish(
            CreditGranted(
                campaign_id=campaign.id,
                association_id=lot.association_id,
                grant_id=lot.id,
                minutes=lot.minutes,
                expires_on=last_day,
            ),
            subject=lot.id,
        )
    return sum(lot.minutes for lot in brought)


async def list_left(work: Work, campaign: Campaign) -> dict[UUID, int]:
    """By association: carried out of the campaign and not yet brought into another. Exact under its lock."""
    carried = await ledger.list_balances(work, campaign.id, AccountKind.CARRIED)
    own = Counter[UUID]()
    for lot in await lots.list_lots(work, campaign.id):
        if lot.carried_from is not None:
            own[lot.association_id] += lot.minutes  # came in: the balance is less by it
    brought = await lots.sum_brought(work, from_campaign=campaign.id)
    left = {holder: minutes + own[holder] - brought.get(holder, 0) for holder, minutes in carried.items()}
    return {holder: minutes for holder, minutes in left.items() if minutes > 0}


def _carry_leg(lot: Lot, earlier: Campaign) -> Leg:
    source = AccountKey.of(AccountKind.CARRIED, campaign_id=lot.campaign_id, holder_id=lot.association_id)
    why = f"Crédit reporté de la campagne « {earlier.facts.title} »"
    return Leg(TransferKind.CARRY, source, lot.account(AccountKind.CREDIT), lot.minutes, f"carry:{lot.id}", why)
