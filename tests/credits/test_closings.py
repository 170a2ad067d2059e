"""The close of a campaign on a real PostgreSQL: dry run, steps, what stands in the way, report, signature, addendum."""

import asyncio
from collections.abc import Callable
from datetime import UTC, date, datetime
from itertools import count
from typing import Any

import asyncpg
import orjson
import pytest

from kernel.auth import Caller, Role
from kernel.database import Database
from kernel.events.credits import CampaignClosed, CampaignReportSigned, CreditExpired
from kernel.events.envelope import Envelope, Event
from kernel.ids import new_id
from kernel.work import Work
from services.credits.domain.approvals import SigningOfGrants
from services.credits.domain.campaigns import Campaign, ExpiryRule, Safeguards
from services.credits.domain.closing_errors import DigestDiffers, NothingMoved, ReportSigned, ReportUnsigned, StepTooEarly
from services.credits.domain.closing_report import Part, canonical_json
from services.credits.domain.closings import Finding, Step, Weight
from services.credits.domain.errors import CampaignNotOpen, NotFound
from services.credits.domain.ledger import AccountKind
from services.credits.store import closings as store
from services.credits.use_cases import closing_checks
from services.credits.use_cases import closings as use_cases
from services.credits.use_cases.approvals import propose_operation
from services.credits.use_cases.campaigns import write_campaign
from services.credits.use_cases.deadlines import close_ended_campaign, release_overdue_holds, send_expiry_notices
from services.credits.use_cases.expiries import carry_credit_in
from services.credits.use_cases.grants import propose_grants
from services.credits.use_cases.reversals import reverse_transfer
from tests.builders import closings as close
from tests.builders.credits import Scene, make_facts

# Missions of the scene end on 30 June 2026, its campaign on 31 December.
IN_GRACE = datetime(2026, 7, 10, 9, 0, tzinfo=UTC)
PAST_GRACE = datetime(2026, 9, 1, 9, 0, tzinfo=UTC)


async def play(scene: Scene) -> tuple[Any, Any]:
    """600 granted: 120 served, 90 held by a mission that runs, 390 unspent."""
    association, contributor = await scene.fund(credit=600, promise=900)
    served = await scene.agree(association, contributor, 150)
    await scene.handle(scene.validated(served, 120))
    await scene.agree(association, contributor, 90)
    return association, contributor


def make_news(scene: Scene, event: Event) -> Envelope:
    return Envelope(
        id=new_id(), source="/metis/matching", type=event.event_type, time=scene.now, subject=str(new_id()),
        territory=scene.territory, data=event.model_dump(mode="json"),
    )  # fmt: skip


async def put_off(database: Database, envelope: Envelope) -> None:
    """As the consumer does with what it will try again."""
    async with database.transaction(envelope.territory) as (_, driver):
        await driver.execute(
            "INSERT INTO retry (event_id, subject, body, attempts, due_at, reason) VALUES ($1, $2, $3, 1, 'infinity', 'because')",
            envelope.id, envelope.subject, envelope.body,
        )  # fmt: skip


async def park(database: Database, envelope: Envelope) -> None:
    """As the consumer does with what no try could handle."""
    async with database.transaction(envelope.territory) as (_, driver):
        await driver.execute(
            "INSERT INTO dead_letter (event_id, type, subject, territory, body, attempts, reason, stack)"
            " VALUES ($1, $2, $3, $4, $5, 1, 'because', '')",
            envelope.id, envelope.type, envelope.subject, envelope.territory, envelope.body,
        )  # fmt: skip


