"""What an import did, in tables."""

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli.importer.checking import Folder
from cli.importer.layouts import SUBSIDIES
from cli.importer.reading import Reject, Written
from cli.importer.sending import FileResult
from cli.wording import counted, euros

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


def print_subsidies(console: Console, folder: Folder) -> None:
    """The sums of the subsidies before and after, to be compared with the town's own: a wrong file is seen before it counts."""
    for file in folder.files:
        by_campaign: dict[str, list[tuple[str, int, int]]] = {}
        for row in file.rows if file.layout.stem == SUBSIDIES else ():
            seat = (row.values["association"], row.values["avant_euros"], row.values["apres_euros"])
            by_campaign.setdefault(row.values["campagne"], []).append(seat)
        for campaign, seats in by_campaign.items():
            before, after = sum(seat[1] for seat in seats), sum(seat[2] for seat in seats)
            console.print(
                f"Subventions, {escape(campaign)} : {counted(len(seats), 'association')}, "
                f"{euros(before)} avant, {euros(after)} après, soit {euros(before - after)} de baisse"
            )
            if uncut := [association for association, one, other in seats if other >= one]:
                names = escape(", ".join(uncut[:10])) + (", …" if len(uncut) > 10 else "")
                console.print(f"[yellow]![/] sans baisse, donc sans dotation ({len(uncut)}) : {names}")


def print_results(console: Console, results: Sequence[FileResult], *, written: Sequence[Written], dry_run: bool) -> None:
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
    by_line = [sorted(result.rejects, key=lambda reject: reject.line) for result in results]
    _print_rejects(console, [reject for rejects in by_line for reject in rejects])
    for file in written:
        if file.kept:
            console.print(
                f"[yellow]![/] {file.kept} contient d'autres valeurs que le fichier importé (des corrections en cours ?) :"
                " il reste tel quel. Importez-le, ou supprimez-le."
            )
        if file.path:
            console.print(f"Lignes rejetées : [bold]{file.path}[/] (corrigez-les là, puis importez ce fichier)")


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
        console.print(f"[dim]… et {counted(len(rejects) - REJECTS_SHOWN, 'autre')}, dans les fichiers .rejects.csv[/]")
