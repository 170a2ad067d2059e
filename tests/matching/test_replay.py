"""The same inputs give the same round, wherever they come from and in whatever order."""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import asyncpg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cli.console import CliError
from cli.rounds.replay import replay
from kernel.auth import Role
from kernel.database import Database
from kernel.ids import new_id
from services.matching.domain.rounds import Means, RoundTerms
from services.matching.domain.shared import Point, Setting, Skill
from services.matching.domain.week import WeekPart
from services.matching.engine.rounds.compute import compute_round
from services.matching.engine.rounds.faults import InputsUnreadable
from services.matching.engine.rounds.inputs import CampaignInputs, decode_inputs, digest_bytes, encode_inputs, freeze_inputs
from tests.builders.matching import ANTONY, BOURG_LA_REINE, SCEAUX, make_candidate, make_need, make_surroundings
from tests.matching.conftest import Town, ask
from tests.matching.rounds import Rounds

COPIED = ("commune", "actor", "member", "campaign", "need", "offer", "credit_told", "promise_told")
SEED = "tirage public du 3 mars"


def make_inputs(*, fairness_permille: int = 500, whole: bool = True, needs: int = 12, offers: int = 8) -> CampaignInputs:
    """Needs of three associations and offers of as many contributors, with every kind of fact among them."""
    draw = random.Random(7)
    campaign_id, associations = new_id(), [new_id() for _ in range(3)]
    labels = ["comptabilité", "tableur", "couture", "mise en page"]
    made_needs = [
        make_need(
            association_id=draw.choice(associations),
            skills=tuple(Skill(label, evidence=("mots de la personne",)) for label in draw.sample(labels, 2)),
            minutes=60 * draw.randint(1, 6),
            commune=draw.choice([SCEAUX, ANTONY, BOURG_LA_REINE]),
            remote=draw.random() < 0.3,
            week=(WeekPart.MONDAY_EVENING,) if number == 0 else (),
            point=Point(48.7, 2.3) if number == 1 else None,
        )
        for number in range(needs)
    ]
    made_needs = [replace(need, campaign_id=campaign_id) for need in made_needs]
    candidates = [
        make_candidate(
            skills=tuple(Skill(label, 2) for label in draw.sample(labels, 2)),
            minutes=60 * draw.randint(4, 10),
            commune=draw.choice([SCEAUX, ANTONY]),
            remote=draw.random() < 0.5,
            radius_km=10,
            setting=Setting.PERSONAL,
        )
        for _ in range(offers)
    ]
    promise = {candidate.offer.volunteer_id: 480 for candidate in candidates}
    return CampaignInputs(
        campaign_id=campaign_id,
        terms=RoundTerms(fairness_permille, whole=whole, seed=SEED, weights_version=0),
        needs=tuple(made_needs),
        candidates=tuple(candidates),
        surroundings=make_surroundings(turned_down=frozenset({(made_needs[0].id, candidates[0].offer.id)})),
        means=Means(True, dict.fromkeys(associations, 900), promise),
        exclusions=frozenset({(made_needs[2].id, candidates[1].offer.id), (new_id(), new_id())}),
    )


class TestInputs:
    def test_are_read_back_byte_by_byte(self) -> None:
        written = encode_inputs(freeze_inputs(make_inputs()))
        assert encode_inputs(decode_inputs(written)) == written

    def test_hold_no_title_and_no_text_of_people(self) -> None:
        written = encode_inputs(freeze_inputs(make_inputs())).decode()
        for words in (
            "Remettre les comptes",
            "Deux années de factures",
            "Tenir des comptes",
            "petites structures",
            "mots de la personne",
        ):
            assert words not in written

    @pytest.mark.parametrize("bad", [b"", b"[]", b'{"format":99}'])
    def test_of_another_format_are_refused(self, bad: bytes) -> None:
        with pytest.raises(InputsUnreadable):
            decode_inputs(bad)


