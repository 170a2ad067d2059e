"""What exports read besides statements: accounts as of an instant, grants, served minutes."""

from datetime import UTC, date, datetime
from uuid import UUID

from sqlalchemy import ColumnElement, case, func, select, true

from kernel.clock import local_date
from kernel.work import Work
from services.credits.domain.inkind import ServedMission
from services.credits.domain.ledger import AccountKind
from services.credits.domain.scdl import GrantedAid
from services.credits.domain.statements import Period
from services.credits.store.statements import account_at
from services.credits.store.valuations import select_valued_missions
from services.credits.tables import account, actor, hold, mission, signed_grant, transfer

BEGINNING, END = datetime(1900, 1, 1, tzinfo=UTC), datetime(2300, 1, 1, tzinfo=UTC)
# A reversal counts against what it undoes.
original = transfer.alias("original")
_SIGNED: ColumnElement[int] = case((transfer.c.reverses.is_not(None), -transfer.c.minutes), else_=transfer.c.minutes)


async def list_account_balances(work: Work, campaign_id: UUID, *, before: datetime) -> list[tuple[AccountKind, UUID, int]]:
    """Kind, holder and balance (over all lots) of every account, as recorded before an instant."""
    at = account_at(before)
    query = (
        select(account.c.kind, account.c.holder_id, func.sum(at.c.balance_minutes).label("minutes"))
        .select_from(account.join(at, true()))
        .where(account.c.campaign_id == campaign_id, at.c.version > 0)
        .group_by(account.c.kind, account.c.holder_id)
        .order_by(account.c.kind, account.c.holder_id)
    )
    rows = await work.connection.execute(query)
    return [(AccountKind(row.kind), row.holder_id, int(row.minutes)) for row in rows]


async def get_last_effect(work: Work, campaign_id: UUID, *, before: datetime) -> date | None:
    """The latest local day on which anything recorded by then took effect."""
    query = select(func.max(transfer.c.effective_at)).where(
        transfer.c.campaign_id == campaign_id, transfer.c.recorded_at < before
    )
    found: datetime | None = (await work.connection.execute(query)).scalar_one()
    return local_date(found) if found else None


async def list_served_missions(work: Work, campaign_id: UUID, association_id: UUID, *, period: Period) -> list[ServedMission]:
    """The association's missions with the minutes served for them, by the time of effect, net of reversals."""
    since, until = period.since or BEGINNING, period.until or END
    at = transfer.c.effective_at
    within = at < until
    query = (
        select(
            transfer.c.mission_id,
            hold.c.contributor_id,
            mission.c.title,
            mission.c.volunteer_id,
            actor.c.id.label("organisation_id"),
            actor.c.name,
            func.coalesce(func.sum(_SIGNED).filter(at < since), 0).label("before_minutes"),
            func.coalesce(func.sum(_SIGNED).filter(within), 0).label("until_minutes"),
            func.sum(_SIGNED).label("total_minutes"),
            func.max(at).filter(within).label("last_at"),
        )
        .outerjoin(original, original.c.id == transfer.c.reverses)
        .join(hold, hold.c.mission_id == transfer.c.mission_id)
        .outerjoin(mission, mission.c.id == transfer.c.mission_id)
        .outerjoin(actor, actor.c.id == hold.c.contributor_id)
        .where(
            transfer.c.campaign_id == campaign_id,
            hold.c.association_id == association_id,
            func.coalesce(original.c.kind, transfer.c.kind) == "settle",
        )
        .group_by(transfer.c.mission_id, hold.c.contributor_id, mission.c.title, mission.c.volunteer_id, actor.c.id, actor.c.name)
        .order_by("last_at", transfer.c.mission_id)
    )
    return [
        ServedMission(
            mission_id=row.mission_id,
            title=row.title,
            volunteer_id=row.volunteer_id,
            contributor_id=row.contributor_id,
            contributor_name=row.name,
            by_organisation=row.organisation_id is not None,
            day=local_date(row.last_at),
            before_minutes=int(row.before_minutes),
            until_minutes=int(row.until_minutes),
            total_minutes=int(row.total_minutes),
        )
        for row in await work.connection.execute(query)
        if row.last_at is not None
    ]


async def list_granted_aid(work: Work, campaign_id: UUID) -> list[GrantedAid]:
    """Signed grants as the ledger has them, net of what was reversed; those wholly undone are left out."""
    minutes = func.sum(_SIGNED)
    query = (
        select(signed_grant, actor.c.name, actor.c.siret, actor.c.rna, minutes.label("net_minutes"))
        .join(transfer, transfer.c.grant_id == signed_grant.c.id)
        .outerjoin(original, original.c.id == transfer.c.reverses)
        .outerjoin(actor, actor.c.id == signed_grant.c.association_id)
        .where(signed_grant.c.campaign_id == campaign_id, func.coalesce(original.c.kind, transfer.c.kind) == "grant")
        .group_by(*signed_grant.c, actor.c.name, actor.c.siret, actor.c.rna)
        .having(minutes > 0)
        .order_by(signed_grant.c.signed_at, signed_grant.c.id)
    )
    return [
        GrantedAid(row.id, row.association_id, row.name, row.siret, row.rna, local_date(row.signed_at), int(row.net_minutes))
        for row in await work.connection.execute(query)
    ]


async def list_valued_cents(work: Work, campaign_id: UUID, association_id: UUID, *, shared_only: bool) -> dict[UUID, int]:
    """What donors said the association's missions cost them, by mission: their latest word; `shared_only`: as far as the
    town may know it. One that values more minutes than are served by now (some were undone) is out of date and left out."""
    query = select_valued_missions().where(hold.c.campaign_id == campaign_id, hold.c.association_id == association_id)
    rows = await work.connection.execute(query.where(query.selected_columns["version"].is_not(None)))
    return {
        row.mission_id: row.amount_cents
        for row in rows
        if row.minutes <= row.served_minutes and (row.share_with_town or not shared_only)
    }
