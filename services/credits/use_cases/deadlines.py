"""What the clock asks for: notices before credit expires, the end of campaigns, holds that outlived their mission."""

from datetime import timedelta
from uuid import UUID

from kernel.clock import local_date
from kernel.events.credits import CreditExpiring
from kernel.work import Work
from services.credits.domain.campaigns import NOTICE_DAYS, Campaign, decide_notice
from services.credits.domain.ledger import AccountKind
from services.credits.store import campaigns as store
from services.credits.store import holds, ledger
from services.credits.use_cases.campaigns import close_campaign
from services.credits.use_cases.missions import release_overdue_hold


async def send_expiry_notices(work: Work) -> int:
    """Tell each association with unspent credit, once 30 and once 7 days before; returns how many were told."""
    today = local_date(work.now)
    ending = await store.list_campaigns_ending_by(work, last_day=today + timedelta(days=max(NOTICE_DAYS)), today=today)
    return sum([await _send_notices_of(work, campaign) for campaign in ending])


async def _send_notices_of(work: Work, campaign: Campaign) -> int:
    ends_on, today = campaign.facts.ends_on, local_date(work.now)
    sent = await store.list_sent_notices(work, campaign.id)
    due: list[tuple[UUID, int]] = []
    for association_id, minutes in (await ledger.list_balances(work, campaign.id, AccountKind.CREDIT)).items():
        days = decide_notice(ends_on=ends_on, today=today, sent_days=sent.get(association_id, frozenset()))
        if minutes <= 0 or days is None:
            continue
        due.append((association_id, days))
        work.publish(
            CreditExpiring(
                campaign_id=campaign.id,
                association_id=association_id,
                minutes=minutes,
                expires_on=ends_on,
                days_left=(ends_on - today).days,
            ),
            subject=campaign.id,
        )
    await store.add_notices(work, campaign.id, due)
    return len(due)


async def list_ended_campaigns(work: Work) -> list[UUID]:
    return await store.list_ended_campaigns(work, today=local_date(work.now))


async def close_ended_campaign(work: Work, campaign_id: UUID) -> None:
    """Close a campaign past its last day; harmless when somebody closed it meanwhile."""
    campaign = await store.lock_campaign(work, campaign_id)
    if campaign.state == "open" and local_date(work.now) > campaign.facts.ends_on:
        await close_campaign(work, campaign_id, reason=f"La campagne a pris fin le {campaign.facts.ends_on:%d/%m/%Y}.")


async def release_overdue_holds(work: Work, *, grace_days: int) -> int:
    """Give back what closed campaigns still hold for missions over for more than `grace_days`."""
    ended_before = local_date(work.now) - timedelta(days=grace_days)
    overdue = await holds.list_overdue_holds(work, ended_before=ended_before)
    for found in overdue:
        await release_overdue_hold(work, found, ended_before=ended_before)
    return len(overdue)
