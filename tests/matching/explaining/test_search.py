"""The smallest change, against trying everything; and its sentences."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from itertools import combinations, product

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernel.ids import new_id
from services.matching.domain.needs import Need
from services.matching.domain.offers import Candidate
from services.matching.domain.shared import Setting, Skill
from services.matching.domain.week import WeekPart
from services.matching.engine.explaining.changes import Change, ChangeKind, apply, measure_cost
from services.matching.engine.explaining.phrases import say_conclusion, say_cure
from services.matching.engine.explaining.search import Cures, find_cure, find_cures
from services.matching.engine.fit import assess
from services.matching.engine.gates import ObstacleKind
from services.matching.engine.surroundings import Surroundings
from tests.builders.matching import (
    ANTONY,
    BOURG_LA_REINE,
    SCEAUX,
    TODAY,
    make_candidate,
    make_need,
    make_referential,
    make_surroundings,
)

REFERENTIAL = make_referential(
    {"compta": "comptabilité", "paie": "paie", "couture": "couture", "tri": "tri"}, near={"compta": {"paie": 0.2}}
)
SKILLS = [Skill("comptabilité", 1, "compta"), Skill("paie", 1, "paie"), Skill("tennis", 2)]
WEEK = [(), (WeekPart.MONDAY_MORNING,), (WeekPart.SATURDAY_MORNING, WeekPart.SUNDAY_EVENING)]
# Small enough to try everything: no relaxation beyond these is needed in what `pairs` draws.
MOST_DAYS = 12


def around(**changes: object) -> Surroundings:
    return make_surroundings(referential=REFERENTIAL, **changes)


def every_change(need: Need, candidate: Candidate) -> dict[ChangeKind, list[Change]]:
    """All measures of every kind, without any thought."""
    asked, offered = need.facts, candidate.offer.facts
    days = [day for day in range(-MOST_DAYS, MOST_DAYS + 1) if day]
    days = [day for day in days if day > 0 or asked.starts_on + timedelta(days=day) >= TODAY]
    dropped = [languages for size in (1, 2) for languages in combinations(asked.languages, size)]
    return {
        ChangeKind.LONGER: [Change(ChangeKind.LONGER, days=day) for day in days],
        ChangeKind.SHIFT: [Change(ChangeKind.SHIFT, days=day) for day in days],
        ChangeKind.RADIUS: [Change(ChangeKind.RADIUS, kilometres=km) for km in range(offered.radius_km + 1, 8)],
        ChangeKind.WEEK: [Change(ChangeKind.WEEK, parts=(part,)) for part in WeekPart if asked.week],
        ChangeKind.REMOTE: [Change(ChangeKind.REMOTE)],
        ChangeKind.OFFER_REMOTE: [Change(ChangeKind.OFFER_REMOTE)],
        ChangeKind.MINUTES: [Change(ChangeKind.MINUTES, minutes=minutes) for minutes in range(60, asked.minutes)],
        ChangeKind.CHARTER: [Change(ChangeKind.CHARTER)],
        ChangeKind.MINORS: [Change(ChangeKind.MINORS)],
        ChangeKind.SETTING: [Change(ChangeKind.SETTING)],
        ChangeKind.SKILL: [Change(ChangeKind.SKILL, skill=skill, percent=20) for skill in offered.skills if skill.code == "paie"],
        ChangeKind.LANGUAGE: [Change(ChangeKind.LANGUAGE, languages=languages) for languages in dropped],
        ChangeKind.PANEL: [Change(ChangeKind.PANEL)],
    }


def try_everything(need: Need, candidates: list[Candidate], surroundings: Surroundings, *, kinds: int) -> Iterator[int]:
    """The costs of all sets of so many kinds that let some offer through."""
    for candidate in candidates:
        changes = every_change(need, candidate)
        for chosen in combinations(ChangeKind, kinds):
            if set(chosen) == {ChangeKind.LONGER, ChangeKind.SHIFT}:
                continue
            for applied in product(*(changes[kind] for kind in chosen)):
                state = (need, candidate, surroundings)
                for change in applied:
                    state = apply(change, *state)
                if assess(*state).fits:
                    yield sum(measure_cost(change, need, candidate) for change in applied)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Need, list[Candidate], Surroundings]:
    starts = TODAY + timedelta(days=draw(st.integers(-3, 5)))
    need = make_need(
        skills=(SKILLS[0],),
        minutes=draw(st.sampled_from([63, 66])),
        starts_on=starts,
        ends_on=starts + timedelta(days=draw(st.integers(0, 3))),
        remote=draw(st.booleans()),
        commune=draw(st.sampled_from([SCEAUX, ANTONY])),
        week=draw(st.sampled_from(WEEK)),
        languages=draw(st.sampled_from([("fr",), ("fr", "en")])),
        setting=draw(st.sampled_from([None, Setting.PROFESSIONAL])),
        with_minors=draw(st.booleans()),
        charter_required=draw(st.booleans()),
    )
    candidates = [draw(_candidates()) for _ in range(draw(st.integers(1, 3)))]
    panels = {need.campaign_id: frozenset({new_id()})} if draw(st.booleans()) else {}
    return need, candidates, around(panels=panels)


@st.composite
def _candidates(draw: st.DrawFn) -> Candidate:
    first = TODAY + timedelta(days=draw(st.integers(-8, 8)))
    return make_candidate(
        remaining_minutes=draw(st.sampled_from([0, 60, 62, 600])),
        skills=(draw(st.sampled_from(SKILLS)),),
        available_from=first,
        available_until=first + timedelta(days=draw(st.integers(0, 9))),
        commune=draw(st.sampled_from([SCEAUX, BOURG_LA_REINE])),
        radius_km=draw(st.integers(1, 5)),
        remote=draw(st.booleans()),
        week=draw(st.sampled_from(WEEK)),
        languages=draw(st.sampled_from([("fr",), ("en",)])),
        setting=draw(st.sampled_from(list(Setting))),
        charter_signed=draw(st.booleans()),
    )


class TestFindCures:
    @given(pairs())
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    def test_one_kind_is_the_smallest_there_is(self, drawn: tuple[Need, list[Candidate], Surroundings]) -> None:
        need, candidates, surroundings = drawn
        found = find_cures(need, candidates, surroundings)
        if found.fitting:
            assert not found.cures
            return
        tried = min(try_everything(need, candidates, surroundings, kinds=1), default=None)
        single = [cure for cure in found.cures if len(cure.changes) == 1]
        assert (single[0].cost if single else None) == tried
        assert all(cure.after.fits for cure in found.cures)

    @given(pairs())
    @settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    def test_two_kinds_only_where_one_does_not_suffice(self, drawn: tuple[Need, list[Candidate], Surroundings]) -> None:
        need, candidates, surroundings = drawn
        candidates = candidates[:1]
        found = find_cures(need, candidates, surroundings)
        if found.fitting or (found.cures and len(found.cures[0].changes) == 1):
            return
        # Trying every pair of measures takes long: only those of few measures are tried.
        tried = min(try_everything(need, candidates, surroundings, kinds=2), default=None)
        assert (found.cures[0].cost if found.cures else None) == tried

    def test_never_against_a_persons_no(self) -> None:
        need, candidate = make_need(), make_candidate(minutes=60)
        surroundings = around(turned_down=frozenset({(need.id, candidate.offer.id)}))
        found = find_cures(need, [candidate], surroundings)
        assert (found.cures, found.blocked[ObstacleKind.TURNED_DOWN]) == ((), 1)
        assert say_conclusion(found).endswith("aucun changement d'une ou de deux sortes n'y suffirait.")

    def test_says_what_fits_already(self) -> None:
        found = find_cures(make_need(), [make_candidate(), make_candidate(commune=ANTONY, radius_km=1)], around())
        assert (len(found.fitting), found.cures) == (1, ())
        assert say_conclusion(found) == "2 offres ouvertes examinées : 1 offre convient déjà, sans rien changer."

    def test_without_any_offer(self) -> None:
        assert say_conclusion(find_cures(make_need(), [], around())).startswith("Aucune offre")


def first(found: Cures) -> str:
    return say_cure(found.cures[0])


class TestSay:
    def test_fewer_hours(self) -> None:
        found = find_cures(make_need(minutes=360), [make_candidate(remaining_minutes=180)], around())
        assert first(found) == "Avec 3 h au lieu de 6 h."

    def test_at_a_distance(self) -> None:
        candidate = make_candidate(commune=ANTONY, radius_km=1, remote=True)
        sentences = [say_cure(cure) for cure in find_cures(make_need(), [candidate], around()).cures]
        assert sentences == [
            "Si le rayon de l'offre était de 3 km au lieu de 1 km.",
            "Si le besoin était possible à distance.",
        ]

    def test_another_week(self) -> None:
        need = make_need(starts_on=date(2026, 10, 5), ends_on=date(2026, 10, 9))
        late = make_candidate(available_from=date(2026, 10, 16), available_until=date(2026, 10, 20))
        sentences = [say_cure(cure) for cure in find_cures(need, [late], around()).cures]
        assert sentences == [
            "En finissant une semaine plus tard (jours communs alors : le 16 octobre 2026).",
            "En décalant le besoin d'une semaine plus tard (jours communs alors : le 16 octobre 2026).",
        ]

    def test_a_nearer_skill(self) -> None:
        need = make_need(skills=(SKILLS[0],))
        found = find_cures(need, [make_candidate(skills=(SKILLS[1],))], around())
        assert first(found) == "Si le besoin acceptait la compétence « paie », qui vaut 20 % d'une compétence demandée."

    def test_two_kinds(self) -> None:
        candidate = make_candidate(remaining_minutes=180, languages=("en",))
        found = find_cures(make_need(), [candidate], around())
        assert first(found) == "Avec 3 h au lieu de 6 h et si le besoin acceptait une autre langue (anglais) que français."

    def test_of_one_offer(self) -> None:
        need, candidate = make_need(), make_candidate(remaining_minutes=120)
        cure = find_cure(assess(need, candidate, around()), around())
        assert cure is not None
        assert cure.changes == (Change(ChangeKind.MINUTES, minutes=120),)
        assert find_cure(assess(need, replace(candidate, remaining_minutes=0), around()), around()) is None
