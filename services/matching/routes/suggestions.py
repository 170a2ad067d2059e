"""Suggested skills over HTTP. Nothing is written: what a person confirms comes back among a need's or an offer's skills."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request

from kernel.auth import PEOPLE, TOWN, Role
from kernel.routing import ByCaller, CallerRoute, allow, make_router
from services.matching.schemas.skills import SuggestionOut, SuggestionsOut, TextBody
from services.matching.use_cases.suggestions import Suggested, Suggester

router = make_router("skills", route_class=CallerRoute)


async def _suggester(request: Request) -> Suggester:
    suggester: Suggester = request.app.state.suggester
    return suggester


Reader = Annotated[Suggester, Depends(_suggester)]


@router.post("/skill-suggestions", **allow("matching:read", *PEOPLE, Role.PARTNER))
async def suggest_skills(caller: ByCaller, reader: Reader, body: TextBody) -> SuggestionsOut:
    """Read a text for skills, each with the words that speak for it. The text is not stored."""
    return _shape(await reader.suggest(caller, body.title, body.description, kind=body.kind))


@router.get("/needs/{need_id}/skill-suggestions", **allow("matching:read", Role.ASSOCIATION, *TOWN))
async def suggest_for_need(caller: ByCaller, reader: Reader, need_id: UUID) -> SuggestionsOut:
    """Read a need's text for skills that its association, or the town, may confirm."""
    return _shape(await reader.suggest_for_need(caller, need_id))


@router.get("/offers/{offer_id}/skill-suggestions", **allow("matching:read", Role.VOLUNTEER, *TOWN))
async def suggest_for_offer(caller: ByCaller, reader: Reader, offer_id: UUID) -> SuggestionsOut:
    """Read an offer's text for skills that its volunteer, or the town, may confirm."""
    return _shape(await reader.suggest_for_offer(caller, offer_id))


def _shape(suggested: Suggested) -> SuggestionsOut:
    suggestions, vocabulary = suggested
    return SuggestionsOut(
        referential_version=vocabulary.version, suggestions=[SuggestionOut.of(suggestion) for suggestion in suggestions]
    )
