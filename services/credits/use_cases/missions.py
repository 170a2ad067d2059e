"""The mission saga as the ledger plays it: reserve, release, settle.

Each function is right when repeated and in any order: the mission's row is locked first, its state moves forward only,
and a cancellation that comes first leaves a mark that the reservation finds.
Locks are taken in one order everywhere: campaign, mission, accounts.
"""

from datetime import date

from kernel.clock import local_date
from kernel.events.credits import CreditReleased, CreditReserved, MissionSettled, ReservationRefused, SettlementRefused
from kernel.events.matching import MissionAgreed, MissionCancelled, MissionValidated
from kernel.work import Work
from services.credits.domain.campaigns import Campaign
from services.credits.domain.errors import MissionUnknown
from services.credits.domain.holds import (
    Hold,
    HoldState,
    Means,
    Refusal,
    build_release_leg,
    build_reserve_leg,
    build_settlement_legs,
    decide_reservation,
    decide_settlement,
    require_minutes,
)
from services.credits.domain.ledger import AccountKey, AccountKind, Leg, TransferKind, make_expiry_leg
from services.credits.store import campaigns, ledger
from services.credits.store import holds as store
from services.credits.use_cases.campaigns import tell_expired


async def reserve_credit(work: Work, agreed: MissionAgreed) -> None:
    """Set the mission's minutes aside, or refuse it with the reason. Both are told and kept."""
    require_minutes(agreed.minutes, least=1)
    campaign = await campaigns.find_campaign_to_use(work, agreed.campaign_id)
    hold = Hold(
        agreed.mission_id,
        agreed.campaign_id,
        agreed.association_id,
        agreed.contributor_id,
        agreed.minutes,
        0,
        agreed.ends_on,
        HoldState.ASKED,
    )
    if not await store.add_hold(work, hold):
        return
    means = await _lock_means(work, campaign, hold)
    refusal = decide_reservation(means, asked_minutes=hold.minutes, today=local_date(work.now))
    if refusal is not None:
        await _refuse_reservation(work, hold, refusal)
        return
    await ledger.post(work, [build_reserve_leg(hold)])
    await store.save_hold(work, hold, state=HoldState.HELD)
    work.publish(
        CreditReserved(
            mission_id=hold.mission_id,
            campaign_id=hold.campaign_id,
            association_id=hold.association_id,
            contributor_id=agreed.contributor_id,
            minutes=hold.minutes,
        ),
        subject=hold.mission_id,
    )


async def _lock_means(work: Work, campaign: Campaign | None, hold: Hold) -> Means:
    assert hold.contributor_id is not None
    if campaign is None:
        return Means(None, False, 0, 0, 0)
    promised = AccountKey.of(AccountKind.PROMISED, campaign_id=campaign.id, holder_id=hold.contributor_id)
    credit = AccountKey.of(AccountKind.CREDIT, campaign_id=campaign.id, holder_id=hold.association_id)
    held = AccountKey.of(AccountKind.HELD, campaign_id=campaign.id, holder_id=hold.association_id)
    balances = await ledger.lock_balances(work, [promised, credit, held])
    return Means(
        campaign=campaign,
        on_panel=await campaigns.is_on_panel(work, campaign.id, hold.association_id),
        credit_minutes=balances[credit],
        promised_minutes=-balances[promised],
        committed_minutes=await ledger.sum_committed_minutes(work, campaign.id, hold.contributor_id),
    )


async def _refuse_reservation(work: Work, hold: Hold, refusal: Refusal) -> None:
    assert hold.contributor_id is not None
    await store.save_hold(work, hold, state=HoldState.REFUSED)
    await store.add_refusal(
        work,
        refusal,
        subject="reservation",
        mission_id=hold.mission_id,
        campaign_id=hold.campaign_id,
        association_id=hold.association_id,
        contributor_id=hold.contributor_id,
        asked_minutes=hold.minutes,
    )
    work.publish(
        ReservationRefused(
            mission_id=hold.mission_id,
            campaign_id=hold.campaign_id,
            association_id=hold.association_id,
            code=refusal.code,
            reason=refusal.reason,
            missing_minutes=refusal.missing_minutes,
        ),
        subject=hold.mission_id,
    )


async def release_credit(work: Work, cancelled: MissionCancelled) -> None:
    """Give the hold back; harmless when nothing is held, or when the mission is settled already."""
    campaign = await campaigns.find_campaign_to_use(work, cancelled.campaign_id)
    mark = Hold(cancelled.mission_id, cancelled.campaign_id, cancelled.association_id, None, 0, 0, None, HoldState.CANCELLED)
    if await store.add_hold(work, mark):
        return
    hold = await store.lock_hold(work, cancelled.mission_id)
    if campaign is not None and hold is not None and hold.state is HoldState.HELD:
        await release_hold(work, campaign, hold, reason=cancelled.reason)


