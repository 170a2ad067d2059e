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
from services.credits.auditing.auditor import audit
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
    if done.count:
        first = str(done.differences[0])
        log.critical("the audit of territory %s found %d differences; the first: %s", done.territory, done.count, first)
        work.publish(LedgerDifferenceFound(audit_id=id, difference_count=done.count, first=first), subject=id)
    row: Row[Any] = (await work.connection.execute(select_runs().where(audit_run.c.id == id))).one()
    return row


async def find_last_run(work: Work) -> Row[Any] | None:
    query = select_runs().order_by(audit_run.c.started_at.desc()).limit(1)
    row: Row[Any] | None = (await work.connection.execute(query)).first()
    return row


def show_run(row: Row[Any]) -> None:
    """In the metrics that deploy/prometheus/alerts.yml watches."""
    DIFFERENCES.labels(row.territory).set(row.difference_count)
    AUDITED_AT.labels(row.territory).set(row.ended_at.timestamp())


def forget_runs() -> None:
    """Another process shows them now: an old difference must not alert from here for ever."""
    DIFFERENCES.clear()
    AUDITED_AT.clear()


def select_runs() -> Select[Any]:
    return select(audit_run)
