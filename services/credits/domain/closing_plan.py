"""What closing a campaign would do, decided on what the ledger holds and nothing written: the dry run.

It posts to a journal the very legs that the close would post, so that both come out alike (a property test compares them).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from uuid import UUID

from services.credits.domain import journal as journals
from services.credits.domain.campaigns import Campaign, CampaignState
from services.credits.domain.holds import Hold
from services.credits.domain.journal import Author, Journal
from services.credits.domain.ledger import Account, AccountKey, AccountKind, expiry_outcome, make_expiry_leg
from services.credits.domain.lots import Lot


@dataclass(frozen=True)
class Position:
    """What the ledger holds of a campaign at one moment: every account, its lots, and the holds of its missions."""

    campaign: Campaign
    accounts: Mapping[AccountKey, Account]
    lots: Mapping[UUID, Lot]
    holds: tuple[Hold, ...]


@dataclass(frozen=True)
class LotExpiry:
    """What is left on a lot, and where it goes: returned | lapsed | carried_over."""

    lot: Lot
    minutes: int
    outcome: str


@dataclass(frozen=True)
class Plan:
    """`released`: holds past the grace, which go back and expire at once; `surviving`: those that keep what they hold."""

    outcome: str
    expiries: tuple[LotExpiry, ...]
    released: tuple[Hold, ...]
    surviving: tuple[Hold, ...]
    before: Mapping[AccountKey, int]
    after: Mapping[AccountKey, int]

    @property
    def expired_minutes(self) -> int:
        return sum(one.minutes for one in self.expiries) + sum(hold.held_minutes for hold in self.released)

    def expired_by_association(self) -> dict[UUID, int]:
        expired = Counter[UUID]()
        for one in self.expiries:
            expired[one.lot.association_id] += one.minutes
        for hold in self.released:
            expired[hold.association_id] += hold.held_minutes
        return dict(expired)


def last_day_within_grace(today: date, *, grace_days: int) -> date:
    """A mission that ended before this day is overdue."""
    return today - timedelta(days=grace_days)


def is_overdue(hold: Hold, *, ended_before: date) -> bool:
    return hold.ends_on is not None and hold.ends_on < ended_before


def decide_plan(position: Position, *, now: datetime, ended_before: date) -> Plan:
    """Expire every lot by the rule, then give back the overdue holds, as the close and its release step do."""
    campaign = replace(position.campaign, state=CampaignState.CLOSED)
    rule = campaign.facts.rules.expiry
    author = Author("", now)
    journal = Journal(now, {campaign.id: campaign}, position.lots, position.accounts)
    before = dict(journal.balances)
    expiries = []
    for lot in sorted(position.lots.values(), key=lambda lot: lot.id):
        credit = lot.account(AccountKind.CREDIT)
        if minutes := before.get(credit, 0):
            journal.post([make_expiry_leg(rule, credit, minutes=minutes, key="")], author=author)
            expiries.append(LotExpiry(lot, minutes, expiry_outcome(rule)))
    released = tuple(hold for hold in position.holds if is_overdue(hold, ended_before=ended_before))
    for hold in released:
        journals.release(journal, hold, why="", author=author)
    surviving = tuple(hold for hold in position.holds if not is_overdue(hold, ended_before=ended_before))
    return Plan(expiry_outcome(rule), tuple(expiries), released, surviving, before, journal.balances)


def sum_by_kind(balances: Mapping[AccountKey, int]) -> dict[str, int]:
    sums = dict.fromkeys((kind.value for kind in AccountKind), 0)
    for key, minutes in balances.items():
        sums[key.kind.value] += minutes
    return sums


def sum_of(balances: Mapping[AccountKey, int], kind: AccountKind) -> dict[UUID, int]:
    """By holder, over all its lots."""
    sums = Counter[UUID]()
    for key, minutes in balances.items():
        if key.kind is kind:
            sums[key.holder_id] += minutes
    return dict(sums)


def committed_minutes(holds: Sequence[Hold]) -> dict[UUID, int]:
    """By contributor: what these holds wait for it to deliver."""
    committed = Counter[UUID]()
    for hold in holds:
        if hold.contributor_id is not None:
            committed[hold.contributor_id] += hold.held_minutes
    return dict(committed)
