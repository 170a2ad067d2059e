"""An association's needs, from draft to open, and their ends."""

from dataclasses import dataclass, replace
from uuid import UUID

from kernel.auth import Role
from kernel.clock import local_date
from kernel.errors import BadInput
from kernel.events.matching import NeedFulfilled, NeedOpened, NeedWithdrawn
from kernel.ids import new_id
from kernel.routing import check_version
from kernel.work import Work
from services.matching.domain.needs import (
    Need,
    NeedFacts,
    check_need_facts,
    decide_need,
    decide_need_edit,
    decide_need_opening,
    decide_qualification,
)
from services.matching.domain.refusals import NeedIsBusy, Unknown, WrongState
from services.matching.domain.shared import Outcome, SkillSource, check_not_closed
from services.matching.domain.states import Deed, NeedState, Step
from services.matching.store.known import find_campaign, is_active_actor, lock_name
from services.matching.store.missions import has_live_or_served_mission, lock_proposed_missions
from services.matching.store.needs import insert_need, lock_need, lock_need_by_ref
from services.matching.use_cases.ending import cancel_proposal
from services.matching.use_cases.facts import complete_facts
from services.matching.use_cases.searching import write_need_back


@dataclass(frozen=True)
class NeedToWrite:
    """What comes in for a need. The association is the caller's own unless the town writes for another."""

    campaign_id: UUID
    association_id: UUID | None
    facts: NeedFacts


async def write_need(work: Work, wish: NeedToWrite, *, ref: str | None = None, source: SkillSource = SkillSource.TYPED) -> Need:
    """A new draft; `source`: where its skills come from, unless they say so themselves."""
    association_id = wish.association_id or work.caller.actor_id
    if association_id is None:
        raise BadInput.at("/association_id", "say for which association; your token acts for none")
    work.caller.require_actor(association_id)
    check_need_facts(wish.facts)
    check_not_closed(await find_campaign(work, wish.campaign_id))
    need = Need(new_id(), ref, wish.campaign_id, association_id, await complete_facts(work, wish.facts, source=source))
    await insert_need(work, need, Step(None, NeedState.DRAFT, Deed.CREATE, work.caller.identity))
    return need


async def edit_need(work: Work, need_id: UUID, changes: dict[str, object], *, version: int) -> Need:
    """Change some facts. What the operator qualified is no longer the association's alone to change."""
    need = await lock_need(work, need_id)
    work.caller.require_actor(need.association_id)
    check_version(need.version, version)
    if need.state is not NeedState.DRAFT and not work.caller.is_town:
        raise WrongState(
            f"It is {need.state}, as qualified with the operator; ask the operator to change it.", state=need.state.value
        )
    return await _change(work, need, replace(need.facts, **changes))  # type: ignore[arg-type]


async def put_need(work: Work, ref: str, wish: NeedToWrite) -> tuple[Need, Outcome]:
    """Write the need that the town keeps under `ref`, or bring it up to date; its state stays."""
    await lock_name(work, f"need:{ref}")
    need = await lock_need_by_ref(work, ref)
    if need is None:
        return await write_need(work, wish, ref=ref, source=SkillSource.IMPORTED), Outcome.CREATED
    facts = await complete_facts(work, wish.facts, before=need.facts.skills, source=SkillSource.IMPORTED)
    wish = replace(wish, facts=facts)
    association_id = wish.association_id or need.association_id
    if (need.campaign_id, need.association_id, need.facts) == (wish.campaign_id, association_id, wish.facts):
        return need, Outcome.UNCHANGED
    if (need.campaign_id, need.association_id) != (wish.campaign_id, association_id):
        if need.state is not NeedState.DRAFT:
            raise WrongState(
                f"It is {need.state}; campaign and association change only while it is a draft. "
                "Withdraw it, and write a new need with another ref.",
                state=need.state.value,
            )
        check_not_closed(await find_campaign(work, wish.campaign_id))
        need = replace(need, campaign_id=wish.campaign_id, association_id=association_id)
    return await _change(work, need, wish.facts), Outcome.CHANGED


