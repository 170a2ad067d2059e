"""Events that a service could not handle (`metis deadletters`), in the databases of the services."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from rich.markup import escape
from rich.syntax import Syntax
from rich.table import Table

from cli.console import CliError, console
from cli.databases import chosen_services, connect
from cli.state import State
from kernel.bus import deadletters
from kernel.bus.deadletters import DeadLetter


@asynccontextmanager
async def _each(state: State, services: Sequence[str]) -> AsyncIterator[list[tuple[str, Any]]]:
    opened: list[tuple[str, Any]] = []
    try:
        for service in services:
            opened.append((service, await connect(service, state)))
        yield opened
    finally:
        for _, connection in opened:
            await connection.close()


async def collect(state: State, services: Sequence[str], *, limit: int = 200) -> list[tuple[str, DeadLetter]]:
    """All dead letters, the oldest first."""
    async with _each(state, services) as opened:
        found = [(name, letter) for name, c in opened for letter in await deadletters.list_dead_letters(c, limit=limit)]
    return sorted(found, key=lambda pair: pair[1].parked_at)


def list_all(state: State, service: str | None) -> None:
    found = asyncio.run(collect(state, chosen_services(service)))
    if not found:
        console.print("No dead letters.")
        return
    table = Table(title="Dead letters", title_justify="left")
    for heading in ("Event", "Service", "Type", "Territory", "Tries", "Parked (UTC)", "Reason"):
        table.add_column(heading, overflow="fold")
    for name, letter in found:
        facts = (
            str(letter.event_id),
            name,
            letter.type,
            letter.territory,
            str(letter.attempts),
            f"{letter.parked_at:%Y-%m-%d %H:%M}",
        )
        table.add_row(*facts, escape(letter.reason[:200]))
    console.print(table)
    console.print("[dim]metis deadletters show ID · replay ID… or --all · drop ID…[/]")


async def _find(state: State, services: Sequence[str], *, event_id: UUID) -> list[tuple[str, DeadLetter]]:
    async with _each(state, services) as opened:
        pairs = [(name, await deadletters.find_dead_letter(connection, event_id)) for name, connection in opened]
    return [(name, letter) for name, letter in pairs if letter is not None]


def show(state: State, event_id: UUID, *, service: str | None) -> None:
    found = asyncio.run(_find(state, chosen_services(service), event_id=event_id))
    if not found:
        raise _no_such([event_id])
    for name, letter in found:
        console.print(f"[bold]{letter.type}[/] in [bold]{name}[/], subject {letter.subject}, {letter.attempts} tries")
        console.print(f"[red]{escape(letter.reason)}[/]")
        console.print(escape(letter.stack), style="dim")
        try:
            console.print(Syntax(json.dumps(json.loads(letter.body), indent=2, ensure_ascii=False), "json"))
        except ValueError:
            console.print(repr(letter.body))


async def _act(state: State, services: Sequence[str], *, event_ids: Sequence[UUID], replay: bool) -> dict[str, int]:
    do = deadletters.replay_dead_letters if replay else deadletters.drop_dead_letters
    async with _each(state, services) as opened:
        return {name: await do(connection, event_ids) for name, connection in opened}


def act(state: State, event_ids: Sequence[UUID], *, everything: bool, service: str | None, replay: bool) -> None:
    """Replay or drop the named ones, or all. Says how many in which service."""
    services = chosen_services(service)
    if everything:
        event_ids = [letter.event_id for _, letter in asyncio.run(collect(state, services, limit=100_000))]
    if not event_ids:
        raise CliError("No dead letter named.", cure="Give event ids (see `metis deadletters list`), or --all.")
    counts = asyncio.run(_act(state, services, event_ids=event_ids, replay=replay))
    if not any(counts.values()):
        raise _no_such(event_ids)
    for name, count in counts.items():
        if count:
            console.print(f"{name}: {count} {'given to the handlers again' if replay else 'dropped for good'}")


def _no_such(event_ids: Sequence[UUID]) -> CliError:
    return CliError(f"No dead letter {', '.join(map(str, event_ids))}.", cure="See `metis deadletters list`.")
