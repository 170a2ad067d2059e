"""From sheets to rows that can be sent: columns, values, doubles. Nothing here speaks to the platform."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cli.console import CliError
from cli.importer.reading import OWN_COLUMNS, REJECTS, Line, Reject, Sheet, read_sheet
from cli.importer.values import BadCell, Reader

# What a reference names, and thus in which list of the platform it is looked up.
ACTOR, MEMBER, CONTRIBUTOR, CAMPAIGN = "acteur", "membre", "contributeur", "campagne"


@dataclass(frozen=True)
class Column:
    """One column: how a cell is read, and the field of the API it fills (to find the column of a refusal)."""

    name: str
    read: Reader
    field: str
    required: bool = False
    reference: str = ""  # ACTOR, MEMBER, …: the cell is replaced by that thing's id


@dataclass(frozen=True)
class Layout:
    """One kind of file. `request` makes path and body out of a row's values (None where a cell was empty)."""

    stem: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    request: Callable[[Mapping[str, Any]], tuple[str, dict[str, Any]]]
    defines: str = ""  # the kind of reference that each row of this file creates

    def column_of(self, pointer: str) -> str:
        """The column behind a JSON pointer of the API, if one of ours."""
        path = pointer.lstrip("/") + "/"
        return next((column.name for column in self.columns if path.startswith(f"{column.field}/")), "")


@dataclass(frozen=True)
class Row:
    """A row whose cells could all be read."""

    line: Line
    values: Mapping[str, Any]


@dataclass
class Checked:
    """A file after reading: rows to send, rows rejected, columns nobody asked for."""

    layout: Layout
    sheet: Sheet
    rows: list[Row]
    rejects: list[Reject]
    unknown_columns: list[str]


@dataclass(frozen=True)
class Folder:
    """All files of an import, in the order in which they depend on one another."""

    files: list[Checked]
    ignored: list[str] = field(default_factory=list)


def read_folder(path: Path, layouts: Sequence[Layout]) -> Folder:
    """Read and check a folder of files, or a single file. Raises CliError when there is nothing to import."""
    if not path.exists():
        raise CliError(f"{path} n'existe pas.", cure="Donnez le dossier qui contient acteurs.csv, besoins.csv, …")
    candidates = [path] if path.is_file() else sorted(p for p in path.glob("*.csv") if not p.name.endswith(REJECTS))
    by_stem = {candidate.name.partition(".")[0]: candidate for candidate in candidates}
    files = [check(layout, read_sheet(by_stem[layout.stem])) for layout in layouts if layout.stem in by_stem]
    if not files:
        known = ", ".join(f"{layout.stem}.csv" for layout in layouts)
        raise CliError(f"Rien à importer dans {path}.", cure=f"Fichiers reconnus : {known}.")
    known_stems = {layout.stem for layout in layouts}
    return Folder(files, [candidate.name for stem, candidate in by_stem.items() if stem not in known_stems])


def check(layout: Layout, sheet: Sheet) -> Checked:
    """Every row becomes a Row or a Reject; a file that lacks a required column is refused whole."""
    names = {column.name for column in layout.columns}
    missing = [column.name for column in layout.columns if column.required and column.name not in sheet.header]
    if missing:
        raise CliError(
            f"{sheet.name} : il manque la colonne « {missing[0]} ».",
            cure=f"Colonnes attendues : {', '.join(column.name for column in layout.columns)}.",
        )
    unknown = [column for column in sheet.header if column and column not in names | OWN_COLUMNS]
    checked = Checked(layout, sheet, [], list(sheet.rejects), unknown)
    seen: dict[tuple[str, ...], int] = {}
    for line in sheet.lines:
        row = _check_line(layout, sheet.name, line)
        if isinstance(row, Row):
            row = _refuse_double(layout, sheet.name, row, seen)
        if isinstance(row, Row):
            checked.rows.append(row)
        else:
            checked.rejects.append(row)
    return checked


def _check_line(layout: Layout, file: str, line: Line) -> Row | Reject:
    values: dict[str, Any] = {}
    for column in layout.columns:
        cell = line[column.name]
        if not cell:
            if column.required:
                return Reject(file, line.number, column.name, "", "cellule vide", "cette colonne doit être remplie")
            values[column.name] = None
            continue
        try:
            values[column.name] = column.read(cell)
        except BadCell as error:
            return Reject(file, line.number, column.name, cell, error.problem, error.cure)
    return Row(line, values)


def _refuse_double(layout: Layout, file: str, row: Row, seen: dict[tuple[str, ...], int]) -> Row | Reject:
    key = tuple(str(row.values[column]) for column in layout.key)
    first = seen.setdefault(key, row.line.number)
    if first == row.line.number:
        return row
    return Reject(
        file, row.line.number, layout.key[-1], row.line[layout.key[-1]], f"déjà présent à la ligne {first}",
        "gardez une seule des deux lignes, ou changez la référence",
    )  # fmt: skip
