"""Accounts and transfers (DOMAIN.md, the ledger). PostgreSQL holds the same rules again (migration 0004)."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from services.credits.domain.campaigns import ExpiryRule


class AccountKind(StrEnum):
    PROMISED = "promised"
    DELIVERED = "delivered"
    POOL = "pool"
    CREDIT = "credit"
    HELD = "held"
    SERVED = "served"
    LAPSED = "lapsed"
    CARRIED = "carried"


class TransferKind(StrEnum):
    PLEDGE = "pledge"
    WITHDRAW = "withdraw"
    GRANT = "grant"
    RESERVE = "reserve"
    RELEASE = "release"
    SETTLE = "settle"
    DELIVER = "deliver"
    EXPIRE = "expire"
    CARRY = "carry"
    REVERSE = "reverse"


# The campaign's own accounts; all others belong to an association or a contributor.
CAMPAIGN_ACCOUNTS = frozenset({AccountKind.POOL, AccountKind.LAPSED})

# Of a contributor; they never rise above zero.
CONTRIBUTOR_ACCOUNTS = frozenset({AccountKind.PROMISED, AccountKind.DELIVERED})

# Of one grant each (domain/lots.py): an association has one of either for every lot.
LOT_ACCOUNTS = frozenset({AccountKind.CREDIT, AccountKind.HELD})

# From which account to which; an expiry's target is the campaign's rule, a reversal's is what it undoes.
FLOWS: dict[TransferKind, tuple[AccountKind, AccountKind]] = {
    TransferKind.PLEDGE: (AccountKind.PROMISED, AccountKind.POOL),
    TransferKind.WITHDRAW: (AccountKind.POOL, AccountKind.PROMISED),
    TransferKind.GRANT: (AccountKind.POOL, AccountKind.CREDIT),
    TransferKind.RESERVE: (AccountKind.CREDIT, AccountKind.HELD),
    TransferKind.RELEASE: (AccountKind.HELD, AccountKind.CREDIT),
    TransferKind.SETTLE: (AccountKind.HELD, AccountKind.SERVED),
    TransferKind.DELIVER: (AccountKind.DELIVERED, AccountKind.PROMISED),
}
_EXPIRIES = {
    ExpiryRule.RETURN: (TransferKind.EXPIRE, AccountKind.POOL),
    ExpiryRule.LAPSE: (TransferKind.EXPIRE, AccountKind.LAPSED),
    ExpiryRule.CARRY_OVER: (TransferKind.CARRY, AccountKind.CARRIED),
}
_EXPIRY_OUTCOMES = {ExpiryRule.RETURN: "returned", ExpiryRule.LAPSE: "lapsed", ExpiryRule.CARRY_OVER: "carried_over"}


@dataclass(frozen=True)
class Account:
    """An account as it stands: `version` counts the transfers that moved it."""

    id: UUID
    balance_minutes: int
    version: int

    def moved(self, minutes: int) -> "Account":
        return Account(self.id, self.balance_minutes + minutes, self.version + 1)


@dataclass(frozen=True)
class AccountKey:
    """Names one account: `credit/{campaign}/{association}/{lot}`. Pool and lapsed are the campaign's own."""

    campaign_id: UUID
    kind: AccountKind
    holder_id: UUID
    lot_id: UUID | None = None

    @classmethod
    def of(cls, kind: AccountKind, *, campaign_id: UUID, holder_id: UUID, lot_id: UUID | None = None) -> "AccountKey":
        """The holder is left out where it is the campaign, the lot where the account is of none."""
        return cls(
            campaign_id,
            kind,
            campaign_id if kind in CAMPAIGN_ACCOUNTS else holder_id,
            lot_id if kind in LOT_ACCOUNTS else None,
        )

    def __hash__(self) -> int:
        # Keys are hashed a dozen times a mission: numbers and a bare string at a third of the price of ids and an enum.
        return hash((self.holder_id.int, self.lot_id.int if self.lot_id else 0, self.kind._value_))

    def missing_minutes(self, balance_minutes: int) -> int:
        """By how much a balance would break the bound of this account; at most 0 when it does not."""
        if self.kind is AccountKind.CARRIED:
            return 0
        return balance_minutes if self.kind in CONTRIBUTOR_ACCOUNTS else -balance_minutes

    def __str__(self) -> str:
        return account_name(self.kind, campaign_id=self.campaign_id, holder_id=self.holder_id)


def account_name(kind: str, *, campaign_id: UUID, holder_id: UUID) -> str:
    """As DOMAIN.md names it; an association's lots share the name."""
    return f"{kind}/{campaign_id}" if holder_id == campaign_id else f"{kind}/{campaign_id}/{holder_id}"


@dataclass(frozen=True)
class Leg:
    """A transfer to be posted. The idempotency key is its own for ever: what it names happens once."""

    kind: TransferKind
    source: AccountKey
    target: AccountKey
    minutes: int
    key: str
    why: str
    mission_id: UUID | None = None
    grant_id: UUID | None = None
    pledge_id: UUID | None = None
    reverses: UUID | None = None


@dataclass(frozen=True)
class Transfer:
    """A transfer as it was posted."""

    id: UUID
    campaign_id: UUID
    kind: TransferKind
    source: AccountKey
    target: AccountKey
    minutes: int
    who: str
    why: str
    effective_at: datetime
    recorded_at: datetime
    idempotency_key: str
    mission_id: UUID | None
    grant_id: UUID | None
    pledge_id: UUID | None
    reverses: UUID | None
    reversed_by: UUID | None  # the last reversal, if there are several
    reversed_minutes: int = 0

    @property
    def reversible_minutes(self) -> int:
        return self.minutes - self.reversed_minutes


def make_leg(
    kind: TransferKind,
    *,
    campaign_id: UUID,
    holder_id: UUID,
    minutes: int,
    key: str,
    why: str,
    lot_id: UUID | None = None,
    mission_id: UUID | None = None,
    grant_id: UUID | None = None,
    pledge_id: UUID | None = None,
) -> Leg:
    """A leg of one of the fixed flows, between accounts of one holder (or the holder and the campaign)."""
    source, target = (
        AccountKey.of(account, campaign_id=campaign_id, holder_id=holder_id, lot_id=lot_id) for account in FLOWS[kind]
    )
    return Leg(kind, source, target, minutes, key, why, mission_id, grant_id, pledge_id)


def make_expiry_leg(rule: ExpiryRule, credit: AccountKey, *, minutes: int, key: str, mission_id: UUID | None = None) -> Leg:
    """Where unspent credit of a lot goes by the campaign's rule: back to the pool, nowhere, or towards a later campaign."""
    kind, account = _EXPIRIES[rule]
    target = AccountKey.of(account, campaign_id=credit.campaign_id, holder_id=credit.holder_id)
    return Leg(kind, credit, target, minutes, key, "Crédit non dépensé à son échéance", mission_id)


def expiry_outcome(rule: ExpiryRule) -> str:
    """returned | lapsed | carried_over, as the event says it."""
    return _EXPIRY_OUTCOMES[rule]


def make_reversal_leg(transfer: Transfer, *, minutes: int, reason: str) -> Leg:
    """The opposite transfer, linked to what it undoes and to what that was linked to. What was undone before is part of
    its key: repeated on the same state it is the same reversal, a further part is another."""
    return Leg(
        TransferKind.REVERSE,
        transfer.target,
        transfer.source,
        minutes,
        f"reverse:{transfer.id}:{transfer.reversed_minutes}",
        reason,
        transfer.mission_id,
        transfer.grant_id,
        transfer.pledge_id,
        transfer.id,
    )
