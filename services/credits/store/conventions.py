"""Conventions: their versions and who accepted which, and the missions that have none yet."""

from dataclasses import fields
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, case, func, select
from sqlalchemy.dialects.postgresql import insert

from kernel.work import Work
from services.credits.domain.conventions import CONVENTION_TEMPLATE, Acceptance, ConventionState, Side, ToldMission, Version
from services.credits.tables import actor, convention, convention_acceptance, hold, mission


async def add_version(work: Work, mission_id: UUID, *, version: int, content: dict[str, Any], digest: str) -> None:
    await work.connection.execute(
        insert(convention).values(
            territory=work.territory,
            mission_id=mission_id,
            version=version,
            template=CONVENTION_TEMPLATE,
            content=content,
            digest=digest,
            drafted_by=work.caller.identity,
            drafted_at=work.now,
        )
    )


async def add_acceptance(work: Work, mission_id: UUID, *, version: int, side: Side) -> bool:
    """Whether it is new; False when this side accepted this version before."""
    statement = insert(convention_acceptance).values(
        territory=work.territory,
        mission_id=mission_id,
        version=version,
        side=side,
        accepted_by=work.caller.identity,
        actor_id=work.caller.actor_id,
        accepted_at=work.now,
    )
    added = await work.connection.execute(statement.on_conflict_do_nothing().returning(convention_acceptance.c.side))
    return added.first() is not None


async def list_versions(work: Work, mission_id: UUID) -> list[Version]:
    """The oldest first, each with its acceptances."""
    rows = await work.connection.execute(
        select(convention_acceptance)
        .where(convention_acceptance.c.mission_id == mission_id)
        .order_by(convention_acceptance.c.accepted_at, convention_acceptance.c.side)
    )
    accepted: dict[int, list[Acceptance]] = {}
    for row in rows:
        acceptance = Acceptance(Side(row.side), row.accepted_by, row.actor_id, row.accepted_at)
        accepted.setdefault(row.version, []).append(acceptance)
    query = select(convention).where(convention.c.mission_id == mission_id).order_by(convention.c.version)
    return [_version_of(row, accepted.get(row.version, [])) for row in await work.connection.execute(query)]


def _version_of(row: Row[Any], acceptances: list[Acceptance]) -> Version:
    return Version(
        version=row.version,
        template=row.template,
        content=row.content,
        digest=row.digest,
        drafted_by=row.drafted_by,
        drafted_at=row.drafted_at,
        acceptances=tuple(acceptances),
    )


async def find_told_mission(work: Work, mission_id: UUID) -> ToldMission | None:
    columns = [mission.c[one.name] for one in fields(ToldMission)]
    row = (await work.connection.execute(select(*columns).where(mission.c.id == mission_id))).first()
    return ToldMission(*row) if row else None


def select_conventions(campaign_id: UUID) -> Select[Any]:
    """The campaign's missions that hold or spent credit, with how far their convention is."""
    latest = select(convention.c.mission_id, func.max(convention.c.version).label("latest_version"))
    versions = latest.group_by(convention.c.mission_id).subquery()
    full = (
        select(convention_acceptance.c.mission_id, convention_acceptance.c.version)
        .group_by(convention_acceptance.c.mission_id, convention_acceptance.c.version)
        .having(func.count() == len(Side))
        .subquery()
    )
    concluded = (
        select(full.c.mission_id, func.max(full.c.version).label("concluded_version")).group_by(full.c.mission_id).subquery()
    )
    state = case(
        (concluded.c.concluded_version.is_not(None), ConventionState.CONCLUDED),
        (versions.c.latest_version.is_not(None), ConventionState.AWAITING),
        else_=ConventionState.MISSING,
    )
    return (
        select(
            hold.c.mission_id,
            hold.c.campaign_id,
            hold.c.association_id,
            hold.c.contributor_id,
            hold.c.minutes,
            hold.c.ends_on,
            mission.c.title,
            actor.c.name.label("association_name"),
            versions.c.latest_version,
            concluded.c.concluded_version,
            state.label("convention_state"),
        )
        .select_from(hold)
        .outerjoin(versions, versions.c.mission_id == hold.c.mission_id)
        .outerjoin(concluded, concluded.c.mission_id == hold.c.mission_id)
        .outerjoin(mission, mission.c.id == hold.c.mission_id)
        .outerjoin(actor, actor.c.id == hold.c.association_id)
        .where(hold.c.campaign_id == campaign_id, hold.c.state.in_(["held", "settled"]))
    )
