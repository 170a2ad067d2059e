"""What an import did, in tables."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli.importer.checking import Folder
from cli.importer.reading import Reject
from cli.importer.sending import FileResult

REJECTS_SHOWN = 40


def print_remarks(console: Console, folder: Folder) -> None:
    """Columns and files that nobody asked for: named, so that a misspelt heading is seen."""
    for file in folder.files:
        for column in file.unknown_columns:
            expected = ", ".join(known.name for known in file.layout.columns)
            console.print(
                f"[yellow]![/] {file.sheet.name} : colonne inconnue « {escape(column)} », ignorée"
                f" [dim](attendues : {expected})[/]"
            )
    if folder.ignored:
        console.print(f"[dim]Fichiers ignorés : {', '.join(folder.ignored)}[/]")


def print_results(console: Console, results: Sequence[FileResult], *, written: Sequence[Path], dry_run: bool) -> None:
    table = Table(title="Contrôle des fichiers (rien n'a été envoyé)" if dry_run else "Import", title_justify="left")
    table.add_column("Fichier")
    headings = ["Lignes", "Correctes", "Rejetées"] if dry_run else ["Lignes", "Créées", "Modifiées", "Inchangées", "Rejetées"]
    for heading in headings:
        table.add_column(heading, justify="right")
    for result in results:
        rejected = f"[red]{len(result.rejects)}[/]" if result.rejects else "0"
        outcomes = ["checked"] if dry_run else ["created", "changed", "unchanged"]
        table.add_row(result.name, str(result.rows), *(str(result.counts[name]) for name in outcomes), rejected)
    console.print(table)
    _print_rejects(console, [reject for result in results for reject in result.rejects])
    for path in written:
        console.print(f"Lignes rejetées : [bold]{path}[/] (corrigez-les là, puis importez ce fichier)")


def _print_rejects(console: Console, rejects: Sequence[Reject]) -> None:
    if not rejects:
        return
    table = Table(title="Lignes rejetées", title_justify="left")
    for heading in ("Fichier", "Ligne", "Colonne", "Valeur", "Problème", "Que faire"):
        table.add_column(heading, justify="right" if heading == "Ligne" else "left", overflow="fold")
    for reject in rejects[:REJECTS_SHOWN]:
        cells = (reject.column or "—", reject.value[:60] or "(vide)", reject.problem, reject.cure)
        table.add_row(reject.file, str(reject.line), *(escape(cell) for cell in cells))
    console.print(table)
    if len(rejects) > REJECTS_SHOWN:
        console.print(f"[dim]… et {len(rejects) - REJECTS_SHOWN} autres, dans les fichiers .rejects.csv[/]")
