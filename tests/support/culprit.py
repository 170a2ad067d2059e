"""Who owns the database and switches its triggers off: what tamper evidence is there against."""

import itertools
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

# Whoever adds a table to the ledger seals it, keeps its history, or says here why neither.
NO_LEDGER = {
    "actor", "member", "mission", "territory",  # copies of what the registry and matching say
    "party", "receipt_counter",  # a convention keeps what its parties said; numbers follow from the receipts
    "expiry_notice", "published_head",  # what was sent, not what was decided
    "outbox", "inbox", "retry", "dead_letter", "idempotency_key", "alembic_version",
}  # fmt: skip

_DIGEST = "md5(random()::text) || md5(random()::text)"


class Culprit:
    """The database's owner, with the triggers off."""

    def __init__(self, connection: "asyncpg.Connection[Any]", territory: str) -> None:
        self.connection = connection
        self.territory = territory

    async def run(self, statement: str, *arguments: Any) -> None:
        """`$1` is the territory."""
        await self.connection.execute(statement, self.territory, *arguments)

    async def value(self, query: str) -> Any:
        return await self.connection.fetchval(query, self.territory)

    async def columns(self) -> list[tuple[str, str, str]]:
        """Every column of every table of the ledger, with its type."""
        rows = await self.connection.fetch(
            "SELECT table_name, column_name, CASE data_type WHEN 'ARRAY' THEN 'array' ELSE udt_name END FROM information_schema.columns"
            " JOIN information_schema.tables USING (table_schema, table_name)"
            " WHERE table_schema = 'public' AND table_type = 'BASE TABLE' ORDER BY table_name, ordinal_position"
        )
        return [tuple(row) for row in rows if row["table_name"] not in NO_LEDGER]

    async def fill(self, table: str) -> None:
        """A row of made-up values, where the scene has none: seals do not ask what a row means."""
        if await self.value(f'SELECT count(*) FROM "{table}" WHERE territory = $1'):
            return
        samples = {
            "uuid": "gen_random_uuid()", "text": "'x'", "bool": "true", "date": "current_date", "timestamptz": "now()", "bytea": "'ab'",
            "jsonb": "'{}'", "array": "'{x}'", "xid8": "pg_current_xact_id()", "numeric": "1",
        }  # fmt: skip
        names, values = [], []
        for _, column, kind in [one for one in await self.columns() if one[0] == table]:
            words = await self._words(table, column)
            names.append(f'"{column}"')
            known = {"territory": "$1", "digest": _DIGEST, "expires_at": "now() + interval '1 day'"}
            values.append(known.get(column) or (f"'{words[0]}'" if words else samples.get(kind, "1")))
        await self.run(f'INSERT INTO "{table}" ({", ".join(names)}) OVERRIDING SYSTEM VALUE VALUES ({", ".join(values)})')

    async def _words(self, table: str, column: str) -> list[str]:
        """What the checks of a column allow."""
        checks = await self.connection.fetch(
            "SELECT pg_get_constraintdef(oid) AS text FROM pg_constraint WHERE conrelid = $1::text::regclass AND contype = 'c'",
            table,
        )
        return [word for check in checks if column in check["text"] for word in re.findall(r"'(\w+)'::text", check["text"])]

    @asynccontextmanager
    async def altering(self, table: str, column: str, kind: str) -> AsyncIterator[None]:
        """One row with another value in one column; all is put back afterwards.

        Where a check allows no other value, it is dropped meanwhile: who owns the table may do that as well.
        """
        dropped: dict[str, str] = {}
        while (altered := await self._alter(table, column, kind, dropped)) is None:
            pass
        place, before = altered
        try:
            yield
        finally:
            await self.connection.execute(
                f'UPDATE "{table}" SET "{column}" = (jsonb_populate_record(NULL::"{table}", $1::jsonb))."{column}"'
                " WHERE ctid = $2::text::tid",
                before, place,
            )  # fmt: skip
            for name, definition in dropped.items():
                await self.connection.execute(f'ALTER TABLE "{table}" ADD CONSTRAINT "{name}" {definition}')

    async def _alter(self, table: str, column: str, kind: str, dropped: dict[str, str]) -> tuple[str, str] | None:
        """The first row and value that no check refuses: where the row is now, and what it was.

        None when a check refused all of them and is dropped now.
        """
        second = " AND number = 2" if table == "seal_block" else ""
        rows = await self.connection.fetch(
            f'SELECT ctid::text AS place, to_jsonb(t)::text AS before FROM "{table}" AS t WHERE territory = $1{second} ORDER BY ctid',
            self.territory,
        )
        assert rows, f"the scene has no row in {table}"
        refused: asyncpg.CheckViolationError | None = None
        for value, row in itertools.product(await self._values(table, column, kind), rows):
            alter = (
                f'UPDATE "{table}" SET "{column}" = {value} WHERE ctid = $1::text::tid AND "{column}" IS DISTINCT FROM {value}'
                " RETURNING ctid::text"
            )
            try:
                async with self.connection.transaction():
                    if place := await self.connection.fetchval(alter, row["place"]):
                        return place, row["before"]
            except asyncpg.CheckViolationError as error:
                refused = error
            except (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError):
                continue  # a key that is taken; text that a check cannot read
        assert refused is not None, f"{table}.{column}: no other value gets past its keys"
        await self._drop_check(table, str(refused.constraint_name), dropped)
        return None

    async def _drop_check(self, table: str, name: str, dropped: dict[str, str]) -> None:
        dropped[name] = await self.connection.fetchval(
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = $1::text::regclass AND conname = $2",
            table,
            name,
        )
        await self.connection.execute(f'ALTER TABLE "{table}" DROP CONSTRAINT "{name}"')

    async def _values(self, table: str, column: str, kind: str) -> list[str]:
        """SQL of other values: one that a check allows is among them."""
        quoted = f'"{column}"'
        plain = {
            "uuid": ["gen_random_uuid()"],
            "text": [f"coalesce({quoted}, '') || 'x'", f"{quoted} || ' '", _DIGEST],
            "bool": [f"NOT {quoted}"],
            "int2": [f"coalesce({quoted} + 1, 100)", f"{quoted} - 1"],
            "int4": [f"coalesce({quoted} + 1, 100)", f"{quoted} - 1"],
            "int8": [f"coalesce({quoted} + 1, 100)", f"{quoted} - 1", f"{quoted} + 100000"],
            "date": [f"coalesce({quoted} + 1, current_date)", f"{quoted} - 1"],
            "timestamptz": [f"coalesce({quoted} + interval '1 microsecond', now())"],
            "xid8": [f"({quoted}::text::bigint + 1)::text::xid8"],
            "bytea": [f"coalesce(set_byte({quoted}, 0, get_byte({quoted}, 0) # 1), decode('00', 'hex'))"],
            "jsonb": [f"{quoted} || '{{\"minutes\": 1}}'", f"{quoted} || '[1]'"],
            "array": [f"array_replace({quoted}, {quoted}[1], 'transfer:nothing')"],
        }[kind]
        if kind == "text":
            plain += [f"'{word}'" for word in await self._words(table, column)]
        return plain
