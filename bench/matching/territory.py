"""A made-up region for rounds of any size: where people live is real where reference data is at hand, the rest is drawn.

Everything follows from the numbers of needs and volunteers and one seed.
"""

import csv
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from services.matching.engine.allocation.canonical import Draws, draw_ids
from services.matching.engine.allocation.gates import Market
from services.matching.engine.allocation.model import Ints
from services.matching.engine.allocation.tables import NO_SKILL, NOWHERE, Demand, KnownPairs, Places, Supply, nothing_known
from services.matching.engine.weights import DEFAULT_WEIGHTS

SKILLS = 200
GROUP = 10  # skills of one field: people have several of one field, and near skills lie in it
SCEAUX = (48.778, 2.29)  # latitude, longitude
TODAY = 739_500  # an ordinal of a day; any will do
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Region:
    """A market, and what a round needs beside it."""

    market: Market
    need_ids: list[str]
    volunteer_ids: list[str]
    company_ids: list[str]
    association_ids: list[str]
    company_minutes: Ints
    volunteer_company: Ints
    credit: Ints

    def draw(self, *, seed: str = "metis") -> tuple[Draws, Draws]:
        return draw_ids("need", self.need_ids, seed=seed), draw_ids("volunteer", self.volunteer_ids, seed=seed)


