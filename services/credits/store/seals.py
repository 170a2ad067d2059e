"""Sealed rows as PostgreSQL gives them in their canonical form, and the blocks that seal them."""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, select

from kernel.work import Work
from services.credits.domain.seals import Block, Position, Row
from services.credits.tables import published_head, seal_block

# Which tables are sealed says the catalogue: those with the column that migrations add by `seal_rows`.
_SEALED = "EXISTS (SELECT FROM pg_attribute x WHERE x.attrelid = c.oid AND x.attname = 'xact' AND x.atttypid = 'xid8'::regtype)"
_TABLES = """
SELECT c.relname AS name,
  (SELECT array_agg(ARRAY[a.attname::text, format_type(a.atttypid, NULL)] ORDER BY a.attname::text COLLATE "C")
   FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns,
  (SELECT array_agg(a.attname::text ORDER BY k.place) FROM pg_index i
   CROSS JOIN unnest(i.indkey) WITH ORDINALITY AS k(number, place)
   JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.number
   WHERE i.indrelid = c.oid AND i.indisprimary AND a.attname <> 'territory') AS keys
FROM pg_class c
WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace AND {which} ORDER BY c.relname::text COLLATE "C"
"""

# How a column's value is written. Written by PostgreSQL's built-in functions alone: nothing in the database can be changed
# so that it says one thing and is sealed as another.
_QUOTED = """',"{name}":"' || {value} || '"'"""
_BARE = """',"{name}":' || {value}"""
_FORMS = {
    "uuid": (_QUOTED, '"{name}"::text'),
    "smallint": (_BARE, '"{name}"::text'),
    "integer": (_BARE, '"{name}"::text'),
    "bigint": (_BARE, '"{name}"::text'),
    "xid8": (_BARE, '"{name}"::text'),
    "boolean": (_BARE, '"{name}"::text'),
    "numeric": (_QUOTED, '"{name}"::text'),
    "date": (_QUOTED, """to_char("{name}", 'YYYY-MM-DD')"""),
    "bytea": (_QUOTED, """encode("{name}", 'hex')"""),
    "timestamp with time zone": (_QUOTED, """to_char("{name}" AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""),
    "text": (_BARE, 'to_json("{name}")'),
}
_INTEGERS = frozenset({"smallint", "integer", "bigint"})
_SHAPES = defaultdict(
    lambda: re.compile(r".*", re.DOTALL),
    {"uuid": re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), **dict.fromkeys(_INTEGERS, re.compile(r"-?\d{1,18}"))},
)
_NONE = defaultdict(str, {"uuid": str(UUID(int=0)), **dict.fromkeys(_INTEGERS, "0")})
_OTHER = (_BARE, 'to_json("{name}"::text)')

# Every row of a transaction below it is there to be seen, and no transaction below it can write another.
_HORIZON = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint"

# A table that just grew has statistics of before, and PostgreSQL would sort all of it for each page.
_ALONG_THE_INDEX = "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off"


@dataclass(frozen=True)
class SealedTable:
    """A table whose rows are sealed: its columns with their types, and the key beside the territory."""

    name: str
    columns: tuple[tuple[str, str], ...]
    keys: tuple[str, ...]

    @property
    def canonical(self) -> str:
        """SQL of a row's canonical form (domain.seals.Row), as bytes."""
        members = []
        for name, kind in self.columns:
            form, value = _FORMS.get(kind, _OTHER)
            members.append(form.format(name=name, value=value.format(name=name)))
        return f"""convert_to('["{self.name}",{{' || substr(concat({", ".join(members)}), 2) || '}}]', 'UTF8')"""

    @property
    def key(self) -> str:
        """SQL of what names a row among people."""
        return " || '/' || ".join(f'"{key}"::text' for key in self.keys)

    @property
    def order(self) -> str:
        kinds = dict(self.columns)
        return ", ".join(["xact", *(f'"{key}"' + (' COLLATE "C"' if kinds[key] == "text" else "") for key in self.keys)])

    def sort_key(self, row: Row) -> tuple[Any, ...]:
        """What sorts rows as PostgreSQL and the sealer do."""
        return self._sortable(row.position)

    def _sortable(self, position: Position) -> tuple[Any, ...]:
        xact, table, key = position
        if table != self.name:
            return (xact, table)
        kinds = dict(self.columns)
        return (xact, table, tuple(int(part) if kinds[name] in _INTEGERS else part for name, part in self._parts(key)))

    def _parts(self, key: str) -> list[tuple[str, str]]:
        """The columns that a key names. A key that was tampered with must not stop the export that shows it."""
        kinds, parts = dict(self.columns), key.split("/")
        parts += [""] * (len(self.keys) - len(parts))
        return [
            (name, part if _SHAPES[kinds[name]].fullmatch(part) else _NONE[kinds[name]])
            for name, part in zip(self.keys, parts, strict=False)
        ]

    def is_up_to(self, row: Row, position: Position) -> bool:
        """Whether a row of this table lies at the position or before it."""
        return self.sort_key(row)[:2] < position[:2] or self.sort_key(row) <= self._sortable(position)

    def beyond(self, position: Position, arguments: list[Any]) -> str:
        """SQL of what lies after a position; adds its parameters."""
        return self._compare(position, arguments, same=">", others=">" if self.name < position[1] else ">=")

    def up_to(self, position: Position, arguments: list[Any]) -> str:
        """SQL of what lies at a position or before it."""
        return self._compare(position, arguments, same="<=", others="<" if self.name > position[1] else "<=")

    def _compare(self, position: Position, arguments: list[Any], *, same: str, others: str) -> str:
        xact, table, key = position
        arguments.append(str(xact))
        bound = f"${len(arguments)}::text::xid8"
        if self.name != table:
            return f"xact {others} {bound}"
        kinds, values = dict(self.columns), [bound]
        for name, part in self._parts(key):
            arguments.append(part)
            values.append(f"${len(arguments)}::text::{kinds[name]}")
        # The first half is the index's, the second is exact.
        return f"xact {same[0]}= {bound} AND ({self.order}) {same} ({', '.join(values)})"


async def list_sealed_tables(work: Work) -> list[SealedTable]:
    return [_table_of(row) for row in await work.driver.fetch(_TABLES.format(which=_SEALED))]


async def list_tables(work: Work, names: Sequence[str]) -> list[SealedTable]:
    """Tables that are not sealed themselves, for their canonical form."""
    rows = await work.driver.fetch(_TABLES.format(which="c.relname = ANY($1::text[])"), list(names))
    return [_table_of(row) for row in rows]


def _table_of(row: Any) -> SealedTable:
    return SealedTable(row["name"], tuple((name, kind) for name, kind in row["columns"]), tuple(row["keys"]))


async def get_horizon(work: Work) -> int:
    """The transaction from which on rows may still be missing."""
    found: int = await work.driver.fetchval(_HORIZON)
    return found


async def list_rows(
    work: Work, table: SealedTable, *, after: Position, limit: int, below: int | None = None, until: Position | None = None
) -> list[Row]:
    """The next rows of one table, in the order of sealing: after a position, and, if that is said, of transactions below
    the horizon, or up to another position."""
    arguments: list[Any] = [work.territory]
    conditions = [table.beyond(after, arguments)]
    if below is not None:
        arguments.append(str(below))
        conditions.append(f"xact < ${len(arguments)}::text::xid8")
    if until is not None:
        conditions.append(table.up_to(until, arguments))
    # The inner query goes along the index and stops; only what it gives is then written out.
    query = f"""
SELECT xact::text::bigint, {table.key}, {table.canonical} FROM (
  SELECT * FROM "{table.name}" WHERE territory = $1 AND {" AND ".join(conditions)} ORDER BY {table.order} LIMIT {limit}
) AS page
"""
    await work.driver.execute(_ALONG_THE_INDEX)
    name = table.name
    return [Row((xact, name, key), content) for xact, key, content in await work.driver.fetch(query, *arguments)]


async def list_contents(work: Work, table: SealedTable) -> list[bytes]:
    """Every row of a table of the territory in its canonical form, in the order of its key."""
    keys = ", ".join(f'"{key}"' for key in table.keys)
    query = f'SELECT {table.canonical} FROM "{table.name}" WHERE territory = $1 ORDER BY {keys}'
    return [row[0] for row in await work.driver.fetch(query, work.territory)]


# ---- Blocks --------------------------------------------------------------------------------------------------------


_LONG = ("leaves", "refs", "hints")


def _select_heads() -> Select[Any]:
    """Blocks without what they say of single rows, which is most of their size."""
    return select(*(column for column in seal_block.c if column.name not in _LONG))


def _block_of(row: Any) -> Block:
    return Block(
        territory=row.territory,
        number=row.number,
        format=row.format,
        first_sequence=row.first_sequence,
        row_count=row.row_count,
        previous_hash=row.previous_hash,
        leaves=getattr(row, "leaves", b""),
        refs=tuple(getattr(row, "refs", ())),
        hints=getattr(row, "hints", b""),
        last=(int(row.last_xact), row.last_table, row.last_key),
        sealed_at=row.sealed_at,
        public_key=row.public_key,
        next_public_key=row.next_public_key,
        merkle_root=row.merkle_root,
        hash=row.hash,
        signature=row.signature,
    )


async def lock_chain(work: Work) -> bool:
    """Be the only sealer of this territory until the transaction ends; False when another is."""
    locked: bool = await work.driver.fetchval(
        "SELECT pg_try_advisory_xact_lock(hashtextextended('metis:seal:' || $1, 0))", work.territory
    )
    return locked


async def find_head(work: Work) -> Block | None:
    """The last block, without its rows."""
    row = (await work.connection.execute(_select_heads().order_by(seal_block.c.number.desc()).limit(1))).first()
    return _block_of(row) if row else None


async def find_head_number(work: Work) -> int:
    """0 when nothing is sealed yet."""
    found: int = await work.driver.fetchval(
        "SELECT coalesce(max(number), 0) FROM seal_block WHERE territory = $1", work.territory
    )
    return found


async def find_block(work: Work, number: int) -> Block | None:
    """A block without its rows."""
    row = (await work.connection.execute(_select_heads().where(seal_block.c.number == number))).first()
    return _block_of(row) if row else None


async def list_heads(work: Work, *, after: int, limit: int) -> list[Block]:
    """Blocks without their rows."""
    query = _select_heads().where(seal_block.c.number > after).order_by(seal_block.c.number).limit(limit)
    return [_block_of(row) for row in await work.connection.execute(query)]


async def list_blocks(work: Work, *, after: int, limit: int) -> list[Block]:
    query = select(seal_block).where(seal_block.c.number > after).order_by(seal_block.c.number).limit(limit)
    return [_block_of(row) for row in await work.connection.execute(query)]


_INSERT = """
INSERT INTO seal_block (territory, number, format, first_sequence, row_count, previous_hash, merkle_root, leaves, refs, hints,
  last_xact, last_table, last_key, sealed_at, public_key, next_public_key, hash, signature)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11::text::xid8, $12, $13, $14, $15, $16, $17, $18)
"""


async def save_block(work: Work, block: Block) -> None:
    xact, table, key = block.last
    await work.driver.execute(
        _INSERT, block.territory, block.number, block.format, block.first_sequence, block.row_count, block.previous_hash,
        block.merkle_root, block.leaves, list(block.refs), block.hints, str(xact), table, key, block.sealed_at,
        block.public_key, block.next_public_key, block.hash, block.signature,
    )  # fmt: skip


async def list_public_keys(work: Work) -> list[tuple[bytes, int]]:
    """Every key that signed a block, with the first it signed, in their order."""
    query = select(seal_block.c.public_key, func.min(seal_block.c.number).label("number"))
    rows = await work.connection.execute(query.group_by(seal_block.c.public_key).order_by("number"))
    return [(row.public_key, row.number) for row in rows]


async def find_published_hash(work: Work) -> bytes | None:
    """The head that was sent out last."""
    query = select(published_head.c.hash).order_by(published_head.c.day.desc()).limit(1)
    found: bytes | None = await work.connection.scalar(query)
    return found


async def add_published_head(work: Work, block: Block, *, day: Any) -> bool:
    """Whether it is the day's first."""
    added = await work.driver.fetchval(
        "INSERT INTO published_head (territory, day, number, hash, published_at) VALUES ($1, $2, $3, $4, $5)"
        " ON CONFLICT DO NOTHING RETURNING true",
        work.territory, day, block.number, block.hash, work.now,
    )  # fmt: skip
    return bool(added)
