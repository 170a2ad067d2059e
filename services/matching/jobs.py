"""What matching does by the clock."""

from datetime import datetime

from kernel.auth import EVERY_TERRITORY, Caller
from kernel.database import Database
from kernel.work import open_work
from services.matching.store.known import list_territories
from services.matching.use_cases.expiry import BATCH, cancel_late_proposals, expire_needs, expire_offers


async def expire_everywhere(database: Database, *, now: datetime | None = None) -> None:
    """End what has passed in all territories, each batch in a transaction of its own."""
    async with open_work(database, Caller.system(EVERY_TERRITORY)) as work:
        territories = await list_territories(work)
    for territory in territories:
        for expire in (expire_needs, expire_offers, cancel_late_proposals):
            ended = BATCH
            while ended == BATCH:
                async with open_work(database, Caller.system(territory), now=now) as work:
                    ended = await expire(work)
