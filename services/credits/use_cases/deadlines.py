"""What the clock asks for: notices before credit expires, the end of campaigns, holds that outlived their mission."""

from collections import Counter
from datetime import date, timedelta
from uuid import UUID

from kernel.clock import LOCAL_ZONE, local_date
from kernel.events.credits import CreditExpiring
from kernel.work import Work
from services.credits.domain.campaigns import NOTICE_DAYS, decide_notice
from services.credits.domain.lots import last_day
from services.credits.store import campaigns as store
from services.credits.store import holds, lots
from services.credits.use_cases.campaigns import close_campaign
from services.credits.use_cases.missions import release_overdue_holds_of


async def send_expiry_notices(work: Work) -> int:
    """Tell each association with unspent credit, once 30 and once 7 days before it expires; returns how many were told."""
    last = work.now + timedelta(days=max(NOTICE_DAYS) + 1)
    credit: dict[UUID, Counter[tuple[UUID, date]]] = {}
    for lot, minutes in await lots.list_lots_expiring_by(work, last=last, now=work.now):
        expires_on = last_day(lot.expires_at, zone=LOCAL_ZONE)
        credit.setdefault(lot.campaign_id, Counter())[lot.association_id, expires_on] += minutes
    return sum([await _send_notices_of(work, campaign_id, expiring) for campaign_id, expiring in credit.items()])


async def _send_notices_of(work: Work, campaign_id: UUID, expiring: Counter[tuple[UUID, date]]) -> int:
    today = local_date(work.now)
    sent = await store.list_sent_notices(work, campaign_id)
    due: list[tuple[UUID, date, int]] = []
    for (association_id, expires_on), minutes in sorted(expiring.items()):
        days = decide_notice(ends_on=expires_on, today=today, sent_days=sent.get((association_id, expires_on), frozenset()))
        if days is None:
            continue
        due.append((association_id, expires_on, days))
        work.publish(
            CreditExpiring(
                campaign_id=campaign_id,
                association_id=association_id,
                minutes=minutes,
                expires_on=expires_on,
                days_left=(expires_on - today).days,
            ),
            subject=campaign_id,
        )
    await store.add_notices(work, campaign_id, due)
    return len(due)


async def list_ended_campaigns(work: Work) -> list[UUID]:
    return await store.list_ended_campaigns(work, today=local_date(work.now))


async def close_ended_campaign(work: Work, campaign_id: UUID) -> None:
    """Close a campaign past its last day; harmless when somebody closed it meanwhile."""
    campaign = await store.lock_campaign(work, campaign_id)
    if campaign.state == "open" and local_date(work.now) > campaign.facts.ends_on:
        await close_campaign(work, campaign_id, reason=f"La campagne a pris fin le {campaign.facts.ends_on:%d/%m/%Y}.")


async def release_overdue_holds(work: Work, *, grace_days: int) -> int:
    """Give back what is still held for missions over for more than `grace_days`."""
    ended_before = local_date(work.now) - timedelta(days=grace_days)
    overdue = await holds.list_overdue_holds(work, ended_before=ended_before)
    await release_overdue_holds_of(work, overdue, ended_before=ended_before)
    return len(overdue)
