"""What comes in and goes out for an offer."""

from dataclasses import asdict
from datetime import date
from typing import Any
from uuid import UUID

from pydantic import BaseModel, Field

from services.matching.domain.offers import Offer, OfferFacts, Setting
from services.matching.domain.shared import Outcome
from services.matching.domain.states import OfferState
from services.matching.schemas.shared import (
    Body,
    CommuneCode,
    Day,
    Description,
    HistoryOut,
    Minutes,
    SkillOut,
    Skills,
    Title,
    read_changes,
    read_skills,
)


class OfferBody(Body):
    volunteer_id: UUID | None = Field(None, description="The caller unless given; the town may name any member.")
    title: Title
    description: Description = ""
    skills: Skills
    minutes: Minutes
    available_from: Day
    available_until: Day
    commune: CommuneCode | None = Field(None, description="From where the radius counts; none: only at a distance.")
    remote: bool = False
    radius_km: int = Field(5, ge=0, le=500)
    setting: Setting

    def facts(self) -> OfferFacts:
        names = (
            "title",
            "description",
            "minutes",
            "available_from",
            "available_until",
            "commune",
            "remote",
            "radius_km",
            "setting",
        )
        return OfferFacts(skills=read_skills(self.skills), **{name: getattr(self, name) for name in names})


class OfferEdit(Body):
    title: Title | None = None
    description: Description | None = None
    skills: Skills | None = None
    minutes: Minutes | None = None
    available_from: Day | None = None
    available_until: Day | None = None
    commune: CommuneCode | None = None
    remote: bool | None = None
    radius_km: int | None = Field(None, ge=0, le=500)
    setting: Setting | None = None

    def changes(self) -> dict[str, object]:
        return read_changes(self, may_be_null="commune")


class OfferOut(BaseModel):
    id: UUID
    ref: str | None
    volunteer_id: UUID
    title: str
    description: str
    skills: list[SkillOut]
    minutes: int
    remaining_minutes: int = Field(description="Offered, less what live and closed missions take.")
    available_from: date
    available_until: date
    commune: str | None
    remote: bool
    radius_km: int
    setting: Setting
    state: OfferState
    version: int

    @classmethod
    def of(cls, offer: Offer, *, promised_minutes: int) -> "OfferOut":
        return cls.model_validate(offer_values(offer, promised_minutes=promised_minutes))


class OfferSaved(OfferOut):
    outcome: Outcome


class OfferDetail(OfferOut):
    history: list[HistoryOut]


def offer_values(offer: Offer, *, promised_minutes: int) -> dict[str, Any]:
    return {
        "id": offer.id,
        "ref": offer.ref,
        "volunteer_id": offer.volunteer_id,
        **asdict(offer.facts),
        "remaining_minutes": offer.facts.minutes - promised_minutes,
        "state": offer.state,
        "version": offer.version,
    }
