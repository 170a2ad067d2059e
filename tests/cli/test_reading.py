"""CSV files as spreadsheets write them, and the rejects file that a person corrects."""

from pathlib import Path

import pytest

from cli.console import CliError
from cli.importer.reading import Reject, Written, read_sheet, rejects_path, write_rejects


def make_file(folder: Path, content: bytes | str, *, name: str = "acteurs.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


class TestReadSheet:
    @pytest.mark.parametrize("begin", [b"", b"\xef\xbb\xbf"])
    @pytest.mark.parametrize("separator", [",", ";"])
    @pytest.mark.parametrize("end", ["\n", "\r\n"])
    def test_reads_what_spreadsheets_write(self, tmp_path: Path, begin: bytes, separator: str, end: str) -> None:
        text = end.join([separator.join(["Ref", " nom "]), separator.join(["a-1", '"Élan, vital; oui"']), ""])
        sheet = read_sheet(make_file(tmp_path, begin + text.encode()))
        assert sheet.header == ("ref", "nom")
        assert [line.cells for line in sheet.lines] == [{"ref": "a-1", "nom": "Élan, vital; oui"}]

    def test_numbers_lines_as_an_editor_does(self, tmp_path: Path) -> None:
        sheet = read_sheet(make_file(tmp_path, 'ref,nom\na,"deux\nlignes"\n\n,\nb,une\n'))
        assert [(line.number, line["ref"]) for line in sheet.lines] == [(2, "a"), (6, "b")]

    def test_rejects_rows_of_another_shape_and_keeps_the_rest(self, tmp_path: Path) -> None:
        sheet = read_sheet(make_file(tmp_path, "ref,nom\na,b,c\nd\ne,f\n"))
        assert [(reject.line, reject.problem) for reject in sheet.rejects] == [
            (2, "3 cellules au lieu de 2 (en trop : c)"),
            (3, "1 cellules au lieu de 2"),
        ]
        assert [line["ref"] for line in sheet.lines] == ["e"]

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"", "est vide"),
            (b"ref,nom\na,\xe9t\xe9\n", "ligne 2 : ce fichier n'est pas en UTF-8"),
            (b"ref,nom,Ref\n", "deux fois"),
            (b'ref,nom\na,"jamais ferm\xc3\xa9\n', "guillemets mal fermés"),
        ],
    )
    def test_says_why_a_file_cannot_be_read_and_the_cure(self, tmp_path: Path, content: bytes, said: str) -> None:
        with pytest.raises(CliError, match=said) as refusal:
            read_sheet(make_file(tmp_path, content))
        assert refusal.value.cure


class TestWriteRejects:
    def test_gives_back_the_row_with_line_column_and_reason(self, tmp_path: Path) -> None:
        sheet = read_sheet(make_file(tmp_path, "ref;nom\na;b\nc;d;e\n"))
        rejects = [*sheet.rejects, Reject("acteurs.csv", 2, "nom", "b", "trop court", "écrivez plus")]
        target = write_rejects(sheet, rejects).path
        assert target is not None
        assert target == tmp_path / "acteurs.rejects.csv"
        assert target.read_text("utf-8-sig").splitlines() == [
            "ref;nom;ligne;colonne;raison",
            'a;b;2;nom;"nom : trop court ; écrivez plus"',
            'c;d;3;;"3 cellules au lieu de 2 (en trop : e) ; mettez entre guillemets le texte qui contient un point-virgule"',
        ]

    def test_keeps_the_cells_of_a_row_of_another_shape_as_they_were(self, tmp_path: Path) -> None:
        sheet = read_sheet(make_file(tmp_path, 'ref,nom,site\na,"deux\nlignes, et ""une"" virgule"\n'))
        target = write_rejects(sheet, list(sheet.rejects)).path
        assert target is not None
        (line,) = read_sheet(target).lines
        assert (line["ref"], line["nom"], line["site"]) == ("a", 'deux\nlignes, et "une" virgule', "")

    def test_can_be_corrected_and_read_again(self, tmp_path: Path) -> None:
        sheet = read_sheet(make_file(tmp_path, "ref,nom\na,b\n"))
        first = write_rejects(sheet, [Reject("acteurs.csv", 2, "nom", "b", "x", "y")]).path
        assert first is not None
        again = read_sheet(first)
        assert again.lines[0]["nom"] == "b"
        assert rejects_path(first) == first
        second = write_rejects(again, [Reject(first.name, 2, "nom", "b", "z", "")]).path
        assert second is not None
        assert second.read_text("utf-8-sig").splitlines() == ["ref,nom,ligne,colonne,raison", "a,b,2,nom,nom : z"]

    def test_removes_an_old_one_when_all_went_in(self, tmp_path: Path) -> None:
        sheet = read_sheet(make_file(tmp_path, "ref,nom\na,b\n"))
        write_rejects(sheet, [Reject("acteurs.csv", 2, "nom", "b", "x", "y")])
        assert write_rejects(sheet, []) == Written(None)
        assert list(tmp_path.iterdir()) == [sheet.path]

    def test_keeps_the_file_that_somebody_is_correcting_and_takes_another_name(self, tmp_path: Path) -> None:
        sheet = read_sheet(make_file(tmp_path, "ref,nom\na,b\nc,d\n"))
        reject = Reject("acteurs.csv", 2, "nom", "b", "x", "y")
        first = write_rejects(sheet, [reject]).path
        assert first is not None
        assert write_rejects(sheet, [reject]) == Written(first)  # nobody has touched it
        first.write_text(corrected := first.read_text("utf-8-sig").replace("a,b,", "a,mieux,"))
        second = tmp_path / "acteurs.2.rejects.csv"
        for _ in range(2):
            assert write_rejects(sheet, [reject]) == Written(second, kept=first)
        assert first.read_text() == corrected
        assert write_rejects(sheet, []) == Written(None, kept=first)
        assert first.exists()

    def test_keeps_one_that_cannot_be_read_just_now(self, tmp_path: Path) -> None:
        sheet = read_sheet(make_file(tmp_path, "ref,nom\na,b\n"))
        (first := tmp_path / "acteurs.rejects.csv").write_bytes(b"ref,nom\na,\xe9\n")  # not UTF-8
        assert write_rejects(sheet, []) == Written(None, kept=first)

    def test_is_overwritten_by_what_is_left_of_it_when_it_was_imported_itself(self, tmp_path: Path) -> None:
        path = tmp_path / "acteurs.2.rejects.csv"
        path.write_text("ref,nom,ligne,colonne,raison\na,mieux,2,nom,x\nc,d,3,nom,x\n")
        sheet = read_sheet(path)
        assert write_rejects(sheet, [Reject(path.name, 3, "nom", "d", "z", "")]) == Written(path)
        assert [line["ref"] for line in read_sheet(path).lines] == ["c"]
        assert write_rejects(read_sheet(path), []) == Written(None)
        assert not path.exists()
