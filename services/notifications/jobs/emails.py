"""Sends the e-mails that wait, over one connection a batch, and writes down what became of them while the next ones leave.

Between the server's "taken" and our commit lies a moment in which a crash makes e-mails leave twice, at most MOST_UNRECORDED;
their Message-IDs stay the same, so that mail systems can tell. Each is counted as a try before it begins, so that it never
repeats for ever.
"""

import asyncio
import logging
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from opentelemetry.trace import SpanKind
from prometheus_client import Counter

from kernel import clock
from kernel.auth import Caller
from kernel.cancellation import raise_if_cancelled
from kernel.clock import Clock
from kernel.database import Database
from kernel.telemetry import context_from, log_territory, span
from kernel.work import open_work
from services.notifications.clients.smtp import SendingFailed, SmtpConnection
from services.notifications.domain.errands import ENDED_THE_PROCESS, JITTER, Errand, ErrandKind, is_exhausted
from services.notifications.domain.messages import Email
from services.notifications.settings import Settings
from services.notifications.store import errands, messages
from services.notifications.use_cases.emails import record_failure

log = logging.getLogger("metis.notifications.emails")

BATCH = 50
MOST_UNRECORDED = 10
LINGER_SECONDS = 0.02
LEASE = timedelta(minutes=30)  # longer than a batch takes when each e-mail runs into the timeout
EMAILS = Counter("metis_emails_total", "Tries to send an e-mail.", ["outcome"])


def spread() -> float:
    return random.uniform(*JITTER)  # noqa: S311 - spreads load, guards nothing


@dataclass(frozen=True)
class Outcome:
    """What became of one try."""

    email: Email
    errand: Errand
    failure: SendingFailed | None = None


class Records:
    """Writes outcomes down behind the sender's back: those that come within a moment share a commit, which costs as much as
    sending."""

    def __init__(self, write: Callable[[Sequence[Outcome]], Awaitable[None]], *, linger_seconds: float = LINGER_SECONDS) -> None:
        self._write = write
        self._linger_seconds = linger_seconds
        self._waiting: list[Outcome] = []
        self._in_hand: list[Outcome] = []
        self._writing: asyncio.Task[None] | None = None

    async def add(self, outcome: Outcome) -> None:
        """Returns at once unless too many wait already."""
        self._waiting.append(outcome)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_waiting())
        if len(self._waiting) + len(self._in_hand) >= MOST_UNRECORDED:
            await self.finish()

    async def finish(self) -> None:
        """Returns when all are written. Whoever is cancelled meanwhile does not cancel the writing."""
        if self._writing is not None:
            await asyncio.shield(self._writing)

    async def _write_waiting(self) -> None:
        while self._waiting:
            await asyncio.sleep(self._linger_seconds)
            self._in_hand, self._waiting = self._waiting, []
            try:
                await self._write(self._in_hand)
            except Exception:
                await self._write_each(self._in_hand)
            self._in_hand = []

    async def _write_each(self, outcomes: Sequence[Outcome]) -> None:
        """One by one, so that the others do not go with the one at fault; its lease brings that back."""
        for outcome in outcomes:
            try:
                await self._write([outcome])
            except Exception:
                log.exception("what became of e-mail %s could not be recorded (try %d)", outcome.email.id, outcome.errand.tries)


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
            await self._send_all(database, taken)
            if len(taken) < BATCH:
                return  # whoever leaves more rings again

    async def _send_all(self, database: Database, taken: list[Errand]) -> None:
        untouched = {errand.id: errand for errand in taken}
        records = Records(lambda outcomes: self._record(database, outcomes))
        try:
            async with SmtpConnection(self._settings) as smtp:
                for email, errand in await self._load(database, taken):
                    raise_if_cancelled()
                    untouched.pop(errand.id, None)
                    try:
                        await records.add(await self._send(smtp, email, errand))
                    except Exception:
                        # The others of the batch must not wait for this one; its lease brings it back.
                        log.exception("e-mail %s failed by a fault of ours (try %d)", email.id, errand.tries)
        except asyncio.CancelledError:
            # The process stops: what it did not begin is the next one's at once, and not after the lease.
            await self._give_back(database, list(untouched.values()))
            raise
        finally:
            await records.finish()

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

    async def _send(self, smtp: SmtpConnection, email: Email, errand: Errand) -> Outcome:
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
            return Outcome(email, errand, failure)
        EMAILS.labels("sent").inc()
        return Outcome(email, errand)

    async def _record(self, database: Database, outcomes: Sequence[Outcome]) -> None:
        """In one transaction for each territory."""
        by_territory: dict[str, list[Outcome]] = defaultdict(list)
        for outcome in outcomes:
            by_territory[outcome.errand.territory].append(outcome)
        for territory, those in by_territory.items():
            async with open_work(database, Caller.system(territory), now=self._now()) as work:
                await messages.save_sent(work, {one.email.id: one.errand.tries for one in those if one.failure is None})
                for one in those:
                    if one.failure is not None:
                        await record_failure(
                            work,
                            one.email,
                            one.errand,
                            reason=one.failure.reason,
                            permanent=one.failure.permanent,
                            delays_seconds=self._settings.email_retry_delays_seconds,
                            jitter=self._jitter(),
                        )
