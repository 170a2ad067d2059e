"""Values that needs, offers and missions share, and what matching knows of its neighbours."""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from uuid import UUID

from kernel.errors import BadInput
from services.matching.domain.refusals import CampaignNotOpen


class Outcome(StrEnum):
    CREATED = "created"
    CHANGED = "changed"
    UNCHANGED = "unchanged"


@dataclass(frozen=True)
class Skill:
    """A skill in people's own words; level 1 (knows), 2 (practises), 3 (masters)."""

    label: str
    level: int = 1


@dataclass(frozen=True)
class Campaign:
    id: UUID
    title: str
    is_open: bool


@dataclass(frozen=True)
class Commune:
    name: str
    latitude: float
    longitude: float


def check_not_closed(campaign: Campaign | None) -> None:
    """A campaign that nobody told of yet may have drafts; a closed one takes nothing new."""
    if campaign is not None and not campaign.is_open:
        raise CampaignNotOpen("The campaign is closed; nothing new can be written for it.")


def check_work_terms(
    skills: tuple[Skill, ...], *, first: tuple[str, date], last: tuple[str, date], commune: str | None, remote: bool
) -> None:
    """What needs and offers both promise: at least one skill, days in order, and a place or none needed."""
    if not skills:
        raise BadInput.at("/skills", "name at least one skill")
    if first[1] > last[1]:
        raise BadInput.at(last[0], f"must not be before {first[0].strip('/')} ({first[1]})")
    if commune is None and not remote:
        raise BadInput.at("/commune", "give the commune's INSEE code, or set remote to true")


def check_campaign(campaign: Campaign | None) -> None:
    if campaign is None:
        raise CampaignNotOpen("This campaign is not open (yet); once the officer has opened it, try again.")
    if not campaign.is_open:
        raise CampaignNotOpen(f"The campaign “{campaign.title}” is closed; nothing new can be agreed in it.")
