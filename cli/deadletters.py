"""Events that a service could not handle (`metis deadletters`), in the databases of the services."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable, Sequence
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
from kernel.bus.transport import dead_queue_name

BROKER = "METIS_AMQP_URL"
Found = dict[str, dict[UUID, bool]]  # by service: the ids of its dead letters, and whether each is malformed


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


async def collect(state: State, services: Sequence[str], *, limit: int) -> list[tuple[str, DeadLetter]]:
    """Of each service so many dead letters at most, the oldest first."""
    async with _each(state, services) as opened:
        found = [(name, letter) for name, c in opened for letter in await deadletters.list_dead_letters(c, limit=limit)]
    return sorted(found, key=lambda pair: pair[1].parked_at)


async def _map(state: State, services: Sequence[str]) -> Found:
    async with _each(state, services) as opened:
        return {name: await deadletters.map_dead_letters(connection) for name, connection in opened}


def list_all(state: State, service: str | None, *, limit: int) -> None:
    services = chosen_services(service)
    found = asyncio.run(collect(state, services, limit=limit))
    if found:
        _print_table(found)
    else:
        console.print("No dead letters.")
    for name, letters in asyncio.run(_map(state, services)).items() if found else ():
        shown = sum(1 for of, _ in found if of == name)
        if shown < len(letters):
            everything = f"metis deadletters list --service {name} --limit {len(letters)}"
            console.print(f"[yellow]![/] {name}: the oldest {shown} of {len(letters)} are shown; all of them: {everything}")
    _print_set_aside(services)


def _print_table(found: Sequence[tuple[str, DeadLetter]]) -> None:
    table = Table(title="Dead letters", title_justify="left")
    for heading in ("Event", "Service", "Type", "Territory", "Tries", "Parked (UTC)", "Reason"):
        # An id must stay in one piece, to be copied.
        table.add_column(heading, overflow="fold", no_wrap=heading == "Event")
    for name, letter in found:
        facts = (
            str(letter.event_id),
            name,
            "malformed" if letter.is_malformed else letter.type,
            letter.territory,
            str(letter.attempts),
            f"{letter.parked_at:%Y-%m-%d %H:%M}",
        )
        table.add_row(*facts, escape(letter.reason[:200]))
    console.print(table)
    console.print("[dim]metis deadletters show ID · replay ID… or --all · drop ID…[/]")


def _print_set_aside(services: Sequence[str]) -> None:
    """What the broker put aside, if there is a broker; it is no reason to say nothing of the rest that it is away."""
    url = os.environ.get(BROKER)
    if not url:
        return
    try:
        from kernel.bus.setaside import count_set_aside

        counts = asyncio.run(count_set_aside(url, services))
    except Exception as error:
        # Whatever the client raises is what is to be said.
        console.print(f"[yellow]![/] What RabbitMQ has put aside cannot be seen: {escape(repr(error))}")
        return
    for name, count in counts.items():
        if count:
            console.print(
                f"[yellow]![/] {name}: RabbitMQ has put {count} messages aside in {dead_queue_name(name)}, taken again and again"
                f" and never answered. Once the cause is mended: metis deadletters recover --service {name}"
            )


def recover(service: str | None) -> None:
    """Give what the broker put aside to the services' queues again."""
    url = os.environ.get(BROKER)
    if not url:
        raise CliError(f"{BROKER} is not set.", cure="Only RabbitMQ puts messages aside; give its URL, as the services have it.")
    from kernel.bus.setaside import recover_set_aside

    recovered = 0
    for name in chosen_services(service):
        try:
            count = asyncio.run(recover_set_aside(url, name))
        except Exception as error:
            raise CliError(
                f"RabbitMQ does not do it: {error!r}", cure="Run `metis doctor`; repeating this is harmless."
            ) from error
        recovered += count
        if count:
            console.print(f"{name}: {count} messages given to its queue again")
    if not recovered:
        console.print("RabbitMQ has put nothing aside.")


async def _find(state: State, services: Sequence[str], *, event_id: UUID) -> list[tuple[str, DeadLetter]]:
    async with _each(state, services) as opened:
        pairs = [(name, await deadletters.find_dead_letter(connection, event_id)) for name, connection in opened]
    return [(name, letter) for name, letter in pairs if letter is not None]


def show(state: State, event_id: UUID, *, service: str | None) -> None:
    found = asyncio.run(_find(state, chosen_services(service), event_id=event_id))
    if not found:
        raise _no_such([event_id])
    for name, letter in found:
        what = "Bytes that are no event" if letter.is_malformed else letter.type
        console.print(f"[bold]{escape(what)}[/] in [bold]{name}[/], subject {escape(letter.subject)}, {letter.attempts} tries")
        console.print(f"[red]{escape(letter.reason)}[/]")
        console.print(escape(letter.stack), style="dim")
        try:
            console.print(Syntax(json.dumps(json.loads(letter.body), indent=2, ensure_ascii=False), "json"))
        except ValueError:
            console.print(escape(repr(letter.body)))


def replay(state: State, event_ids: Sequence[UUID], *, everything: bool, service: str | None) -> None:
    """Give the named ones to their handlers again, or all. Those that no handler can take stay, and are named."""
    services = chosen_services(service)
    found = asyncio.run(_map(state, services))
    chosen = _choose(found, event_ids, everything=everything)
    if not chosen:
        console.print("No dead letters.")
        return
    asyncio.run(_act(state, services, deadletters.replay_dead_letters, event_ids=chosen, done="given to the handlers again"))
    malformed = [id for id in chosen if any(letters.get(id) for letters in found.values())]
    if malformed:
        raise CliError(
            f"Malformed, so that no handler can be given it: {', '.join(map(str, malformed))}.",
            cure="See what it is with `metis deadletters show ID`; it can only be dropped.",
        )


def drop(
    state: State, event_ids: Sequence[UUID], *, everything: bool, service: str | None, confirm: Callable[[str], bool]
) -> None:
    """Delete the named ones for good, or all, if `confirm` says yes to that."""
    services = chosen_services(service)
    found = asyncio.run(_map(state, services))
    chosen = _choose(found, event_ids, everything=everything)
    if not chosen:
        console.print("No dead letters.")
        return
    if everything:
        counts = ", ".join(f"{len(letters)} of {name}" for name, letters in found.items() if letters)
        if not confirm(f"Drop {counts} for good? What they would have done will never happen."):
            raise CliError("Nothing was dropped.", cure="`metis deadletters show ID` says what each is about.")
    asyncio.run(_act(state, services, deadletters.drop_dead_letters, event_ids=chosen, done="dropped for good"))


def _choose(found: Found, event_ids: Sequence[UUID], *, everything: bool) -> list[UUID]:
    """Those to act on: each must be there."""
    there = list(dict.fromkeys(id for letters in found.values() for id in letters))
    if everything:
        return there
    if not event_ids:
        raise CliError("No dead letter named.", cure="Give event ids (see `metis deadletters list`), or --all.")
    if missing := [id for id in event_ids if id not in set(there)]:
        raise _no_such(missing)
    return list(event_ids)


async def _act(
    state: State, services: Sequence[str], act: Callable[[Any, Sequence[UUID]], Any], *, event_ids: Sequence[UUID], done: str
) -> None:
    async with _each(state, services) as opened:
        for name, connection in opened:
            if count := await act(connection, event_ids):
                console.print(f"{name}: {count} {done}")


def _no_such(event_ids: Sequence[UUID]) -> CliError:
    return CliError(f"No dead letter {', '.join(map(str, event_ids))}.", cure="See `metis deadletters list`.")
