"""What notifications hears: every event once for the log, the letters and the webhooks; some also for its own copy."""

from kernel.bus.consumer import Handlers
from kernel.events.credits import AssociationAdmitted, CampaignOpened
from kernel.events.envelope import Envelope
from kernel.events.matching import MissionProposed, NeedOpened
from kernel.events.registry import ActorRecorded, MemberRecorded, TerritoryRecorded
from kernel.work import Work
from services.notifications.store.people import save_territory_name
from services.notifications.use_cases import people
from services.notifications.use_cases.announcements import keep_event

handlers = Handlers()


@handlers.on_every
async def on_every(work: Work, envelope: Envelope) -> None:
    await keep_event(work, envelope)


@handlers.on(TerritoryRecorded)
async def on_territory_recorded(work: Work, event: TerritoryRecorded) -> None:
    await save_territory_name(work, event.name)


@handlers.on(MemberRecorded)
async def on_member_recorded(work: Work, event: MemberRecorded) -> None:
    await people.remember_member(work, event)


@handlers.on(ActorRecorded)
async def on_actor_recorded(work: Work, event: ActorRecorded) -> None:
    await people.remember_actor(work, event)


@handlers.on(CampaignOpened)
async def on_campaign_opened(work: Work, event: CampaignOpened) -> None:
    await people.remember_campaign(work, event)


@handlers.on(AssociationAdmitted)
async def on_association_admitted(work: Work, event: AssociationAdmitted) -> None:
    await people.remember_panel_place(work, event)


@handlers.on(NeedOpened)
async def on_need_opened(work: Work, event: NeedOpened) -> None:
    await people.remember_need(work, event)


@handlers.on(MissionProposed)
async def on_mission_proposed(work: Work, event: MissionProposed) -> None:
    await people.remember_mission(work, event)
