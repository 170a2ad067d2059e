"""What follows from the transfers and facts, compared with the rows as they now stand."""

import gc
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from cli.ledger_verify.books import NEVER_MOVED, STATE, Books, PartSums
from cli.ledger_verify.bundle import Unreadable, read_parts
from cli.ledger_verify.findings import Finding
from cli.ledger_verify.transfers import read_transfer

_NEVER_POSITIVE = frozenset({"promised", "delivered"})
_SIGNED = frozenset({"carried"})
_LOT_KINDS = frozenset({"credit", "held"})
_SETTLED_STATES = frozenset({"held", "settled", "released", "reversed"})
# Of every table the columns that sealing itself added, and those that stand in the key.
_OWN = frozenset({"territory", "xact"})
_MOST_FINDINGS = 1000


def check_books(path: Path) -> tuple[int, list[Finding]]:
    """How many transfers there are, and what does not follow from them."""
    # Everything that is kept here is kept to the end: looking for garbage meanwhile would take a third of the time.
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        return _check(path)
    finally:
        if was_enabled:
            gc.enable()


def _check(path: Path) -> tuple[int, list[Finding]]:
    books = Books()
    has_state = False
    try:
        for part in read_parts(path):
            if part.name in {"block", "unsealed"}:
                books.add_rows(part.rows, first_sequence=part.fields.get("first_sequence"))
            elif part.name == "state":
                has_state = True
                books.add_state(part.rows)
        _sort_reversals(books)
        findings = [*books.findings, *_accounts(books), *_reversals(books, path)]
        if has_state:
            findings += [*_state(books), *_holds(books), *_lots(books)]
    except Unreadable:
        findings = books.findings  # the chain's check says it
    return books.transfers, findings[:_MOST_FINDINGS]


def _kind(books: Books, account: bytes) -> str:
    return str(books.fact("account", account.decode()).get("kind", ""))


def _sort_reversals(books: Books) -> None:
    """What a reversal undoes shows in the kinds of its accounts."""
    for _, mission, source, target, minutes in books.reversals:
        if mission and (_kind(books, source), _kind(books, target)) == ("held", "credit"):
            books.parts[mission + source].unreserved += minutes
        elif mission and (_kind(books, source), _kind(books, target)) == ("served", "held"):
            books.parts[mission + target].unsettled += minutes


def _accounts(books: Books) -> Iterator[Finding]:
    sums: Counter[str] = Counter()
    for account, (version, balance, _) in books.accounts.items():
        fact = books.fact("account", account.decode())
        campaign, kind = fact.get("campaign_id", ""), fact.get("kind", "")
        sums[campaign] += balance
        if not fact:
            yield Finding("state-missing", table="account", key=account.decode(), detail="fact")
        elif campaign != books.campaigns[account].decode():
            yield Finding("campaign", table="account", key=account.decode(), expected=campaign)
        too_high = account in books.above_zero and kind in _NEVER_POSITIVE
        too_low = account in books.below_zero and kind not in _NEVER_POSITIVE | _SIGNED
        if fact and (too_high or too_low):
            yield Finding("bound", table="account", key=account.decode(), columns=("balance_minutes",), detail=kind)
        for later in sorted(books.early.get(account, ())):
            yield Finding("gap", table="account", key=account.decode(), expected=version + 1, found=later)
            break
    for campaign, total in sums.items():
        if total:
            yield Finding("sum", table="campaign", key=campaign, expected=0, found=total)


def _reversals(books: Books, path: Path) -> Iterator[Finding]:
    undone: Counter[bytes] = Counter()
    for original, _, _, _, minutes in books.reversals:
        undone[original] += minutes
    # A second reading, only where something was reversed.
    originals = dict(_find_minutes(path, set(undone))) if undone else {}
    for original, minutes in undone.items():
        if minutes > originals.get(original, 0):
            yield Finding("reversal", table="transfer", key=original.decode(), expected=originals.get(original, 0), found=minutes)


def _find_minutes(path: Path, ids: set[bytes]) -> Iterator[tuple[bytes, int]]:
    for part in read_parts(path):
        for row in part.rows if part.name in {"block", "unsealed"} else ():
            at = row.find(b'"id":"') + 6
            if row.startswith(b'["transfer"') and row[at : at + 36] in ids:
                yield row[at : at + 36], read_transfer(row).minutes


# ---- Current rows --------------------------------------------------------------------------------------------------


