"""What the credits service does on other services' events: one use case each."""

from kernel.bus.consumer import Handlers
from kernel.events.matching import MissionAgreed, MissionCancelled, MissionProposed, MissionValidated
from kernel.events.registry import ActorRecorded, MemberRecorded, TerritoryRecorded
from kernel.work import Work
from services.credits.domain.campaigns import Actor
from services.credits.domain.conventions import ToldMission
from services.credits.store import registry
from services.credits.use_cases.missions import release_credit, reserve_credit, settle_mission

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


@handlers.on(MissionProposed)
async def on_mission_proposed(work: Work, event: MissionProposed) -> None:
    told = ToldMission(event.title, event.description, event.place, event.calendar, event.starts_on)
    await registry.save_mission(work, event.mission_id, told, volunteer_id=event.volunteer_id)


@handlers.on(MissionAgreed)
async def on_mission_agreed(work: Work, event: MissionAgreed) -> None:
    await reserve_credit(work, event)


@handlers.on(MissionCancelled)
async def on_mission_cancelled(work: Work, event: MissionCancelled) -> None:
    await release_credit(work, event)


@handlers.on(MissionValidated)
async def on_mission_validated(work: Work, event: MissionValidated) -> None:
    await settle_mission(work, event)
