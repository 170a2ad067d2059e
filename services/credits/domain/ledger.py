"""Accounts and transfers (DOMAIN.md, the ledger). PostgreSQL holds the same rules again (migrations 0002)."""

from collections.abc import Iterable
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


class TransferKind(StrEnum):
    PLEDGE = "pledge"
    WITHDRAW = "withdraw"
    GRANT = "grant"
    RESERVE = "reserve"
    RELEASE = "release"
    SETTLE = "settle"
    DELIVER = "deliver"
    EXPIRE = "expire"
    REVERSE = "reverse"


# The campaign's own accounts; all others belong to an association or a contributor.
CAMPAIGN_ACCOUNTS = frozenset({AccountKind.POOL, AccountKind.LAPSED})

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
_EXPIRY_TARGETS = {ExpiryRule.RETURN: AccountKind.POOL, ExpiryRule.LAPSE: AccountKind.LAPSED}
_EXPIRY_OUTCOMES = {ExpiryRule.RETURN: "returned", ExpiryRule.LAPSE: "lapsed", ExpiryRule.CARRY_OVER: "carried_over"}


@dataclass(frozen=True)
class AccountKey:
    """Names one account: `credit/{campaign}/{association}`. Pool and lapsed are the campaign's own."""

    campaign_id: UUID
    kind: AccountKind
    holder_id: UUID

    @classmethod
    def of(cls, kind: AccountKind, *, campaign_id: UUID, holder_id: UUID) -> "AccountKey":
        return cls(campaign_id, kind, campaign_id if kind in CAMPAIGN_ACCOUNTS else holder_id)

    def __str__(self) -> str:
        return account_name(self.kind, campaign_id=self.campaign_id, holder_id=self.holder_id)


def account_name(kind: str, *, campaign_id: UUID, holder_id: UUID) -> str:
    return f"{kind}/{campaign_id}" if holder_id == campaign_id else f"{kind}/{campaign_id}/{holder_id}"


@dataclass(frozen=True)
class Leg:
    """A transfer to be posted. The idempotency key is its own for ever: what it names happens once.

    `who` and `why` are written when it is posted unless they are given here.
    """

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
    reversed_by: UUID | None


def make_leg(
    kind: TransferKind,
    *,
    campaign_id: UUID,
    holder_id: UUID,
    minutes: int,
    key: str,
    why: str,
    mission_id: UUID | None = None,
    grant_id: UUID | None = None,
    pledge_id: UUID | None = None,
) -> Leg:
    """A leg of one of the fixed flows, between accounts of one holder (or the holder and the campaign)."""
    source, target = (AccountKey.of(account, campaign_id=campaign_id, holder_id=holder_id) for account in FLOWS[kind])
    return Leg(kind, source, target, minutes, key, why, mission_id, grant_id, pledge_id)


def make_expiry_leg(
    rule: ExpiryRule, *, campaign_id: UUID, association_id: UUID, minutes: int, key: str, mission_id: UUID | None = None
) -> Leg | None:
    """Where unspent credit goes by the rule; None when it stays (carried over)."""
    if rule not in _EXPIRY_TARGETS:
        return None
    source = AccountKey.of(AccountKind.CREDIT, campaign_id=campaign_id, holder_id=association_id)
    target = AccountKey.of(_EXPIRY_TARGETS[rule], campaign_id=campaign_id, holder_id=association_id)
    return Leg(TransferKind.EXPIRE, source, target, minutes, key, "Fin de la campagne : crédit non dépensé", mission_id)


def expiry_outcome(rule: ExpiryRule) -> str:
    """returned | lapsed | carried_over, as the event says it."""
    return _EXPIRY_OUTCOMES[rule]


def make_reversal_leg(transfer: Transfer, *, reason: str) -> Leg:
    """The opposite transfer, linked to what it undoes and to what that was linked to."""
    return Leg(
        TransferKind.REVERSE,
        transfer.target,
        transfer.source,
        transfer.minutes,
        f"reverse:{transfer.id}",
        reason,
        transfer.mission_id,
        transfer.grant_id,
        transfer.pledge_id,
        transfer.id,
    )


def accounts_of(legs: Iterable[Leg]) -> list[AccountKey]:
    return list(dict.fromkeys(key for leg in legs for key in (leg.source, leg.target)))
