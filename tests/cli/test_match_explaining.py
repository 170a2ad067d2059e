"""`metis match why` and its neighbours: what is shown, and how faults are told."""

import re
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.console import CliError, console
from cli.main import app
from cli.matching import explaining


def shown(print_found: Any, found: dict[str, Any]) -> str:
    with console.capture() as capture:
        print_found(found)
    return re.sub(r"\s+", " ", capture.get())


CHANGE = {
    "sentence": "Avec 3 h au lieu de 6 h.", "changes": [{"whose": "association"}], "cost": 25, "score": 88,
}  # fmt: skip


class TestPrint:
    def test_the_smallest_change(self) -> None:
        text = shown(
            explaining.print_changes,
            {
                "title": "Remettre [les] comptes", "conclusion": "2 offres.", "changes": [CHANGE], "complete": False, "offers": 2, "limits": ["le crédit"],
                "blocked": [{"name": "Heures", "offers": 2}],
            },
        )  # fmt: skip
        assert "Remettre [les] comptes" in text
        assert "Avec 3 h au lieu de 6 h." in text
        assert "l'association" in text
        assert "2 offres examinées, les plus proches" in text

    def test_why_not(self) -> None:
        text = shown(
            explaining.print_why_not,
            {
                "conclusion": "1 condition n'est pas remplie.", "gates": [{"name": "Heures", "sentence": "6 h demandées"}],
                "smallest_change": CHANGE, "taken": [{"title": None, "minutes": 90, "state": "agreed"}], "criteria": [],
                "limits": [],
            },
        )  # fmt: skip
        for part in ("Heures", "6 h demandées", "Avec 3 h", "une autre mission", "1 h 30"):
            assert part in text

    def test_feedback_beside_the_weights(self) -> None:
        count = {"criterion": "distance", "label": "distance", "association": 0, "volunteer": 2, "company": 0, "total": 2}
        version = {
            "weights_version": 3, "weights": {"distance": 12}, "proposed": 5, "agreed": 1, "declined": 2, "accept": [count],
            "decline": [count],
        }  # fmt: skip
        text = shown(explaining.print_feedback, {"versions": [version], "note": "Rien n'est appris."})
        assert "version 3 : 5 proposées, 1 agréée, 2 déclinées" in text
        assert "│ distance │ 12 │ 2 │ 2 │ 0 │ 2 │ 0 │" in text

    def test_a_hidden_group_has_no_figures(self) -> None:
        group = {"name": "1 besoin", "hidden": True, "needs": None, "rate": None, "low": None, "high": None}
        found = {"since": "2026-01-01", "until": "2026-06-30", "all": group, "sizes": [group], "fields": [], "method": ["M."]}
        assert "non montré" in shown(explaining.print_equity, found)


class TestFaults:
    def test_without_a_client(self) -> None:
        with pytest.raises(CliError, match="client"):
            explaining.Asker("http://127.0.0.1:1", "", "")

    def test_nobody_answers(self) -> None:
        with pytest.raises(CliError, match="ne répond pas"):
            explaining.Visitor("http://127.0.0.1:1", "92071").get("/matching/rules")

    def test_help_teaches(self) -> None:
        for name in ("why", "why-not", "smallest-change", "record", "rules", "equity", "feedback"):
            told = CliRunner().invoke(app, ["match", name, "--help"])
            assert told.exit_code == 0
            assert "Exemple" in told.output
