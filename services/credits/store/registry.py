"""Copies of what the registry and matching told: territories, actors, members, and of missions what their conventions say."""

from collections.abc import Iterable
from dataclasses import asdict
from uuid import UUID

from sqlalchemy import ARRAY, any_, bindparam, literal_column, null, select
from sqlalchemy import Uuid as UuidType
from sqlalchemy.dialects.postgresql import insert

from kernel.statements import Prepared, write_row
from kernel.work import Work
from services.credits.domain.campaigns import Actor
from services.credits.domain.conventions import ToldMission
from services.credits.tables import actor, member, mission, territory


async def save_territory(work: Work, *, code: str, name: str) -> None:
    statement = insert(territory).values(code=code, name=name)
    await work.connection.execute(statement.on_conflict_do_update(index_elements=["code"], set_={"name": name}))


async def remember_territory(work: Work) -> None:
    """A territory with a campaign is served by the jobs, even before the registry told its name."""
    await work.connection.execute(insert(territory).values(code=work.territory, name=work.territory).on_conflict_do_nothing())


async def list_territories(work: Work) -> list[str]:
    return list((await work.connection.execute(select(territory.c.code).order_by(territory.c.code))).scalars())


async def get_territory_name(work: Work) -> str:
    """As the registry tells it; its code until then."""
    query = select(territory.c.name).where(territory.c.code == work.territory)
    return (await work.connection.execute(query)).scalar_one_or_none() or work.territory


_AMONG = any_(bindparam("ids", type_=ARRAY(UuidType)))
_SAVE_ACTOR = write_row(actor, key=("territory", "id"), if_newer=True)
_SAVE_MEMBER = Prepared(insert(member).on_conflict_do_nothing(), columns=member.c.keys())
_SAVE_MISSION = Prepared(insert(mission).on_conflict_do_nothing(), columns=mission.c.keys())
_FIND_ACTORS = Prepared(select(actor).where(actor.c.id == _AMONG))
_FIND_CONTRIBUTORS = Prepared(
    select(actor.c.id, actor.c.name, actor.c.kind)
    .where(actor.c.id == _AMONG)
    .union_all(select(member.c.id, null(), literal_column("'citizen'")).where(member.c.id == _AMONG))
)


async def save_actor(work: Work, found: Actor, *, version: int) -> None:
    """Keep the newest version, in whatever order they arrive."""
    await work.run(
        _SAVE_ACTOR,
        territory=work.territory,
        id=found.id,
        version=version,
        kind=found.kind,
        name=found.name,
        archived=found.archived,
        siret=found.siret,
        rna=found.rna,
        fields_of_action=list(found.fields_of_action),
    )


async def save_member(work: Work, member_id: UUID) -> None:
    await work.run(_SAVE_MEMBER, territory=work.territory, id=member_id)


async def save_missions(work: Work, proposed: Iterable[tuple[UUID, ToldMission, UUID]]) -> None:
    """(mission, what was told, volunteer); what was told first of each stays."""
    rows = [
        {"territory": work.territory, "id": mission_id, "volunteer_id": volunteer_id, **asdict(told)}
        for mission_id, told, volunteer_id in proposed
    ]
    if rows:
        await work.run_many(_SAVE_MISSION, rows)


async def find_mission_volunteer(work: Work, mission_id: UUID) -> UUID | None:
    return (await work.connection.execute(select(mission.c.volunteer_id).where(mission.c.id == mission_id))).scalar()


async def find_contributors(work: Work, ids: Iterable[UUID]) -> dict[UUID, tuple[str | None, str]]:
    """Name and kind of those that were told; of citizens the kind alone."""
    return {row.id: (row.name, row.kind) for row in await work.run(_FIND_CONTRIBUTORS, ids=list(set(ids)))}


async def find_actors(work: Work, ids: Iterable[UUID]) -> dict[UUID, Actor]:
    rows = await work.run(_FIND_ACTORS, ids=list(set(ids)))
    return {
        row.id: Actor(row.id, row.kind, row.name, row.archived, row.siret, row.rna, tuple(row.fields_of_action)) for row in rows
    }
