"""This service's own copy of people, bodies, campaigns, needs and missions; made by listening."""

from collections.abc import Collection
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import Table, select
from sqlalchemy.dialects.postgresql import insert as upsert

from kernel.statements import Prepared, write_row
from kernel.work import Work
from services.notifications.domain.announcements import Mission
from services.notifications.domain.people import Category, Member
from services.notifications.tables import member, territory

_MISSIONS = """
SELECT id, title, campaign_id, association_id, volunteer_id, company_id FROM mission WHERE id = ANY($1::uuid[])
"""
_PANELS = """
SELECT campaign_id, array_agg(association_id) FROM panel_place WHERE campaign_id = ANY($1::uuid[]) GROUP BY campaign_id
"""
_NAMES = """
SELECT id, display_name FROM member WHERE id = ANY($1::uuid[])
UNION ALL SELECT id, name FROM actor WHERE id = ANY($1::uuid[])
UNION ALL SELECT id, title FROM campaign WHERE id = ANY($1::uuid[])
UNION ALL SELECT id, title FROM need WHERE id = ANY($1::uuid[])
UNION ALL SELECT NULL, coalesce(name, territory) FROM territory WHERE territory = $2
"""
_CANDIDATES = """
SELECT member.id, actor_id, display_name, member.email, roles, locale, archived,
  coalesce(preference.email, true) AS wants_email, coalesce(preference.inbox, true) AS wants_inbox
FROM member LEFT JOIN preference ON preference.member_id = member.id AND preference.category = $4
WHERE NOT archived AND (member.id = ANY($1::uuid[]) OR actor_id = ANY($2::uuid[]) OR roles && $3::text[])
ORDER BY member.id
"""


async def save_version(work: Work, table: Table, values: dict[str, Any]) -> None:
    """Keep a member or an actor as they now are, unless a newer version came first."""
    await work.run(_replacing(table), territory=work.territory, **values)


@cache
def _replacing(table: Table) -> Prepared:
    return write_row(table, if_newer=True)


async def save_once(work: Work, table: Table, values: dict[str, Any]) -> None:
    """Keep a fact that never changes."""
    await work.run(_keeping(table), territory=work.territory, **values)


@cache
def _keeping(table: Table) -> Prepared:
    return Prepared(upsert(table).on_conflict_do_nothing(), columns=table.c.keys())


async def save_territory_name(work: Work, name: str) -> None:
    statement = upsert(territory).values(territory=work.territory, name=name)
    await work.connection.execute(statement.on_conflict_do_update(index_elements=["territory"], set_={"name": name}))


async def list_territories(work: Work) -> list[str]:
    """Every territory that was ever heard of here."""
    return list((await work.connection.execute(select(territory.c.territory))).scalars())


async def find_member_locale(work: Work, member_id: UUID) -> str | None:
    locale: str | None = await work.connection.scalar(select(member.c.locale).where(member.c.id == member_id))
    return locale


async def list_missions(work: Work, ids: Collection[UUID | None]) -> dict[UUID | None, Mission]:
    """Those that are known; None among the ids stands for no mission."""
    return {row["id"]: Mission(*row) for row in await work.driver.fetch(_MISSIONS, ids)}


async def list_panels(work: Work, campaign_ids: Collection[UUID | None]) -> dict[UUID | None, list[UUID]]:
    """The associations admitted to each of the campaigns; None stands for no campaign."""
    return dict(await work.driver.fetch(_PANELS, campaign_ids))


async def list_names(work: Work, ids: Collection[UUID]) -> dict[UUID | None, str]:
    """What members, actors, campaigns and needs of these ids are called; the territory's name is under None."""
    return dict(await work.driver.fetch(_NAMES, ids, work.territory))


async def list_candidates(
    work: Work, *, people: Collection[UUID], actors: Collection[UUID], roles: Collection[str], category: Category
) -> list[Member]:
    """Those who may be told: named themselves, or of a named body, or of a role; with what they want of the category."""
    rows = await work.driver.fetch(_CANDIDATES, people, actors, roles, category)
    return [Member(**{**row, "roles": frozenset(row["roles"])}) for row in rows]
