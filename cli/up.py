"""`metis up`: the platform on this machine, until Ctrl-C."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Awaitable
from typing import TypeVar

from cli.console import console, say
from cli.stack import ADMIN_CLIENT, Stack, run_stack
from cli.state import State

T = TypeVar("T")


@contextlib.asynccontextmanager
async def stop_on_signals() -> AsyncIterator[asyncio.Event]:
    """An event that Ctrl-C, SIGTERM and a closed terminal set, instead of ending the process in the middle."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in signals:
        loop.add_signal_handler(number, stopping.set)
    try:
        yield stopping
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


async def first_of(*awaitables: Awaitable[object]) -> None:
    """Wait until one of them is done, and pass on its error; the others are cancelled."""
    tasks = [asyncio.ensure_future(awaitable) for awaitable in awaitables]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def beside(work: Awaitable[T], watch: Awaitable[None]) -> T:
    """The result of `work`, unless `watch` ends first: then its error."""
    working, watching = asyncio.ensure_future(work), asyncio.ensure_future(watch)
    try:
        await asyncio.wait([working, watching], return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            watching.result()
        return await working
    finally:
        for task in (working, watching):
            task.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)


async def serve(state: State) -> None:
    """Start, say where everything is, and stay until asked to stop or until a process dies."""
    async with stop_on_signals() as stopping:
        await first_of(_run(state, stopping), stopping.wait())


async def _run(state: State, stopping: asyncio.Event) -> None:
    with console.status("Démarrage…") as status:
        started = run_stack(state, say=lambda text: status.update(f"{text}…"))
        stack = await started.__aenter__()
    try:
        print_addresses(stack)
        await first_of(stack.children.watch(), stopping.wait())
    finally:
        with console.status("Arrêt…"):
            await started.__aexit__(None, None, None)
        say("Arrêté.")


def print_addresses(stack: Stack) -> None:
    for remark in stack.remarks:
        console.print(f"[yellow]![/] {remark}")
    console.print(f"[bold green]Métis tourne.[/] API publique : [bold]{stack.url}[/]  (documentation : {stack.url}/docs)")
    console.print(
        f"Client de l'instance : [bold]{ADMIN_CLIENT}[/], son secret : instance_admin_secret"
        f" dans {stack.state.path / 'secrets.json'}"
    )
    console.print(f"Journaux : {stack.state.logs}   Traces : {stack.state.spans}   Arrêt : Ctrl-C")
    console.print("Ensuite : [bold]metis territory create 92071 --name Sceaux[/], puis [bold]metis import examples/sceaux …[/]")
