"""Transfers out of their canonical form, quickly: of twenty columns the books need eleven."""

import json
import re
from typing import Any, NamedTuple

# A quote within a text is written with a backslash, so that no text looks like a column; what has one, or a column that is
# not known here, is read the slow way.
_ID, _TEXT = rb'"(.{36})"', rb'"[^"\\]*"'
_QUICK = re.compile(
    rb'\["transfer",\{"campaign_id":' + _ID + rb',"effective_at":' + _TEXT + rb',"from_account_id":' + _ID
    + rb',"from_balance_minutes":(-?\d+),"from_version":(\d+),(?:"grant_id":' + _TEXT + rb',)?"id":' + _TEXT
    + rb',"idempotency_key":"([^"\\]*)","kind":"(\w+)","minutes":(\d+),(?:"mission_id":' + _ID + rb',)?(?:"pledge_id":' + _TEXT
    + rb',)?"recorded_at":"([^"\\]*)",(?:"reverses":' + _ID + rb',)?"territory":"\w+","to_account_id":' + _ID
    + rb',"to_balance_minutes":(-?\d+),"to_version":(\d+),',
    re.DOTALL,
)  # fmt: skip


class Transfer(NamedTuple):
    """Ids are the bytes of their text; an empty one is none. `link`: the key of a reservation, what a reversal undoes."""

    campaign: bytes
    source: bytes
    from_balance: int
    from_version: int
    kind: bytes
    minutes: int
    mission: bytes
    link: bytes
    target: bytes
    to_balance: int
    to_version: int
    recorded_at: bytes  # in UTC and of one length, hence in order as text


def read_transfer(row: bytes) -> Transfer:
    """Raises ValueError or KeyError for what is no transfer."""
    match = _QUICK.match(row)
    if match is None:
        return _read_slowly(row)
    campaign, source, before, at, key, kind, minutes, mission, recorded, reverses, target, after, to = match.groups(b"")
    link = key if kind == b"reserve" else reverses
    return Transfer(
        campaign, source, int(before), int(at), kind, int(minutes), mission, link, target, int(after), int(to), recorded
    )  # fmt: skip


def _read_slowly(row: bytes) -> Transfer:
    table, columns = read_row(row)
    if table != "transfer":
        raise ValueError(f"no transfer: {table}")

    def text(name: str) -> bytes:
        return str(columns.get(name) or "").encode()

    link = {"reserve": "idempotency_key", "reverse": "reverses"}.get(columns["kind"], "")
    return Transfer(
        text("campaign_id"), text("from_account_id"), int(columns["from_balance_minutes"]), int(columns["from_version"]),
        text("kind"), int(columns["minutes"]), text("mission_id"), text(link) if link else b"",
        text("to_account_id"), int(columns["to_balance_minutes"]), int(columns["to_version"]),
        text("recorded_at"),
    )  # fmt: skip


def read_row(row: bytes) -> tuple[str, dict[str, Any]]:
    """Table and columns. Raises ValueError."""
    content = json.loads(row.decode())
    if not (isinstance(content, list) and len(content) == 2 and isinstance(content[1], dict)):
        raise ValueError("no row")
    return str(content[0]), content[1]
