"""Parties, and what is known of who stands on each side of a mission."""

from dataclasses import asdict
from typing import Any
from uuid import UUID

from sqlalchemy import Row, func, select, update
from sqlalchemy.dialects.postgresql import insert

from kernel.work import Work
from services.credits.domain.campaigns import Outcome
from services.credits.domain.errors import NotFound
from services.credits.domain.parties import Party
from services.credits.tables import member, party, territory


def party_of(row: Row[Any]) -> Party:
    return Party(
        actor_id=row.actor_id,
        legal_form=row.legal_form,
        address=row.address,
        representative_function=row.representative_function,
        siren=row.siren,
        rna=row.rna,
        object=row.object,
        category=row.category,
    )


async def save_party(work: Work, found: Party) -> tuple[int, Outcome]:
    """The version that now stands, and whether anything changed."""
    values = asdict(found) | {"written_by": work.caller.identity, "written_at": work.now}
    added = await work.connection.execute(
        insert(party).values(territory=work.territory, version=1, **values).on_conflict_do_nothing().returning(party.c.version)
    )
    if added.first() is not None:
        return 1, Outcome.CREATED
    known = (await work.connection.execute(select(party).where(party.c.actor_id == found.actor_id).with_for_update())).one()
    if party_of(known) == found:
        return known.version, Outcome.UNCHANGED
    statement = update(party).where(party.c.actor_id == found.actor_id).values(version=party.c.version + 1, **values)
    return (await work.connection.execute(statement.returning(party.c.version))).scalar_one(), Outcome.CHANGED


async def find_party(work: Work, actor_id: UUID) -> Party | None:
    row = (await work.connection.execute(select(party).where(party.c.actor_id == actor_id))).first()
    return party_of(row) if row else None


async def get_party_row(work: Work, actor_id: UUID, *, where: str) -> Row[Any]:
    row: Row[Any] | None = (await work.connection.execute(select(party).where(party.c.actor_id == actor_id))).first()
    if row is None:
        raise NotFound(f"Nothing is written of this party yet; write it with PUT /parties/{where}.")
    return row


async def is_member(work: Work, member_id: UUID) -> bool:
    return (await work.connection.execute(select(member.c.id).where(member.c.id == member_id))).first() is not None


async def get_town_name(work: Work) -> str:
    """The commune's name, as far as the registry has told it; else its INSEE code."""
    name = (await work.connection.execute(select(func.max(territory.c.name)).where(territory.c.code == work.territory))).scalar()
    return str(name or work.territory)
