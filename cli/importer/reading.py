"""CSV files as an officer's spreadsheet writes them: UTF-8 with or without BOM, commas or semicolons."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cli.console import CliError

# Columns that our own rejects files add; a corrected rejects file can be imported as it is.
OWN_COLUMNS = frozenset({"raison", "ligne", "colonne"})
REJECTS = ".rejects.csv"


@dataclass(frozen=True)
class Line:
    """One record: the line of the file it begins on (the header is line 1), and its cells, trimmed, by column."""

    number: int
    cells: dict[str, str]
    raw: tuple[str, ...]

    def __getitem__(self, column: str) -> str:
        return self.cells.get(column, "")


@dataclass(frozen=True)
class Reject:
    """One row that does not go in: where, what stands there, why, and what to write instead."""

    file: str
    line: int
    column: str
    value: str
    problem: str
    cure: str
    cells: tuple[str, ...] = ()  # of a row that is not among the sheet's lines

    @property
    def reason(self) -> str:
        where = f"{self.column} : " if self.column else ""
        return f"{where}{self.problem}" + (f" ; {self.cure}" if self.cure else "")


@dataclass(frozen=True)
class Sheet:
    """A file as read. `rejects` are the rows that do not even have the header's shape."""

    path: Path
    separator: str
    header: tuple[str, ...]
    lines: tuple[Line, ...]
    rejects: tuple[Reject, ...]

    @property
    def name(self) -> str:
        return self.path.name


def read_sheet(path: Path) -> Sheet:
    """Raises CliError when the file as a whole cannot be understood."""
    try:
        content = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise CliError(
            f"{path.name}, ligne {line} : ce fichier n'est pas en UTF-8.",
            cure="Enregistrez-le sous « CSV UTF-8 » (Excel) ou avec le jeu de caractères Unicode (UTF-8) (LibreOffice).",
        ) from error
    except OSError as error:
        raise CliError(f"{path} : lecture impossible ({error.strerror}).", cure="Vérifiez les droits du fichier.") from error
    separator = _separator(content)
    records = _records(content, separator=separator, path=path)
    if not records:
        raise CliError(f"{path.name} est vide.", cure="La première ligne nomme les colonnes.")
    header = tuple(cell.strip().lower() for cell in records[0][1])
    if doubled := sorted({column for column in header if column and header.count(column) > 1}):
        raise CliError(f"{path.name} : la colonne « {doubled[0]} » figure deux fois.", cure="Gardez-en une seule.")
    lines, rejects = [], []
    for number, cells in records[1:]:
        if len(cells) == len(header):
            lines.append(Line(number, {column: cell.strip() for column, cell in zip(header, cells, strict=True)}, tuple(cells)))
        elif any(cell.strip() for cell in cells):
            rejects.append(_misshapen(path.name, number, cells, expected=len(header), separator=separator))
    return Sheet(path, separator, header, tuple(lines), tuple(rejects))


def _separator(content: str) -> str:
    header = content.partition("\n")[0]
    return ";" if header.count(";") > header.count(",") else ","


def _records(content: str, *, separator: str, path: Path) -> list[tuple[int, list[str]]]:
    """Records with the line they begin on; blank lines are skipped."""
    reader = csv.reader(io.StringIO(content, newline=""), delimiter=separator, strict=True)
    records, begin = [], 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                records.append((begin, cells))
            begin = reader.line_num + 1
    except csv.Error as error:
        raise CliError(
            f"{path.name}, ligne {begin} : guillemets mal fermés ({error}).",
            cure='Un guillemet dans un texte se double ("") et le texte entier se met entre guillemets.',
        ) from error
    return records


def _misshapen(file: str, number: int, cells: list[str], *, expected: int, separator: str) -> Reject:
    name = "une virgule" if separator == "," else "un point-virgule"
    cure = (
        f"mettez entre guillemets le texte qui contient {name}"
        if len(cells) > expected
        else "complétez la ligne (une cellule vide reste une cellule)"
    )
    problem = f"{len(cells)} cellules au lieu de {expected}"
    if excess := cells[expected:]:
        problem += f" (en trop : {separator.join(excess)})"
    return Reject(file, number, "", separator.join(cells), problem, cure, tuple(cells))


@dataclass(frozen=True)
class Written:
    """What became of the rejected rows. `kept`: an earlier rejects file that somebody has been correcting; it stays."""

    path: Path | None
    kept: Path | None = None


def rejects_path(path: Path) -> Path:
    """`acteurs.csv` → `acteurs.rejects.csv`; a rejects file keeps its name."""
    return path if path.name.endswith(REJECTS) else path.with_name(path.name.partition(".")[0] + REJECTS)


def write_rejects(sheet: Sheet, rejects: list[Reject]) -> Written:
    """The rejected rows beside their file, each with line, column and reason; removes an old one when all went in.

    One that somebody has been correcting, and that is not itself what was imported, is neither overwritten nor removed: the
    rows then go to `acteurs.2.rejects.csv`, which a folder's import passes over like the first.
    """
    target = first = rejects_path(sheet.path)
    number = 1
    while target != sheet.path and target.exists() and _was_corrected(target, sheet):
        number += 1
        target = first.with_name(first.name.removesuffix(REJECTS) + f".{number}{REJECTS}")
    kept = first if target != first else None
    if not rejects:
        if kept is None:
            target.unlink(missing_ok=True)
        return Written(None, kept)
    _write(target, sheet, rejects)
    return Written(target, kept)


def _was_corrected(path: Path, sheet: Sheet) -> bool:
    """Whether a rejects file says anything that the file it came from does not: then it is somebody's work."""
    try:
        earlier = read_sheet(path)
    except CliError:
        return True  # in the middle of being edited
    own = {tuple(cell for _, cell in _own_cells(sheet.header, line.raw)) for line in sheet.lines}
    own |= {tuple(cell for _, cell in _own_cells(sheet.header, reject.cells)) for reject in sheet.rejects}
    return bool(earlier.rejects) or any(
        tuple(cell for _, cell in _own_cells(earlier.header, line.raw)) not in own for line in earlier.lines
    )


def _own_cells(header: Sequence[str], cells: Sequence[str]) -> list[tuple[str, str]]:
    """The columns that the file itself has, with this row's cells as they stand; missing ones are empty."""
    padded = [*cells, *[""] * len(header)]
    return [(column, padded[index].strip()) for index, column in enumerate(header) if column not in OWN_COLUMNS]


def _write(target: Path, sheet: Sheet, rejects: list[Reject]) -> None:
    raw = {line.number: line.raw for line in sheet.lines}
    kept = [index for index, column in enumerate(sheet.header) if column not in OWN_COLUMNS]
    draft = target.with_name(target.name + ".new")
    # With a BOM: spreadsheets of Windows take it for UTF-8 only then.
    with draft.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file, delimiter=sheet.separator)
        writer.writerow([*(sheet.header[index] for index in kept), "ligne", "colonne", "raison"])
        for reject in sorted(rejects, key=lambda reject: reject.line):
            padded = [*raw.get(reject.line, reject.cells), *[""] * len(sheet.header)]
            writer.writerow([*(padded[index] for index in kept), reject.line, reject.column, reject.reason])
    draft.replace(target)
