"""What the credits service does by the clock, in every territory: notices, ends of campaigns, overdue holds, totals."""

import logging
from collections.abc import Awaitable, Callable
from functools import partial

from prometheus_client import Gauge

from kernel.auth import Caller
from kernel.database import Database
from kernel.jobs import Job
from kernel.work import Work, open_work
from services.credits.settings import Settings
from services.credits.store import ledger, registry
from services.credits.use_cases import deadlines, expiries

log = logging.getLogger("metis.credits")
LEDGER_MINUTES = Gauge("metis_ledger_minutes", "Total of each kind of account; their sum is zero.", ["territory", "kind"])


def make_jobs(settings: Settings) -> list[Job]:
    async def sweep(database: Database) -> None:
        for code in await _list_territories(database):
            await _try(database, code, deadlines.send_expiry_notices)
            await _try(database, code, expiries.expire_due_lots)
            await _close_ended_campaigns(database, code)
            await _try(database, code, partial(deadlines.release_overdue_holds, grace_days=settings.hold_grace_days))
            await _try(database, code, _show_totals)

    return [Job("credits-sweep", settings.sweep_every_seconds, sweep, step_down=LEDGER_MINUTES.clear)]


async def _list_territories(database: Database) -> list[str]:
    async with open_work(database, Caller.system("*")) as work:
        return await registry.list_territories(work)


async def _close_ended_campaigns(database: Database, code: str) -> None:
    """One transaction a campaign: one that fails holds up no other."""
    async with open_work(database, Caller.system(code)) as work:
        ended = await deadlines.list_ended_campaigns(work)
    for campaign_id in ended:
        await _try(database, code, partial(deadlines.close_ended_campaign, campaign_id=campaign_id))


async def _try(database: Database, code: str, run: Callable[[Work], Awaitable[object]]) -> None:
    """One piece of work in one territory. A failure is logged and tried again at the next sweep; the others go on."""
    try:
        async with open_work(database, Caller.system(code)) as work:
            await run(work)
    except Exception:
        log.exception("a sweep of territory %s failed; it will be tried again", code)


async def _show_totals(work: Work) -> None:
    for kind, minutes in (await ledger.sum_by_kind(work)).items():
        LEDGER_MINUTES.labels(work.territory, kind).set(minutes)
