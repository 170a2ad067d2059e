"""One change of a need, of an offer, or of what the town has established, that lifts a gate: its kind, how much, what it costs.

**Cost order.** The smallest change is the one of the lowest cost; of equals the kind that comes first in `ChangeKind`, then the
offer's id. Costs are points of one scale, so that days, kilometres and hours can be ranked at all; they are ours to discuss:

| kind | who would change | cost |
|---|---|---|
| longer | the association: its need ends later, or starts earlier | 1 a day |
| radius | the volunteer: they come from farther | 1 a kilometre |
| week | the association: further parts of the week | 3 a part |
| shift | the association: the whole need, later or earlier | 2 a day |
| remote | the association: at a distance, too | 10 |
| offer_remote | the volunteer: at a distance, too | 12 |
| minutes | the association: fewer minutes | half the percent given up, rounded up |
| charter | the volunteer: signs the charter | 15 |
| minors | the town: checks the honorability | 15 |
| setting | the association: professional or personal, both | 15 |
| skill | the association: a skill that it did not ask for | 20, and half the percent that is lacking of the skill wanted |
| language | the association: does without one, or takes another | 30 a language |
| panel | the town: admits the association to the panel | 60 |

Never changed: a person's ties with an association, their own association, and the no that somebody has said to this pair.
"""

from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum

from services.matching.domain.needs import Need
from services.matching.domain.offers import Candidate
from services.matching.domain.shared import Skill
from services.matching.domain.week import WeekPart
from services.matching.engine.surroundings import Surroundings

LEAST_MINUTES = 60  # a shorter mission is not worth its agreement
MOST_DAYS = 92
MOST_RADIUS_KM = 500  # as of offers


class ChangeKind(StrEnum):
    LONGER = "longer"
    RADIUS = "radius"
    WEEK = "week"
    SHIFT = "shift"
    REMOTE = "remote"
    OFFER_REMOTE = "offer_remote"
    MINUTES = "minutes"
    CHARTER = "charter"
    MINORS = "minors"
    SETTING = "setting"
    SKILL = "skill"
    LANGUAGE = "language"
    PANEL = "panel"


_ORDER = {kind: number for number, kind in enumerate(ChangeKind)}
_FIXED_COSTS = {
    ChangeKind.REMOTE: 10, ChangeKind.OFFER_REMOTE: 12, ChangeKind.CHARTER: 15, ChangeKind.MINORS: 15,
    ChangeKind.SETTING: 15, ChangeKind.PANEL: 60,
}  # fmt: skip


@dataclass(frozen=True)
class Change:
    """`days` are signed: later, or earlier below zero. `kilometres`, `minutes`: what the radius or the need would be then.
    `parts` and `languages`: those added and left out; `skill`: the offered one that would be asked for, which stands for
    `percent` of the one that is wanted most nearly (0: only of the same group)."""

    kind: ChangeKind
    days: int = 0
    kilometres: int = 0
    minutes: int = 0
    parts: tuple[WeekPart, ...] = ()
    languages: tuple[str, ...] = ()
    skill: Skill | None = None
    percent: int = 0

    @property
    def order(self) -> int:
        return _ORDER[self.kind]


def measure_cost(change: Change, need: Need, candidate: Candidate) -> int:  # noqa: PLR0911 - a line a kind
    """See the module's table."""
    match change.kind:
        case ChangeKind.LONGER:
            return abs(change.days)
        case ChangeKind.SHIFT:
            return 2 * abs(change.days)
        case ChangeKind.RADIUS:
            return change.kilometres - candidate.offer.facts.radius_km
        case ChangeKind.WEEK:
            return 3 * len(change.parts)
        case ChangeKind.MINUTES:
            return -(-50 * (need.facts.minutes - change.minutes) // need.facts.minutes)
        case ChangeKind.SKILL:
            return 20 + (100 - change.percent + 1) // 2
        case ChangeKind.LANGUAGE:
            return 30 * len(change.languages)
        case _:
            return _FIXED_COSTS[change.kind]


def apply(  # noqa: PLR0911 - a line or two a kind
    change: Change, need: Need, candidate: Candidate, surroundings: Surroundings
) -> tuple[Need, Candidate, Surroundings]:
    """Need, offer and surroundings as they would be. Nothing of it is saved."""
    asked, given = need.facts, candidate.offer.facts
    match change.kind:
        case ChangeKind.LONGER:
            ends_on = asked.ends_on + timedelta(days=max(0, change.days))
            starts_on = asked.starts_on + timedelta(days=min(0, change.days))
            return replace(need, facts=replace(asked, starts_on=starts_on, ends_on=ends_on)), candidate, surroundings
        case ChangeKind.SHIFT:
            step = timedelta(days=change.days)
            facts = replace(asked, starts_on=asked.starts_on + step, ends_on=asked.ends_on + step)
            return replace(need, facts=facts), candidate, surroundings
        case ChangeKind.WEEK:
            return replace(need, facts=replace(asked, week=(*asked.week, *change.parts))), candidate, surroundings
        case ChangeKind.REMOTE:
            return replace(need, facts=replace(asked, remote=True)), candidate, surroundings
        case ChangeKind.MINUTES:
            return replace(need, facts=replace(asked, minutes=change.minutes)), candidate, surroundings
        case ChangeKind.SETTING:
            return replace(need, facts=replace(asked, setting=None)), candidate, surroundings
        case ChangeKind.SKILL:
            assert change.skill is not None
            return replace(need, facts=replace(asked, skills=(*asked.skills, change.skill))), candidate, surroundings
        case ChangeKind.LANGUAGE:
            kept = tuple(language for language in asked.languages if language not in change.languages) or given.languages
            return replace(need, facts=replace(asked, languages=kept)), candidate, surroundings
        case ChangeKind.PANEL:
            panels = {
                key: on | {need.association_id} if key == need.campaign_id else on for key, on in surroundings.panels.items()
            }
            return need, candidate, replace(surroundings, panels=panels)
        case _:
            offered = {
                ChangeKind.RADIUS: {"radius_km": change.kilometres},
                ChangeKind.OFFER_REMOTE: {"remote": True},
                ChangeKind.CHARTER: {"charter_signed": True},
                ChangeKind.MINORS: {"honorability_checked_on": surroundings.today},
            }[change.kind]
            offer = replace(candidate.offer, facts=replace(given, **offered))  # type: ignore[arg-type]
            return need, replace(candidate, offer=offer), surroundings
