"""Which offers fit which needs, how well, why, and why not."""

import random
from collections import Counter
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel.ids import new_id
from services.matching.domain.needs import Need, Unmet
from services.matching.domain.offers import Candidate
from services.matching.domain.shared import Commune, Skill
from services.matching.engine.assignment import Plan, propose, rank
from services.matching.engine.fit import Fit, ObstacleKind, assess
from services.matching.engine.places import measure_distance_km
from services.matching.engine.reasons import describe_venue, explain_parts, list_reasons
from services.matching.engine.rules import LABELS, explain_rules
from services.matching.engine.sentences import count, write_distance, write_hours, write_period
from services.matching.engine.skills import normalise_label
from services.matching.engine.weights import CRITERIA, DEFAULT_WEIGHTS, Weights
from tests.builders.matching import (
    ANTONY,
    BOURG_LA_REINE,
    COMMUNES,
    SCEAUX,
    TODAY,
    make_candidate,
    make_need,
    make_surroundings,
)


def look(need: Need, candidate: Candidate, **surroundings: Any) -> Fit:
    return assess(need, candidate, make_surroundings(**surroundings))


def kinds(fit: Fit) -> list[ObstacleKind]:
    return list(fit.obstacles)


class TestNormaliseLabel:
    @pytest.mark.parametrize(
        ("label", "normal"),
        [
            ("Comptabilité", "comptabilite"),
            ("  MISE EN ŒUVRE ", "mise en oeuvre"),
            ("mise-en-oeuvre", "mise en oeuvre"),
            ("Curriculum vitæ", "curriculum vitae"),
            ("Réseaux  sociaux", "reseaux sociaux"),
            ("Straße", "strasse"),
            ("e\u0301lectricite\u0301", "electricite"),
            ("oﬃce", "office"),
            ("C++", "c++"),
            ("C#", "c#"),
            ("l’accueil", "l accueil"),
            ("!!!", "!!!"),
        ],
    )
    def test_makes_spellings_comparable(self, label: str, normal: str) -> None:
        assert normalise_label(label) == normal

    @given(st.text(min_size=1, max_size=40))
    def test_normalising_twice_changes_nothing_more(self, label: str) -> None:
        assert normalise_label(normalise_label(label)) == normalise_label(label)


class TestMeasureDistance:
    def test_between_two_centres(self) -> None:
        assert measure_distance_km(COMMUNES[SCEAUX], COMMUNES[BOURG_LA_REINE]) == pytest.approx(1.57, abs=0.01)
        paris, marseille = Commune("Paris", 48.8566, 2.3522), Commune("Marseille", 43.2965, 5.3698)
        assert measure_distance_km(paris, marseille) == pytest.approx(661, abs=1)

    @given(*[st.tuples(st.floats(-90, 90), st.floats(-180, 180))] * 2)
    def test_is_a_symmetric_length_within_half_the_globe(self, one: tuple[float, float], other: tuple[float, float]) -> None:
        there = measure_distance_km(Commune("a", *one), Commune("b", *other))
        assert 0 <= there <= 20_016
        assert there == pytest.approx(measure_distance_km(Commune("b", *other), Commune("a", *one)))


class TestSentences:
    def test_figures_as_people_write_them(self) -> None:
        assert [write_hours(minutes) for minutes in (0, 45, 60, 90, 605)] == ["0 min", "45 min", "1 h", "1 h 30", "10 h 05"]
        assert [write_distance(km) for km in (1.44, 9.96, 12.4)] == ["1,4 km", "10,0 km", "12 km"]
        assert [count(number, "offre") for number in (0, 1, 2)] == ["0 offre", "1 offre", "2 offres"]
        assert write_period(date(2026, 3, 1), date(2026, 4, 14)) == "du 1er mars au 14 avril 2026"
        assert write_period(date(2026, 12, 1), date(2027, 1, 2)) == "du 1er décembre 2026 au 2 janvier 2027"
        assert write_period(date(2026, 3, 3), date(2026, 3, 3)) == "le 3 mars 2026"


