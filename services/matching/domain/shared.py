"""Values that needs, offers and missions share, and what matching knows of its neighbours."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

from kernel.errors import BadInput
from services.matching.domain.refusals import CampaignNotOpen
from services.matching.domain.week import WeekPart, days_mask, week_mask


class Outcome(StrEnum):
    CREATED = "created"
    CHANGED = "changed"
    UNCHANGED = "unchanged"


class SkillSource(StrEnum):
    """How a skill came to be confirmed: from a suggestion, in a person's own words, or out of the town's files."""

    SUGGESTED = "suggested"
    TYPED = "typed"
    IMPORTED = "imported"


@dataclass(frozen=True)
class Skill:
    """A skill in people's own words; level 1 (knows), 2 (practises), 3 (masters). `code`: of the skills referential, or of the
    territory's own skills; without one it is free text, and matches by its words.

    Written is confirmed: a suggestion that nobody took up stands nowhere. `confirmed_by` (a member, an actor or a client) and
    the rest say how; none for what was written before confirmations were kept. `evidence`: words of the text that led to it.
    None of this makes two skills different.
    """

    label: str
    level: int = 1
    code: str | None = None
    source: SkillSource | None = field(default=None, compare=False)
    evidence: tuple[str, ...] = field(default=(), compare=False)
    confirmed_by: str | None = field(default=None, compare=False)
    confirmed_at: datetime | None = field(default=None, compare=False)


class Setting(StrEnum):
    """Whether a skill is given from one's job, or from one's own life."""

    PROFESSIONAL = "professional"
    PERSONAL = "personal"


@dataclass(frozen=True)
class Point:
    """Degrees, WGS 84."""

    latitude: float
    longitude: float


@dataclass(frozen=True)
class Campaign:
    id: UUID
    title: str
    is_open: bool
    conventions_required: bool = False  # no mission starts before its convention is concluded


@dataclass(frozen=True)
class Actor:
    """A body of the registry as it told of it last. `name`: none where that was before names were kept."""

    version: int
    kind: str
    archived: bool
    name: str | None = None
    fields_of_action: tuple[str, ...] = ()


@dataclass(frozen=True)
class Commune:
    name: str
    latitude: float
    longitude: float


def language_mask(codes: Collection[str]) -> int:
    """A bit for each language: who speaks all of some has at least their bits. Languages may share one."""
    mask = 0
    for code in codes:
        mask |= 1 << (26 * (ord(code[0]) - 97) + ord(code[1]) - 97) % 61
    return mask


def check_not_closed(campaign: Campaign | None) -> None:
    """A campaign that nobody told of yet may have drafts; a closed one takes nothing new."""
    if campaign is not None and not campaign.is_open:
        raise CampaignNotOpen("The campaign is closed; nothing new can be written for it.")


def check_work_terms(
    skills: tuple[Skill, ...],
    *,
    first: tuple[str, date],
    last: tuple[str, date],
    commune: str | None,
    point: Point | None,
    remote: bool,
    languages: tuple[str, ...],
    week: tuple[WeekPart, ...],
) -> None:
    """What needs and offers both promise: a skill, a language, days in order with the hours named, and a place or none needed."""
    if not skills:
        raise BadInput.at("/skills", "name at least one skill")
    if not languages:
        raise BadInput.at("/languages", "name at least one language, e.g. fr")
    if first[1] > last[1]:
        raise BadInput.at(last[0], f"must not be before {first[0].strip('/')} ({first[1]})")
    if not week_mask(week) & days_mask(first[1], last[1]):
        raise BadInput.at(
            "/week", "none of these parts of the week lies between the first and the last day; name others, or none"
        )
    if commune is None and not remote:
        raise BadInput.at("/commune", "give the commune's INSEE code, or set remote to true")
    if point is not None and commune is None:
        raise BadInput.at("/commune", "a point needs its commune: give its INSEE code, or leave the point out")


def check_campaign(campaign: Campaign | None) -> None:
    if campaign is None:
        raise CampaignNotOpen("This campaign is not open (yet); once the officer has opened it, try again.")
    if not campaign.is_open:
        raise CampaignNotOpen(f"The campaign “{campaign.title}” is closed; nothing new can be agreed in it.")
