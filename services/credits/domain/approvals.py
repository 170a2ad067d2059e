"""Four eyes: what one person proposes and another approves, and how much one person may move in a day (docs/adr/0017)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from services.credits.domain.campaigns import Safeguards
from services.credits.domain.digests import digest_json
from services.credits.domain.errors import AlreadyDecided, DailyLimit, NotOwnRequest, OwnRequest, PersonNeeded, RequestExpired
from services.credits.domain.grants import Adjustment
from services.credits.domain.refusals import NOBODY, Concerned
from services.credits.domain.wording import hours_text

# A question that nobody answered for so long is asked about a ledger that has moved on.
LIFETIME = timedelta(days=14)

# How the key of a transfer begins by which one person of the town took hours back in a contributor's name.
WITHDRAWN_ALONE = "withdraw-alone"


class ApprovalKind(StrEnum):
    GRANTS = "grants"
    REVERSAL = "reversal"
    WITHDRAWAL = "withdrawal"
    CARRY_IN = "carry_in"


class DecisionOutcome(StrEnum):
    APPROVED = "approved"
    DECLINED = "declined"
    WITHDRAWN = "withdrawn"


class ApprovalState(StrEnum):
    OPEN = "open"
    APPROVED = "approved"
    DECLINED = "declined"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"


@dataclass(frozen=True)
class SigningOfGrants:
    """Sign a proposal as adjusted; `expires_on` None: spendable to the campaign's end."""

    proposal_id: UUID
    adjustments: tuple[Adjustment, ...] = ()
    expires_on: date | None = None

    kind = ApprovalKind.GRANTS

    @property
    def subject_id(self) -> UUID:
        return self.proposal_id


@dataclass(frozen=True)
class ReversalOfTransfer:
    """Undo a transfer, the whole of it (`minutes` None) or a part."""

    transfer_id: UUID
    minutes: int | None = None

    kind = ApprovalKind.REVERSAL

    @property
    def subject_id(self) -> UUID:
        return self.transfer_id


@dataclass(frozen=True)
class WithdrawalForContributor:
    """Take back part of a pledge in its contributor's name."""

    pledge_id: UUID
    minutes: int

    kind = ApprovalKind.WITHDRAWAL

    @property
    def subject_id(self) -> UUID:
        return self.pledge_id


@dataclass(frozen=True)
class CarryInOfCredit:
    """Bring what an earlier campaign carried over into this one; `expires_on` None: spendable to this one's end."""

    campaign_id: UUID
    from_campaign_id: UUID
    expires_on: date | None = None

    kind = ApprovalKind.CARRY_IN

    @property
    def subject_id(self) -> UUID:
        return self.from_campaign_id


Operation = SigningOfGrants | ReversalOfTransfer | WithdrawalForContributor | CarryInOfCredit


@dataclass(frozen=True)
class Weight:
    """What an operation weighs, as the ledger has it now.

    `minutes`: what it moves. `judged_minutes`: what the threshold is compared with; more than `minutes` when earlier
    parts of the same thing count along, so that nothing passes in slices. `basis`: what it stands on. `concerned`: whose
    minutes they are.
    """

    campaign_id: UUID
    minutes: int
    judged_minutes: int
    basis: Mapping[str, Any]
    concerned: Concerned = NOBODY


@dataclass(frozen=True)
class Decision:
    outcome: DecisionOutcome
    reason: str
    decided_by: UUID
    decided_at: datetime


@dataclass(frozen=True)
class ApprovalRequest:
    """What one person proposed. It is never changed: a decision stands beside it, or its time runs out."""

    id: UUID
    campaign_id: UUID
    operation: Operation
    digest: str
    minutes: int
    reason: str
    proposed_by: UUID
    proposed_at: datetime
    expires_at: datetime
    decision: Decision | None = None

    def state_at(self, now: datetime) -> ApprovalState:
        """Judged at use: an expired request needs no sweeper to be one."""
        if self.decision is not None:
            return ApprovalState(self.decision.outcome)
        return ApprovalState.OPEN if now < self.expires_at else ApprovalState.EXPIRED

    def is_said_again(self, outcome: DecisionOutcome, person: UUID) -> bool:
        """Whether this person decided just this before: an answer that was lost is asked for again."""
        return self.decision is not None and (self.decision.outcome, self.decision.decided_by) == (outcome, person)

    def require_open(self, now: datetime) -> None:
        if self.decision is not None:
            raise AlreadyDecided(
                f"It was {self.decision.outcome} on {self.decision.decided_at:%Y-%m-%d}; propose anew if need be."
            )
        if now >= self.expires_at:
            raise RequestExpired(f"It waited until {self.expires_at:%Y-%m-%d} for a second person; propose it anew.")

    def decided_at(self, now: datetime) -> datetime:
        """Not before it was proposed: the clock of the replica that decides may lie behind."""
        return max(now, self.proposed_at)

    def require_decider(self, person: UUID) -> None:
        if person == self.proposed_by:
            raise OwnRequest("You proposed it: ask another officer to decide, or withdraw it.")

    def require_proposer(self, person: UUID) -> None:
        if person != self.proposed_by:
            raise NotOwnRequest("Somebody else proposed it: decline it, with a reason.")


