"""Two territories in one instance: what one's people try in the other is refused, and shown."""

from dataclasses import dataclass
from typing import Any

from cli.api import ApiError, Session
from cli.console import CliError
from cli.demo.closing import PARTNER
from cli.demo.town import Town


@dataclass(frozen=True)
class Attempt:
    """Who tried what in whose territory, and how it was refused."""

    who: str
    what: str
    where: str
    status: int
    code: str


async def try_across(town: Town, other: Town) -> list[Attempt]:
    """People of `town` reach for `other`. Raises CliError if anything of it succeeds."""
    officer, partner = town.as_officer, town.session(PARTNER)
    name = town.officer["display_name"]
    body = {"minutes": 6000, "contributor_id": next(iter(other.members)), "note": "d'ailleurs"}
    return [
        await _try(officer, other, who=name, what="lire les membres", method="GET", path="/members"),
        await _try(officer, other, who=name, what="lire le grand livre", method="GET", path=f"{other.path}/transfers"),
        await _try(
            officer,
            other,
            who=name,
            what="promettre des heures",
            method="PUT",
            path=f"{other.path}/pledges/refs/intrus",
            body=body,
        ),
        await _try(
            officer,
            other,
            who=name,
            what="clore la campagne",
            method="POST",
            path=f"{other.path}/closure",
            body={"reason": "intrus"},
        ),
        await _try(partner, other, who="Plateforme partenaire", what="lire les webhooks", method="GET", path="/webhooks"),
    ]


async def _try(
    session: Session, other: Town, *, who: str, what: str, method: str, path: str, body: dict[str, Any] | None = None
) -> Attempt:
    try:
        response = await session.request(method, path, body=body, territory=other.insee)
    except ApiError as error:
        if error.status not in {403, 404}:
            raise
        return Attempt(who, what, other.name, error.status, error.code)
    raise CliError(f"{who} a pu {what} à {other.name} (HTTP {response.status_code}) : les territoires ne sont pas étanches.")


async def try_inside(town: Town, other: Town) -> list[Attempt]:
    """With a token of one's own territory, ids of the other are simply not there."""
    mission = next(iter(await other.as_operator.everything("/missions")))
    paths = {"lire une mission d'ailleurs": f"/missions/{mission['id']}", "lire une campagne d'ailleurs": other.path}
    attempts = []
    for what, path in paths.items():
        try:
            await town.as_officer.request("GET", path)
        except ApiError as error:
            if error.status != 404:
                raise
            attempts.append(Attempt(town.officer["display_name"], what, town.name, error.status, error.code))
        else:
            raise CliError(f"{town.name} voit une mission de {other.name} : les territoires ne sont pas étanches.")
    return attempts
