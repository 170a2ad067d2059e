"""What matching keeps of its neighbours, whatever the order; and what ends by the calendar."""

import itertools
from datetime import timedelta
from typing import Any

import pytest

from kernel.auth import Caller
from kernel.clock import local_date, utc_now
from kernel.database import Database
from kernel.events.credits import CampaignClosed
from kernel.events.matching import MissionCancelled
from kernel.events.registry import CommuneRecorded
from kernel.ids import new_id
from kernel.work import open_work
from services.matching.jobs import expire_everywhere
from services.matching.store import known
from tests.builders.matching import make_need_body, make_offer_body
from tests.matching.conftest import (
    MakeDuo,
    Published,
    Town,
    ask,
    make_actor_recorded,
    make_campaign_opened,
    make_delivery,
    make_member_recorded,
)


class TestRememberNeighbours:
    async def test_the_greatest_version_holds_in_every_order(self, town: Town, database: Database) -> None:
        for order in itertools.permutations([1, 2, 3]):
            actor_id, member_id, employer_id = new_id(), new_id(), new_id()
            for version in order:
                await town.tell(make_actor_recorded(actor_id, version=version, archived=version == 3))
                newest = employer_id if version == 3 else None
                await town.tell(make_member_recorded(member_id, version=version, actor_id=newest))
            async with open_work(database, Caller.system(town.territory)) as work:
                assert not await known.is_active_actor(work, actor_id)
                query = "SELECT actor_id, version FROM member WHERE id = $1"
                assert tuple(await work.driver.fetchrow(query, member_id) or ()) == (employer_id, 3)

    async def test_a_closed_campaign_stays_closed_in_every_order(self, town: Town, database: Database) -> None:
        for order in itertools.permutations([0, 0, 1]):
            campaign_id = new_id()
            opened = make_campaign_opened(campaign_id)
            closed = CampaignClosed(campaign_id=campaign_id, reason="Fin.", expired_minutes=0)
            for number in order:
                await town.tell(closed if number else opened)
            async with open_work(database, Caller.system(town.territory)) as work:
                campaign = await known.find_campaign(work, campaign_id)
            assert campaign is not None
            assert not campaign.is_open

    async def test_what_was_told_later_of_a_commune_holds(self, town: Town, database: Database) -> None:
        new, old = (
            make_delivery(CommuneRecorded(insee="92019", name=name, latitude=48.7, longitude=2.2), town.territory)
            for name in ("Châtenay", "Châtenay-Malabry")
        )
        await town.deliver(old)
        await town.deliver(new)
        async with open_work(database, Caller.system(town.territory)) as work:
            assert (await known.list_communes(work))["92019"].name == "Châtenay-Malabry"

    async def test_no_name_and_no_address_of_a_person_is_kept(self, town: Town, database: Database) -> None:
        member_id, _ = await town.add_volunteer()
        async with open_work(database, Caller.system(town.territory)) as work:
            row = await work.driver.fetchrow("SELECT * FROM member WHERE id = $1", member_id)
        assert row is not None
        assert set(row.keys()) == {"territory", "id", "version", "actor_id", "archived"}


async def run_expiry(database: Database, *, days_ahead: int) -> None:
    """The job as it will run in some days."""
    await expire_everywhere(database, now=utc_now() + timedelta(days=days_ahead))


class TestExpiry:
    @pytest.fixture
    def soon(self) -> dict[str, Any]:
        return {"ends_on": (local_date(utc_now()) + timedelta(days=3)).isoformat()}

    async def test_a_need_lasts_its_last_day_and_ends_with_its_proposal(
        self, make_duo: MakeDuo, database: Database, soon: dict[str, Any], published: Published
    ) -> None:
        duo = await make_duo(**soon)
        await run_expiry(database, days_ahead=3)
        assert (await duo.read_need())["state"] == "open"
        await run_expiry(database, days_ahead=4)
        need = await duo.read_need()
        assert need["state"] == "expired"
        assert (need["history"][-1]["who"], need["history"][-1]["reason"]) == ("system", "La date de fin du besoin est passée.")
        assert (await duo.read())["state"] == "cancelled"
        assert len(await published(MissionCancelled)) == 1

    async def test_a_covered_need_does_not_expire(self, make_duo: MakeDuo, database: Database, soon: dict[str, Any]) -> None:
        duo = await make_duo(**soon)
        await duo.agree()
        await run_expiry(database, days_ahead=9)
        assert (await duo.read_need())["state"] == "covered"
        assert (await duo.read())["state"] == "agreed"

    async def test_offers_and_late_proposals(self, town: Town, database: Database) -> None:
        volunteer_id, _ = await town.add_volunteer()
        until = (local_date(utc_now()) + timedelta(days=2)).isoformat()
        need = await town.add_open_need()
        offer = await town.add_open_offer(volunteer_id, available_until=until)
        mission = await ask(town.operator, f"/needs/{need['id']}/proposals", status=201)
        await run_expiry(database, days_ahead=3)
        assert (await ask(town.officer, f"/offers/{offer['id']}", method="GET"))["state"] == "expired"
        assert (await ask(town.officer, f"/missions/{mission['id']}", method="GET"))["state"] == "cancelled"
        assert (await ask(town.officer, f"/needs/{need['id']}", method="GET"))["state"] == "open"

    async def test_drafts_too_and_nothing_opens_after_its_end(self, town: Town, database: Database) -> None:
        past = {"starts_on": "2020-01-01", "ends_on": "2020-02-01"}
        need = await ask(town.association, "/needs", make_need_body(town.campaign_id, **past), status=201)
        await ask(town.operator, f"/needs/{need['id']}/qualification", {"note": "Vu."})
        problem = await ask(town.operator, f"/needs/{need['id']}/opening", status=409)
        assert problem["type"].endswith("period-is-over")
        volunteer_id, _ = await town.add_volunteer()
        body = make_offer_body(volunteer_id, available_from="2020-01-01", available_until="2020-02-01")
        offer = await ask(town.officer, "/offers", body, status=201)
        await ask(town.officer, f"/offers/{offer['id']}/opening", status=409)
        await expire_everywhere(database)
        assert (await ask(town.officer, f"/needs/{need['id']}", method="GET"))["state"] == "expired"
        assert (await ask(town.officer, f"/offers/{offer['id']}", method="GET"))["state"] == "expired"
