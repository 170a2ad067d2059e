"""The labelled sets that measure the matcher are sound: whole, honest about their gates, and not solved by shared words."""

import csv
import json
import math
import os
import re
import unicodedata
from collections import Counter
from datetime import date
from functools import cache
from pathlib import Path
from statistics import mean
from typing import Any

import pytest
import snowballstemmer
from sklearn.feature_extraction.text import TfidfVectorizer

FOLDER = Path(__file__).parent / "evaluation"
ROOT = Path(__file__).parents[2]
COMMUNES = Path(os.environ.get("METIS_REFERENCE_DATA", ROOT.parent / "shared" / "data")) / "communes.tsv"
DEVELOPMENT, HELD_OUT = "development.json", "held_out.json"
LEAST = {DEVELOPMENT: (90, 100), HELD_OUT: (80, 90)}
EARTH_RADIUS_KM = 6371.0088

# A gate or a pass says nothing about where a commune's centre lies: distances stay clear of the radius on both sides.
SURELY_NEAR, SURELY_FAR = 0.9, 1.15
MEAN_OVERLAP_AT_MOST = 0.02
STEMS_NDCG_AT_MOST = 0.15

Record = dict[str, Any]
both_sets = pytest.mark.parametrize("name", [DEVELOPMENT, HELD_OUT])
needs_communes = pytest.mark.skipif(
    not COMMUNES.exists(), reason=f"no reference data: {COMMUNES} is absent (METIS_REFERENCE_DATA)"
)

_stemmer = snowballstemmer.stemmer("french")


@cache
def load(name: str) -> dict[str, list[Record]]:
    loaded: dict[str, list[Record]] = json.loads((FOLDER / name).read_text(encoding="utf-8"))
    return loaded


@cache
def by_id(name: str, kind: str) -> dict[str, Record]:
    return {record["id"]: record for record in load(name)[kind]}


@cache
def grades(name: str) -> dict[tuple[str, str], int]:
    return {(line["need"], line["offer"]): line["grade"] for line in load(name)["judgments"]}


@cache
def read_places() -> dict[str, tuple[float, float]]:
    with COMMUNES.open(encoding="utf-8", newline="") as lines:
        return {row["insee"]: (float(row["lat"]), float(row["lng"])) for row in csv.DictReader(lines, delimiter="\t")}


def measure_km(one: str, other: str) -> float:
    """Great-circle kilometres between two communes' places (haversine)."""
    (lat1, lng1), (lat2, lng2) = ([math.radians(degree) for degree in read_places()[code]] for code in (one, other))
    half_chord = math.sin((lat2 - lat1) / 2) ** 2 + math.cos(lat1) * math.cos(lat2) * math.sin((lng2 - lng1) / 2) ** 2
    return 2 * EARTH_RADIUS_KM * math.asin(math.sqrt(half_chord))


def asks_presence(need: Record, offer: Record) -> bool:
    return "onsite" in (need["mode"], offer["mode"])


def find_closed_gates(need: Record, offer: Record) -> list[str]:
    """Every gate that closes, named as `blocked_by` names it; distance closes just past the radius, or in doubt near it."""
    closed = []
    if max(need["starts_on"], offer["starts_on"]) > min(need["ends_on"], offer["ends_on"]):
        closed.append("dates")
    if not set(need["languages"]) <= set(offer["languages"]):
        closed.append("language")
    if {need["mode"], offer["mode"]} == {"onsite", "remote"}:
        closed.append("mode")
    if asks_presence(need, offer):
        share = measure_km(need["commune"], offer["commune"]) / offer["radius_km"]
        closed += ["distance"] if share > SURELY_FAR else ["distance in doubt"] if share >= SURELY_NEAR else []
    return closed


@cache
def take_stems(text: str) -> list[str]:
    """Stems of the words of four letters or more, without accents: shorter ones join sentences, not subjects."""
    plain = unicodedata.normalize("NFKD", text.lower()).encode("ascii", "ignore").decode()
    return [_stemmer.stemWord(word) for word in re.findall(r"[a-z]{4,}", plain)]


def read_text(record: Record) -> str:
    return f"{record['title']}\n{record['description']}"


def measure_overlap(need: Record, offer: Record) -> float:
    """Jaccard index of the two texts' stems."""
    one, other = set(take_stems(read_text(need))), set(take_stems(read_text(offer)))
    return len(one & other) / len(one | other)


def _measure_gain(graded: list[int]) -> float:
    return math.fsum((2.0**grade - 1) / math.log2(rank + 2) for rank, grade in enumerate(graded[:10]))


def measure_ndcg(ranked: list[int], ideal: list[int]) -> float:
    """nDCG@10 with gain 2^grade - 1."""
    found, best = _measure_gain(ranked), _measure_gain(ideal)
    return found / best


