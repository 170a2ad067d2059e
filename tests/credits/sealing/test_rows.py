"""Rows in their canonical form, as PostgreSQL writes it, against the same form written by Python."""

import json
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import pytest

from kernel.database import Database
from services.credits.domain.seals import START
from services.credits.sealing.rows import WaitingRows
from services.credits.store import seals
from tests.builders.credits import Scene
from tests.builders.seals import play_everything

NASTY = [
    '"guillemets"',
    "back\\slash",
    "ligne\nsuivante\ttab\r\b\f\x01\x1f\x7f",
    "é € 𝄞 \u2028",
    '","minutes":1,"x":"',
    "[]{}",
    " ",
]


def canonical(table: str, row: dict[str, Any]) -> bytes:
    """The form as docs/adr/0016 describes it, written once more."""

    def plain(value: Any) -> Any:
        if isinstance(value, datetime):
            return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        if isinstance(value, bytes):
            return value.hex()
        if isinstance(value, dict):
            return json.dumps(value, ensure_ascii=False)  # as jsonb writes itself
        return str(value) if isinstance(value, (UUID, date)) else value

    columns = {name: plain(value) for name, value in sorted(row.items()) if value is not None}
    return json.dumps([table, columns], ensure_ascii=False, separators=(",", ":")).encode()


class TestListRows:
    async def test_write_what_is_there(self, scene: Scene) -> None:
        await play_everything(scene)
        for text in NASTY:
            await scene.pledge(15, ref=text)
        async with scene.work() as work:
            for table in await seals.list_sealed_tables(work):
                rows = await seals.list_rows(work, table, after=START, limit=1000)
                plain = await work.driver.fetch(f'SELECT *, xact::text AS xact_text FROM "{table.name}"')
                expected = set()
                for row in plain:
                    columns = {**row, "xact": int(row["xact_text"])}
                    del columns["xact_text"]
                    expected.add(canonical(table.name, columns))
                assert {row.content for row in rows} == expected

    @pytest.mark.parametrize("page_rows", [1, 2, 3, 7, 1000])
    async def test_come_in_one_order_whatever_the_page(self, scene: Scene, page_rows: int) -> None:
        await play_everything(scene)
        async with scene.work() as work:
            tables, below = await seals.list_sealed_tables(work), await seals.get_horizon(work)
            rows = await WaitingRows(tables, after=START, below=below).take(work, 10_000)
            paged = WaitingRows(tables, after=START, below=below, page_rows=page_rows)
            taken = []
            while more := await paged.take(work, 5):
                taken += more
            assert taken == rows and paged.is_drained
            for place in (0, len(rows) // 2, len(rows) - 2):
                rest = await WaitingRows(tables, after=rows[place].position, below=below).take(work, 10_000)
                assert rest == rows[place + 1 :]

    async def test_see_only_their_territory(self, scene: Scene, database: Database) -> None:
        other = await Scene(database, "00001").start()
        async with other.work() as work:
            for table in await seals.list_sealed_tables(work):
                for row in await seals.list_rows(work, table, after=START, limit=1000):
                    assert json.loads(row.content)[1]["territory"] == "00001"
