"""Holds for missions that another platform keeps, over HTTP: many callers in one transaction."""

import asyncio
from collections.abc import AsyncIterator
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest
from fastapi import FastAPI

from kernel.auth import Role
from kernel.clock import local_date, utc_now
from kernel.database import Database
from kernel.errors import Unavailable
from kernel.events.credits import CreditReserved, MissionSettled, ReservationRefused
from kernel.ids import new_id
from services.credits.domain.errors import HoldRefused
from services.credits.domain.ledger import AccountKind
from services.credits.use_cases import missions
from services.credits.use_cases.missions import Reservation, decide_mission
from tests.builders.credits import Scene
from tests.builders.documents import Pair, make_pair
from tests.support.clients import client_for, make_caller


@pytest.fixture
async def partner(app: FastAPI, territory: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with client_for(app, make_caller(territory, Role.PARTNER)) as client:
        yield client


@pytest.fixture
async def scene(database: Database, territory: str) -> Scene:
    found = Scene(database, territory)
    await found.start()
    return found


def make_body(association: UUID, contributor: UUID, *, minutes: int = 60, mission_id: UUID | None = None) -> dict[str, Any]:
    return {
        "mission_id": str(mission_id or new_id()),
        "association_id": str(association),
        "contributor_id": str(contributor),
        "minutes": minutes,
        "ends_on": "2199-06-30",
    }


async def hold(partner: httpx2.AsyncClient, scene: Scene, body: dict[str, Any], *, key: str | None = None) -> httpx2.Response:
    headers = {} if key is None else {"idempotency-key": key}
    return await partner.post(f"/campaigns/{scene.campaign_id}/holds", json=body, headers=headers)


@pytest.fixture
async def funded(scene: Scene) -> tuple[UUID, UUID]:
    """Of a campaign that lasts: the routes read the real clock."""
    await scene.start(ends_on=date(2199, 12, 31))
    return await scene.fund(credit=600)


class TestPostHold:
    async def test_sets_credit_aside_once_however_often_it_is_asked(
        self, partner: httpx2.AsyncClient, scene: Scene, funded: tuple[UUID, UUID]
    ) -> None:
        body = make_body(*funded)
        first, second = await hold(partner, scene, body), await hold(partner, scene, body)
        assert (first.status_code, second.status_code) == (201, 200)
        assert (first.json()["state"], first.json()["held_minutes"]) == ("held", 60)
        assert second.json() == first.json() | {"is_new": False}
        assert await scene.balance(AccountKind.HELD, funded[0]) == 60
        assert [event.direct for event in await scene.published(CreditReserved)] == [True]

    async def test_refuses_with_the_reason_and_again_with_the_same(
        self, partner: httpx2.AsyncClient, scene: Scene, funded: tuple[UUID, UUID]
    ) -> None:
        body = make_body(*funded, minutes=660)
        answers = [await hold(partner, scene, body) for _ in range(2)]
        for answer in answers:
            assert answer.status_code == 409
            assert (answer.json()["reason_code"], answer.json()["missing_minutes"]) == ("not-enough-credit", 60)
            assert answer.json()["account"] == f"credit/{scene.campaign_id}/{funded[0]}"
        assert len(await scene.published(ReservationRefused)) == 1

    async def test_refuses_the_same_mission_with_other_minutes(
        self, partner: httpx2.AsyncClient, scene: Scene, funded: tuple[UUID, UUID]
    ) -> None:
        body = make_body(*funded)
        await hold(partner, scene, body)
        answer = await hold(partner, scene, body | {"minutes": 75})
        assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (409, "transfer-key-reused")

    async def test_many_at_once_never_take_more_than_there_is(
        self, partner: httpx2.AsyncClient, scene: Scene, funded: tuple[UUID, UUID]
    ) -> None:
        answers = await asyncio.gather(*(hold(partner, scene, make_body(*funded)) for _ in range(24)))
        assert sorted(answer.status_code for answer in answers) == [201] * 10 + [409] * 14
        assert (await scene.balance(AccountKind.CREDIT, funded[0]), (await scene.books()).sum_minutes) == (0, 0)

    async def test_is_not_for_everybody(self, app: FastAPI, territory: str, scene: Scene) -> None:
        async with client_for(app, make_caller(territory, Role.ASSOCIATION)) as association:
            assert (await hold(association, scene, make_body(new_id(), new_id()))).status_code == 403


class TestIdempotencyKey:
    """A mission's id is the key of its hold; a platform may send an Idempotency-Key beside it, as with every other write."""

    async def test_the_same_request_gives_the_very_same_answer(
        self, partner: httpx2.AsyncClient, scene: Scene, funded: tuple[UUID, UUID]
    ) -> None:
        body = make_body(*funded)
        answers = await asyncio.gather(*(hold(partner, scene, body, key="k1") for _ in range(6)))
        assert [answer.status_code for answer in answers] == [201] * 6
        assert len({answer.content for answer in answers}) == 1
        assert sum("idempotent-replay" in answer.headers for answer in answers) == 5
        assert await scene.balance(AccountKind.HELD, funded[0]) == 60

    async def test_another_request_is_refused_and_moves_nothing(
        self, partner: httpx2.AsyncClient, scene: Scene, funded: tuple[UUID, UUID]
    ) -> None:
        body = make_body(*funded)
        assert (await hold(partner, scene, body, key="k1")).status_code == 201
        path = f"/campaigns/{scene.campaign_id}/holds/{body['mission_id']}/settlements"
        for answer in (
            await hold(partner, scene, make_body(*funded), key="k1"),
            await partner.post(path, json={"minutes": 60}, headers={"idempotency-key": "k1"}),
        ):
            assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (422, "idempotency-key-reused")
        assert await scene.balance(AccountKind.HELD, funded[0]) == 60

    async def test_a_refusal_is_kept_and_told_once_and_asked_again_stays(
        self, partner: httpx2.AsyncClient, scene: Scene, funded: tuple[UUID, UUID]
    ) -> None:
        body = make_body(*funded, minutes=660)
        answers = [await hold(partner, scene, body, key="k1") for _ in range(2)]
        assert [(answer.status_code, answer.json()["missing_minutes"]) for answer in answers] == [(409, 60)] * 2
        assert len(await scene.published(ReservationRefused)) == 1
        assert [row["missing_minutes"] for row in await scene.fetch("SELECT missing_minutes FROM refusal")] == [60]

    async def test_what_is_refused_no_more_when_it_is_kept_is_to_be_asked_again(
        self, scene: Scene, funded: tuple[UUID, UUID], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Credit comes between the refusal and its keeping: nothing was set aside, and the answer is not that it was refused."""
        command = Reservation(new_id(), scene.campaign_id, *funded, 660, date(2199, 6, 30))

        async def ask() -> None:
            async with scene.work() as work:
                answer = await decide_mission(work, command)
                assert answer.refusal is not None
                monkeypatch.setattr(missions, "decide_reservation", lambda means, **said: None)
                raise HoldRefused("not this one")

        with pytest.raises(Unavailable):
            await ask()
        assert await scene.fetch("SELECT FROM hold") == []
        assert await scene.fetch("SELECT FROM refusal") == []


class TestConvention:
    """A campaign asks for conventions as a rule, of missions that another platform keeps as well."""

    @pytest.fixture
    async def pair(self, scene: Scene) -> Pair:
        await scene.start(ends_on=date(2199, 12, 31), conventions_required=True)
        return await make_pair(scene)

    async def test_of_a_mission_that_nobody_told_is_written_by_its_sides(
        self, app: FastAPI, partner: httpx2.AsyncClient, scene: Scene, pair: Pair
    ) -> None:
        last_day = local_date(utc_now()) + timedelta(days=30)
        body = make_body(pair.association_id, pair.company_id) | {"ends_on": str(last_day)}
        assert (await hold(partner, scene, body)).status_code == 201
        settlements = f"/campaigns/{scene.campaign_id}/holds/{body['mission_id']}/settlements"
        refused = await partner.post(settlements, json={"minutes": 60})
        assert (refused.status_code, refused.json()["reason_code"]) == (409, "convention-missing")
        path = f"/conventions/{body['mission_id']}"
        async with client_for(app, make_caller(scene.territory, Role.OFFICER)) as officer:
            untold = await officer.put(path, json={})
            assert (untold.status_code, "`title`" in untold.json()["detail"]) == (409, True)
            terms = {"title": "Refaire le site", "tasks": "Refonte", "calendar": "les mardis", "place": "à la mairie"}
            written = await officer.put(path, json=terms)
            assert (written.status_code, written.json()["content"]["mission"]["title"]) == (201, "Refaire le site")
        sides = {
            "town": make_caller(scene.territory, Role.OFFICER),
            "association": make_caller(scene.territory, Role.ASSOCIATION, actor_id=pair.association_id),
            "contributor": make_caller(scene.territory, Role.COMPANY, actor_id=pair.company_id),
        }
        for side, caller in sides.items():
            async with client_for(app, caller) as client:
                accepted = await client.post(f"{path}/versions/1/acceptances", json={"side": side})
                assert accepted.status_code in (200, 201), accepted.text
        settled = await partner.post(settlements, json={"minutes": 60})
        assert (settled.status_code, settled.json()["served_minutes"]) == (200, 60)


class TestSettlement:
    async def test_in_parts_each_once_and_the_last_gives_the_rest_back(
        self, partner: httpx2.AsyncClient, scene: Scene, funded: tuple[UUID, UUID]
    ) -> None:
        body = make_body(*funded, minutes=120)
        await hold(partner, scene, body)
        url = f"/campaigns/{scene.campaign_id}/holds/{body['mission_id']}/settlements"
        for _ in range(2):
            part = await partner.post(url, json={"minutes": 45, "part": "may", "is_final": False})
            assert (part.status_code, part.json()["served_minutes"], part.json()["held_minutes"]) == (200, 45, 75)
        other = await partner.post(url, json={"minutes": 30, "part": "may", "is_final": False})
        assert other.json()["type"].rpartition("/")[2] == "transfer-key-reused"
        last = await partner.post(url, json={"minutes": 30, "part": "june"})
        assert (last.json()["state"], last.json()["served_minutes"]) == ("settled", 75)
        books = (await scene.books()).by_kind
        assert (books["served"], books["held"], books["credit"], books["delivered"]) == (75, 0, 525, -75)
        (settled,) = await scene.published(MissionSettled)
        assert (settled.served_minutes, settled.released_minutes, settled.direct) == (75, 45, True)

    async def test_refuses_more_than_is_held(self, partner: httpx2.AsyncClient, scene: Scene, funded: tuple[UUID, UUID]) -> None:
        body = make_body(*funded)
        await hold(partner, scene, body)
        url = f"/campaigns/{scene.campaign_id}/holds/{body['mission_id']}/settlements"
        answer = await partner.post(url, json={"minutes": 75})
        assert (answer.status_code, answer.json()["reason_code"]) == (409, "more-than-held")
        assert answer.json()["account"] == f"held/{scene.campaign_id}/{funded[0]}"

    async def test_knows_only_missions_of_its_campaign(
        self, partner: httpx2.AsyncClient, scene: Scene, funded: tuple[UUID, UUID]
    ) -> None:
        body = make_body(*funded)
        await hold(partner, scene, body)
        for campaign, mission in ((new_id(), body["mission_id"]), (scene.campaign_id, new_id())):
            answer = await partner.post(f"/campaigns/{campaign}/holds/{mission}/settlements", json={"minutes": 15})
            assert answer.status_code in {404, 409}


class TestRelease:
    async def test_gives_back_what_is_held_and_leaves_what_was_served(
        self, partner: httpx2.AsyncClient, scene: Scene, funded: tuple[UUID, UUID]
    ) -> None:
        body = make_body(*funded, minutes=120)
        await hold(partner, scene, body)
        url = f"/campaigns/{scene.campaign_id}/holds/{body['mission_id']}"
        await partner.post(f"{url}/settlements", json={"minutes": 45, "part": "may", "is_final": False})
        for _ in range(2):
            answer = await partner.post(f"{url}/release", json={"reason": "Le local est fermé"})
            assert (answer.status_code, answer.json()["state"], answer.json()["served_minutes"]) == (200, "settled", 45)
        assert await scene.balance(AccountKind.CREDIT, funded[0]) == 555

    async def test_of_an_unknown_mission_leaves_no_mark(self, partner: httpx2.AsyncClient, scene: Scene) -> None:
        url = f"/campaigns/{scene.campaign_id}/holds/{new_id()}/release"
        assert (await partner.post(url, json={"reason": "Le local est fermé"})).status_code == 409
        assert await scene.fetch("SELECT * FROM hold") == []
