"""The best ten offers of one need, gates and score included, among 5,000, 50,000 and 1,000,000 offers of one territory.

Beside each answer, in the same run and for the same needs, the bare question to an index: how many offers have one of the
wanted skills in one of the cells from which the need is reached, by GIN over cells and skills, and nothing else (no near skills,
no gates, no score). The offers live in the communes of Île-de-France; skills are as unequal as words are (Zipf).

    python -m bench.matching one_answer --offers 5000 50000 1000000
"""

import argparse
import asyncio
import json
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import accumulate
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import uvloop

from bench.report import percentile, print_report
from cli import embedded_postgres
from kernel.auth import Caller
from kernel.clock import local_date, utc_now
from kernel.database import Database
from kernel.migrate import create_database, database_name, upgrade, url_for
from kernel.work import open_work
from services.matching.domain.globe import place_on_globe, square_of_reach
from services.matching.domain.needs import Need, NeedFacts
from services.matching.domain.shared import Commune, Skill, language_mask
from services.matching.domain.week import WHOLE_WEEK
from services.matching.engine.cells import ANYWHERE, list_cells_in_reach, list_cells_of, make_level_token, make_tokens
from services.matching.engine.communes import load_communes
from services.matching.engine.referential import Referential, ReferentialSkill
from services.matching.use_cases.candidates import find_best_offers, find_misses, look_around

PASSWORD = "only-for-benches"
TERRITORY = "92071"
BEST = 10
SKILLS = 200
NEAR = 4
CHUNK = 10_000
DISTINCT = 50_000  # offers made here; a larger territory has each several times, with other minutes and another volunteer
DEPARTEMENTS = ("75", "77", "78", "91", "92", "93", "94", "95")
RADII_KM = (2, 3, 5, 5, 5, 8, 10, 10, 15, 20, 30, 50)
TODAY = local_date(utc_now())
SPOKEN = language_mask(["fr"])

# As a plain design would have it: no gates, no score, no row-level security.
_BARE = """
CREATE TABLE bare (offer_id uuid PRIMARY KEY, cells integer[] NOT NULL, skills integer[] NOT NULL);
"""
_BARE_INDEX = "CREATE INDEX ix_bare ON bare USING gin (cells, skills) WITH (fastupdate = off); GRANT SELECT ON bare TO PUBLIC;"
_BARE_QUESTION = "SELECT count(*) FROM bare WHERE cells && $1::integer[] AND skills && $2::integer[]"


@dataclass(frozen=True)
class World:
    """Where offers and needs are, and which skills there are, common ones first."""

    communes: dict[str, Commune]
    codes: list[str]
    weights: list[float]
    referential: Referential

    def some_skills(self, dice: random.Random, most: int) -> list[tuple[str, int]]:
        codes = dict.fromkeys(dice.choices(self.codes, cum_weights=self.weights, k=dice.randint(1, most)))
        return [(code, dice.randint(1, 3)) for code in codes]


def make_world() -> World:
    dice = random.Random(1)
    communes = {code: place for code, place in load_communes().items() if code.startswith(DEPARTEMENTS) and code != "75056"}
    codes = [f"skill-{number}" for number in range(SKILLS)]
    weights = list(accumulate(1 / (number + 10) for number in range(SKILLS)))
    skills = {code: _make_skill(code, dice.sample(codes, NEAR), dice) for code in codes}
    return World(communes, codes, weights, Referential("bench", {}, skills))


def _make_skill(code: str, near: Sequence[str], dice: random.Random) -> ReferentialSkill:
    shares = {other: dice.choice([0.3, 0.5, 0.7]) for other in near if other != code}
    none: tuple[str, ...] = ()
    return ReferentialSkill(code, code, code, code, "bench", none, none, none, none, none, none, shares, none, none)


