"""Holds that are asked for over HTTP."""

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, Field, StringConstraints

from services.credits.domain.holds import Hold, HoldState
from services.credits.schemas.fields import Body, Day, Minutes

Part = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$")]


class HoldBody(Body):
    mission_id: UUID = Field(description="Your own id of the mission; it is the key of the request.")
    association_id: UUID
    contributor_id: UUID = Field(description="Company or citizen whose promise the minutes are delivered from.")
    minutes: Minutes
    ends_on: Day = Field(description="The mission's last day; a hold outlives its campaign until then.")


class SettlementBody(Body):
    minutes: Annotated[int, Field(ge=0, le=100_000_000)] = Field(description="Validated by the association; 0 gives all back.")
    part: Part = Field("end", description="Names this part among the mission's settlements; same part and minutes, same answer.")
    is_final: bool = Field(True, description="The mission is over: what is left of the hold goes back.")


class HoldAnswer(BaseModel):
    mission_id: UUID
    campaign_id: UUID
    association_id: UUID
    contributor_id: UUID | None
    state: HoldState
    minutes: int
    served_minutes: int
    held_minutes: int = Field(description="Still set aside.")
    is_new: bool = Field(description="False when it was decided before.")

    @classmethod
    def of(cls, hold: Hold, *, is_new: bool) -> "HoldAnswer":
        return cls(
            mission_id=hold.mission_id,
            campaign_id=hold.campaign_id,
            association_id=hold.association_id,
            contributor_id=hold.contributor_id,
            state=hold.state,
            minutes=hold.minutes,
            served_minutes=hold.served_minutes,
            held_minutes=hold.held_minutes,
            is_new=is_new,
        )
