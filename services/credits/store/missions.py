"""Everything behind a batch of missions, loaded and locked by one call, and written back by another (migration 0010).

Locks are taken in one order everywhere: campaigns, missions (by id), accounts (migration 0004). The statements are
constants on asyncpg itself: this is the ledger's busiest path, and building them costs more than running them.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

from sqlalchemy import Row, select

from kernel.ids import new_ids
from kernel.work import Work
from services.credits.domain.campaigns import Campaign
from services.credits.domain.holds import Hold, HoldPart, HoldState, Refusal
from services.credits.domain.journal import Journal
from services.credits.domain.ledger import AccountKind
from services.credits.domain.lots import Lot
from services.credits.store import ledger
from services.credits.store.calls import document_of, events_document
from services.credits.store.campaigns import campaign_of
from services.credits.tables import campaign

_LOAD = "SELECT * FROM load_missions($1, $2, $3, $4, $5)"
_SAVE = "SELECT * FROM save_missions($1, $2, $3, $4, $5, $6, $7)"
_LOCK_HOLDS = "SELECT * FROM hold WHERE mission_id = ANY($1) ORDER BY mission_id FOR UPDATE"
_LIST_PARTS = "SELECT * FROM hold_part WHERE mission_id = ANY($1) ORDER BY mission_id, number"
_LIST_LOTS = """
SELECT * FROM lot WHERE campaign_id = ANY($1) AND association_id = ANY($2)
"""
_SUM_COMMITTED = """
SELECT campaign_id, contributor_id, sum(minutes - served_minutes)::bigint AS minutes FROM hold
WHERE campaign_id = ANY($1) AND contributor_id = ANY($2) AND state = 'held' GROUP BY 1, 2
"""

# Of the association and of the contributor; what a mission may move in any of its steps.
_ASSOCIATION_ACCOUNTS = (AccountKind.CREDIT, AccountKind.HELD, AccountKind.SERVED, AccountKind.CARRIED)
_CONTRIBUTOR_ACCOUNTS = (AccountKind.PROMISED, AccountKind.DELIVERED)

Pair = tuple[UUID, UUID]


@dataclass(frozen=True)
class Loaded:
    """What missions are decided on, all of it locked or read under these locks."""

    journal: Journal
    holds: dict[UUID, Hold]  # of missions that were here before
    seats: set[Pair]  # campaign and association, of associations whose missions are new
    committed: dict[Pair, int]  # by campaign and contributor: what is set aside for missions that it will serve
    settled: dict[str, int]  # minutes by the key under which they were delivered
    refusals: dict[UUID, Refusal]  # why reservations were refused
    concluded: set[UUID]  # missions whose convention was accepted by all sides


@dataclass(frozen=True)
class Refused:
    """A refusal to be kept: what it was about, the minutes asked for, and who asked."""

    refusal: Refusal
    subject: str
    hold: Hold
    minutes: int
    who: str


async def load(work: Work, campaign_ids: Collection[UUID], firsts: Mapping[UUID, Hold | None]) -> Loaded:
    """All that is known of these missions. `firsts`: the hold that a mission begins with if it is new here, or None if what
    was asked is no beginning. Until the transaction ends nobody else decides about them, new or not."""
    row: Any = await work.driver.fetchrow(
        _LOAD,
        list(campaign_ids),
        list(firsts),
        [hold and hold.campaign_id for hold in firsts.values()],
        [hold and hold.association_id for hold in firsts.values()],
        [hold and hold.contributor_id for hold in firsts.values()],
    )
    campaigns = {one["id"]: campaign_of(cast("Row[Any]", SimpleNamespace(**one))) for one in row["campaigns"] or ()}
    lots = {one["id"]: lot_of(one) for one in row["lots"] or ()}
    accounts = ledger.accounts_of(row["accounts"] or ())
    pairs = zip(row["committed_campaigns"] or (), row["committed_contributors"] or (), strict=True)
    return Loaded(
        Journal(work.now, campaigns, lots, accounts),
        _holds_of(row["holds"] or (), row["parts"] or ()),
        {(one["campaign_id"], one["association_id"]) for one in row["seats"] or ()},
        dict(zip(pairs, row["committed_minutes"] or (), strict=True)),
        dict(zip(row["settled_keys"] or (), row["settled_minutes"] or (), strict=True)),
        {one["mission_id"]: Refusal(one["code"], one["reason"], one["missing_minutes"]) for one in row["refusals"] or ()},
        set(row["concluded"] or ()),
    )


def _holds_of(rows: Iterable[Any], parts: Iterable[Any]) -> dict[UUID, Hold]:
    """Holds with their parts, which come in their order."""
    found: dict[UUID, list[HoldPart]] = {}
    for one in parts:
        part = HoldPart(one["number"], one["lot_id"], one["minutes"], one["served_minutes"], one["released_minutes"])
        found.setdefault(one["mission_id"], []).append(part)
    return {row["mission_id"]: hold_of(row, found.get(row["mission_id"], ())) for row in rows}


async def save(
    work: Work,
    *,
    journal: Journal | None = None,
    new: Sequence[Hold] = (),
    changed: Sequence[Hold] = (),
    refused: Sequence[Refused] = (),
) -> None:
    """Write what was decided: the journal's transfers, holds that are new here, holds as they are now, refusals, and what was
    published about it."""
    transfers = await ledger.number_journal(work, journal) if journal else []
    documents = [
        [_columns_of(hold) for hold in new],
        [_columns_of(hold) for hold in changed],
        [_part_columns_of(hold, part) for hold in (*new, *changed) for part in hold.parts],
        _refusal_columns_of(refused),
        transfers,
    ]
    if any(documents):
        taken = work.take_outgoing()
        with ledger.named_errors():
            entered = await work.driver.fetch(_SAVE, work.now, *map(document_of, documents), events_document(taken))
        work.add_entered(taken, entered)


def _columns_of(hold: Hold) -> dict[str, object]:
    return {
        "mission_id": hold.mission_id,
        "campaign_id": hold.campaign_id,
        "association_id": hold.association_id,
        "contributor_id": hold.contributor_id,
        "minutes": hold.minutes,
        "served_minutes": hold.served_minutes,
        "ends_on": hold.ends_on,
        "state": hold.state,
    }


def _part_columns_of(hold: Hold, part: HoldPart) -> dict[str, object]:
    return {
        "mission_id": hold.mission_id,
        "number": part.number,
        "lot_id": part.lot_id,
        "minutes": part.minutes,
        "served_minutes": part.served_minutes,
        "released_minutes": part.released_minutes,
    }


def _refusal_columns_of(refused: Sequence[Refused]) -> list[dict[str, object]]:
    return [
        {
            "id": id,
            "campaign_id": one.hold.campaign_id,
            "subject": one.subject,
            "mission_id": one.hold.mission_id,
            "association_id": one.hold.association_id,
            "contributor_id": one.hold.contributor_id,
            "code": one.refusal.code,
            "reason": one.refusal.reason,
            "asked_minutes": one.minutes,
            "missing_minutes": one.refusal.missing_minutes,
            "asked_by": one.who,
        }
        for id, one in zip(new_ids(len(refused)), refused, strict=True)
    ]


async def use_campaigns(work: Work, ids: Collection[UUID]) -> dict[UUID, Campaign]:
    """Locked against being closed meanwhile; others may use them at the same time."""
    query = select(campaign).where(campaign.c.id.in_(ids)).order_by(campaign.c.id).with_for_update(read=True)
    return {row.id: campaign_of(row) for row in await work.connection.execute(query)}


async def lock_holds(work: Work, mission_ids: Collection[UUID]) -> dict[UUID, Hold]:
    if not mission_ids:
        return {}
    rows = await work.driver.fetch(_LOCK_HOLDS, list(mission_ids))
    return _holds_of(rows, await work.driver.fetch(_LIST_PARTS, [row["mission_id"] for row in rows]))


def hold_of(row: Any, parts: Iterable[HoldPart] = ()) -> Hold:
    return Hold(
        row["mission_id"],
        row["campaign_id"],
        row["association_id"],
        row["contributor_id"],
        row["minutes"],
        row["served_minutes"],
        row["ends_on"],
        HoldState(row["state"]),
        tuple(parts),
    )


async def open_journal(work: Work, holds: Collection[Hold], campaigns: dict[UUID, Campaign]) -> Journal:
    """A journal on the accounts that these missions may move, all locked."""
    known = [hold for hold in holds if hold.campaign_id in campaigns]
    pairs = [hold.campaign_id for hold in known], [hold.association_id for hold in known]
    lots = {row["id"]: lot_of(row) for row in await work.driver.fetch(_LIST_LOTS, *pairs)} if known else {}
    wanted = {(hold.campaign_id, kind, hold.association_id) for hold in known for kind in _ASSOCIATION_ACCOUNTS}
    wanted |= {
        (hold.campaign_id, kind, hold.contributor_id) for hold in known if hold.contributor_id for kind in _CONTRIBUTOR_ACCOUNTS
    }
    return Journal(work.now, campaigns, lots, await ledger.lock_accounts(work, wanted))


def lot_of(row: Any) -> Lot:
    return Lot(
        row["id"],
        row["campaign_id"],
        row["association_id"],
        row["minutes"],
        row["expires_at"],
        row["grant_id"],
        row["carried_from"],
    )


async def sum_committed_minutes(work: Work, pairs: Collection[Pair]) -> dict[Pair, int]:
    """By campaign and contributor: what is set aside for missions that it will serve. Exact under the lock of its promise."""
    rows = await work.driver.fetch(_SUM_COMMITTED, *map(list, zip(*pairs, strict=True))) if pairs else []
    return {(row["campaign_id"], row["contributor_id"]): row["minutes"] for row in rows}
