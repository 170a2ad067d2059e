"""A grant's own last day: chosen when it is signed, judged again when it is approved, published, and kept by its lot."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import httpx2
import pytest
from fastapi import FastAPI

from kernel.auth import Role
from kernel.clock import LOCAL_ZONE
from kernel.events.credits import CreditGranted
from kernel.ids import new_id
from services.credits.domain.approvals import CarryInOfCredit, SigningOfGrants
from services.credits.domain.campaigns import ExpiryRule
from services.credits.domain.digests import digest_json
from services.credits.domain.errors import ApprovalPending, BadInput
from services.credits.domain.ledger import AccountKind
from services.credits.domain.lots import decide_last_day, end_of_day
from services.credits.domain.publications import says_the_same
from services.credits.schemas.publications import (
    PublicationOut,
    PublishedContent,
    build_publication_document,
    build_publication_sheet,
)
from services.credits.use_cases.approvals import check_safeguards
from services.credits.use_cases.expiries import carry_credit_in, expire_due_lots
from services.credits.use_cases.grants import propose_grants, sign_grants
from services.credits.use_cases.publications import publish_grants
from tests.builders.approvals import WHY, ask, compute, decide
from tests.builders.credits import IN_SPRING, STILL_TO_COME, Scene
from tests.support.clients import client_for, make_caller

JUNE, DECEMBER = date(2026, 6, 30), date(2026, 12, 31)
TODAY = IN_SPRING.date()


@pytest.fixture
async def officer(app: FastAPI, territory: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with client_for(app, make_caller(territory, Role.OFFICER, member_id=new_id())) as client:
        yield client


async def sign(scene: Scene, proposal_id: UUID, *, expires_on: date | None = JUNE) -> None:
    async with scene.work() as work:
        await sign_grants(work, scene.campaign_id, proposal_id=proposal_id, adjustments=(), expires_on=expires_on)


class TestDecideLastDay:
    def test_is_the_campaigns_unless_chosen(self) -> None:
        assert decide_last_day(None, campaign_ends_on=DECEMBER, today=TODAY) == DECEMBER
        assert decide_last_day(JUNE, campaign_ends_on=DECEMBER, today=TODAY) == JUNE

    def test_lies_between_today_and_the_campaigns_end(self) -> None:
        for day in (TODAY, DECEMBER):
            assert decide_last_day(day, campaign_ends_on=DECEMBER, today=TODAY) == day
        for day in (TODAY - timedelta(days=1), DECEMBER + timedelta(days=1)):
            with pytest.raises(BadInput, match="/expires_on"):
                decide_last_day(day, campaign_ends_on=DECEMBER, today=TODAY)


class TestSignGrants:
    async def test_each_grant_keeps_its_own(self, scene: Scene) -> None:
        await sign(scene, await compute(scene))
        await sign(scene, await compute(scene), expires_on=None)
        rows = await scene.fetch("SELECT expires_at FROM lot ORDER BY id")
        midnight = datetime(2026, 6, 30, 22, tzinfo=UTC)  # in Paris the 1st of July
        assert [row["expires_at"] for row in rows] == [midnight, datetime(2026, 12, 31, 23, tzinfo=UTC)]
        assert [event.expires_on for event in await scene.published(CreditGranted)] == [JUNE, DECEMBER]

    async def test_is_spent_to_that_day_and_expires_after_it(self, scene: Scene) -> None:
        await sign(scene, await compute(scene))
        (row,) = await scene.fetch("SELECT association_id FROM lot")
        scene.now = datetime(2026, 6, 30, 12, tzinfo=UTC)
        contributor = await scene.pledge(600)
        await scene.agree(row["association_id"], contributor, 60)
        assert await scene.balance(AccountKind.HELD, row["association_id"]) == 60
        scene.now = datetime(2026, 7, 1, 12, tzinfo=UTC)
        await scene.agree(row["association_id"], contributor, 60)
        assert await scene.balance(AccountKind.HELD, row["association_id"]) == 60
        async with scene.work() as work:
            assert await expire_due_lots(work) == 540
        assert await scene.balance(AccountKind.CREDIT, row["association_id"]) == 0

    async def test_refuses_another_day_and_writes_nothing(self, officer: httpx2.AsyncClient, scene: Scene) -> None:
        await scene.start(ends_on=STILL_TO_COME)
        proposal_id = await compute(scene)
        for day in (date(2020, 1, 1), STILL_TO_COME + timedelta(days=1)):
            body = {"proposal_id": str(proposal_id), "expires_on": str(day)}
            answer = await officer.post(
                f"/campaigns/{scene.campaign_id}/grants", json=body, headers={"idempotency-key": str(day)}
            )
            assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/expires_on")
        assert await scene.fetch("SELECT 1 FROM signed_grant") == []

    async def test_is_shown_with_the_grants_and_the_lots(self, officer: httpx2.AsyncClient, scene: Scene) -> None:
        await scene.start(ends_on=STILL_TO_COME)
        base, day = f"/campaigns/{scene.campaign_id}", STILL_TO_COME - timedelta(days=1)
        body = {"proposal_id": str(await compute(scene)), "expires_on": day.isoformat()}
        signed = await officer.post(f"{base}/grants", json=body, headers={"idempotency-key": "sign"})
        assert (signed.status_code, signed.json()["grants"][0]["expires_on"]) == (201, str(day))
        assert (await officer.get(f"{base}/grants")).json()["items"][0]["expires_on"] == str(day)
        (lot,) = (await officer.get(f"{base}/lots")).json()["items"]
        assert datetime.fromisoformat(lot["expires_at"]) == end_of_day(day, zone=LOCAL_ZONE)


class TestTwoPersons:
    async def test_the_second_person_approves_the_day_too(self, guarded: Scene) -> None:
        proposal_id = await compute(guarded)
        request = await ask(guarded, SigningOfGrants(proposal_id, (), JUNE))
        with pytest.raises(ApprovalPending):
            await ask(guarded, SigningOfGrants(proposal_id))
        await decide(guarded, request, guarded.make_officer())
        assert [event.expires_on for event in await guarded.published(CreditGranted)] == [JUNE]

    async def test_a_day_that_is_over_by_then_is_refused(self, guarded: Scene) -> None:
        request = await ask(guarded, SigningOfGrants(await compute(guarded), (), TODAY))
        guarded.now += timedelta(days=1)
        with pytest.raises(BadInput, match="decline"):
            await decide(guarded, request, guarded.make_officer())
        assert await guarded.balance(AccountKind.POOL) == 600

    async def test_nobody_is_asked_about_a_day_that_cannot_be(self, guarded: Scene) -> None:
        proposal_id = await compute(guarded)
        with pytest.raises(BadInput, match="/expires_on"):
            async with guarded.work() as work:
                await check_safeguards(work, SigningOfGrants(proposal_id, (), DECEMBER + timedelta(days=1)), reason=WHY)


class TestCarryIn:
    async def test_may_have_a_day_of_its_own(self, scene: Scene) -> None:
        await scene.start(expiry=ExpiryRule.CARRY_OVER)
        earlier = scene.campaign_id
        await scene.fund(credit=600)
        await scene.close()
        await scene.start()
        async with scene.work() as work:
            carry_in = CarryInOfCredit(scene.campaign_id, earlier, JUNE)
            assert await check_safeguards(work, carry_in, reason=WHY) is None
            assert await carry_credit_in(work, scene.campaign_id, from_campaign_id=earlier, expires_on=JUNE) == 600
        (row,) = await scene.fetch("SELECT expires_at FROM lot WHERE campaign_id = $1", scene.campaign_id)
        assert row["expires_at"] == datetime(2026, 6, 30, 22, tzinfo=UTC)


class TestPublishGrants:
    async def test_says_until_when(self, scene: Scene) -> None:
        await scene.pledge(600)
        await scene.admit(entitled_minutes=600)
        async with scene.work() as work:
            proposal_id = await propose_grants(work, scene.campaign_id)
        await sign(scene, proposal_id)
        async with scene.work() as work:
            found = await publish_grants(work, scene.campaign_id, proposal_id=proposal_id, contact=None)
        assert found.content["expires_on"] == "2026-06-30"
        assert digest_json(PublicationOut.of(found).content.model_dump(mode="json")) == found.digest
        assert build_publication_sheet(found).rstrip().endswith(";30/06/2026")
        assert ["À utiliser jusqu'au", "30/06/2026"] in build_publication_document(found)["facts"]
        # As it was published before a day was told: read as it is, and no news.
        earlier = {key: value for key, value in found.content.items() if key != "expires_on"} | {"version": 1}
        assert "expires_on" not in PublishedContent.model_validate(earlier).model_dump(mode="json")
        assert says_the_same(found.content, earlier)
