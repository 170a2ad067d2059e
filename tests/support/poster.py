"""A process that posts one mission command after another and prints each answer; tests kill it between the two.

Reads one JSON object from stdin: url, territory, and missions (each the fields of a Reservation and the minutes to settle).
With `hold_answers` it keeps every answer to itself after the commit, so that the kill comes before it for certain.
"""

import asyncio
import json
import sys
from datetime import date
from typing import Any
from uuid import UUID

from kernel.auth import Caller
from kernel.database import Database
from services.credits.use_cases.combiner import Combiner
from services.credits.use_cases.missions import Answer, Command, Reservation, Settlement, decide_missions


def build_commands(mission: dict[str, Any]) -> list[Command]:
    ids = {name: UUID(mission[name]) for name in ("mission_id", "campaign_id", "association_id", "contributor_id")}
    reserved = Reservation(**ids, minutes=mission["minutes"], ends_on=date(2126, 12, 31))
    part = Settlement(reserved.mission_id, reserved.campaign_id, mission["served"], is_final=False, part="a")
    return [reserved, part, Settlement(reserved.mission_id, reserved.campaign_id, mission["served"])]


def describe(answer: Answer) -> str:
    assert answer.hold is not None
    return f"{answer.hold.mission_id} {answer.refusal and answer.refusal.code}"


async def post(order: dict[str, Any]) -> None:
    database = Database(order["url"], service="credits", pool_size=1)
    combiner = Combiner(database, decide_missions)
    caller = Caller.system(order["territory"])
    for mission in order["missions"]:
        for command in build_commands(mission):
            answer = await combiner.submit(caller, command)
            if order["hold_answers"]:
                await asyncio.Event().wait()
            print(describe(answer), flush=True)  # noqa: T201 - its answer, read by the test


if __name__ == "__main__":
    asyncio.run(post(json.loads(sys.stdin.readline())))
