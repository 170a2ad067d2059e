"""`metis grants what-if`: scenarios in an officer's words, and a table that says who gains and who loses."""

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cli.console import CliError
from cli.grants import read_scenario, run
from tests.cli.conftest import Answer, Platform


class TestReadScenario:
    def test_reads_every_word_as_an_officer_writes_it(self) -> None:
        assert read_scenario("taux=70 %, heure=40,50; pas=30,enveloppe=14 h 30") == {
            "name": "taux=70 %, heure=40,50; pas=30,enveloppe=14 h 30",
            "compensation_permille": 700,
            "hour_value_cents": 4050,
            "step_minutes": 30,
            "pool_minutes": 870,
        }

    def test_an_empty_pool_may_be_imagined(self) -> None:
        assert read_scenario("enveloppe=0")["pool_minutes"] == 0

    @pytest.mark.parametrize("text", ["", "taux", "tarif=40", "taux=beaucoup", "taux=0,5; taux=0,6", "pas=0"])
    def test_says_what_it_cannot_read_and_how_to_write_it(self, text: str) -> None:
        with pytest.raises(CliError) as refused:
            read_scenario(text)
        assert "illisible" in refused.value.message and refused.value.cure


def make_scenario(name: str, **changes: Any) -> dict[str, Any]:
    facts = {
        "name": name, "compensation_permille": 600, "hour_value_cents": 4500, "step_minutes": 15, "pool_minutes": 1500,
        "due_minutes": 1275, "computed_minutes": 1275, "remaining_minutes": 225, "is_cut": False, "gainers": 0, "losers": 0,
    }  # fmt: skip
    return facts | changes


def answer(method: str, path: str, body: Any) -> Answer:
    if path.endswith("/campaigns?ref=sceaux-2026"):
        return 200, {"items": [{"id": "c1"}]}
    if "?ref=" in path:
        return 200, {"items": []}
    shares = [{"computed_minutes": 1275, "difference_minutes": 0}, {"computed_minutes": 600, "difference_minutes": -675}]
    row = {"association_id": "a1", "association_name": "Lire [Ensemble]", "subsidy_before_cents": 960_000}
    imagined = make_scenario("enveloppe=10", pool_minutes=600, computed_minutes=600, is_cut=True, losers=1, remaining_minutes=0)
    return 200, {
        "scenarios": [make_scenario("Règles de la campagne"), imagined],
        "rows": [row | {"subsidy_after_cents": 800_000, "shares": shares}],
    }


def ask(platform: Platform, *, campaign: str = "sceaux-2026", sheet: Path | None = None, client_id: str = "92071.a") -> str:
    platform.answer = answer
    out = io.StringIO()
    run(
        platform.url, client_id=client_id, client_secret="s", campaign=campaign, scenarios=["enveloppe=10"], afresh=True,
        sheet=sheet, console=Console(file=out, width=160, highlight=False),
    )  # fmt: skip
    return out.getvalue()


class TestRun:
    def test_prints_the_rules_and_who_gains_or_loses(self, platform: Platform) -> None:
        text = ask(platform)
        assert "rien n'est enregistré" in text and "10 h (réduit)" in text and "45 €" in text and "60 %" in text
        assert "Lire [Ensemble]" in text and "10 h (−11 h 15)" in text and "1 600 €" in text
        assert platform.seen[1][2] == {"scenarios": [{"name": "enveloppe=10", "pool_minutes": 600}], "afresh": True}

    def test_keeps_the_spreadsheet(self, platform: Platform, tmp_path: Path) -> None:
        ask(platform, sheet=tmp_path / "simulation.csv")
        assert (tmp_path / "simulation.csv").read_bytes()
        assert platform.seen[2][1].endswith("/what-if?format=csv")

    def test_says_what_is_missing(self, platform: Platform) -> None:
        with pytest.raises(CliError, match="pas de campagne « hiver »"):
            ask(platform, campaign="hiver")
        with pytest.raises(CliError, match="client d'un agent"):
            ask(platform, client_id="personne")
