"""Bundles of a territory's ledger, as the API exports them, and their verification in another process' code."""

from pathlib import Path

from cli.ledger_verify.command import verify
from cli.ledger_verify.findings import Report
from cli.ledger_verify.head import Head
from kernel.auth import Caller
from kernel.database import Database
from kernel.work import open_work
from services.credits.sealing.bundle import build_page


async def export_bundle(database: Database, territory: str, path: Path) -> Path:
    after: int | None = 0
    with path.open("wb") as file:
        while after is not None:
            async with open_work(database, Caller.system(territory)) as work:
                page = await build_page(work, after_block=after)
            file.write(page.content)
            after = page.next_block
    return path


async def verify_ledger(database: Database, territory: str, folder: Path, *, head: str | None = None) -> Report:
    path = await export_bundle(database, territory, folder / "bundle.ndjson")
    return verify(path, head=Head(head) if head else None)
