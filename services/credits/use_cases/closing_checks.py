"""What stands in the way of closing a campaign, read before anything is done. Each check gives findings, and writes nothing."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import date, timedelta
from uuid import UUID

from kernel.clock import local_date
from kernel.work import Work
from services.credits.domain import closings as domain
from services.credits.domain.campaigns import Campaign
from services.credits.domain.closings import Finding, Unspent
from services.credits.domain.ledger import AccountKind, TransferKind
from services.credits.store import campaigns, ledger, lots, registry
from services.credits.store import closing_figures as store

Check = Callable[[Work, Campaign], Awaitable[Sequence[Finding]]]

# Further checks of the first step, which other parts of the service bring, as the nightly audit. A finding that must be
# mended is BLOCKING, one that a person may accept a WARNING.
MORE_CHECKS: list[Check] = []


async def check_campaign(work: Work, campaign: Campaign, *, grace_days: int) -> list[Finding]:
    """What the first step looks for: books, news under way, missions, computations, and whether it is early."""
    today = local_date(work.now)
    books = await ledger.get_books(work, campaign.id)
    waiting, parked = await store.count_waiting_news(work, campaign.id)
    held = await store.list_held(work, campaign.id)
    titles = await store.find_titles(work, [hold.mission_id for hold in held])
    proposal_id, minutes = await store.find_unsigned_proposal(work, campaign.id)
    unvalued_missions, unvalued_minutes = await store.count_unvalued(work, campaign.id)
    approvals = await store.count_open_approvals(work, campaign.id)
    found = [
        *domain.find_books(
            sum_minutes=books.sum_minutes,
            entries_sum_minutes=books.entries_sum_minutes,
            accounts_out_of_step=books.accounts_out_of_step,
        ),
        *domain.find_waiting_events(waiting=waiting, parked=parked),
        *domain.find_early_end(campaign, today=today),
        *domain.find_holds(held, today=today, grace_days=grace_days, titles=titles),
        *(domain.find_unsigned_proposal(proposal_id, minutes=minutes) if campaign.state == "open" else []),
        *domain.find_waiting_approvals(approvals),
        *domain.find_unvalued(unvalued_missions, minutes=unvalued_minutes),
    ]
    for check in MORE_CHECKS:
        found += await check(work, campaign)
    return found


async def check_notices(work: Work, campaign: Campaign) -> list[Finding]:
    """Whether every association with unspent credit was told, 30 and 7 days before; or was, when its credit has expired."""
    unspent = await _list_unspent(work, campaign.id)
    sent = await campaigns.list_sent_notices(work, campaign.id)
    names = await registry.find_actors(work, {association_id for association_id, _ in unspent})
    return domain.find_missing_notices(
        [
            Unspent(
                association_id,
                names[association_id].name if association_id in names else None,
                minutes,
                expires_on,
                sent.get((association_id, expires_on), frozenset()),
            )
            for (association_id, expires_on), minutes in sorted(unspent.items())
        ]
    )


async def _list_unspent(work: Work, campaign_id: UUID) -> dict[tuple[UUID, date], int]:
    """By association and last day to spend: its credit, or what of it expired."""
    minutes = await ledger.list_balances(work, campaign_id, AccountKind.CREDIT)
    for flow in await store.list_flows(work, campaign_id):
        if flow.account is AccountKind.CREDIT and flow.kind in {TransferKind.EXPIRE, TransferKind.CARRY}:
            minutes[flow.holder_id] -= flow.went_minutes
    last_days: dict[UUID, date] = {}
    for lot in await lots.list_lots(work, campaign_id):
        # The lot expires when its last day is over.
        last_day = local_date(lot.expires_at - timedelta(microseconds=1))
        last_days[lot.association_id] = max(last_day, last_days.get(lot.association_id, last_day))
    return {(one, last_days[one]): amount for one, amount in minutes.items() if amount and one in last_days}
