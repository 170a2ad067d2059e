"""Posts events to webhooks, many at a time, a few to each webhook: a slow partner delays itself alone."""

import asyncio
import logging
from collections import Counter as Tally
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

from opentelemetry.trace import SpanKind, Status, StatusCode
from prometheus_client import Counter
from yarl import URL

from kernel import clock
from kernel.auth import Caller
from kernel.clock import Clock
from kernel.database import Database
from kernel.events import EVENT_TYPES
from kernel.events.envelope import body_for_partners
from kernel.telemetry import context_from, log_territory, span, traceparent_of
from kernel.work import open_work
from services.notifications.clients.partners import PartnerClient
from services.notifications.domain.errands import ENDED_THE_PROCESS, Errand, ErrandKind, is_exhausted
from services.notifications.domain.webhooks import Try, sign
from services.notifications.jobs.emails import spread
from services.notifications.settings import Settings
from services.notifications.store import errands
from services.notifications.store.webhooks import Parcel, find_parcel
from services.notifications.use_cases.webhooks import record_try

log = logging.getLogger("metis.notifications.deliveries")

LEASE = timedelta(minutes=3)  # longer than a delivery may take, with its commit
LOOK_AGAIN_SECONDS = 0.5
DELIVERIES = Counter("metis_webhook_deliveries_total", "Tries to deliver an event to a webhook.", ["outcome"])


class DeliverySender:
    def __init__(self, settings: Settings, *, now: Clock = clock.utc_now, jitter: Callable[[], float] = spread) -> None:
        self._settings = settings
        self._now = now
        self._jitter = jitter

    async def run(self, database: Database) -> None:
        """Deliver until nothing is due and nothing under way; takes more whenever something is done."""
        under_way: dict[asyncio.Task[None], Errand] = {}
        taken = await self._take(database, Tally())
        if not taken:
            return
        async with PartnerClient(self._settings) as partners:
            try:
                while taken or under_way:
                    for errand in taken:
                        under_way[asyncio.create_task(self._deliver(database, partners, errand))] = errand
                    await self._wait(under_way)
                    taken = await self._take(database, Tally(errand.lane for errand in under_way.values()))
            finally:
                for task in under_way:
                    task.cancel()
                await asyncio.gather(*under_way, return_exceptions=True)

    @staticmethod
    async def _wait(under_way: "dict[asyncio.Task[None], Errand]") -> None:
        """Until a delivery is done, or new ones may have come."""
        done, _ = await asyncio.wait(under_way, timeout=LOOK_AGAIN_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            errand = under_way.pop(task)
            if error := task.exception():
                # Its lease brings it back.
                log.error("delivery %s failed by a fault of ours", errand.id, exc_info=error)

    async def _take(self, database: Database, busy: "Tally[UUID | None]") -> list[Errand]:
        room = self._settings.webhook_parallel - busy.total()
        if room <= 0:
            return []
        async with open_work(database, Caller.system("*"), now=self._now()) as work:
            return await errands.take_errands_by_lane(
                work,
                ErrandKind.DELIVERY,
                each=self._settings.webhook_parallel_each,
                busy={lane: count for lane, count in busy.items() if lane is not None},
                limit=room,
                lease=LEASE,
            )

    async def _deliver(self, database: Database, partners: PartnerClient, errand: Errand) -> None:
        log_territory.set(errand.territory)
        async with open_work(database, Caller.system(errand.territory), now=self._now()) as work:
            parcel = await find_parcel(work, errand.id)
            if parcel is None or parcel.body is None or not parcel.webhook.is_active:
                await errands.finish_errands(work, errand.kind, [errand.id])
                return
        if is_exhausted(errand.tries, self._settings.webhook_retry_delays_seconds):
            attempt = Try(self._now(), None, 0, ENDED_THE_PROCESS)
        else:
            body = body_for_partners(parcel.body, EVENT_TYPES[parcel.delivery.event_type])
            attempt = await self._post(partners, parcel, body, territory=errand.territory)
        DELIVERIES.labels("delivered" if attempt.succeeded else "failed").inc()
        async with open_work(database, Caller.system(errand.territory), now=self._now()) as work:
            await record_try(
                work,
                parcel,
                errand,
                attempt,
                delays_seconds=self._settings.webhook_retry_delays_seconds,
                jitter=self._jitter(),
            )

    async def _post(self, partners: PartnerClient, parcel: Parcel, body: bytes, *, territory: str) -> Try:
        webhook, now = parcel.webhook, self._now()
        event_id, timestamp = parcel.delivery.event_id, int(now.timestamp())
        attributes = {
            "http.request.method": "POST",
            "server.address": URL(webhook.url).host or "",
            "metis.webhook.id": str(webhook.id),
            "metis.territory": territory,
        }
        with span(
            f"POST webhook {parcel.delivery.event_type}",
            kind=SpanKind.CLIENT,
            context=context_from(parcel.delivery.traceparent),
            attributes=attributes,
        ) as current:
            attempt = await partners.post(
                webhook.url,
                body=body,
                event_id=event_id,
                timestamp=timestamp,
                signature=sign(webhook.secrets_at(now), message_id=str(event_id), timestamp=timestamp, body=body),
                traceparent=traceparent_of(current),
                now=now,
            )
            if attempt.status_code is not None:
                current.set_attribute("http.response.status_code", attempt.status_code)
            if attempt.error:
                current.set_status(Status(StatusCode.ERROR, attempt.error))
        return attempt
