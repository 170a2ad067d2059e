"""What matching keeps of its neighbours, so that it works while they are down.

Actors and members bear a version: the greater one holds. Territories and communes bear none: what was told later holds. Of a
mission's conventions the first that was concluded holds; it may be told of before the mission's credit, or of a mission that
is another platform's.
"""

from datetime import datetime
from uuid import UUID

from kernel.work import Work
from services.matching.domain.shared import Actor, Commune
from services.matching.store import known
from services.matching.store.search import mark_commune


async def remember_territory(work: Work, *, code: str, name: str) -> None:
    await known.save_territory(work, code=code, name=name, told_at=_told_at(work))


async def remember_commune(work: Work, insee: str, *, name: str, latitude: float, longitude: float) -> None:
    await known.save_commune(work, insee, Commune(name, latitude, longitude), told_at=_told_at(work))
    await mark_commune(work, insee)


async def remember_actor(work: Work, id: UUID, actor: Actor) -> None:
    await known.save_actor(work, id, actor)


async def remember_member(work: Work, id: UUID, *, version: int, actor_id: UUID | None, archived: bool) -> None:
    """Only whom they act for; no name and no address."""
    await known.save_member(work, id, version=version, actor_id=actor_id, archived=archived)


async def remember_campaign(work: Work, id: UUID, *, title: str, conventions_required: bool) -> None:
    await known.save_campaign_opened(work, id, title=title, conventions_required=conventions_required)


async def remember_convention(work: Work, mission_id: UUID) -> None:
    """Concluded when it was told, which a redelivery or a replay does not change."""
    await known.save_conclusion(work, mission_id, concluded_at=_told_at(work))


async def remember_panel_place(work: Work, campaign_id: UUID, *, association_id: UUID) -> None:
    await known.save_panel_place(work, campaign_id, association_id)


def _told_at(work: Work) -> datetime:
    return work.message.time if work.message else work.now
