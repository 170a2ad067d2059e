"""Indicators against figures computed by hand, and against the ledger's accounts for random campaigns."""

import csv
import io
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID
from xml.etree import ElementTree

import httpx2
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from kernel.auth import Role
from kernel.events.registry import ActorRecorded
from kernel.ids import new_id
from services.credits.domain.campaigns import ExpiryRule
from services.credits.domain.indicators import Figures, gini
from services.credits.schemas.plots import Bar, build_bars
from services.credits.use_cases.reversals import reverse_transfer
from tests.builders.credits import IN_SPRING, Scene
from tests.credits.test_sequences import Player, operations, some
from tests.support.clients import client_for, make_caller

FIGURES = ("granted", "reserved", "released", "served", "lapsed", "returned", "carried_in", "carried_out", "in_use", "available")


@pytest.fixture
async def officer(app: FastAPI, territory: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with client_for(app, make_caller(territory, Role.OFFICER)) as client:
        yield client


async def read(officer: httpx2.AsyncClient, scene: Scene) -> dict[str, Any]:
    answer = await officer.get(f"/campaigns/{scene.campaign_id}/indicators")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def know(scene: Scene, actor: UUID, *, name: str, fields: list[str], kind: str = "association") -> None:
    await scene.handle(
        ActorRecorded(
            actor_id=actor, version=2, ref="a", kind=kind, name=name, commune="92071", fields_of_action=fields, archived=False
        )
    )


class TestGini:
    @pytest.mark.parametrize(
        ("values", "expected"),
        # One of n has all: 1 - 1/n. For 1, 2, 3: the mean difference 8/9 over twice the mean 4.
        [([], None), ([0, 0], None), ([5, 5, 5], 0.0), ([0, 0, 0, 10], 0.75), ([1, 2, 3], 0.2222), ([7], 0.0)],
    )
    def test_by_hand(self, values: list[int], expected: float | None) -> None:
        assert gini(values) == expected

    @given(values=st.lists(st.integers(0, 10**9), max_size=60))
    def test_lies_between_nothing_and_one(self, values: list[int]) -> None:
        found = gini(values)
        if found is not None:
            assert 0 <= found <= 1
            assert gini([value * 3 for value in values]) == found
            assert gini(list(reversed(values))) == found


class TestIndicators:
    async def test_by_hand(self, officer: httpx2.AsyncClient, scene: Scene) -> None:
        company, citizen = await scene.record_actor(kind="company", name="Pixelune"), new_id()
        await scene.pledge(2400, contributor_id=company)
        await scene.pledge(600, contributor_id=citizen)
        first, second = [await scene.admit(entitled_minutes=minutes) for minutes in (1200, 300)]
        await know(scene, first, name="Ateliers", fields=["culture", "youth"])
        await know(scene, second, name="Bibliothèque", fields=[])
        await scene.sign()  # 1 April
        scene.now = IN_SPRING + timedelta(days=10)
        early = await scene.agree(first, company, 300)
        scene.now = IN_SPRING + timedelta(days=12)
        await scene.handle(scene.validated(early, 241))
        scene.now = IN_SPRING + timedelta(days=35)  # 6 May
        late = await scene.agree(first, citizen, 400)
        await scene.handle(scene.validated(late, 400))
        await scene.agree(second, company, 90)
        found = await read(officer, scene)

        total = found["total"]
        assert {name: total[f"{name}_minutes"] for name in FIGURES} == {
            "granted": 1500, "reserved": 790, "released": 59, "served": 641, "lapsed": 0, "returned": 0,
            "carried_in": 0, "carried_out": 0, "in_use": 90, "available": 769,
        }  # fmt: skip
        assert total["pledged_minutes"] == 3000
        ateliers, bibliotheque = found["by_association"]
        assert (ateliers["name"], ateliers["granted_minutes"], ateliers["served_minutes"]) == ("Ateliers", 1200, 641)
        # Half of 1 200 are 600: 241 are not, 641 are.
        assert (ateliers["days_to_first_use"], ateliers["days_to_half_use"]) == (12.0, 35.0)
        assert (bibliotheque["days_to_first_use"], bibliotheque["in_use_minutes"]) == (None, 90)
        assert (found["median_days_to_first_use"], found["median_days_to_half_use"]) == (12.0, 35.0)
        # Two values a < b: (b - a) / (2 (a + b)). (1200 - 300) / 3000, and (641 - 0) / 1282.
        assert found["concentration"] == {"gini_granted": 0.3, "gini_served": 0.5}
        fields = {row["field_of_action"]: row for row in found["by_field"]}
        assert (fields["culture"]["served_minutes"], fields["youth"]["served_minutes"]) == (321, 320)
        assert fields[""]["granted_minutes"] == 300
        people = {row["name"]: row for row in found["by_contributor"]}
        assert (people["Pixelune"]["pledged_minutes"], people["Pixelune"]["served_minutes"]) == (2400, 241)
        assert (people[None]["contributor_id"], people[None]["served_minutes"]) == (None, 400)
        months = {row["month"]: row for row in found["by_month"]}
        assert (months["2026-04"]["granted_minutes"], months["2026-04"]["served_minutes"]) == (1500, 241)
        assert (months["2026-05"]["reserved_minutes"], months["2026-05"]["served_minutes"]) == (490, 400)

    async def test_what_was_undone_does_not_count(self, officer: httpx2.AsyncClient, scene: Scene) -> None:
        association, contributor = await scene.fund(credit=600)
        await scene.handle(scene.validated(await scene.agree(association, contributor, 120), 90))
        rows = await scene.fetch("SELECT id FROM transfer WHERE kind = 'settle'")
        async with scene.work() as work:
            await reverse_transfer(work, rows[0]["id"], reason="Erreur de relevé")
        found = await read(officer, scene)
        assert (found["total"]["served_minutes"], found["total"]["available_minutes"]) == (0, 600)
        assert found["by_association"][0]["days_to_half_use"] is None

    @pytest.mark.parametrize(
        ("rule", "figure"),
        [(ExpiryRule.RETURN, "returned"), (ExpiryRule.LAPSE, "lapsed"), (ExpiryRule.CARRY_OVER, "carried_out")],
    )
    async def test_tells_what_became_of_the_rest(
        self, officer: httpx2.AsyncClient, scene: Scene, rule: ExpiryRule, figure: str
    ) -> None:
        await scene.start(expiry=rule)
        await scene.fund(credit=600)
        await scene.close()
        total = (await read(officer, scene))["total"]
        assert (total[f"{figure}_minutes"], total["available_minutes"], total["granted_minutes"]) == (600, 0, 600)

    @some
    @given(rule=st.sampled_from(ExpiryRule), sequence=st.lists(operations, min_size=4, max_size=25))
    @pytest.mark.timeout(300)
    async def test_sums_equal_the_ledger(
        self, officer: httpx2.AsyncClient, scene: Scene, rule: ExpiryRule, sequence: list[tuple[Any, ...]]
    ) -> None:
        player = await Player(scene).start(rule)
        for number, one in enumerate(player.associations):
            await know(scene, one, name=str(number), fields=["culture", "sport", "youth"][:number])
        for name, *arguments in sequence:
            await player.play(name, *arguments)
        found = await read(officer, scene)
        by_kind = (await scene.books()).by_kind
        total = found["total"]
        assert total["available_minutes"] == by_kind["credit"]
        assert total["in_use_minutes"] == by_kind["held"]
        assert total["served_minutes"] == by_kind["served"] == -by_kind["delivered"]
        assert total["lapsed_minutes"] == by_kind["lapsed"]
        assert total["carried_out_minutes"] - total["carried_in_minutes"] == by_kind["carried"]
        assert total["pledged_minutes"] - total["granted_minutes"] + total["returned_minutes"] == by_kind["pool"]
        for series in ("by_association", "by_field", "by_month"):
            for name in FIGURES:
                assert sum(row[f"{name}_minutes"] for row in found[series]) == total[f"{name}_minutes"], (series, name)
        for name in ("pledged", "served", "in_use"):
            assert sum(row[f"{name}_minutes"] for row in found["by_contributor"]) == total[f"{name}_minutes"], name
        for value in found["concentration"].values():
            assert value is None or 0 <= value <= 1
        for row in found["by_association"]:
            assert row["days_to_half_use"] is None or row["days_to_half_use"] >= (row["days_to_first_use"] or 0)

    def test_the_figures_close(self) -> None:
        figures = Figures(granted=100, carried_in=10, reserved=50, released=20, served=25, lapsed=5, returned=6, carried_out=7)
        gone = figures.lapsed + figures.returned + figures.carried_out
        assert figures.granted + figures.carried_in == figures.available + figures.in_use + figures.served + gone


class TestFiles:
    async def test_table_and_pictures(self, officer: httpx2.AsyncClient, scene: Scene) -> None:
        association, contributor = await scene.fund(credit=600)
        await know(scene, association, name="<Ateliers> & Cie", fields=["culture"])
        await scene.handle(scene.validated(await scene.agree(association, contributor, 120), 90))
        path = f"/campaigns/{scene.campaign_id}/indicators"
        answer = await officer.get(f"{path}?format=csv")
        assert answer.headers["content-type"] == "text/csv; charset=utf-8"
        rows = list(csv.DictReader(io.StringIO(answer.text.removeprefix("\ufeff")), delimiter=";"))
        assert [row["Série"] for row in rows] == ["Total", "Association", "Domaine", "Contributeur", "Mois"]
        assert (rows[0]["Dépensé (minutes)"], rows[0]["Dépensé (heures)"]) == ("90", "1,5")
        assert rows[3]["Libellé"] == "Habitantes et habitants"
        for series in ("association", "field", "contributor", "month"):
            picture = await officer.get(f"{path}?format=svg&series={series}")
            assert picture.headers["content-type"].startswith("image/svg+xml")
            root = ElementTree.fromstring(picture.text)
            assert root.attrib["role"] == "img"
            assert "script" not in picture.text

    def test_a_picture_of_nothing_says_so(self) -> None:
        assert "Rien encore." in build_bars("Heures", [], whole="accordées", part="dépensées")
        ElementTree.fromstring(build_bars("Heures", [Bar("x", 0, 0)], whole="accordées", part="dépensées"))

    async def test_is_for_town_and_auditor(self, app: FastAPI, scene: Scene, territory: str) -> None:
        for role, status in ((Role.AUDITOR, 200), (Role.COMPANY, 403), (Role.PARTNER, 403)):
            async with client_for(app, make_caller(territory, role)) as client:
                assert (await client.get(f"/campaigns/{scene.campaign_id}/indicators")).status_code == status