class TestAssess:
    def test_says_why_it_fits(self) -> None:
        fit = look(make_need(), make_candidate(commune=BOURG_LA_REINE))
        assert fit.fits
        assert list_reasons(fit) == [
            "2 compétences communes : comptabilité, tableur",
            "à 1,6 km",
            "47 jours communs, du 5 octobre au 20 novembre 2026",
            "6 h demandées, 10 h offertes",
            "aucune autre mission confiée à la personne bénévole",
        ]

    @pytest.mark.parametrize(
        ("need", "offer", "venue"),
        [
            ({}, {}, "Sceaux"),
            ({"remote": True}, {}, "Sceaux"),
            ({"remote": True}, {"remote": True}, "Sceaux, ou à distance"),
            ({"remote": True}, {"remote": True, "commune": None}, "à distance"),
            ({"remote": True, "commune": None}, {"remote": True}, "à distance"),
            ({}, {"commune": BOURG_LA_REINE}, "Sceaux"),
        ],
    )
    def test_says_where_it_would_be_done(self, need: dict[str, Any], offer: dict[str, Any], venue: str) -> None:
        assert describe_venue(look(make_need(**need), make_candidate(**offer)), COMMUNES) == venue

    def test_each_part_of_the_score_is_named_with_what_gave_it(self) -> None:
        fit = look(make_need(), make_candidate())
        parts = explain_parts(fit)
        assert [(part.name, part.points, part.maximum) for part in parts] == [
            ("skills", 50, 50), ("near", 0, 25), ("distance", 12, 12), ("availability", 12, 12), ("minutes", 3, 6),
            ("continuity", 0, 6), ("newcomer", 6, 6), ("unmet", 8, 8),
        ]  # fmt: skip
        assert fit.score == sum(part.points for part in parts) == 91
        assert {part.name: part.why for part in parts} == {
            "skills": "2 compétences communes : comptabilité, tableur",
            "near": "aucune à compter",
            "distance": "dans la même commune : Sceaux",
            "availability": "47 jours communs, du 5 octobre au 20 novembre 2026, sur 47 jours",
            "minutes": "6 h demandées, 10 h offertes",
            "continuity": "pas encore de mission menée ensemble",
            "newcomer": "aucune autre mission confiée à la personne bénévole",
            "unmet": "aucune heure demandée jusqu'ici par l'association",
        }
        assert set(CRITERIA) <= set(LABELS)

    def test_less_than_wished_is_said_and_scored(self) -> None:
        need = make_need(skills=(Skill("comptabilité", 3), Skill("tableur")))
        fit = look(need, make_candidate(skills=(Skill("comptabilité", 2),)))
        assert fit.fits
        assert "à noter, niveau 2 pour 3 souhaité : comptabilité" in list_reasons(fit)
        assert "à noter, 1 compétence non couverte : tableur" in list_reasons(fit)
        assert fit.parts[0].points == 16  # a third of 50, rounded down: two thirds of one skill of two

    def test_what_is_left_of_the_minutes_is_said(self) -> None:
        fit = look(make_need(minutes=60), make_candidate(minutes=600, remaining_minutes=90, missions=2))
        assert "1 h demandée, 10 h offertes dont 1 h 30 encore libre" in list_reasons(fit)
        assert "2 autres missions confiées à la personne bénévole" in list_reasons(fit)

    def test_what_was_done_together_and_what_waits_is_said(self) -> None:
        need, candidate = make_need(), make_candidate()
        fit = look(
            need,
            candidate,
            worked_together={(candidate.offer.volunteer_id, need.association_id): 1},
            unmet={(need.campaign_id, need.association_id): Unmet(360, 720)},
        )
        assert "1 mission déjà menée ensemble, sans litige" in list_reasons(fit)
        parts = {part.name: part for part in explain_parts(fit)}
        assert (parts["continuity"].points, parts["unmet"].points) == (3, 4)
        assert parts["unmet"].why == "6 h sur 12 h que l'association demande attendent encore"

    def test_only_days_to_come_count(self) -> None:
        fit = look(make_need(), make_candidate(), today=date(2026, 11, 19))
        assert "2 jours communs, du 19 au 20 novembre 2026" in list_reasons(fit)
        assert (fit.first_day, fit.last_day) == (date(2026, 11, 19), date(2026, 11, 20))

    def test_remote_needs_both_sides(self) -> None:
        far: dict[str, Any] = {"commune": ANTONY, "radius_km": 1}
        assert not look(make_need(remote=True), make_candidate(**far, remote=False)).fits
        assert not look(make_need(remote=False), make_candidate(**far, remote=True)).fits
        fit = look(make_need(remote=True), make_candidate(**far, remote=True))
        assert fit.fits
        assert "à distance, ce que les deux côtés acceptent" in list_reasons(fit)

    def test_near_is_better_than_remote(self) -> None:
        near = look(make_need(remote=True), make_candidate(remote=True, commune=ANTONY))
        remote = look(make_need(remote=True), make_candidate(remote=True, commune=ANTONY, radius_km=0))
        assert near.score > remote.score

    def test_far_on_the_spot_is_scored_as_at_a_distance_where_that_gives_more(self) -> None:
        weights = replace(DEFAULT_WEIGHTS, far_km=3)
        fit = look(make_need(remote=True), make_candidate(remote=True, commune=ANTONY), weights=weights)
        distance = explain_parts(fit)[2]
        assert (distance.points, distance.maximum) == (7, 12)
        assert distance.why == "à 2,8 km ; à distance, ce que les deux côtés acceptent, compte davantage"


