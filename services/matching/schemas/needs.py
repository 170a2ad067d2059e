"""What comes in and goes out for a need."""

from dataclasses import asdict
from datetime import date
from typing import Any
from uuid import UUID

from pydantic import BaseModel, Field

from services.matching.domain.needs import Need, NeedFacts
from services.matching.domain.shared import Outcome, Setting
from services.matching.domain.states import NeedState
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
    Sentence,
    SkillOut,
    Skills,
    Title,
    Week,
    read_changes,
    read_facts,
)


class NeedBody(Body):
    campaign_id: UUID
    association_id: UUID | None = Field(None, description="The caller's own association unless given; the town may name any.")
    title: Title
    description: Description = ""
    skills: Skills
    minutes: Minutes
    starts_on: Day
    ends_on: Day
    commune: CommuneCode | None = Field(None, description="Where; none: only at a distance.")
    point: PointBody | None = Field(None, description="Where within the commune; its centre unless given.")
    remote: bool = Field(False, description="Whether it can be done at a distance.")
    languages: Languages = Field(["fr"], description="All that the volunteer must work in.")
    week: Week = Field(default_factory=list)
    setting: Setting | None = Field(None, description="Only professional or only personal skills; none: either.")
    with_minors: bool = Field(False, description="Only volunteers whose honorability the town has checked.")
    charter_required: bool = Field(False, description="Only volunteers bound by the partnership charter.")

    def facts(self) -> NeedFacts:
        return NeedFacts(**read_facts(self, without=("campaign_id", "association_id")))


class NeedEdit(Body):
    title: Title | None = None
    description: Description | None = None
    skills: Skills | None = None
    minutes: Minutes | None = None
    starts_on: Day | None = None
    ends_on: Day | None = None
    commune: CommuneCode | None = None
    point: PointBody | None = None
    remote: bool | None = None
    languages: Languages | None = None
    week: Week | None = None
    setting: Setting | None = None
    with_minors: bool | None = None
    charter_required: bool | None = None

    def changes(self) -> dict[str, object]:
        return read_changes(self, may_be_null=("commune", "point", "setting"))


class QualificationBody(Body):
    note: Sentence = Field(description="What operator and association settled together.")


class NeedOut(BaseModel):
    id: UUID
    ref: str | None = Field(description="The town's own key; shown to the town, the auditor and the need's association.")
    campaign_id: UUID
    association_id: UUID
    title: str
    description: str
    skills: list[SkillOut]
    minutes: int
    starts_on: date
    ends_on: date
    commune: str | None
    point: PointOut | None = Field(description="Shown to the town, the auditor and the need's association.")
    remote: bool
    languages: list[str]
    week: list[WeekPart]
    setting: Setting | None
    with_minors: bool
    charter_required: bool
    state: NeedState
    qualification_note: str | None = Field(description="Shown to the town, the auditor and the need's association.")
    version: int

    @classmethod
    def of(cls, need: Need, *, full: bool) -> "NeedOut":
        return cls.model_validate(need_values(need, full=full))


class NeedSaved(NeedOut):
    outcome: Outcome


class NeedDetail(NeedOut):
    history: list[HistoryOut] = Field(description="Shown to the town, the auditor and the need's association; empty for others.")


def need_values(need: Need, *, full: bool) -> dict[str, Any]:
    facts = asdict(need.facts)
    shown = {"ref": need.ref, "qualification_note": need.qualification_note, "point": facts["point"]}
    if not full:
        facts["skills"] = [skill | {"confirmed_by": None} for skill in facts["skills"]]
    return {
        "id": need.id,
        "campaign_id": need.campaign_id,
        "association_id": need.association_id,
        **facts,
        **(shown if full else dict.fromkeys(shown)),
        "state": need.state,
        "version": need.version,
    }
