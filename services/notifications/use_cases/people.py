"""Remember what other services tell about people, bodies, campaigns, needs and missions."""

from kernel.events.credits import AssociationAdmitted, CampaignOpened
from kernel.events.matching import MissionProposed, NeedOpened
from kernel.events.registry import ActorRecorded, MemberRecorded
from kernel.work import Work
from services.notifications.store import people as store
from services.notifications.tables import actor, campaign, member, mission, need, panel_place


async def remember_member(work: Work, event: MemberRecorded) -> None:
    facts = event.model_dump(include={"version", "actor_id", "display_name", "email", "roles", "locale", "archived"})
    await store.save_version(work, member, {"id": event.member_id, **facts})


async def remember_actor(work: Work, event: ActorRecorded) -> None:
    await store.save_version(work, actor, {"id": event.actor_id, "version": event.version, "name": event.name})


async def remember_campaign(work: Work, event: CampaignOpened) -> None:
    await store.save_once(work, campaign, {"id": event.campaign_id, "title": event.title})


async def remember_panel_place(work: Work, event: AssociationAdmitted) -> None:
    await store.save_once(work, panel_place, {"campaign_id": event.campaign_id, "association_id": event.association_id})


async def remember_need(work: Work, event: NeedOpened) -> None:
    await store.save_once(work, need, {"id": event.need_id, "title": event.title})


async def remember_mission(work: Work, event: MissionProposed) -> None:
    facts = event.model_dump(include={"title", "campaign_id", "association_id", "volunteer_id", "company_id"})
    await store.save_once(work, mission, {"id": event.mission_id, **facts})
