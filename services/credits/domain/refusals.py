"""What somebody tried: enough to keep a refusal of it, whatever the rule was and however far it had got."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from services.credits.domain.ledger import CAMPAIGN_ACCOUNTS, CONTRIBUTOR_ACCOUNTS, Transfer


class RefusalSubject(StrEnum):
    """What was asked for. Those of four eyes bear the names of their requests (domain/approvals.py)."""

    RESERVATION = "reservation"
    SETTLEMENT = "settlement"
    PLEDGE = "pledge"
    WITHDRAWAL = "withdrawal"
    GRANTS = "grants"
    REVERSAL = "reversal"
    CARRY_IN = "carry_in"


@dataclass(frozen=True)
class Concerned:
    """Whose minutes they are, as far as one can be named: a signature grants to a whole panel."""

    association_id: UUID | None = None
    contributor_id: UUID | None = None
    mission_id: UUID | None = None

    @classmethod
    def by(cls, transfer: Transfer) -> "Concerned":
        """Its holder, and its mission if it is of one."""
        association_id = contributor_id = None
        for account in (transfer.source, transfer.target):
            if account.kind in CONTRIBUTOR_ACCOUNTS:
                contributor_id = account.holder_id
            elif account.kind not in CAMPAIGN_ACCOUNTS:
                association_id = account.holder_id
        return cls(association_id, contributor_id, transfer.mission_id)


NOBODY = Concerned()


@dataclass(frozen=True)
class Attempt:
    """`asked_minutes`: what it would have moved, or what a pledge was to be worth."""

    subject: RefusalSubject
    campaign_id: UUID
    asked_minutes: int
    concerned: Concerned = NOBODY
