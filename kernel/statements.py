"""Statements of nearly every request: compiled once, and sent by the driver itself.

SQLAlchemy's engine and its greenlets take as much processor time as driver and network together, and three times as much
where the statement is built anew (docs/performance.md). What is prepared leaves the writing of SQL to SQLAlchemy, and
spares the rest. A statement whose text changes from call to call goes through `work.connection`.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import ClauseElement, Table
from sqlalchemy.dialects.postgresql import asyncpg as dialect
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import IteratorResult, Result
from sqlalchemy.engine.result import SimpleResultMetaData
from sqlalchemy.sql.compiler import SQLCompiler

if TYPE_CHECKING:
    import asyncpg

_DIALECT = dialect.dialect()  # type: ignore[no-untyped-call]
_NO_COLUMNS = SimpleResultMetaData(())


class Prepared:
    """A Core statement whose text never changes; what changes are the values of its `bindparam`s, given by name.

    `columns`: of an INSERT or UPDATE, those that are given by name as well. Values go in as SQLAlchemy's types write them,
    and come back as the driver reads them. Raises ValueError for a statement that is no single text: `IN` of a list is
    to be `= any_(bindparam(..., type_=ARRAY(...)))`.
    """

    def __init__(self, statement: ClauseElement, *, columns: Iterable[str] | None = None) -> None:
        compiled = statement.compile(dialect=_DIALECT, column_keys=None if columns is None else list(columns))
        assert isinstance(compiled, SQLCompiler)
        self.text = compiled.string
        if "POSTCOMPILE" in self.text:
            raise ValueError(f"the text of this statement depends on its values: {self.text}")
        binds = [compiled.binds[name] for name in compiled.positiontup or ()]
        # Each value's name, or the value itself where the statement holds it; and what makes of it what the driver takes.
        self._places = [
            (
                bind.key if bind.required else None,
                bind.effective_value,
                bind.type.dialect_impl(_DIALECT).bind_processor(_DIALECT),
            )
            for bind in binds
        ]
        self.names = frozenset(name for name, _, _ in self._places if name is not None)
        self._shape: SimpleResultMetaData | None = None

    async def run(self, driver: "asyncpg.Connection[Any]", values: Mapping[str, Any]) -> Result[Any]:
        """Its rows. Raises TypeError unless exactly the values are given that it names."""
        found = await driver.fetch(self.text, *self._arrange(values))
        if self._shape is None and found:
            self._shape = SimpleResultMetaData(list(found[0].keys()))
        return IteratorResult(self._shape or _NO_COLUMNS, iter(found))

    async def run_many(self, driver: "asyncpg.Connection[Any]", rows: Iterable[Mapping[str, Any]]) -> None:
        """Once with each of these, in one exchange."""
        await driver.executemany(self.text, [self._arrange(values) for values in rows])

    def _arrange(self, values: Mapping[str, Any]) -> list[Any]:
        if values.keys() != self.names:
            raise TypeError(f"{self.text} takes {sorted(self.names)}, not {sorted(values)}")
        arranged = []
        for name, held, write in self._places:
            value = held if name is None else values[name]
            arranged.append(value if write is None else write(value))
        return arranged


def write_row(table: Table, *, key: Collection[str] = (), keeping: Collection[str] = (), if_newer: bool = False) -> Prepared:
    """Write a whole row, in the place of the one with the same key if there is one (the primary key, unless another is
    named), whose columns of `keeping` stay. `if_newer`: only in the place of one whose `version` is older."""
    row = insert(table)
    names = tuple(key) or tuple(table.primary_key.columns.keys())
    changed = {column.name: row.excluded[column.name] for column in table.c if column.name not in {*names, *keeping}}
    is_newer = table.c.version < row.excluded.version if if_newer else None
    statement = row.on_conflict_do_update(index_elements=names, set_=changed, where=is_newer)
    return Prepared(statement, columns=table.c.keys())
