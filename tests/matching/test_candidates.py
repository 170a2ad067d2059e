"""Candidates out of the index: the same, and in the same order, as measuring everything."""

import random
from collections.abc import Sequence
from datetime import date, timedelta
from uuid import UUID

import pytest

from kernel.auth import Caller, Role
from kernel.database import Database
from kernel.events.registry import CommuneRecorded
from kernel.ids import new_id
from kernel.work import Work, open_work
from services.matching.domain.globe import place_on_globe
from services.matching.domain.needs import Need, Unmet
from services.matching.domain.offers import Candidate, Offer
from services.matching.domain.shared import Point, Setting, Skill
from services.matching.domain.week import WeekPart
from services.matching.engine.assignment import rank
from services.matching.engine.cells import list_cells_in_reach, list_cells_of
from services.matching.engine.communes import load_communes
from services.matching.engine.fit import Fit
from services.matching.engine.places import measure_metres
from services.matching.engine.surroundings import Surroundings
from services.matching.engine.weights import DEFAULT_WEIGHTS
from services.matching.jobs import refresh_everywhere
from services.matching.store import candidates as store
from services.matching.store.known import save_member
from services.matching.store.offers import insert_offer, list_candidates
from services.matching.tables import offer_search
from services.matching.use_cases.candidates import find_best_offers
from services.matching.use_cases.searching import write_offer_back
from tests.builders.matching import (
    ANTONY,
    BOURG_LA_REINE,
    SCEAUX,
    TODAY,
    make_need,
    make_offer,
    make_offer_body,
    make_referential,
)
from tests.matching.conftest import MakeDuo, Town, ask
from tests.matching.steps import REASON, make_settled, validate

CODES = [f"s{number}" for number in range(8)]
REFERENTIAL = make_referential(
    {code: code for code in CODES},
    near={"s0": {"s1": 0.8, "s2": 0.5, "s3": 0.2}, "s2": {"s4": 0.35}, "s5": {"s6": 0.9, "s0": 0.4}},
)
PARTS = list(WeekPart)
ASSOCIATIONS = [new_id() for _ in range(3)]


async def add_offer(work: Work, offer: Offer) -> None:
    """In its state at once, with the row that it is found by."""
    await insert_offer(work, offer)
    await write_offer_back(work, offer)


def some_skills(dice: random.Random) -> tuple[Skill, ...]:
    return tuple(Skill(code, dice.randint(1, 3), code) for code in dice.sample(CODES, dice.randint(1, 3)))


def some_week(dice: random.Random) -> tuple[WeekPart, ...]:
    return tuple(dice.sample(PARTS, dice.randint(1, 8))) if dice.random() < 0.4 else ()


def some_place(dice: random.Random) -> tuple[str | None, Point | None]:
    if dice.random() < 0.1:
        return None, None
    point = Point(round(48.77 + dice.uniform(-0.2, 0.2), 3), round(2.29 + dice.uniform(-0.3, 0.3), 3))
    return dice.choice([SCEAUX, BOURG_LA_REINE, ANTONY, "75114"]), point if dice.random() < 0.7 else None


def some_offer(dice: random.Random, volunteer_id: UUID) -> Offer:
    commune, point = some_place(dice)
    start = TODAY + timedelta(days=dice.randint(-20, 20))
    return make_offer(
        volunteer_id=volunteer_id,
        skills=some_skills(dice),
        minutes=60 * dice.randint(1, 20),
        available_from=start,
        available_until=start + timedelta(days=dice.randint(1, 60)),
        commune=commune,
        point=point,
        remote=commune is None or dice.random() < 0.3,
        radius_km=dice.choice([0, 2, 5, 6, 15, 40, 200]),
        setting=dice.choice(list(Setting)),
        languages=dice.choice([("fr",), ("fr", "en")]),
        week=some_week(dice),
        honorability_checked_on=dice.choice([None, date(2026, 1, 5)]),
        charter_signed=dice.random() < 0.5,
        excluded_associations=(dice.choice(ASSOCIATIONS),) if dice.random() < 0.1 else (),
    )


def some_need(dice: random.Random) -> Need:
    commune, point = some_place(dice)
    start = TODAY + timedelta(days=dice.randint(-5, 20))
    return make_need(
        association_id=dice.choice(ASSOCIATIONS),
        skills=some_skills(dice),
        minutes=60 * dice.randint(1, 8),
        starts_on=start,
        ends_on=max(TODAY, start + timedelta(days=dice.choice([1, 3, 30]))),
        commune=commune,
        point=point,
        remote=commune is None or dice.random() < 0.4,
        languages=("en",) if dice.random() < 0.1 else ("fr",),
        week=some_week(dice),
        setting=dice.choice([None] * 6 + [*Setting]),
        with_minors=dice.random() < 0.1,
        charter_required=dice.random() < 0.1,
    )


