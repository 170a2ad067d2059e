"""Which row is altered, missing, added or out of its place, and in which column: for blocks that do not fit their rows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cli.ledger_verify.findings import Finding
from cli.ledger_verify.hints import hints_of, names_and_hints, split_hints
from cli.ledger_verify.proof import Block, split_leaves
from cli.ledger_verify.transfers import read_row


@dataclass(frozen=True)
class Shape:
    """A table as the bundle's head describes it: only used to name things."""

    keys: tuple[str, ...] = ("id",)
    columns: tuple[str, ...] = ()


def read_shapes(tables: Mapping[str, Any]) -> dict[str, Shape]:
    return {name: Shape(tuple(one.get("keys", ())), tuple(one.get("columns", ()))) for name, one in tables.items()}


@dataclass
class Sleuth:
    """Remembers rows that are missing at one place and may turn up at another, with another key or transaction."""

    shapes: dict[str, Shape]
    missing: list[tuple[Finding, list[int]]] = field(default_factory=list)
    added: list[tuple[Finding, bytes]] = field(default_factory=list)

    def ref(self, row: bytes) -> str:
        try:
            table, columns = read_row(row)
        except ValueError:
            return f"?:{row[:80]!r}"
        shape = self.shapes.get(table, Shape())
        return f"{table}:" + "/".join(str(columns.get(key)) for key in shape.keys)

    def look(self, block: Block, rows: Sequence[bytes], leaves: Sequence[bytes]) -> Iterator[Finding]:
        """The differences between a block that is right and the rows that lie below it."""
        refs, sealed = block.refs, split_leaves(block.leaves)
        places = {ref: place for place, ref in enumerate(refs)}
        hints = split_hints(block.hints)
        seen: set[str] = set()
        order: list[int] = []
        for row, leaf in zip(rows, leaves, strict=True):
            ref = self.ref(row)
            place = places.get(ref)
            if place is None or ref in seen:
                self.added.append((self._finding("added", block, ref, order[-1] if order else 0), row))
                continue
            seen.add(ref)
            order.append(place)
            if leaf != sealed[place]:
                yield self._finding("altered", block, ref, place, self.columns(row, hints[place]))
        for ref, place in places.items():
            if ref not in seen:
                self.missing.append((self._finding("missing", block, ref, place), hints[place]))
        moved = next((at for at, place in enumerate(order) if place != sorted(order)[at]), None)
        if moved is not None:
            place = sorted(order)[moved]
            yield self._finding("reordered", block, refs[place], place, found=refs[order[moved]], expected=refs[place])

    def look_unsealed(self, rows: Sequence[bytes], *, last: tuple[int, str]) -> None:
        """Among rows that are not sealed yet, those of a transaction that is."""
        for row in rows:
            table, columns = read_row(row)
            if (int(columns.get("xact", 0)), table) <= last or self.missing:
                ref = self.ref(row)
                self.added.append((Finding("added", table=table, key=ref.partition(":")[2], detail="unsealed"), row))

    def conclude(self, *, last: tuple[int, str]) -> Iterator[Finding]:
        """What is missing here and added there is one row whose key or transaction was altered."""
        added = list(self.added)
        for finding, hints in self.missing:
            table = finding.table
            match = next((one for one in added if one[0].table == table and _alike(hints_of(one[1]), hints)), None)
            if match is None:
                yield finding
                continue
            added.remove(match)
            columns = self.columns(match[1], hints)
            yield Finding("altered", finding.block, finding.sequence, table, finding.key, columns, found=match[0].key)
        for finding, row in added:
            # A row that is not sealed yet is nothing to wonder at, unless its transaction is sealed.
            table, columns_now = read_row(row)
            if finding.detail != "unsealed" or (int(columns_now.get("xact", 0)), table) <= last:
                yield finding

    def columns(self, row: bytes, sealed: Sequence[int]) -> tuple[str, ...]:
        """The columns whose hints differ; a column that came to be or is gone shifts those behind it."""
        names, found = names_and_hints(row)
        if len(found) == len(sealed):
            return tuple(dict.fromkeys(name for name, one, other in zip(names, found, sealed, strict=True) if one != other))
        at = next(
            (at for at, (one, other) in enumerate(zip(found, sealed, strict=False)) if one != other), min(len(found), len(sealed))
        )
        if len(found) > len(sealed):
            return (names[at],) if at < len(names) else ()
        table, columns = read_row(row)
        low, high = names[at - 1] if at else "", names[at] if at < len(names) else "\uffff"
        shape = self.shapes.get(table, Shape())
        return tuple(name for name in shape.columns if low < name < high and name not in columns)

    @staticmethod
    def _finding(kind: str, block: Block, ref: str, place: int, columns: tuple[str, ...] = (), **facts: Any) -> Finding:
        table, _, key = ref.partition(":")
        return Finding(kind, block.number, block.first_sequence + place, table, key, columns, **facts)


def _alike(found: Sequence[int], sealed: Sequence[int]) -> bool:
    """Nearly the same columns: no two rows of the ledger share all but two of them."""
    return len(found) == len(sealed) and sum(one != other for one, other in zip(found, sealed, strict=True)) <= 2
