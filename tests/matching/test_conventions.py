"""Where a campaign requires conventions, no minute is worked before one is concluded; whatever the order of what is told."""

import itertools
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from kernel.auth import Caller
from kernel.bus.transport import Delivery
from kernel.clock import local_date, utc_now
from kernel.database import Database
from kernel.events.credits import CampaignClosed, ConventionConcluded
from kernel.events.envelope import Event
from kernel.ids import new_id
from kernel.work import open_work
from services.matching.store.known import find_campaign, find_conclusion
from tests.matching.conftest import Duo, MakeDuo, Town, ask, make_campaign_opened, make_delivery
from tests.matching.steps import REASON, make_concluded, make_reserved, make_sheet, reserve, work_on


async def require_conventions(town: Town) -> None:
    await town.tell(make_campaign_opened(town.campaign_id, conventions_required=True))


async def conclude(duo: Duo, *, days_ago: int = 0) -> None:
    time = utc_now() - timedelta(days=days_ago)
    await duo.town.deliver(make_delivery(make_concluded(duo), duo.town.territory, subject=duo.mission["id"], time=time))


def make_old_delivery(event: Event, territory: str) -> Delivery:
    """As it was told before the field was added."""
    envelope = orjson.loads(make_delivery(event, territory).body)
    del envelope["data"]["conventions_required"]
    return Delivery(orjson.dumps(envelope), redelivered=False, tag=None)


class TestStartMission:
    async def test_waits_for_the_convention(self, make_duo: MakeDuo) -> None:
        duo = await make_duo()
        await require_conventions(duo.town)
        await reserve(duo)
        for person in (duo.volunteer, duo.town.operator):
            problem = await ask(person, f"{duo.path}/start", status=409)
            assert problem["type"].endswith("convention-missing")
            assert f"PUT /conventions/{duo.mission['id']}" in problem["detail"]
            assert "association, le contributeur et la mairie doivent accepter" in problem["detail"]
        assert (await duo.read())["state"] == "reserved"
        await conclude(duo)
        assert (await ask(duo.volunteer, f"{duo.path}/start"))["state"] == "in_progress"

    async def test_does_not_where_none_is_required(self, make_duo: MakeDuo) -> None:
        duo = await make_duo()
        old = make_old_delivery(make_campaign_opened(duo.town.campaign_id), duo.town.territory)
        await duo.town.deliver(old)
        await reserve(duo)
        assert (await ask(duo.volunteer, f"{duo.path}/start"))["state"] == "in_progress"
        await ask(duo.volunteer, f"{duo.path}/timesheets", make_sheet(60), status=201)

    async def test_another_missions_convention_does_not_serve(self, make_duo: MakeDuo) -> None:
        duo, other = await make_duo(), await make_duo()
        await require_conventions(duo.town)
        await reserve(duo)
        await conclude(other)
        await ask(duo.volunteer, f"{duo.path}/start", status=409)

    async def test_a_mission_that_never_began_may_be_cancelled_without(self, make_duo: MakeDuo) -> None:
        duo = await make_duo()
        await require_conventions(duo.town)
        await reserve(duo)
        assert (await ask(duo.volunteer, f"{duo.path}/cancellation", REASON))["state"] == "cancelled"


