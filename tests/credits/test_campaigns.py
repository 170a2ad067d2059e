"""Campaigns from draft to closure, the panel, pledges, grants, and what the clock brings."""

from datetime import UTC, date, datetime

import pytest

from kernel.auth import Caller, Role
from kernel.database import Database
from kernel.errors import Forbidden
from kernel.events.credits import (
    AssociationAdmitted,
    CampaignClosed,
    CampaignOpened,
    CreditExpired,
    CreditExpiring,
    CreditGranted,
    CreditReleased,
    HoursPledged,
    PledgeWithdrawn,
    ReservationRefused,
    SettlementRefused,
)
from kernel.ids import new_id
from services.credits.domain.campaigns import ExpiryRule, Outcome
from services.credits.domain.errors import (
    ActorUnfit,
    AlreadySigned,
    CampaignNotDraft,
    CampaignNotOpen,
    CampaignOver,
    EmptyPanel,
    NotEnoughCredit,
    PledgeCommitted,
    PledgeOfAnother,
    PledgeTooSmall,
    ProposalOutdated,
)
from services.credits.domain.grants import Adjustment, PanelSeat
from services.credits.domain.ledger import AccountKind
from services.credits.jobs import make_jobs
from services.credits.settings import Settings
from services.credits.use_cases import deadlines
from services.credits.use_cases.campaigns import admit_association, open_campaign, write_campaign
from services.credits.use_cases.grants import propose_grants, sign_grants
from services.credits.use_cases.pledges import pledge_hours, withdraw_pledge
from tests.builders.credits import Scene, make_facts, make_rules
from tests.support.clients import PUBLIC_KEYS


class TestWriteCampaign:
    async def test_creates_changes_and_leaves_unchanged(self, scene: Scene) -> None:
        facts = make_facts()
        async with scene.work() as work:
            assert (await write_campaign(work, ref="hiver", facts=facts))[1] is Outcome.CREATED
            assert (await write_campaign(work, ref="hiver", facts=facts))[1] is Outcome.UNCHANGED
            changed, outcome = await write_campaign(work, ref="hiver", facts=make_facts(title="Hiver"))
            assert (changed.facts.title, changed.version, outcome) == ("Hiver", 2, Outcome.CHANGED)

    async def test_keeps_its_rules_once_open(self, scene: Scene) -> None:
        facts = make_facts()
        async with scene.work() as work:
            campaign, _ = await write_campaign(work, ref="hiver", facts=facts)
            await open_campaign(work, campaign.id)
            assert (await write_campaign(work, ref="hiver", facts=facts))[1] is Outcome.UNCHANGED
        with pytest.raises(CampaignNotDraft):
            async with scene.work() as work:
                await write_campaign(work, ref="hiver", facts=make_facts(title="Autre"))


class TestOpenCampaign:
    async def test_tells_everybody_once(self, scene: Scene) -> None:
        assert [event.campaign_id for event in await scene.published(CampaignOpened)] == [scene.campaign_id]
        with pytest.raises(CampaignNotDraft):
            async with scene.work() as work:
                await open_campaign(work, scene.campaign_id)

    @pytest.mark.parametrize("required", [False, True])
    async def test_tells_whether_conventions_are_required(self, database: Database, territory: str, required: bool) -> None:
        scene = await Scene(database, territory).start(conventions_required=required)
        assert [event.conventions_required for event in await scene.published(CampaignOpened)] == [required]


class TestAdmitAssociation:
    async def test_tells_once_and_takes_corrections(self, scene: Scene) -> None:
        association = await scene.admit(entitled_minutes=600)
        async with scene.work() as work:
            assert await admit_association(work, scene.campaign_id, PanelSeat(association, 60_000, 0)) is Outcome.UNCHANGED
            assert await admit_association(work, scene.campaign_id, PanelSeat(association, 60_000, 100)) is Outcome.CHANGED
        assert [event.association_id for event in await scene.published(AssociationAdmitted)] == [association]

    async def test_refuses_an_actor_known_to_be_unfit(self, scene: Scene) -> None:
        for unfit in (await scene.record_actor(kind="company"), await scene.record_actor(archived=True)):
            with pytest.raises(ActorUnfit):
                async with scene.work() as work:
                    await admit_association(work, scene.campaign_id, PanelSeat(unfit, 100, 0))


