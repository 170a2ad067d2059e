"""Computed and signed grants."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy import Row

from kernel.clock import LOCAL_ZONE
from services.credits.domain.grants import GrantComputation, GrantLine, explain_grant
from services.credits.domain.lots import last_day
from services.credits.schemas.fields import Body, LastDay, Reason


class GrantLineOut(BaseModel):
    association_id: UUID
    association_name: str | None
    subsidy_before_cents: int
    subsidy_after_cents: int
    already_granted_minutes: int
    exact_minutes: str = Field(description="The formula before rounding, as an exact fraction.")
    entitled_minutes: int = Field(description="Rounded down to the step.")
    due_minutes: int = Field(description="What of it was not granted before.")
    share_steps: str = Field(description="Exact share of the pool, in steps, as a fraction.")
    extra_step: bool = Field(description="Whether the largest-remainder rule added a step.")
    computed_minutes: int
    explanation: str = Field(description="The computation in one French sentence.")

    @classmethod
    def of(cls, line: GrantLine, *, computed: GrantComputation, name: str | None) -> "GrantLineOut":
        return cls(
            association_id=line.seat.association_id,
            association_name=name,
            subsidy_before_cents=line.seat.subsidy_before_cents,
            subsidy_after_cents=line.seat.subsidy_after_cents,
            already_granted_minutes=line.seat.already_granted_minutes,
            exact_minutes=str(line.exact_minutes),
            entitled_minutes=line.entitled_minutes,
            due_minutes=line.due_minutes,
            share_steps=str(line.share_steps),
            extra_step=line.extra_step,
            computed_minutes=line.computed_minutes,
            explanation=explain_grant(line, rules=computed.rules, is_cut=computed.is_cut),
        )


class SignatureOut(BaseModel):
    """Who decided, when, and under which computation."""

    signed_by: str = Field(description="Opaque id of who signed; with four eyes, of who approved.")
    signed_at: datetime
    proposed_by: UUID | None = Field(description="Who proposed it, where two persons decided.")
    approval_id: UUID | None
    computation_digest: str = Field(description="SHA-256 of the computation with all its rules, inputs and figures.")
    minutes: int

    @classmethod
    def of(cls, row: Row[Any] | None) -> "SignatureOut | None":
        return cls.model_validate(dict(row._mapping)) if row is not None else None


class GrantProposalOut(BaseModel):
    id: UUID
    campaign_id: UUID
    step_minutes: int
    compensation_permille: int
    hour_value_cents: int
    pool_minutes: int = Field(description="What the pool held.")
    due_minutes: int = Field(description="What the panel is due.")
    computed_minutes: int = Field(description="What the pool can serve.")
    computed_by: str
    computed_at: datetime
    signed: bool
    digest: str = Field(description="SHA-256 of the computation; quote it when you sign.")
    signature: SignatureOut | None = Field(description="Null until it is signed (and for grants signed before it was kept).")
    lines: list[GrantLineOut]


class AdjustmentBody(Body):
    association_id: UUID
    minutes: Annotated[int, Field(ge=0, le=100_000_000)] = Field(
        description="A multiple of the campaign's step; 0 grants nothing."
    )
    reason: Reason


class SignatureBody(Body):
    proposal_id: UUID
    adjustments: list[AdjustmentBody] = Field(default_factory=list, max_length=2000)
    expires_on: LastDay = None
    reason: Reason = Field(
        "Dotations calculées d'après les baisses de subvention", description="For who approves it, if need be."
    )
    digest: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = Field(
        None, description="Of the computation you read: another one is then refused."
    )


class GrantOut(BaseModel):
    id: UUID
    campaign_id: UUID
    proposal_id: UUID
    association_id: UUID
    association_name: str | None
    computed_minutes: int
    minutes: int
    adjustment_reason: str | None
    signed_by: str
    signed_at: datetime
    transfer_id: UUID | None = Field(description="Null when nothing was granted.")
    reversed_by: UUID | None = Field(description="The last transfer that undid it or a part of it, if any.")
    reversed_minutes: int = Field(description="What was taken back of it.")
    expires_on: date | None = Field(description="Last day on which it can be spent; null when nothing was granted.")

    @classmethod
    def of(cls, row: Row[Any]) -> "GrantOut":
        expires_on = last_day(row.expires_at, zone=LOCAL_ZONE) if row.expires_at else None
        return cls.model_validate({**row._mapping, "expires_on": expires_on})


class GrantsOut(BaseModel):
    proposal_id: UUID
    total_minutes: int
    signature: SignatureOut | None
    grants: list[GrantOut]

    @classmethod
    def of(cls, proposal_id: UUID, rows: Sequence[Row[Any]], *, signature: Row[Any] | None) -> "GrantsOut":
        grants = [GrantOut.of(row) for row in rows]
        total = sum(grant.minutes for grant in grants)
        return cls(proposal_id=proposal_id, total_minutes=total, signature=SignatureOut.of(signature), grants=grants)
