"""An allocation round over HTTP, from asked to released, on a real PostgreSQL and in a real computing process."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest

from kernel.auth import Role
from kernel.database import Database
from kernel.events.credits import CreditGranted, HoursPledged
from kernel.events.matching import MissionProposed
from kernel.ids import new_id
from services.matching.computing.supervisor import compute_waiting
from tests.matching.conftest import Published, Town, ask

LIMIT_SECONDS = 60
REASON = {"reason": "Ils se connaissent déjà."}


@dataclass
class Rounds:
    """A town with needs, offers, credit and promises enough for them."""

    town: Town
    database: Database

    async def grant(self, *associations: UUID, minutes: int = 6000) -> None:
        for association_id in associations or (self.town.association_id,):
            await self.town.tell(
                CreditGranted(
                    campaign_id=self.town.campaign_id,
                    association_id=association_id,
                    grant_id=new_id(),
                    minutes=minutes,
                    expires_on="2199-12-31",
                )  # fmt: skip
            )

    async def pledge(self, contributor_id: UUID, minutes: int = 6000) -> None:
        await self.town.tell(
            HoursPledged(campaign_id=self.town.campaign_id, pledge_id=new_id(), contributor_id=contributor_id, minutes=minutes)
        )

    async def add_offer(self, *, promise: int = 6000, **facts: Any) -> dict[str, Any]:
        """An open offer of a new volunteer, who has promised these minutes."""
        volunteer_id, _ = await self.town.add_volunteer()
        if promise:
            await self.pledge(volunteer_id, promise)
        return await self.town.add_open_offer(volunteer_id, **facts)

    async def ask(self, **terms: Any) -> dict[str, Any]:
        body = {"campaign_id": str(self.town.campaign_id), **terms}
        return await ask(self.town.officer, "/rounds", body, status=201)

    async def compute(self) -> None:
        await compute_waiting(self.database, limit_seconds=LIMIT_SECONDS)

    async def run(self, **terms: Any) -> dict[str, Any]:
        asked = await self.ask(**terms)
        await self.compute()
        return await self.read(asked)

    async def read(self, found: dict[str, Any], part: str = "") -> dict[str, Any]:
        return await ask(self.town.officer, f"/rounds/{found['id']}{part}", method="GET")

    async def proposals(self, found: dict[str, Any]) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = (await self.read(found, "/proposals?limit=200"))["items"]
        return items

    async def release(self, found: dict[str, Any], *, status: int = 200) -> dict[str, Any]:
        return await ask(self.town.officer, f"/rounds/{found['id']}/release", {"note": "Vu en commission."}, status=status)

    async def choose(self, found: dict[str, Any], need: Any, offer: Any, kind: str, *, status: int = 200) -> dict[str, Any]:
        path = f"/rounds/{found['id']}/choices/{need['id']}/{offer['id']}"
        return await ask(self.town.officer, path, {"kind": kind, **REASON}, status=status, method="PUT")


@pytest.fixture
async def rounds(town: Town, database: Database) -> Rounds:
    made = Rounds(town, database)
    await made.grant()
    return made


MakeDuo = Callable[..., Awaitable[tuple[dict[str, Any], dict[str, Any]]]]


class TestLife:
    async def test_asked_computed_released(self, rounds: Rounds, published: Published) -> None:
        need, offer = await rounds.town.add_open_need(), await rounds.add_offer()
        sewing = await rounds.town.add_open_need(skills=[{"label": "couture"}])
        asked = await rounds.ask(note="Premier essai")
        assert (asked["state"], asked["attempt"], asked["result"]) == ("asked", 0, None)
        assert asked["terms"]["fairness"] == 0.5
        await rounds.compute()
        computed = await rounds.read(asked)
        assert computed["state"] == "computed", computed["failure"]
        result = computed["result"]
        assert (result["needs"], result["offers"], result["pairs"], result["means_known"]) == (2, 1, 1, True)
        assert result["figures"]["served_minutes"] == 360
        assert result["shares"][0]["name"] == "Lire ensemble"
        assert len(result["fairness"]) == 7
        assert result["greedy"]["served_minutes"] == 360
        assert await published(MissionProposed) == []
        [proposal] = await rounds.proposals(asked)
        assert (proposal["need_id"], proposal["offer_id"], proposal["minutes"]) == (need["id"], offer["id"], 360)
        assert proposal["points"] == sum(part["points"] for part in proposal["parts"])
        [unserved] = (await rounds.read(asked, "/unserved"))["items"]
        assert (unserved["need_id"], unserved["why"]) == (sewing["id"], ["1 offre : aucune compétence commune"])
        released = await rounds.release(asked)
        assert (released["state"], released["released"]["missions"], released["released"]["left_out"]) == ("released", 1, 0)
        [told] = await published(MissionProposed)
        [sent] = await rounds.proposals(asked)
        assert (told["mission_id"], told["need_id"]) == (sent["mission_id"], need["id"])
        mission = await ask(rounds.town.officer, f"/missions/{sent['mission_id']}", method="GET")
        assert (mission["score"], mission["reasons"]) == (proposal["points"], proposal["reasons"])
        history = (await rounds.read(asked))["history"]
        assert [step["deed"] for step in history] == ["create", "compute", "finish", "release"]
        assert history[-1]["reason"] == "Vu en commission."
        problem = await rounds.release(asked, status=409)
        assert problem["type"].endswith("round-released")
