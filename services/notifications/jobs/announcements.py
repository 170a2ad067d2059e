"""Writes letters for the events that wait to be told."""

import logging
from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from kernel import clock
from kernel.auth import Caller
from kernel.clock import Clock
from kernel.database import Database
from kernel.telemetry import log_territory
from kernel.work import Work, open_work
from services.notifications.domain.errands import Errand, ErrandKind
from services.notifications.store import errands
from services.notifications.use_cases.announcements import PATIENCE_SECONDS, announce

log = logging.getLogger("metis.notifications.announcements")

BATCH = 50
LEASE = timedelta(minutes=2)
# Tries of an announcement that fails by a fault of ours; then it is left to the log.
MOST_TRIES = len(PATIENCE_SECONDS) + 5


class Announcer:
    def __init__(self, *, now: Clock = clock.utc_now) -> None:
        self._now = now

    async def run(self, database: Database) -> None:
        """Announce until nothing is due."""
        while taken := await self._take(database):
            for together in _group(taken):
                await self._announce(database, together)
            if len(taken) < BATCH:
                return  # whoever leaves more rings again

    async def _take(self, database: Database) -> list[Errand]:
        async with open_work(database, Caller.system("*"), now=self._now()) as work:
            return await errands.take_errands(work, ErrandKind.ANNOUNCEMENT, limit=BATCH, lease=LEASE)

    async def _announce(self, database: Database, together: Sequence[Errand]) -> None:
        """In one transaction; if that fails, one by one, so that the others do not wait for the one at fault."""
        first = together[0]
        log_territory.set(first.territory)
        try:
            async with open_work(database, Caller.system(first.territory), now=self._now()) as work:
                await self._try(work, [errand.id for errand in together], tries=first.tries)
        except Exception:
            if len(together) > 1:
                for errand in together:
                    await self._announce(database, [errand])
            else:
                # Its lease brings it back.
                log.exception("event %s could not be announced (try %d of %d)", first.id, first.tries, MOST_TRIES)

    @staticmethod
    async def _try(work: Work, ids: Sequence[UUID], *, tries: int) -> None:
        untold: set[UUID] = set()
        if tries <= MOST_TRIES:
            untold = await announce(work, ids, patient=tries <= len(PATIENCE_SECONDS))
        if untold:
            until = work.now + timedelta(seconds=PATIENCE_SECONDS[tries - 1])
            await errands.postpone_errands(work, ErrandKind.ANNOUNCEMENT, list(untold), until=until)
        await errands.finish_errands(work, ErrandKind.ANNOUNCEMENT, [id for id in ids if id not in untold])


def _group(taken: Sequence[Errand]) -> list[list[Errand]]:
    """Those of a territory that share a transaction. One that was tried before goes alone: it may be what ended the
    process, and must not take others with it each time."""
    groups: dict[tuple[str, UUID | None], list[Errand]] = defaultdict(list)
    for errand in taken:
        groups[errand.territory, errand.id if errand.tries > 1 else None].append(errand)
    return list(groups.values())
