"""`metis ledger statement` on the terminal: every page, with missions, persons, both dates and what undid what."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from typer.testing import CliRunner

from cli.main import app
from tests.cli.conftest import Answer, Platform

ASSOCIATION, PERSON, OFFICER, COMPANY = "a1", "v1", "o1", "k1"
GRANTED, UNDONE, SERVED = (f"01900000-0000-7000-8000-0000{end}" for end in ("aaaa1111", "bbbb2222", "cccc3333"))
NOTHING = {"credit": 0, "held": 0, "served": 0}


def make_line(id: str, kind: str, minutes: int, **facts: Any) -> dict[str, Any]:
    line = {
        "transfer_id": id, "kind": kind, "minutes": minutes, "from_account": "pool/c1", "to_account": f"credit/c1/{ASSOCIATION}",
        "mission_id": None, "mission_title": None, "volunteer_id": None, "who": OFFICER, "why": "Dotation signée",
        "effective_at": "2026-04-01T09:00:00Z", "recorded_at": "2026-04-01T09:00:00Z", "reverses": None, "reversed_by": None,
        "reversed_minutes": 0, "balances_minutes": NOTHING,
    }  # fmt: skip
    return line | facts


def make_statement(*lines: dict[str, Any], **facts: Any) -> dict[str, Any]:
    statement = {
        "campaign_id": "c1", "campaign_title": "Sceaux 2026", "holder_id": ASSOCIATION, "holder_name": "Lire ensemble",
        "since": None, "until": None, "basis": "recorded", "as_of": None, "opening_minutes": NOTHING, "lines": list(lines),
        "closing_minutes": {"credit": 435, "held": 0, "served": 75}, "next": None,
    }  # fmt: skip
    return statement | facts


def play(platform: Platform, *pages: dict[str, Any], members: int = 200) -> None:
    """The pages of a statement, and a registry that knows two people."""

    def answer(method: str, target: str, body: Any) -> Answer:
        parts = urlsplit(target)
        path, cursor = parts.path.partition("/92071")[2], parse_qs(parts.query).get("cursor", ["0"])[0]
        if path == "/campaigns":
            return 200, {"items": [{"id": "c1", "ref": "sceaux-2026"}], "next": None}
        if path == "/actors":
            return 200, {"items": [{"id": COMPANY, "name": "Atelier Vert [SCOP]"}], "next": None}
        if path == "/members":
            people = [{"id": PERSON, "display_name": "Jeanne Roy"}, {"id": OFFICER, "display_name": "Ali Ben"}]
            return members, {"items": people, "next": None, "type": "/problems/forbidden"}
        return 200, pages[int(cursor)]

    platform.answer = answer


def read(platform: Platform, *arguments: str) -> list[str]:
    """The lines of what is shown, each with single blanks."""
    access = ["--client-id", "92071.agent", "--client-secret", "s", "--url", platform.url]
    result = CliRunner().invoke(app, ["ledger", "statement", *arguments, *access])
    assert result.exit_code == 0, result.output
    return [" ".join(line.split()) for line in result.output.splitlines()]


class TestOnScreen:
    def test_shows_balances_missions_and_persons_of_every_page(self, platform: Platform) -> None:
        granted = make_line(GRANTED, "grant", 600, balances_minutes=NOTHING | {"credit": 600})
        served = make_line(
            SERVED, "settle", 75, mission_id="m1", mission_title="Tenir la caisse", volunteer_id=PERSON, who="system",
            why="Mission validée", recorded_at="2026-04-12T09:00:00Z", balances_minutes={"credit": 435, "held": 0, "served": 75},
        )  # fmt: skip
        play(platform, make_statement(granted, next="1"), make_statement(served))
        shown = read(platform, "--association", ASSOCIATION)
        text = " ".join(shown)
        assert shown[:3] == [
            "Relevé de compte – Sceaux 2026",
            "Titulaire : Lire ensemble (a1)",
            "Période : du début de la campagne à ce jour, par date d'enregistrement",
        ]
        assert "01/04/2026 Dotation par Ali Ben 10 h 10 h 0 h 0 h" in shown
        assert "12/04/2026 Heures dépensées Tenir la caisse 1 h 15 7 h 15 0 h 1 h 15" in shown
        assert "effet le n° cccc3333 Jeanne Roy" in shown
        assert "01/04/2026 Mission validée" in shown
        assert ("Solde d'ouverture 0 h 0 h 0 h" in shown, "Solde de clôture 7 h 15 0 h 1 h 15" in shown) == (True, True)
        assert "2 écritures" in text

    def test_links_a_reversal_and_what_it_undid(self, platform: Platform) -> None:
        granted = make_line(GRANTED, "grant", 600, reversed_by=UNDONE, reversed_minutes=90)
        undone = make_line(UNDONE, "reverse", 90, reverses=GRANTED, who="system")
        play(platform, make_statement(granted, undone))
        text = " ".join(read(platform, "--association", ASSOCIATION))
        assert "annulée en partie par n° bbbb2222" in text
        assert "annule n° aaaa1111" in text
        assert "par Métis" in text

    def test_says_what_was_undone_later_but_not_of_the_books_as_they_stood(self, platform: Platform) -> None:
        granted = make_line(GRANTED, "grant", 600, reversed_by=UNDONE, reversed_minutes=600)
        play(platform, make_statement(granted, until="2026-06-30"))
        assert "annulée depuis par n° bbbb2222" in " ".join(read(platform, "--until", "2026-06-30"))
        play(platform, make_statement(granted, as_of="2026-06-30T10:00:00Z", basis="effective"))
        text = " ".join(read(platform, "--as-effective-at", "2026-06-30T12:00:00+02:00"))
        assert "annulée" not in text
        assert "par date d'effet" in text
        assert "selon les dates d'effet, au 30/06/2026 12:00:00" in text

    def test_of_the_whole_campaign_names_holders_and_leaves_out_accounts_never_used(self, platform: Platform) -> None:
        nothing = {"promised": 0, "pool": 0, "lapsed": 0}
        pledged = make_line(
            GRANTED, "pledge", 600, from_account=f"promised/c1/{COMPANY}", to_account="pool/c1",
            balances_minutes=nothing | {"promised": -600, "pool": 600},
        )  # fmt: skip
        whole = make_statement(pledged, holder_id=None, holder_name=None, opening_minutes=nothing)
        play(platform, whole | {"closing_minutes": pledged["balances_minutes"]})
        text = " ".join(read(platform))
        assert "Toute la campagne" in text
        assert "Atelier Vert [SCOP]" in text
        assert "10 h 10 h 10 h" in text
        assert "−" not in text
        assert "Caduc" not in text

    def test_of_a_volunteer_says_for_whom(self, platform: Platform) -> None:
        line = make_line(SERVED, "settle", 75, mission_id="m1", association_id=ASSOCIATION, association_name="Lire ensemble")
        balances = {"held": 0, "served": 75}
        statement = make_statement(line | {"balances_minutes": balances}, volunteer_id=PERSON)
        play(platform, statement | {"opening_minutes": {"held": 0, "served": 0}, "closing_minutes": balances})
        text = " ".join(read(platform, "--volunteer", PERSON))
        assert "Relevé d'heures – Sceaux 2026 Bénévole : Jeanne Roy (v1)" in text
        assert "01/04/2026 Heures faites m1 1 h 15 0 h 1 h 15 n° cccc3333 Lire ensemble" in text

    def test_people_whom_the_reader_may_not_see_stay_numbers(self, platform: Platform) -> None:
        play(platform, make_statement(make_line(GRANTED, "grant", 600)), members=403)
        assert f"par {OFFICER}" in " ".join(read(platform, "--association", ASSOCIATION))

    def test_everybodys_follow_each_other(self, platform: Platform) -> None:
        play(platform, make_statement(make_line(GRANTED, "grant", 600)))
        inner = platform.answer

        def answer(method: str, target: str, body: Any) -> Answer:
            if "/panel" in target:
                return 200, {"items": [{"association_id": ASSOCIATION}], "next": None}
            return (200, {"items": [], "next": None}) if "/pledges" in target else inner(method, target, body)

        platform.answer = answer
        assert read(platform, "--each").count("Relevé de compte – Sceaux 2026") == 2


class TestChooseFormat:
    @pytest.mark.parametrize(
        "arguments",
        [
            ["--format", "screen", "--to", "releves"],
            ["--out", "releve.txt"],
            ["--out", "releve.pdf", "--format", "csv"],
            ["--out", "releve.pdf", "--each"],
            ["--out", "releve.pdf", "--to", "releves"],
        ],
    )
    def test_says_what_does_not_go_together(self, arguments: list[str]) -> None:
        result = CliRunner().invoke(app, ["ledger", "statement", *arguments])
        assert result.exit_code == 1
        assert "→" in result.output
