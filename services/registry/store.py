"""Every query of the registry. Rows become the domain's records; row-level security adds the territory."""

from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Select, and_, bindparam, false, insert, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from kernel.errors import NotFound
from kernel.statements import Prepared, write_row
from kernel.work import Work
from services.registry.domain.clients import Client, ClientRole
from services.registry.domain.records import (
    Actor,
    ActorFacts,
    ActorKind,
    Archival,
    Commune,
    FieldOfAction,
    Locale,
    Member,
    MemberFacts,
    MemberRole,
    Record,
    Territory,
    fold,
)
from services.registry.tables import actor, client, commune, member, territory

T = TypeVar("T")


# ---- Territory and communes ---------------------------------------------------------------------------------------


_FIND_TERRITORY = Prepared(select(territory))
_LOCK_TERRITORY = Prepared(select(territory).with_for_update(key_share=True))


async def find_territory(work: Work) -> Territory | None:
    return _territory_from(await _one(work, _FIND_TERRITORY))


async def get_territory(work: Work) -> Territory:
    return _recorded(work, await find_territory(work))


async def lock_territory(work: Work) -> Territory:
    """The territory, held until the commit: the registry's writes take turns, so what a use case checked stays true.

    Writes are few here (a town's registry, its yearly import), and each lasts milliseconds.
    """
    return _recorded(work, _territory_from(await _one(work, _LOCK_TERRITORY)))


def _territory_from(row: Row[Any] | None) -> Territory | None:
    return Territory(row.territory, row.name) if row else None


def _recorded(work: Work, found: Territory | None) -> Territory:
    return _found(found, f"Territory {work.territory} is not recorded here; the instance's administrator records it first.")


async def save_territory(work: Work, saved: Territory) -> None:
    values = {"territory": saved.code, "name": saved.name, "recorded_at": work.now}
    statement = upsert(territory).values(values).on_conflict_do_update(index_elements=["territory"], set_={"name": saved.name})
    await work.connection.execute(statement)


def list_communes() -> Select[Any]:
    return select(commune)


_FIND_COMMUNE = Prepared(select(commune).where(commune.c.insee == bindparam("insee")))


async def find_commune(work: Work, insee: str) -> Commune | None:
    row = await _one(work, _FIND_COMMUNE, insee=insee)
    return commune_from(row) if row else None


async def save_commune(work: Work, saved: Commune, *, id: UUID) -> None:
    """Insert the commune with `id`, or change the one with the same INSEE code, which keeps its own id."""
    facts = {
        "name": saved.name,
        "latitude": saved.latitude,
        "longitude": saved.longitude,
        "postcodes": list(saved.postcodes),
        "epci_siren": saved.epci_siren,
        "ept_siren": saved.ept_siren,
    }
    statement = upsert(commune).values(territory=work.territory, id=id, insee=saved.insee, **facts)
    await work.connection.execute(statement.on_conflict_do_update(index_elements=["territory", "insee"], set_=facts))


def commune_from(row: Row[Any]) -> Commune:
    return Commune(
        insee=row.insee,
        name=row.name,
        latitude=row.latitude,
        longitude=row.longitude,
        postcodes=tuple(row.postcodes),
        epci_siren=row.epci_siren,
        ept_siren=row.ept_siren,
    )


# ---- Actors -------------------------------------------------------------------------------------------------------


def list_actors(
    *, kind: ActorKind | None, field: FieldOfAction | None, q: str | None, ref: str | None, with_archived: bool
) -> Select[Any]:
    query = select(actor)
    if kind is not None:
        query = query.where(actor.c.kind == kind.value)
    if field is not None:
        query = query.where(actor.c.fields_of_action.contains([field.value]))
    if q is not None:
        query = query.where(actor.c.name_folded.contains(fold(q), autoescape=True))
    if ref is not None:
        query = query.where(actor.c.ref == ref)
    return query if with_archived else query.where(actor.c.archived_at.is_(None))


_OTHERS = select(actor).where(actor.c.id != bindparam("but"), actor.c.archived_at.is_(None))
_FIND_ACTOR = Prepared(select(actor).where(actor.c.id == bindparam("id")))
_FIND_ACTOR_BY_REF = Prepared(select(actor).where(actor.c.ref == bindparam("ref")))
_FIND_BEARER_OF_SIREN = Prepared(_OTHERS.where(actor.c.kind == bindparam("kind"), actor.c.siren == bindparam("siren")))
_FIND_BEARER_OF_RNA = Prepared(_OTHERS.where(actor.c.rna == bindparam("rna")))
_INSERT_ACTOR = Prepared(insert(actor), columns=actor.c.keys())


