"""A campaign through the public API over the real broker, as its people live it."""

import pytest

from cli.api import ApiError
from tests.support.town import Town, agree, open_campaign, propose_mission, reaches, work_and_validate
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(180)


async def balances(town: Town) -> dict[str, int]:
    """Minutes by kind of account; credit and held are the association's."""
    rows = await town.officer.everything(f"/campaigns/{town.ids['campaign']}/accounts")
    found: dict[str, int] = {}
    for row in rows:
        found[row["kind"]] = found.get(row["kind"], 0) + row["balance_minutes"]
    return found


class TestMission:
    async def test_from_need_to_closed_moves_the_credit_to_the_minute(self, town: Town) -> None:
        await open_campaign(town)
        before = await balances(town)
        assert (before["pool"], before["credit"], before["promised"]) == (6000 - 1200, 1200, -6000)
        mission = await propose_mission(town, minutes=120)
        await agree(town, mission)
        await reaches(town, mission, "reserved")
        reserved = await balances(town)
        assert (reserved["credit"], reserved["held"]) == (1080, 120)
        await work_and_validate(town, mission, minutes=90)
        await reaches(town, mission, "closed")
        after = await balances(town)
        assert (after["credit"], after["held"], after["served"]) == (1110, 0, 90)
        assert (after["promised"], after["delivered"]) == (-5910, -90)
        books = await town.officer.get(f"/campaigns/{town.ids['campaign']}/books")
        assert books["sum_minutes"] == 0

    async def test_without_credit_it_is_refused_with_the_reason(self, town: Town) -> None:
        await open_campaign(town, cut_cents=6_000)  # a grant of two hours
        mission = await propose_mission(town, minutes=180)
        await agree(town, mission)
        await reaches(town, mission, "refused")
        refusals = await town.officer.everything(f"/campaigns/{town.ids['campaign']}/refusals")
        assert [(row["mission_id"], row["code"], row["missing_minutes"]) for row in refusals] == [
            (mission, "not-enough-credit", 60)
        ]

    async def test_cancelled_after_the_reservation_gives_the_credit_back(self, town: Town) -> None:
        await open_campaign(town)
        mission = await propose_mission(town, minutes=120)
        await agree(town, mission)
        await reaches(town, mission, "reserved")
        await town.people["manager"].post(
            f"/missions/{mission}/cancellation", {"reason": "salle fermée"}, key=f"cancel-{mission}"
        )

        async def released() -> bool:
            return (await balances(town))["held"] == 0

        await wait_until(released, what="the release")
        assert (await balances(town))["credit"] == 1200

    async def test_repeating_every_write_changes_nothing(self, town: Town) -> None:
        campaign = await open_campaign(town)
        mission = await propose_mission(town, minutes=120)
        await agree(town, mission)
        await reaches(town, mission, "reserved")
        once = await balances(town)
        assert await open_campaign(town) == campaign
        await agree(town, mission)
        assert await balances(town) == once

    async def test_only_its_own_people_may_act(self, town: Town) -> None:
        await open_campaign(town)
        mission = await propose_mission(town, minutes=120)
        for person in ("citizen", "partner"):
            with pytest.raises(ApiError) as refused:
                await town.people[person].post(f"/missions/{mission}/acceptance", key=f"accept-{person}")
            assert refused.value.status in {403, 404}
