"""What comes in and goes out for an offer."""

from dataclasses import asdict
from datetime import date
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, Field

from services.matching.domain.offers import Offer, OfferFacts
from services.matching.domain.shared import Outcome, Setting
from services.matching.domain.states import OfferState
from services.matching.domain.week import WeekPart
from services.matching.schemas.shared import (
    Body,
    CommuneCode,
    Day,
    Description,
    HistoryOut,
    Languages,
    Minutes,
    PointBody,
    PointOut,
    SkillOut,
    Skills,
    Title,
    Week,
    read_changes,
    read_facts,
)

Associations = Annotated[list[UUID], Field(max_length=50)]


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

    languages: Languages = Field(["fr"], description="Those the volunteer works in.")
    week: Week = Field(default_factory=list)
    point: PointBody | None = Field(None, description="From where the radius counts; the commune's centre unless given.")
    excluded_associations: Associations = Field(
        default_factory=list, description="Associations the volunteer has ties with (board, employment, family): never proposed."
    )
    honorability_checked_on: Day | None = Field(None, description="The town's to say: it has checked that day; for minors.")
    charter_signed: bool = Field(False, description="The town's to say: the partnership charter binds the volunteer.")

    def facts(self) -> OfferFacts:
        return OfferFacts(**read_facts(self, without=("volunteer_id",)))


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
    languages: Languages | None = None
    week: Week | None = None
    point: PointBody | None = None
    excluded_associations: Associations | None = None
    honorability_checked_on: Day | None = None
    charter_signed: bool | None = None

    def changes(self) -> dict[str, object]:
        return read_changes(self, may_be_null=("commune", "point", "honorability_checked_on"))


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
    languages: list[str]
    week: list[WeekPart]
    point: PointOut | None
    excluded_associations: list[UUID]
    honorability_checked_on: date | None
    charter_signed: bool
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