@both_sets
class TestReadSet:
    def test_has_enough_needs_and_offers(self, name: str) -> None:
        least_needs, least_offers = LEAST[name]
        assert len(load(name)["needs"]) >= least_needs
        assert len(load(name)["offers"]) >= least_offers

    @pytest.mark.parametrize("kind", ["needs", "offers"])
    def test_names_each_record_once(self, name: str, kind: str) -> None:
        assert not [key for key, times in Counter(record["id"] for record in load(name)[kind]).items() if times > 1]

    @pytest.mark.parametrize("kind", ["needs", "offers"])
    def test_fills_every_field_of_a_record(self, name: str, kind: str) -> None:
        for record in load(name)[kind]:
            assert record["title"].strip() and record["description"].strip(), record["id"]
            assert record["mode"] in {"onsite", "remote", "either"}, record["id"]
            assert record["minutes"] > 0, record["id"]
            assert date.fromisoformat(record["starts_on"]) <= date.fromisoformat(record["ends_on"]), record["id"]
            assert record["languages"] and all(re.fullmatch("[a-z]{2}", code) for code in record["languages"]), record["id"]
            if kind == "offers":
                assert record["kind"] in {"professional", "personal"} and record["radius_km"] > 0, record["id"]

    @needs_communes
    def test_places_every_record_in_a_known_commune(self, name: str) -> None:
        used = {record["commune"] for kind in ("needs", "offers") for record in load(name)[kind]}
        assert used <= read_places().keys()

    @pytest.mark.parametrize("kind", ["judgments", "gates", "passes"])
    def test_refers_to_what_exists_and_once(self, name: str, kind: str) -> None:
        pairs = [(line["need"], line["offer"]) for line in load(name)[kind]]
        assert len(pairs) == len(set(pairs))
        assert {need for need, _ in pairs} <= by_id(name, "needs").keys()
        assert {offer for _, offer in pairs} <= by_id(name, "offers").keys()


@both_sets
class TestJudge:
    def test_grades_from_nought_to_three(self, name: str) -> None:
        assert set(grades(name).values()) == {0, 1, 2, 3}

    def test_finds_a_good_offer_for_every_need(self, name: str) -> None:
        served = {need for (need, _), grade in grades(name).items() if grade >= 2}
        assert served == by_id(name, "needs").keys()

    def test_names_false_friends(self, name: str) -> None:
        assert sum(grade == 0 for grade in grades(name).values()) >= 25


@both_sets
class TestState:
    def test_covers_every_gate(self, name: str) -> None:
        reasons = Counter(line["blocked_by"] for line in load(name)["gates"])
        assert reasons.keys() == {"dates", "distance", "language", "mode"}
        assert reasons.total() >= 24 and min(reasons.values()) >= 6
        assert len(load(name)["passes"]) >= 24

    @pytest.mark.parametrize("kind", ["gates", "passes"])
    def test_concerns_texts_that_fit_and_minutes_that_suffice(self, name: str, kind: str) -> None:
        for line in load(name)[kind]:
            assert grades(name)[line["need"], line["offer"]] >= 2, line
            assert by_id(name, "offers")[line["offer"]]["minutes"] >= by_id(name, "needs")[line["need"]]["minutes"], line

    @needs_communes
    def test_blocks_for_the_stated_reason_alone(self, name: str) -> None:
        needs, offers = by_id(name, "needs"), by_id(name, "offers")
        for line in load(name)["gates"]:
            assert find_closed_gates(needs[line["need"]], offers[line["offer"]]) == [line["blocked_by"]], line

    @needs_communes
    def test_lets_through_what_nothing_blocks(self, name: str) -> None:
        needs, offers = by_id(name, "needs"), by_id(name, "offers")
        for line in load(name)["passes"]:
            assert find_closed_gates(needs[line["need"]], offers[line["offer"]]) == [], line

    def test_tries_the_edges(self, name: str) -> None:
        needs, offers = by_id(name, "needs"), by_id(name, "offers")
        pairs = [(needs[line["need"]], offers[line["offer"]]) for line in load(name)["passes"]]
        one_day = [n for n, o in pairs if max(n["starts_on"], o["starts_on"]) == min(n["ends_on"], o["ends_on"])]
        just_enough = [n for n, o in pairs if n["minutes"] == o["minutes"]]
        elsewhere = [n for n, o in pairs if n["commune"][:2] != o["commune"][:2] and not asks_presence(n, o)]
        assert min(len(one_day), len(just_enough), len(elsewhere)) >= 3


@both_sets
class TestShareWords:
    def test_shares_almost_none_with_the_best_offers(self, name: str) -> None:
        needs, offers = by_id(name, "needs"), by_id(name, "offers")
        best = [pair for pair, grade in grades(name).items() if grade == 3]
        assert mean(measure_overlap(needs[need], offers[offer]) for need, offer in best) <= MEAN_OVERLAP_AT_MOST

    def test_leaves_a_ranking_by_stems_with_little(self, name: str) -> None:
        needs, offers = load(name)["needs"], load(name)["offers"]
        weights = TfidfVectorizer(analyzer=take_stems, sublinear_tf=True)
        vectors = weights.fit_transform([read_text(offer) for offer in offers])
        scores = (weights.transform([read_text(need) for need in needs]) @ vectors.T).toarray()
        gained = []
        for need, row in zip(needs, scores, strict=True):
            graded = [grades(name).get((need["id"], offer["id"]), 0) for offer in offers]
            ranked = [grade for _, _, grade in sorted(zip(-row, range(len(offers)), graded, strict=True))]
            gained.append(measure_ndcg(ranked, sorted(graded, reverse=True)))
        assert mean(gained) <= STEMS_NDCG_AT_MOST


class TestSplit:
    @pytest.mark.parametrize("field", ["title", "description"])
    def test_holds_out_texts_nobody_tunes_on(self, field: str) -> None:
        tuned, held_out = ({record[field] for kind in ("needs", "offers") for record in load(name)[kind]} for name in LEAST)
        assert not tuned & held_out
