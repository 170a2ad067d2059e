"""What makes a pair impossible: each gate by itself, its name and its sentence; and what it compares skills by."""

from datetime import date
from typing import Any
from uuid import UUID

import pytest

from kernel.ids import new_id
from services.matching.domain.shared import Point, Setting, Skill
from services.matching.domain.week import WHOLE_WEEK, WeekPart, days_mask, list_parts, week_mask
from services.matching.engine.comparison import compare_skills
from services.matching.engine.fit import assess
from services.matching.engine.gates import ObstacleKind
from services.matching.engine.places import PlaceKind
from services.matching.engine.reasons import describe_obstacle
from services.matching.engine.referential import NO_REFERENTIAL, Referential
from services.matching.engine.sentences import write_week
from tests.builders.matching import (
    ANTONY,
    make_candidate,
    make_need,
    make_referential,
    make_surroundings,
)

OURS = new_id()


class TestEachGate:
    @pytest.mark.parametrize(
        ("need", "offer", "kind", "sentence"),
        [
            (
                {},
                {"skills": (Skill("couture"),)},
                "skills",
                "aucune compétence commune ; le besoin demande : comptabilité, tableur",
            ),
            (
                {},
                {"available_from": date(2026, 12, 1)},
                "dates",
                "aucun jour commun à venir ; le besoin : du 5 octobre au 20 novembre 2026, l'offre : du 1er au 18 décembre 2026",
            ),
            (
                {"week": (WeekPart.MONDAY_MORNING, WeekPart.MONDAY_EVENING)},
                {"week": (WeekPart.SATURDAY_MORNING, WeekPart.SATURDAY_AFTERNOON, WeekPart.SATURDAY_EVENING)},
                "week",
                "aucun moment de la semaine en commun ; le besoin : lundi matin et soir, l'offre : samedi",
            ),
            (  # from Monday 5 October to Tuesday 6
                {"ends_on": date(2026, 10, 6)},
                {"week": (WeekPart.SATURDAY_MORNING,)},
                "week",
                "aucun moment de la semaine en commun ; le besoin : toute la semaine, l'offre : samedi matin",
            ),
            ({}, {"commune": ANTONY, "radius_km": 2}, "distance", "à 2,8 km, au-delà du rayon de 2 km"),
            ({}, {"commune": "13055"}, "distance", "distance impossible à calculer : commune 13055 inconnue"),
            ({"commune": "13055"}, {"commune": "13055"}, "distance", "distance impossible à calculer : commune 13055 inconnue"),
            ({}, {"commune": None, "remote": True}, "mode", "l'offre se fait à distance seulement, le besoin sur place"),
            ({"commune": None, "remote": True}, {}, "mode", "le besoin se fait à distance seulement, l'offre sur place"),
            ({"languages": ("fr", "ar")}, {"languages": ("fr", "en")}, "language", "langue manquante : arabe"),
            ({"languages": ("br", "de")}, {}, "language", "langues manquantes : br, allemand"),
            ({}, {"minutes": 120}, "minutes", "6 h demandées, 2 h offertes"),
            ({}, {"remaining_minutes": 0}, "minutes", "6 h demandées, 10 h offertes dont 0 min encore libre"),
            (
                {"setting": Setting.PROFESSIONAL},
                {},
                "setting",
                "le besoin demande une compétence à titre professionnel, l'offre est à titre personnel",
            ),
            (
                {"with_minors": True},
                {},
                "minors",
                "avec des mineurs : la ville n'a pas (encore) contrôlé l'honorabilité de la personne bénévole",
            ),
            ({"charter_required": True}, {}, "charter", "la charte de partenariat est demandée, et n'est pas signée"),
            ({}, {"employer_id": OURS}, "own_association", "la personne bénévole agit déjà pour cette association"),
            ({}, {"excluded_associations": (OURS,)}, "conflict", "la personne bénévole a déclaré un lien avec cette association"),
        ],
    )
    def test_blocks_and_names_itself(self, need: dict[str, Any], offer: dict[str, Any], kind: str, sentence: str) -> None:
        fit = assess(make_need(association_id=OURS, **need), make_candidate(**offer), make_surroundings())
        assert [(kind, describe_obstacle(fit, kind)) for kind in fit.obstacles] == [(kind, sentence)]

    @pytest.mark.parametrize(
        ("need", "offer"),
        [
            ({"week": (WeekPart.MONDAY_MORNING,)}, {}),
            ({}, {"week": (WeekPart.MONDAY_MORNING,)}),
            ({"languages": ("ar",)}, {"languages": ("fr", "ar")}),
            ({"setting": Setting.PERSONAL}, {}),
            ({"with_minors": True}, {"honorability_checked_on": date(2026, 1, 5)}),
            ({"charter_required": True}, {"charter_signed": True}),
            ({"remote": True}, {"commune": None, "remote": True}),
            ({"remote": True}, {"commune": ANTONY, "radius_km": 0, "remote": True}),
            ({}, {"excluded_associations": (new_id(),)}),
        ],
    )
    def test_lets_through_what_meets_it(self, need: dict[str, Any], offer: dict[str, Any]) -> None:
        assert assess(make_need(association_id=OURS, **need), make_candidate(**offer), make_surroundings()).fits

    def test_all_that_block_are_said_at_once(self) -> None:
        candidate = make_candidate(skills=(Skill("couture"),), minutes=60, commune=ANTONY, radius_km=1)
        fit = assess(make_need(), candidate, make_surroundings())
        assert list(fit.obstacles) == [ObstacleKind.SKILLS, ObstacleKind.DISTANCE, ObstacleKind.MINUTES]

    def test_a_gate_never_scores(self) -> None:
        need, candidate = make_need(), make_candidate()
        fit = assess(need, candidate, make_surroundings())
        blocked = assess(need, candidate, make_surroundings(panels={need.campaign_id: frozenset()}))
        assert (blocked.fits, blocked.parts) == (False, fit.parts)


