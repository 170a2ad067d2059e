"""The ledger's promises (DOMAIN.md), recomputed from raw rows with code of their own: nothing here asks the service.

`check_books` reads the rows of a territory, or of some of its campaigns, and raises on the first that do not agree.
"""

from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

Fetch = Callable[..., Awaitable[list[Any]]]
NEGATIVE = {"promised", "delivered"}
SIGNED = {"carried"}


@dataclass(frozen=True)
class Rows:
    """`transfers` with the kind, holder and lot of both accounts."""

    accounts: list[Any]
    transfers: list[Any]
    entries: list[Any]
    holds: list[Any]
    parts: list[Any]
    lots: list[Any]


async def read_rows(fetch: Fetch, campaigns: Collection[UUID] | None = None) -> Rows:
    only = list(campaigns) if campaigns is not None else None
    where = "WHERE ($1::uuid[] IS NULL OR {}campaign_id = ANY($1))"
    transfers = f"""
        SELECT transfer.*, s.kind AS source_kind, s.holder_id AS source_holder_id, s.lot_id AS source_lot_id,
          t.kind AS target_kind, t.holder_id AS target_holder_id, t.lot_id AS target_lot_id
        FROM transfer LEFT JOIN account s ON s.id = from_account_id LEFT JOIN account t ON t.id = to_account_id
        {where.format("transfer.")}"""
    return Rows(
        await fetch(f"SELECT * FROM account {where.format('')}", only),
        await fetch(transfers, only),
        await fetch(f"SELECT entry.* FROM entry JOIN account ON account.id = account_id {where.format('')}", only),
        await fetch(f"SELECT * FROM hold {where.format('')}", only),
        await fetch(f"SELECT part.* FROM hold_part part JOIN hold USING (mission_id) {where.format('')}", only),
        await fetch(f"SELECT * FROM lot {where.format('')}", only),
    )


async def check_books(fetch: Fetch, campaigns: Collection[UUID] | None = None) -> Rows:
    rows = await read_rows(fetch, campaigns)
    check_accounts(rows)
    check_reversals(rows.transfers)
    check_holds(rows)
    check_lots(rows)
    check_contributors(rows)
    return rows


def check_accounts(rows: Rows) -> None:
    """Versions without gaps, running balances right and within bounds at every version, entries as the balances, zero sums."""
    sides: dict[UUID, list[tuple[int, int, int]]] = defaultdict(list)
    for one in rows.transfers:
        assert one["minutes"] > 0, dict(one)
        sides[one["from_account_id"]].append((one["from_version"], -one["minutes"], one["from_balance_minutes"]))
        sides[one["to_account_id"]].append((one["to_version"], one["minutes"], one["to_balance_minutes"]))
    sums = Counter[UUID]()
    for account in rows.accounts:
        balance = 0
        steps = sorted(sides.pop(account["id"], []))
        assert [version for version, _, _ in steps] == [*range(1, account["version"] + 1)], dict(account)
        for _, minutes, after in steps:
            balance += minutes
            assert balance == after, (dict(account), steps)
            assert account["kind"] in SIGNED or (-balance if account["kind"] in NEGATIVE else balance) >= 0, dict(account)
        assert balance == account["balance_minutes"], dict(account)
        sums[account["campaign_id"]] += balance
    assert not sides, "a transfer names an account that is not of its campaign"
    assert not any(sums.values()), sums
    assert len(rows.entries) == 2 * len(rows.transfers)
    entered = sum_up((one["account_id"], one["minutes"]) for one in rows.entries)
    assert entered == sum_up((one["id"], one["balance_minutes"]) for one in rows.accounts)


def check_reversals(transfers: list[Any]) -> None:
    """Each reversal is the opposite of what it names, and all of one transfer undo no more than it moved."""
    by_id = {one["id"]: one for one in transfers}
    undone = sum_up((one["reverses"], one["minutes"]) for one in transfers if one["reverses"])
    for transfer_id, minutes in undone.items():
        assert minutes <= by_id[transfer_id]["minutes"], dict(by_id[transfer_id])
    for one in transfers:
        assert (one["kind"] == "reverse") == (one["reverses"] is not None)
        if original := by_id.get(one["reverses"]):
            opposite = (original["to_account_id"], original["from_account_id"])
            assert (one["from_account_id"], one["to_account_id"]) == opposite
            assert original["kind"] != "reverse"


