"""Campaigns, their panel and their pledges."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, bindparam, case, func, select, update
from sqlalchemy.dialects.postgresql import insert

from kernel.ids import new_id, new_ids
from kernel.statements import Prepared
from kernel.work import OutboxRow, Work
from services.credits.domain.campaigns import (
    Campaign,
    CampaignFacts,
    CampaignState,
    ExpiryRule,
    Pledge,
    Rules,
    Safeguards,
)
from services.credits.domain.errors import NotFound
from services.credits.domain.grants import PanelSeat
from services.credits.domain.journal import Author
from services.credits.store.calls import document_of, events_document
from services.credits.store.ledger import named_errors
from services.credits.tables import account, actor, campaign, entry, expiry_notice, member, panel, pledge, transfer


def campaign_of(row: Row[Any]) -> Campaign:
    rules = Rules(
        row.step_minutes, row.compensation_permille, row.hour_value_cents, ExpiryRule(row.expiry), row.conventions_required
    )
    safeguards = Safeguards(row.four_eyes_above_minutes, row.daily_limit_minutes)
    facts = CampaignFacts(row.title, row.starts_on, row.ends_on, row.operator_id, rules, safeguards)
    return Campaign(row.id, row.ref, facts, CampaignState(row.state), row.version, row.closure_reason)


def _columns_of(facts: CampaignFacts) -> dict[str, Any]:
    return {
        "title": facts.title,
        "starts_on": facts.starts_on,
        "ends_on": facts.ends_on,
        "operator_id": facts.operator_id,
        "step_minutes": facts.rules.step_minutes,
        "compensation_permille": facts.rules.compensation_permille,
        "hour_value_cents": facts.rules.hour_value_cents,
        "expiry": facts.rules.expiry,
        "conventions_required": facts.rules.conventions_required,
        "four_eyes_above_minutes": facts.safeguards.four_eyes_above_minutes,
        "daily_limit_minutes": facts.safeguards.daily_limit_minutes,
    }


async def add_campaign(work: Work, *, ref: str, facts: CampaignFacts) -> bool:
    """Whether it was added; False when the ref is taken."""
    statement = insert(campaign).values(
        territory=work.territory, id=new_id(), ref=ref, state="draft", version=1, **_columns_of(facts)
    )
    added = await work.connection.execute(
        statement.on_conflict_do_nothing(index_elements=["territory", "ref"]).returning(campaign.c.id)
    )
    return added.first() is not None


_CAMPAIGN = Prepared(select(campaign).where(campaign.c.id == bindparam("id")))
_CAMPAIGN_TO_USE = Prepared(select(campaign).where(campaign.c.id == bindparam("id")).with_for_update(read=True))


async def get_campaign(work: Work, campaign_id: UUID) -> Campaign:
    row = (await work.run(_CAMPAIGN, id=campaign_id)).first()
    if row is None:
        raise NotFound(f"There is no campaign {campaign_id}; GET /campaigns lists them.")
    return campaign_of(row)


async def find_campaign_to_use(work: Work, campaign_id: UUID) -> Campaign | None:
    """Locked against being closed meanwhile; others may use it at the same time."""
    row = (await work.run(_CAMPAIGN_TO_USE, id=campaign_id)).first()
    return campaign_of(row) if row else None


async def use_campaign(work: Work, campaign_id: UUID) -> Campaign:
    found = await find_campaign_to_use(work, campaign_id)
    return found or await get_campaign(work, campaign_id)


async def lock_campaign(work: Work, campaign_id: UUID) -> Campaign:
    """Locked for oneself: to edit, open or close it, or to sign its grants."""
    row = (await work.connection.execute(select(campaign).where(campaign.c.id == campaign_id).with_for_update())).first()
    return campaign_of(row) if row else await get_campaign(work, campaign_id)


async def lock_campaign_by_ref(work: Work, ref: str) -> Campaign:
    row = (await work.connection.execute(select(campaign).where(campaign.c.ref == ref).with_for_update())).one()
    return campaign_of(row)


async def find_conventions_required(work: Work, ref: str) -> bool:
    """Whether the campaign of this ref asks for conventions; one that is not written yet does."""
    found = await work.connection.scalar(select(campaign.c.conventions_required).where(campaign.c.ref == ref))
    return found is not False


async def save_facts(work: Work, found: Campaign, facts: CampaignFacts) -> Campaign:
    return await _save(work, found, **_columns_of(facts))


async def save_opened(work: Work, found: Campaign) -> Campaign:
    return await _save(work, found, state="open", opened_at=work.now)


async def save_closed(work: Work, found: Campaign, *, reason: str) -> Campaign:
    return await _save(work, found, state="closed", closed_at=work.now, closed_by=work.caller.identity, closure_reason=reason)


async def _save(work: Work, found: Campaign, **values: Any) -> Campaign:
    statement = update(campaign).where(campaign.c.id == found.id).values(version=found.version + 1, **values)
    return campaign_of((await work.connection.execute(statement.returning(campaign))).one())


async def list_ended_campaigns(work: Work, *, today: date) -> list[UUID]:
    query = select(campaign.c.id).where(campaign.c.state == "open", campaign.c.ends_on < today).order_by(campaign.c.id)
    return list((await work.connection.execute(query)).scalars())


# ---- Panel ---------------------------------------------------------------------------------------------------------


def _granted_minutes() -> Select[Any]:
    """What an association was granted, net of reversals, as the ledger has it; correlated to `panel`."""
    return (
        select(func.coalesce(func.sum(entry.c.minutes), 0))
        .select_from(entry)
        .join(transfer, transfer.c.id == entry.c.transfer_id)
        .join(account, account.c.id == entry.c.account_id)
        .where(
            account.c.campaign_id == panel.c.campaign_id,
            account.c.holder_id == panel.c.association_id,
            account.c.kind == "credit",
            transfer.c.grant_id.is_not(None),
        )
        .correlate(panel)
    )


def select_panel(campaign_id: UUID) -> Select[Any]:
    granted = _granted_minutes().scalar_subquery().label("already_granted_minutes")
    return (
        select(panel, granted, actor.c.name.label("association_name"))
        .select_from(panel)
        .outerjoin(actor, actor.c.id == panel.c.association_id)
        .where(panel.c.campaign_id == campaign_id)
    )


async def list_seats(work: Work, campaign_id: UUID) -> list[PanelSeat]:
    rows = await work.connection.execute(select_panel(campaign_id).order_by(panel.c.association_id))
    return [
        PanelSeat(row.association_id, row.subsidy_before_cents, row.subsidy_after_cents, int(row.already_granted_minutes))
        for row in rows
    ]


async def get_seat_row(work: Work, campaign_id: UUID, association_id: UUID) -> Row[Any]:
    query = select_panel(campaign_id).where(panel.c.association_id == association_id)
    row: Row[Any] = (await work.connection.execute(query)).one()
    return row


async def is_on_panel(work: Work, campaign_id: UUID, association_id: UUID) -> bool:
    query = select(panel.c.id).where(panel.c.campaign_id == campaign_id, panel.c.association_id == association_id)
    return (await work.connection.execute(query)).first() is not None


async def has_seat(work: Work, campaign_id: UUID, seat: PanelSeat) -> bool:
    """Whether the association is on the panel with exactly these subsidies."""
    query = select(panel.c.id).where(
        panel.c.campaign_id == campaign_id,
        panel.c.association_id == seat.association_id,
        panel.c.subsidy_before_cents == seat.subsidy_before_cents,
        panel.c.subsidy_after_cents == seat.subsidy_after_cents,
    )
    return (await work.connection.execute(query)).first() is not None


async def add_seat(work: Work, campaign_id: UUID, seat: PanelSeat) -> bool:
    """Whether it was added; False when the association is on the panel already."""
    statement = insert(panel).values(
        territory=work.territory,
        id=new_id(),
        campaign_id=campaign_id,
        association_id=seat.association_id,
        subsidy_before_cents=seat.subsidy_before_cents,
        subsidy_after_cents=seat.subsidy_after_cents,
        version=1,
    )
    added = await work.connection.execute(statement.on_conflict_do_nothing().returning(panel.c.id))
    return added.first() is not None


async def change_seat(work: Work, campaign_id: UUID, seat: PanelSeat) -> bool:
    """Whether anything changed."""
    subsidies = {"subsidy_before_cents": seat.subsidy_before_cents, "subsidy_after_cents": seat.subsidy_after_cents}
    statement = update(panel).where(
        panel.c.campaign_id == campaign_id,
        panel.c.association_id == seat.association_id,
        (panel.c.subsidy_before_cents != seat.subsidy_before_cents) | (panel.c.subsidy_after_cents != seat.subsidy_after_cents),
    )
    changed = await work.connection.execute(statement.values(version=panel.c.version + 1, **subsidies).returning(panel.c.id))
    return changed.first() is not None


# ---- Pledges -------------------------------------------------------------------------------------------------------


# What a contributor says of a pledge: said again, it changes nothing.
_SAID = ("campaign_id", "ref", "contributor_id", "stated_minutes", "note")


def select_pledges() -> Select[Any]:
    """Pledges with their worth: what they brought to the pool, less what was taken back."""
    worth = (
        select(func.coalesce(func.sum(case((account.c.kind == "pool", entry.c.minutes), else_=0)), 0))
        .select_from(transfer)
        .join(entry, entry.c.transfer_id == transfer.c.id)
        .join(account, account.c.id == entry.c.account_id)
        .where(transfer.c.pledge_id == pledge.c.id)
        .correlate(pledge)
        .scalar_subquery()
    )
    return (
        select(
            pledge,
            worth.label("minutes"),
            actor.c.name.label("contributor_name"),
            case((member.c.id.is_not(None), "citizen"), else_=actor.c.kind).label("contributor_kind"),
        )
        .select_from(pledge)
        .outerjoin(actor, actor.c.id == pledge.c.contributor_id)
        .outerjoin(member, member.c.id == pledge.c.contributor_id)
    )


def pledge_of(row: Row[Any]) -> Pledge:
    return Pledge(
        row.id, row.campaign_id, row.ref, row.contributor_id, row.stated_minutes, row.note, row.version, int(row.minutes)
    )


# Built once: building them takes longer than sending them.
_PLEDGE = Prepared(select_pledges().where(pledge.c.id == bindparam("id")))
_SAME_PLEDGE = Prepared(select_pledges().where(*(pledge.c[name] == bindparam(name) for name in _SAID)))
_LOCK_PLEDGE = Prepared(select(pledge.c.id).where(pledge.c.id == bindparam("id")).with_for_update())
_LOCK_BY_REF = Prepared(
    select(pledge.c.id)
    .where(pledge.c.campaign_id == bindparam("campaign_id"), pledge.c.ref == bindparam("ref"))
    .with_for_update()
)


async def get_pledge_row(work: Work, pledge_id: UUID) -> Row[Any]:
    row: Row[Any] | None = (await work.run(_PLEDGE, id=pledge_id)).first()
    if row is None:
        raise NotFound(f"There is no pledge {pledge_id}; GET /campaigns/{{id}}/pledges lists them.")
    return row


async def get_pledge(work: Work, pledge_id: UUID) -> Pledge:
    return pledge_of(await get_pledge_row(work, pledge_id))


async def lock_pledge(work: Work, pledge_id: UUID) -> Pledge:
    await work.run(_LOCK_PLEDGE, id=pledge_id)
    return await get_pledge(work, pledge_id)


async def find_same_pledge(
    work: Work, campaign_id: UUID, ref: str, contributor_id: UUID, *, minutes: int, note: str
) -> Pledge | None:
    """The pledge of this ref, if this is what was last said of it."""
    said = dict(zip(_SAID, (campaign_id, ref, contributor_id, minutes, note), strict=True))
    row = (await work.run(_SAME_PLEDGE, **said)).first()
    return pledge_of(row) if row else None


async def find_pledge(work: Work, campaign_id: UUID, ref: str) -> Pledge | None:
    query = select_pledges().where(pledge.c.campaign_id == campaign_id, pledge.c.ref == ref)
    row = (await work.connection.execute(query)).first()
    return pledge_of(row) if row else None


async def lock_pledge_by_ref(work: Work, campaign_id: UUID, ref: str) -> Pledge | None:
    id = (await work.run(_LOCK_BY_REF, campaign_id=campaign_id, ref=ref)).scalar()
    return await get_pledge(work, id) if id is not None else None


async def has_pledged(work: Work, campaign_id: UUID, contributor_id: UUID) -> bool:
    query = select(pledge.c.id).where(pledge.c.campaign_id == campaign_id, pledge.c.contributor_id == contributor_id).limit(1)
    return (await work.connection.execute(query)).first() is not None


_POST_PROMISES = "SELECT * FROM post_promises($1, $2, $3)"


async def post_promises(work: Work, promised: Sequence[tuple[Pledge, Author, OutboxRow]]) -> set[UUID]:
    """Add new pledges of open campaigns, bring their minutes to the pools, and tell it by the event of each; ids of those that
    were added, being new and in order. One call (migration 0010)."""
    rows = [
        {
            "transfer_id": transfer_id,
            "id": pledge.id,
            "campaign_id": pledge.campaign_id,
            "ref": pledge.ref,
            "contributor_id": pledge.contributor_id,
            "minutes": pledge.minutes,
            "note": pledge.note,
            "who": author.who,
            "why": pledge.posting_reason,
            "effective_at": author.effective_at,
            "key": pledge.posting_key,
        }
        for transfer_id, (pledge, author, _) in zip(new_ids(len(promised)), promised, strict=True)
    ]
    campaign_ids = list({pledge.campaign_id for pledge, _, _ in promised})
    events = [event for _, _, event in promised]
    with named_errors():
        entered = await work.driver.fetch(_POST_PROMISES, campaign_ids, document_of(rows), events_document(events))
    work.add_entered(events, entered)
    told = {row["event_id"] for row in entered}
    return {pledge.id for pledge, _, event in promised if event[0] in told}


async def save_next_version(work: Work, found: Pledge, *, stated_minutes: int, note: str) -> Pledge:
    """Its number is part of the key of the transfer that the change makes."""
    changed = replace(found, stated_minutes=stated_minutes, note=note, version=found.version + 1)
    statement = update(pledge).where(pledge.c.id == found.id)
    await work.connection.execute(statement.values(stated_minutes=stated_minutes, note=note, version=changed.version))
    return changed


# ---- The campaign's end --------------------------------------------------------------------------------------------


async def list_sent_notices(work: Work, campaign_id: UUID) -> dict[tuple[UUID, date], frozenset[int]]:
    """By association and day of expiry: the notices given, by their days before."""
    rows = await work.connection.execute(select(expiry_notice).where(expiry_notice.c.campaign_id == campaign_id))
    sent: dict[tuple[UUID, date], frozenset[int]] = {}
    for row in rows:
        key = (row.association_id, row.expires_on)
        sent[key] = sent.get(key, frozenset()) | {row.days_before}
    return sent


async def add_notices(work: Work, campaign_id: UUID, notices: Sequence[tuple[UUID, date, int]]) -> None:
    rows = [
        {
            "territory": work.territory,
            "campaign_id": campaign_id,
            "association_id": association_id,
            "expires_on": expires_on,
            "days_before": days_before,
            "sent_at": work.now,
        }
        for association_id, expires_on, days_before in notices
    ]
    if rows:
        await work.connection.execute(insert(expiry_notice), rows)
