"""What comes in and goes out for a need."""

from dataclasses import asdict
from datetime import date
from typing import Any
from uuid import UUID

from pydantic import BaseModel, Field

from services.matching.domain.needs import Need, NeedFacts
from services.matching.domain.shared import Outcome
from services.matching.domain.states import NeedState
from services.matching.schemas.shared import (
    Body,
    CommuneCode,
    Day,
    Description,
    HistoryOut,
    Minutes,
    Sentence,
    SkillOut,
    Skills,
    Title,
    read_changes,
    read_skills,
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
    remote: bool = Field(False, description="Whether it can be done at a distance.")

    def facts(self) -> NeedFacts:
        names = ("title", "description", "minutes", "starts_on", "ends_on", "commune", "remote")
        return NeedFacts(skills=read_skills(self.skills), **{name: getattr(self, name) for name in names})


class NeedEdit(Body):
    title: Title | None = None
    description: Description | None = None
    skills: Skills | None = None
    minutes: Minutes | None = None
    starts_on: Day | None = None
    ends_on: Day | None = None
    commune: CommuneCode | None = None
    remote: bool | None = None

    def changes(self) -> dict[str, object]:
        return read_changes(self, may_be_null="commune")


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
    remote: bool
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
    shown = {"ref": need.ref, "qualification_note": need.qualification_note}
    return {
        "id": need.id,
        **(shown if full else dict.fromkeys(shown)),
        "campaign_id": need.campaign_id,
        "association_id": need.association_id,
        **asdict(need.facts),
        "state": need.state,
        "version": need.version,
    }
