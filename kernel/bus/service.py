"""The bus as one service sees it: a relay for what it tells, a consumer for what it hears, and their state."""

import asyncio
import logging
from typing import Any

from kernel.bus.consumer import Consumer, Handlers
from kernel.bus.postgres import PostgresTransport
from kernel.bus.rabbitmq import RabbitTransport
from kernel.bus.relay import Relay
from kernel.bus.transport import Transport
from kernel.cancellation import raise_if_cancelled
from kernel.database import Database
from kernel.settings import ServiceSettings
from kernel.telemetry import BROKER_DEAD_LETTERS, DEAD_LETTERS, OUTBOX_AGE, OUTBOX_DEPTH, RETRIES

log = logging.getLogger("metis.bus")

MONITOR_SECONDS = 5
# A repeated event is recognised for this long; replays reach back at most half as far.
INBOX_KEPT_DAYS = 60


def make_transport(service: str, settings: ServiceSettings) -> Transport:
    if settings.amqp_url is not None:
        return RabbitTransport(settings.amqp_url.get_secret_value(), name=service)
    if settings.bus_database_url is not None:
        return PostgresTransport(settings.bus_database_url.get_secret_value())
    raise ValueError("Set METIS_AMQP_URL (RabbitMQ) or METIS_BUS_DATABASE_URL (embedded transport).")


class Bus:
    def __init__(self, service: str, database: Database, handlers: Handlers, settings: ServiceSettings) -> None:
        self._service = service
        self._database = database
        self._transport = make_transport(service, settings)
        self.relay = Relay(service, database, self._transport)
        self.consumer = Consumer(service, database, handlers, self._transport, retry_delays_seconds=settings.retry_delays_seconds)
        database.after_publish = self.relay.on_published

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.relay.run(), name="relay")
                group.create_task(self.consumer.run(), name="consumer")
                group.create_task(self._monitor(), name="monitor")
        finally:
            await self._transport.close()

    async def health(self) -> dict[str, Any]:
        """Ready as long as the database answers: without a broker, events wait in the outbox."""
        try:
            async with asyncio.timeout(3):
                state = await self._measure()
        except Exception as error:
            return {"status": "failing", "database": f"no answer: {type(error).__name__}"}
        if (set_aside := self._transport.set_aside) is not None:
            state["broker_dead_letters"] = set_aside
        return {"status": "ok", "database": "ok", "consuming": self.consumer.connected, **state}

    async def _measure(self) -> dict[str, Any]:
        async with self._database.transaction("*") as (_, driver):
            row = await driver.fetchrow(
                "SELECT (SELECT count(*) FROM outbox) AS outbox,"
                " (SELECT coalesce(extract(epoch FROM clock_timestamp() - min(recorded_at)), 0)::float8 FROM outbox)"
                " AS outbox_age_seconds,"
                " (SELECT count(*) FROM retry) AS retries, (SELECT count(*) FROM dead_letter) AS dead_letters"
            )
        assert row is not None
        return dict(row)

    async def _monitor(self) -> None:
        while True:
            raise_if_cancelled()
            try:
                state = await self._measure()
                OUTBOX_DEPTH.labels(self._service).set(state["outbox"])
                OUTBOX_AGE.labels(self._service).set(state["outbox_age_seconds"])
                RETRIES.labels(self._service).set(state["retries"])
                DEAD_LETTERS.labels(self._service).set(state["dead_letters"])
                BROKER_DEAD_LETTERS.labels(self._service).set(self._transport.set_aside or 0)
                await self._forget_old_ids()
            except Exception as error:
                log.warning("cannot measure the bus: %r", error)
            await asyncio.sleep(MONITOR_SECONDS)

    async def _forget_old_ids(self) -> None:
        """Delete old inbox rows a thousand at a time, so that no handler waits for it."""
        async with self._database.transaction("*") as (_, driver):
            await driver.execute(
                "DELETE FROM inbox WHERE event_id IN"
                " (SELECT event_id FROM inbox WHERE handled_at < now() - $1 * interval '1 day' LIMIT 1000)",
                INBOX_KEPT_DAYS,
            )
