"""What a volunteer can give."""

from dataclasses import dataclass, replace
from datetime import date
from uuid import UUID

from services.matching.domain.refusals import OfferIsPromised, PeriodIsOver, Unknown, WrongState
from services.matching.domain.shared import Point, Setting, Skill, check_work_terms
from services.matching.domain.states import EDITABLE_OFFERS, OFFER_MOVES, Deed, OfferState, Step, take_step
from services.matching.domain.week import WeekPart

# Facts that the town establishes: it alone writes them.
TOWN_FACTS = ("honorability_checked_on", "charter_signed")


@dataclass(frozen=True)
class OfferFacts:
    """What is given: the part of an offer that people write. `radius_km` counts from the point, or the commune's centre.

    `languages` (ISO 639-1) are those the volunteer works in; `week`: the parts of the week they are free, none named: any.
    `excluded_associations` are those the volunteer has ties with (board, employment, family) beyond what the registry knows.
    `honorability_checked_on` and `charter_signed` are the town's (`TOWN_FACTS`).
    """

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
    languages: tuple[str, ...] = ("fr",)
    week: tuple[WeekPart, ...] = ()
    point: Point | None = None
    excluded_associations: tuple[UUID, ...] = ()
    honorability_checked_on: date | None = None
    charter_signed: bool = False


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
    """An open offer with what else proposals need to know: its free minutes, its volunteer's employer and missions.

    `missions` counts those the volunteer has been given and that live or were served, of whatever offer.
    """

    offer: Offer
    remaining_minutes: int
    missions: int
    employer_id: UUID | None


def check_offer_facts(facts: OfferFacts) -> None:
    first, last = ("/available_from", facts.available_from), ("/available_until", facts.available_until)
    check_work_terms(
        facts.skills,
        first=first,
        last=last,
        commune=facts.commune,
        point=facts.point,
        remote=facts.remote,
        languages=facts.languages,
        week=facts.week,
    )


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
