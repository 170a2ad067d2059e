"""Who asks, and where: the options of every command that speaks to a town's API, written once.

A command takes an `Access` first, and its own options after it; `@with_access` gives it the four options of an access.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from cli.api import Session
from cli.console import CliError
from cli.http import make_client
from cli.state import State

Result = TypeVar("Result")

ClientId = Annotated[str, typer.Option("--client-id", envvar="METIS_CLIENT_ID", help="Identifiant, p. ex. 92071.agent.")]
ClientSecret = Annotated[str, typer.Option("--client-secret", envvar="METIS_CLIENT_SECRET", help="Son secret.")]
Url = Annotated[str | None, typer.Option("--url", envvar="METIS_URL", help="Adresse de la passerelle ; sinon celle de --state.")]
StatePath = Annotated[Path, typer.Option("--state", envvar="METIS_STATE", help="Dossier de l'instance locale.")]


@dataclass(frozen=True)
class Access:
    """Of whom, and to which platform."""

    client_id: str
    client_secret: str
    url: str | None
    state: Path

    @property
    def address(self) -> str:
        return (self.url or State(self.state).gateway_url()).rstrip("/")

    def run(self, do: Callable[[Session], Awaitable[Result]]) -> Result:
        """Do it, signed in. Raises CliError when the client or its secret is not given."""
        territory, dot, _ = self.client_id.partition(".")
        if not dot or not self.client_secret:
            raise CliError(
                "Il faut un identifiant et son secret.",
                cure="Donnez --client-id 92071.… et --client-secret … (ou METIS_CLIENT_ID et METIS_CLIENT_SECRET).",
            )
        url = self.address

        async def signed_in() -> Result:
            # A long statement in pages takes its time to be set.
            async with make_client(url, timeout_seconds=120) as http:
                return await do(Session(http, url, territory, self.client_id, self.client_secret))

        return asyncio.run(signed_in())


_OPTIONS = [
    inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
    for name, annotation, default in (
        ("client_id", ClientId, ""),
        ("client_secret", ClientSecret, ""),
        ("url", Url, None),
        ("state", StatePath, Path(".metis")),
    )
]


def with_access(command: Callable[..., Result]) -> Callable[..., Result]:
    """The command as typer reads it: its own options, and after them those of an access."""
    signature = inspect.signature(command)
    _, *own = signature.parameters.values()

    @wraps(command)
    def with_options(**given: Any) -> Result:
        access = Access(**{option.name: given.pop(option.name) for option in _OPTIONS})
        return command(access, **given)

    with_options.__signature__ = signature.replace(parameters=[*own, *_OPTIONS])  # type: ignore[attr-defined]
    with_options.__annotations__ = {option.name: option.annotation for option in (*own, *_OPTIONS)}
    return with_options
