"""Holds for missions that another platform keeps: asked for over HTTP, many callers in one transaction (use_cases/combiner.py).

Missions of our own matching come by events. Both are decided by the same use case.
"""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request, Response

from kernel.auth import TOWN, Role
from kernel.routing import ByCaller, OwnWork, SharingRoute, allow, make_router
from services.credits.domain.errors import HoldRefused
from services.credits.domain.holds import find_lacking_account
from services.credits.schemas.fields import ReasonBody
from services.credits.schemas.holds import HoldAnswer, HoldBody, SettlementBody
from services.credits.use_cases.combiner import Apart, Combiner
from services.credits.use_cases.missions import Answer, Command, Release, Reservation, Settlement, decide_mission

router = make_router("credits", route_class=SharingRoute)


async def _missions(request: Request, work: OwnWork) -> Combiner[Command, Answer] | Apart[Command, Answer]:
    together: Combiner[Command, Answer] = request.app.state.missions
    return together if work is None else Apart(work, decide_mission)


Missions = Annotated[Combiner[Command, Answer] | Apart[Command, Answer], Depends(_missions)]


def _shape(answer: Answer, response: Response, *, status: int) -> HoldAnswer:
    """A refusal is kept and told, and answered as one; repeating the request is answered by the hold as it stands."""
    assert answer.hold is not None
    if (refusal := answer.refusal) is not None:
        raise HoldRefused.because(
            reason_code=refusal.code,
            reason=refusal.reason,
            missing_minutes=refusal.missing_minutes,
            account=find_lacking_account(
                refusal.code,
                campaign_id=answer.hold.campaign_id,
                association_id=answer.hold.association_id,
                contributor_id=answer.hold.contributor_id,
            ),
        )
    response.status_code = status if answer.is_new else 200
    return HoldAnswer.of(answer.hold, is_new=answer.is_new)


@router.post(
    "/campaigns/{id}/holds",
    status_code=201,
    responses={200: {"model": HoldAnswer, "description": "It was decided before; this is how it stands."}},
    **allow("credits:reserve", *TOWN, Role.PARTNER),
)
async def post_hold(caller: ByCaller, missions: Missions, id: UUID, body: HoldBody, response: Response) -> HoldAnswer:
    """Set credit aside for an agreed mission of your own platform. The mission's id is the key: ask again as often as needed."""
    command = Reservation(body.mission_id, id, body.association_id, body.contributor_id, body.minutes, body.ends_on)
    return _shape(await missions.submit(caller, command), response, status=201)


@router.post("/campaigns/{id}/holds/{mission_id}/settlements", **allow("credits:reserve", *TOWN, Role.PARTNER))
async def post_settlement(
    caller: ByCaller, missions: Missions, *, id: UUID, mission_id: UUID, body: SettlementBody, response: Response
) -> HoldAnswer:
    """Spend validated minutes of a mission, in one or several parts; the last one gives the rest back. The part is the key."""
    command = Settlement(mission_id, id, body.minutes, body.is_final, body.part)
    return _shape(await missions.submit(caller, command), response, status=200)


@router.post("/campaigns/{id}/holds/{mission_id}/release", **allow("credits:reserve", *TOWN, Role.PARTNER))
async def post_release(
    caller: ByCaller, missions: Missions, *, id: UUID, mission_id: UUID, body: ReasonBody, response: Response
) -> HoldAnswer:
    """Call the mission off: what is still held goes back, what was served stays served."""
    return _shape(await missions.submit(caller, Release(mission_id, id, None, body.reason)), response, status=200)
