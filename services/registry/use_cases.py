"""One function per verb of the registry: lock, decide, save, publish. Nothing that changed nothing is published."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from uuid import UUID

from kernel.auth import Role
from kernel.errors import BadInput
from kernel.events.registry import ActorRecorded, CommuneRecorded, MemberRecorded, TerritoryRecorded
from kernel.ids import new_id
from kernel.routing import check_version
from kernel.work import Work
from services.registry import store
from services.registry.domain import clients, records
from services.registry.domain.clients import Client, ClientRole
from services.registry.domain.identifiers import IdentifierKind
from services.registry.domain.records import (
    Actor,
    ActorFacts,
    Archival,
    Commune,
    Member,
    MemberFacts,
    Outcome,
    RefTaken,
    Territory,
)

# ---- Territory and communes ---------------------------------------------------------------------------------------


async def record_territory(work: Work, *, name: str) -> Territory:
    recorded = Territory(work.territory, name)
    if await store.find_territory(work) != recorded:
        await store.save_territory(work, recorded)
        work.publish(TerritoryRecorded(territory=recorded.code, name=name), subject=recorded.code)
    return recorded


async def record_commune(work: Work, commune: Commune) -> Outcome:
    await store.lock_territory(work)
    before = await store.find_commune(work, commune.insee)
    if before == commune:
        return Outcome.UNCHANGED
    await store.save_commune(work, commune, id=new_id())
    work.publish(
        CommuneRecorded(insee=commune.insee, name=commune.name, latitude=commune.latitude, longitude=commune.longitude),
        subject=commune.insee,
    )
    return Outcome.CHANGED if before else Outcome.CREATED


# ---- Actors -------------------------------------------------------------------------------------------------------


async def register_actor(work: Work, facts: ActorFacts, *, ref: str | None) -> Actor:
    """A new actor; without a key of the officer's own its id is the key."""
    await store.lock_territory(work)
    if ref is not None and await store.find_actor_by_ref(work, ref):
        raise RefTaken(f"The key {ref} belongs to another actor; choose another, or PUT actors/refs/{ref} to change that one.")
    return await _add_actor(work, facts, ref=ref)


async def record_actor(work: Work, facts: ActorFacts, *, ref: str) -> tuple[Actor, Outcome]:
    """The actor of the officer's own key becomes what the facts say, whether it was there or not."""
    await store.lock_territory(work)
    before = await store.find_actor_by_ref(work, ref)
    if before is None:
        return await _add_actor(work, facts, ref=ref), Outcome.CREATED
    return await _change_actor(work, before, records.check_identifiers(facts))


async def correct_actor(work: Work, actor_id: UUID, changes: Mapping[str, object], *, version: int) -> Actor:
    await store.lock_territory(work)
    before = await store.get_actor(work, actor_id)
    check_version(before.version, version)
    after, _ = await _change_actor(work, before, records.apply_changes(before.facts, changes))
    return after


async def archive_actor(work: Work, actor_id: UUID, *, reason: str) -> Actor:
    await store.lock_territory(work)
    before = await store.get_actor(work, actor_id)
    after = records.decide_archival(before, Archival(work.now, reason, work.caller.identity))
    await store.save_actor(work, after)
    _publish_actor(work, after)
    return after


async def _add_actor(work: Work, facts: ActorFacts, *, ref: str | None) -> Actor:
    actor_id = new_id()
    added = Actor(actor_id, ref or str(actor_id), 1, records.check_identifiers(facts), work.now, work.now)
    await _check_identifiers_free(work, added)
    await store.insert_actor(work, added)
    _publish_actor(work, added)
    return added


async def _change_actor(work: Work, before: Actor, facts: ActorFacts) -> tuple[Actor, Outcome]:
    after = records.decide_change(before, facts, now=work.now)
    if after is before:
        return before, Outcome.UNCHANGED
    await _check_identifiers_free(work, after)
    await store.save_actor(work, after)
    _publish_actor(work, after)
    return after, Outcome.CHANGED


async def _check_identifiers_free(work: Work, actor: Actor) -> None:
    """Refuse what would record one body twice."""
    facts = actor.facts
    if facts.siren and (bearer := await store.find_bearer_of_siren(work, facts.siren, kind=facts.kind, but=actor.id)):
        raise records.identifier_taken(IdentifierKind.SIREN, facts.siren, bearer)
    if facts.rna and (bearer := await store.find_bearer_of_rna(work, facts.rna, but=actor.id)):
        raise records.identifier_taken(IdentifierKind.RNA, facts.rna, bearer)


def _publish_actor(work: Work, actor: Actor) -> None:
    facts = actor.facts
    event = ActorRecorded(
        actor_id=actor.id,
        version=actor.version,
        ref=actor.ref,
        kind=facts.kind,
        name=facts.name,
        commune=facts.commune,
        fields_of_action=[field.value for field in facts.fields_of_action],
        archived=actor.archival is not None,
        siret=facts.siret,
        rna=facts.rna,
    )
    work.publish(event, subject=actor.id)


# ---- Members ------------------------------------------------------------------------------------------------------


async def register_member(work: Work, facts: MemberFacts, *, ref: str | None) -> Member:
    """A new member; without a key of the officer's own their id is the key."""
    await store.lock_territory(work)
    if ref is not None and await store.find_member_by_ref(work, ref):
        raise RefTaken(f"The key {ref} belongs to another member; choose another, or PUT members/refs/{ref} to change that one.")
    return await _add_member(work, facts, ref=ref)


