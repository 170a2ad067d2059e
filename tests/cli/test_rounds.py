"""`metis round`: what the town's people read and what is sent for it, on a platform that is played."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.main import app
from tests.cli.conftest import Answer, Platform

ONE, OTHER = "01a202fd-acf9-7257-bf05-e3141523437b", "01a202fe-e2c2-756c-8cea-1be24bf1c446"
NEED, OFFER = "01a202fc-cf8f-76a3-875a-dadb9c02a7ae", "01a202f9-9b6f-7658-9256-fcbb20af989c"
LOGIN = ["--client-id", "92071.agent", "--client-secret", "s"]


def make_round(id: str = ONE, **changes: Any) -> dict[str, Any]:
    figures = {
        "needs": 3, "needs_served": 2, "asked_minutes": 900, "served_minutes": 660, "worst_fill": 0.25, "mean_fill": 0.7,
        "gap": 0.004, "score": 54000, "price_score": 0.013,
    }  # fmt: skip
    share = {"association_id": "a1", "name": "Lire [Ensemble]", "target_minutes": 600, "served_minutes": 150}
    row = {"fairness": 0.5, "worst_fill": 0.25, "mean_fill": 0.7, "served_minutes": 660, "price_score": 0.013}
    result = {
        "offers": 4, "pairs": 9, "figures": figures, "method": "slots", "means_known": True, "shares": [share],
        "fairness": [row], "greedy": {"gap": 0.104, "worst_fill": 0.07}, "seconds": {"read": 0.5, "solve": 1.0}, "peak_mib": 180,
    }  # fmt: skip
    facts = {
        "id": id, "state": "computed", "note": "Tour [b]d'octobre[/b]", "asked_at": "2026-10-01T09:00:00+00:00", "failure": None,
        "progress": None, "result": result, "released": None, "proposals_digest": "d", "notice": "Un algorithme.",
        "terms": {"fairness": 0.5, "whole": True, "weights_version": 2},
    }  # fmt: skip
    return facts | changes


PROPOSAL = {
    "need_id": NEED, "need_title": "Comptes", "offer_id": OFFER, "offer_title": "Je compte", "minutes": 90, "points": 83,
    "reasons": ["à 1,4 km"], "pinned": True, "left_out": "le besoin a été retiré depuis",
}  # fmt: skip
CHOICE = {
    "need_id": NEED, "offer_id": OFFER, "kind": "exclude", "reason": "Ils [se] connaissent", "chosen_at": "2026-10-01T09:00:00+00:00"
}  # fmt: skip


WEIGHTS = {"skills": 50, "near": 25, "distance": 12}
BOUNDS = [{"name": name, "label": label} for name, label in (("skills", "Compétences"), ("near", None), ("distance", "Distance"))]
TRIAL = "01a202ff-0000-7257-bf05-e3141523437b"
LESS = {"association_id": "a1", "name": "Lire [Ensemble]", "target_minutes": 600, "served_minutes": 90}


def make_trial(**changes: Any) -> dict[str, Any]:
    made = make_round(TRIAL, trial_of=ONE, trial_weights=WEIGHTS | {"skills": 45, "distance": 17}, campaign_id="c1")
    made["terms"] = made["terms"] | {"weights_version": None}
    made["result"] = made["result"] | {"shares": [LESS]}
    return made | changes


def answer(method: str, path: str, body: Any) -> Answer:
    where = path.partition("/v1/territories/92071")[2].partition("?")[0]
    if where == "/campaigns":
        return 200, {"items": [{"id": "c1"}] if "ref=sceaux-2026" in path else []}
    if where.endswith("/proposals"):
        return 200, {"items": [PROPOSAL]}
    if where.endswith("/unserved"):
        return 200, {
            "items": [{"need_id": NEED, "need_title": "Couture", "missing_minutes": 120, "why": ["aucune offre ouverte"]}]
        }
    if where.endswith("/choices"):
        return 200, {"items": [CHOICE]}
    if where.endswith("/release"):
        return 200, make_round(state="released", released={"at": "2026-10-02T09:00:00+00:00", "missions": 1, "left_out": 1})
    if where == "/weights":
        history = [{"version": 3, "weights": WEIGHTS | {"near": 1}}, {"version": 2, "weights": WEIGHTS}]
        return 200, {"version": 3, "bounds": BOUNDS, "history": history}
    if where.endswith("/trials"):
        return 201, make_trial(state="asked", result=None)
    if where.endswith(f"{TRIAL}/comparison"):
        one, other = ({"need_id": NEED, "offer_id": offer, "minutes": 90, "points": 83} for offer in (OFFER, OTHER))
        changed = [{"need_id": NEED, "one": [one], "other": [other]}]
        return 200, {"one": make_trial(), "other": make_round(), "added": [], "removed": [], "changed": changed, "same": 1}
    if where.endswith("/comparison"):
        pair = {"need_id": NEED, "offer_id": OFFER, "minutes": 90, "points": 83}
        return 200, {"one": make_round(), "other": make_round(OTHER), "added": [pair], "removed": [], "changed": [], "same": 1}
    if where == "/rounds" and method == "GET":
        return 200, {"items": [make_round(), make_round(OTHER)]}
    if TRIAL in where:
        return 200, make_trial()
    return 200, make_round(OTHER if OTHER in where else ONE)


@pytest.fixture
def played(platform: Platform) -> Platform:
    platform.answer = answer
    return platform


def call(platform: Platform, *words: str, typed: str = "") -> tuple[int, str]:
    done = CliRunner().invoke(app, ["round", *words, *LOGIN, "--url", platform.url], input=typed)
    return done.exit_code, done.output


class TestAsk:
    def test_sends_what_was_said_and_shows_what_came(self, played: Platform) -> None:
        code, said = call(played, "ask", "sceaux-2026", "--fairness", "0.7", "--note", "octobre")
        assert code == 0
        sent = next(body for method, path, body in played.seen if method == "POST" and path.endswith("/rounds"))
        assert sent == {"campaign_id": "c1", "fairness": 0.7, "note": "octobre"}
        assert "2 sur 3" in said and "Rien n'est envoyé" in said and "metis round release" in said

    def test_names_the_cure_of_an_unknown_campaign(self, played: Platform) -> None:
        code, said = call(played, "ask", "ailleurs")
        assert code == 1 and "référence" in said


class TestShow:
    def test_tells_everything_and_takes_no_text_for_markup(self, played: Platform) -> None:
        code, said = call(played, "show")
        assert code == 0
        for words in (
            "Lire [Ensemble]",
            "[b]d'octobre[/b]",
            "25 %",
            "10,4 %",
            "imposée",
            "aucune offre ouverte",
            "Ils [se] connaissent",
        ):
            assert words in said

    @pytest.mark.parametrize("name", [ONE, ONE[:13], "dernier"])
    def test_finds_a_round_by_id_by_its_beginning_or_as_the_last(self, played: Platform, name: str) -> None:
        assert call(played, "show", name)[0] == 0

    @pytest.mark.parametrize("name", ["01a202f", "ffff", "x"])
    def test_says_when_none_or_several_are_meant(self, played: Platform, name: str) -> None:
        code, said = call(played, "show", name)
        assert code == 1 and ("tours" in said or "pas de tour" in said)


class TestDecide:
    def test_nothing_is_released_without_a_yes(self, played: Platform) -> None:
        code, said = call(played, "release", "dernier", typed="\n")
        assert (code, [path for method, path, _ in played.seen if method == "POST"]) == (1, [])
        assert "Rien n'est envoyé." in said

    def test_what_was_left_out_is_told(self, played: Platform) -> None:
        code, said = call(played, "release", "dernier", "--note", "Vu", typed="oui\n")
        assert code == 0
        assert "1 mission proposée, 1 laissée de côté" in said and "le besoin a été retiré depuis" in said

    def test_choices_go_with_their_reason(self, played: Platform) -> None:
        code, _ = call(played, "pin", "dernier", NEED, OFFER, "--reason", "Convenu")
        assert code == 0
        sent = next((path, body) for method, path, body in played.seen if method == "PUT")
        assert sent[0].endswith(f"/rounds/{OTHER}/choices/{NEED}/{OFFER}") and sent[1] == {"kind": "pin", "reason": "Convenu"}
        code, said = call(played, "exclude", "dernier", "besoin", OFFER, "--reason", "Non")
        assert code == 1 and "metis round show" in said

    def test_two_rounds_side_by_side(self, played: Platform) -> None:
        code, said = call(played, "compare", ONE, OTHER)
        assert code == 0 and "1 par le premier seul" in said


class TestTry:
    def test_sends_all_weights_of_the_round_with_those_named_changed(self, played: Platform) -> None:
        """The round's own version 2, not version 3 that is in force since."""
        code, said = call(played, "try", ONE, "--weight", "skills=45", "--weight", "distance=17", "--note", "Si…")
        assert code == 0, said
        [(path, sent)] = [(path, body) for method, path, body in played.seen if method == "POST"]
        assert path.endswith(f"/rounds/{ONE}/trials")
        assert sent == {"skills": 45, "near": 25, "distance": 17, "note": "Si…"}
        assert "skills 45 au lieu de 50" in said

    def test_ends_with_the_comparison_and_how_the_weights_come_into_force(self, played: Platform) -> None:
        _, said = call(played, "try", ONE, "--weight", "skills=45")
        for words in (
            "1 besoin servi de même, 1 autrement",
            "à l'essai",
            "les points des deux tours ne se comparent pas",
            "Lire [Ensemble]",
            "−1 h",
            OFFER,
            'PUT /v1/territories/92071/weights   If-Match: "3"',
            '{"skills": 45, "near": 25, "distance": 17, "reason": "…"}',
            "metis round ask c1",
        ):
            assert words in said, words
        assert "metis round release" not in said

    def test_without_waiting_says_where_it_goes_on(self, played: Platform) -> None:
        code, said = call(played, "try", ONE, "--weight", "skills=45", "--no-wait")
        assert code == 0 and f"metis round watch {TRIAL[:13]}" in said

    def test_of_a_trial_goes_back_to_its_origin(self, played: Platform) -> None:
        code, said = call(played, "try", TRIAL, "--weight", "skills=45")
        assert code == 0 and "tour d'origine" in said
        assert next(path for method, path, _ in played.seen if method == "POST").endswith(f"/rounds/{ONE}/trials")

    @pytest.mark.parametrize(
        ("words", "told"),
        [
            (["adresse=3"], "skills (Compétences), near, distance (Distance)"),
            (["skills"], "skills=12"),
            (["skills=beaucoup"], "skills=12"),
            (["skills=45", "skills=50"], "deux fois"),
        ],
    )
    def test_names_the_cure_of_a_faulty_word(self, played: Platform, words: list[str], told: str) -> None:
        code, said = call(played, "try", ONE, *[part for word in words for part in ("--weight", word)])
        assert code == 1 and told in said
        assert not [path for method, path, _ in played.seen if method == "POST"]

    def test_is_marked_as_a_trial_and_never_released(self, played: Platform) -> None:
        code, said = call(played, "show", TRIAL)
        assert code == 0 and f"Essai sur le tour {ONE}" in said and "skills=45 near=25 distance=17" in said
        code, said = call(played, "release", TRIAL, "--yes")
        assert code == 1 and "PUT /weights" in said
        assert not [path for method, path, _ in played.seen if method == "POST"]


class TestPage:
    def test_is_written_as_it_comes(self, played: Platform, tmp_path: Path) -> None:
        code, _ = call(played, "page", ONE, "--out", str(tmp_path / "tour.html"))
        assert code == 0 and (tmp_path / "tour.html").stat().st_size > 0


class TestHelp:
    @pytest.mark.parametrize(
        "command",
        [
            "ask",
            "list",
            "show",
            "watch",
            "stop",
            "pin",
            "exclude",
            "unchoose",
            "again",
            "try",
            "compare",
            "release",
            "replay",
            "page",
        ],
    )
    def test_teaches_by_an_example(self, command: str) -> None:
        done = CliRunner().invoke(app, ["round", command, "--help"])
        assert done.exit_code == 0 and f"metis round {command}" in done.output and "--client-id" in done.output
