"""Holds of missions, and the refusals that were given instead."""

from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, select, update
from sqlalchemy.dialects.postgresql import insert

from kernel.ids import new_id
from kernel.work import Work
from services.credits.domain.holds import Hold, HoldState, Refusal
from services.credits.tables import actor, campaign, hold, mission, refusal


def hold_of(row: Row[Any]) -> Hold:
    return Hold(
        row.mission_id,
        row.campaign_id,
        row.association_id,
        row.contributor_id,
        row.minutes,
        row.served_minutes,
        row.ends_on,
        HoldState(row.state),
    )


async def add_hold(work: Work, found: Hold) -> bool:
    """Whether the mission is new here; False when anything was decided about it before (waits for who decides now)."""
    statement = insert(hold).values(
        territory=work.territory,
        mission_id=found.mission_id,
        campaign_id=found.campaign_id,
        association_id=found.association_id,
        contributor_id=found.contributor_id,
        minutes=found.minutes,
        served_minutes=found.served_minutes,
        ends_on=found.ends_on,
        state=found.state,
        changed_at=work.now,
    )
    added = await work.connection.execute(statement.on_conflict_do_nothing().returning(hold.c.mission_id))
    return added.first() is not None


async def lock_hold(work: Work, mission_id: UUID) -> Hold | None:
    row = (await work.connection.execute(select(hold).where(hold.c.mission_id == mission_id).with_for_update())).first()
    return hold_of(row) if row else None


async def save_hold(work: Work, found: Hold, *, state: HoldState, served_minutes: int = 0) -> None:
    statement = update(hold).where(hold.c.mission_id == found.mission_id)
    await work.connection.execute(statement.values(state=state, served_minutes=served_minutes, changed_at=work.now))


async def list_overdue_holds(work: Work, *, ended_before: date) -> list[Hold]:
    """Holds of missions over for long whose campaign is closed."""
    query = (
        select(hold)
        .join(campaign, campaign.c.id == hold.c.campaign_id)
        .where(hold.c.state == "held", campaign.c.state == "closed", hold.c.ends_on < ended_before)
        .order_by(hold.c.mission_id)
    )
    return [hold_of(row) for row in await work.connection.execute(query)]


def select_holds(campaign_id: UUID) -> Select[Any]:
    return (
        select(hold, mission.c.title, mission.c.volunteer_id, actor.c.name.label("association_name"))
        .select_from(hold)
        .outerjoin(mission, mission.c.id == hold.c.mission_id)
        .outerjoin(actor, actor.c.id == hold.c.association_id)
        .where(hold.c.campaign_id == campaign_id)
    )


async def add_refusal(
    work: Work,
    refused: Refusal,
    *,
    subject: str,
    mission_id: UUID,
    campaign_id: UUID,
    association_id: UUID,
    contributor_id: UUID,
    asked_minutes: int,
) -> None:
    message = work.message
    await work.connection.execute(
        insert(refusal).values(
            territory=work.territory,
            id=new_id(),
            campaign_id=campaign_id,
            subject=subject,
            mission_id=mission_id,
            association_id=association_id,
            contributor_id=contributor_id,
            code=refused.code,
            reason=refused.reason,
            asked_minutes=asked_minutes,
            missing_minutes=refused.missing_minutes,
            asked_by=(message.actorid if message else None) or work.caller.identity,
            recorded_at=work.now,
        )
    )


def select_refusals(campaign_id: UUID) -> Select[Any]:
    return (
        select(refusal, mission.c.title, actor.c.name.label("association_name"))
        .select_from(refusal)
        .outerjoin(mission, mission.c.id == refusal.c.mission_id)
        .outerjoin(actor, actor.c.id == refusal.c.association_id)
        .where(refusal.c.campaign_id == campaign_id)
    )