class TestPreview:
    async def test_says_what_expires_where_and_what_survives(self, scene: Scene) -> None:
        association, _ = await play(scene)
        _, plan, findings = await close.preview(scene)
        assert (plan.outcome, plan.expired_by_association()) == ("returned", {association: 390})
        assert [hold.held_minutes for hold in plan.surviving] == [90]
        assert {one.code for one in findings} == {"before-the-end", "mission-running", "notice-missing"}

    async def test_writes_nothing(self, scene: Scene) -> None:
        await play(scene)
        scene.now = PAST_GRACE
        before = await close.contents(scene)
        _, plan, _ = await close.preview(scene)
        assert plan.expired_minutes == 480
        assert await close.contents(scene) == before

    async def test_is_refused_any_write_by_the_database(self, scene: Scene) -> None:
        async with scene.work() as work:
            await store.read_only(work)
            with pytest.raises(Exception, match="read-only transaction"):
                await store.add_closing(work, scene.campaign_id, reason="Fin")

    async def test_a_draft_has_nothing_to_close(self, scene: Scene) -> None:
        async with scene.work() as work:
            draft, _ = await write_campaign(work, ref="brouillon", facts=make_facts())
        async with scene.work() as work:
            with pytest.raises(CampaignNotOpen):
                await use_cases.preview_closing(work, draft.id, grace_days=30)


class TestBegin:
    async def test_repeated_changes_nothing(self, scene: Scene) -> None:
        assert (await close.begin(scene, reason="Fin")).reason == "Fin"
        assert (await close.begin(scene, reason="Autre")).reason == "Fin"

    async def test_steps_need_a_beginning(self, scene: Scene) -> None:
        with pytest.raises(NotFound, match="begins it"):
            await close.run(scene, Step.CHECK)

    async def test_a_step_out_of_turn_is_refused(self, scene: Scene) -> None:
        await close.begin(scene)
        with pytest.raises(StepTooEarly, match="check"):
            await close.run(scene, Step.EXPIRE)


