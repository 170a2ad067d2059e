"""What an association asks for."""

from dataclasses import dataclass, replace
from datetime import date
from uuid import UUID

from services.matching.domain.refusals import NeedIsBusy, PeriodIsOver, WrongState
from services.matching.domain.shared import Campaign, Point, Setting, Skill, check_campaign, check_work_terms
from services.matching.domain.states import EDITABLE_NEEDS, NEED_MOVES, Deed, NeedState, Step, take_step
from services.matching.domain.week import WeekPart


@dataclass(frozen=True)
class NeedFacts:
    """What is asked: the part of a need that people write.

    No commune: it is done at a distance only; `point` says within the commune where, else its centre counts. `languages`
    (ISO 639-1) are all needed; `week`: the parts of the week in which it can be done, none named: any. `setting`: the kind of
    skill wanted, none: either. `with_minors` asks for a volunteer whose honorability was checked, `charter_required` for one
    who is bound by the partnership charter.
    """

    title: str
    description: str
    skills: tuple[Skill, ...]
    minutes: int
    starts_on: date
    ends_on: date
    commune: str | None
    remote: bool
    languages: tuple[str, ...] = ("fr",)
    week: tuple[WeekPart, ...] = ()
    setting: Setting | None = None
    with_minors: bool = False
    charter_required: bool = False
    point: Point | None = None


@dataclass(frozen=True)
class Need:
    id: UUID
    ref: str | None
    campaign_id: UUID
    association_id: UUID
    facts: NeedFacts
    state: NeedState = NeedState.DRAFT
    qualification_note: str | None = None
    version: int = 1


@dataclass(frozen=True)
class Unmet:
    """Of the minutes that an association asked for in a campaign (open, covered, fulfilled), those that no mission serves."""

    unmet_minutes: int
    needed_minutes: int


def check_need_facts(facts: NeedFacts) -> None:
    first, last = ("/starts_on", facts.starts_on), ("/ends_on", facts.ends_on)
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


def decide_need(need: Need, deed: Deed, *, who: str, reason: str | None = None) -> tuple[Need, Step[NeedState]]:
    step = take_step(NEED_MOVES, need.state, deed, who=who, reason=reason)
    return replace(need, state=step.after, version=need.version + 1), step


def decide_qualification(need: Need, note: str, *, who: str) -> tuple[Need, Step[NeedState]]:
    """The operator went through it with the association; the note says what came of that."""
    qualified, step = decide_need(need, Deed.QUALIFY, who=who, reason=note)
    return replace(qualified, qualification_note=note), step


def decide_need_opening(need: Need, *, campaign: Campaign | None, today: date, who: str) -> tuple[Need, Step[NeedState]]:
    opened, step = decide_need(need, Deed.OPEN, who=who)
    check_campaign(campaign)
    if need.facts.ends_on < today:
        raise PeriodIsOver(f"The need ended on {need.facts.ends_on}; edit its dates, then open it.")
    return opened, step


def decide_need_edit(need: Need, facts: NeedFacts, *, busy: bool) -> Need:
    """The need with other facts; an open one stays open. A proposed mission rests on the facts, so it comes first."""
    if need.state not in EDITABLE_NEEDS:
        raise WrongState(f"It is {need.state}; only a draft, qualified or open need can be changed.", state=need.state.value)
    if busy:
        raise NeedIsBusy("A mission is proposed for this need; decline or cancel it first, then change the need.")
    return replace(need, facts=facts, version=need.version + 1)
