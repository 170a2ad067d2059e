"""`metis close`: lead an officer through the close of a campaign, step by step, as often as it takes.

Everything is kept by the platform: the command may be stopped anywhere and called again, and goes on where it stopped.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import typer
from rich.markup import escape

from cli.access import Access
from cli.api import ApiError, Session
from cli.close_tables import print_findings, print_preview, print_steps
from cli.console import CliError, confirm, console
from cli.wording import hours

Ask = Callable[[str], bool]
BLOCKING = "blocking"
# Before the campaign is closed there is something to foresee.
FORESEEABLE = frozenset({"check", "notices", "expire"})
FORMATS = ("json", "csv", "pdf")


class Stopped(Exception):
    """The person said no, or something stands in the way; what was done stays done."""


def run(access: Access, *, campaign: str, reason: str, dry_run: bool, yes: bool, folder: Path | None) -> int:
    """Returns the exit code: 0 once the report is signed (or shown, of a dry run), 1 when it stopped before."""

    async def close(session: Session) -> None:
        found = await _find_campaign(session, campaign)
        guide = Guide(session, found, ask=(lambda _: True) if yes else confirm, folder=folder)
        await (guide.show_preview() if dry_run else guide.close(reason))

    try:
        access.run(close)
    except (Stopped, typer.Abort, KeyboardInterrupt):
        console.print(f"Arrêté. Ce qui est fait est gardé ; la suite : [bold]metis close {escape(campaign)}[/]")
        return 1
    return 0


async def _find_campaign(session: Session, name: str) -> dict[str, Any]:
    """By its id or the officer's own reference."""
    try:
        found: dict[str, Any] = await session.get(f"/campaigns/{UUID(name)}")
        return found
    except ValueError:
        items = (await session.get("/campaigns", ref=name))["items"]
    if not items:
        raise CliError(f"Il n'y a pas de campagne « {name} » dans ce territoire.", cure="Donnez sa référence (colonne `ref`).")
    first: dict[str, Any] = items[0]
    return first


class Guide:
    """One person's way through the close of one campaign."""

    def __init__(self, session: Session, campaign: Mapping[str, Any], *, ask: Ask, folder: Path | None) -> None:
        self._session = session
        self._campaign = campaign
        self._ask = ask
        self._folder = folder
        self._path = f"/campaigns/{campaign['id']}/closing"

    async def show_preview(self) -> dict[str, Any]:
        preview: dict[str, Any] = await self._session.get(f"{self._path}/preview")
        print_preview(console, self._campaign, preview)
        return preview

    async def close(self, reason: str) -> None:
        closing = await self._find()
        preview = None
        if closing is None or closing["next_step"] in FORESEEABLE:
            preview = await self.show_preview()
        closing = closing or await self._begin(reason)
        console.print(f"Clôture commencée, motif : {escape(closing['reason'])}")
        while (step := closing["next_step"]) not in {None, "sign"}:
            if step == "expire":
                self._require(self._point_of_no_return(preview))
            closing = await self._take(step)
        await self._sign_all(closing)
        print_steps(console, await self._session.get(self._path))
        await self._keep_files()

    async def _find(self) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = await self._session.get(self._path)
        except ApiError as error:
            if error.status == 404:
                return None
            raise
        return found

    async def _begin(self, reason: str) -> dict[str, Any]:
        self._require("Commencer la clôture ? (rien n'est encore irréversible)")
        return await self._post("", {"reason": reason or f"Fin de la campagne « {self._campaign['title']} »"})

    def _require(self, question: str) -> None:
        if not self._ask(question):
            raise Stopped

    def _point_of_no_return(self, preview: Mapping[str, Any] | None) -> str:
        minutes = f" ({hours(preview['expired_minutes'])})" if preview else ""
        return f"Clore la campagne et faire échoir le crédit non dépensé{minutes} ? C'est irréversible."

    async def _take(self, step: str) -> dict[str, Any]:
        """Run a step until it is done; what stands in the way is shown, and accepted or not."""
        accept: list[str] = []
        while True:
            closing = await self._post(f"/steps/{step}", {"accept": accept})
            found = next(one for one in closing["steps"] if one["step"] == step)
            if found["state"] == "done":
                console.print(f"[green]✓[/] {found['title']}")
                return closing
            self._show_blocked(found)
            accept = found["in_the_way"]

    def _show_blocked(self, found: Mapping[str, Any]) -> None:
        in_the_way = [one for one in found["findings"] if one["key"] in found["in_the_way"]]
        console.print(f"[yellow]![/] {found['title']} : arrêté par {len(in_the_way)} constat(s)")
        print_findings(console, in_the_way)
        if any(one["weight"] == BLOCKING for one in in_the_way):
            console.print("Corrigez d'abord ce qui bloque : cela ne peut pas être accepté.")
            raise Stopped
        self._require("Accepter en connaissance de cause, et continuer ?")

    async def _sign_all(self, closing: dict[str, Any]) -> None:
        """The report, then whatever addendum awaits its signature or is due."""
        while True:
            last = closing["reports"][-1]
            if last["signed_at"] is None:
                await self._sign(last)
            elif closing["movements_since"]:
                console.print(f"{closing['movements_since']} écriture(s) ont suivi le dernier rapport.")
                self._require("Établir un additif ?")
                await self._post("/addenda")
            else:
                return
            closing = await self._session.get(self._path)

    async def _sign(self, report: Mapping[str, Any]) -> None:
        name = f"l'additif {report['number']}" if report["number"] else "le rapport"
        await self._keep_files()
        console.print(f"Empreinte : [bold]{report['digest']}[/]")
        self._require(f"Signer {name} sous cette empreinte ?")
        await self._post(f"/reports/{report['number']}/signature", {"digest": report["digest"]})
        console.print(f"[green]✓[/] {name} est signé")

    async def _keep_files(self) -> None:
        """The report and its addenda as files, to be read before they are signed and kept after."""
        if self._folder is None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        for report in await self._session.get(f"{self._path}/reports"):
            for format in FORMATS:
                where = f"{self._path}/reports/{report['number']}"
                answer = await self._session.request("GET", where, parameters={"format": format})
                file = self._folder / f"cloture-{self._campaign['ref']}-{report['number']}.{format}"
                file.write_bytes(answer.content)
        console.print(f"Fichiers du rapport : [bold]{escape(str(self._folder))}[/]")

    async def _post(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Under a key of its own: repeated when the line breaks, and never done twice."""
        answer: dict[str, Any] = await self._session.post(f"{self._path}{path}", body, key=str(uuid4()))
        return answer
