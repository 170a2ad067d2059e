"""The weights of the score over HTTP."""

from fastapi import Response

from kernel.auth import EVERYONE, TOWN, Role
from kernel.routing import InWork, VersionToEdit, allow, make_router
from kernel.work import Work
from services.matching.routes.shared import set_etag
from services.matching.schemas.weights import PreviewOut, WeightsBody, WeightsOut, WeightsToSet
from services.matching.store.weights import list_weights
from services.matching.use_cases import weights as use_cases

router = make_router("weights")


@router.get("/weights", **allow("matching:read", *EVERYONE))
async def read_weights(work: InWork, response: Response) -> WeightsOut:
    """Read the weights of the score that are in force, their bounds, and every version with who set it and why."""
    return await _answer(work, response)


@router.put("/weights", **allow("matching:write", Role.OFFICER))
async def set_weights(work: InWork, body: WeightsToSet, version: VersionToEdit, response: Response) -> WeightsOut:
    """Set the weights: a new version, in force at once. Missions that are proposed already keep their score."""
    await use_cases.set_weights(work, body.weights(), reason=body.reason, version=version)
    return await _answer(work, response)


@router.post("/weights/preview", **allow("matching:read", *TOWN))
async def preview_weights(work: InWork, body: WeightsBody) -> PreviewOut:
    """Show what weights would change, before they are set: for open needs and those of the last missions, which tops."""
    return PreviewOut.of(await use_cases.preview_weights(work, body.weights()))


async def _answer(work: Work, response: Response) -> WeightsOut:
    versions = await list_weights(work)
    set_etag(response, versions[0].version)
    return WeightsOut.of_all(versions)
