"""Campaigns, their panel and their pledges."""

from datetime import date
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, Field
from sqlalchemy import Row

from services.credits.domain.campaigns import Campaign, CampaignFacts, CampaignState, ExpiryRule, Outcome, Rules, Safeguards
from services.credits.schemas.fields import Body, Cents, Day, Line, Minutes, Note, Reason


class CampaignBody(Body):
    title: Line
    starts_on: Day
    ends_on: Day = Field(description="Last day on which credit may be reserved.")
    operator_id: UUID
    compensation_permille: Annotated[int, Field(ge=1, le=10_000)] = Field(
        description="Compensated share of the cut, in thousandths."
    )
    hour_value_cents: Annotated[int, Field(ge=1, le=10_000_000)] = Field(description="Reference value of an hour, in cents.")
    step_minutes: Annotated[int, Field(ge=1, le=1440)] = Field(15, description="Grants are whole multiples of it.")
    expiry: ExpiryRule = Field(ExpiryRule.RETURN, description="What becomes of unspent credit at the end.")
    four_eyes_above_minutes: Annotated[int, Field(ge=0, le=100_000_000)] | None = Field(
        None, description="What moves more than this by hand is proposed by one person and approved by another; null: off."
    )
    daily_limit_minutes: Minutes | None = Field(
        None, description="What one person may move by hand on one local day; null: no limit."
    )

    conventions_required: bool | None = Field(
        None,
        description="No mission starts, and no minute is settled, without a concluded convention. Left out: a new campaign asks"
        " for them, one that is written already stays as it is.",
    )

    def facts(self, *, conventions_required: bool) -> CampaignFacts:
        rules = Rules(self.step_minutes, self.compensation_permille, self.hour_value_cents, self.expiry, conventions_required)
        safeguards = Safeguards(self.four_eyes_above_minutes, self.daily_limit_minutes)
        return CampaignFacts(self.title, self.starts_on, self.ends_on, self.operator_id, rules, safeguards)


class CampaignOut(BaseModel):
    id: UUID
    ref: str
    title: str
    starts_on: date
    ends_on: date
    operator_id: UUID
    compensation_permille: int
    hour_value_cents: int
    step_minutes: int
    expiry: ExpiryRule
    conventions_required: bool
    four_eyes_above_minutes: int | None
    daily_limit_minutes: int | None
    state: CampaignState
    closure_reason: str | None
    version: int

    @classmethod
    def of(cls, campaign: Campaign) -> "CampaignOut":
        facts, rules = campaign.facts, campaign.facts.rules
        return cls(
            id=campaign.id, ref=campaign.ref, title=facts.title, starts_on=facts.starts_on, ends_on=facts.ends_on,
            operator_id=facts.operator_id, compensation_permille=rules.compensation_permille,
            hour_value_cents=rules.hour_value_cents, step_minutes=rules.step_minutes, expiry=rules.expiry,
            conventions_required=rules.conventions_required,
            four_eyes_above_minutes=facts.safeguards.four_eyes_above_minutes,
            daily_limit_minutes=facts.safeguards.daily_limit_minutes,
            state=campaign.state, closure_reason=campaign.closure_reason, version=campaign.version,
        )  # fmt: skip


class CampaignWritten(CampaignOut):
    outcome: Outcome


class SeatBody(Body):
    subsidy_before_cents: Cents
    subsidy_after_cents: Cents


class SeatOut(BaseModel):
    id: UUID
    campaign_id: UUID
    association_id: UUID
    association_name: str | None = Field(description="Null until the registry has told it.")
    subsidy_before_cents: int
    subsidy_after_cents: int
    already_granted_minutes: int
    version: int

    @classmethod
    def of(cls, row: Row[Any]) -> "SeatOut":
        return cls.model_validate(dict(row._mapping))


class SeatWritten(SeatOut):
    outcome: Outcome


class PledgeBody(Body):
    contributor_id: UUID = Field(description="The company's actor, or the citizen's member.")
    minutes: Minutes
    note: Note = ""


class WithdrawalBody(Body):
    minutes: Minutes
    reason: Reason


class PledgeOut(BaseModel):
    id: UUID
    campaign_id: UUID
    ref: str
    contributor_id: UUID
    contributor_name: str | None = Field(description="Of an organisation; a citizen's name is not kept here.")
    contributor_kind: str | None = Field(description="The actor's kind, or citizen; null until the registry has told it.")
    minutes: int = Field(description="What it is worth now: pledged, less what was taken back.")
    stated_minutes: int = Field(description="As last written.")
    note: str
    version: int

    @classmethod
    def of(cls, row: Row[Any]) -> "PledgeOut":
        return cls.model_validate(dict(row._mapping))


class PledgeWritten(PledgeOut):
    outcome: Outcome