async def fill(work: Work, dice: random.Random, *, offers: int) -> list[UUID]:
    """Open offers of some volunteers, of whom one acts for an association; their ids."""
    volunteers = [new_id() for _ in range(offers // 2)]
    for number, id in enumerate(volunteers):
        await save_member(work, id, version=1, actor_id=ASSOCIATIONS[0] if number == 0 else None, archived=number == 1)
    for _ in range(offers):
        await add_offer(work, some_offer(dice, dice.choice(volunteers)))
    return volunteers


class TestFindBestOffers:
    @pytest.mark.parametrize("seed", range(3))
    async def test_are_those_that_measuring_every_offer_puts_first(self, database: Database, territory: str, seed: int) -> None:
        dice = random.Random(seed)
        async with open_work(database, Caller.system(territory)) as work:
            volunteers = await fill(work, dice, offers=150)
            everyone = await list_candidates(work)
            number_found = 0
            for _ in range(25):
                need = some_need(dice)
                surroundings = Surroundings(
                    today=TODAY,
                    communes=load_communes(),
                    turned_down=frozenset((need.id, candidate.offer.id) for candidate in dice.sample(everyone, 3)),
                    worked_together={(id, need.association_id): dice.randint(1, 3) for id in dice.sample(volunteers, 10)},
                    unmet={(need.campaign_id, need.association_id): Unmet(dice.randint(0, 600), 600)},
                    referential=REFERENTIAL,
                    weights=DEFAULT_WEIGHTS,
                )
                limit = dice.choice([1, 3, 200])
                found = await find_best_offers(work, need, surroundings, limit=limit)
                number_found += len(found)
                assert describe(found) == describe(rank(need, everyone, surroundings)[0][:limit])

        assert number_found > 40

    async def test_another_territorys_offers_are_never_found(self, database: Database, territory: str) -> None:
        other = "01001" if territory != "01001" else "01002"
        async with open_work(database, Caller.system(other)) as work:
            id = new_id()
            await save_member(work, id, version=1, actor_id=None, archived=False)
            await add_offer(work, make_offer(volunteer_id=id, available_until=TODAY + timedelta(days=90)))
        need = make_need(starts_on=TODAY, ends_on=TODAY + timedelta(days=30))
        async with open_work(database, Caller.system(territory)) as work:
            assert await find_best_offers(work, need, Surroundings(TODAY, load_communes()), limit=5) == []
            rows = await work.driver.fetch(
                "SELECT * FROM find_offers_by_token((SELECT array_agg(token) FROM offer_search, unnest(tokens) AS token), 10)"
            )
            assert rows == []


def describe(fits: Sequence[Fit]) -> list[tuple[UUID, int]]:
    return [(fit.candidate.offer.id, fit.score) for fit in fits]


class TestOfferSearch:
    """Free minutes and missions beside each offer are exact, whatever becomes of its missions."""

    async def check(self, town: Town) -> Candidate:
        async with open_work(town.app.state.database, Caller.system(town.territory)) as work:
            (measured,) = await list_candidates(work)
            (kept,) = await store.load_candidates(work, [measured.offer.id])
        assert kept == measured
        return kept

    async def test_follow_a_mission_to_its_end(self, make_duo: MakeDuo) -> None:
        duo = await make_duo()
        assert (await self.check(duo.town)).remaining_minutes == 240
        await validate(duo)
        await self.check(duo.town)
        await duo.town.tell(make_settled(duo, 300), subject=duo.mission["id"])
        kept = await self.check(duo.town)
        assert (kept.remaining_minutes, kept.missions) == (300, 1)

    async def test_come_back_when_a_mission_is_declined(self, make_duo: MakeDuo) -> None:
        duo = await make_duo()
        await ask(duo.volunteer, f"{duo.path}/decline", REASON)
        kept = await self.check(duo.town)
        assert (kept.remaining_minutes, kept.missions) == (600, 0)

    async def test_follow_an_edit_of_the_offer(self, make_duo: MakeDuo) -> None:
        duo = await make_duo()
        edited = await ask(duo.town.officer, f"/offers/{duo.offer['id']}", method="GET")
        answer = await duo.town.officer.patch(
            f"/offers/{duo.offer['id']}", json={"minutes": 400}, headers={"if-match": f'"{edited["version"]}"'}
        )
        assert answer.status_code == 200
        assert (await self.check(duo.town)).remaining_minutes == 40


class TestRefreshEverywhere:
    async def test_what_an_earlier_release_wrote_is_found_again(self, town: Town, database: Database) -> None:
        need = await town.add_open_need()
        offer = await town.add_open_offer((await town.add_volunteer())[0])
        async with open_work(database, Caller.system(town.territory)) as work:
            await work.driver.execute("UPDATE offer_search SET tokens = '{}', version = 0")
        assert (await ask(town.officer, f"/needs/{need['id']}/candidates", method="GET"))["candidates"] == []
        await refresh_everywhere(database)
        seen = await ask(town.officer, f"/needs/{need['id']}/candidates", method="GET")
        assert [candidate["offer_id"] for candidate in seen["candidates"]] == [offer["id"]]

    async def test_a_commune_that_moved_is_found_where_it_is(self, town: Town, database: Database) -> None:
        await town.add_open_need(commune=SCEAUX)
        await town.add_open_offer((await town.add_volunteer())[0])
        await town.tell(CommuneRecorded(insee=SCEAUX, name="Sceaux", latitude=45.0, longitude=3.0))
        await refresh_everywhere(database)
        async with open_work(database, Caller.system(town.territory)) as work:
            (row,) = (await work.connection.execute(offer_search.select())).all()
        assert (row.x, row.y, row.z) == pytest.approx(place_on_globe(Point(45.0, 3.0)), abs=1e-6)

    @pytest.mark.parametrize(("latitude", "longitude"), [(0.0, 5e-324), (1e-300, 0.0), (-1e-60, 180.0), (90.0, 180.0)])
    async def test_places_beside_the_axes_are_written_and_found(
        self, town: Town, database: Database, latitude: float, longitude: float
    ) -> None:
        """PostgreSQL refuses a `real` that would be nothing but is not zero."""
        need = await town.add_open_need(commune=SCEAUX, remote=False)
        offer = await town.add_open_offer((await town.add_volunteer())[0], commune=SCEAUX, remote=False)
        await town.tell(CommuneRecorded(insee=SCEAUX, name="Sceaux", latitude=latitude, longitude=longitude))
        await refresh_everywhere(database)
        seen = await ask(town.officer, f"/needs/{need['id']}/candidates", method="GET")
        assert [candidate["offer_id"] for candidate in seen["candidates"]] == [offer["id"]]

    async def test_what_is_not_open_is_found_by_nothing(self, town: Town, database: Database) -> None:
        volunteer_id, volunteer = await town.add_volunteer()
        offer = await town.add_open_offer(volunteer_id)
        await ask(volunteer, f"/offers/{offer['id']}/pause")
        async with open_work(database, Caller.system(town.territory)) as work:
            (row,) = (await work.connection.execute(offer_search.select())).all()
        assert (row.tokens, row.skills) == ([], [])


class TestNeedsForAnOffer:
    async def test_best_first_for_its_volunteer(self, town: Town) -> None:
        near, far = await town.add_open_need(), await town.add_open_need(commune=ANTONY)
        await town.add_open_need(skills=[{"label": "couture"}])
        await town.add_open_need(minutes=6000)
        await town.add_open_need(commune="13055")
        volunteer_id, volunteer = await town.add_volunteer()
        offer = await town.add_open_offer(volunteer_id)
        seen = await ask(volunteer, f"/offers/{offer['id']}/candidates", method="GET")
        assert [candidate["need_id"] for candidate in seen["candidates"]] == [near["id"], far["id"]]
        first = seen["candidates"][0]
        assert first["score"] == sum(part["points"] for part in first["parts"])
        assert first["parts"][0]["why"] == "2 compétences communes : comptabilité, tableur"
        assert seen["explanation"]["rules"]

    async def test_leaves_out_needs_that_a_mission_serves(self, make_duo: MakeDuo) -> None:
        duo = await make_duo()
        seen = await ask(duo.volunteer, f"/offers/{duo.offer['id']}/candidates", method="GET")
        assert seen["candidates"] == []

    async def test_are_the_volunteers_and_the_towns(self, town: Town) -> None:
        volunteer_id, volunteer = await town.add_volunteer()
        draft = await ask(volunteer, "/offers", make_offer_body(volunteer_id), status=201)
        await ask(volunteer, f"/offers/{draft['id']}/candidates", method="GET", status=409)
        offer = await town.add_open_offer(volunteer_id)
        _, stranger = await town.add_volunteer()
        company = await town.sign_in(Role.COMPANY, actor_id=new_id(), member_id=new_id())
        await ask(stranger, f"/offers/{offer['id']}/candidates", method="GET", status=404)
        await ask(company, f"/offers/{offer['id']}/candidates", method="GET", status=403)
        await ask(town.operator, f"/offers/{offer['id']}/candidates", method="GET")


class TestCells:
    def test_an_offer_in_reach_is_always_in_a_cell_that_is_looked_into(self) -> None:
        dice = random.Random(11)
        for _ in range(3000):
            latitude, longitude = dice.choice([(48.8, 2.3), (-20.9, 55.5), (4.9, -52.3), (46.8, -56.2), (-22.3, 166.4)])
            need = Point(latitude + dice.uniform(-2, 2), longitude + dice.uniform(-2, 2))
            offer = Point(need.latitude + dice.uniform(-0.5, 0.5), need.longitude + dice.uniform(-0.5, 0.5))
            radius_km = -(-measure_metres(need, offer) // 1000)
            reached = set(list_cells_in_reach(offer, radius_km=radius_km, remote=False))
            assert reached & set(list_cells_of(need, remote=False))

    @pytest.mark.parametrize("radius_km", [0, 3, 5, 6, 15, 50, 120, 500])
    def test_few_cells_are_reached(self, radius_km: int) -> None:
        assert len(list_cells_in_reach(Point(48.8, 2.3), radius_km=radius_km, remote=True)) <= 1 + 12