def _state(books: Books) -> Iterator[Finding]:
    """Accounts against transfers and facts, everything else that may change against its last sealed version."""
    # Not in bundles that were exported before accounts had it (migration 0013).
    has_times = any("moved_at" in row for row in books.state["account"].values())
    for table in STATE:
        known = {key.decode() for name, key in books.facts if name == table.encode()}
        rows = books.state[table]
        if table == "hold_part":
            continue
        for key in sorted(known - rows.keys()):
            yield Finding("state-missing", table=table, key=key)
        for key, row in rows.items():
            if key not in known:
                yield Finding("state-added", table=table, key=key)
                continue
            expected = books.fact(table, key)
            if table == "account":
                version, balance, moved_at = books.accounts.get(key.encode(), NEVER_MOVED)
                expected |= {"version": version, "balance_minutes": balance}
                if has_times:
                    expected["moved_at"] = moved_at.decode() or None
            yield from _differ(table, key, expected, row)


def _differ(table: str, key: str, expected: dict[str, Any], found: dict[str, Any]) -> Iterator[Finding]:
    wrong = [name for name, value in found.items() if name not in _OWN and not _same(value, expected.get(name))]
    wrong += [name for name, value in expected.items() if value is not None and name not in found]
    for name in sorted(wrong):
        yield Finding("state", table=table, key=key, columns=(name,), expected=expected.get(name), found=found.get(name))


def _same(one: Any, other: Any) -> bool:
    """The same instant is written in two ways: by a row's canonical form, and by jsonb in the zone of who wrote it."""
    if one == other:
        return True
    if not (isinstance(one, str) and isinstance(other, str) and one[10:11] == other[10:11] == "T"):
        return False
    try:
        return datetime.fromisoformat(one) == datetime.fromisoformat(other)
    except (ValueError, TypeError):
        return False


# ---- Holds, their parts, lots --------------------------------------------------------------------------------------


def _holds(books: Books) -> Iterator[Finding]:
    lots: dict[str, dict[str, PartSums]] = defaultdict(dict)
    lot_of: dict[bytes, str] = {}
    for key, sums in books.parts.items():
        account = key[36:]
        if account not in lot_of:
            lot_of[account] = books.fact("account", account.decode()).get("lot_id") or account.decode()
        lots[key[:36].decode()][lot_of[account]] = sums
    stored: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in books.state["hold_part"].values():
        stored[row["mission_id"]].append(row)
    for mission in sorted(lots.keys() | stored.keys()):
        yield from _parts(mission, lots.get(mission, {}), stored.get(mission, []))
    for mission, row in books.state["hold"].items():
        yield from _hold(mission, row, list(lots.get(mission, {}).values()))


def _parts(mission: str, sums: dict[str, PartSums], rows: list[dict[str, Any]]) -> Iterator[Finding]:
    by_lot = {row["lot_id"]: row for row in rows}
    for lot in sorted(sums.keys() - by_lot.keys()):
        yield Finding("state-missing", table="hold_part", key=f"{mission}/{lot}")
    for row in rows:
        key = f"{mission}/{row['number']}"
        told = sums.get(row["lot_id"])
        if told is None:
            yield Finding("part", table="hold_part", key=key, columns=("lot_id",), found=row["lot_id"])
            continue
        expected = {
            "minutes": told.reserved,
            "served_minutes": told.served,
            "released_minutes": told.reserved - told.served - told.held,
        }
        if told.number.isdigit():
            expected["number"] = int(told.number)
        for name, value in expected.items():
            if row[name] != value:
                yield Finding("part", table="hold_part", key=key, columns=(name,), expected=value, found=row[name])


def _hold(mission: str, row: dict[str, Any], parts: list[PartSums]) -> Iterator[Finding]:
    expected = {"served_minutes": sum(part.served for part in parts)}
    if parts or row["state"] in _SETTLED_STATES:
        expected["minutes"] = sum(part.reserved for part in parts)
    for name, value in expected.items():
        if row[name] != value:
            yield Finding("hold", table="hold", key=mission, columns=(name,), expected=value, found=row[name])
    held = sum(part.held for part in parts)
    if (row["state"] == "held") != (held > 0):
        yield Finding("hold", table="hold", key=mission, columns=("state",), found=f"{row['state']} ({held} min)")


def _lots(books: Books) -> Iterator[Finding]:
    credited: Counter[str] = Counter()
    for account, minutes in books.credited.items():
        fact = books.fact("account", account.decode())
        if fact.get("kind") == "credit":
            credited[fact.get("lot_id") or ""] += minutes
    for lot, row in books.lots.items():
        if credited[lot] != row["minutes"]:
            yield Finding("lot", table="lot", key=lot, columns=("minutes",), expected=credited[lot], found=row["minutes"])
    for key, row in books.state["account"].items():
        if row["kind"] not in _LOT_KINDS:
            continue
        of = books.lots.get(row.get("lot_id") or "")
        if of is None or (of["campaign_id"], of["association_id"]) != (row["campaign_id"], row["holder_id"]):
            yield Finding("lot", table="account", key=key, columns=("lot_id",), found=row.get("lot_id"))
