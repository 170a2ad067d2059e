"""What matching does by the clock."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

from kernel.auth import EVERY_TERRITORY, Caller
from kernel.database import Database
from kernel.work import Work, open_work
from services.matching.store.known import list_territories
from services.matching.use_cases import expiry, searching
from services.matching.use_cases.expiry import cancel_late_proposals, expire_needs, expire_offers
from services.matching.use_cases.searching import refresh_needs, refresh_offers


async def expire_everywhere(database: Database, *, now: datetime | None = None) -> None:
    """End what has passed, in all territories."""
    await _do_everywhere(database, (expire_needs, expire_offers, cancel_late_proposals), batch=expiry.BATCH, now=now)


async def refresh_everywhere(database: Database) -> None:
    """Bring up to date what offers and needs are found by, in all territories."""
    await _do_everywhere(database, (refresh_offers, refresh_needs), batch=searching.BATCH)


async def _do_everywhere(
    database: Database, steps: Sequence[Callable[[Work], Awaitable[int]]], *, batch: int, now: datetime | None = None
) -> None:
    """Each step until it has less than a batch to do, each batch in a transaction of its own."""
    async with open_work(database, Caller.system(EVERY_TERRITORY)) as work:
        territories = await list_territories(work)
    for territory in territories:
        for step in steps:
            done = batch
            while done == batch:
                async with open_work(database, Caller.system(territory), now=now) as work:
                    done = await step(work)
