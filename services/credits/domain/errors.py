"""What the ledger and its campaigns refuse, each by name."""

from typing import ClassVar
from uuid import UUID

from kernel.errors import BadInput, Forbidden, MetisError, NotFound, Refused

__all__ = ["BadInput", "Forbidden", "MetisError", "NotFound", "Refused"]

_CURES = {
    "promised": "The contributor can pledge more hours, or cancel a mission that is not yet served.",
    "delivered": "Name the settlement that delivered these minutes.",
    "pool": "Ask contributors to pledge more hours, or ask for fewer minutes.",
    "credit": "Cancel a reserved mission, ask the town for a further grant, or ask for fewer minutes.",
    "held": "Only what is set aside for the mission can be served; agree a new mission for the rest.",
    "served": "The minutes are no longer on the account; read the association's statement.",
    "carried": "The minutes were brought into another campaign; read the campaign's transfers.",
    "lapsed": "The minutes are no longer on the account; read the campaign's transfers.",
}


class NotEnoughCredit(Refused):
    code: ClassVar[str] = "not-enough-credit"
    title: ClassVar[str] = "The account does not hold enough"

    @classmethod
    def on(cls, *, kind: str, campaign_id: UUID | str, holder_id: UUID | str, missing_minutes: int) -> "NotEnoughCredit":
        """Names the account, what is missing on it, and what would help."""
        own = str(holder_id) == str(campaign_id)
        account = f"{kind}/{campaign_id}" if own else f"{kind}/{campaign_id}/{holder_id}"
        return cls(
            f"{missing_minutes} minutes are missing on {account}. {_CURES[kind]}",
            account=account,
            missing_minutes=missing_minutes,
            help=_CURES[kind],
        )


class HoldRefused(Refused):
    """A mission's reservation or settlement was refused; the refusal is kept and was told."""

    code: ClassVar[str] = "hold-refused"
    title: ClassVar[str] = "The mission cannot be paid for like this"

    @classmethod
    def because(cls, *, reason_code: str, reason: str, missing_minutes: int, account: str | None) -> "HoldRefused":
        """`reason` is French, for people; `reason_code` is stable, for programs. `account`: where the minutes are missing,
        if that is the reason."""
        return cls(reason, reason_code=reason_code, missing_minutes=missing_minutes, account=account)


class PledgeCommitted(Refused):
    code: ClassVar[str] = "pledge-committed"
    title: ClassVar[str] = "The promised minutes are set aside for missions"


class TransferKeyReused(Refused):
    code: ClassVar[str] = "transfer-key-reused"
    title: ClassVar[str] = "This key wrote another transfer"


class UnknownFlow(Refused):
    code: ClassVar[str] = "unknown-flow"
    title: ClassVar[str] = "No transfer of this kind leads between these accounts"


class AlreadyReversed(Refused):
    code: ClassVar[str] = "already-reversed"
    title: ClassVar[str] = "The transfer is reversed already"


class NotReversible(Refused):
    code: ClassVar[str] = "not-reversible"
    title: ClassVar[str] = "This transfer cannot be reversed by itself"


class CampaignNotDraft(Refused):
    code: ClassVar[str] = "campaign-not-draft"
    title: ClassVar[str] = "Only a draft can be edited or opened"


class CampaignNotOpen(Refused):
    code: ClassVar[str] = "campaign-not-open"
    title: ClassVar[str] = "The campaign is not open"


class CampaignOver(Refused):
    code: ClassVar[str] = "campaign-over"
    title: ClassVar[str] = "The campaign is over"


class ActorUnfit(Refused):
    code: ClassVar[str] = "actor-unfit"
    title: ClassVar[str] = "This actor cannot take that part"


class PledgeOfAnother(Refused):
    code: ClassVar[str] = "pledge-of-another"
    title: ClassVar[str] = "This pledge is another contributor's"


class PledgeTooSmall(Refused):
    code: ClassVar[str] = "pledge-too-small"
    title: ClassVar[str] = "The pledge is worth less than that"


class EmptyPanel(Refused):
    code: ClassVar[str] = "empty-panel"
    title: ClassVar[str] = "There is no association on the panel"


class ProposalOutdated(Refused):
    code: ClassVar[str] = "proposal-outdated"
    title: ClassVar[str] = "The panel changed since this was computed"


class AlreadySigned(Refused):
    code: ClassVar[str] = "already-signed"
    title: ClassVar[str] = "These grants are signed already"


class ProposalNotSigned(Refused):
    code: ClassVar[str] = "proposal-not-signed"
    title: ClassVar[str] = "Only signed grants are published"


class AlreadyPublished(Refused):
    code: ClassVar[str] = "already-published"
    title: ClassVar[str] = "This is published as it stands"


class ComputationOfAnother(Refused):
    code: ClassVar[str] = "computation-of-another"
    title: ClassVar[str] = "You read another computation than the one you sign"


class PersonNeeded(Refused):
    code: ClassVar[str] = "person-needed"
    title: ClassVar[str] = "Two persons decide this, and your token names none"


class OwnRequest(Refused):
    code: ClassVar[str] = "own-request"
    title: ClassVar[str] = "Nobody decides what they proposed"


class NotOwnRequest(Refused):
    code: ClassVar[str] = "not-own-request"
    title: ClassVar[str] = "Only who proposed it can withdraw it"


class AlreadyDecided(Refused):
    code: ClassVar[str] = "already-decided"
    title: ClassVar[str] = "This request is decided already"


class RequestExpired(Refused):
    code: ClassVar[str] = "request-expired"
    title: ClassVar[str] = "This request has expired"


class RequestStale(Refused):
    code: ClassVar[str] = "request-stale"
    title: ClassVar[str] = "It would move another amount by now"


class RequestAltered(Refused):
    """Its row is not what was proposed: somebody wrote past the service."""

    code: ClassVar[str] = "request-altered"
    title: ClassVar[str] = "This request is not what was proposed"


class ApprovalPending(Refused):
    code: ClassVar[str] = "approval-pending"
    title: ClassVar[str] = "Another request about this is waiting"


class ApprovalNeeded(Refused):
    code: ClassVar[str] = "approval-needed"
    title: ClassVar[str] = "This needs a second person"


class DailyLimit(Refused):
    code: ClassVar[str] = "daily-limit"
    title: ClassVar[str] = "You have moved what one person may in a day"


class MissionUnknown(Refused):
    """Not agreed here (yet): its agreement is late or parked, and a later try finds it."""

    code: ClassVar[str] = "mission-unknown"
    title: ClassVar[str] = "This mission was never agreed here"


class StatementTooLong(Refused):
    code: ClassVar[str] = "statement-too-long"
    title: ClassVar[str] = "Too many lines for one file"


class NoSuchMinutes(Refused):
    code: ClassVar[str] = "no-such-minutes"
    title: ClassVar[str] = "The ledger moves whole minutes above zero"


class NothingCarried(Refused):
    code: ClassVar[str] = "nothing-carried"
    title: ClassVar[str] = "There is nothing to bring over"
