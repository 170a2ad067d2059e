"""The registry over HTTP, on a real PostgreSQL: a class per verb."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import httpx2
from fastapi import FastAPI

from kernel.auth import EVERY_TERRITORY, Role
from tests.builders.registry import make_actor_body, make_commune_body, make_member_body
from tests.registry.conftest import Enter
from tests.support.clients import client_for, make_caller

Published = Callable[[str], Awaitable[list[dict[str, Any]]]]
ACTOR_RECORDED = "registry.actor_recorded.v1"
MEMBER_RECORDED = "registry.member_recorded.v1"


async def post(client: httpx2.AsyncClient, path: str, body: dict[str, Any]) -> dict[str, Any]:
    response = await client.post(path, json=body)
    assert response.status_code in {200, 201}, response.text
    made: dict[str, Any] = response.json()
    return made


def pointers(response: httpx2.Response) -> list[str]:
    return [fault["pointer"] for fault in response.json()["errors"]]


class TestRecordTerritory:
    async def test_the_administrator_of_the_instance_records_any(
        self, app: FastAPI, territory: str, published: Published
    ) -> None:
        async with client_for(app, make_caller(EVERY_TERRITORY, Role.INSTANCE_ADMIN)) as admin:
            url = f"http://service/v1/territories/{territory}"
            for name in ("Sceaux", "Sceaux", "Ville de Sceaux"):
                assert (await admin.put(url, json={"name": name})).json() == {"territory": territory, "name": name}
        recorded = await published("registry.territory_recorded.v1")
        assert [event["name"] for event in recorded] == ["Ville d'essai", "Sceaux", "Ville de Sceaux"]

    async def test_an_officer_may_not(self, officer: httpx2.AsyncClient, territory: str) -> None:
        response = await officer.put(f"http://service/v1/territories/{territory}", json={"name": "Moi"})
        assert response.status_code == 403

    async def test_everybody_reads_it(self, sign_in: Enter, territory: str) -> None:
        partner = await sign_in(Role.PARTNER)
        response = await partner.get(f"http://service/v1/territories/{territory}")
        assert response.json() == {"territory": territory, "name": "Ville d'essai"}

    async def test_nothing_is_written_for_a_territory_that_is_not_recorded(self, sign_in: Enter) -> None:
        stranger = await sign_in(Role.OFFICER, territory="2A004")
        response = await stranger.post("/actors", json=make_actor_body())
        assert response.status_code == 404
        assert "administrator" in response.json()["detail"]


class TestRecordCommune:
    async def test_repeating_changes_nothing(self, officer: httpx2.AsyncClient, published: Published) -> None:
        bodies = [make_commune_body(), make_commune_body(), make_commune_body(name="Sceaux (92)")]
        answers = [await officer.put("/communes/92071", json=body) for body in bodies]
        assert [(answer.status_code, answer.json()["outcome"]) for answer in answers] == [
            (201, "created"),
            (200, "unchanged"),
            (200, "changed"),
        ]
        assert len(await published("registry.commune_recorded.v1")) == 2
        listed = (await officer.get("/communes")).json()["items"]
        assert [commune["name"] for commune in listed] == ["Sceaux (92)"]

    async def test_the_siren_of_both_levels_is_checked(self, officer: httpx2.AsyncClient) -> None:
        body = make_commune_body(epci_siren="200054782", postcodes=["9233"])
        response = await officer.put("/communes/92071", json=body)
        assert (response.status_code, pointers(response)) == (422, ["/postcodes/0", "/epci_siren"])


class TestRegisterActor:
    async def test_says_what_was_registered(self, officer: httpx2.AsyncClient, published: Published) -> None:
        response = await officer.post("/actors", json=make_actor_body(ref="lire", siret="732 829 320 00074", rna="w92 2000123"))
        made = response.json()
        assert (response.status_code, response.headers["etag"]) == (201, '"1"')
        assert (made["siren"], made["siret"], made["rna"]) == ("732829320", "73282932000074", "W922000123")
        assert await published(ACTOR_RECORDED) == [
            {
                "actor_id": made["id"],
                "version": 1,
                "ref": "lire",
                "kind": "association",
                "name": "Lire ensemble",
                "commune": "92071",
                "fields_of_action": ["culture"],
                "archived": False,
                "siret": "73282932000074",
                "rna": "W922000123",
            }
        ]

    async def test_a_bad_identifier_is_named_with_its_cure(self, officer: httpx2.AsyncClient, published: Published) -> None:
        response = await officer.post("/actors", json=make_actor_body(siren="732829321", rna="922000123"))
        assert (response.status_code, pointers(response)) == (422, ["/siren", "/rna"])
        assert "leave it out" in response.json()["errors"][0]["detail"]
        assert await published(ACTOR_RECORDED) == []

    async def test_unverified_identifiers_are_for_imports(self, officer: httpx2.AsyncClient) -> None:
        response = await officer.post("/actors", json=make_actor_body(unverified_identifiers={"siren": "1"}))
        assert (response.status_code, pointers(response)) == (422, ["/unverified_identifiers"])

    async def test_without_a_key_its_id_is_the_key(self, officer: httpx2.AsyncClient) -> None:
        made = await post(officer, "/actors", make_actor_body())
        assert made["ref"] == made["id"]

    async def test_a_key_serves_once(self, officer: httpx2.AsyncClient) -> None:
        await post(officer, "/actors", make_actor_body(ref="lire"))
        response = await officer.post("/actors", json=make_actor_body(ref="lire"))
        assert (response.status_code, response.json()["type"].rpartition("/")[2]) == (409, "ref-taken")

    async def test_one_body_is_recorded_once(self, officer: httpx2.AsyncClient) -> None:
        first = await post(officer, "/actors", make_actor_body(ref="lire", siren="732829320", rna="W922000123"))
        for twin in ({"siren": "732 829 320"}, {"rna": "w922000123"}):
            response = await officer.post("/actors", json=make_actor_body(name="Double", **twin))
            assert (response.status_code, response.json()["type"].rpartition("/")[2]) == (409, "identifier-taken")
            assert response.json()["actor_id"] == first["id"]
            assert pointers(response) == [f"/{next(iter(twin))}"]

    async def test_one_siren_may_be_an_operator_and_a_company(self, officer: httpx2.AsyncClient) -> None:
        await post(officer, "/actors", make_actor_body(kind="operator", siren="732829320"))
        await post(officer, "/actors", make_actor_body(kind="company", siren="732829320"))

    async def test_of_many_at_once_only_one_gets_the_identifier(self, officer: httpx2.AsyncClient) -> None:
        answers = await asyncio.gather(*(officer.post("/actors", json=make_actor_body(rna="W922000123")) for _ in range(5)))
        assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409]

    async def test_an_association_may_not(self, sign_in: Enter) -> None:
        association = await sign_in(Role.ASSOCIATION, actor_id=uuid4())
        assert (await association.post("/actors", json=make_actor_body())).status_code == 403


class TestRecordActor:
    async def test_the_same_file_again_changes_nothing(self, officer: httpx2.AsyncClient, published: Published) -> None:
        body = make_actor_body(siret="732 829 320 00074", fields_of_action=["youth", "culture"], is_example=True)
        again = body | {"fields_of_action": ["culture", "youth", "culture"]}
        answers = [await officer.put("/actors/refs/lire", json=sent) for sent in (body, again, body | {"name": "Lire à deux"})]
        assert [(answer.status_code, answer.json()["outcome"], answer.headers["etag"]) for answer in answers] == [
            (201, "created", '"1"'),
            (200, "unchanged", '"1"'),
            (200, "changed", '"2"'),
        ]
        assert [event["version"] for event in await published(ACTOR_RECORDED)] == [1, 2]

    async def test_keeps_what_cannot_be_verified(self, officer: httpx2.AsyncClient) -> None:
        body = make_actor_body(unverified_identifiers={"rna": "inscrite à Strasbourg, vol. 12"})
        made = (await officer.put("/actors/refs/alsace", json=body)).json()
        assert (made["rna"], made["unverified_identifiers"]) == (None, {"rna": "inscrite à Strasbourg, vol. 12"})
        headers = {"if-match": '"1"'}
        corrected = (await officer.patch(f"/actors/{made['id']}", json={"rna": "W922000123"}, headers=headers)).json()
        assert (corrected["rna"], corrected["unverified_identifiers"]) == ("W922000123", {})

    async def test_refuses_a_bad_identifier_as_elsewhere(self, officer: httpx2.AsyncClient) -> None:
        response = await officer.put("/actors/refs/lire", json=make_actor_body(siren="12"))
        assert (response.status_code, pointers(response)) == (422, ["/siren"])
        assert "/unverified_identifiers/siren" in response.json()["errors"][0]["detail"]

    async def test_the_same_key_in_another_territory_is_another_actor(
        self, officer: httpx2.AsyncClient, sign_in: Enter, app: FastAPI
    ) -> None:
        here = (await officer.put("/actors/refs/lire", json=make_actor_body())).json()
        async with client_for(app, make_caller(EVERY_TERRITORY, Role.INSTANCE_ADMIN)) as admin:
            await admin.put("http://service/v1/territories/2B033", json={"name": "Bastia"})
        elsewhere = await sign_in(Role.OFFICER, territory="2B033")
        there = (await elsewhere.put("/actors/refs/lire", json=make_actor_body())).json()
        assert there["id"] != here["id"]
        assert (await elsewhere.get(f"/actors/{here['id']}")).status_code == 404


class TestListActors:
    async def test_by_kind_field_name_and_key(self, officer: httpx2.AsyncClient, sign_in: Enter) -> None:
        await post(officer, "/actors", make_actor_body(ref="choeur", name="Le Chœur de l'Été"))
        await post(officer, "/actors", make_actor_body(ref="judo", name="Judo 100 % club", fields_of_action=["sport", "youth"]))
        await post(officer, "/actors", make_actor_body(ref="pain", name="La Boulange", kind="cooperative", fields_of_action=[]))
        partner = await sign_in(Role.PARTNER)

        async def refs(**asked: str) -> list[str]:
            response = await partner.get("/actors", params=asked)
            assert response.status_code == 200, response.text
            return [item["ref"] for item in response.json()["items"]]

        assert await refs() == ["choeur", "judo", "pain"]
        assert await refs(kind="cooperative") == ["pain"]
        assert await refs(field="youth") == ["judo"]
        assert await refs(q="CHOEUR de l'ete") == ["choeur"]
        assert await refs(q="%") == ["judo"]
        assert await refs(ref="pain") == ["pain"]

    async def test_page_by_page(self, officer: httpx2.AsyncClient) -> None:
        for number in range(3):
            await post(officer, "/actors", make_actor_body(ref=f"a{number}"))
        first = (await officer.get("/actors", params={"limit": 2})).json()
        second = (await officer.get("/actors", params={"limit": 2, "cursor": first["next"]})).json()
        assert [item["ref"] for item in first["items"] + second["items"]] == ["a0", "a1", "a2"]
        assert second["next"] is None


class TestCorrectActor:
    async def test_only_the_version_that_was_read(self, officer: httpx2.AsyncClient) -> None:
        made = await post(officer, "/actors", make_actor_body())
        path = f"/actors/{made['id']}"
        assert (await officer.patch(path, json={"name": "A"})).status_code == 428
        assert (await officer.patch(path, json={"name": "A"}, headers={"if-match": '"7"'})).status_code == 412
        corrected = await officer.patch(path, json={"name": "A", "email": "a@exemple.test"}, headers={"if-match": '"1"'})
        assert (corrected.headers["etag"], corrected.json()["name"], corrected.json()["commune"]) == ('"2"', "A", "92071")

    async def test_an_edit_that_says_nothing_new_publishes_nothing(
        self, officer: httpx2.AsyncClient, published: Published
    ) -> None:
        made = await post(officer, "/actors", make_actor_body())
        response = await officer.patch(f"/actors/{made['id']}", json={"name": made["name"]}, headers={"if-match": '"1"'})
        assert response.json()["version"] == 1
        assert len(await published(ACTOR_RECORDED)) == 1

    async def test_null_clears_what_may_be_empty_and_nothing_else(self, officer: httpx2.AsyncClient) -> None:
        made = await post(officer, "/actors", make_actor_body(rna="W922000123"))
        path, headers = f"/actors/{made['id']}", {"if-match": '"1"'}
        refused = await officer.patch(path, json={"name": None}, headers=headers)
        assert (refused.status_code, pointers(refused)) == (422, ["/name"])
        assert (await officer.patch(path, json={"rna": None}, headers=headers)).json()["rna"] is None

    async def test_an_identifier_of_another_is_refused(self, officer: httpx2.AsyncClient) -> None:
        await post(officer, "/actors", make_actor_body(siren="732829320"))
        made = await post(officer, "/actors", make_actor_body())
        response = await officer.patch(f"/actors/{made['id']}", json={"siren": "732829320"}, headers={"if-match": '"1"'})
        assert (response.status_code, pointers(response)) == (409, ["/siren"])


class TestArchiveActor:
    async def test_leaves_the_lists_and_frees_its_identifiers(self, officer: httpx2.AsyncClient, published: Published) -> None:
        made = await post(officer, "/actors", make_actor_body(ref="lire", rna="W922000123"))
        path = f"/actors/{made['id']}"
        archived = await post(officer, f"{path}/archival", {"reason": "dissoute"})
        assert (archived["version"], archived["archival"]["reason"]) == (2, "dissoute")
        assert (await officer.get("/actors")).json()["items"] == []
        assert len((await officer.get("/actors", params={"archived": "true"})).json()["items"]) == 1
        assert (await officer.get(path)).status_code == 200
        assert [event["archived"] for event in await published(ACTOR_RECORDED)] == [False, True]
        await post(officer, "/actors", make_actor_body(rna="W922000123"))

    async def test_does_not_come_back_silently(self, officer: httpx2.AsyncClient) -> None:
        made = await post(officer, "/actors", make_actor_body(ref="lire"))
        await post(officer, f"/actors/{made['id']}/archival", {"reason": "dissoute"})
        again = await officer.post(f"/actors/{made['id']}/archival", json={"reason": "encore"})
        changed = await officer.put("/actors/refs/lire", json=make_actor_body(name="Autre"))
        assert (again.status_code, changed.status_code) == (409, 409)
        unchanged = await officer.put("/actors/refs/lire", json=make_actor_body())
        assert (unchanged.status_code, unchanged.json()["outcome"]) == (200, "unchanged")

    async def test_needs_a_reason(self, officer: httpx2.AsyncClient) -> None:
        made = await post(officer, "/actors", make_actor_body())
        assert (await officer.post(f"/actors/{made['id']}/archival", json={"reason": " "})).status_code == 422


class TestRecordMember:
    async def test_the_same_file_again_changes_nothing(self, officer: httpx2.AsyncClient, published: Published) -> None:
        actor = await post(officer, "/actors", make_actor_body())
        body = make_member_body(actor_id=actor["id"], roles=["association", "volunteer"], locale="en")
        answers = [await officer.put("/members/refs/odile", json=sent) for sent in (body, body, body | {"locale": "fr"})]
        assert [(answer.status_code, answer.json()["outcome"]) for answer in answers] == [
            (201, "created"),
            (200, "unchanged"),
            (200, "changed"),
        ]
        events = await published(MEMBER_RECORDED)
        assert [(event["version"], event["locale"]) for event in events] == [(1, "en"), (2, "fr")]
        assert events[0] == {
            "member_id": answers[0].json()["id"],
            "version": 1,
            "ref": "odile",
            "actor_id": actor["id"],
            "display_name": "Odile Exemple",
            "email": "odile@exemple.test",
            "roles": ["association", "volunteer"],
            "locale": "en",
            "archived": False,
        }

    async def test_the_actor_must_be_there(self, officer: httpx2.AsyncClient) -> None:
        response = await officer.post("/members", json=make_member_body(actor_id=str(uuid4())))
        assert (response.status_code, pointers(response)) == (422, ["/actor_id"])

    async def test_the_address_must_be_one(self, officer: httpx2.AsyncClient) -> None:
        response = await officer.post("/members", json=make_member_body(email="odile"))
        assert (response.status_code, pointers(response)) == (422, ["/email"])

    async def test_an_operator_makes_no_officer(self, sign_in: Enter) -> None:
        operator = await sign_in(Role.OPERATOR)
        assert (await operator.post("/members", json=make_member_body(roles=["officer"]))).status_code == 403
        assert (await operator.post("/members", json=make_member_body(roles=["volunteer"]))).status_code == 201


class TestCorrectAndArchiveMember:
    async def test_corrects_then_archives(self, officer: httpx2.AsyncClient, published: Published) -> None:
        made = await post(officer, "/members", make_member_body())
        path = f"/members/{made['id']}"
        corrected = await officer.patch(path, json={"email": "o@exemple.test"}, headers={"if-match": '"1"'})
        assert (corrected.json()["email"], corrected.headers["etag"]) == ("o@exemple.test", '"2"')
        archived = await post(officer, f"{path}/archival", {"reason": "ne répond plus"})
        assert archived["archival"]["by"]
        assert [event["archived"] for event in await published(MEMBER_RECORDED)] == [False, False, True]
        assert (await officer.get("/members")).json()["items"] == []
        refused = await officer.patch(path, json={"email": "p@exemple.test"}, headers={"if-match": '"3"'})
        assert refused.status_code == 409


class TestSeeMembers:
    async def test_everyone_sees_no_more_than_their_own(self, officer: httpx2.AsyncClient, sign_in: Enter) -> None:
        ours, theirs = [await post(officer, "/actors", make_actor_body(ref=ref)) for ref in ("ours", "theirs")]
        people = {
            ref: await post(officer, "/members", make_member_body(ref=ref, actor_id=actor))
            for ref, actor in (("a", ours["id"]), ("b", ours["id"]), ("c", theirs["id"]), ("citizen", None))
        }

        async def seen_by(*roles: Role, actor: str | None = None, member: str | None = None) -> list[str]:
            named = {"actor_id": actor, "member_id": people[member]["id"] if member else None}
            client = await sign_in(*roles, **named)
            listed = [item["ref"] for item in (await client.get("/members")).json()["items"]]
            statuses = {ref: (await client.get(f"/members/{person['id']}")).status_code for ref, person in people.items()}
            assert statuses == {ref: 200 if ref in listed else 404 for ref in people}
            return listed

        assert await seen_by(Role.OFFICER) == ["a", "b", "c", "citizen"]
        assert await seen_by(Role.OPERATOR) == ["a", "b", "c", "citizen"]
        assert await seen_by(Role.ASSOCIATION, actor=ours["id"], member="a") == ["a", "b"]
        assert await seen_by(Role.VOLUNTEER, member="citizen") == ["citizen"]
        assert await seen_by(Role.AUDITOR) == []

    async def test_partners_see_none(self, sign_in: Enter) -> None:
        partner = await sign_in(Role.PARTNER)
        assert (await partner.get("/members")).status_code == 403