class TestRank:
    def test_best_first_and_nearest_misses_first(self) -> None:
        offers = [
            make_candidate(),
            make_candidate(missions=1),
            make_candidate(minutes=60),
            make_candidate(minutes=60, skills=()),
        ]
        fitting, unfit = rank(make_need(), list(reversed(offers)), make_surroundings())
        assert [fit.candidate for fit in fitting] == offers[:2]
        assert [fit.candidate for fit in unfit] == offers[2:]


class TestExplanation:
    def test_names_its_law_and_a_person(self) -> None:
        explanation = explain_rules(DEFAULT_WEIGHTS)
        assert "L. 311-3-1" in explanation.law
        assert "personne" in explanation.ask_a_person

    def test_says_the_weights_in_force(self) -> None:
        weights = Weights(skills=41, near=33, distance=19, availability=14, minutes=7, continuity=4, newcomer=2, unmet=13)
        rules = " ".join(explain_rules(weights).rules)
        assert all(f"jusqu'à {weights.of(name)} points" in rules for name in CRITERIA)
        assert f"à {weights.far_km} km" in rules

    def test_of_missions_before_weights_had_versions(self) -> None:
        assert "jusqu'à 50 points" in " ".join(explain_rules(None).rules)


# ---- All needs together -----------------------------------------------------------------------------------------------

LABELS_OF_SKILLS = ("comptabilité", "tableur", "couture", "anglais")
some_skills = st.lists(st.sampled_from(LABELS_OF_SKILLS), min_size=1, max_size=2, unique=True).map(
    lambda labels: tuple(Skill(label) for label in labels)
)
some_needs = st.builds(make_need, skills=some_skills, minutes=st.integers(1, 8).map(lambda hours: hours * 60))
some_candidates = st.builds(
    make_candidate,
    skills=some_skills,
    minutes=st.integers(1, 12).map(lambda hours: hours * 60),
    missions=st.integers(0, 3),
    volunteer_id=st.sampled_from([new_id() for _ in range(3)]),
)


def check_plan(plan: Plan, needs: list[Need], candidates: list[Candidate]) -> None:
    minutes = {need.id: need.facts.minutes for need in needs}
    served = Counter(fit.need.id for fit in plan.proposals)
    assert all(times == 1 for times in served.values())
    assert set(served) | {item.need.id for item in plan.unserved} == set(minutes)
    assert len(served) + len(plan.unserved) == len(needs)
    taken: Counter[Any] = Counter()
    for fit in plan.proposals:
        assert fit.fits
        taken[fit.candidate.offer.id] += minutes[fit.need.id]
    left = {candidate.offer.id: candidate.remaining_minutes - taken[candidate.offer.id] for candidate in candidates}
    assert all(minutes_left >= 0 for minutes_left in left.values())
    for item in plan.unserved:
        assert item.why
        fits = [assess(item.need, candidate, make_surroundings()) for candidate in candidates]
        assert not any(fit.fits and left[fit.candidate.offer.id] >= item.need.facts.minutes for fit in fits)


