"""What PostgreSQL itself holds of rows that may change: holds, their parts and campaigns move forward, or not at all."""

from typing import Any
from uuid import UUID

import asyncpg
import pytest

from services.credits.use_cases.campaigns import write_campaign
from services.credits.use_cases.missions import Settlement
from tests.builders.credits import Scene, make_facts
from tests.builders.lots import decide_one, reverse


async def refuse(scene: Scene, statement: str, *arguments: Any, match: str) -> None:
    """As the service's runtime role."""
    with pytest.raises(asyncpg.PostgresError, match=match) as refused:
        await scene.fetch(statement, *arguments)
    assert refused.value.sqlstate == "MT003"


async def serve_part(scene: Scene) -> UUID:
    """A mission of 90 minutes, of which 30 are served and 60 held."""
    association, contributor = await scene.fund(credit=600)
    agreed = await scene.agree(association, contributor, 90)
    await decide_one(scene, Settlement(agreed.mission_id, scene.campaign_id, 30, is_final=False, part="a"))
    return agreed.mission_id


async def end_mission(scene: Scene, state: str) -> UUID:
    """A mission of 90 minutes, 60 of them served where any were, that ended in this state."""
    association, contributor = await scene.fund(credit=600)
    mission = scene.agreed(association, contributor, 9000 if state == "refused" else 90)
    if state != "cancelled":
        await scene.handle(mission)
    if state in {"cancelled", "released"}:
        await scene.handle(scene.cancelled(mission))
    if state in {"settled", "reversed"}:
        await scene.handle(scene.validated(mission, 60))
    if state == "reversed":
        (transfer,) = await scene.fetch("SELECT id FROM transfer WHERE mission_id = $1 AND kind = 'settle'", mission.mission_id)
        await reverse(scene, transfer["id"])
    return mission.mission_id


class TestHold:
    @pytest.mark.parametrize("ended", ["settled", "released", "reversed", "refused", "cancelled"])
    async def test_a_hold_that_is_over_stays_over(self, scene: Scene, ended: str) -> None:
        mission = await end_mission(scene, ended)
        (row,) = await scene.fetch("SELECT state, minutes FROM hold WHERE mission_id = $1", mission)
        assert row["state"] == ended
        for state in sorted({"asked", "held", "refused", "cancelled", "released", "settled", "reversed"} - {ended}):
            for served in (0, row["minutes"]):
                await refuse(
                    scene, "UPDATE hold SET state = $2, served_minutes = $3 WHERE mission_id = $1", mission, state, served,
                    match="does not go from",
                )  # fmt: skip

    @pytest.mark.parametrize(
        "change",
        [
            "state = 'asked'", "state = 'refused'", "state = 'cancelled'", "state = 'reversed'", "served_minutes = 29",
            "state = 'settled', served_minutes = 0", "state = 'released'",
        ],
    )  # fmt: skip
    async def test_a_hold_does_not_go_back(self, scene: Scene, change: str) -> None:
        mission = await serve_part(scene)
        await refuse(scene, f"UPDATE hold SET {change} WHERE mission_id = $1", mission, match="does not go from")

    @pytest.mark.parametrize("served", [0, 30, 59])
    async def test_what_was_served_is_undone_by_transfers_alone(self, scene: Scene, served: int) -> None:
        """30 of the 60 minutes that were served are undone: that is what the ledger says, and nothing else may be said."""
        mission = await end_mission(scene, "settled")
        state = "settled" if served else "reversed"
        change = "UPDATE hold SET state = $2, served_minutes = $3 WHERE mission_id = $1"
        await refuse(scene, change, mission, state, served, match="does not go from")
        (transfer,) = await scene.fetch("SELECT id FROM transfer WHERE mission_id = $1 AND kind = 'settle'", mission)
        await reverse(scene, transfer["id"], 30)
        (row,) = await scene.fetch("SELECT state, served_minutes FROM hold WHERE mission_id = $1", mission)
        assert tuple(row) == ("settled", 30)
        if served != 30:
            await refuse(scene, change, mission, state, served, match="does not go from")

    @pytest.mark.parametrize(
        "change",
        [
            "minutes = minutes + 15", "campaign_id = gen_random_uuid()", "association_id = gen_random_uuid()", "contributor_id = NULL",
            "ends_on = ends_on + 1",
        ],
    )  # fmt: skip
    async def test_a_hold_keeps_its_terms(self, scene: Scene, change: str) -> None:
        mission = await serve_part(scene)
        await refuse(scene, f"UPDATE hold SET {change} WHERE mission_id = $1", mission, match="stays as it was agreed")

    @pytest.mark.parametrize(
        ("change", "answer"),
        [
            ("served_minutes = 45", "does not go back"),
            ("served_minutes = 45, released_minutes = 45", "does not go back"),
            ("released_minutes = 15", "does not go back"),
            ("released_minutes = 0, served_minutes = 90", "does not go back"),
            ("minutes = minutes + 15", "stays as it was agreed"),
            ("lot_id = gen_random_uuid()", "stays as it was agreed"),
            ("number = 2", "stays as it was agreed"),
        ],
    )
    async def test_a_part_of_a_hold_does_not_go_back(self, scene: Scene, change: str, answer: str) -> None:
        mission = await end_mission(scene, "settled")
        (part,) = await scene.fetch("SELECT * FROM hold_part WHERE mission_id = $1", mission)
        assert (part["minutes"], part["served_minutes"], part["released_minutes"]) == (90, 60, 30)
        await refuse(scene, f"UPDATE hold_part SET {change} WHERE mission_id = $1", mission, match=answer)


class TestCampaign:
    @pytest.mark.parametrize("change", ["state = 'draft'", "state = 'open'"])
    async def test_a_campaign_is_closed_once(self, scene: Scene, change: str) -> None:
        if change == "state = 'open'":
            await scene.close()
        await refuse(scene, f"UPDATE campaign SET {change}", match="opened once and closed once")

    async def test_a_draft_is_opened_before_it_is_closed(self, scene: Scene) -> None:
        async with scene.work() as work:
            draft, _ = await write_campaign(work, ref="2027", facts=make_facts())
        closing = "UPDATE campaign SET state = 'closed' WHERE id = $1"
        await refuse(scene, closing, draft.id, match="opened once and closed once")

    @pytest.mark.parametrize("state", ["open", "closed"])
    @pytest.mark.parametrize(
        "change",
        [
            "ref = 'x'", "title = 'x'", "starts_on = starts_on - 1", "ends_on = ends_on + 1", "operator_id = gen_random_uuid()",
            "step_minutes = 1", "compensation_permille = 1", "hour_value_cents = 1", "expiry = 'lapse'",
            "conventions_required = NOT conventions_required", "four_eyes_above_minutes = 1", "daily_limit_minutes = 1",
            "opened_at = now()", "closed_at = now(), closure_reason = 'x'", "state = 'closed', ends_on = ends_on - 1", "version = 9",
        ],
    )  # fmt: skip
    async def test_a_campaign_keeps_its_rules(self, scene: Scene, state: str, change: str) -> None:
        if state == "closed":
            await scene.close()
        await refuse(scene, f"UPDATE campaign SET {change}", match="its rules are fixed")
