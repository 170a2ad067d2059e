"""What comes in and goes out for a mission and its timesheets."""

from dataclasses import asdict
from datetime import date, datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, Field

from services.matching.domain.missions import Criterion, Mission, Side, Timesheet
from services.matching.domain.states import MissionState
from services.matching.engine.weights import Weights
from services.matching.schemas.proposals import ExplanationOut, ScorePartOut, explain, list_parts
from services.matching.schemas.shared import Body, Day, HistoryOut, ReasonBody, Sentence


class MissionOut(BaseModel):
    id: UUID
    need_id: UUID
    offer_id: UUID
    campaign_id: UUID
    association_id: UUID
    volunteer_id: UUID
    contributor_id: UUID = Field(description="The company of a professional offer; else the volunteer.")
    company_id: UUID | None = Field(description="Whose approval is needed, if any.")
    title: str
    minutes: int
    starts_on: date
    ends_on: date
    state: MissionState
    accepted: list[Side]
    awaited: list[Side] = Field(description="Sides that have not said yes yet.")
    worked_minutes: int
    served_minutes: int | None
    score: int
    parts: list[ScorePartOut]
    reasons: list[str] = Field(description="French sentences.")
    explanation: ExplanationOut
    weights_version: int | None = Field(description="Of the weights that made the score; 0: the software's defaults.")
    version: int

    @classmethod
    def of(cls, mission: Mission, weights: Weights | None) -> "MissionOut":
        """`weights`: those of the mission's version."""
        return cls.model_validate(mission_values(mission, weights))


class MissionDetail(MissionOut):
    history: list[HistoryOut]


def mission_values(mission: Mission, weights: Weights | None) -> dict[str, Any]:
    awaited = mission.sides - mission.accepted if mission.state is MissionState.PROPOSED else frozenset()
    return {
        **{name: getattr(mission, name) for name in MissionOut.model_fields if hasattr(mission, name)},
        "accepted": sorted(mission.accepted),
        "awaited": sorted(awaited),
        "parts": list_parts(mission.parts),
        "reasons": list(mission.reasons),
        "explanation": explain(weights),
    }


class AnswerBody(Body):
    criterion: Criterion | None = Field(None, description="What spoke for it most; counted beside the weights.")


class DeclineBody(ReasonBody):
    criterion: Criterion | None = Field(None, description="What spoke against it most; counted beside the weights.")


class TimesheetBody(Body):
    worked_on: Day
    minutes: int = Field(ge=0, le=1440, description="0 only to take back the timesheet it replaces.")
    note: Sentence | None = None
    replaces: UUID | None = Field(None, description="The timesheet this one corrects.")


class TimesheetOut(BaseModel):
    id: UUID
    mission_id: UUID
    worked_on: date
    minutes: int
    note: str | None
    entered_by: str
    entered_at: datetime
    replaces: UUID | None
    replaced: bool = Field(description="A later timesheet took its place; it counts no more.")

    @classmethod
    def of(cls, timesheet: Timesheet) -> "TimesheetOut":
        return cls.model_validate(asdict(timesheet))
