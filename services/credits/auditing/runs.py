"""Audits that are kept: run, stored, and told when something differs."""

import logging
from dataclasses import asdict
from typing import Any

import orjson
from prometheus_client import Gauge
from sqlalchemy import Row, Select, select

from kernel.events.credits import LedgerDifferenceFound
from kernel.ids import new_id
from kernel.work import Work
from services.credits.auditing.auditor import Audit, audit
from services.credits.settings import Settings
from services.credits.tables import audit_run

log = logging.getLogger("metis.credits.auditing")
DIFFERENCES = Gauge(
    "metis_ledger_audit_differences", "Differences that the last audit found: alert when above zero.", ["territory"]
)
AUDITED_AT = Gauge("metis_ledger_audited_at_seconds", "When the last audit ended (Unix time).", ["territory"])

_INSERT = """
INSERT INTO audit_run (territory, id, asked_by, started_at, ended_at, transfers, accounts, difference_count, differences)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::text::jsonb)
"""


async def run_audit(work: Work, *, settings: Settings) -> Row[Any]:
    """Audit the work's territory on a connection of its own, keep what came of it, and tell when something differs."""
    url = settings.audit_database_url or settings.database_url
    done = await audit(url.get_secret_value(), work.territory)
    id = new_id()
    differences = orjson.dumps([asdict(difference) for difference in done.differences]).decode()
    await work.driver.execute(
        _INSERT, work.territory, id, work.caller.identity, done.started_at, done.ended_at, done.transfers, done.accounts,
        done.count, differences,
    )  # fmt: skip
    _show(done)
    if done.count:
        first = str(done.differences[0])
        work.publish(LedgerDifferenceFound(audit_id=id, difference_count=done.count, first=first), subject=id)
    row: Row[Any] = (await work.connection.execute(select_runs().where(audit_run.c.id == id))).one()
    return row


def _show(done: Audit) -> None:
    DIFFERENCES.labels(done.territory).set(done.count)
    AUDITED_AT.labels(done.territory).set(done.ended_at.timestamp())
    if done.count:
        log.critical(
            "the audit of territory %s found %d differences; the first: %s", done.territory, done.count, done.differences[0]
        )


def select_runs() -> Select[Any]:
    return select(audit_run)
