"""The ledger as a bundle for `metis ledger verify`: NDJSON, page by page along the blocks, so that no snapshot stays open.

The last page holds what is not sealed yet and the current rows to compare with, all of one moment.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from kernel.work import Work
from services.credits.domain.sealing_errors import SealingBehind
from services.credits.domain.seals import BLOCK_ROWS, FORMAT, START, Block, Position, Row
from services.credits.domain.signing import key_id
from services.credits.store import seals
from services.credits.store.seals import SealedTable

STATE = ("account", "campaign", "hold", "hold_part", "panel", "pledge")
_MOST_BLOCKS = 256
_MOST_ROWS = 4 * BLOCK_ROWS
_MOST_UNSEALED = 100_000


@dataclass(frozen=True)
class Page:
    """`next_block`: after which block the next page begins; None on the last."""

    content: bytes
    next_block: int | None


async def build_page(work: Work, *, after_block: int) -> Page:
    """The page that follows a block (0: the first). Raises SealingBehind when there is too much that is not sealed."""
    await work.driver.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
    tables = await seals.list_sealed_tables(work)
    lines = [] if after_block else [_line("bundle", _describe(work, tables))]
    previous = await seals.find_block(work, after_block) if after_block else None
    fitting = _fit(await seals.list_heads(work, after=after_block, limit=_MOST_BLOCKS))
    if fitting:
        blocks = await seals.list_blocks(work, after=after_block, limit=fitting)
        lines += await _write_blocks(work, tables, blocks, after=previous.last if previous else START)
        return Page(b"".join(lines), blocks[-1].number)
    lines += await _write_rest(work, tables, after=previous.last if previous else START)
    return Page(b"".join(lines), None)


def _fit(blocks: Sequence[Block]) -> int:
    """How many of them make up a page."""
    rows = 0
    for number, block in enumerate(blocks):
        rows += block.row_count
        if number and rows > _MOST_ROWS:
            return number
    return len(blocks)


def _describe(work: Work, tables: Iterable[SealedTable]) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "territory": work.territory,
        "exported_at": work.now.astimezone(UTC).isoformat(),
        "tables": {table.name: {"keys": table.keys, "columns": [name for name, _ in table.columns]} for table in tables},
    }


async def _write_blocks(work: Work, tables: Sequence[SealedTable], blocks: Sequence[Block], *, after: Position) -> list[bytes]:
    """Each block and all rows that lie where it says, whether or not it names them."""
    waiting = {
        table.name: (table, await seals.list_rows(work, table, after=after, until=blocks[-1].last, limit=4 * _MOST_ROWS))
        for table in tables
    }
    lines = []
    for block in blocks:
        rows: list[tuple[tuple[Any, ...], bytes]] = []
        for name, (table, found) in waiting.items():
            count = next((at for at, row in enumerate(found) if not table.is_up_to(row, block.last)), len(found))
            rows += [(table.sort_key(row), row.content) for row in found[:count]]
            waiting[name] = (table, found[count:])
        rows.sort()
        lines.append(_line("block", describe_block(block)))
        lines += [content + b"\n" for _, content in rows]
    return lines


async def _write_rest(work: Work, tables: Sequence[SealedTable], *, after: Position) -> list[bytes]:
    rows: list[Row] = []
    for table in tables:
        rows += await seals.list_rows(work, table, after=after, limit=_MOST_UNSEALED)
        if len(rows) >= _MOST_UNSEALED:
            raise SealingBehind(
                f"More than {_MOST_UNSEALED} rows are not sealed yet; export again when the sealer has caught up."
            )
    rows.sort(key=lambda row: row.position[:2])
    lines = [_line("unsealed", {}), *(row.content + b"\n" for row in rows), _line("state", {})]
    for table in await seals.list_tables(work, STATE):
        lines += [content + b"\n" for content in await seals.list_contents(work, table)]
    return [*lines, _line("end", {})]


def _line(name: str, fields: dict[str, Any]) -> bytes:
    return json.dumps({name: fields}, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def describe_block(block: Block) -> dict[str, Any]:
    """Every column, bytes in hex, as the bundle and its verifier have them."""
    return dict(_members(block))


def _members(block: Block) -> Iterator[tuple[str, Any]]:
    yield from (("territory", block.territory), ("number", block.number), ("format", block.format))
    yield from (("first_sequence", block.first_sequence), ("row_count", block.row_count))
    yield from (("last_xact", block.last[0]), ("last_table", block.last[1]), ("last_key", block.last[2]))
    yield "sealed_at", block.sealed_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    yield from (("previous_hash", block.previous_hash.hex()), ("merkle_root", block.merkle_root.hex()))
    yield from (("public_key", block.public_key.hex()), ("key_id", key_id(block.public_key)))
    yield "next_public_key", block.next_public_key.hex() if block.next_public_key is not None else None
    yield from (("hash", block.hash.hex()), ("signature", block.signature.hex()))
    yield from (("refs", list(block.refs)), ("leaves", block.leaves.hex()), ("hints", block.hints.hex()))