def check_holds(rows: Rows) -> None:
    """Holds = their parts = the held accounts of their lots; a state says what is still held; served as delivered."""
    parts: dict[UUID, list[Any]] = defaultdict(list)
    for part in rows.parts:
        parts[part["mission_id"]].append(part)
    moved = net_by(rows.transfers, lambda one: one["mission_id"])
    for hold in rows.holds:
        own, state = parts[hold["mission_id"]], hold["state"]
        left = sum(held_of(part) for part in own)
        assert state != "asked", dict(hold)
        if state in {"refused", "cancelled"}:
            assert not own and not hold["served_minutes"] and not moved[hold["mission_id"]], dict(hold)
            continue
        assert sum(part["minutes"] for part in own) == hold["minutes"], (dict(hold), own)
        assert sum(part["served_minutes"] for part in own) == hold["served_minutes"], (dict(hold), own)
        assert left == (hold["minutes"] - hold["served_minutes"] if state == "held" else 0), (dict(hold), own)
        assert (hold["served_minutes"] > 0) <= (state in {"held", "settled"}), dict(hold)
        assert moved[hold["mission_id"]]["held"] == left, dict(hold)
        assert moved[hold["mission_id"]]["served"] == -moved[hold["mission_id"]]["delivered"] == hold["served_minutes"]
    held = sum_up((part["lot_id"], held_of(part)) for part in rows.parts)
    assert held == sum_up((one["lot_id"], one["balance_minutes"]) for one in rows.accounts if one["kind"] == "held")


def check_lots(rows: Rows) -> None:
    """What a lot began with = what is left to spend + held + served + expired or carried on + undone of its grant."""
    moved: dict[UUID, Counter[str]] = defaultdict(Counter)
    by_id = {one["id"]: one for one in rows.transfers}
    for one in rows.transfers:
        origin = by_id[one["reverses"]] if one["reverses"] else one
        lot_id = one["source_lot_id"] or one["target_lot_id"]
        if lot_id is None:
            continue
        if origin["kind"] in {"grant", "carry"} and origin["target_kind"] == "credit":
            moved[lot_id]["undone" if one["reverses"] else "begun"] += one["minutes"]
        elif origin["kind"] in {"expire", "carry"}:
            moved[lot_id]["expired"] += one["minutes"]
    served = sum_up((part["lot_id"], part["served_minutes"]) for part in rows.parts)
    balances = sum_up(((one["kind"], one["lot_id"]), one["balance_minutes"]) for one in rows.accounts if one["lot_id"])
    for lot in rows.lots:
        own = moved[lot["id"]]
        assert own["begun"] == lot["minutes"], dict(lot)
        left = balances["credit", lot["id"]] + balances["held", lot["id"]]
        assert lot["minutes"] == left + served[lot["id"]] + own["expired"] + own["undone"], (dict(lot), own)
    assert {lot_id for _, lot_id in balances} <= {lot["id"] for lot in rows.lots}


def check_contributors(rows: Rows) -> None:
    """What missions count on stays promised, and what was delivered was served."""
    committed = Counter[tuple[UUID, UUID]]()
    served = Counter[tuple[UUID, UUID]]()
    served_to = Counter[tuple[UUID, UUID]]()
    for hold in rows.holds:
        if hold["state"] == "held":
            committed[hold["campaign_id"], hold["contributor_id"]] += hold["minutes"] - hold["served_minutes"]
        served[hold["campaign_id"], hold["contributor_id"]] += hold["served_minutes"]
        served_to[hold["campaign_id"], hold["association_id"]] += hold["served_minutes"]
    balances = {kind: Counter[tuple[UUID, UUID]]() for kind in ("promised", "delivered", "served")}
    for one in rows.accounts:
        if one["kind"] in balances:
            balances[one["kind"]][one["campaign_id"], one["holder_id"]] = one["balance_minutes"]
    assert all(-balances["promised"][pair] >= minutes for pair, minutes in committed.items())
    assert +served == +Counter({pair: -minutes for pair, minutes in balances["delivered"].items()})
    assert +served_to == +balances["served"]


def net_by(transfers: list[Any], key: Callable[[Any], Any]) -> dict[Any, Counter[str]]:
    """What transfers moved in and out of each kind of account, by some key."""
    moved: dict[Any, Counter[str]] = defaultdict(Counter)
    for one in transfers:
        moved[key(one)][one["source_kind"]] -= one["minutes"]
        moved[key(one)][one["target_kind"]] += one["minutes"]
    return moved


def held_of(part: Any) -> int:
    return int(part["minutes"] - part["served_minutes"] - part["released_minutes"])


def sum_up(pairs: Iterable[tuple[Any, int]]) -> Counter[Any]:
    """Sums by key, without those that come to nothing."""
    sums = Counter[Any]()
    for key, minutes in pairs:
        sums[key] += minutes
    return Counter({key: minutes for key, minutes in sums.items() if minutes})