class TestPanel:
    def test_of_a_campaign_shuts_out_who_is_not_on_it(self) -> None:
        need, candidate = make_need(), make_candidate()

        def obstacles(panels: dict[UUID, frozenset[UUID]]) -> tuple[ObstacleKind, ...]:
            return assess(need, candidate, make_surroundings(panels=panels)).obstacles

        assert obstacles({need.campaign_id: frozenset({new_id()})}) == (ObstacleKind.PANEL,)
        assert obstacles({need.campaign_id: frozenset({need.association_id})}) == ()
        assert obstacles({new_id(): frozenset({new_id()})}) == (), "nothing is known of this campaign's panel"


class TestTurnedDown:
    def test_is_not_proposed_again_unless_a_person_says_so(self) -> None:
        need, candidate = make_need(), make_candidate()
        fit = assess(need, candidate, make_surroundings(turned_down=frozenset({(need.id, candidate.offer.id)})))
        assert list(fit.obstacles) == [ObstacleKind.TURNED_DOWN]
        assert fit.without(ObstacleKind.TURNED_DOWN).fits


class TestPlace:
    def test_a_point_is_more_exact_than_the_commune(self) -> None:
        need = make_need(point=Point(48.7772, 2.2902))
        fit = assess(need, make_candidate(point=Point(48.7746, 2.3038)), make_surroundings())
        assert (fit.place.kind, fit.place.metres) == (PlaceKind.NEAR, 1038)
        to_the_centre = assess(need, make_candidate(), make_surroundings())
        assert (to_the_centre.place.kind, to_the_centre.place.metres) == (PlaceKind.NEAR, 465)

    def test_a_point_needs_no_known_commune(self) -> None:
        need = make_need(commune="13055", point=Point(43.30, 5.37))
        assert assess(need, make_candidate(commune="13055", point=Point(43.31, 5.37)), make_surroundings()).fits


