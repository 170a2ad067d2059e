"""`metis import`: read, check, send, report."""

import asyncio
from collections import Counter
from pathlib import Path

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from cli.api import Session
from cli.console import CliError, console, errors
from cli.http import make_client
from cli.importer.checking import Folder, read_folder
from cli.importer.layouts import make_layouts
from cli.importer.reading import write_rejects
from cli.importer.report import print_remarks, print_results, print_subsidies
from cli.importer.sending import FileResult, Importer, total
from cli.wording import counted


def run(path: Path, *, url: str, client_id: str, client_secret: str, shift_days: int, dry_run: bool) -> int:
    """Import a folder or a file and print what came of it. Returns the number of rejected rows."""
    folder = read_folder(path, make_layouts(shift_days))
    print_remarks(console, folder)
    print_subsidies(console, folder)
    if dry_run:
        results = [_as_checked(folder, index) for index in range(len(folder.files))]
        print_results(console, results, written=[], dry_run=True)
        return sum(len(result.rejects) for result in results)
    results = _send(folder, url=url, client_id=client_id, client_secret=client_secret)
    written = [write_rejects(file.sheet, result.rejects) for file, result in zip(folder.files, results, strict=True)]
    print_results(console, results, written=written, dry_run=False)
    return sum(len(result.rejects) for result in results)


def _as_checked(folder: Folder, index: int) -> FileResult:
    file = folder.files[index]
    return FileResult(file.sheet.name, len(file.rows) + len(file.rejects), Counter(checked=len(file.rows)), list(file.rejects))


def _send(folder: Folder, *, url: str, client_id: str, client_secret: str) -> list[FileResult]:
    territory, dot, _ = client_id.partition(".")
    if not dot or not client_secret:
        raise CliError(
            "Pour envoyer, il faut le client d'un agent et son secret.",
            cure="Donnez --client-id 92071.… et --client-secret … (ou METIS_CLIENT_ID et _SECRET) ; --dry-run s'en passe.",
        )
    with ImportProgress() as progress:
        importer: Importer | None = None

        async def send() -> list[FileResult]:
            nonlocal importer
            async with make_client(url) as http:
                importer = Importer(Session(http, url.rstrip("/"), territory, client_id, client_secret), progress=progress.show)
                return await importer.send(folder)

        try:
            return asyncio.run(send())
        except KeyboardInterrupt:
            done = sum(total(importer.results, outcome) for outcome in ("created", "changed", "unchanged")) if importer else 0
            errors.print(f"Interrompu après {counted(done, 'ligne')}, chacune entière. Relancez la même commande pour la suite.")
            raise typer.Exit(130) from None


class ImportProgress:
    """One bar for each file."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<18}"),
            BarColumn(30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=errors,
            transient=True,
        )
        self._bars: dict[str, TaskID] = {}

    def __enter__(self) -> "ImportProgress":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, file: str, done: int, count: int) -> None:
        if file not in self._bars:
            self._bars[file] = self._progress.add_task(file, total=count)
        self._progress.update(self._bars[file], completed=done)
