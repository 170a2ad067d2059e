"""What a closing leaves: frozen statements, the report and its digest, signatures, addenda; none of it ever changes."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import asyncpg
import orjson
import pytest

from kernel.auth import Caller, Role
from kernel.database import Database
from kernel.events.credits import CampaignReportSigned
from kernel.ids import new_id
from services.credits.domain.campaigns import ExpiryRule
from services.credits.domain.closing_errors import DigestDiffers, NothingMoved, ReportSigned, ReportUnsigned
from services.credits.domain.closing_report import Part
from services.credits.domain.closings import Step
from services.credits.domain.digests import canonical_json
from services.credits.domain.errors import NotFound
from services.credits.use_cases import closings as use_cases
from services.credits.use_cases.deadlines import release_overdue_holds
from services.credits.use_cases.expiries import carry_credit_in
from services.credits.use_cases.reversals import reverse_transfer
from tests.builders import closings as close
from tests.builders.credits import Scene

# Missions of the scene end on 30 June 2026, its campaign on 31 December.
PAST_GRACE = datetime(2026, 9, 1, 9, 0, tzinfo=UTC)


class TestFreeze:
    async def test_report_states_what_the_ledger_has(self, scene: Scene) -> None:
        association, contributor = await close.play(scene)
        facts = (await close.run_all(scene)).text.facts
        (one,), (other,) = facts["associations"], facts["contributors"]
        assert (one["association_id"], one["name"]) == (str(association), "Les Petits Ateliers")
        assert [one[name] for name in ("granted_minutes", "served_minutes", "expired_minutes", "held_minutes")] == [
            600,
            120,
            390,
            90,
        ]
        assert (other["contributor_id"], other["name"]) == (str(contributor), None)
        assert [other[name] for name in ("pledged_minutes", "delivered_minutes", "undelivered_minutes", "committed_minutes")] == [
            900,
            120,
            780,
            90,
        ]
        assert (facts["books"]["sum_minutes"], facts["books"]["accounts_out_of_step"]) == (0, 0)
        assert facts["campaign"]["closure_reason"] == "Fin de campagne"
        assert [one["step"] for one in facts["steps"]] == ["check", "notices", "expire", "release"]

    async def test_counts_reversals_and_refusals(self, scene: Scene) -> None:
        association, contributor = await close.play(scene)
        await scene.agree(association, contributor, 9000)
        (settled,) = await scene.fetch("SELECT id FROM transfer WHERE kind = 'settle' AND campaign_id = $1", scene.campaign_id)
        async with scene.work() as work:
            await reverse_transfer(work, settled["id"], reason="Relevé faux")
        facts = (await close.run_all(scene)).text.facts
        assert {one["why"] for one in facts["reversals"]} == {"Relevé faux"}
        assert facts["refusals"] == [{"code": "not-enough-credit", "count": 1, "asked_minutes": 9000}]
        assert (facts["totals"]["served_minutes"], facts["totals"]["delivered_minutes"]) == (0, 0)

    async def test_tells_credit_that_came_from_an_earlier_campaign(self, database: Database, territory: str) -> None:
        earlier = await Scene(database, territory).start(expiry=ExpiryRule.CARRY_OVER)
        await close.play(earlier)
        await earlier.close()
        scene = await Scene(database, territory).start(expiry=ExpiryRule.CARRY_OVER)
        async with scene.work() as work:
            await carry_credit_in(work, scene.campaign_id, from_campaign_id=earlier.campaign_id)
        (one,) = (await close.run_all(scene)).text.facts["associations"]
        assert [one[name] for name in ("granted_minutes", "carried_in_minutes", "carried_over_minutes")] == [0, 390, 390]

    async def test_digest_is_that_of_the_canonical_content(self, scene: Scene) -> None:
        await close.play(scene)
        report = await close.run_all(scene)
        assert canonical_json(report.text.facts) == report.text.content
        (row,) = await scene.fetch("SELECT encode(sha256(convert_to(content, 'UTF8')), 'hex') AS digest FROM closing_report")
        assert row["digest"] == report.text.digest

    async def test_freezes_a_statement_for_each_holder_with_its_digest(self, scene: Scene) -> None:
        association, contributor = await close.play(scene)
        report = await close.run_all(scene)
        rows = await scene.fetch("SELECT * FROM closing_statement")
        assert {(row["part"], row["holder_id"]) for row in rows} == {
            (Part.ASSOCIATION, association), (Part.CONTRIBUTOR, contributor), (Part.CAMPAIGN, scene.campaign_id)
        }  # fmt: skip
        assert {row["digest"] for row in rows} == {one["digest"] for one in report.text.facts["statements"]}
        found = orjson.loads(next(row["content"] for row in rows if row["part"] == Part.ASSOCIATION))
        assert sum(one["minutes"] for one in found["accounts"]) == 600 - 390

    async def test_waits_for_who_moves_minutes_now(self, scene: Scene) -> None:
        """While somebody uses the campaign, its figures are not read."""
        await close.play(scene)
        await close.begin(scene)
        for step in (Step.CHECK, Step.NOTICES, Step.EXPIRE, Step.RELEASE):
            await close.run(scene, step, accept=close.EVERY_WARNING)
        async with scene.work() as work:
            await work.driver.fetch("SELECT FROM campaign WHERE id = $1 FOR SHARE", scene.campaign_id)
            with pytest.raises(Exception, match="lock timeout"):
                await self.freeze_impatiently(scene)
        assert (await close.run(scene, Step.FREEZE)).is_done(Step.FREEZE)

    async def freeze_impatiently(self, scene: Scene) -> None:
        async with scene.work() as work:
            await work.driver.execute("SET LOCAL lock_timeout = '50ms'")
            await use_cases.run_step(work, scene.campaign_id, Step.FREEZE, accept=(), grace_days=30)


class TestSign:
    async def test_puts_identity_time_and_digest_under_the_report(self, scene: Scene) -> None:
        await close.play(scene)
        report = await close.run_all(scene)
        signed = await close.sign(scene)
        assert (signed.signed_by, signed.signed_at) == (scene.officer.identity, scene.now)
        assert (await close.closing_of(scene)).next_step is None
        (told,) = await scene.published(CampaignReportSigned)
        assert (told.number, told.digest) == (0, report.text.digest)

    async def test_again_by_the_same_person_changes_nothing(self, scene: Scene) -> None:
        await close.play(scene)
        await close.run_all(scene)
        await close.sign(scene)
        before = await close.contents(scene)
        await close.sign(scene)
        assert await close.contents(scene) == before

    async def test_another_persons_signature_comes_too_late(self, scene: Scene) -> None:
        await close.play(scene)
        await close.run_all(scene)
        await close.sign(scene)
        other = Caller(scene.territory, "other", None, new_id(), frozenset({Role.OFFICER}))
        with pytest.raises(ReportSigned):
            await close.sign(scene, caller=other)

    async def test_refuses_another_digest(self, scene: Scene) -> None:
        await close.play(scene)
        await close.run_all(scene)
        with pytest.raises(DigestDiffers):
            await close.sign(scene, digest="0" * 64)

    async def test_needs_a_report(self, scene: Scene) -> None:
        await close.begin(scene)
        async with scene.work() as work:
            with pytest.raises(NotFound, match="freeze"):
                await use_cases.sign_report(work, scene.campaign_id, 0, digest="0" * 64)


class TestAddendum:
    async def finish(self, scene: Scene) -> Any:
        """A signed report with a mission that keeps its hold; returns its agreement."""
        association, contributor = await scene.fund(credit=600, promise=900)
        agreed = await scene.agree(association, contributor, 90)
        await close.run_all(scene)
        await close.sign(scene)
        return agreed

    async def test_states_what_moved_and_names_the_report_before_it(self, scene: Scene) -> None:
        agreed = await self.finish(scene)
        await scene.handle(scene.validated(agreed, 60))
        addendum = await close.add(scene)
        facts, report = addendum.text.facts, await close.report_of(scene)
        assert facts["previous"] == {"number": 0, "digest": report.text.digest}
        assert sorted(one["kind"] for one in facts["movements"]) == ["deliver", "expire", "release", "settle"]
        assert (facts["totals"]["served_minutes"], facts["surviving_holds"]) == (60, [])
        assert report.text.facts["totals"]["served_minutes"] == 0

    async def test_is_signed_like_the_report_and_told(self, scene: Scene) -> None:
        await self.finish(scene)
        scene.now = PAST_GRACE
        async with scene.work() as work:
            await release_overdue_holds(work, grace_days=30)
        await close.add(scene)
        signed = await close.sign(scene, number=1)
        assert signed.is_signed
        assert [told.number for told in await scene.published(CampaignReportSigned)] == [0, 1]

    async def test_is_refused_when_nothing_moved(self, scene: Scene) -> None:
        await self.finish(scene)
        with pytest.raises(NothingMoved):
            await close.add(scene)

    async def test_is_refused_before_the_signature_of_the_last(self, scene: Scene) -> None:
        agreed = await self.finish(scene)
        await scene.handle(scene.validated(agreed, 60))
        await close.add(scene)
        with pytest.raises(ReportUnsigned):
            await close.add(scene)

    async def test_takes_in_what_moved_between_report_and_signature(self, scene: Scene) -> None:
        association, contributor = await scene.fund(credit=600, promise=900)
        agreed = await scene.agree(association, contributor, 90)
        await close.run_all(scene)
        await scene.handle(scene.validated(agreed, 90))
        await close.sign(scene)
        assert len((await close.add(scene)).text.facts["movements"]) == 2


class TestTables:
    @pytest.mark.parametrize("table", ["closing", "closing_step", "closing_report", "closing_signature", "closing_statement"])
    async def test_rows_stay(self, scene: Scene, owner_url: Callable[[str], str], table: str) -> None:
        """Neither the runtime role nor the tables' owner changes what was done, frozen or signed."""
        await close.play(scene)
        await close.run_all(scene)
        await close.sign(scene)
        for statement in (f"UPDATE {table} SET campaign_id = campaign_id", f"DELETE FROM {table}", f"TRUNCATE {table} CASCADE"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await scene.fetch(statement)
            owner = await asyncpg.connect(owner_url("credits"))
            try:
                await owner.execute(f"SELECT set_config('metis.territory', '{scene.territory}', false)")
                with pytest.raises(asyncpg.PostgresError, match="what a closing did, froze or signed stays"):
                    await owner.execute(statement)
            finally:
                await owner.close()

    async def test_a_report_cannot_bear_another_digest(self, scene: Scene) -> None:
        await close.play(scene)
        await close.run_all(scene)
        with pytest.raises(asyncpg.CheckViolationError, match="ck_closing_report_digest"):
            await scene.fetch(
                "INSERT INTO closing_report SELECT territory, campaign_id, 7, content || ' ', digest, 6, digest, 'x', now() FROM closing_report"
            )

    async def test_a_signature_stands_under_a_reports_own_digest(self, scene: Scene) -> None:
        await close.play(scene)
        await close.run_all(scene)
        with pytest.raises(asyncpg.ForeignKeyViolationError):
            await scene.fetch(
                "INSERT INTO closing_signature SELECT territory, campaign_id, 0, repeat('0', 64), 'x', 'x', now() FROM closing"
            )

    async def test_an_addendum_follows_a_signed_report(self, scene: Scene) -> None:
        await close.play(scene)
        await close.run_all(scene)
        with pytest.raises(asyncpg.ForeignKeyViolationError):
            await scene.fetch(
                "INSERT INTO closing_report SELECT territory, campaign_id, 1, content, digest, 0, digest, 'x', now() FROM closing_report"
            )