class TestPledgeHours:
    async def test_grows_the_pool(self, scene: Scene) -> None:
        contributor = await scene.pledge(600)
        assert await scene.balance(AccountKind.POOL) == 600
        assert await scene.balance(AccountKind.PROMISED, contributor) == -600
        assert [event.minutes for event in await scene.published(HoursPledged)] == [600]

    async def test_more_adds_fewer_withdraws_same_changes_nothing(self, scene: Scene) -> None:
        contributor = await scene.pledge(600, ref="ref")
        for minutes in (600, 900, 700, 700):
            await scene.pledge(minutes, contributor_id=contributor, ref="ref")
        assert await scene.balance(AccountKind.POOL) == 700
        assert [event.minutes for event in await scene.published(HoursPledged)] == [600, 300]
        assert [event.minutes for event in await scene.published(PledgeWithdrawn)] == [200]

    async def test_said_again_after_a_withdrawal_brings_nothing_back(self, scene: Scene) -> None:
        contributor = await scene.pledge(600, ref="ref")
        (pledge,) = await scene.fetch("SELECT id FROM pledge")
        async with scene.work() as work:
            await withdraw_pledge(work, pledge["id"], minutes=100, reason="Moins de disponibilités")
        await scene.pledge(600, contributor_id=contributor, ref="ref")
        assert await scene.balance(AccountKind.POOL) == 500

    async def test_refuses_another_contributors_ref(self, scene: Scene) -> None:
        await scene.pledge(600, ref="ref")
        with pytest.raises(PledgeOfAnother):
            await scene.pledge(600, ref="ref")

    async def test_is_for_the_contributor_or_the_town(self, scene: Scene) -> None:
        company, citizen = new_id(), new_id()
        allowed = [
            (Caller(scene.territory, "c", company, new_id(), frozenset({Role.COMPANY})), company),
            (Caller(scene.territory, "v", None, citizen, frozenset({Role.VOLUNTEER})), citizen),
        ]
        for caller, contributor in allowed:
            async with scene.work(caller) as work:
                await pledge_hours(work, scene.campaign_id, ref=str(new_id()), contributor_id=contributor, minutes=60, note="")
        employee = Caller(scene.territory, "e", company, new_id(), frozenset({Role.VOLUNTEER}))
        with pytest.raises(Forbidden):
            async with scene.work(employee) as work:
                await pledge_hours(work, scene.campaign_id, ref="employee", contributor_id=company, minutes=60, note="")

    async def test_said_again_after_the_closure_changes_nothing(self, scene: Scene) -> None:
        contributor = await scene.pledge(600, ref="ref")
        association = await scene.admit(entitled_minutes=300)
        await scene.close()
        await scene.pledge(600, contributor_id=contributor, ref="ref")
        async with scene.work() as work:
            assert await admit_association(work, scene.campaign_id, PanelSeat(association, 30_000, 0)) is Outcome.UNCHANGED
        assert len(await scene.published(HoursPledged)) == 1

    async def test_refuses_a_closed_campaign(self, scene: Scene) -> None:
        await scene.close()
        with pytest.raises(CampaignOver):
            await scene.pledge(60)


class TestWithdrawPledge:
    async def test_goes_as_far_as_the_pool_holds(self, scene: Scene) -> None:
        await scene.fund(credit=600, promise=660)
        (pledge,) = await scene.fetch("SELECT id FROM pledge")
        with pytest.raises(NotEnoughCredit) as refused:
            async with scene.work() as work:
                await withdraw_pledge(work, pledge["id"], minutes=75, reason="Moins de disponibilités")
        assert refused.value.members["missing_minutes"] == 15
        async with scene.work() as work:
            found = await withdraw_pledge(work, pledge["id"], minutes=60, reason="Moins de disponibilités")
        assert found.minutes == 600

    async def test_refuses_more_than_the_pledge(self, scene: Scene) -> None:
        await scene.pledge(600)
        (pledge,) = await scene.fetch("SELECT id FROM pledge")
        with pytest.raises(PledgeTooSmall):
            async with scene.work() as work:
                await withdraw_pledge(work, pledge["id"], minutes=601, reason="Trop")

    async def test_refuses_what_missions_count_on(self, scene: Scene) -> None:
        # The pool could give it back, for others have pledged; but then this contributor's mission could never be settled.
        association, contributor = await scene.fund(credit=300)
        await scene.pledge(600)
        await scene.agree(association, contributor, 120)
        (pledge,) = await scene.fetch("SELECT id FROM pledge WHERE contributor_id = $1", contributor)
        with pytest.raises(PledgeCommitted) as refused:
            async with scene.work() as work:
                await withdraw_pledge(work, pledge["id"], minutes=200, reason="Moins de disponibilités")
        assert refused.value.members["missing_minutes"] == 20


