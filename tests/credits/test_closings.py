"""The close of a campaign on a real PostgreSQL: dry run, steps, what stands in their way, and going on after a failure."""

import asyncio
from datetime import UTC, date, datetime
from itertools import count

import pytest

from kernel.database import Database
from kernel.events.credits import CampaignClosed, CampaignReportSigned, CreditExpired
from kernel.events.envelope import Envelope, Event
from kernel.ids import new_id
from kernel.work import Work
from services.credits.domain.approvals import SigningOfGrants
from services.credits.domain.campaigns import Campaign, ExpiryRule, Safeguards
from services.credits.domain.closing_errors import StepTooEarly
from services.credits.domain.closings import Finding, Step, Weight
from services.credits.domain.errors import CampaignNotOpen, NotFound
from services.credits.domain.ledger import AccountKind
from services.credits.store import closings as store
from services.credits.use_cases import closing_checks
from services.credits.use_cases import closings as use_cases
from services.credits.use_cases.approvals import propose_operation
from services.credits.use_cases.campaigns import write_campaign
from services.credits.use_cases.deadlines import close_ended_campaign, send_expiry_notices
from services.credits.use_cases.grants import propose_grants
from tests.builders import closings as close
from tests.builders.credits import Scene, make_facts

# Missions of the scene end on 30 June 2026, its campaign on 31 December.
IN_GRACE = datetime(2026, 7, 10, 9, 0, tzinfo=UTC)
PAST_GRACE = datetime(2026, 9, 1, 9, 0, tzinfo=UTC)


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
        association, _ = await close.play(scene)
        _, plan, findings = await close.preview(scene)
        assert (plan.outcome, plan.expired_by_association()) == ("returned", {association: 390})
        assert [hold.held_minutes for hold in plan.surviving] == [90]
        assert {one.code for one in findings} == {"before-the-end", "mission-running", "notice-missing"}

    async def test_writes_nothing(self, scene: Scene) -> None:
        await close.play(scene)
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
        await close.play(scene)
        await close.begin(scene)
        blocked = await close.run(scene, Step.CHECK)
        assert close.is_blocked(blocked, Step.CHECK)
        assert close.codes(blocked, Step.CHECK) == {"before-the-end", "mission-running"}
        done = await close.run(scene, Step.CHECK, accept=["before-the-end"])
        assert done.is_done(Step.CHECK)
        assert done.accepted == {"before-the-end"}
        assert [one.state for one in done.tries] == ["blocked", "done"]

    async def test_tells_hours_that_nobody_validated_and_who(self, scene: Scene) -> None:
        await close.play(scene)
        scene.now = IN_GRACE
        await close.begin(scene)
        blocked = await close.run(scene, Step.CHECK, accept=["before-the-end"])
        (found,) = [one for one in blocked.tries[-1].findings if one.code == "hours-unvalidated"]
        assert (found.minutes, "30/06/2026" in found.text) == (90, True)

    async def test_an_unsigned_computation_stands_in_the_way(self, scene: Scene) -> None:
        await close.play(scene)
        await scene.admit(entitled_minutes=60)
        async with scene.work() as work:
            await propose_grants(work, scene.campaign_id)
        await close.begin(scene)
        assert "proposal-unsigned" in close.codes(await close.run(scene, Step.CHECK), Step.CHECK)
        await scene.sign()
        assert "proposal-unsigned" not in close.codes(await close.run(scene, Step.CHECK), Step.CHECK)

    async def test_news_that_could_not_be_handled_block_whatever_is_accepted(self, scene: Scene, database: Database) -> None:
        association, contributor = await close.play(scene)
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
        association, contributor = await close.play(scene)
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
        await close.play(scene)
        for day in (date(2026, 12, 1), date(2026, 12, 24)):
            scene.now = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
            async with scene.work() as work:
                await send_expiry_notices(work)
        await close.begin(scene)
        await close.run(scene, Step.CHECK, accept=close.EVERY_WARNING)
        assert (await close.run(scene, Step.NOTICES)).is_done(Step.NOTICES)

    async def test_missing_ones_stand_in_the_way(self, scene: Scene) -> None:
        association, _ = await close.play(scene)
        await close.begin(scene)
        await close.run(scene, Step.CHECK, accept=close.EVERY_WARNING)
        blocked = await close.run(scene, Step.NOTICES)
        assert [one.subject_id for one in blocked.tries[-1].findings] == [association]
        assert (await close.run(scene, Step.NOTICES, accept=[f"notice-missing/{association}"])).is_done(Step.NOTICES)


class TestExpire:
    async def test_closes_and_expires_by_the_rule(self, scene: Scene) -> None:
        await close.play(scene)
        await close.run_all(scene)
        assert await scene.balance(AccountKind.CREDIT) == 0
        assert await scene.balance(AccountKind.POOL) == 300 + 390
        (told,) = await scene.published(CampaignClosed)
        assert (told.reason, told.expired_minutes) == ("Fin de campagne", 390)

    async def test_what_came_up_since_the_checks_stands_in_the_way(self, scene: Scene) -> None:
        await close.play(scene)
        await close.begin(scene)
        for step in (Step.CHECK, Step.NOTICES):
            await close.run(scene, step, accept=close.EVERY_WARNING)
        scene.now = IN_GRACE
        blocked = await close.run(scene, Step.EXPIRE)
        assert close.is_blocked(blocked, Step.EXPIRE)
        assert await scene.published(CampaignClosed) == []
        assert (await close.run(scene, Step.EXPIRE, accept=["hours-unvalidated"])).is_done(Step.EXPIRE)

    async def test_goes_on_where_the_clock_closed_the_campaign(self, scene: Scene) -> None:
        await close.play(scene)
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
        await close.play(scene)
        totals = (await close.run_all(scene)).text.facts["totals"]
        assert (totals["carried_over_minutes"], totals["expired_minutes"], totals["credit_minutes"]) == (390, 0, 0)


class TestRelease:
    async def test_spares_missions_within_the_grace(self, scene: Scene) -> None:
        await close.play(scene)
        scene.now = IN_GRACE
        facts = (await close.run_all(scene)).text.facts
        assert [one["held_minutes"] for one in facts["surviving_holds"]] == [90]

    async def test_gives_back_what_is_overdue_here_and_nowhere_else(self, scene: Scene) -> None:
        await close.play(scene)
        other = await Scene(scene.database, scene.territory).start()
        await close.play(other)
        await other.close()
        scene.now = PAST_GRACE
        facts = (await close.run_all(scene)).text.facts
        assert (facts["surviving_holds"], facts["totals"]["expired_minutes"]) == ([], 480)
        assert [
            row["state"]
            for row in await other.fetch("SELECT state FROM hold WHERE campaign_id = $1 AND state = 'held'", other.campaign_id)
        ] == ["held"]


class TestRepeat:
    async def test_a_step_that_is_done_is_not_done_again(self, scene: Scene) -> None:
        await close.play(scene)
        await close.run_all(scene)
        before = await close.contents(scene)
        for step in close.WRITTEN_STEPS:
            await close.run(scene, step)
        assert await close.contents(scene) == before

    async def test_two_officers_at_once_do_it_once(self, scene: Scene) -> None:
        await close.play(scene)
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
        await close.play(scene)
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
