"""Rows to the platform: eight at a time, each one transaction, each repeatable."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from cli.api import ApiError, Session
from cli.console import CliError
from cli.importer.checking import ACTOR, CAMPAIGN, CONTRIBUTOR, MEMBER, Checked, Column, Folder, Row
from cli.importer.reading import Reject
from cli.importer.refusals import explain, is_of_the_caller

PARALLEL = 8
# Services hear of each other's news through events, a moment later: what is not known yet is asked again.
LAG_SECONDS = 20.0
NOT_KNOWN_YET = frozenset({"not-known-yet"})
LISTS = {ACTOR: "/actors", MEMBER: "/members", CAMPAIGN: "/campaigns"}
FILES_OF = {
    ACTOR: ["acteurs.csv"],
    MEMBER: ["membres.csv"],
    CAMPAIGN: ["campagne.csv"],
    CONTRIBUTOR: ["acteurs.csv", "membres.csv"],
}

Progress = Callable[[str, int, int], None]


@dataclass
class FileResult:
    """What became of one file's rows."""

    name: str
    rows: int
    counts: Counter[str] = field(default_factory=Counter)
    rejects: list[Reject] = field(default_factory=list)


class References:
    """The officer's own keys and the platform's ids for them; asks the platform for what this import did not bring."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._known: dict[str, dict[str, str]] = {kind: {} for kind in LISTS}
        self._loaded: set[str] = set()
        self._loading = asyncio.Lock()

    def learn(self, kind: str, ref: str, id: str) -> None:
        self._known[kind][ref] = id

    async def find(self, kind: str, ref: str) -> str | None:
        for one in (ACTOR, MEMBER) if kind == CONTRIBUTOR else (kind,):
            if ref not in self._known[one]:
                await self._load(one)
            if ref in self._known[one]:
                return self._known[one][ref]
        return None

    async def _load(self, kind: str) -> None:
        async with self._loading:
            if kind in self._loaded:
                return
            async for item in self._session.every(LISTS[kind]):
                self._known[kind].setdefault(item["ref"], item["id"])
            self._loaded.add(kind)


class Importer:
    """Sends the files of a folder in order."""

    def __init__(self, session: Session, *, progress: Progress = lambda file, done, total: None) -> None:
        self._session = session
        self._progress = progress
        self.references = References(session)
        self.results: list[FileResult] = []

    async def send(self, folder: Folder) -> list[FileResult]:
        for file in folder.files:
            await self.send_file(file)
        return self.results

    async def send_file(self, file: Checked) -> FileResult:
        result = FileResult(file.sheet.name, len(file.rows) + len(file.rejects), rejects=list(file.rejects))
        self.results.append(result)
        self._progress(file.sheet.name, 0, len(file.rows))
        queue = iter(file.rows)
        done = 0

        async def work() -> None:
            nonlocal done
            for row in queue:
                outcome = await self._send_row(file, row)
                if isinstance(outcome, Reject):
                    result.rejects.append(outcome)
                else:
                    result.counts[outcome] += 1
                done += 1
                self._progress(file.sheet.name, done, len(file.rows))

        async with asyncio.TaskGroup() as group:
            for _ in range(PARALLEL):
                group.create_task(work())
        return result

    async def _send_row(self, file: Checked, row: Row) -> str | Reject:
        values = dict(row.values)
        for column in file.layout.columns:
            if column.reference and values[column.name] is not None:
                named = values[column.name]
                refs = named if isinstance(named, list) else [named]
                found = [await self.references.find(column.reference, ref) for ref in refs]
                if None in found:
                    return _unknown_reference(file, row, column)
                values[column.name] = found if isinstance(named, list) else found[0]
        path, body = file.layout.request(values)
        try:
            answer = await self._put(path, {name: value for name, value in body.items() if value is not None})
        except ApiError as error:
            if error.status == 403 and is_of_the_caller(error):
                raise CliError(
                    f"Votre identifiant n'a pas le droit d'importer {file.sheet.name}.",
                    cure="Servez-vous de celui d'un agent ou de l'opérateur de la commune, puis relancez l'import.",
                    detail=error.reason,
                ) from error
            if is_of_the_caller(error) or error.status >= 500:
                raise  # not this row's fault
            return _refused(file, row, error)
        if file.layout.defines:
            self.references.learn(file.layout.defines, row.values[file.layout.key[-1]], answer["id"])
        return str(answer.get("outcome", "changed"))

    async def _put(self, path: str, body: dict[str, Any]) -> Any:
        deadline = time.monotonic() + LAG_SECONDS
        pause_seconds = 0.05
        while True:
            try:
                return await self._session.put(path, body)
            except ApiError as error:
                if error.code not in NOT_KNOWN_YET or time.monotonic() > deadline:
                    raise
            await asyncio.sleep(pause_seconds)
            pause_seconds = min(pause_seconds * 2, 1.0)


def _unknown_reference(file: Checked, row: Row, column: Column) -> Reject:
    files = FILES_OF[column.reference]
    return Reject(
        file.sheet.name, row.line.number, column.name, row.line[column.name],
        f"référence inconnue, ni dans {' ni dans '.join(files)} (lignes acceptées) ni sur la plateforme",
        f"corrigez la référence, ou ajoutez ou corrigez sa ligne dans {' ou '.join(files)}",
    )  # fmt: skip


def _refused(file: Checked, row: Row, error: ApiError) -> Reject:
    said = explain(file.layout, error)
    value = row.line[said.column] if said.column else ""
    return Reject(file.sheet.name, row.line.number, said.column, value, said.problem, said.cure)


def total(results: Sequence[FileResult], outcome: str) -> int:
    return sum(result.counts[outcome] for result in results)