class TestEnterTimesheet:
    async def test_not_for_a_day_before_the_conclusion(self, make_duo: MakeDuo) -> None:
        duo = await make_duo()
        await require_conventions(duo.town)
        await reserve(duo)
        await conclude(duo, days_ago=-1)
        await ask(duo.volunteer, f"{duo.path}/start")
        problem = await ask(duo.volunteer, f"{duo.path}/timesheets", make_sheet(60), status=422)
        assert [field["pointer"] for field in problem["errors"]] == ["/worked_on"]
        day = local_date(utc_now() + timedelta(days=1))
        assert f"est conclue depuis le {day} seulement" in problem["detail"]
        assert (await duo.read())["worked_minutes"] == 0

    @pytest.mark.parametrize("days_ago", [0, 3])
    async def test_for_its_day_and_later_ones(self, make_duo: MakeDuo, days_ago: int) -> None:
        duo = await make_duo()
        await require_conventions(duo.town)
        await reserve(duo)
        await conclude(duo, days_ago=days_ago)
        await ask(duo.volunteer, f"{duo.path}/start")
        await ask(duo.volunteer, f"{duo.path}/timesheets", make_sheet(60), status=201)

    async def test_what_was_entered_before_it_was_known_may_be_taken_back(self, make_duo: MakeDuo) -> None:
        duo = await make_duo()
        await work_on(duo, 60)
        await require_conventions(duo.town)
        problem = await ask(duo.volunteer, f"{duo.path}/timesheets", make_sheet(60), status=409)
        assert problem["type"].endswith("convention-missing")
        (sheet,) = (await ask(duo.volunteer, f"{duo.path}/timesheets", method="GET"))["items"]
        await ask(duo.volunteer, f"{duo.path}/timesheets", make_sheet(30, replaces=sheet["id"]), status=409)
        await ask(duo.volunteer, f"{duo.path}/timesheets", make_sheet(0, replaces=sheet["id"]), status=201)


class TestWhateverTheOrder:
    async def test_opening_reservation_and_conclusion(self, make_duo: MakeDuo) -> None:
        for order in itertools.permutations(range(3)):
            duo = await make_duo()
            await duo.agree()
            opened = make_campaign_opened(duo.town.campaign_id, conventions_required=True)
            events: list[Event] = [opened, make_reserved(duo), make_concluded(duo)]
            for number in order:
                await duo.town.tell(events[number], subject=duo.mission["id"])
            await ask(duo.volunteer, f"{duo.path}/start")
            await ask(duo.volunteer, f"{duo.path}/timesheets", make_sheet(60), status=201)

    async def test_a_conclusion_is_kept_of_a_mission_that_is_not_known(self, town: Town, database: Database) -> None:
        mission_id = new_id()
        strange = ConventionConcluded(
            mission_id=mission_id, campaign_id=new_id(), association_id=new_id(), contributor_id=new_id(), version=1
        )
        await town.tell(strange, subject=mission_id)
        async with open_work(database, Caller.system(town.territory)) as work:
            assert await find_conclusion(work, mission_id) is not None

    async def test_the_first_conclusion_holds_told_twice_or_late(self, make_duo: MakeDuo, database: Database) -> None:
        first, later = datetime(2026, 3, 2, 10, tzinfo=UTC), datetime(2026, 3, 9, 10, tzinfo=UTC)
        for order in {*itertools.permutations([first, later, later]), *itertools.permutations([first, first, later])}:
            duo = await make_duo()
            messages = {
                time: make_delivery(make_concluded(duo, version=number), duo.town.territory, time=time)
                for number, time in enumerate((first, later), start=1)
            }
            for time in order:
                await duo.town.deliver(messages[time])  # the inbox knows the third, and a replay's other id changes nothing
                await duo.town.deliver(make_delivery(make_concluded(duo), duo.town.territory, time=time))
            async with open_work(database, Caller.system(duo.town.territory)) as work:
                assert await find_conclusion(work, duo.mission["id"]) == first

    async def test_a_closing_that_is_heard_first_does_not_hide_the_rule(self, town: Town, database: Database) -> None:
        opened = make_campaign_opened(new_id(), conventions_required=True)
        closed = CampaignClosed(campaign_id=opened.campaign_id, reason="Fin.", expired_minutes=0)
        await town.tell(closed)
        await town.tell(opened)
        await town.tell(closed)
        async with open_work(database, Caller.system(town.territory)) as work:
            campaign = await find_campaign(work, opened.campaign_id)
        assert campaign is not None
        assert (campaign.is_open, campaign.conventions_required) == (False, True)
