"""Everything behind a batch of missions, loaded and locked with a few set-based statements, and written back with as many.

Locks are taken in one order everywhere: campaigns, missions (by id), accounts (migration 0004). The statements are
constants on asyncpg itself: this is the ledger's busiest path, and building them costs more than running them.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import select

from kernel.ids import new_id
from kernel.work import Work
from services.credits.domain.campaigns import Campaign
from services.credits.domain.holds import Hold, HoldPart, HoldState, Refusal
from services.credits.domain.journal import Journal
from services.credits.domain.ledger import AccountKind
from services.credits.domain.lots import Lot
from services.credits.store import ledger
from services.credits.store.campaigns import campaign_of
from services.credits.tables import campaign

_ADD_HOLDS = """
INSERT INTO hold (territory, mission_id, campaign_id, association_id, contributor_id, minutes, ends_on, state, changed_at)
SELECT $1, asked.*, $8 FROM unnest($2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::bigint[], $7::date[], $9::text[]) AS asked
ORDER BY 2 ON CONFLICT DO NOTHING RETURNING mission_id
"""
_LOCK_HOLDS = "SELECT * FROM hold WHERE mission_id = ANY($1) ORDER BY mission_id FOR UPDATE"
_LIST_PARTS = "SELECT * FROM hold_part WHERE mission_id = ANY($1) ORDER BY mission_id, number"
_LIST_LOTS = """
SELECT * FROM lot WHERE campaign_id = ANY($1) AND association_id = ANY($2)
"""
_LIST_SEATS = """
SELECT campaign_id, association_id FROM panel WHERE campaign_id = ANY($1) AND association_id = ANY($2)
"""
_SUM_COMMITTED = """
SELECT campaign_id, contributor_id, sum(minutes - served_minutes)::bigint AS minutes FROM hold
WHERE campaign_id = ANY($1) AND contributor_id = ANY($2) AND state = 'held' GROUP BY 1, 2
"""
_LIST_SETTLED = """
SELECT mission_id, idempotency_key, minutes FROM transfer
WHERE mission_id = ANY($1) AND kind = 'deliver'
"""
_LIST_REFUSALS = "SELECT * FROM refusal WHERE mission_id = ANY($1) AND subject = 'reservation'"
_SAVE_HOLDS = """
UPDATE hold SET state = saved.state, served_minutes = saved.served_minutes, changed_at = $4
FROM unnest($1::uuid[], $2::text[], $3::bigint[]) AS saved(mission_id, state, served_minutes)
WHERE hold.mission_id = saved.mission_id
"""
_SAVE_PARTS = """
INSERT INTO hold_part (territory, mission_id, number, lot_id, minutes, served_minutes, released_minutes)
SELECT $1, * FROM unnest($2::uuid[], $3::smallint[], $4::uuid[], $5::bigint[], $6::bigint[], $7::bigint[])
ON CONFLICT (territory, mission_id, number)
DO UPDATE SET served_minutes = excluded.served_minutes, released_minutes = excluded.released_minutes
"""
_ADD_REFUSALS = """
INSERT INTO refusal (territory, id, campaign_id, subject, mission_id, association_id, contributor_id, code, reason,
  asked_minutes, missing_minutes, asked_by, recorded_at)
SELECT $1, refused.*, $2 FROM unnest($3::uuid[], $4::uuid[], $5::text[], $6::uuid[], $7::uuid[], $8::uuid[], $9::text[],
  $10::text[], $11::bigint[], $12::bigint[], $13::text[]) AS refused