async def get_actor(work: Work, actor_id: UUID) -> Actor:
    return _found(await find_actor(work, actor_id), f"There is no actor {actor_id} in {work.territory}.")


async def find_actor(work: Work, actor_id: UUID) -> Actor | None:
    row = await _one(work, _FIND_ACTOR, id=actor_id)
    return actor_from(row) if row else None


async def find_actor_by_ref(work: Work, ref: str) -> Actor | None:
    row = await _one(work, _FIND_ACTOR_BY_REF, ref=ref)
    return actor_from(row) if row else None


async def find_bearer_of_siren(work: Work, siren: str, *, kind: ActorKind, but: UUID) -> Actor | None:
    """Another living actor of this kind with this SIREN (a body may be recorded as two kinds, an operator and a company)."""
    row = await _one(work, _FIND_BEARER_OF_SIREN, kind=kind.value, siren=siren, but=but)
    return actor_from(row) if row else None


async def find_bearer_of_rna(work: Work, rna: str, *, but: UUID) -> Actor | None:
    row = await _one(work, _FIND_BEARER_OF_RNA, rna=rna, but=but)
    return actor_from(row) if row else None


async def insert_actor(work: Work, saved: Actor) -> None:
    await work.run(_INSERT_ACTOR, territory=work.territory, id=saved.id, **_actor_values(saved))


async def save_actor(work: Work, saved: Actor) -> None:
    await work.connection.execute(update(actor).where(actor.c.id == saved.id), _actor_values(saved))


def _actor_values(saved: Actor) -> dict[str, Any]:
    facts = saved.facts
    return _record_values(saved) | {
        "kind": facts.kind.value,
        "name": facts.name,
        "name_folded": fold(facts.name),
        "commune": facts.commune,
        "fields_of_action": [field.value for field in facts.fields_of_action],
        "siren": facts.siren,
        "siret": facts.siret,
        "rna": facts.rna,
        "unverified_identifiers": dict(facts.unverified_identifiers),
        "email": facts.email,
        "website": facts.website,
        "description": facts.description,
        "is_example": facts.is_example,
    }


def actor_from(row: Row[Any]) -> Actor:
    facts = ActorFacts(
        kind=ActorKind(row.kind),
        name=row.name,
        commune=row.commune,
        fields_of_action=tuple(map(FieldOfAction, row.fields_of_action)),
        siren=row.siren,
        siret=row.siret,
        rna=row.rna,
        email=row.email,
        website=row.website,
        description=row.description,
        is_example=row.is_example,
        unverified_identifiers=row.unverified_identifiers,
    )
    return Actor(row.id, row.ref, row.version, facts, row.recorded_at, row.changed_at, _archival_from(row))


# ---- Members ------------------------------------------------------------------------------------------------------


def list_members(work: Work, *, actor_id: UUID | None, ref: str | None, with_archived: bool) -> Select[Any]:
    """The members that the caller may see."""
    query = select(member).where(_visible_to_caller(work))
    if actor_id is not None:
        query = query.where(member.c.actor_id == actor_id)
    if ref is not None:
        query = query.where(member.c.ref == ref)
    return query if with_archived else query.where(member.c.archived_at.is_(None))


def _visible_to_caller(work: Work) -> ColumnElement[bool]:
    """Personal data: the town sees all, others themselves and the people of their own actor."""
    caller = work.caller
    if caller.is_town:
        return member.c.id.is_not(None)
    own = [] if caller.member_id is None else [member.c.id == caller.member_id]
    colleagues = [] if caller.actor_id is None else [member.c.actor_id == caller.actor_id]
    return or_(false(), *own, *colleagues)


async def get_visible_member(work: Work, member_id: UUID) -> Member:
    """The member, or NotFound also when the caller may not see them: who exists is personal data, too."""
    query = select(member).where(member.c.id == member_id, _visible_to_caller(work))
    row = (await work.connection.execute(query)).one_or_none()
    return _found(member_from(row) if row else None, f"There is no member {member_id} that you may see in {work.territory}.")


_FIND_MEMBER = Prepared(select(member).where(member.c.id == bindparam("id")))
_FIND_MEMBER_BY_REF = Prepared(select(member).where(member.c.ref == bindparam("ref")))
_INSERT_MEMBER = Prepared(insert(member), columns=member.c.keys())


async def find_member(work: Work, member_id: UUID) -> Member | None:
    row = await _one(work, _FIND_MEMBER, id=member_id)
    return member_from(row) if row else None


async def get_member(work: Work, member_id: UUID) -> Member:
    return _found(await find_member(work, member_id), f"There is no member {member_id} in {work.territory}.")


