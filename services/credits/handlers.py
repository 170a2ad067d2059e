"""What the credits service does on other services' events: one use case each."""

from uuid import UUID

from kernel.bus.consumer import Handlers, Told
from kernel.events.matching import MissionAgreed, MissionCancelled, MissionProposed, MissionValidated
from kernel.events.registry import ActorRecorded, MemberRecorded, TerritoryRecorded
from kernel.work import Work
from services.credits.domain.campaigns import Actor
from services.credits.domain.conventions import ToldMission
from services.credits.store import registry
from services.credits.use_cases.missions import follow_missions

handlers = Handlers()


@handlers.on(TerritoryRecorded)
async def on_territory_recorded(work: Work, event: TerritoryRecorded) -> None:
    await registry.save_territory(work, code=event.territory, name=event.name)


@handlers.on(ActorRecorded)
async def on_actor_recorded(work: Work, event: ActorRecorded) -> None:
    found = Actor(event.actor_id, event.kind, event.name, event.archived, event.siret, event.rna, tuple(event.fields_of_action))
    await registry.save_actor(work, found, version=event.version)


@handlers.on(MemberRecorded)
async def on_member_recorded(work: Work, event: MemberRecorded) -> None:
    await registry.save_member(work, event.member_id)


@handlers.on_together(MissionProposed, MissionAgreed, MissionCancelled, MissionValidated)
async def on_missions_told(work: Work, told: Told) -> None:
    await registry.save_missions(work, [_proposed(event) for _, event in told if isinstance(event, MissionProposed)])
    await follow_missions(work, [(view, event) for view, event in told if not isinstance(event, MissionProposed)])


def _proposed(event: MissionProposed) -> tuple[UUID, ToldMission, UUID]:
    told = ToldMission(event.title, event.description, event.place, event.calendar, event.starts_on)
    return event.mission_id, told, event.volunteer_id
