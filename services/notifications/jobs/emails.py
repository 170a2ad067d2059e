"""Sends the e-mails that wait, over one connection a batch.

Between the server's "taken" and our commit lies a moment in which a crash makes the e-mail leave twice; its Message-ID
stays the same, so that mail systems can tell. It is counted as a try before it begins, so that it never repeats for ever.
"""

import asyncio
import logging
import random
from collections import defaultdict
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta

from opentelemetry.trace import SpanKind
from prometheus_client import Counter

from kernel import clock
from kernel.auth import Caller
from kernel.clock import Clock
from kernel.database import Database
from kernel.telemetry import context_from, log_territory, span
from kernel.work import Work, open_work
from services.notifications.clients.smtp import SendingFailed, SmtpConnection
from services.notifications.domain.errands import ENDED_THE_PROCESS, Errand, ErrandKind, is_exhausted
from services.notifications.domain.messages import Email
from services.notifications.settings import Settings
from services.notifications.store import errands, messages
from services.notifications.use_cases.emails import record_failure

log = logging.getLogger("metis.notifications.emails")

BATCH = 50
LEASE = timedelta(minutes=30)  # longer than a batch takes when each e-mail runs into the timeout
EMAILS = Counter("metis_emails_total", "Tries to send an e-mail.", ["outcome"])


def spread() -> float:
    return random.uniform(0.8, 1.2)  # noqa: S311 - spreads load, guards nothing


class EmailSender:
    def __init__(self, settings: Settings, *, now: Clock = clock.utc_now, jitter: Callable[[], float] = spread) -> None:
        self._settings = settings
        self._now = now
        self._jitter = jitter

    async def run(self, database: Database) -> None:
        """Send until nothing is due. Without an SMTP server everything waits."""
        if self._settings.smtp_host is None:
            return
        while taken := await self._take(database):
            untouched = {errand.id: errand for errand in taken}
            try:
                async with SmtpConnection(self._settings) as smtp:
                    for email, errand in await self._load(database, taken):
                        untouched.pop(errand.id, None)
                        try:
                            await self._send(database, smtp, email, errand)
                        except Exception:
                            # The others of the batch must not wait for this one; its lease brings it back.
                            log.exception("e-mail %s failed by a fault of ours (try %d)", email.id, errand.tries)
            except asyncio.CancelledError:
                # The process stops: what it did not begin is the next one's at once, and not after the lease.
                await self._give_back(database, list(untouched.values()))
                raise

    async def _give_back(self, database: Database, left: list[Errand]) -> None:
        async with open_work(database, Caller.system("*"), now=self._now()) as work:
            await errands.postpone_errands(work, ErrandKind.EMAIL, [errand.id for errand in left], until=work.now)

    async def _take(self, database: Database) -> list[Errand]:
        async with open_work(database, Caller.system("*"), now=self._now()) as work:
            return await errands.take_errands(work, ErrandKind.EMAIL, limit=BATCH, lease=LEASE)

    async def _load(self, database: Database, taken: list[Errand]) -> list[tuple[Email, Errand]]:
        """The e-mails of the errands; an errand whose e-mail waits no more is dropped."""
        by_territory: dict[str, dict[object, Errand]] = defaultdict(dict)
        for errand in taken:
            by_territory[errand.territory][errand.id] = errand
        loaded: list[tuple[Email, Errand]] = []
        for territory, by_id in by_territory.items():
            async with open_work(database, Caller.system(territory), now=self._now()) as work:
                found = await messages.list_waiting_emails(work, [errand.id for errand in by_id.values()])
                loaded += [(email, by_id.pop(email.id)) for email in found]
                await errands.finish_errands(work, ErrandKind.EMAIL, [errand.id for errand in by_id.values()])
        return loaded

    async def _send(self, database: Database, smtp: SmtpConnection, email: Email, errand: Errand) -> None:
        log_territory.set(errand.territory)
        attributes = {
            "metis.email.id": str(email.id),
            "metis.territory": errand.territory,
            "server.address": self._settings.smtp_host,
        }
        try:
            if email.is_stale(self._now()):
                raise SendingFailed("It waited longer than a day for an SMTP server.", permanent=True)
            if is_exhausted(errand.tries, self._settings.email_retry_delays_seconds):
                raise SendingFailed(ENDED_THE_PROCESS, permanent=True)
            with span(
                f"send e-mail {email.event_type}",
                kind=SpanKind.PRODUCER,
                context=context_from(email.traceparent),
                attributes=attributes,
            ):
                await smtp.send(email, now=self._now())
        except SendingFailed as failure:
            EMAILS.labels("refused" if failure.permanent else "failed").inc()
            log.warning(
                "an e-mail did not leave: %s", failure.reason, extra={"facts": {"email": str(email.id), "try": errand.tries}}
            )
            async with self._record(database, errand) as work:
                await record_failure(
                    work,
                    email,
                    errand,
                    reason=failure.reason,
                    permanent=failure.permanent,
                    delays_seconds=self._settings.email_retry_delays_seconds,
                    jitter=self._jitter(),
                )
        else:
            EMAILS.labels("sent").inc()
            async with self._record(database, errand) as work:
                await messages.save_sent(work, email.id, tries=errand.tries)

    def _record(self, database: Database, errand: Errand) -> AbstractAsyncContextManager[Work]:
        return open_work(database, Caller.system(errand.territory), now=self._now())
