"""Recomputes every balance, version, hold, part and lot from the transfers alone, and compares with what is stored.

Transfers are sealed in the order of their transactions, which is not quite the order of an account's versions: what
comes early waits for what is missing.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from cli.ledger_verify.findings import Finding
from cli.ledger_verify.transfers import Transfer, read_row, read_transfer

_MOST_FINDINGS = 1000
_NO_FACT = (0, b"")
NEVER_MOVED = (0, 0, b"")
_TO_LOTS = frozenset({b"grant", b"carry"})
# Tables whose current rows are exported beside the sealed ones.
STATE = ("account", "hold", "hold_part", "campaign", "panel", "pledge")


@dataclass
class PartSums:
    """What the transfers say of one lot's part in a mission."""

    number: str = ""
    reserved: int = 0
    settled: int = 0
    released: int = 0
    unreserved: int = 0  # reservations undone
    unsettled: int = 0  # settlements undone

    @property
    def served(self) -> int:
        return self.settled - self.unsettled

    @property
    def held(self) -> int:
        return self.reserved - self.unreserved - self.released - self.served


@dataclass
class Books:
    """What is known after some rows. Accounts are (version, balance, latest time); `early` are sides whose turn has not come."""

    accounts: dict[bytes, tuple[int, int, bytes]] = field(default_factory=dict)
    early: dict[bytes, dict[int, tuple[int, int, int, bytes]]] = field(default_factory=dict)
    below_zero: set[bytes] = field(default_factory=set)
    above_zero: set[bytes] = field(default_factory=set)
    campaigns: dict[bytes, bytes] = field(default_factory=dict)
    parts: dict[bytes, PartSums] = field(default_factory=lambda: defaultdict(PartSums))
    reversals: list[tuple[bytes, bytes, bytes, bytes, int]] = field(default_factory=list)
    credited: Counter[bytes] = field(default_factory=Counter)
    facts: dict[tuple[bytes, bytes], tuple[int, bytes]] = field(default_factory=dict)
    lots: dict[str, dict[str, Any]] = field(default_factory=dict)
    state: dict[str, dict[str, dict[str, Any]]] = field(default_factory=lambda: {table: {} for table in STATE})
    transfers: int = 0
    findings: list[Finding] = field(default_factory=list)

    def find(self, kind: str, **facts: Any) -> None:
        if len(self.findings) < _MOST_FINDINGS:
            self.findings.append(Finding(kind, **facts))

    # ---- Transfers -------------------------------------------------------------------------------------------------

    def add_rows(self, rows: Sequence[bytes], *, first_sequence: int | None) -> None:
        for number, row in enumerate(rows):
            try:
                if row.startswith(b'["transfer"'):
                    self._add_transfer(read_transfer(row))
                elif row.startswith(b'["fact"'):
                    self._add_fact(row)
                elif row.startswith(b'["lot"'):
                    columns = read_row(row)[1]
                    self.lots[columns["id"]] = columns
            except (ValueError, KeyError, TypeError) as error:
                sequence = None if first_sequence is None else first_sequence + number
                self.find("unreadable", sequence=sequence, detail=f"{type(error).__name__}: {error}")

    def _add_transfer(self, transfer: Transfer) -> None:
        campaign, source, from_balance, from_version, kind, minutes, mission, link, target, to_balance, to_version, at = transfer
        self.transfers += 1
        accounts = self.accounts
        version, balance, last = accounts.get(source) or self._open(source, campaign)
        if from_version == version + 1 and from_balance == balance - minutes and not self.early:
            accounts[source] = (from_version, from_balance, at if at > last else last)
        else:
            self._add_side(source, from_version, -minutes, from_balance, at)
        if from_balance < 0:
            self.below_zero.add(source)
        version, balance, last = accounts.get(target) or self._open(target, campaign)
        if to_version == version + 1 and to_balance == balance + minutes and not self.early:
            accounts[target] = (to_version, to_balance, at if at > last else last)
        else:
            self._add_side(target, to_version, minutes, to_balance, at)
        if to_balance > 0:
            self.above_zero.add(target)
        if self.campaigns[source] != campaign or self.campaigns[target] != campaign:
            self.find("campaign", table="account", key=source.decode(), detail=target.decode())
        if mission or link or kind in _TO_LOTS:
            self._add_meaning(transfer)

    def _open(self, account: bytes, campaign: bytes) -> tuple[int, int, bytes]:
        self.campaigns.setdefault(account, campaign)
        return NEVER_MOVED

    def _add_side(self, account: bytes, version: int, minutes: int, balance: int, at: bytes) -> None:
        """Out of turn, or wrong: keep it until its turn, and judge it then."""
        waiting = self.early.setdefault(account, {})
        last = self.accounts.get(account, NEVER_MOVED)[0]
        if version <= last or version in waiting:
            self.find("balance", table="account", key=account.decode(), columns=("version",), found=version, detail="twice")
            return
        waiting[version] = (version, minutes, balance, at)
        self._take_turns(account, waiting)

    def _take_turns(self, account: bytes, waiting: dict[int, tuple[int, int, int, bytes]]) -> None:
        version, balance, last = self.accounts.get(account, NEVER_MOVED)
        while side := waiting.pop(version + 1, None):
            version, minutes, stated, at = side
            if stated != balance + minutes:
                self.find(
                    "balance", table="account", key=account.decode(), columns=("balance_minutes",), expected=balance + minutes,
                    found=stated, detail=f"version {version}",
                )  # fmt: skip
            balance, last = stated, max(at, last)
            self.accounts[account] = (version, balance, last)
        if not waiting:
            self.early.pop(account, None)

    def _add_meaning(self, transfer: Transfer) -> None:
        kind = transfer.kind
        if kind == b"reserve":
            part = self.parts[transfer.mission + transfer.target]
            part.reserved += transfer.minutes
            part.number = transfer.link.decode().rpartition(":")[2]
        elif kind == b"settle":
            self.parts[transfer.mission + transfer.source].settled += transfer.minutes
        elif kind == b"release":
            self.parts[transfer.mission + transfer.source].released += transfer.minutes
        elif kind == b"reverse":
            self.reversals.append((transfer.link, transfer.mission, transfer.source, transfer.target, transfer.minutes))
        elif kind in _TO_LOTS:
            self.credited[transfer.target] += transfer.minutes

    # ---- Facts and current rows ------------------------------------------------------------------------------------

    def _add_fact(self, row: bytes) -> None:
        """Keep the row as it is; only the last version of each fact is ever read."""
        id_at, key_at, name_at = row.rfind(b',"id":'), row.rfind(b',"row_key":"'), row.rfind(b'","table_name":"')
        id = int(row[id_at + 6 : row.index(b",", id_at + 6)])
        key = (row[name_at + 16 : row.index(b'"', name_at + 16)], row[key_at + 12 : name_at])
        if self.facts.get(key, _NO_FACT)[0] < id:
            self.facts[key] = (id, row)

    def fact(self, table: str, key: str) -> dict[str, Any]:
        """The last version of a fact; empty when there is none that can be read."""
        try:
            found = json.loads(read_row(self.facts[table.encode(), key.encode()][1])[1]["facts"])
        except (KeyError, ValueError, TypeError):
            return {}
        return found if isinstance(found, dict) else {}

    def add_state(self, rows: Sequence[bytes]) -> None:
        for row in rows:
            table, columns = read_row(row)
            keys = {"hold": ("mission_id",), "hold_part": ("mission_id", "number")}.get(table, ("id",))
            self.state.setdefault(table, {})["/".join(str(columns.get(key)) for key in keys)] = columns