async def release_hold(work: Work, campaign: Campaign, hold: Hold, *, reason: str) -> None:
    """Give a locked, held hold back to the association; past the campaign's end it expires at once, by the rule."""
    await ledger.post(work, [build_release_leg(hold, why=reason), *build_late_expiry_legs(campaign, hold, minutes=hold.minutes)])
    await store.save_hold(work, hold, state=HoldState.RELEASED)
    await tell_released(work, campaign, hold, minutes=hold.minutes, reason=reason)


def build_late_expiry_legs(campaign: Campaign, hold: Hold, *, minutes: int) -> list[Leg]:
    """What follows a release after the campaign was closed: nobody may spend it any more."""
    if campaign.state != "closed" or not minutes:
        return []
    leg = make_expiry_leg(
        campaign.facts.rules.expiry,
        campaign_id=campaign.id,
        association_id=hold.association_id,
        minutes=minutes,
        key=f"expire:{hold.mission_id}:{hold.state}",
        mission_id=hold.mission_id,
    )
    return [leg] if leg else []


async def tell_released(work: Work, campaign: Campaign, hold: Hold, *, minutes: int, reason: str) -> None:
    work.publish(
        CreditReleased(
            mission_id=hold.mission_id,
            campaign_id=hold.campaign_id,
            association_id=hold.association_id,
            minutes=minutes,
            reason=reason,
        ),
        subject=hold.mission_id,
    )
    await tell_late_expiry(work, campaign, hold, minutes=minutes)


async def tell_late_expiry(work: Work, campaign: Campaign, hold: Hold, *, minutes: int) -> None:
    if campaign.state == "closed" and minutes:
        await tell_expired(work, campaign, association_id=hold.association_id, minutes=minutes)


async def settle_mission(work: Work, validated: MissionValidated) -> None:
    """Spend what was served, give the rest back, deliver the contributor's promise: all at once, or refuse it."""
    require_minutes(validated.served_minutes, least=0)
    campaign = await campaigns.find_campaign_to_use(work, validated.campaign_id)
    hold = await store.lock_hold(work, validated.mission_id)
    if hold is None:
        raise MissionUnknown(f"Mission {validated.mission_id} is validated, and was never agreed here.")
    if hold.state is HoldState.SETTLED:
        return
    refusal = decide_settlement(hold, served_minutes=validated.served_minutes)
    if refusal is not None:
        await _refuse_settlement(work, validated, refusal)
        return
    assert campaign is not None  # it holds credit, hence an account, hence a campaign
    await _post_settlement(work, campaign, hold, served_minutes=validated.served_minutes)


async def _post_settlement(work: Work, campaign: Campaign, hold: Hold, *, served_minutes: int) -> None:
    assert hold.contributor_id is not None
    legs = build_settlement_legs(hold, served_minutes=served_minutes)
    released_minutes = sum(leg.minutes for leg in legs if leg.kind is TransferKind.RELEASE)
    await ledger.post(work, [*legs, *build_late_expiry_legs(campaign, hold, minutes=released_minutes)])
    await store.save_hold(work, hold, state=HoldState.SETTLED, served_minutes=served_minutes)
    work.publish(
        MissionSettled(
            mission_id=hold.mission_id,
            campaign_id=hold.campaign_id,
            association_id=hold.association_id,
            contributor_id=hold.contributor_id,
            served_minutes=served_minutes,
            released_minutes=released_minutes,
        ),
        subject=hold.mission_id,
    )
    await tell_late_expiry(work, campaign, hold, minutes=released_minutes)


async def _refuse_settlement(work: Work, validated: MissionValidated, refusal: Refusal) -> None:
    await store.add_refusal(
        work,
        refusal,
        subject="settlement",
        mission_id=validated.mission_id,
        campaign_id=validated.campaign_id,
        association_id=validated.association_id,
        contributor_id=validated.contributor_id,
        asked_minutes=validated.served_minutes,
    )
    work.publish(
        SettlementRefused(
            mission_id=validated.mission_id,
            campaign_id=validated.campaign_id,
            association_id=validated.association_id,
            code=refusal.code,
            reason=refusal.reason,
        ),
        subject=validated.mission_id,
    )


async def release_overdue_hold(work: Work, found: Hold, *, ended_before: date) -> None:
    """A hold outlives its closed campaign until its mission's own end, and the time to validate; then it goes back, too."""
    campaign = await campaigns.use_campaign(work, found.campaign_id)
    hold = await store.lock_hold(work, found.mission_id)
    if hold is None or hold.state is not HoldState.HELD or hold.ends_on is None or hold.ends_on >= ended_before:
        return
    reason = f"Mission échue le {hold.ends_on:%d/%m/%Y} et non validée, campagne close : réserve rendue"
    await release_hold(work, campaign, hold, reason=reason)
