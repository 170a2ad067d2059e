"""The nightly audit of every territory."""

import logging
from datetime import datetime, time

from sqlalchemy import select

from kernel.auth import Caller
from kernel.clock import LOCAL_ZONE, utc_now
from kernel.database import Database
from kernel.jobs import Job
from kernel.work import open_work
from services.credits.auditing.runs import find_last_run, forget_runs, run_audit, show_run
from services.credits.settings import Settings
from services.credits.tables import territory

log = logging.getLogger("metis.credits.auditing")


def make_audit_job(settings: Settings) -> Job:
    async def look(database: Database) -> None:
        await audit_due(database, settings=settings, now=utc_now())

    return Job("credits-audit", settings.audit_every_seconds, look, step_down=forget_runs)


async def audit_due(database: Database, *, settings: Settings, now: datetime) -> list[str]:
    """Audit the territories whose last audit lies before tonight's hour; returns them. One that fails holds up no other."""
    tonight = datetime.combine(now.astimezone(LOCAL_ZONE).date(), time(settings.audit_hour), LOCAL_ZONE)
    async with open_work(database, Caller.system("*")) as work:
        codes = list((await work.connection.execute(select(territory.c.code).order_by(territory.c.code))).scalars())
    audited = []
    for code in codes:
        try:
            async with open_work(database, Caller.system(code), now=now) as work:
                last = await find_last_run(work)
                if now >= tonight and (last is None or last.started_at < tonight):
                    last = await run_audit(work, settings=settings)
                    audited.append(code)
                if last is not None:
                    show_run(last)  # each time: whoever asked for it, and after a restart, too
        except Exception:
            log.exception("territory %s could not be audited; it will be tried again", code)
    return audited
