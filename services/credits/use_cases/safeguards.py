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


async def require_withdrawal_alone(work: Work, campaign: Campaign, pledge: Pledge, *, minutes: int) -> None:
    """Refuse what one person of the town may not take back alone: past the threshold with what was so taken back from this
    contributor before, slice by slice, or past the day's limit. Exact under the lock of the contributor's promise."""
    if campaign.facts.safeguards.four_eyes_above_minutes is not None:
        before_minutes = await store.sum_withdrawn_alone(work, campaign.id, pledge.contributor_id)
        instead = f"ask for it at POST /pledges/{pledge.id}/withdrawals"
        _require_alone(campaign, minutes=minutes, before_minutes=before_minutes, instead=instead)
    await require_allowance(work, campaign, minutes=minutes)


async def require_signature_alone(work: Work, campaign: Campaign, *, minutes: int) -> None:
    """Refuse a signature that carries what was granted under one person's past the threshold. Exact under the campaign's lock."""
    if campaign.facts.safeguards.four_eyes_above_minutes is not None:
        before_minutes = await store.sum_signed_alone(work, campaign.id)
        _require_alone(campaign, minutes=minutes, before_minutes=before_minutes, instead="ask again")


def _require_alone(campaign: Campaign, *, minutes: int, before_minutes: int, instead: str) -> None:
    if needs_second_person(campaign.facts.safeguards, before_minutes + minutes):
        raise ApprovalNeeded(
            f"With {before_minutes} minutes before it this would move {before_minutes + minutes}, more than is moved in this"
            f" campaign without a second person: {instead}, and another officer decides.",
            minutes=minutes,
            before_minutes=before_minutes,
            four_eyes_above_minutes=campaign.facts.safeguards.four_eyes_above_minutes,
        )