async def find_member_by_ref(work: Work, ref: str) -> Member | None:
    row = await _one(work, _FIND_MEMBER_BY_REF, ref=ref)
    return member_from(row) if row else None


async def insert_member(work: Work, saved: Member) -> None:
    await work.run(_INSERT_MEMBER, territory=work.territory, id=saved.id, **_member_values(saved))


async def save_member(work: Work, saved: Member) -> None:
    await work.connection.execute(update(member).where(member.c.id == saved.id), _member_values(saved))


def _member_values(saved: Member) -> dict[str, Any]:
    facts = saved.facts
    return _record_values(saved) | {
        "actor_id": facts.actor_id,
        "display_name": facts.display_name,
        "email": facts.email,
        "roles": [role.value for role in facts.roles],
        "locale": facts.locale.value,
    }


def member_from(row: Row[Any]) -> Member:
    facts = MemberFacts(
        display_name=row.display_name,
        email=row.email,
        roles=tuple(map(MemberRole, row.roles)),
        locale=Locale(row.locale),
        actor_id=row.actor_id,
    )
    return Member(row.id, row.ref, row.version, facts, row.recorded_at, row.changed_at, _archival_from(row))


# ---- Clients ------------------------------------------------------------------------------------------------------


def list_clients() -> Select[Any]:
    return select(client)


_FIND_CLIENT = Prepared(select(client).where(client.c.client_id == bindparam("client_id")))
_FIND_USABLE_CLIENT = Prepared(
    select(client)
    .select_from(
        client.outerjoin(actor, and_(actor.c.territory == client.c.territory, actor.c.id == client.c.actor_id)).outerjoin(
            member, and_(member.c.territory == client.c.territory, member.c.id == client.c.member_id)
        )
    )
    .where(client.c.client_id == bindparam("client_id"), actor.c.archived_at.is_(None), member.c.archived_at.is_(None))
)
_SAVE_CLIENT = write_row(client, key=("territory", "client_id"), keeping=("id", "created_at"))


async def find_client(work: Work, client_id: str) -> Client | None:
    row = await _one(work, _FIND_CLIENT, client_id=client_id)
    return client_from(row) if row else None


async def get_client(work: Work, client_id: str) -> Client:
    return _found(await find_client(work, client_id), f"There is no client {client_id} in {work.territory}.")


async def find_usable_client(work: Work, client_id: str) -> tuple[Client, bytes] | None:
    """The client and the hash of its secret; None when the actor or the member it acts for is archived."""
    row = await _one(work, _FIND_USABLE_CLIENT, client_id=client_id)
    return (client_from(row), row.secret_hash) if row else None


async def save_client(work: Work, saved: Client, *, secret_hash: bytes) -> None:
    """Insert the client, or give the one of the same name these facts and this secret."""
    await work.run(
        _SAVE_CLIENT,
        territory=work.territory,
        id=saved.id,
        client_id=saved.client_id,
        name=saved.name,
        roles=[role.value for role in saved.roles],
        scopes=list(saved.scopes),
        actor_id=saved.actor_id,
        member_id=saved.member_id,
        secret_hash=secret_hash,
        created_at=saved.created_at,
        rotated_at=saved.rotated_at,
    )


async def delete_client(work: Work, client_id: str) -> None:
    await work.connection.execute(client.delete().where(client.c.client_id == client_id))


def client_from(row: Row[Any]) -> Client:
    return Client(
        id=row.id,
        client_id=row.client_id,
        name=row.name,
        roles=tuple(map(ClientRole, row.roles)),
        scopes=tuple(row.scopes),
        actor_id=row.actor_id,
        member_id=row.member_id,
        created_at=row.created_at,
        rotated_at=row.rotated_at,
    )


# ---- Shared by the above ------------------------------------------------------------------------------------------


async def _one(work: Work, query: Prepared, **values: Any) -> Row[Any] | None:
    return (await work.run(query, **values)).first()


def _found(record: T | None, otherwise: str) -> T:
    if record is None:
        raise NotFound(otherwise)
    return record


def _record_values(saved: Record[Any]) -> dict[str, Any]:
    archival = saved.archival
    return {
        "ref": saved.ref,
        "version": saved.version,
        "recorded_at": saved.recorded_at,
        "changed_at": saved.changed_at,
        "archived_at": archival.at if archival else None,
        "archival_reason": archival.reason if archival else None,
        "archived_by": archival.by if archival else None,
    }


def _archival_from(row: Row[Any]) -> Archival | None:
    return Archival(row.archived_at, row.archival_reason, row.archived_by) if row.archived_at else None
