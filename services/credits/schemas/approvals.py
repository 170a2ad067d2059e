"""What waits for a second person."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from services.credits.domain.approvals import (
    ApprovalKind,
    ApprovalRequest,
    ApprovalState,
    CarryInOfCredit,
    DecisionOutcome,
    Operation,
    ReversalOfTransfer,
    SigningOfGrants,
    WithdrawalForContributor,
    encode_operation,
)
from services.credits.domain.grants import Adjustment
from services.credits.schemas.fields import Body, LastDay, Minutes, Reason
from services.credits.schemas.grants import AdjustmentBody


class GrantsWanted(Body):
    kind: Literal["grants"]
    proposal_id: UUID
    adjustments: list[AdjustmentBody] = Field(default_factory=list, max_length=2000)
    expires_on: LastDay = None

    def operation(self) -> Operation:
        adjustments = [Adjustment(item.association_id, item.minutes, item.reason) for item in self.adjustments]
        return SigningOfGrants(self.proposal_id, tuple(adjustments), self.expires_on)


class ReversalWanted(Body):
    kind: Literal["reversal"]
    transfer_id: UUID
    minutes: Minutes | None = None

    def operation(self) -> Operation:
        return ReversalOfTransfer(self.transfer_id, self.minutes)


class WithdrawalWanted(Body):
    kind: Literal["withdrawal"]
    pledge_id: UUID
    minutes: Minutes

    def operation(self) -> Operation:
        return WithdrawalForContributor(self.pledge_id, self.minutes)


class CarryInWanted(Body):
    kind: Literal["carry_in"]
    campaign_id: UUID
    from_campaign_id: UUID
    expires_on: LastDay = None

    def operation(self) -> Operation:
        return CarryInOfCredit(self.campaign_id, self.from_campaign_id, self.expires_on)


class ProposalBody(Body):
    wanted: Annotated[GrantsWanted | ReversalWanted | WithdrawalWanted | CarryInWanted, Field(discriminator="kind")]
    reason: Reason


class DecisionBody(Body):
    outcome: Literal["approved", "declined"]
    reason: Reason


class DecisionOut(BaseModel):
    outcome: DecisionOutcome
    reason: str
    decided_by: UUID = Field(description="Opaque id of the person.")
    decided_at: datetime


class ApprovalOut(BaseModel):
    id: UUID
    campaign_id: UUID
    kind: ApprovalKind
    state: ApprovalState
    minutes: int = Field(description="What it moves.")
    reason: str
    operation: dict[str, Any] = Field(description="What will be done, as the route that asked for it would take it.")
    digest: str = Field(description="SHA-256 of the operation and of what it stands on.")
    proposed_by: UUID = Field(description="Opaque id of the person; another one decides.")
    proposed_at: datetime
    expires_at: datetime
    decision: DecisionOut | None

    @classmethod
    def of(cls, request: ApprovalRequest, *, now: datetime) -> "ApprovalOut":
        decided = request.decision
        return cls(
            id=request.id,
            campaign_id=request.campaign_id,
            kind=request.operation.kind,
            state=request.state_at(now),
            minutes=request.minutes,
            reason=request.reason,
            operation=encode_operation(request.operation),
            digest=request.digest,
            proposed_by=request.proposed_by,
            proposed_at=request.proposed_at,
            expires_at=request.expires_at,
            decision=DecisionOut.model_validate(decided, from_attributes=True) if decided else None,
        )