async def _change(work: Work, need: Need, facts: NeedFacts) -> Need:
    check_need_facts(facts)
    facts = await complete_facts(work, facts, before=need.facts.skills)
    edited = decide_need_edit(need, facts, busy=await has_live_or_served_mission(work, need.id))
    await write_need_back(work, edited)
    return edited


async def qualify_need(work: Work, need_id: UUID, note: str) -> Need:
    need, step = decide_qualification(await lock_need(work, need_id), note, who=work.caller.identity)
    await write_need_back(work, need, step)
    return need


async def open_need(work: Work, need_id: UUID) -> Need:
    """A qualified need may be served from now on."""
    need = await lock_need(work, need_id)
    campaign = await find_campaign(work, need.campaign_id)
    opened, step = decide_need_opening(need, campaign=campaign, today=local_date(work.now), who=work.caller.identity)
    if not await is_active_actor(work, need.association_id):
        raise Unknown("The association is not an active actor that the registry told about; record it first, then try again.")
    await write_need_back(work, opened, step)
    publish_opening(work, opened)
    return opened


async def withdraw_need(work: Work, need_id: UUID, reason: str) -> Need:
    """The association asks for it no longer; a mission that is only proposed ends with it."""
    need = await lock_need(work, need_id)
    work.caller.require_actor(need.association_id)
    if need.state is NeedState.COVERED:
        raise NeedIsBusy("A mission is agreed for this need; cancel the mission with its reason, then withdraw the need.")
    return await end_need(work, need, Deed.WITHDRAW, reason=reason)


async def end_need(work: Work, need: Need, deed: Deed, *, reason: str) -> Need:
    """Withdraw or expire a locked need, together with the missions that are only proposed."""
    ended, step = decide_need(need, deed, who=work.caller.identity, reason=reason)
    for mission in await lock_proposed_missions(work, need_id=need.id):
        await cancel_proposal(work, mission, reason=reason)
    await write_need_back(work, ended, step)
    if deed is Deed.WITHDRAW:
        facts = {"need_id": need.id, "campaign_id": need.campaign_id, "association_id": need.association_id}
        work.publish(NeedWithdrawn(**facts, reason=reason), subject=need.id)
    return ended


async def cover_need(work: Work, need: Need) -> None:
    """Its mission is agreed."""
    covered, step = decide_need(need, Deed.COVER, who=work.caller.identity)
    await write_need_back(work, covered, step)


async def reopen_need(work: Work, need: Need, *, reason: str) -> None:
    """Its mission will not be served: it waits for another, unless campaign or period have ended in the meantime."""
    reopened, step = decide_need(need, Deed.REOPEN, who=work.caller.identity, reason=reason)
    await write_need_back(work, reopened, step)
    campaign = await find_campaign(work, need.campaign_id)
    if campaign is None or not campaign.is_open:
        await end_need(work, reopened, Deed.EXPIRE, reason="La campagne est close.")
    elif need.facts.ends_on < local_date(work.now):
        await end_need(work, reopened, Deed.EXPIRE, reason="La date de fin du besoin est passée.")
    else:
        publish_opening(work, reopened)


async def fulfil_need(work: Work, need: Need, *, mission_id: UUID) -> None:
    fulfilled, step = decide_need(need, Deed.FULFIL, who=work.caller.identity)
    await write_need_back(work, fulfilled, step)
    event = NeedFulfilled(
        need_id=need.id, campaign_id=need.campaign_id, association_id=need.association_id, mission_id=mission_id
    )
    work.publish(event, subject=need.id)


def publish_opening(work: Work, need: Need) -> None:
    event = NeedOpened(
        need_id=need.id,
        campaign_id=need.campaign_id,
        association_id=need.association_id,
        title=need.facts.title,
        minutes=need.facts.minutes,
    )
    work.publish(event, subject=need.id)


def may_act_for(work: Work, need: Need) -> bool:
    """Whether the caller runs the scheme, or acts for the need's association."""
    caller = work.caller
    return caller.is_town or (Role.ASSOCIATION in caller.roles and caller.actor_id == need.association_id)