class TestComputeRound:
    @given(st.randoms(use_true_random=False), st.sampled_from([0, 500, 1000]), st.booleans())
    @settings(max_examples=12, deadline=None)
    def test_the_order_of_rows_changes_nothing(self, draw: random.Random, fairness: int, whole: bool) -> None:
        inputs = make_inputs(fairness_permille=fairness, whole=whole)
        shuffled = replace(
            inputs,
            needs=tuple(draw.sample(inputs.needs, len(inputs.needs))),
            candidates=tuple(draw.sample(inputs.candidates, len(inputs.candidates))),
        )
        one, other = (encode_inputs(freeze_inputs(each)) for each in (inputs, shuffled))
        assert digest_bytes(one) == digest_bytes(other)
        first, second = (compute_round(freeze_inputs(each), compare=False) for each in (inputs, shuffled))
        assert first.proposals_digest == second.proposals_digest
        assert first.proposals == second.proposals

    @pytest.mark.parametrize("whole", [True, False])
    def test_what_is_decoded_gives_the_same(self, whole: bool) -> None:
        inputs = freeze_inputs(make_inputs(whole=whole))
        again = compute_round(decode_inputs(encode_inputs(inputs)), compare=False)
        first = compute_round(inputs, compare=True)
        assert (first.proposals_digest, first.facts["tables_digest"]) == (again.proposals_digest, again.facts["tables_digest"])
        assert first.facts["greedy"]["served_minutes"] <= sum(need.facts.minutes for need in inputs.needs)

    def test_no_limit_is_broken_and_points_add_up(self) -> None:
        inputs = freeze_inputs(make_inputs())
        computed = compute_round(inputs)
        assert computed.proposals
        for one in computed.proposals:
            assert sum(part.points for part in one.parts) == one.points
        excluded = {(one.need_id, one.offer_id) for one in computed.proposals} & inputs.exclusions
        assert not excluded
        for holder, limit in ({"contributor_id": 480, "association_id": 900}).items():
            used: dict[Any, int] = {}
            for one in computed.proposals:
                key = getattr(one, holder)
                used[key] = used.get(key, 0) + one.minutes
            assert max(used.values()) <= limit
        told = {one.need_id for one in computed.proposals} | {one.need_id for one in computed.unserved}
        assert told == {need.id for need in inputs.needs}


@pytest.fixture
async def rounds(town: Town, database: Database) -> Rounds:
    made = Rounds(town, database)
    await made.grant()
    for number in range(5):
        await town.add_open_need(minutes=60 * (1 + number))
        await made.add_offer(minutes=300, remote=bool(number % 2))
    return made


class TestReplay:
    async def test_proves_the_same_proposals(self, rounds: Rounds) -> None:
        computed = await rounds.run(seed=SEED, fairness=0.7)
        inputs = (await rounds.town.officer.get(f"/rounds/{computed['id']}/inputs")).content
        assert digest_bytes(inputs) == computed["inputs_digest"]
        replayed = replay(computed, inputs)
        assert (replayed.differences, replayed.proposals_digest) == ((), computed["proposals_digest"])
        assert replayed.proposals == len(await rounds.proposals(computed))

    async def test_says_what_differs(self, rounds: Rounds) -> None:
        computed = await rounds.run(seed=SEED)
        inputs = (await rounds.town.officer.get(f"/rounds/{computed['id']}/inputs")).content
        computed["result"]["solver"] = "OR-Tools 1.0"
        other = replay(computed, inputs.replace(b'"remaining_minutes":300', b'"remaining_minutes":200'))
        assert not other.is_same
        told = " ; ".join(other.differences)
        for words in ("les données d'entrée ne sont pas celles du tour", "OR-Tools 1.0", "les propositions diffèrent"):
            assert words in told
        with pytest.raises(CliError, match="format"):
            replay(computed, b'{"format":0}')

    async def test_shuffled_rows_of_another_database_give_the_same_digests(
        self, rounds: Rounds, owner_url: Callable[[str], str], territory: str
    ) -> None:
        """The town's rows, copied in another order to another territory: all that decides is the same, and so is the round."""
        elsewhere = "2B033"
        owner = await asyncpg.connect(owner_url("matching"))
        try:
            for table in COPIED:
                columns = [row["attname"] for row in await owner.fetch(_COLUMNS, table)]
                await owner.execute(
                    f"INSERT INTO {table} (territory, {', '.join(columns)}) SELECT $1, {', '.join(columns)}"
                    f" FROM {table} WHERE territory = $2 ORDER BY random()",
                    elsewhere, territory,
                )  # fmt: skip
        finally:
            await owner.close()
        here = await rounds.run(seed=SEED)
        officer = await rounds.town.sign_in(Role.OFFICER, territory=elsewhere)
        asked = await ask(officer, "/rounds", {"campaign_id": str(rounds.town.campaign_id), "seed": SEED}, status=201)
        await Rounds(rounds.town, rounds.database).compute(elsewhere)
        there = await ask(officer, f"/rounds/{asked['id']}", method="GET")
        assert (there["inputs_digest"], there["proposals_digest"]) == (here["inputs_digest"], here["proposals_digest"])
        assert here["result"]["figures"]["needs_served"] == 5


_COLUMNS = """
SELECT attname FROM pg_attribute WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped AND attname <> 'territory'
"""