def require_person(member_id: UUID | None) -> UUID:
    """The person behind a token: the registry's member, whichever of their clients and roles they use.

    A token that names no member (a town's shared program) may be anybody, also the one who is to be controlled.
    """
    if member_id is None:
        raise PersonNeeded("Sign in with a client that names a member of the registry: two persons must be told apart.")
    return member_id


def needs_second_person(safeguards: Safeguards, judged_minutes: int) -> bool:
    return safeguards.four_eyes_above_minutes is not None and judged_minutes > safeguards.four_eyes_above_minutes


def require_within_limit(limit_minutes: int, *, moved_minutes: int, minutes: int) -> None:
    """Refuse what would carry a person past the day's limit; says what is left and what would help."""
    left = max(0, limit_minutes - moved_minutes)
    if minutes > left:
        raise DailyLimit(
            f"You moved {hours_text(moved_minutes)} of {hours_text(limit_minutes)} today in this campaign: {hours_text(left)}"
            f" are left, this asks for {hours_text(minutes)}. Go on tomorrow, ask a colleague, or move less.",
            limit_minutes=limit_minutes,
            moved_minutes=moved_minutes,
            left_minutes=left,
            missing_minutes=minutes - left,
            asked_minutes=minutes,
        )


def encode_operation(operation: Operation) -> dict[str, Any]:
    """As it is kept (JSON)."""
    match operation:
        case SigningOfGrants():
            adjustments = [
                {"association_id": str(item.association_id), "minutes": item.minutes, "reason": item.reason}
                for item in operation.adjustments
            ]
            return {
                "proposal_id": str(operation.proposal_id),
                "adjustments": adjustments,
                **_encode_expiry(operation.expires_on),
            }
        case ReversalOfTransfer():
            return {"transfer_id": str(operation.transfer_id), "minutes": operation.minutes}
        case WithdrawalForContributor():
            return {"pledge_id": str(operation.pledge_id), "minutes": operation.minutes}
        case CarryInOfCredit():
            return {
                "campaign_id": str(operation.campaign_id),
                "from_campaign_id": str(operation.from_campaign_id),
                **_encode_expiry(operation.expires_on),
            }


def _encode_expiry(expires_on: date | None) -> dict[str, str]:
    """Left out where nobody chose one: requests that were kept before one could be chosen keep their digest."""
    return {"expires_on": expires_on.isoformat()} if expires_on else {}


def _decode_expiry(payload: Mapping[str, Any]) -> date | None:
    return date.fromisoformat(payload["expires_on"]) if "expires_on" in payload else None


def decode_operation(kind: str, payload: Mapping[str, Any]) -> Operation:
    match ApprovalKind(kind):
        case ApprovalKind.GRANTS:
            adjustments = [
                Adjustment(UUID(item["association_id"]), item["minutes"], item["reason"]) for item in payload["adjustments"]
            ]
            return SigningOfGrants(UUID(payload["proposal_id"]), tuple(adjustments), _decode_expiry(payload))
        case ApprovalKind.REVERSAL:
            return ReversalOfTransfer(UUID(payload["transfer_id"]), payload["minutes"])
        case ApprovalKind.WITHDRAWAL:
            return WithdrawalForContributor(UUID(payload["pledge_id"]), payload["minutes"])
        case ApprovalKind.CARRY_IN:
            return CarryInOfCredit(UUID(payload["campaign_id"]), UUID(payload["from_campaign_id"]), _decode_expiry(payload))


def digest_operation(operation: Operation, *, campaign_id: UUID, basis: Mapping[str, Any]) -> str:
    """SHA-256 of what is asked for and of what it stands on, as canonical JSON (sorted keys, no blanks, ASCII)."""
    facts = {"campaign_id": str(campaign_id), "kind": operation.kind, "operation": encode_operation(operation), "basis": basis}
    return digest_json(facts)
