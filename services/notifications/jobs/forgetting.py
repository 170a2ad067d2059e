"""Forgets what was kept long enough."""

from datetime import timedelta

from kernel import clock
from kernel.auth import Caller
from kernel.clock import Clock
from kernel.database import Database
from kernel.work import open_work
from services.notifications.settings import Settings
from services.notifications.store.messages import delete_messages_before
from services.notifications.store.people import list_territories
from services.notifications.store.webhooks import delete_events_before


class Forgetter:
    def __init__(self, settings: Settings, *, now: Clock = clock.utc_now) -> None:
        self._settings = settings
        self._now = now

    async def run(self, database: Database) -> None:
        """Delete events and deliveries, then messages, past their time, one territory after the other."""
        async with open_work(database, Caller.system("*"), now=self._now()) as work:
            territories = await list_territories(work)
        for territory in territories:
            async with open_work(database, Caller.system(territory), now=self._now()) as work:
                await delete_events_before(work, work.now - timedelta(days=self._settings.event_log_days))
                await delete_messages_before(work, work.now - timedelta(days=self._settings.message_days))