class TestCheck:
    async def test_is_blocked_until_the_early_end_is_accepted(self, scene: Scene) -> None:
        await play(scene)
        await close.begin(scene)
        blocked = await close.run(scene, Step.CHECK)
        assert close.is_blocked(blocked, Step.CHECK)
        assert close.codes(blocked, Step.CHECK) == {"before-the-end", "mission-running"}
        done = await close.run(scene, Step.CHECK, accept=["before-the-end"])
        assert done.is_done(Step.CHECK)
        assert done.accepted == {"before-the-end"}
        assert [one.state for one in done.tries] == ["blocked", "done"]

    async def test_tells_hours_that_nobody_validated_and_who(self, scene: Scene) -> None:
        await play(scene)
        scene.now = IN_GRACE
        await close.begin(scene)
        blocked = await close.run(scene, Step.CHECK, accept=["before-the-end"])
        (found,) = [one for one in blocked.tries[-1].findings if one.code == "hours-unvalidated"]
        assert (found.minutes, "30/06/2026" in found.text) == (90, True)

    async def test_an_unsigned_computation_stands_in_the_way(self, scene: Scene) -> None:
        await play(scene)
        await scene.admit(entitled_minutes=60)
        async with scene.work() as work:
            await propose_grants(work, scene.campaign_id)
        await close.begin(scene)
        assert "proposal-unsigned" in close.codes(await close.run(scene, Step.CHECK), Step.CHECK)
        await scene.sign()
        assert "proposal-unsigned" not in close.codes(await close.run(scene, Step.CHECK), Step.CHECK)

    async def test_news_that_could_not_be_handled_block_whatever_is_accepted(self, scene: Scene, database: Database) -> None:
        association, contributor = await play(scene)
        envelope = make_news(scene, scene.validated(scene.agreed(association, contributor, 60), 60))
        other = envelope.model_copy(update={"id": new_id(), "data": {**envelope.data, "campaign_id": str(new_id())}})
        await park(database, other)
        await close.begin(scene)
        assert "event-parked" not in close.codes(await close.run(scene, Step.CHECK), Step.CHECK)
        await park(database, envelope)
        blocked = await close.run(scene, Step.CHECK, accept=[*close.EVERY_WARNING, "event-parked"])
        assert close.is_blocked(blocked, Step.CHECK)
        assert "event-parked" in close.codes(blocked, Step.CHECK)

    async def test_tells_what_companies_served_and_nobody_valued(self, scene: Scene) -> None:
        company = await scene.record_actor(kind="company", name="Pixelune")
        association, _ = await scene.fund(credit=600, promise=900)
        await scene.pledge(600, contributor_id=company)
        for contributor in (company, await scene.pledge(600)):
            await scene.handle(scene.validated(await scene.agree(association, contributor, 60), 60))
        await close.begin(scene)
        done = await close.run(scene, Step.CHECK, accept=["before-the-end"])
        assert done.is_done(Step.CHECK)
        (found,) = [one for one in done.tries[-1].findings if one.code == "valuation-missing"]
        assert (found.weight, found.minutes) == (Weight.INFO, 60)

    async def test_an_operation_that_waits_for_a_second_person_stands_in_the_way(
        self, database: Database, territory: str
    ) -> None:
        scene = await Scene(database, territory).start(safeguards=Safeguards(four_eyes_above_minutes=0))
        await scene.pledge(900)
        await scene.admit(entitled_minutes=600)
        async with scene.work(scene.make_officer()) as work:
            proposal_id = await propose_grants(work, scene.campaign_id)
            await propose_operation(work, SigningOfGrants(proposal_id), reason="Un second regard")
        await close.begin(scene)
        assert "approval-pending" in close.codes(await close.run(scene, Step.CHECK), Step.CHECK)

    async def test_news_that_wait_for_another_try_block(self, scene: Scene, database: Database) -> None:
        association, contributor = await play(scene)
        await put_off(database, make_news(scene, scene.agreed(association, contributor, 60)))
        await close.begin(scene)
        blocked = await close.run(scene, Step.CHECK, accept=[*close.EVERY_WARNING, "reservation-pending"])
        assert close.is_blocked(blocked, Step.CHECK)
        assert "reservation-pending" in close.codes(blocked, Step.CHECK)

    async def test_other_parts_of_the_service_bring_checks_of_their_own(
        self, scene: Scene, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def find_unvalued(work: Work, campaign: Campaign) -> list[Finding]:
            return [Finding("valuation-missing", Weight.WARNING, f"{campaign.ref} : rien n'est valorisé.", "Valorisez.")]

        monkeypatch.setattr(closing_checks, "MORE_CHECKS", [find_unvalued])
        await close.begin(scene)
        assert close.is_blocked(await close.run(scene, Step.CHECK, accept=["before-the-end"]), Step.CHECK)
        assert (await close.run(scene, Step.CHECK, accept=["before-the-end", "valuation-missing"])).is_done(Step.CHECK)


class TestNotices:
    async def test_given_ones_let_it_pass(self, scene: Scene) -> None:
        await play(scene)
        for day in (date(2026, 12, 1), date(2026, 12, 24)):
            scene.now = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
            async with scene.work() as work:
                await send_expiry_notices(work)
        await close.begin(scene)
        await close.run(scene, Step.CHECK, accept=close.EVERY_WARNING)
        assert (await close.run(scene, Step.NOTICES)).is_done(Step.NOTICES)

    async def test_missing_ones_stand_in_the_way(self, scene: Scene) -> None:
        association, _ = await play(scene)
        await close.begin(scene)
        await close.run(scene, Step.CHECK, accept=close.EVERY_WARNING)
        blocked = await close.run(scene, Step.NOTICES)
        assert [one.subject_id for one in blocked.tries[-1].findings] == [association]
        assert (await close.run(scene, Step.NOTICES, accept=[f"notice-missing/{association}"])).is_done(Step.NOTICES)


class TestExpire:
    async def test_closes_and_expires_by_the_rule(self, scene: Scene) -> None:
        await play(scene)
        await close.run_all(scene)
        assert await scene.balance(AccountKind.CREDIT) == 0
        assert await scene.balance(AccountKind.POOL) == 300 + 390
        (told,) = await scene.published(CampaignClosed)
        assert (told.reason, told.expired_minutes) == ("Fin de campagne", 390)

    async def test_what_came_up_since_the_checks_stands_in_the_way(self, scene: Scene) -> None:
        await play(scene)
        await close.begin(scene)
        for step in (Step.CHECK, Step.NOTICES):
            await close.run(scene, step, accept=close.EVERY_WARNING)
        scene.now = IN_GRACE
        blocked = await close.run(scene, Step.EXPIRE)
        assert close.is_blocked(blocked, Step.EXPIRE)
        assert await scene.published(CampaignClosed) == []
        assert (await close.run(scene, Step.EXPIRE, accept=["hours-unvalidated"])).is_done(Step.EXPIRE)

    async def test_goes_on_where_the_clock_closed_the_campaign(self, scene: Scene) -> None:
        await play(scene)
        await close.begin(scene)
        for step in (Step.CHECK, Step.NOTICES):
            await close.run(scene, step, accept=close.EVERY_WARNING)
        scene.now = datetime(2027, 1, 2, 9, 0, tzinfo=UTC)
        async with scene.work() as work:
            await close_ended_campaign(work, scene.campaign_id)
        done = await close.run(scene, Step.EXPIRE)
        assert done.is_done(Step.EXPIRE)
        assert len(await scene.published(CampaignClosed)) == 1
        assert len(await scene.published(CreditExpired)) == 1

    async def test_carries_over_into_the_report(self, database: Database, territory: str) -> None:
        scene = await Scene(database, territory).start(expiry=ExpiryRule.CARRY_OVER)
        await play(scene)
        totals = (await close.run_all(scene)).text.facts["totals"]
        assert (totals["carried_over_minutes"], totals["expired_minutes"], totals["credit_minutes"]) == (390, 0, 0)


class TestRelease:
    async def test_spares_missions_within_the_grace(self, scene: Scene) -> None:
        await play(scene)
        scene.now = IN_GRACE
        facts = (await close.run_all(scene)).text.facts
        assert [one["held_minutes"] for one in facts["surviving_holds"]] == [90]

    async def test_gives_back_what_is_overdue_here_and_nowhere_else(self, scene: Scene) -> None:
        await play(scene)
        other = await Scene(scene.database, scene.territory).start()
        await play(other)
        await other.close()
        scene.now = PAST_GRACE
        facts = (await close.run_all(scene)).text.facts
        assert (facts["surviving_holds"], facts["totals"]["expired_minutes"]) == ([], 480)
        assert [
            row["state"]
            for row in await other.fetch("SELECT state FROM hold WHERE campaign_id = $1 AND state = 'held'", other.campaign_id)
        ] == ["held"]


class TestFreeze:
    async def test_report_states_what_the_ledger_has(self, scene: Scene) -> None:
        association, contributor = await play(scene)
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
        association, contributor = await play(scene)
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
        await play(earlier)
        await earlier.close()
        scene = await Scene(database, territory).start(expiry=ExpiryRule.CARRY_OVER)
        async with scene.work() as work:
            await carry_credit_in(work, scene.campaign_id, from_campaign_id=earlier.campaign_id)
        (one,) = (await close.run_all(scene)).text.facts["associations"]
        assert [one[name] for name in ("granted_minutes", "carried_in_minutes", "carried_over_minutes")] == [0, 390, 390]

    async def test_digest_is_that_of_the_canonical_content(self, scene: Scene) -> None:
        await play(scene)
        report = await close.run_all(scene)
        assert canonical_json(report.text.facts) == report.text.content
        (row,) = await scene.fetch("SELECT encode(sha256(convert_to(content, 'UTF8')), 'hex') AS digest FROM closing_report")
        assert row["digest"] == report.text.digest

    async def test_freezes_a_statement_for_each_holder_with_its_digest(self, scene: Scene) -> None:
        association, contributor = await play(scene)
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
        await play(scene)
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
        await play(scene)
        report = await close.run_all(scene)
        signed = await close.sign(scene)
        assert (signed.signed_by, signed.signed_at) == (scene.officer.identity, scene.now)
        assert (await close.closing_of(scene)).next_step is None
        (told,) = await scene.published(CampaignReportSigned)
        assert (told.number, told.digest) == (0, report.text.digest)

    async def test_again_by_the_same_person_changes_nothing(self, scene: Scene) -> None:
        await play(scene)
        await close.run_all(scene)
        await close.sign(scene)
        before = await close.contents(scene)
        await close.sign(scene)
        assert await close.contents(scene) == before

    async def test_another_persons_signature_comes_too_late(self, scene: Scene) -> None:
        await play(scene)
        await close.run_all(scene)
        await close.sign(scene)
        other = Caller(scene.territory, "other", None, new_id(), frozenset({Role.OFFICER}))
        with pytest.raises(ReportSigned):
            await close.sign(scene, caller=other)

    async def test_refuses_another_digest(self, scene: Scene) -> None:
        await play(scene)
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


class TestRepeat:
    async def test_a_step_that_is_done_is_not_done_again(self, scene: Scene) -> None:
        await play(scene)
        await close.run_all(scene)
        before = await close.contents(scene)
        for step in close.WRITTEN_STEPS:
            await close.run(scene, step)
        assert await close.contents(scene) == before

    async def test_two_officers_at_once_do_it_once(self, scene: Scene) -> None:
        await play(scene)
        await close.begin(scene)
        for step in close.WRITTEN_STEPS:
            both = await asyncio.gather(*(close.run(scene, step, accept=close.EVERY_WARNING) for _ in range(4)))
            assert all(found.is_done(step) for found in both)
        signed = await asyncio.gather(*(close.sign(scene) for _ in range(4)))
        assert len({report.signed_at for report in signed}) == 1
        assert [one.state for one in (await close.closing_of(scene)).tries] == ["done"] * 6
        assert len(await scene.published(CampaignClosed)) == len(await scene.published(CampaignReportSigned)) == 1

    @pytest.mark.timeout(300)
    async def test_goes_on_after_a_failure_at_any_statement_of_any_step(self, scene: Scene) -> None:
        """Each step dies at its first statement, then at its second, and so on until it comes through; nothing is left behind."""
        await play(scene)
        scene.now = PAST_GRACE
        await close.begin(scene)
        for step in close.WRITTEN_STEPS:
            before = await close.contents(scene)
            for statements in count():
                failing = close.FailingDatabase(after=statements)
                try:
                    async with scene.work() as work:
                        await use_cases.run_step(
                            failing.wrap(work), scene.campaign_id, step, accept=close.EVERY_WARNING, grace_days=30
                        )
                        if failing.left == 0:
                            raise close.Crash  # after the last statement, before the commit
                    break
                except close.Crash:
                    assert await close.contents(scene) == before, (step, statements)
            assert statements > 3, step
        await close.sign(scene)
        totals = (await close.report_of(scene)).text.facts["totals"]
        assert (totals["expired_minutes"], totals["served_minutes"], totals["held_minutes"]) == (480, 120, 0)
        assert [one.state for one in (await close.closing_of(scene)).tries] == ["done"] * 6


class TestTables:
    @pytest.mark.parametrize("table", ["closing", "closing_step", "closing_report", "closing_signature", "closing_statement"])
    async def test_rows_stay(self, scene: Scene, owner_url: Callable[[str], str], table: str) -> None:
        """Neither the runtime role nor the tables' owner changes what was done, frozen or signed."""
        await play(scene)
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
        await play(scene)
        await close.run_all(scene)
        with pytest.raises(asyncpg.CheckViolationError, match="ck_closing_report_digest"):
            await scene.fetch(
                "INSERT INTO closing_report SELECT territory, campaign_id, 7, content || ' ', digest, 6, digest, 'x', now() FROM closing_report"
            )

    async def test_a_signature_stands_under_a_reports_own_digest(self, scene: Scene) -> None:
        await play(scene)
        await close.run_all(scene)
        with pytest.raises(asyncpg.ForeignKeyViolationError):
            await scene.fetch(
                "INSERT INTO closing_signature SELECT territory, campaign_id, 0, repeat('0', 64), 'x', 'x', now() FROM closing"
            )

    async def test_an_addendum_follows_a_signed_report(self, scene: Scene) -> None:
        await play(scene)
        await close.run_all(scene)
        with pytest.raises(asyncpg.ForeignKeyViolationError):
            await scene.fetch(
                "INSERT INTO closing_report SELECT territory, campaign_id, 1, content, digest, 0, digest, 'x', now() FROM closing_report"
            )
