"""This service's own copy of people, bodies, campaigns, needs and missions; made by listening."""

from collections.abc import Collection
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Select,
    Table,
    Text,
    and_,
    any_,
    bindparam,
    func,
    null,
    or_,
    select,
    type_coerce,
    union_all,
)
from sqlalchemy import Uuid as UuidType
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import insert as upsert

from kernel.work import Work
from services.notifications.domain.announcements import Mission
from services.notifications.domain.people import Category, Member
from services.notifications.tables import actor, campaign, member, mission, need, panel_place, preference, territory


async def save_version(work: Work, table: Table, values: dict[str, Any]) -> None:
    """Keep a member or an actor as they now are, unless a newer version came first."""
    statement = upsert(table).values(territory=work.territory, **values)
    newer = statement.excluded.version > table.c.version
    await work.connection.execute(statement.on_conflict_do_update(index_elements=["territory", "id"], set_=values, where=newer))


async def save_once(work: Work, table: Table, values: dict[str, Any]) -> None:
    """Keep a fact that never changes."""
    await work.connection.execute(upsert(table).values(territory=work.territory, **values).on_conflict_do_nothing())


async def save_territory_name(work: Work, name: str) -> None:
    statement = upsert(territory).values(territory=work.territory, name=name)
    await work.connection.execute(statement.on_conflict_do_update(index_elements=["territory"], set_={"name": name}))


async def list_territories(work: Work) -> list[str]:
    """Every territory that was ever heard of here."""
    return list((await work.connection.execute(select(territory.c.territory))).scalars())


async def find_member_locale(work: Work, member_id: UUID) -> str | None:
    locale: str | None = await work.connection.scalar(select(member.c.locale).where(member.c.id == member_id))
    return locale


async def find_mission(work: Work, mission_id: UUID) -> Mission | None:
    row = (await work.connection.execute(select(mission).where(mission.c.id == mission_id))).one_or_none()
    if row is None:
        return None
    return Mission(row.id, row.title, row.campaign_id, row.association_id, row.volunteer_id, row.company_id)


async def list_panel(work: Work, campaign_id: UUID) -> set[UUID]:
    """The associations admitted to a campaign."""
    query = select(panel_place.c.association_id).where(panel_place.c.campaign_id == campaign_id)
    return set((await work.connection.execute(query)).scalars())


async def list_names(work: Work, ids: Collection[UUID]) -> dict[UUID | None, str]:
    """What members, actors, campaigns and needs of these ids are called; the territory's name is under None."""
    rows = await work.connection.execute(_naming(), {"ids": list(ids), "own": work.territory})
    return {row.id: row.name for row in rows}


@cache
def _naming() -> CompoundSelect[Any]:
    def named(table: Table, name: ColumnElement[str]) -> Select[Any]:
        return select(table.c.id.label("id"), name.label("name")).where(
            table.c.id == any_(bindparam("ids", type_=ARRAY(UuidType)))
        )

    own = select(type_coerce(null(), UuidType).label("id"), func.coalesce(territory.c.name, territory.c.territory).label("name"))
    return union_all(
        named(member, member.c.display_name),
        named(actor, actor.c.name),
        named(campaign, campaign.c.title),
        named(need, need.c.title),
        own.where(territory.c.territory == bindparam("own")),
    )


async def list_candidates(
    work: Work, *, people: Collection[UUID], actors: Collection[UUID], roles: Collection[str], category: Category
) -> list[Member]:
    """Those who may be told: named themselves, or of a named body, or of a role; with what they want of the category."""
    rows = await work.connection.execute(
        _choosing(), {"people": list(people), "actors": list(actors), "roles": list(roles), "category": category}
    )
    return [
        Member(
            id=row.id,
            actor_id=row.actor_id,
            display_name=row.display_name,
            email=row.email,
            roles=frozenset(row.roles),
            locale=row.locale,
            wants_email=row.wants_email is not False,
            wants_inbox=row.wants_inbox is not False,
        )
        for row in rows
    ]


@cache
def _choosing() -> Select[Any]:
    choice = and_(preference.c.member_id == member.c.id, preference.c.category == bindparam("category"))
    return (
        select(member, preference.c.email.label("wants_email"), preference.c.inbox.label("wants_inbox"))
        .outerjoin(preference, choice)
        .where(
            member.c.archived.is_(False),
            or_(
                member.c.id == any_(bindparam("people", type_=ARRAY(UuidType))),
                member.c.actor_id == any_(bindparam("actors", type_=ARRAY(UuidType))),
                member.c.roles.overlap(bindparam("roles", type_=ARRAY(Text))),
            ),
        )
        .order_by(member.c.id)
    )