class TestSignGrants:
    async def test_posts_all_grants_as_adjusted(self, scene: Scene) -> None:
        await scene.pledge(900)
        first, second, third = [await scene.admit(entitled_minutes=minutes) for minutes in (600, 300, 300)]
        await scene.sign([Adjustment(second, 300, "Public prioritaire"), Adjustment(third, 0, "A renoncé")])
        granted = {event.association_id: event.minutes for event in await scene.published(CreditGranted)}
        assert granted == {first: 450, second: 300}
        assert await scene.balance(AccountKind.POOL) == 150
        kept = {
            row["association_id"]: (row["computed_minutes"], row["minutes"])
            for row in await scene.fetch("SELECT * FROM signed_grant")
        }
        assert kept == {first: (450, 450), second: (225, 300), third: (225, 0)}

    async def test_refuses_more_than_the_pool_and_posts_nothing(self, scene: Scene) -> None:
        await scene.pledge(300)
        first, second = await scene.admit(entitled_minutes=150), await scene.admit(entitled_minutes=150)
        with pytest.raises(NotEnoughCredit) as refused:
            await scene.sign([Adjustment(second, 600, "Plus que la caisse")])
        assert refused.value.members["missing_minutes"] == 450
        assert await scene.balance(AccountKind.CREDIT, first) == 0

    async def test_signs_a_proposal_once(self, scene: Scene) -> None:
        await scene.pledge(300)
        await scene.admit(entitled_minutes=300)
        proposal = await scene.sign()
        with pytest.raises(AlreadySigned):
            async with scene.work() as work:
                await sign_grants(work, scene.campaign_id, proposal_id=proposal, adjustments=[])
        assert await scene.balance(AccountKind.POOL) == 0

    async def test_refuses_figures_that_no_longer_hold(self, scene: Scene) -> None:
        await scene.pledge(300)
        await scene.admit(entitled_minutes=300)
        async with scene.work() as work:
            proposal = await propose_grants(work, scene.campaign_id)
        await scene.admit(entitled_minutes=300)
        with pytest.raises(ProposalOutdated):
            async with scene.work() as work:
                await sign_grants(work, scene.campaign_id, proposal_id=proposal, adjustments=[])

    async def test_grants_the_rest_when_the_pool_grows(self, scene: Scene) -> None:
        await scene.pledge(300)
        association = await scene.admit(entitled_minutes=450)
        await scene.sign()
        await scene.pledge(300)
        await scene.sign()
        await scene.sign()
        assert await scene.balance(AccountKind.CREDIT, association) == 450

    async def test_refuses_who_is_unknown_to_the_registry(self, scene: Scene) -> None:
        await scene.pledge(300)
        stranger = new_id()
        async with scene.work() as work:
            await admit_association(work, scene.campaign_id, PanelSeat(stranger, 30_000, 0))
        with pytest.raises(ActorUnfit, match="unknown to the registry"):
            await scene.sign()
        await scene.sign([Adjustment(stranger, 0, "Inconnue du registre")])

    async def test_needs_a_panel_and_an_open_campaign(self, scene: Scene) -> None:
        with pytest.raises(EmptyPanel):
            await scene.sign()
        await scene.fund(credit=300)
        await scene.admit(entitled_minutes=300)
        async with scene.work() as work:
            proposal = await propose_grants(work, scene.campaign_id)
        await scene.close()
        with pytest.raises(CampaignNotOpen):
            async with scene.work() as work:
                await sign_grants(work, scene.campaign_id, proposal_id=proposal, adjustments=[])


class TestCloseCampaign:
    @pytest.mark.parametrize(
        ("rule", "expected"),
        [
            (ExpiryRule.RETURN, {"credit": 0, "pool": 450, "lapsed": 0}),
            (ExpiryRule.LAPSE, {"credit": 0, "pool": 0, "lapsed": 450}),
            (ExpiryRule.CARRY_OVER, {"credit": 0, "pool": 0, "lapsed": 0, "carried": 450}),
        ],
    )
    async def test_expires_unspent_credit_and_spares_holds(
        self, scene: Scene, rule: ExpiryRule, expected: dict[str, int]
    ) -> None:
        await scene.start(expiry=rule)
        association, contributor = await scene.fund(credit=600)
        await scene.agree(association, contributor, 150)
        await scene.close("Décision du conseil")
        books = await scene.books()
        assert {kind: books.by_kind[kind] for kind in expected} == expected
        assert (books.by_kind["held"], books.sum_minutes) == (150, 0)
        (closed,) = await scene.published(CampaignClosed)
        assert (closed.reason, closed.expired_minutes) == ("Décision du conseil", 450)
        assert [event.minutes for event in await scene.published(CreditExpired)] == [450]

    async def test_happens_once(self, scene: Scene) -> None:
        await scene.close()
        with pytest.raises(CampaignNotOpen):
            await scene.close()


