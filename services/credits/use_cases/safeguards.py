"""What one person may move alone, judged again where it is moved, on what is locked by then (docs/adr/0017)."""

from datetime import datetime, time
from uuid import UUID

from kernel.clock import LOCAL_ZONE, local_date
from kernel.work import Work
from services.credits.domain.approvals import needs_second_person, require_within_limit
from services.credits.domain.campaigns import Campaign, Pledge
from services.credits.domain.errors import ApprovalNeeded
from services.credits.store import approvals as store
from services.credits.store import campaigns


async def hold_allowance(work: Work, campaign_id: UUID) -> None:
    """Whoever is limited goes one step at a time. Their turn is waited for before campaign and pledge are locked, never after."""
    if work.caller.is_town:
        campaign = await campaigns.get_campaign(work, campaign_id)
        if campaign.facts.safeguards.daily_limit_minutes is not None:
            await store.lock_person(work)


async def require_allowance(work: Work, campaign: Campaign, *, minutes: int) -> None:
    """Refuse what would carry the caller past the day's limit; holds their lock until the transaction ends."""
    limit_minutes = campaign.facts.safeguards.daily_limit_minutes
    if limit_minutes is None:
        return
    await store.lock_person(work)
    midnight = datetime.combine(local_date(work.now), time.min, LOCAL_ZONE)
    moved_minutes = await store.sum_moved_minutes(work, campaign.id, since=midnight)
    require_within_limit(limit_minutes, moved_minutes=moved_minutes, minutes=minutes)


async def require_lowering_alone(work: Work, campaign: Campaign, pledge: Pledge, *, minutes: int) -> None:
    """A locked pledge that the town writes anew with so many minutes fewer: they are taken back, too. A file cannot wait for
    a second person: it is told what to do instead."""
    if not work.caller.is_town:
        return
    if needs_second_person(campaign.facts.safeguards, minutes):
        raise ApprovalNeeded(
            f"This would take back {minutes} minutes, more than one person may alone in this campaign: ask for it at"
            f" POST /pledges/{pledge.id}/withdrawals, and another officer decides.",
            minutes=minutes,
            four_eyes_above_minutes=campaign.facts.safeguards.four_eyes_above_minutes,
        )
    await require_allowance(work, campaign, minutes=minutes)
