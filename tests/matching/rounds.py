"""Allocation rounds in a town of a test."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from kernel.auth import Caller
from kernel.database import Database
from kernel.events.credits import CreditGranted, HoursPledged
from kernel.ids import new_id
from kernel.work import open_work
from services.matching.computing.attempt import compute_attempt
from services.matching.computing.supervisor import compute_waiting
from services.matching.engine.rounds.faults import RoundCannotBe
from services.matching.use_cases.round_computing import fail_round, start_round
from tests.matching.conftest import Town, ask

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
                )
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

    async def compute(self, territory: str = "") -> None:
        """What the job does, but in this process: a process of its own imports for seconds (tests/matching/test_computing.py)."""
        territory = territory or self.town.territory
        async with open_work(self.database, Caller.system(territory)) as work:
            rows = await work.driver.fetch("SELECT round_id FROM round_waiting WHERE code = $1 ORDER BY round_id", territory)
        for row in rows:
            async with open_work(self.database, Caller.system(territory)) as work:
                started = await start_round(work, row["round_id"])
            assert started is not None
            try:
                await compute_attempt(self.database, territory, started.id, attempt=started.attempt, tell=lambda *_: None)
            except RoundCannotBe as error:
                async with open_work(self.database, Caller.system(territory)) as work:
                    await fail_round(work, started.id, str(error), attempt=started.attempt)

    async def compute_in_process(self) -> None:
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
