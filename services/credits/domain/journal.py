"""Decisions about several missions on one set of loaded, locked accounts: each sees what the ones before it moved.

Nothing here is written yet. What comes out is legs in order, and holds as they will be.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from services.credits.domain.campaigns import Campaign
from services.credits.domain.holds import Hold, HoldPart, HoldState
from services.credits.domain.ledger import Account, AccountKey, AccountKind, Leg, TransferKind, make_expiry_leg, make_leg
from services.credits.domain.lots import Lot, draw_minutes

SERVED = "Heures validées par l'association"
REST = "Mission close : reste de la réserve rendu"


@dataclass(frozen=True)
class Author:
    """Who brings a transfer about, and when it takes effect."""

    who: str
    effective_at: datetime


@dataclass(frozen=True)
class Expired:
    """What a release gave back too late to be spent."""

    campaign_id: UUID
    association_id: UUID
    minutes: int


@dataclass
class Journal:
    """`balances` move with each posted leg. `expired` lists what fell due on the way, to be told."""

    now: datetime
    campaigns: Mapping[UUID, Campaign]
    lots: Mapping[UUID, Lot]
    accounts: Mapping[AccountKey, Account]
    legs: list[tuple[Leg, Author]] = field(default_factory=list)
    expired: list[Expired] = field(default_factory=list)
    balances: dict[AccountKey, int] = field(init=False)
    _lots_of: dict[tuple[UUID, UUID], list[Lot]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        for lot in self.lots.values():
            self._lots_of.setdefault((lot.campaign_id, lot.association_id), []).append(lot)
        self.balances = {key: account.balance_minutes for key, account in self.accounts.items()}

    def post(self, legs: Iterable[Leg], *, author: Author) -> None:
        for leg in legs:
            if leg.minutes > 0:
                self.balances[leg.source] = self.balances.get(leg.source, 0) - leg.minutes
                self.balances[leg.target] = self.balances.get(leg.target, 0) + leg.minutes
                self.legs.append((leg, author))

    def draw(self, campaign_id: UUID, association_id: UUID, minutes: int) -> list[tuple[Lot, int]]:
        lots = self._lots_of.get((campaign_id, association_id), [])
        return draw_minutes(lots, minutes, balances=self.balances, now=self.now)

    def is_spendable(self, lot: Lot) -> bool:
        campaign = self.campaigns[lot.campaign_id]
        return campaign.state != "closed" and lot.is_live(self.now)


def reserve(journal: Journal, hold: Hold, *, author: Author) -> Hold:
    """Set the mission's minutes aside, from the lots that expire first. The credit must suffice."""
    drawn = journal.draw(hold.campaign_id, hold.association_id, hold.minutes)
    parts = tuple(HoldPart(number, lot.id, minutes) for number, (lot, minutes) in enumerate(drawn, 1))
    held = replace(hold, state=HoldState.HELD, parts=parts)
    legs = [
        _leg_of(TransferKind.RESERVE, held, part, part.minutes, key="reserve", why="Mission convenue : crédit réservé")
        for part in parts
    ]
    journal.post(legs, author=author)
    return held


def release(journal: Journal, hold: Hold, *, why: str, author: Author, occasion: str = "release") -> tuple[Hold, int]:
    """Give back what is still held, and how much that was. What comes back to a lot that has expired expires at once."""
    released = 0
    for part in hold.parts:
        minutes = part.held_minutes
        if minutes:
            journal.post([_leg_of(TransferKind.RELEASE, hold, part, minutes, key=occasion, why=why)], author=author)
            expire_late(journal, hold, part, minutes, author=author, occasion=occasion)
            hold = hold.with_part(replace(part, released_minutes=part.released_minutes + minutes))
            released += minutes
    return replace(hold, state=HoldState.RELEASED), released


def settle(journal: Journal, hold: Hold, *, minutes: int, occasion: str, is_final: bool, author: Author) -> tuple[Hold, int]:
    """Spend served minutes and deliver the contributor's promise; at the last, give the rest back (and say how much)."""
    contributor_id = hold.contributor_id
    assert contributor_id is not None
    left = minutes
    for part in hold.parts:
        served = min(left, part.held_minutes)
        if served:
            journal.post([_leg_of(TransferKind.SETTLE, hold, part, served, key=occasion, why=SERVED)], author=author)
            hold = hold.with_part(replace(part, served_minutes=part.served_minutes + served))
            left -= served
    deliver = make_leg(
        TransferKind.DELIVER,
        campaign_id=hold.campaign_id,
        holder_id=contributor_id,
        minutes=minutes,
        key=f"{occasion}:deliver:{hold.mission_id}",
        why=SERVED,
        mission_id=hold.mission_id,
    )
    journal.post([deliver], author=author)
    hold = replace(hold, served_minutes=hold.served_minutes + minutes)
    if not is_final:
        return hold, 0
    hold, released = release(journal, hold, why=REST, author=author)
    return replace(hold, state=HoldState.SETTLED), released


def expire_late(journal: Journal, hold: Hold, part: HoldPart, minutes: int, *, author: Author, occasion: str) -> None:
    """What came back to a lot that nobody may spend any more goes the way of the campaign's rule."""
    lot = journal.lots[part.lot_id]
    if journal.is_spendable(lot):
        return
    rule = journal.campaigns[hold.campaign_id].facts.rules.expiry
    key = f"expire:{occasion}:{hold.mission_id}:{part.number}"
    leg = make_expiry_leg(rule, lot.account(AccountKind.CREDIT), minutes=minutes, key=key, mission_id=hold.mission_id)
    journal.post([leg], author=author)
    journal.expired.append(Expired(hold.campaign_id, hold.association_id, minutes))


def _leg_of(kind: TransferKind, hold: Hold, part: HoldPart, minutes: int, *, key: str, why: str) -> Leg:
    return make_leg(
        kind,
        campaign_id=hold.campaign_id,
        holder_id=hold.association_id,
        lot_id=part.lot_id,
        minutes=minutes,
        key=f"{key}:{hold.mission_id}:{part.number}",
        why=why,
        mission_id=hold.mission_id,
    )
