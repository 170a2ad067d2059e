"""The rows that wait to be sealed, table by table and merged into one order, without holding a snapshot open."""

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from kernel.work import Work
from services.credits.domain.seals import Position, Row
from services.credits.store.seals import SealedTable, list_rows

PAGE_ROWS = 4096
_BEYOND_ALL = (1 << 64, "")


@dataclass
class _Column:
    """One table's rows in their order: those at hand, and from where to read on."""

    table: SealedTable
    after: Position
    rows: list[Row] = field(default_factory=list)
    exhausted: bool = False

    def take_up_to(self, bound: tuple[int, str]) -> list[Row]:
        count = bisect_right(self.rows, bound, key=_transaction_and_table)
        taken, self.rows = self.rows[:count], self.rows[count:]
        return taken


class WaitingRows:
    """Everything after a position and below a horizon. Its order never changes: what is below the horizon is complete."""

    def __init__(self, tables: Sequence[SealedTable], *, after: Position, below: int, page_rows: int = PAGE_ROWS) -> None:
        self._columns = [_Column(table, after) for table in tables]
        self._below = below
        self._page_rows = page_rows
        self._ready: deque[Row] = deque()

    async def take(self, work: Work, limit: int) -> list[Row]:
        """The next rows, at most so many; none when there are no more."""
        # One more than asked for, so that `is_drained` knows.
        while len(self._ready) <= limit and await self._merge(work):
            pass
        return [self._ready.popleft() for _ in range(min(limit, len(self._ready)))]

    @property
    def is_drained(self) -> bool:
        """Whether the last `take` left nothing."""
        return not self._ready

    async def _merge(self, work: Work) -> bool:
        """Move on as far as every table is known; returns whether anything was there."""
        for column in self._columns:
            if not column.rows and not column.exhausted:
                await self._read(work, column)
        filled = [column for column in self._columns if column.rows]
        if not filled:
            return False
        # Where a table has more to come, nothing beyond its last row at hand can be placed yet.
        open_ends = [_transaction_and_table(column.rows[-1]) for column in filled if not column.exhausted]
        bound = min(open_ends) if open_ends else _BEYOND_ALL
        merged = [row for column in filled for row in column.take_up_to(bound)]
        merged.sort(key=_transaction_and_table)  # stable: a table's own order stays
        self._ready.extend(merged)
        return True

    async def _read(self, work: Work, column: _Column) -> None:
        rows = await list_rows(work, column.table, after=column.after, below=self._below, limit=self._page_rows)
        column.rows += rows
        column.exhausted = len(rows) < self._page_rows
        if rows:
            column.after = rows[-1].position


def _transaction_and_table(row: Row) -> tuple[int, str]:
    return row.position[:2]