class TestDeadlines:
    async def notices(self, scene: Scene, day: date) -> list[int]:
        scene.now = datetime(day.year, day.month, day.day, 9, 0, tzinfo=UTC)
        async with scene.work() as work:
            await deadlines.send_expiry_notices(work)
        return [event.days_left for event in await scene.published(CreditExpiring)]

    async def test_notices_come_30_and_7_days_before_once_each(self, scene: Scene) -> None:
        association, _ = await scene.fund(credit=600)
        assert await self.notices(scene, date(2026, 11, 30)) == []
        assert await self.notices(scene, date(2026, 12, 1)) == [30]
        assert await self.notices(scene, date(2026, 12, 2)) == [30]
        assert await self.notices(scene, date(2026, 12, 24)) == [30, 7]
        assert await self.notices(scene, date(2026, 12, 30)) == [30, 7]
        assert {event.association_id for event in await scene.published(CreditExpiring)} == {association}

    async def test_no_notice_without_credit(self, scene: Scene) -> None:
        association, contributor = await scene.fund(credit=600)
        await scene.agree(association, contributor, 600)
        assert await self.notices(scene, date(2026, 12, 1)) == []

    async def test_closes_a_campaign_past_its_last_day(self, scene: Scene) -> None:
        await scene.fund(credit=600)
        scene.now = datetime(2026, 12, 31, 22, 59, tzinfo=UTC)
        async with scene.work() as work:
            assert await deadlines.list_ended_campaigns(work) == []
        scene.now = datetime(2026, 12, 31, 23, 1, tzinfo=UTC)  # the first of January in Sceaux
        async with scene.work() as work:
            assert await deadlines.list_ended_campaigns(work) == [scene.campaign_id]
            await deadlines.close_ended_campaign(work, scene.campaign_id)
            await deadlines.close_ended_campaign(work, scene.campaign_id)
        assert [event.reason for event in await scene.published(CampaignClosed)] == ["La campagne a pris fin le 31/12/2026."]
        assert await scene.balance(AccountKind.POOL) == 600

    async def test_gives_back_holds_that_outlived_their_mission(self, scene: Scene) -> None:
        association, contributor = await scene.fund(credit=600)
        await scene.agree(association, contributor, 150)
        await scene.close()
        scene.now = datetime(2026, 8, 15, tzinfo=UTC)
        async with scene.work() as work:
            assert await deadlines.release_overdue_holds(work, grace_days=60) == 0
            assert await deadlines.release_overdue_holds(work, grace_days=30) == 1
        (released,) = await scene.published(CreditReleased)
        assert (released.minutes, released.overdue) == (150, True)
        assert released.reason == "Mission échue le 30/06/2026 et non validée dans le délai, campagne close : réserve rendue"
        assert await scene.balance(AccountKind.POOL) == 600

    async def test_gives_back_holds_while_the_campaign_goes_on(self, scene: Scene) -> None:
        association, contributor = await scene.fund(credit=600)
        agreed = await scene.agree(association, contributor, 150)
        for day, many in ((30, 0), (31, 1), (31, 0)):  # of July: thirty days to validate after the thirtieth of June
            scene.now = datetime(2026, 7, day, 10, tzinfo=UTC)
            async with scene.work() as work:
                assert await deadlines.release_overdue_holds(work, grace_days=30) == many
        (released,) = await scene.published(CreditReleased)
        assert (released.mission_id, released.minutes, released.overdue) == (agreed.mission_id, 150, True)
        assert released.reason == "Mission échue le 30/06/2026 et non validée dans le délai : réserve rendue"
        assert (await scene.balance(AccountKind.CREDIT, association), await scene.balance(AccountKind.POOL)) == (600, 0)
        await scene.agree(association, contributor, 600)  # the credit may be spent again, and so may the promise
        assert await scene.published(ReservationRefused) == []
        await scene.handle(scene.validated(agreed, 120))
        assert [event.code for event in await scene.published(SettlementRefused)] == ["nothing-held"]

    async def test_the_sweep_serves_every_territory(self, scene: Scene) -> None:
        await scene.start(ends_on=date(2026, 4, 2))
        await scene.fund(credit=600)
        settings = Settings(database_url=scene.database.url, internal_public_keys=PUBLIC_KEYS)
        (job,) = make_jobs(settings)
        await job.run(scene.database)
        # By the clock on the wall the campaign is over.
        assert scene.campaign_id in {event.campaign_id for event in await scene.published(CampaignClosed)}
        assert await scene.balance(AccountKind.CREDIT) == 0


class TestCopies:
    async def test_keep_the_newest_version_in_any_order(self, scene: Scene) -> None:
        from kernel.events.registry import ActorRecorded

        actor = new_id()
        for version, name in ((2, "Nouveau nom"), (1, "Ancien nom"), (2, "Nouveau nom")):
            await scene.handle(
                ActorRecorded(
                    actor_id=actor, version=version, ref="ref", kind="association", name=name, commune="92071",
                    fields_of_action=[], archived=False,
                )
            )  # fmt: skip
        assert [row["name"] for row in await scene.fetch("SELECT name FROM actor WHERE id = $1", actor)] == ["Nouveau nom"]


def test_default_rules_make_a_euro_a_minute() -> None:
    assert make_rules().hour_value_cents == 6000
