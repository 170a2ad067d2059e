"""`metis ledger`: which files it fetches and writes, and what it says when it cannot."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from typer.testing import CliRunner

from cli.main import app
from tests.cli.conftest import Answer, Platform

CAMPAIGN = {"id": "c1", "ref": "sceaux-2026"}


def page(*items: dict[str, Any]) -> Answer:
    return 200, {"items": list(items), "next": None}


def file(name: str, content: dict[str, Any], **headers: str) -> Answer:
    return 200, content, {"content-disposition": f'attachment; filename="{name}"', **headers}


def run(platform: Platform, folder: Path, *arguments: str) -> Any:
    access = ["--client-id", "92071.agent", "--client-secret", "s", "--url", platform.url, "--to", str(folder)]
    return CliRunner().invoke(app, ["ledger", *arguments, *access])


def path_of(target: str) -> tuple[str, dict[str, list[str]]]:
    parts = urlsplit(target)
    return parts.path.partition("/92071")[2], parse_qs(parts.query)


class TestStatement:
    def test_writes_everybodys(self, platform: Platform, tmp_path: Path) -> None:
        def answer(method: str, target: str, body: Any) -> Answer:
            path, asked = path_of(target)
            if path == "/campaigns":
                return page(CAMPAIGN)
            if path.endswith("/panel"):
                return page({"association_id": "a1"})
            if path.endswith("/pledges"):
                return page({"contributor_id": "k1"}, {"contributor_id": "k1"})
            assert asked == {"format": ["csv"], "since": ["2026-01-01"]}
            return file(f"{path.rpartition('/')[2]}.csv", {"path": path})

        platform.answer = answer
        result = run(platform, tmp_path / "new", "statement", "--each", "--format", "csv", "--since", "2026-01-01")
        assert result.exit_code == 0, result.output
        written = {found.name: json.loads(found.read_bytes())["path"] for found in (tmp_path / "new").iterdir()}
        assert written == {
            "statement.csv": "/campaigns/c1/statement",
            "a1.csv": "/campaigns/c1/statements/a1",
            "k1.csv": "/campaigns/c1/contributor-statements/k1",
        }

    def test_writes_a_volunteers_hours(self, platform: Platform, tmp_path: Path) -> None:
        def answer(method: str, target: str, body: Any) -> Answer:
            path, _ = path_of(target)
            return page(CAMPAIGN) if path == "/campaigns" else file("heures.pdf", {"path": path})

        platform.answer = answer
        result = run(platform, tmp_path, "statement", "--volunteer", "v1")
        assert result.exit_code == 0, result.output
        assert json.loads((tmp_path / "heures.pdf").read_bytes())["path"] == "/campaigns/c1/volunteer-statements/v1"

    @pytest.mark.parametrize("format", ["pdf", "csv"])
    def test_a_files_name_says_its_format(self, platform: Platform, tmp_path: Path, format: str) -> None:
        platform.answer = lambda method, target, body: (
            page(CAMPAIGN) if path_of(target)[0] == "/campaigns" else file("releve", {"asked": path_of(target)[1]})
        )
        out = tmp_path / "new" / f"juin.{format.upper()}"
        access = ["--client-id", "92071.agent", "--client-secret", "s", "--url", platform.url]
        result = CliRunner().invoke(app, ["ledger", "statement", "--out", str(out), *access])
        assert result.exit_code == 0, result.output
        assert json.loads(out.read_bytes()) == {"asked": {"format": [format]}}

    def test_asks_which_campaign(self, platform: Platform, tmp_path: Path) -> None:
        platform.answer = lambda *_: page(CAMPAIGN, {"id": "c2", "ref": "sceaux-2027"})
        result = run(platform, tmp_path, "statement")
        assert result.exit_code == 1
        assert "sceaux-2027" in result.output

    def test_one_choice_at_a_time(self, platform: Platform, tmp_path: Path) -> None:
        assert run(platform, tmp_path, "statement", "--each", "--association", "a1").exit_code == 1
        assert run(platform, tmp_path, "statement", "--volunteer", "v1", "--contributor", "k1").exit_code == 1

    @pytest.mark.parametrize("name", ["../outside.pdf", "..", ""])
    def test_a_name_never_leads_out_of_the_folder(self, platform: Platform, tmp_path: Path, name: str) -> None:
        platform.answer = lambda method, target, body: page(CAMPAIGN) if path_of(target)[0] == "/campaigns" else file(name, {})
        assert run(platform, tmp_path / "in", "statement").exit_code == 1
        assert list(tmp_path.rglob("*.pdf")) == []


class TestBeancount:
    def test_puts_pages_together_and_includes_all_campaigns(self, platform: Platform, tmp_path: Path) -> None:
        def answer(method: str, target: str, body: Any) -> Answer:
            path, asked = path_of(target)
            if path == "/campaigns":
                return page(CAMPAIGN, {"id": "c2", "ref": "sceaux-2027"})
            ref = "sceaux-2026" if "/c1/" in path else "sceaux-2027"
            if ref == "sceaux-2026" and "cursor" not in asked:
                link = f'</v1/territories/92071{path}?cursor=2026-04-01T00%3A00%3A00%2B00%3A00>; rel="next"'
                return file(f"{ref}.beancount", {"part": 1}, link=link)
            assert asked in ({}, {"cursor": ["2026-04-01T00:00:00+00:00"]})
            return file(f"{ref}.beancount", {"part": 2})

        platform.answer = answer
        result = run(platform, tmp_path, "beancount")
        assert result.exit_code == 0, result.output
        assert (tmp_path / "sceaux-2026.beancount").read_text() == '{"part": 1}{"part": 2}'
        assert (tmp_path / "metis.beancount").read_text().splitlines() == [
            'include "sceaux-2026.beancount"',
            'include "sceaux-2027.beancount"',
        ]


class TestOthers:
    def test_scdl_says_what_the_schema_would_refuse(self, platform: Platform, tmp_path: Path) -> None:
        def answer(method: str, target: str, body: Any) -> Answer:
            path, asked = path_of(target)
            if path == "/campaigns":
                return page(CAMPAIGN)
            if "format" not in asked:
                return 200, {"remarks": ["Lire ensemble : ni SIRET ni numéro RNA"]}
            return file("scdl.csv", {})

        platform.answer = answer
        result = run(platform, tmp_path, "scdl", "--siret", "21920071800019")
        assert result.exit_code == 0, result.output
        assert "Lire ensemble" in result.output
        assert (tmp_path / "scdl.csv").exists()

    def test_inkind_and_indicators(self, platform: Platform, tmp_path: Path) -> None:
        def answer(method: str, target: str, body: Any) -> Answer:
            path, asked = path_of(target)
            if path == "/campaigns":
                return page(CAMPAIGN)
            if path.endswith("/panel"):
                return page({"association_id": "a1"}, {"association_id": "a2"})
            name = "-".join([*path.split("/")[3:], *asked.get("series", []), asked["format"][0]])
            return file(name, {})

        platform.answer = answer
        assert run(platform, tmp_path, "inkind").exit_code == 0
        assert run(platform, tmp_path, "indicators").exit_code == 0
        assert sorted(found.name for found in tmp_path.iterdir()) == [
            "indicators-association-svg", "indicators-contributor-svg", "indicators-csv", "indicators-field-svg",
            "indicators-month-svg", "statements-a1-in-kind-csv", "statements-a2-in-kind-csv",
        ]  # fmt: skip

    def test_without_credentials_says_which_to_give(self, tmp_path: Path) -> None:
        result = CliRunner().invoke(
            app, ["ledger", "indicators", "--to", str(tmp_path)], env={"METIS_CLIENT_ID": "", "METIS_CLIENT_SECRET": ""}
        )
        assert result.exit_code == 1
        assert "--client-id" in result.output
