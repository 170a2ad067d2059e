"""What credits answers to a mission, and what a closing campaign ends, on a real PostgreSQL."""

import asyncio

import pytest

from kernel.events.credits import (
    CampaignClosed,
    CreditReserved,
    SettlementRefused,
)
from kernel.events.matching import (
    MissionClosed,
    MissionDisputed,
    NeedOpened,
)
from kernel.ids import new_id
from tests.matching.conftest import MakeDuo, Published, Town, ask, make_delivery
from tests.matching.steps import REASON, make_refused, make_reserved, make_settled, reserve, validate


class TestTheAnswersOfCredits:
    async def test_a_refusal_reopens_the_need(self, make_duo: MakeDuo) -> None:
        duo = await make_duo()
        await duo.agree()
        await duo.town.tell(make_refused(duo))
        mission = await duo.read()
        assert mission["state"] == "refused"
        assert mission["history"][-1]["reason"] == "Il manque 2 h de crédit."
        assert (await duo.read_need())["state"] == "open"

    async def test_a_hold_that_comes_after_the_cancellation_changes_nothing(self, make_duo: MakeDuo) -> None:
        duo = await make_duo()
        await duo.agree()
        await ask(duo.volunteer, f"{duo.path}/cancellation", REASON)
        before = await duo.read()
        await duo.town.tell(make_reserved(duo))
        await duo.town.tell(make_refused(duo))
        await duo.town.tell(make_settled(duo))
        assert await duo.read() == before

    async def test_the_same_message_again_changes_nothing(self, make_duo: MakeDuo, published: Published) -> None:
        duo = await make_duo()
        await validate(duo)
        delivery = make_delivery(make_settled(duo), duo.town.territory, subject=duo.mission["id"])
        await duo.town.deliver(delivery, delivery)
        await duo.town.deliver(delivery)
        assert len(await published(MissionClosed)) == 1

    async def test_the_same_fact_in_another_message_changes_nothing(self, make_duo: MakeDuo, published: Published) -> None:
        duo = await make_duo()
        await reserve(duo)
        await duo.town.tell(make_reserved(duo), make_reserved(duo))
        await ask(duo.volunteer, f"{duo.path}/start")
        await duo.town.tell(make_reserved(duo))
        assert (await duo.read())["state"] == "in_progress"
        assert [step["deed"] for step in (await duo.read())["history"]].count("reserve") == 1

    async def test_a_settlement_refused_is_a_dispute_that_can_be_resolved(self, make_duo: MakeDuo, published: Published) -> None:
        duo = await make_duo()
        await validate(duo)
        refusal = SettlementRefused(
            mission_id=duo.mission["id"], campaign_id=duo.town.campaign_id, association_id=duo.town.association_id,
            code="more-than-held", reason="Plus d'heures que réservé.",
        )  # fmt: skip
        await duo.town.tell(refusal)
        assert (await duo.read())["state"] == "disputed"
        assert (await published(MissionDisputed))[0]["reason"] == "Plus d'heures que réservé."
        await ask(duo.town.association, f"{duo.path}/validation", status=422)
        await ask(duo.town.association, f"{duo.path}/validation", {"reason": "Vu avec l'opérateur."})
        await duo.town.tell(make_settled(duo))
        assert (await duo.read())["state"] == "closed"

    async def test_an_answer_about_an_unknown_mission_is_not_lost(self, town: Town) -> None:
        stray = CreditReserved(
            mission_id=new_id(), campaign_id=new_id(), association_id=new_id(), contributor_id=new_id(), minutes=1
        )
        with pytest.raises(AssertionError, match="NotFound"):
            await town.tell(stray, subject=new_id())


class TestCloseCampaign:
    def closed(self, town: Town) -> CampaignClosed:
        return CampaignClosed(campaign_id=town.campaign_id, reason="Fin de l'année.", expired_minutes=0)

    async def test_ends_what_is_not_agreed_and_lets_the_rest_run(self, make_duo: MakeDuo) -> None:
        proposed, agreed = await make_duo(), await make_duo()
        town = agreed.town
        await agreed.agree()
        await town.tell(self.closed(town))
        assert (await proposed.read_need())["state"] == "expired"
        assert (await proposed.read())["state"] == "cancelled"
        assert (await agreed.read_need())["state"] == "covered"
        await town.tell(make_reserved(agreed))
        assert (await agreed.read())["state"] == "reserved"

    async def test_a_mission_cancelled_afterwards_does_not_leave_an_open_need(
        self, make_duo: MakeDuo, published: Published
    ) -> None:
        duo = await make_duo()
        await duo.agree()
        await duo.town.tell(self.closed(duo.town))
        await ask(duo.volunteer, f"{duo.path}/cancellation", REASON)
        need = await duo.read_need()
        assert [step["after"] for step in need["history"]][-2:] == ["open", "expired"]
        assert len(await published(NeedOpened)) == 1


class TestEverythingAtOnce:
    async def test_needs_and_missions_stay_in_step(self, make_duo: MakeDuo) -> None:
        """Answers of credits in one batch, cancellations and proposals, all at the same time."""
        duos = [await make_duo() for _ in range(8)]
        town = duos[0].town
        for duo in duos:
            await duo.agree()
        answers = [make_refused(duo) if number % 3 == 0 else make_reserved(duo) for number, duo in enumerate(duos)]
        cancellations = [duo.volunteer.post(f"{duo.path}/cancellation", json=REASON) for duo in duos[::2]]
        proposals = [town.operator.post("/proposals") for _ in range(2)]
        done = await asyncio.gather(town.tell(*answers), *cancellations, *proposals)
        assert {answer.status_code for answer in done if answer} <= {200, 409}
        for duo in duos:
            missions = await ask(town.officer, f"/missions?need_id={duo.need['id']}", method="GET")
            states = sorted(mission["state"] for mission in missions["items"] if mission["state"] not in {"refused", "cancelled"})
            expected = {"covered": [["reserved"]], "open": [[], ["proposed"]]}
            assert states in expected[(await duo.read_need())["state"]]
