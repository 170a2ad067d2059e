"""One territory of the demo: its people, each with an OAuth client of their own, and what it remembers between runs."""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from cli.api import Session
from cli.console import CliError
from cli.http import AsyncClient
from cli.state import State
from cli.territory import ADMIN_CLIENT

T = TypeVar("T")
R = TypeVar("R")
CROWD = 12  # people acting at the same time
Say = Callable[[str, str], None]


class Memory:
    """What the demo must know in its next run: the clients' secrets, by how many days dates were moved, chosen fates."""

    NAME = "demo.json"

    def __init__(self, state: State) -> None:
        self._state = state
        self._content = state.read(self.NAME)

    def part(self, name: str) -> dict[str, Any]:
        part: dict[str, Any] = self._content.setdefault(name, {})
        return part

    def save(self) -> None:
        self._state.write(self.NAME, self._content)


@dataclass
class Town:
    """A territory, its people's sessions, and its campaign as last read."""

    insee: str
    name: str
    folder: Path
    http: AsyncClient = field(repr=False)
    url: str
    memory: Memory = field(repr=False)
    tell: Say = field(repr=False)
    actors: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False)  # by id
    members: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False)  # by id
    campaign: dict[str, Any] = field(default_factory=dict, repr=False)
    notes: dict[str, Any] = field(default_factory=dict, repr=False)  # for the report
    _sessions: dict[str, Session] = field(default_factory=dict, repr=False)
    _crowd: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(CROWD), repr=False)

    def say(self, text: str) -> None:
        self.tell(self.name, text)

    # Who acts

    def open_session(self, client_id: str, secret: str) -> Session:
        if client_id not in self._sessions:
            self._sessions[client_id] = Session(self.http, self.url, self.insee, client_id, secret)
        return self._sessions[client_id]

    def admin(self, secret: str) -> Session:
        return self.open_session(ADMIN_CLIENT, secret)

    def client_id(self, name: str) -> str:
        return f"{self.insee}.{name}"

    def session(self, name: str) -> Session:
        """The session of somebody who has a client already."""
        client_id = self.client_id(name)
        return self.open_session(client_id, self.memory.part("clients")[client_id])

    def has_client(self, name: str) -> bool:
        return self.client_id(name) in self.memory.part("clients")

    async def issue(self, by: Session, name: str, body: dict[str, Any]) -> None:
        """Give somebody a client, unless they have one; its secret is remembered."""
        if not self.has_client(name):
            answer = await by.put(f"/clients/{self.client_id(name)}", body)
            self.memory.part("clients")[answer["client_id"]] = answer["client_secret"]

    async def issue_to_members(self, members: Iterable[dict[str, Any]]) -> None:
        """Clients for people of the registry: their own roles, for themselves and the organisation they act for."""
        officer = self.session(self.officer["ref"]) if self.has_client(self.officer["ref"]) else self.session("agent")

        async def issue(member: dict[str, Any]) -> None:
            facts = {"name": member["display_name"], "roles": member["roles"], "member_id": member["id"]}
            actor = {"actor_id": member["actor_id"]} if member["actor_id"] else {}
            await self.issue(officer, member["ref"], facts | actor)

        wanted = [member for member in members if not self.has_client(member["ref"])]
        await self.together(issue, wanted)
        if wanted:
            self.memory.save()

    def as_member(self, member_id: str) -> Session:
        return self.session(self.members[member_id]["ref"])

    def as_manager(self, actor_id: str) -> Session:
        """The first who manages an association, or speaks for a company."""
        return self.session(self.manager_of(actor_id)["ref"])

    def manager_of(self, actor_id: str) -> dict[str, Any]:
        people = [member for member in self.members.values() if member["actor_id"] == actor_id]
        managers = [member for member in people if {"association", "company"} & set(member["roles"])]
        if not managers:
            raise CliError(f"Personne n'agit pour {self.actor_name(actor_id)}.", cure="Ajoutez un responsable dans membres.csv.")
        return min(managers, key=lambda member: member["ref"])

    @property
    def officer(self) -> dict[str, Any]:
        return self._first("officer")

    @property
    def operator(self) -> dict[str, Any]:
        return self._first("operator")

    def _first(self, role: str) -> dict[str, Any]:
        return min((member for member in self.members.values() if role in member["roles"]), key=lambda member: member["ref"])

    @property
    def as_officer(self) -> Session:
        return self.session(self.officer["ref"])

    @property
    def as_operator(self) -> Session:
        return self.session(self.operator["ref"])

    def actor_name(self, id: str | None) -> str:
        return str(self.actors[id]["name"]) if id in self.actors else "—"

    def person_name(self, id: str | None) -> str:
        return str(self.members[id]["display_name"]) if id in self.members else "—"

    def holder_name(self, id: str | None) -> str:
        return self.actor_name(id) if id in self.actors else self.person_name(id)

    # What they do

    @property
    def path(self) -> str:
        """Of the campaign."""
        return f"/campaigns/{self.campaign['id']}"

    async def read_people(self, session: Session) -> None:
        self.actors = {actor["id"]: actor async for actor in session.every("/actors")}
        self.members = {member["id"]: member async for member in session.every("/members")}

    async def read_campaign(self, session: Session) -> None:
        self.campaign = (await session.everything("/campaigns"))[0]

    async def together(self, act: Callable[[T], Awaitable[R]], items: Iterable[T]) -> list[R]:
        """Many people at once, but not all. The first error ends them all."""

        async def bounded(item: T) -> R:
            async with self._crowd:
                return await act(item)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(bounded(item)) for item in items]
        return [task.result() for task in tasks]


def make_traceparent() -> tuple[str, str]:
    """A W3C header that begins a trace, and the trace's id."""
    trace = secrets.token_hex(16)
    return f"00-{trace}-{secrets.token_hex(8)}-01", trace


async def wait_until(check: Callable[[], Awaitable[bool]], *, what: str, timeout_seconds: float = 60) -> None:
    """Ask again and again, a little more slowly each time, until it is so."""
    deadline = time.monotonic() + timeout_seconds
    pause_seconds = 0.05
    while not await check():
        if time.monotonic() > deadline:
            raise CliError(
                f"Attendu en vain pendant {timeout_seconds:.0f} s : {what}.",
                cure="Voyez `metis doctor` et `metis deadletters list`, et les journaux dans .metis/logs.",
            )
        await asyncio.sleep(pause_seconds)
        pause_seconds = min(pause_seconds * 1.5, 0.15)
