"""Valuations: versions of what a donor said, its consents, and what the ledger says was served."""

from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, ScalarSelect, Select, and_, case, func, select
from sqlalchemy.dialects.postgresql import insert

from kernel.work import Work
from services.credits.domain.errors import NotFound
from services.credits.domain.patronage import PatronageLaw
from services.credits.domain.valuations import CostLine, Valuation
from services.credits.tables import actor, hold, mission, transfer, valuation, valuation_consent


def valuation_of(row: Row[Any]) -> Valuation:
    lines = tuple(
        CostLine(line["minutes"], line["hourly_cost_cents"], line["grade"], line["employees"], line["months"])
        for line in row.lines
    )
    return Valuation(row.from_day, row.to_day, lines, row.method, row.law_year)


async def add_version(
    work: Work, mission_id: UUID, found: Valuation, *, version: int, law: PatronageLaw, reason: str | None
) -> None:
    await work.connection.execute(
        insert(valuation).values(
            territory=work.territory,
            mission_id=mission_id,
            version=version,
            from_day=found.from_day,
            to_day=found.to_day,
            minutes=found.minutes,
            amount_cents=found.amount_cents,
            retained_cents=found.retained_cents(law),
            lines=found.lines_content(law),
            method=found.method,
            law_year=found.law_year,
            reason=reason,
            valued_by=work.caller.identity,
            valued_at=work.now,
        )
    )


async def find_latest_row(work: Work, mission_id: UUID) -> Row[Any] | None:
    query = select(valuation).where(valuation.c.mission_id == mission_id).order_by(valuation.c.version.desc()).limit(1)
    return (await work.connection.execute(query)).first()


async def list_version_rows(work: Work, mission_id: UUID) -> list[Row[Any]]:
    query = select(valuation).where(valuation.c.mission_id == mission_id).order_by(valuation.c.version)
    return list((await work.connection.execute(query)).all())


async def add_consent(work: Work, mission_id: UUID, *, version: int, share_with_town: bool) -> None:
    await work.connection.execute(
        insert(valuation_consent).values(
            territory=work.territory,
            mission_id=mission_id,
            version=version,
            share_with_town=share_with_town,
            said_by=work.caller.identity,
            said_at=work.now,
        )
    )


async def find_consent_row(work: Work, mission_id: UUID) -> Row[Any] | None:
    query = select(valuation_consent).where(valuation_consent.c.mission_id == mission_id)
    return (await work.connection.execute(query.order_by(valuation_consent.c.version.desc()).limit(1))).first()


def shared_with_town(mission_id: ColumnElement[UUID]) -> ScalarSelect[Any]:
    """What the donor last said of this mission's figures; null when it said nothing. Correlated to the mission's row."""
    return (
        select(valuation_consent.c.share_with_town)
        .where(valuation_consent.c.mission_id == mission_id)
        .order_by(valuation_consent.c.version.desc())
        .limit(1)
        .correlate(mission_id.table)
        .scalar_subquery()
    )


def served_minutes_of(mission_id: ColumnElement[UUID]) -> ScalarSelect[Any]:
    """Settled, less what was reversed of it, as the ledger has it; correlated to the mission's row."""
    undone = transfer.alias("undone")
    settled = transfer.alias("settled")
    back = (
        select(func.coalesce(func.sum(undone.c.minutes), 0))
        .where(undone.c.reverses == settled.c.id)
        .correlate(settled)
        .scalar_subquery()
    )
    return (
        select(func.coalesce(func.sum(settled.c.minutes - back), 0))
        .where(settled.c.mission_id == mission_id, settled.c.kind == "settle")
        .correlate(mission_id.table)
        .scalar_subquery()
    )


async def sum_served_minutes(work: Work, mission_id: UUID) -> int:
    """Exact under the lock of the mission's hold."""
    query = select(served_minutes_of(hold.c.mission_id)).where(hold.c.mission_id == mission_id)
    return int((await work.connection.execute(query)).scalar_one())


def select_valued_missions() -> Select[Any]:
    """Missions with what was served; those with a valuation bear its latest version."""
    latest = valuation.alias("latest")
    newest = select(func.max(valuation.c.version)).where(valuation.c.mission_id == hold.c.mission_id).correlate(hold)
    is_latest = and_(latest.c.mission_id == hold.c.mission_id, latest.c.version == newest.scalar_subquery())
    figures = [column for column in latest.c if column.key not in {"territory", "mission_id"}]
    return (
        select(
            hold.c.mission_id,
            hold.c.campaign_id,
            hold.c.association_id,
            hold.c.contributor_id,
            mission.c.title,
            actor.c.name.label("association_name"),
            served_minutes_of(hold.c.mission_id).label("served_minutes"),
            case((shared_with_town(hold.c.mission_id).is_(True), True), else_=False).label("share_with_town"),
            *figures,
        )
        .select_from(hold)
        .outerjoin(latest, is_latest)
        .outerjoin(mission, mission.c.id == hold.c.mission_id)
        .outerjoin(actor, actor.c.id == hold.c.association_id)
    )


async def get_valued_mission(work: Work, mission_id: UUID) -> Row[Any]:
    row: Row[Any] | None = (
        await work.connection.execute(select_valued_missions().where(hold.c.mission_id == mission_id))
    ).first()
    if row is None:
        raise NotFound(f"There is no mission {mission_id} here; GET /campaigns/{{id}}/holds lists them.")
    return row
