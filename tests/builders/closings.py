"""Builders for the close of a campaign: its use cases as an officer calls them, and a database that fails on command."""

from collections.abc import Collection
from dataclasses import replace
from typing import Any
from uuid import UUID

from kernel.auth import Caller
from kernel.work import Work
from services.credits.domain.campaigns import Campaign
from services.credits.domain.closing_plan import Plan
from services.credits.domain.closing_report import Report
from services.credits.domain.closings import Closing, Finding, Step, StepState
from services.credits.store import closings as store
from services.credits.use_cases import closing_reports, closings
from tests.builders.credits import Scene

GRACE_DAYS = 30
WRITTEN_STEPS = (Step.CHECK, Step.NOTICES, Step.EXPIRE, Step.RELEASE, Step.FREEZE)
# Everything that a campaign may meet and that a person may accept.
EVERY_WARNING = ("before-the-end", "hours-unvalidated", "proposal-unsigned", "approval-pending", "notice-missing")
TABLES = (
    "campaign", "panel", "pledge", "grant_proposal", "grant_proposal_line", "signed_grant", "hold", "hold_part", "lot", "refusal",
    "account", "transfer", "expiry_notice", "closing", "closing_step", "closing_report", "closing_signature", "closing_statement",
)  # fmt: skip


class Crash(Exception):
    """The process dies here."""


class FailingDatabase:
    """A work whose database goes away at the n-th statement; before that, everything is real."""

    def __init__(self, *, after: int) -> None:
        self.left = after
        self.seen = 0

    def wrap(self, work: Work) -> Work:
        connection: Any = _Failing(work.connection, self)
        driver: Any = _Failing(work.driver, self)
        return replace(work, connection=connection, driver=driver)

    def count(self) -> None:
        self.seen += 1
        if self.left == 0:
            raise Crash
        self.left -= 1


class _Failing:
    def __init__(self, real: Any, database: FailingDatabase) -> None:
        self._real = real
        self._database = database

    def __getattr__(self, name: str) -> Any:
        if name in {"execute", "fetch", "fetchrow", "fetchval", "scalar"}:
            self._database.count()
        return getattr(self._real, name)


async def play(scene: Scene) -> tuple[UUID, UUID]:
    """600 granted: 120 served, 90 held by a mission that runs, 390 unspent."""
    association, contributor = await scene.fund(credit=600, promise=900)
    served = await scene.agree(association, contributor, 150)
    await scene.handle(scene.validated(served, 120))
    await scene.agree(association, contributor, 90)
    return association, contributor


async def preview(scene: Scene) -> tuple[Campaign, Plan, list[Finding]]:
    async with scene.work() as work:
        return await closings.preview_closing(work, scene.campaign_id, grace_days=GRACE_DAYS)


async def begin(scene: Scene, *, reason: str = "Fin de campagne") -> Closing:
    async with scene.work() as work:
        return await closings.begin_closing(work, scene.campaign_id, reason=reason)


async def run(scene: Scene, step: Step, *, accept: Collection[str] = (), caller: Caller | None = None) -> Closing:
    async with scene.work(caller) as work:
        return await closings.run_step(work, scene.campaign_id, step, accept=accept, grace_days=GRACE_DAYS)


async def run_all(scene: Scene, *, accept: Collection[str] = EVERY_WARNING) -> Report:
    """Every step up to the report, which is not signed yet."""
    await begin(scene)
    for step in WRITTEN_STEPS:
        found = await run(scene, step, accept=accept)
        assert found.is_done(step), found.last_try(step)
    return await report_of(scene)


async def sign(scene: Scene, *, number: int = 0, digest: str | None = None, caller: Caller | None = None) -> Report:
    report = await report_of(scene, number)
    async with scene.work(caller) as work:
        await closings.sign_report(work, scene.campaign_id, number, digest=digest or report.text.digest)
    return await report_of(scene, number)


async def add(scene: Scene) -> Report:
    async with scene.work() as work:
        return await closing_reports.draw_up_addendum(work, scene.campaign_id)


async def report_of(scene: Scene, number: int = 0) -> Report:
    async with scene.work() as work:
        return await store.get_report(work, scene.campaign_id, number)


async def closing_of(scene: Scene) -> Closing:
    async with scene.work() as work:
        return await store.get_closing(work, scene.campaign_id)


def codes(closing: Closing, step: Step) -> set[str]:
    last = closing.last_try(step)
    assert last is not None
    return {finding.code for finding in last.findings}


def is_blocked(closing: Closing, step: Step) -> bool:
    last = closing.last_try(step)
    return last is not None and last.state is StepState.BLOCKED


async def contents(scene: Scene) -> dict[str, Any]:
    """A digest of every table's rows of this territory, and what waits for the relay."""
    tables = " UNION ALL ".join(
        f"SELECT '{table}' AS name, md5(string_agg(t::text, ';' ORDER BY t::text)) AS digest FROM {table} t" for table in TABLES
    )
    found = {row["name"]: row["digest"] for row in await scene.fetch(tables)}
    return found | {"outbox": [envelope.id for envelope in await scene.published()]}


async def balances(scene: Scene) -> dict[tuple[str, UUID, UUID | None], int]:
    rows = await scene.fetch("SELECT * FROM account WHERE campaign_id = $1", scene.campaign_id)
    return {(row["kind"], row["holder_id"], row["lot_id"]): row["balance_minutes"] for row in rows if row["balance_minutes"]}
