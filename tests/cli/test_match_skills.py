"""`metis match skills` and `metis match suggest`: offline with the shipped referential, or at a town's platform."""

import tomllib
from pathlib import Path
from typing import Any, ClassVar

import pytest
from typer.testing import CliRunner, Result

from cli.console import console, errors
from cli.main import app
from cli.matching.proposals import read_proposals
from tests.cli.conftest import Answer, Platform

LOGIN = ["--client-id", "92071.agent", "--client-secret", "s"]
WHY = ["--reason", "Trois jardins l'écrivent ainsi."]
ENTRY = {
    "code": "92071:apiculture", "name_fr": "Apiculture", "name_en": "Beekeeping", "definition": "Conduire des ruches.",
    "group": {"code": "environnement", "name_fr": "Environnement", "name_en": "Environment"}, "synonyms": [],
    "own_synonyms": [{"id": "1", "phrase": "rucher partagé"}], "near": [], "is_local": True,
}  # fmt: skip


@pytest.fixture
def metis(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function: run `metis match …` in this process, as at a wide terminal; its output has what goes beside it, too."""

    def run(*arguments: str) -> Result:
        with console.capture() as said, errors.capture() as aside:
            result = CliRunner().invoke(app, ["match", *arguments])
        result.stdout_bytes = (said.get() + aside.get()).encode()
        result.output_bytes = result.stdout_bytes + result.output_bytes
        return result

    monkeypatch.setattr(console, "width", 200)
    monkeypatch.setattr(errors, "width", 200)
    for name in ("METIS_CLIENT_ID", "METIS_CLIENT_SECRET", "METIS_URL"):
        monkeypatch.delenv(name, raising=False)
    return run


def answer_with(platform: Platform, answers: dict[tuple[str, str], Answer]) -> None:
    """What the platform answers to (method, path without its query)."""
    territory = "/v1/territories/92071"

    def answer(method: str, path: str, body: Any) -> Answer:
        return answers[method, path.removeprefix(territory).partition("?")[0]]

    platform.answer = answer


class TestOffline:
    def test_groups_name_all_skills(self, metis: Any) -> None:
        result = metis("skills")
        assert result.exit_code == 0
        assert "compostage" in result.stdout and "environnement" in result.stdout

    def test_search_finds_by_words(self, metis: Any) -> None:
        result = metis("skills", "search", "compost", "collectif")
        assert "Compostage" in result.stdout and "Référentiel livré" in result.stdout

    def test_search_without_a_find_says_what_to_do(self, metis: Any) -> None:
        result = metis("skills", "search", "xylozorg")
        assert result.exit_code == 1
        assert "metis match suggest" in result.stdout

    def test_show_reads_a_skill(self, metis: Any) -> None:
        result = metis("skills", "show", "compostage")
        assert "Faux amis" in result.stdout and "Composting" in result.stdout

    def test_show_of_an_unknown_one(self, metis: Any) -> None:
        result = metis("skills", "show", "pas-de-ce-code")
        assert result.exit_code == 1
        assert "skills search" in result.stdout

    @pytest.mark.parametrize("command", [["add-synonym", "compostage", "x", *WHY], ["unknown"], ["export"]])
    def test_what_needs_the_town_says_so(self, metis: Any, command: list[str]) -> None:
        result = metis("skills", *command)
        assert result.exit_code == 1
        assert "--client-id" in result.stdout

    @pytest.mark.parametrize("command", [[], ["skills"], ["skills", "propose"], ["skills", "add-synonym"], ["suggest"]])
    def test_help_teaches(self, command: list[str]) -> None:
        result = CliRunner().invoke(app, ["match", *command, "--help"])
        assert result.exit_code == 0
        assert "Exemple" in result.stdout or "skills" in result.stdout


class TestSuggest:
    def test_shows_the_text_and_the_words_that_speak(self, metis: Any) -> None:
        result = metis("suggest", "Un compost collectif", "avec [bold] des crochets")
        assert result.exit_code == 0
        assert "avec [bold] des crochets" in result.stdout
        assert "« compost collectif »" in result.stdout and "compostage" in result.stdout

    def test_a_text_that_says_nothing(self, metis: Any) -> None:
        result = metis("suggest", "xylozorg")
        assert result.exit_code == 1
        assert "Aucune compétence" in result.stdout


class TestAtThePlatform:
    def test_search_and_show_have_the_towns_own_words(self, metis: Any, platform: Platform) -> None:
        detail = ENTRY | {name: [] for name in ("asks", "gives", "titles", "tools", "false_friends", "rome", "esco")}
        answer_with(
            platform,
            {("GET", "/skills"): (200, {"version": "1", "items": [ENTRY]}), ("GET", "/skills/92071%3Aapiculture"): (200, detail)},
        )
        found = metis("skills", "search", "rucher", "été", *LOGIN, "--url", platform.url)
        assert "(locale)" in found.stdout, found.stdout
        shown = metis("skills", "show", "92071:apiculture", *LOGIN, "--url", platform.url)
        assert "rucher partagé" in shown.stdout, shown.stdout

    def test_add_synonym_is_sent_once_with_its_reason(self, metis: Any, platform: Platform) -> None:
        answer_with(platform, {("POST", "/skills/compostage/synonyms"): (201, {"id": "1"})})
        result = metis("skills", "add-synonym", "compostage", "bac à vers", *WHY, *LOGIN, "--url", platform.url)
        assert result.exit_code == 0, result.stdout
        assert platform.seen[0][2] == {"phrase": "bac à vers", "reason": WHY[1]}
        assert platform.headers[0]["idempotency-key"]

    def test_a_clash_is_told_in_the_towns_words(self, metis: Any, platform: Platform) -> None:
        clash = {
            "code": "compostage",
            "name_fr": "Compostage",
            "kind": "synonym",
            "phrase": "compost collectif",
            "pointer": "/phrase",
        }
        problem = {"type": "https://metis.example/problems/skill-word-taken", "detail": "x", "clashes": [clash]}
        answer_with(platform, {("POST", "/skills/jardinage/synonyms"): (409, problem)})
        result = metis("skills", "add-synonym", "jardinage", "compost collectif", *WHY, *LOGIN, "--url", platform.url)
        assert result.exit_code == 1
        assert "« compost collectif » est un synonyme de Compostage (compostage)" in result.stdout

    def test_withdraw_synonym_finds_it_by_its_words(self, metis: Any, platform: Platform) -> None:
        words = {"items": [{"id": "7", "phrase": "Bac à vers"}], "next": None}
        path = "/skills/compostage/synonyms"
        answer_with(platform, {("GET", path): (200, words), ("POST", f"{path}/7/withdrawal"): (200, {})})
        assert metis("skills", "withdraw-synonym", "compostage", "bac à vers", *WHY, *LOGIN, "--url", platform.url).exit_code == 0
        missing = metis("skills", "withdraw-synonym", "compostage", "autre", *WHY, *LOGIN, "--url", platform.url)
        assert "Ses mots à vous : Bac à vers" in missing.stdout

    def test_propose_from_options(self, metis: Any, platform: Platform) -> None:
        answer_with(platform, {("POST", "/skill-proposals"): (201, ENTRY)})
        options = ["--name", "Apiculture", "--group", "environnement", "--definition", "Conduire des ruches.", "-s", "rucher"]
        result = metis("skills", "propose", *options, "--near", "jardinage=30 %", *WHY, *LOGIN, "--url", platform.url)
        assert "92071:apiculture" in result.stdout, result.stdout
        assert platform.seen[0][2]["near"] == {"jardinage": 30}

    def test_unknown_labels_are_a_table(self, metis: Any, platform: Platform) -> None:
        items = [{"label": "compostaje", "needs": 2, "offers": 1, "nearest": ["compostage"]}]
        answer_with(platform, {("GET", "/skills/unknown-labels"): (200, {"items": items})})
        result = metis("skills", "unknown", *LOGIN, "--url", platform.url)
        assert "compostaje" in result.stdout and "compostage" in result.stdout

    def test_withdraw_a_proposal(self, metis: Any, platform: Platform) -> None:
        answer_with(platform, {("POST", "/skill-proposals/92071%3Aapiculture/withdrawal"): (200, ENTRY)})
        assert metis("skills", "withdraw", "92071:apiculture", *WHY, *LOGIN, "--url", platform.url).exit_code == 0


class TestReadProposals:
    NOTHING: ClassVar[dict[str, Any]] = {"name": "", "english": "", "definition": "", "group": "", "synonyms": [], "near": []}

    def test_of_a_file_of_the_referentials_form(self, tmp_path: Path) -> None:
        file = tmp_path / "p.toml"
        file.write_text(
            '[[skill]]\ncode = "apiculture"\nname = { fr = "Apiculture", en = "Beekeeping" }\ndefinition = "D."\n'
            'parent = "environnement"\nsynonyms = ["rucher"]\nasks = ["nos abeilles"]\nnear = { jardinage = 0.3 }\n'
        )
        assert tomllib.loads(file.read_text())
        (body,) = read_proposals(file, **self.NOTHING)
        assert (body["name_en"], body["near"], body["asks"]) == ("Beekeeping", {"jardinage": 30}, ["nos abeilles"])

    @pytest.mark.parametrize("content", ["[[skill]]\nname = 3\n", "pas du TOML", "[other]\n", "[[skill]]\nname = { fr = 'x' }\n"])
    def test_a_faulty_file_says_the_cure(self, metis: Any, tmp_path: Path, content: str) -> None:
        (tmp_path / "p.toml").write_text(content)
        result = metis("skills", "propose", "--file", str(tmp_path / "p.toml"), *WHY, *LOGIN)
        assert result.exit_code == 1
        assert "→" in result.stdout

    def test_says_which_options_are_missing(self, metis: Any) -> None:
        result = metis("skills", "propose", "--name", "X", *WHY, *LOGIN)
        assert "--definition, --group, --synonym" in result.stdout