"""

# Of the association and of the contributor; what a mission may move in any of its steps.
_ASSOCIATION_ACCOUNTS = (AccountKind.CREDIT, AccountKind.HELD, AccountKind.SERVED, AccountKind.CARRIED)
_CONTRIBUTOR_ACCOUNTS = (AccountKind.PROMISED, AccountKind.DELIVERED)


async def use_campaigns(work: Work, ids: Collection[UUID]) -> dict[UUID, Campaign]:
    """Locked against being closed meanwhile; others may use them at the same time."""
    query = select(campaign).where(campaign.c.id.in_(ids)).order_by(campaign.c.id).with_for_update(read=True)
    return {row.id: campaign_of(row) for row in await work.connection.execute(query)}


async def add_holds(work: Work, holds: Sequence[Hold]) -> set[UUID]:
    """The missions that are new here. Of the others something was decided before (waits for who decides now)."""
    if not holds:
        return set()
    rows = await work.driver.fetch(
        _ADD_HOLDS,
        work.territory,
        [hold.mission_id for hold in holds],
        [hold.campaign_id for hold in holds],
        [hold.association_id for hold in holds],
        [hold.contributor_id for hold in holds],
        [hold.minutes for hold in holds],
        [hold.ends_on for hold in holds],
        work.now,
        [hold.state for hold in holds],
    )
    return {row["mission_id"] for row in rows}


async def lock_holds(work: Work, mission_ids: Collection[UUID]) -> dict[UUID, Hold]:
    if not mission_ids:
        return {}
    rows = await work.driver.fetch(_LOCK_HOLDS, list(mission_ids))
    parts: dict[UUID, list[HoldPart]] = {row["mission_id"]: [] for row in rows}
    for row in await work.driver.fetch(_LIST_PARTS, list(parts)):
        part = HoldPart(row["number"], row["lot_id"], row["minutes"], row["served_minutes"], row["released_minutes"])
        parts[row["mission_id"]].append(part)
    return {row["mission_id"]: hold_of(row, parts[row["mission_id"]]) for row in rows}


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


async def list_seats(work: Work, holds: Sequence[Hold]) -> set[tuple[UUID, UUID]]:
    """Which of these are on their campaign's panel: campaign and association."""
    rows = await work.driver.fetch(_LIST_SEATS, [hold.campaign_id for hold in holds], [hold.association_id for hold in holds])
    return {(row["campaign_id"], row["association_id"]) for row in rows}


async def sum_committed_minutes(work: Work, pairs: Collection[tuple[UUID, UUID]]) -> dict[tuple[UUID, UUID], int]:
    """By campaign and contributor: what is set aside for missions that it will serve. Exact under the lock of its promise."""
    rows = await work.driver.fetch(_SUM_COMMITTED, *map(list, zip(*pairs, strict=True))) if pairs else []
    return {(row["campaign_id"], row["contributor_id"]): row["minutes"] for row in rows}


async def list_settled(work: Work, mission_ids: Collection[UUID]) -> dict[str, int]:
    """Minutes by the key under which they were delivered."""
    rows = await work.driver.fetch(_LIST_SETTLED, list(mission_ids))
    return {row["idempotency_key"]: row["minutes"] for row in rows}


async def list_refusals(work: Work, mission_ids: Sequence[UUID]) -> dict[UUID, Refusal]:
    """Why these reservations were refused."""
    rows = await work.driver.fetch(_LIST_REFUSALS, mission_ids)
    return {row["mission_id"]: Refusal(row["code"], row["reason"], row["missing_minutes"]) for row in rows}


async def save_holds(work: Work, holds: Sequence[Hold]) -> None:
    if not holds:
        return
    await work.driver.execute(
        _SAVE_HOLDS,
        [hold.mission_id for hold in holds],
        [hold.state for hold in holds],
        [hold.served_minutes for hold in holds],
        work.now,
    )
    parts = [(hold.mission_id, part) for hold in holds for part in hold.parts]
    if parts:
        await work.driver.execute(
            _SAVE_PARTS,
            work.territory,
            [mission_id for mission_id, _ in parts],
            [part.number for _, part in parts],
            [part.lot_id for _, part in parts],
            [part.minutes for _, part in parts],
            [part.served_minutes for _, part in parts],
            [part.released_minutes for _, part in parts],
        )


async def add_refusals(work: Work, refused: Sequence[tuple[Refusal, str, Hold, int, str]]) -> None:
    """Each with its subject, what it was about, the minutes asked for and who asked."""
    if not refused:
        return
    await work.driver.execute(
        _ADD_REFUSALS,
        work.territory,
        work.now,
        [new_id() for _ in refused],
        [hold.campaign_id for _, _, hold, _, _ in refused],
        [subject for _, subject, _, _, _ in refused],
        [hold.mission_id for _, _, hold, _, _ in refused],
        [hold.association_id for _, _, hold, _, _ in refused],
        [hold.contributor_id for _, _, hold, _, _ in refused],
        [refusal.code for refusal, _, _, _, _ in refused],
        [refusal.reason for refusal, _, _, _, _ in refused],
        [minutes for _, _, _, minutes, _ in refused],
        [refusal.missing_minutes for refusal, _, _, _, _ in refused],
        [who for _, _, _, _, who in refused],
    )