class TestPropose:
    @settings(deadline=None)
    @given(st.lists(some_needs, max_size=8), st.lists(some_candidates, max_size=6))
    def test_each_need_once_no_offer_beyond_its_minutes_and_nothing_left_lying(
        self, needs: list[Need], candidates: list[Candidate]
    ) -> None:
        check_plan(propose(needs, candidates, make_surroundings()), needs, candidates)

    @settings(deadline=None)
    @given(st.lists(some_needs, max_size=8), st.lists(some_candidates, max_size=6), st.randoms(use_true_random=False))
    def test_does_not_depend_on_the_order_it_is_given(
        self, needs: list[Need], candidates: list[Candidate], shuffler: random.Random
    ) -> None:
        plan = propose(needs, candidates, make_surroundings())
        shuffler.shuffle(needs)
        shuffler.shuffle(candidates)
        assert propose(needs, candidates, make_surroundings()) == plan

    def test_the_need_with_one_possible_offer_comes_first(self) -> None:
        versatile = make_candidate(minutes=360)
        second_best = make_candidate(skills=(Skill("tableur", 1),), minutes=360)
        easy, hard = make_need(), make_need(skills=(Skill("comptabilité"),))
        plan = propose([easy, hard], [versatile, second_best], make_surroundings())
        assert {fit.need.id: fit.candidate for fit in plan.proposals} == {easy.id: second_best, hard.id: versatile}

    def test_a_need_is_helped_by_moving_another(self) -> None:
        # Both needs have two offers; the longer need fits only one of them once the shorter has taken it.
        long_offer = make_candidate(minutes=600)
        short_offer = make_candidate(minutes=120, skills=(Skill("tableur"),))
        short_need = make_need(minutes=120)
        long_needs = [make_need(minutes=300), make_need(minutes=300)]
        plan = propose([short_need, *long_needs], [long_offer, short_offer], make_surroundings())
        assert not plan.unserved
        assert {fit.need.id: fit.candidate for fit in plan.proposals}[short_need.id] == short_offer

    def test_missions_are_shared_among_volunteers(self) -> None:
        one, other = make_candidate(minutes=1200), make_candidate(minutes=1200)
        needs = [make_need() for _ in range(4)]
        plan = propose(needs, [one, other], make_surroundings())
        assert sorted(Counter(fit.candidate.offer.id for fit in plan.proposals).values()) == [2, 2]

    def test_says_why_nothing_fits(self) -> None:
        needs = [make_need(), make_need(skills=(Skill("couture"),))]
        candidates = [make_candidate(minutes=360), make_candidate(minutes=60), make_candidate(commune=ANTONY, radius_km=1)]
        taken = make_need()
        plan = propose([*needs, taken], candidates, make_surroundings())
        why = {item.need.id: item.why for item in plan.unserved}
        assert why[needs[1].id] == ("3 offres : aucune compétence commune",)
        left_over = ({needs[0].id, taken.id} & set(why)).pop()
        assert why[left_over] == (
            "1 offre convient, mais d'autres besoins ont pris leurs heures",
            "1 offre : pas assez d'heures libres",
            "1 offre : trop loin",
        )
        assert propose([taken], [], make_surroundings()).unserved[0].why == ("aucune offre ouverte",)

    def test_a_town_of_a_thousand_needs_is_done_in_seconds(self) -> None:
        labels = [f"compétence {number}" for number in range(60)]
        dice = random.Random(7)
        needs = [make_need(skills=tuple(Skill(label) for label in dice.sample(labels, 2))) for _ in range(1000)]
        candidates = [
            make_candidate(skills=tuple(Skill(label) for label in dice.sample(labels, 3)), commune=dice.choice(list(COMMUNES)))
            for _ in range(1000)
        ]
        plan = propose(needs, candidates, make_surroundings())
        check_bounds = Counter(fit.candidate.offer.id for fit in plan.proposals)
        assert max(check_bounds.values()) == 1  # 6 h each, 10 h offered
        assert len(plan.proposals) > 900


def test_missions_are_counted_on_top_of_what_was_there() -> None:
    fit = look(make_need(), make_candidate(missions=1))
    assert fit.with_missions(2).score < fit.score
    assert fit.first_day - TODAY == timedelta(days=4)