def make_region(needs: int, volunteers: int, *, seed: int = 4) -> Region:
    """The communes nearest to Sceaux that have 67 people a volunteer: one million volunteers is the whole country."""
    random = np.random.default_rng(seed)
    places, people = _keep_nearest(*load_places(), enough_people=67 * volunteers)
    fields = _near_table(random)
    associations = max(3, needs // 8)
    supply = _make_supply(random, volunteers, people)
    demand, credit = _make_demand(random, needs, associations, people)
    company = _employ(random, volunteers)
    companies = int(company.max(initial=0)) + 1
    staff_minutes = np.bincount(company[company >= 0], supply.minutes[company >= 0], companies)
    promised = (staff_minutes * random.uniform(0.3, 0.8, companies)).astype(np.int64)
    known = _know(random, demand, volunteers, associations)
    return Region(
        market=Market(demand, supply, places, known, fields, DEFAULT_WEIGHTS),
        need_ids=[f"need-{row:07d}" for row in range(needs)],
        volunteer_ids=[f"volunteer-{row:07d}" for row in range(volunteers)],
        company_ids=[f"company-{row:06d}" for row in range(companies)],
        association_ids=[f"association-{row:06d}" for row in range(associations)],
        company_minutes=promised,
        volunteer_company=company,
        credit=credit,
    )


def find_communes() -> Path | None:
    folder = Path(os.environ.get("METIS_REFERENCE_DATA", ROOT.parent / "shared" / "data"))
    file = folder / "communes.tsv"
    return file if file.exists() else None


def load_places() -> tuple[Places, Ints]:
    """Places and the people of each: French communes, or as many made-up ones around made-up towns."""
    file = find_communes()
    if file is not None:
        with file.open(encoding="utf-8") as lines:
            rows = [(row["lat"], row["lng"], row["population"]) for row in csv.DictReader(lines, delimiter="\t")]
        table = np.array([[float(lat), float(lng), float(people or 0)] for lat, lng, people in rows if lat and lng])
        table = table[(table[:, 0] > 41) & (table[:, 1] > -6)]  # on this side of the oceans
    else:
        table = _make_places(np.random.default_rng(1))
    return Places(table[:, 0].copy(), table[:, 1].copy()), np.maximum(table[:, 2], 1)


def _keep_nearest(places: Places, people: Ints, *, enough_people: int) -> tuple[Places, Ints]:
    north = (places.latitude - SCEAUX[0]) * 111.2
    east = (places.longitude - SCEAUX[1]) * 111.2 * np.cos(np.radians(SCEAUX[0]))
    order = np.argsort(np.hypot(north, east), kind="stable")
    order = order[: np.searchsorted(np.cumsum(people[order]), enough_people) + 1]
    return Places(places.latitude[order], places.longitude[order]), people[order]


def _make_places(random: np.random.Generator) -> Ints:
    towns, villages = 60, 30_000
    centres = np.column_stack([random.uniform(43, 50, towns), random.uniform(-1.5, 7, towns)])
    weight = 1 / np.arange(1, towns + 1)
    town = random.choice(towns, villages, p=weight / weight.sum())
    spread = random.exponential(0.35, villages)[:, None] * random.normal(size=(villages, 2))
    people = random.pareto(1.1, villages) * 300 / (1 + 4 * np.hypot(*spread.T))
    return np.column_stack([centres[town] + spread, people])


def _near_table(random: np.random.Generator) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    table = np.zeros((SKILLS, SKILLS), dtype=np.uint8)
    for skill in range(SKILLS):
        field = skill // GROUP * GROUP
        near = random.choice(GROUP, 3, replace=False) + field
        table[skill, near] = random.integers(30, 81, 3)
    np.fill_diagonal(table, 0)
    return table


def _draw_skills(random: np.random.Generator, rows: int, counts: Ints, most: int) -> tuple[Ints, Ints]:
    """Skills of Zipf-like popularity, half of the further ones of the first one's field; levels 1 to 3."""
    popular = random.permutation(1 / (np.arange(SKILLS) + 4.0))
    popular /= popular.sum()
    skills = random.choice(SKILLS, (rows, most), p=popular).astype(np.int16)
    same_field = random.random((rows, most)) < 0.5
    neighbour = skills[:, :1] // GROUP * GROUP + random.integers(0, GROUP, (rows, most))
    skills[:, 1:] = np.where(same_field, neighbour, skills)[:, 1:]
    skills[np.arange(most)[None, :] >= counts[:, None]] = NO_SKILL
    for one in range(most):
        for other in range(one):
            skills[skills[:, one] == skills[:, other], one] = NO_SKILL
    levels = random.choice([1, 2, 3], (rows, most), p=[0.35, 0.4, 0.25]).astype(np.uint8)
    return skills, levels


def _draw_places(random: np.random.Generator, rows: int, people: Ints) -> Ints:
    places: Ints = random.choice(len(people), rows, p=people / people.sum()).astype(np.int32)
    return places


def _draw_weeks(random: np.random.Generator, rows: int, share: float, parts: int) -> Ints:
    """`share` of the rows name parts of the week, `parts` of 21 on average."""
    bits = random.random((rows, 21)) < parts / 21
    masks = (bits * (1 << np.arange(21))).sum(axis=1)
    return np.where(random.random(rows) < share, masks, 0).astype(np.int32)


def _make_supply(random: np.random.Generator, rows: int, people: Ints) -> Supply:
    skills, levels = _draw_skills(random, rows, random.choice([1, 2, 3, 4], rows, p=[0.3, 0.35, 0.25, 0.1]), 4)
    starts = TODAY - random.integers(0, 30, rows) + random.integers(0, 90, rows)
    remote = random.random(rows) < 0.15
    place = _draw_places(random, rows, people)
    place[remote & (random.random(rows) < 0.1)] = NOWHERE
    return Supply(
        place=place,
        remote=remote,
        radius_km=random.choice([5, 10, 15, 20, 30], rows, p=[0.2, 0.35, 0.2, 0.15, 0.1]).astype(np.int16),
        minutes=(30 * np.clip(random.lognormal(1.7, 0.7, rows), 2, 60).astype(np.int64)).astype(np.int32),
        starts=starts.astype(np.int32),
        ends=(starts + random.integers(30, 300, rows)).astype(np.int32),
        week=_draw_weeks(random, rows, 0.5, 5),
        languages=_draw_masks(random, rows, 4, 0.12),
        flags=_draw_masks(random, rows, 3, 0.5),
        skills=skills,
        levels=levels,
        missions=np.minimum(random.poisson(0.8, rows), 20).astype(np.uint8),
    )


def _draw_masks(random: np.random.Generator, rows: int, bits: int, share: float) -> Ints:
    masks: Ints = ((random.random((rows, bits)) < share) * (1 << np.arange(bits))).sum(axis=1).astype(np.uint8)
    return masks


def _make_demand(random: np.random.Generator, rows: int, associations: int, people: Ints) -> tuple[Demand, Ints]:
    """Needs of associations of very different size, each with its seat; and each association's credit."""
    weight = (random.pareto(1.3, associations) + 0.2) ** 0.9
    association = random.choice(associations, rows, p=weight / weight.sum()).astype(np.int32)
    seat = _draw_places(random, associations, people)
    skills, levels = _draw_skills(random, rows, random.choice([1, 2, 3], rows, p=[0.5, 0.35, 0.15]), 3)
    minutes = (30 * np.clip(random.lognormal(2.9, 0.8, rows), 2, 120).astype(np.int64)).astype(np.int32)
    starts = TODAY + random.integers(0, 120, rows)
    remote = random.random(rows) < 0.12
    place = seat[association].copy()
    place[remote & (random.random(rows) < 0.3)] = NOWHERE
    asked = np.bincount(association, minutes, associations)
    served = asked * random.uniform(0, 0.6, associations)
    demand = Demand(
        place=place,
        remote=remote,
        minutes=minutes,
        least_minutes=np.ones(rows, dtype=np.int32),
        starts=starts.astype(np.int32),
        ends=(starts + random.integers(7, 120, rows)).astype(np.int32),
        week=_draw_weeks(random, rows, 0.4, 6),
        languages=_draw_masks(random, rows, 4, 0.02),
        requires=_draw_masks(random, rows, 3, 0.06),
        skills=skills,
        levels=levels,
        association=association,
        unmet_minutes=(asked - served)[association].astype(np.int32),
        needed_minutes=asked[association].astype(np.int32),
    )
    credit = (asked * random.uniform(0.5, 1.1, associations)).astype(np.int64)
    return demand, credit


def _employ(random: np.random.Generator, rows: int) -> Ints:
    """Three in five work for a company, of very different sizes; -1 for the others."""
    companies = max(2, rows // 80)
    weight = random.pareto(1.2, companies) + 0.1
    company = random.choice(companies, rows, p=weight / weight.sum())
    return np.where(random.random(rows) < 0.6, company, -1).astype(np.int32)


def _know(random: np.random.Generator, demand: Demand, volunteers: int, associations: int) -> KnownPairs:
    count = volunteers // 20
    if not count:
        return nothing_known()
    barred = np.unique(random.integers(0, len(demand), count) * np.int64(volunteers) + random.integers(0, volunteers, count))
    together = np.unique(random.integers(0, associations, count) * np.int64(volunteers) + random.integers(0, volunteers, count))
    return KnownPairs(
        barred_need=barred // volunteers,
        barred_offer=barred % volunteers,
        together_association=together // volunteers,
        together_offer=together % volunteers,
        together_missions=random.integers(1, 4, len(together)),
    )
