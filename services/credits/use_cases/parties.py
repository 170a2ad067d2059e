"""Who may speak for whom on paper, and what is written of the parties."""

from uuid import UUID

from kernel.auth import Caller, Role
from kernel.work import Work
from services.credits.domain.campaigns import Outcome
from services.credits.domain.errors import ActorUnfit, Forbidden
from services.credits.domain.parties import TOWN_ID, Party, require_party
from services.credits.domain.receipts import Organisation
from services.credits.store import parties as store
from services.credits.store import registry

# A volunteer belongs to a company and does not bind it; nor does the town accept, value or certify for anybody.
_SPEAKERS = frozenset({Role.ASSOCIATION, Role.COMPANY})


def speaking_ids(caller: Caller) -> list[UUID]:
    """Whom the caller speaks for: themself, and the organisation that they act for in a role that binds it."""
    organisation = caller.actor_id if caller.roles & _SPEAKERS else None
    return [found for found in (caller.member_id, organisation) if found is not None]


def speaks_for(caller: Caller, holder_id: UUID | None) -> bool:
    return holder_id in speaking_ids(caller)


def require_speaker(caller: Caller, holder_id: UUID, *, deed: str) -> None:
    if not speaks_for(caller, holder_id):
        raise Forbidden(f"Only {deed}; sign in as one who acts for that organisation.")


async def write_party(work: Work, party: Party) -> tuple[int, Outcome]:
    """By the organisation itself, or by the town; of the town by the town alone."""
    if not work.caller.is_town and (party.actor_id == TOWN_ID or not speaks_for(work.caller, party.actor_id)):
        raise Forbidden("You can write this of your own organisation; ask the town for others.")
    return await store.save_party(work, party)


async def get_organisation(work: Work, actor_id: UUID, *, needs: tuple[str, ...]) -> Organisation:
    """An organisation that the registry has told, with what a document must say of it."""
    actor = (await registry.find_actors(work, [actor_id])).get(actor_id)
    if actor is None:
        raise ActorUnfit(f"{actor_id} is no organisation of the registry: no such document can name it.")
    party = require_party(await store.find_party(work, actor_id), needs, actor_id=actor_id, name=actor.name)
    return Organisation(actor_id, actor.name, party)
