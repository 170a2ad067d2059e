"""A new territory and its first officer's client (`metis territory create`)."""

import re
from dataclasses import dataclass, field

from cli.api import Session
from cli.console import CliError
from cli.http import make_client

ADMIN_CLIENT = "instance-admin"
OFFICER = "agent"
_INSEE = re.compile(r"(\d{2}|2[AB])\d{3}")


@dataclass(frozen=True)
class Credentials:
    client_id: str
    client_secret: str = field(repr=False)


async def create_territory(url: str, *, insee: str, name: str, admin_secret: str) -> Credentials:
    """Create (or rename) the territory, and give its first officer a client. Its secret is shown once: a new call replaces it."""
    if not _INSEE.fullmatch(insee):
        raise CliError(
            f"« {insee} » n'est pas un code INSEE de commune.", cure="Cinq caractères, comme 92071 (pas le code postal)."
        )
    async with make_client(url) as http:
        admin = Session(http, url, insee, ADMIN_CLIENT, admin_secret)
        await admin.put("", {"name": name})
        return await create_client(admin, f"{insee}.{OFFICER}", {"name": f"Agent de {name}", "roles": ["officer"]})


async def create_client(session: Session, client_id: str, body: dict[str, object]) -> Credentials:
    """A client of the territory, with a fresh secret."""
    answer = await session.put(f"/clients/{client_id}", body)
    return Credentials(answer["client_id"], answer["client_secret"])
