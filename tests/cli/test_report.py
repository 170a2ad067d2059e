"""What an import says of the subsidies: sums to be compared with the town's own, and who will get nothing."""

import io
from pathlib import Path

from rich.console import Console

from cli.importer.checking import read_folder
from cli.importer.layouts import make_layouts
from cli.importer.reading import Written
from cli.importer.report import print_results, print_subsidies


def say_of(folder: Path, subsidies: str) -> str:
    (folder / "subventions.csv").write_text("campagne;association;avant_euros;apres_euros\n" + subsidies)
    out = io.StringIO()
    print_subsidies(Console(file=out, width=200, highlight=False), read_folder(folder, make_layouts()))
    return out.getvalue()


class TestPrintSubsidies:
    def test_adds_them_up_to_the_cent(self, tmp_path: Path) -> None:
        said = say_of(tmp_path, "a;un;9600,10;8000\na;deux;1 000 €;999,99\n")
        assert said == "Subventions, a : 2 associations, 10 600,10 € avant, 8 999,99 € après, soit 1 600,11 € de baisse\n"

    def test_names_who_has_no_cut(self, tmp_path: Path) -> None:
        said = say_of(tmp_path, "a;un;100;100\na;deux;100;200\nb;un;10;5\n")
        assert "soit −100 € de baisse" in said
        assert "sans baisse, donc sans dotation (2) : un, deux" in said
        assert "Subventions, b : 1 association, 10 € avant, 5 € après, soit 5 € de baisse" in said

    def test_counts_no_rejected_row(self, tmp_path: Path) -> None:
        assert "1 association, 10 € avant" in say_of(tmp_path, "a;un;10;5\na;deux;-10;5\na;un;7;5\n")


class TestPrintResults:
    def test_says_which_rejects_file_stays_and_where_the_rows_went(self, tmp_path: Path) -> None:
        out = io.StringIO()
        first, second = tmp_path / "acteurs.rejects.csv", tmp_path / "acteurs.2.rejects.csv"
        print_results(Console(file=out, width=300), [], written=[Written(second, kept=first), Written(None)], dry_run=False)
        said = " ".join(out.getvalue().split())
        assert f"{first} contient d'autres valeurs" in said and f"Lignes rejetées : {second}" in said
