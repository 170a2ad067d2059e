"""What a volunteer can give."""

from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from uuid import UUID

from services.matching.domain.refusals import OfferIsPromised, PeriodIsOver, Unknown, WrongState
from services.matching.domain.shared import Skill, check_work_terms
from services.matching.domain.states import EDITABLE_OFFERS, OFFER_MOVES, Deed, OfferState, Step, take_step


class Setting(StrEnum):
    PROFESSIONAL = "professional"
    PERSONAL = "personal"


@dataclass(frozen=True)
class OfferFacts:
    """What is given: the part of an offer that people write. `radius_km` counts from the commune's centre."""

    title: str
    description: str
    skills: tuple[Skill, ...]
    minutes: int
    available_from: date
    available_until: date
    commune: str | None
    remote: bool
    radius_km: int
    setting: Setting


@dataclass(frozen=True)
class Offer:
    id: UUID
    ref: str | None
    volunteer_id: UUID
    facts: OfferFacts
    state: OfferState = OfferState.DRAFT
    version: int = 1


@dataclass(frozen=True)
class Candidate:
    """An open offer with what else proposals need to know: its volunteer's employer and missions, and its free minutes."""

    offer: Offer
    remaining_minutes: int
    live_missions: int
    employer_id: UUID | None


def check_offer_facts(facts: OfferFacts) -> None:
    first, last = ("/available_from", facts.available_from), ("/available_until", facts.available_until)
    check_work_terms(facts.skills, first=first, last=last, commune=facts.commune, remote=facts.remote)


def decide_offer(offer: Offer, deed: Deed, *, who: str, reason: str | None = None) -> tuple[Offer, Step[OfferState]]:
    step = take_step(OFFER_MOVES, offer.state, deed, who=who, reason=reason)
    return replace(offer, state=step.after, version=offer.version + 1), step


def decide_offer_opening(offer: Offer, *, volunteer_known: bool, today: date, who: str) -> tuple[Offer, Step[OfferState]]:
    opened, step = decide_offer(offer, Deed.OPEN, who=who)
    if not volunteer_known:
        raise Unknown("The volunteer is not an active member that the registry told about; record them first, then try again.")
    if offer.facts.available_until < today:
        raise PeriodIsOver(f"The offer ended on {offer.facts.available_until}; edit its dates, then open it.")
    return opened, step


def decide_offer_edit(offer: Offer, facts: OfferFacts, *, promised_minutes: int) -> Offer:
    if offer.state not in EDITABLE_OFFERS:
        raise WrongState(f"It is {offer.state}; only a draft, open or paused offer can be changed.", state=offer.state.value)
    if facts.minutes < promised_minutes:
        raise OfferIsPromised(
            f"Missions count on {promised_minutes} minutes of this offer; offer at least as many, or cancel a mission first.",
            promised_minutes=promised_minutes,
        )
    return replace(offer, facts=facts, version=offer.version + 1)


def decide_contributor(offer: Offer, *, employer_id: UUID | None) -> tuple[UUID, UUID | None]:
    """Whose promised hours are served, and which company must approve: an employee's professional offer is the company's."""
    if offer.facts.setting is Setting.PROFESSIONAL and employer_id is not None:
        return employer_id, employer_id
    return offer.volunteer_id, None
