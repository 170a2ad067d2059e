"""`metis match eval-links` as a person and a machine meet it."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.main import app

QUERIES = "q1\tVendeur / Vendeuse (H/F)\nq2\tprofesseure de piano\nq3\tsans réponse\n"
CORPUS = "c1\tvendeur/vendeuse\nc2\tenseignant de piano\nc3\tgardien\nc4\tgardienne d'immeuble\n"
JUDGMENTS = "q1 0 c1 1\nq2\t0\tc2\t2\nq2 0 c3 0\n"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "q.tsv").write_text(QUERIES, encoding="utf-8")
    (tmp_path / "c.tsv").write_text(CORPUS, encoding="utf-8")
    (tmp_path / "j.tsv").write_text(JUDGMENTS, encoding="utf-8")
    return tmp_path


def evaluate(folder: Path, *more: str) -> Result:
    given = [part for name in ("queries", "corpus", "judgments") for part in (f"--{name}", str(folder / f"{name[0]}.tsv"))]
    return CliRunner().invoke(app, ["match", "eval-links", *given, *more])


class TestEvalLinks:
    def test_prints_one_json_object(self, files: Path) -> None:
        result = evaluate(files, "--json", "--no-sentences")
        assert result.exit_code == 0, result.output
        facts = json.loads(result.stdout)
        assert (facts["hit@1"], facts["hit@10"], facts["mrr"]) == (1, 1, 1)
        assert facts["queries"] == 2
        assert facts["corpus"] == 4
        assert facts["sentence_model"] is False
        assert facts["seconds"] >= 0

    def test_says_the_same_again(self, files: Path) -> None:
        first, again = (json.loads(evaluate(files, "--json", "--no-sentences").stdout) | {"seconds": 0} for _ in range(2))
        assert first == again

    def test_tells_a_person_what_was_not_counted(self, files: Path) -> None:
        result = evaluate(files, "--no-sentences")
        assert "mrr     1.000" in result.stdout
        assert "1 texte sans bonne réponse" in result.stdout

    def test_uses_the_sentence_models_that_are_there(self, files: Path) -> None:
        from services.matching.engine.text.encoder import find_sentence_models

        facts = json.loads(evaluate(files, "--json").stdout)
        assert facts["models"] == [model.name for model in find_sentence_models()]
        assert facts["sentence_model"] is bool(facts["models"])

    def test_leaves_judgments_of_others_aside_and_says_so(self, files: Path) -> None:
        with (files / "j.tsv").open("a") as file:
            file.write("q9 0 c1 1\nq1 0 c99 1\n")
        result = evaluate(files, "--json", "--no-sentences")
        assert json.loads(result.stdout)["mrr"] == 1
        assert "2 jugements" in result.stderr


class TestReading:
    @pytest.mark.parametrize(
        ("name", "content", "told"),
        [
            ("q", "q1\tun\nq2 deux\n", "ligne 2 : pas de tabulation"),
            ("q", "q1\tun\n\n\tdeux\n", "ligne 3 : pas d'identifiant"),
            ("c", "c1\t \n", "ligne 1 : pas de texte"),
            ("c", "c1\tun\nc1\tdeux\n", "ligne 2 : « c1 » y est déjà"),
            ("c", "\n", "est vide"),
            ("j", "q1 0 c1\n", "ligne 1 : 3 colonnes au lieu de 4"),
            ("j", "q1 0 c1 1\nq2 0 c2 oui\n", "ligne 2 : la note « oui »"),
            ("j", "a 0 b 1\n", "aucun jugement ne relie"),
            ("j", "q1 0 c1 0\n", "aucun jugement ne relie"),
        ],
    )
    def test_names_the_line_and_the_cure(self, files: Path, name: str, content: str, told: str) -> None:
        (files / f"{name}.tsv").write_text(content, encoding="utf-8")
        result = evaluate(files, "--json", "--no-sentences")
        assert result.exit_code == 1
        assert result.stdout == ""
        message = " ".join(result.stderr.split())
        assert told in message
        assert f"{name}.tsv" in message
        assert "→" in message

    def test_names_the_line_that_is_not_utf8(self, files: Path) -> None:
        (files / "c.tsv").write_bytes(b"c1\tun\nc2\tl\xe9gume\n")
        result = evaluate(files, "--json")
        assert result.exit_code == 1
        assert "ligne 2 : ce n'est pas de l'UTF-8" in " ".join(result.stderr.split())

    def test_names_a_file_that_is_absent(self, files: Path) -> None:
        (files / "j.tsv").unlink()
        result = evaluate(files)
        assert result.exit_code == 1
        assert "n'existe pas" in " ".join(result.stderr.split())

    def test_reads_what_a_spreadsheet_writes(self, files: Path) -> None:
        (files / "q.tsv").write_bytes(b"\xef\xbb\xbf" + QUERIES.replace("\n", "\r\n").encode())
        assert json.loads(evaluate(files, "--json", "--no-sentences").stdout)["mrr"] == 1