async def record_member(work: Work, facts: MemberFacts, *, ref: str) -> tuple[Member, Outcome]:
    """The member of the officer's own key becomes what the facts say, whether they were there or not."""
    await store.lock_territory(work)
    before = await store.find_member_by_ref(work, ref)
    if before is None:
        return await _add_member(work, facts, ref=ref), Outcome.CREATED
    return await _change_member(work, before, facts)


async def correct_member(work: Work, member_id: UUID, changes: Mapping[str, object], *, version: int) -> Member:
    await store.lock_territory(work)
    before = await store.get_member(work, member_id)
    check_version(before.version, version)
    after, _ = await _change_member(work, before, replace(before.facts, **changes))  # type: ignore[arg-type]
    return after


async def archive_member(work: Work, member_id: UUID, *, reason: str) -> Member:
    await store.lock_territory(work)
    before = await store.get_member(work, member_id)
    after = records.decide_archival(before, Archival(work.now, reason, work.caller.identity))
    await store.save_member(work, after)
    _publish_member(work, after)
    return after


async def _add_member(work: Work, facts: MemberFacts, *, ref: str | None) -> Member:
    records.check_member_roles(facts, before=None, by_officer=_is_officer(work))
    await _check_actor_usable(work, facts.actor_id)
    member_id = new_id()
    added = Member(member_id, ref or str(member_id), 1, facts, work.now, work.now)
    await store.insert_member(work, added)
    _publish_member(work, added)
    return added


async def _change_member(work: Work, before: Member, facts: MemberFacts) -> tuple[Member, Outcome]:
    after = records.decide_change(before, facts, now=work.now)
    if after is before:
        return before, Outcome.UNCHANGED
    records.check_member_roles(facts, before=before.facts, by_officer=_is_officer(work))
    if facts.actor_id != before.facts.actor_id:
        await _check_actor_usable(work, facts.actor_id)
    await store.save_member(work, after)
    _publish_member(work, after)
    return after, Outcome.CHANGED


def _is_officer(work: Work) -> bool:
    return Role.OFFICER in work.caller.roles


async def _check_actor_usable(work: Work, actor_id: UUID | None) -> None:
    if actor_id is None:
        return
    actor = await store.find_actor(work, actor_id)
    if actor is None or actor.archival:
        raise BadInput.at("/actor_id", f"there is no actor {actor_id} in use in {work.territory}; record it first.")


def _publish_member(work: Work, member: Member) -> None:
    facts = member.facts
    event = MemberRecorded(
        member_id=member.id,
        version=member.version,
        ref=member.ref,
        actor_id=facts.actor_id,
        display_name=facts.display_name,
        email=facts.email,
        roles=[role.value for role in facts.roles],
        locale=facts.locale,
        archived=member.archival is not None,
    )
    work.publish(event, subject=member.id)


# ---- Clients ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ClientRequest:
    """What an officer asks for a program; no scopes: all that the roles allow."""

    name: str
    roles: tuple[ClientRole, ...]
    scopes: tuple[str, ...] = ()
    actor_id: UUID | None = None
    member_id: UUID | None = None


async def issue_client(work: Work, request: ClientRequest, *, client_id: str) -> tuple[Client, str]:
    """Create the client, or give it these facts and a new secret; the old secret ends at once.

    The secret is returned this once and kept as a hash.
    """
    await store.lock_territory(work)
    clients.check_client_name(client_id, territory=work.territory)
    before = await store.find_client(work, client_id)
    touched_roles = {*request.roles, *(before.roles if before else ())}
    clients.check_client_roles(touched_roles, caller_roles=work.caller.roles)
    await _check_stands_for(work, request)
    issued = Client(
        id=before.id if before else new_id(),
        client_id=client_id,
        name=request.name,
        roles=request.roles,
        scopes=clients.decide_scopes(request.roles, request.scopes),
        actor_id=request.actor_id,
        member_id=request.member_id,
        created_at=before.created_at if before else work.now,
        rotated_at=work.now,
    )
    secret = secrets.token_urlsafe(32)
    await store.save_client(work, issued, secret_hash=clients.hash_secret(secret))
    return issued, secret


async def withdraw_client(work: Work, client_id: str) -> None:
    await store.lock_territory(work)
    client = await store.get_client(work, client_id)
    clients.check_client_roles(client.roles, caller_roles=work.caller.roles)
    await store.delete_client(work, client_id)


async def check_client(work: Work, *, client_id: str, client_secret: str) -> Client:
    """The client behind these credentials. Raises Unauthenticated."""
    found = await store.find_usable_client(work, client_id)
    clients.check_secret(client_secret, expected_hash=found[1] if found else None)
    assert found is not None, "check_secret refuses an unknown client"
    return found[0]


async def _check_stands_for(work: Work, request: ClientRequest) -> None:
    """The actor and the member that a client acts for are there, in use, and belong together."""
    clients.check_client_stands_for(request.roles, actor_id=request.actor_id, member_id=request.member_id)
    await _check_actor_usable(work, request.actor_id)
    if request.member_id is None:
        return
    member = await store.find_member(work, request.member_id)
    if member is None or member.archival:
        raise BadInput.at("/member_id", f"there is no member {request.member_id} in use in {work.territory}; record them first.")
    if request.actor_id is not None and member.facts.actor_id != request.actor_id:
        raise BadInput.at(
            "/member_id", f"this member does not act for the actor {request.actor_id}; name the actor they act for."
        )