class TestWeek:
    def test_none_named_is_any_time(self) -> None:
        assert week_mask(()) == WHOLE_WEEK
        assert list_parts(WHOLE_WEEK) == list(WeekPart)

    def test_masks_and_back(self) -> None:
        parts = [WeekPart.MONDAY_EVENING, WeekPart.SUNDAY_MORNING]
        assert list_parts(week_mask(parts)) == parts
        assert write_week(week_mask(parts)) == "lundi soir, dimanche matin"

    def test_of_days(self) -> None:
        friday, sunday = date(2026, 10, 2), date(2026, 10, 4)
        assert write_week(days_mask(friday, sunday)) == "vendredi, samedi, dimanche"
        assert days_mask(friday, date(2026, 10, 8)) == WHOLE_WEEK
        assert days_mask(sunday, friday) == 0


@pytest.fixture
def referential() -> Referential:
    return make_referential(
        {"site-web": "Site web", "wordpress": "WordPress", "graphisme": "Graphisme", "comptabilite": "Comptabilité"},
        near={"site-web": {"wordpress": 0.8, "graphisme": 0.3}},
        synonyms={"site-web": ["refonte du site"]},
    )


class TestCompareSkills:
    def test_a_lower_level_counts_for_its_share(self) -> None:
        comparison = compare_skills(
            [Skill("vidéo", 3), Skill("anglais")], [Skill("Video", 1), Skill("espagnol", 3)], NO_REFERENTIAL, near_from_percent=30
        )
        assert [(skill.label, skill.wanted, skill.offered) for skill in comparison.shared] == [("vidéo", 3, 1)]
        assert comparison.missing == (Skill("anglais"),)
        assert (comparison.wanted, comparison.met_sixths, comparison.near_sixths) == (2, 2, 0)

    def test_a_skill_named_twice_counts_once_at_its_highest_level(self) -> None:
        wanted, offered = [Skill("Vidéo"), Skill("video", 2)], [Skill("vidéo", 1), Skill("VIDEO", 3)]
        comparison = compare_skills(wanted, offered, NO_REFERENTIAL, near_from_percent=30)
        assert (comparison.wanted, comparison.met_sixths) == (1, 6)

    def test_a_code_and_the_words_for_it_are_one_skill(self, referential: Referential) -> None:
        wanted, offered = [Skill("Notre page", code="site-web")], [Skill("Refonte du site", 2)]
        comparison = compare_skills(wanted, offered, referential, near_from_percent=30)
        assert (len(comparison.shared), comparison.missing) == (1, ())

    def test_the_nearest_skill_stands_in_for_one_that_lacks(self, referential: Referential) -> None:
        wanted, offered = [Skill("Site web", 2), Skill("Comptabilité")], [Skill("WordPress", 1), Skill("Graphisme", 3)]
        comparison = compare_skills(wanted, offered, referential, near_from_percent=30)
        assert [(near.label, near.offered_label, near.percent) for near in comparison.near] == [("Site web", "WordPress", 80)]
        assert comparison.near_sixths == 80 * 3
        assert comparison.missing == (Skill("Comptabilité"),)

    def test_holds_both_ways_and_from_the_share_on_that_the_weights_say(self, referential: Referential) -> None:
        wanted, offered = [Skill("Graphisme")], [Skill("Site web")]
        assert compare_skills(wanted, offered, referential, near_from_percent=30).near[0].percent == 30
        assert compare_skills(wanted, offered, referential, near_from_percent=31).near == ()

    def test_near_is_not_counted_beside_the_skill_itself(self, referential: Referential) -> None:
        comparison = compare_skills(
            [Skill("Site web")], [Skill("Site web"), Skill("WordPress")], referential, near_from_percent=30
        )
        assert (len(comparison.shared), comparison.near) == (1, ())

    def test_near_skills_open_the_gate(self, referential: Referential) -> None:
        need, candidate = make_need(skills=(Skill("Site web"),)), make_candidate(skills=(Skill("WordPress"),))
        fit = assess(need, candidate, make_surroundings(referential=referential))
        assert fit.fits
        assert {part.name: part.points for part in fit.parts if part.name in {"skills", "near"}} == {"skills": 0, "near": 20}
