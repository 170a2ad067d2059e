"""The flows that indicators are folded from, added up by PostgreSQL out of the transfers themselves."""

from uuid import UUID

from sqlalchemy import ColumnElement, Date, and_, case, cast, func, or_, select

from kernel.clock import LOCAL_ZONE
from kernel.work import Work
from services.credits.domain.indicators import Flow, Moved, Pace
from services.credits.tables import account, hold, transfer

source = account.alias("source")
target = account.alias("target")
original = transfer.alias("original")
_IS_REVERSAL = transfer.c.reverses.is_not(None)
_KIND = func.coalesce(original.c.kind, transfer.c.kind)
_SIGNED: ColumnElement[int] = case((_IS_REVERSAL, -transfer.c.minutes), else_=transfer.c.minutes)
# The side that is an association's or a contributor's: the other one is the campaign's own.
_HOLDER = case((source.c.kind.in_(["pool", "lapsed", "carried"]), target.c.holder_id), else_=source.c.holder_id)


def _touches(kind: str) -> ColumnElement[bool]:
    return or_(source.c.kind == kind, target.c.kind == kind)


# Where an expiry led to, and which way a carry-over went, tell the accounts.
_FLOW = case(
    (and_(_KIND == "expire", _touches("lapsed")), Flow.LAPSE),
    (_KIND == "expire", Flow.RETURN),
    (and_(_KIND == "carry", (source.c.kind == "carried") == _IS_REVERSAL), Flow.CARRY_OUT),
    (_KIND == "carry", Flow.CARRY_IN),
    else_=_KIND,
)
_MONTH = cast(func.date_trunc("month", func.timezone(str(LOCAL_ZONE), transfer.c.effective_at)), Date)


async def list_moved(work: Work, campaign_id: UUID) -> list[Moved]:
    """Net minutes by flow, holder, contributor of the mission, and local month of effect."""
    grouped = (
        select(
            _FLOW.label("flow"),
            _HOLDER.label("holder_id"),
            hold.c.contributor_id,
            _MONTH.label("month"),
            _SIGNED.label("minutes"),
        )
        .select_from(transfer)
        .join(source, source.c.id == transfer.c.from_account_id)
        .join(target, target.c.id == transfer.c.to_account_id)
        .outerjoin(original, original.c.id == transfer.c.reverses)
        .outerjoin(hold, hold.c.mission_id == transfer.c.mission_id)
        .where(transfer.c.campaign_id == campaign_id)
        .subquery()
    )
    keys = (grouped.c.month, grouped.c.flow, grouped.c.holder_id, grouped.c.contributor_id)
    query = select(*keys, func.sum(grouped.c.minutes).label("minutes")).group_by(*keys).order_by(*keys)
    return [
        Moved(Flow(row.flow), row.holder_id, row.contributor_id, row.month, int(row.minutes))
        for row in await work.connection.execute(query)
    ]


async def list_pace(work: Work, campaign_id: UUID) -> list[Pace]:
    """For each association with a grant: when it was first granted minutes, first served, and served half of them."""
    flows = (
        select(
            _HOLDER.label("holder_id"),
            _KIND.label("kind"),
            _SIGNED.label("minutes"),
            transfer.c.effective_at,
            func.sum(_SIGNED)
            .over(partition_by=(_HOLDER, _KIND), order_by=(transfer.c.effective_at, transfer.c.recorded_at, transfer.c.id))
            .label("until_now"),
        )
        .select_from(transfer)
        .join(source, source.c.id == transfer.c.from_account_id)
        .join(target, target.c.id == transfer.c.to_account_id)
        .outerjoin(original, original.c.id == transfer.c.reverses)
        .where(transfer.c.campaign_id == campaign_id, _KIND.in_(["grant", "settle"]))
        .cte("flows")
    )
    granted = (
        select(
            flows.c.holder_id,
            func.min(flows.c.effective_at).label("granted_at"),
            func.sum(flows.c.minutes).label("granted"),
        )
        .where(flows.c.kind == "grant")
        .group_by(flows.c.holder_id)
        .having(func.sum(flows.c.minutes) > 0)
        .cte("granted")
    )
    served = flows.alias("served")
    query = (
        select(
            granted.c.holder_id,
            granted.c.granted_at,
            func.min(served.c.effective_at).filter(served.c.until_now > 0).label("first_used_at"),
            func.min(served.c.effective_at).filter(served.c.until_now * 2 >= granted.c.granted).label("half_used_at"),
        )
        .outerjoin(served, and_(served.c.holder_id == granted.c.holder_id, served.c.kind == "settle"))
        .group_by(granted.c.holder_id, granted.c.granted_at)
        .order_by(granted.c.holder_id)
    )
    rows = await work.connection.execute(query)
    return [Pace(row.holder_id, row.granted_at, row.first_used_at, row.half_used_at) for row in rows]
