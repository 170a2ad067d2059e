"""A volunteer's offers, from draft to open, and their ends."""

from dataclasses import dataclass, replace
from uuid import UUID

from kernel.clock import local_date
from kernel.errors import BadInput
from kernel.events.matching import OfferOpened
from kernel.ids import new_id
from kernel.routing import check_version
from kernel.work import Work
from services.matching.domain.offers import (
    Offer,
    OfferFacts,
    check_offer_facts,
    decide_offer,
    decide_offer_edit,
    decide_offer_opening,
)
from services.matching.domain.refusals import WrongState
from services.matching.domain.shared import Outcome, SkillSource
from services.matching.domain.states import Deed, OfferState, Step
from services.matching.store.known import is_active_member, lock_name
from services.matching.store.missions import lock_proposed_missions
from services.matching.store.offers import count_promised_minutes, insert_offer, lock_offer, lock_offer_by_ref
from services.matching.use_cases.ending import cancel_proposal
from services.matching.use_cases.facts import check_town_facts, complete_facts
from services.matching.use_cases.searching import write_offer_back


@dataclass(frozen=True)
class OfferToWrite:
    """What comes in for an offer. The volunteer is the caller unless the town writes for another."""

    volunteer_id: UUID | None
    facts: OfferFacts


async def write_offer(
    work: Work, wish: OfferToWrite, *, ref: str | None = None, source: SkillSource = SkillSource.TYPED
) -> Offer:
    """A new draft; `source`: where its skills come from, unless they say so themselves."""
    volunteer_id = wish.volunteer_id or work.caller.member_id
    if volunteer_id is None:
        raise BadInput.at("/volunteer_id", "say which member offers; your token is no member's")
    work.caller.require_member(volunteer_id)
    check_offer_facts(wish.facts)
    check_town_facts(work, vars(wish.facts))
    offer = Offer(new_id(), ref, volunteer_id, await complete_facts(work, wish.facts, source=source))
    await insert_offer(work, offer, Step(None, OfferState.DRAFT, Deed.CREATE, work.caller.identity))
    return offer


async def edit_offer(work: Work, offer_id: UUID, changes: dict[str, object], *, version: int) -> Offer:
    offer = await lock_offer(work, offer_id)
    work.caller.require_member(offer.volunteer_id)
    check_version(offer.version, version)
    check_town_facts(work, changes)
    return await _change(work, offer, replace(offer.facts, **changes))  # type: ignore[arg-type]


async def put_offer(work: Work, ref: str, wish: OfferToWrite) -> tuple[Offer, Outcome]:
    """Write the offer that the town keeps under `ref`, or bring it up to date; its state stays."""
    await lock_name(work, f"offer:{ref}")
    offer = await lock_offer_by_ref(work, ref)
    if offer is None:
        return await write_offer(work, wish, ref=ref, source=SkillSource.IMPORTED), Outcome.CREATED
    facts = await complete_facts(work, wish.facts, before=offer.facts.skills, source=SkillSource.IMPORTED)
    wish = replace(wish, facts=facts)
    volunteer_id = wish.volunteer_id or offer.volunteer_id
    if (offer.volunteer_id, offer.facts) == (volunteer_id, wish.facts):
        return offer, Outcome.UNCHANGED
    if offer.volunteer_id != volunteer_id:
        if offer.state is not OfferState.DRAFT:
            raise WrongState(
                f"It is {offer.state}; the volunteer changes only while it is a draft. "
                "Withdraw it, and write a new offer with another ref.",
                state=offer.state.value,
            )
        offer = replace(offer, volunteer_id=volunteer_id)
    return await _change(work, offer, wish.facts), Outcome.CHANGED


async def _change(work: Work, offer: Offer, facts: OfferFacts) -> Offer:
    check_offer_facts(facts)
    facts = await complete_facts(work, facts, before=offer.facts.skills)
    edited = decide_offer_edit(offer, facts, promised_minutes=await count_promised_minutes(work, offer.id))
    await write_offer_back(work, edited)
    return edited


async def open_offer(work: Work, offer_id: UUID) -> Offer:
    offer = await lock_offer(work, offer_id)
    work.caller.require_member(offer.volunteer_id)
    known = await is_active_member(work, offer.volunteer_id)
    opened, step = decide_offer_opening(offer, volunteer_known=known, today=local_date(work.now), who=work.caller.identity)
    await write_offer_back(work, opened, step)
    labels = [skill.label for skill in opened.facts.skills]
    work.publish(OfferOpened(offer_id=offer.id, minutes=opened.facts.minutes, skills=labels), subject=offer.id)
    return opened


async def pause_offer(work: Work, offer_id: UUID) -> Offer:
    """Nothing new is proposed for it; what was proposed stays."""
    offer = await lock_offer(work, offer_id)
    work.caller.require_member(offer.volunteer_id)
    paused, step = decide_offer(offer, Deed.PAUSE, who=work.caller.identity)
    await write_offer_back(work, paused, step)
    return paused


async def withdraw_offer(work: Work, offer_id: UUID, reason: str) -> Offer:
    """It is offered no longer; a mission that is only proposed ends with it, an agreed one goes on."""
    offer = await lock_offer(work, offer_id)
    work.caller.require_member(offer.volunteer_id)
    return await end_offer(work, offer, Deed.WITHDRAW, reason=reason)


async def end_offer(work: Work, offer: Offer, deed: Deed, *, reason: str) -> Offer:
    """Withdraw or expire a locked offer, together with the missions that are only proposed."""
    ended, step = decide_offer(offer, deed, who=work.caller.identity, reason=reason)
    for mission in await lock_proposed_missions(work, offer_id=offer.id):
        await cancel_proposal(work, mission, reason=reason)
    await write_offer_back(work, ended, step)
    return ended
