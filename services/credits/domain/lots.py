"""Lots: the minutes of one grant, spendable until they expire, the earliest expiring first."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo
from uuid import UUID

from services.credits.domain.errors import BadInput
from services.credits.domain.ledger import AccountKey, AccountKind


@dataclass(frozen=True)
class Lot:
    """`carried_from`: the earlier campaign that these minutes came from, if they were carried over."""

    id: UUID
    campaign_id: UUID
    association_id: UUID
    minutes: int
    expires_at: datetime
    grant_id: UUID | None = None
    carried_from: UUID | None = None

    def is_live(self, now: datetime) -> bool:
        """Judged at use: unspendable from the instant of its expiry, whether or not the sweeper came by."""
        return now < self.expires_at

    def account(self, kind: AccountKind) -> AccountKey:
        """Its credit or its held account."""
        return AccountKey(self.campaign_id, kind, self.association_id, self.id)


def end_of_day(day: date, *, zone: tzinfo) -> datetime:
    """The instant at which a local day is over: midnight, which a clock change moves by an hour of UTC."""
    return datetime.combine(day + timedelta(days=1), time.min, zone)


def last_day(expires_at: datetime, *, zone: tzinfo) -> date:
    """The last local day on which a lot can be spent: it expires when that day is over."""
    return (expires_at - timedelta(microseconds=1)).astimezone(zone).date()


def decide_last_day(asked: date | None, *, campaign_ends_on: date, today: date) -> date:
    """Of a new lot: the day that the officer chose, else the campaign's last. Raises BadInput for a day that is over, and for
    one past the campaign's end: then nothing can be spent any more, whatever its lot says."""
    if asked is None:
        return campaign_ends_on
    if asked < today:
        raise BadInput.at(
            "/expires_on", f"is over ({asked.isoformat()}): choose today or a later day; decline what waits for it, and ask anew"
        )
    if asked > campaign_ends_on:
        raise BadInput.at(
            "/expires_on",
            f"must not lie after the campaign's last day ({campaign_ends_on.isoformat()}); leave it out for that day",
        )
    return asked


def draw_minutes(
    lots: Iterable[Lot], minutes: int, *, balances: Mapping[AccountKey, int], now: datetime
) -> list[tuple[Lot, int]]:
    """Take minutes from live lots, the earliest expiring first; returns less than was asked when they do not suffice."""
    drawn: list[tuple[Lot, int]] = []
    for lot in sorted(lots, key=lambda lot: (lot.expires_at, lot.id)):
        taken = min(minutes, balances.get(lot.account(AccountKind.CREDIT), 0)) if lot.is_live(now) else 0
        if taken > 0:
            drawn.append((lot, taken))
            minutes -= taken
    return drawn
