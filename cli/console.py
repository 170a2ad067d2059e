"""How the command line speaks: one console, one kind of failure that says its cure."""

import os
import sys
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperGroup

# Not on a terminal (a log, a pipe): wide enough for the tables, whatever the width of nothing is taken to be.
_WIDTH = None if sys.stdout.isatty() or "COLUMNS" in os.environ else 140
console = Console(highlight=False, width=_WIDTH)
# Progress and remarks go beside the output, so that the output can be piped.
errors = Console(stderr=True, highlight=False, width=_WIDTH)


class CliError(Exception):
    """Something a person can mend. `cure` says how; `detail` is what a log or a program said."""

    def __init__(self, message: str, *, cure: str = "", detail: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.cure = cure
        self.detail = detail


def confirm(question: str) -> bool:
    """Yes only when it is said; Enter alone is no."""
    answer: str = typer.prompt(f"{question} [o/N]", default="", show_default=False)
    return answer.strip().lower() in {"o", "oui", "y", "yes"}


def say(text: str) -> None:
    console.print(text)


def print_error(error: CliError) -> None:
    errors.print(f"[bold red]✗[/] {escape(error.message)}")
    if error.detail:
        errors.print(escape(error.detail.rstrip()), style="dim")
    if error.cure:
        errors.print(f"[bold green]→[/] {escape(error.cure)}")


class TeachingGroup(TyperGroup):
    """The command group that turns a `CliError` into a message and exit code 1, and Ctrl-C into 130."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except CliError as error:
            if os.environ.get("METIS_TRACEBACK"):
                raise
            print_error(error)
            ctx.exit(1)
        except BaseExceptionGroup as group:
            # Several people at once (asyncio.TaskGroup): the first who was refused tells for all.
            found = _first_cli_error(group)
            if found is None or os.environ.get("METIS_TRACEBACK"):
                raise
            print_error(found)
            ctx.exit(1)
        except KeyboardInterrupt:
            errors.print("Interrompu.")
            ctx.exit(130)


def _first_cli_error(group: BaseExceptionGroup[BaseException]) -> CliError | None:
    for error in group.exceptions:
        if isinstance(error, CliError):
            return error
        if isinstance(error, BaseExceptionGroup) and (found := _first_cli_error(error)):
            return found
    return None
