"""Sealing by the clock: new rows every few seconds, and the day's head once a day."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import Counter, Gauge

from kernel.auth import Caller
from kernel.clock import local_date
from kernel.database import Database
from kernel.events.credits import LedgerHeadPublished
from kernel.jobs import Job
from kernel.work import Work, open_work
from services.credits.domain.signing import SealKeys, key_id
from services.credits.sealing.keys import read_keys
from services.credits.sealing.sealer import Sealer
from services.credits.settings import Settings
from services.credits.store import registry, seals

log = logging.getLogger("metis.credits.sealing")
SEALED_ROWS = Counter("metis_ledger_sealed_rows_total", "Rows of the ledger sealed by this process.", ["territory"])
SEALED_AT = Gauge("metis_ledger_sealed_at_seconds", "When the last block was sealed (Unix time).", ["territory"])
SEALING_FAILURES = Counter(
    "metis_ledger_sealing_failures_total", "Rounds in which a territory could not be sealed.", ["territory"]
)
_REMINDER_SECONDS = 3600
NO_KEY = "off: METIS_SEAL_PRIVATE_KEY is not set, nothing is sealed (`metis keys` makes a key)"


@dataclass
class Sealing:
    """What the service does about seals: its jobs, and what its health says of them."""

    keys: SealKeys | None
    every_seconds: float
    failing: dict[str, str] = field(default_factory=dict)

    @property
    def jobs(self) -> list[Job]:
        if self.keys is None:
            return [Job("credits-seal", _REMINDER_SECONDS, _remind)]
        return [Job("credits-seal", self.every_seconds, self.seal_all, step_down=self.step_down)]

    def describe(self) -> Mapping[str, Any]:
        if self.keys is None:
            return {"sealing": NO_KEY}
        facts: dict[str, Any] = {"sealing": "on", "seal_key_id": self.keys.current.id}
        return facts | {"sealing_failures": self.failing} if self.failing else facts

    def step_down(self) -> None:
        """Another process seals now: what failed here, and when it was last done, is for that one to say."""
        self.failing.clear()
        SEALED_AT.clear()

    async def seal_all(self, database: Database) -> None:
        """Every territory; one that cannot be sealed holds up no other."""
        assert self.keys is not None
        sealer = Sealer(self.keys)
        async with open_work(database, Caller.system("*")) as work:
            territories = await registry.list_territories(work)
        for territory in territories:
            try:
                sealed = await sealer.seal(database, territory)
                async with open_work(database, Caller.system(territory)) as work:
                    await publish_head(work)
                self.failing.pop(territory, None)
                if sealed.head is not None:
                    SEALED_ROWS.labels(territory).inc(sealed.rows)
                    SEALED_AT.labels(territory).set(sealed.head.sealed_at.timestamp())
            except Exception as error:
                self.failing[territory] = f"{type(error).__name__}: {error}"
                SEALING_FAILURES.labels(territory).inc()
                log.exception("territory %s could not be sealed; it will be tried again", territory)


def make_sealing(settings: Settings) -> Sealing:
    """Raises BadSealKey. Without a key it says so, in the log and in the health, and seals nothing."""
    return Sealing(read_keys(settings), settings.seal_every_seconds)


async def _remind(database: Database) -> None:
    log.warning("sealing is %s", NO_KEY)


async def publish_head(work: Work) -> bool:
    """Tell the day's head, once a day, unless it is the one that was told last. Whether it was told now."""
    head = await seals.find_head(work)
    today = local_date(work.now)
    if head is None or head.hash == await seals.find_published_hash(work):
        return False
    if not await seals.add_published_head(work, head, day=today):
        return False
    work.publish(
        LedgerHeadPublished(
            block_number=head.number,
            last_sequence=head.last_sequence,
            head_hash=head.hash.hex(),
            sealed_at=head.sealed_at,
            day=today,
            key_id=key_id(head.public_key),
        ),
        subject=work.territory,
    )
    return True