def make_rows(world: World, number: int) -> Iterator[dict[str, tuple[Any, ...]]]:
    """For each offer its rows by table."""
    dice = random.Random(2)
    communes = list(world.communes)
    for count in range(number):
        id, volunteer_id = UUID(int=(1 << 100) + count), UUID(int=(1 << 101) + count // 2)
        commune = dice.choice(communes)
        place, radius_km, remote = world.communes[commune], dice.choice(RADII_KM), dice.random() < 0.3
        skills = world.some_skills(dice, 4)
        minutes = 60 * dice.randint(2, 40)
        free = minutes if dice.random() < 0.8 else dice.randint(0, minutes)
        start = TODAY + timedelta(days=dice.randint(-60, 60))
        end = start + timedelta(days=dice.randint(20, 200))
        is_job = dice.random() < 0.5
        setting = "professional" if is_job else "personal"
        keys = [code for code, _ in skills]
        cells = list_cells_in_reach(place, radius_km=radius_km, remote=remote)
        tokens = make_tokens(TERRITORY, keys, [ANYWHERE, *cells])
        globe = place_on_globe(place)
        levels = [make_level_token(code, level) for code, best in skills for level in range(1, best + 1)]
        stored = json.dumps([{"label": code, "level": level, "code": code} for code, level in skills])
        now = utc_now()
        yield {
            "offer": (TERRITORY, id, volunteer_id, "Offre", "Une offre de compétences.", stored, minutes, start, end, commune,
                      remote, radius_km, setting, "open", 1, now, now),
            "offer_search": (TERRITORY, id, volunteer_id, 1, "bench", tokens, levels, commune,
                             *globe, square_of_reach(radius_km), remote, start, end, WHOLE_WEEK, SPOKEN, is_job, False,
                             False, minutes, free, dice.choice([0, 0, 1, 2, 5])),
            "bare": (id, make_tokens("", ["cell"], cells), make_tokens("", keys, ["skill"])),
        } | ({"member": (TERRITORY, volunteer_id, 1, None, False)} if count % 2 == 0 else {})  # fmt: skip


COLUMNS = {
    "offer": ["territory", "id", "volunteer_id", "title", "description", "skills", "minutes", "available_from",
              "available_until", "commune", "remote", "radius_km", "setting", "state", "version", "created_at", "changed_at"],
    "offer_search": ["territory", "offer_id", "volunteer_id", "version", "referential", "tokens", "skills", "commune", "x", "y",
                     "z", "reach_squared", "remote", "available_from", "available_until", "week", "languages", "professional",
                     "cleared", "charter_signed", "minutes", "free_minutes", "missions"],
    "member": ["territory", "id", "version", "actor_id", "archived"],
    "bare": ["offer_id", "cells", "skills"],
}  # fmt: skip


# What a copy has of its own: ids, and minutes left by chance.
_OWN = {
    "id": "lpad(to_hex(copy), 4, 'f')::text || substr({column}::text, 5)",
    "free_minutes": "(minutes * (0.2 + 0.8 * random()))::integer",
    "missions": "floor(random() * 4)::integer",
}


def _write_copies(times: int) -> str:
    """SQL that makes each row there `times` times as many."""
    statements = []
    for table, columns in COLUMNS.items():
        values = []
        for column in columns:
            own = _OWN.get("id" if column in {"id", "offer_id", "volunteer_id"} else column, "{column}").format(column=column)
            values.append(f"({own})::uuid" if "id" in column.split("_") else own)
        copies = f"SELECT {', '.join(values)} FROM {table}, generate_series(1, {times - 1}) AS copy ORDER BY copy"
        statements.append(f"INSERT INTO {table} ({', '.join(columns)}) {copies};")
    return "\n".join(statements)


async def fill(server: embedded_postgres.Server, world: World, *, offers: int) -> Database:
    prefix = f"bench_{offers}"
    url = await create_database(server.url, service="matching", password=PASSWORD, prefix=prefix)
    owner_url = url_for(server.url, database=database_name("matching", prefix=prefix))
    migrations = Path(__file__).parent.parent.parent / "services" / "matching" / "migrations"
    await asyncio.to_thread(upgrade, owner_url, migrations)
    owner = await asyncpg.connect(owner_url, timeout=30, command_timeout=7200)
    await owner.execute("SET session_replication_role = replica; SET maintenance_work_mem = '512MB'")
    await owner.execute(_BARE + "DROP INDEX ix_offer_search_tokens;")
    chunk: dict[str, list[tuple[Any, ...]]] = {table: [] for table in COLUMNS}
    distinct = min(offers, DISTINCT)
    for number, rows in enumerate(make_rows(world, distinct), start=1):
        for table, row in rows.items():
            chunk[table].append(row)
        if number % CHUNK == 0 or number == distinct:
            for table, records in chunk.items():
                await owner.copy_records_to_table(table, records=records, columns=COLUMNS[table])
                records.clear()
    if offers > distinct:
        await owner.execute(_write_copies(offers // distinct))
    index = "CREATE INDEX ix_offer_search_tokens ON offer_search USING gin (tokens) WITH (fastupdate = off);"
    await owner.execute(index + _BARE_INDEX)
    for table in COLUMNS:
        await owner.execute(f"VACUUM ANALYZE {table}")
    await owner.close()
    return Database(url, service="matching", pool_size=2)


def make_needs(world: World, number: int, *, seed: int) -> list[Need]:
    dice = random.Random(seed)
    return [_make_need(world, dice, number=(seed << 32) + count) for count in range(number)]


def _make_need(world: World, dice: random.Random, *, number: int) -> Need:
    start = TODAY + timedelta(days=dice.randint(0, 40))
    facts = NeedFacts(
        title="Besoin",
        description="",
        skills=tuple(Skill(code, level, code) for code, level in world.some_skills(dice, 3)),
        minutes=60 * dice.randint(2, 12),
        starts_on=start,
        ends_on=start + timedelta(days=dice.randint(10, 90)),
        commune=dice.choice(list(world.communes)),
        remote=dice.random() < 0.3,
    )
    return Need(UUID(int=number), None, UUID(int=1), UUID(int=2), facts)


async def ask_bare(database: Database, world: World, need: Need) -> tuple[float, int]:
    """Milliseconds, and how many offers the index narrows to."""
    facts = need.facts
    assert facts.commune
    keys = [skill.code or "" for skill in facts.skills]
    cells = make_tokens("", ["cell"], list_cells_of(world.communes[facts.commune], remote=facts.remote))
    skills = make_tokens("", keys, ["skill"])
    async with open_work(database, Caller.system(TERRITORY)) as work:
        began = time.perf_counter()
        found = await work.driver.fetchval(_BARE_QUESTION, cells, skills)
        return (time.perf_counter() - began) * 1000, found


async def ask_whole(database: Database, world: World, need: Need, *, with_misses: bool = False) -> float:
    """Milliseconds of all that an answer takes once the need is read."""
    async with open_work(database, Caller.system(TERRITORY)) as work:
        began = time.perf_counter()
        surroundings = replace(await look_around(work, [need]), referential=world.referential)
        await find_best_offers(work, need, surroundings, limit=BEST)
        if with_misses:
            await find_misses(work, need, surroundings)
        return (time.perf_counter() - began) * 1000


async def measure(database: Database, world: World, *, needs: int) -> dict[str, float]:
    for need in make_needs(world, max(5, needs // 10), seed=3):
        await ask_bare(database, world, need)
        await ask_whole(database, world, need, with_misses=True)
    bare, whole, found, told = [], [], [], []
    for need in make_needs(world, needs, seed=4):
        milliseconds, number = await ask_bare(database, world, need)
        bare.append(milliseconds)
        found.append(float(number))
        whole.append(await ask_whole(database, world, need))
        told.append(await ask_whole(database, world, need, with_misses=True))
    result = {"narrowed_to_p50": percentile(found, 0.5), "narrowed_to_p95": percentile(found, 0.95)}
    for share in (50, 95):
        for name, taken in (("bare", bare), ("whole", whole), ("with_why_not", told)):
            result[f"{name}_p{share}_ms"] = round(percentile(taken, share / 100), 2)
        result[f"ratio_p{share}"] = round(percentile(whole, share / 100) / percentile(bare, share / 100), 2)
    return result


async def measure_sizes(server: embedded_postgres.Server, *, sizes: Sequence[int], needs: int) -> dict[str, object]:
    world = make_world()
    results: dict[str, dict[str, float]] = {}
    for offers in sizes:
        began = time.perf_counter()
        database = await fill(server, world, offers=offers)
        print(f"{offers:,} offers in {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
        results[str(offers)] = await measure(database, world, needs=needs)
        await database.close()
    names = list(next(iter(results.values())))
    rows = [[f"{int(size):,}", *(f"{values[name]:,.6g}" for name in names)] for size, values in results.items()]
    result: dict[str, object] = {"best": BEST, "needs": needs, "sizes": results}
    print_report(f"The best {BEST} of one need", ["offers", *names], rows, result)
    return result


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--offers", type=int, nargs="+", default=[5_000, 50_000, 1_000_000])
    parser.add_argument("--needs", type=int, default=200)


def run(arguments: argparse.Namespace) -> dict[str, object]:
    folder = Path(tempfile.mkdtemp(prefix="metis-bench-"))
    folder.chmod(0o755)
    server = embedded_postgres.start(folder / "data", password=PASSWORD, log=folder / "log", durable=False)
    try:
        return uvloop.run(measure_sizes(server, sizes=arguments.offers, needs=arguments.needs))
    finally:
        embedded_postgres.stop(server)
        shutil.rmtree(folder, ignore_errors=True)
