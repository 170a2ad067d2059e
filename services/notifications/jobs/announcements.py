"""Writes letters for the events that wait to be told."""

import logging
from datetime import timedelta

from kernel import clock
from kernel.auth import Caller
from kernel.clock import Clock
from kernel.database import Database
from kernel.telemetry import log_territory
from kernel.work import open_work
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
            for errand in taken:
                await self._announce(database, errand)

    async def _take(self, database: Database) -> list[Errand]:
        async with open_work(database, Caller.system("*"), now=self._now()) as work:
            return await errands.take_errands(work, ErrandKind.ANNOUNCEMENT, limit=BATCH, lease=LEASE)

    async def _announce(self, database: Database, errand: Errand) -> None:
        log_territory.set(errand.territory)
        try:
            async with open_work(database, Caller.system(errand.territory), now=self._now()) as work:
                patient = errand.tries <= len(PATIENCE_SECONDS)
                if errand.tries > MOST_TRIES or await announce(work, errand.id, patient=patient):
                    await errands.finish_errand(work, errand.kind, errand.id)
                else:
                    pause = timedelta(seconds=PATIENCE_SECONDS[errand.tries - 1])
                    await errands.postpone_errand(work, errand.kind, errand.id, until=work.now + pause)
        except Exception:
            # The others of the batch must not wait for this one; its lease brings it back.
            log.exception("event %s could not be announced (try %d of %d)", errand.id, errand.tries, MOST_TRIES)
