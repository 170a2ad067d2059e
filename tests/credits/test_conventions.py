"""Conventions on a real database: versions that stay, acceptance by each side, and no minute before all three agree."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import asyncpg
import pytest

from kernel.auth import Caller, Role
from kernel.clock import local_date
from kernel.database import Database
from kernel.errors import Forbidden
from kernel.events.credits import ConventionConcluded, ConventionDrafted, MissionSettled, SettlementRefused
from kernel.ids import new_id
from services.credits.domain.campaigns import Outcome
from services.credits.domain.conventions import (
    AskedTerms,
    ConventionState,
    Side,
    Signatory,
    Terms,
    Version,
    build_content,
    digest_of,
    require_lawful_dates,
    state_of,
)
from services.credits.domain.document_errors import ConventionOutdated, ConventionTooLate, PartyIncomplete
from services.credits.domain.errors import BadInput, MissionUnknown, NotFound
from services.credits.domain.ledger import AccountKind
from services.credits.domain.parties import TOWN_ID, is_siren
from services.credits.store.conventions import list_versions
from services.credits.use_cases.conventions import accept_convention, draft_convention
from services.credits.use_cases.parties import write_party
from tests.builders.credits import Scene, make_campaign, make_hold
from tests.builders.documents import (
    SIREN,
    Pair,
    agree_mission,
    ask_terms,
    binding,
    conclude,
    make_pair,
    make_party,
    make_terms,
    of_association,
    of_company,
    write_papers,
)


@pytest.fixture
async def pair(scene: Scene) -> Pair:
    return await make_pair(scene)


async def versions_of(scene: Scene, mission_id: object) -> list[Version]:
    async with scene.work() as work:
        return await list_versions(work, mission_id)  # type: ignore[arg-type]


class TestParty:
    @pytest.mark.parametrize("siren", [SIREN, "356000000", "200057966", "200054781"])
    def test_knows_a_siren(self, siren: str) -> None:
        assert is_siren(siren)

    @pytest.mark.parametrize("siren", ["732829321", "73282932", "7328293200", "73282932O", "", "٧٣٢٨٢٩٣٢٠"])
    def test_knows_what_is_none(self, siren: str) -> None:
        assert not is_siren(siren)

    def test_names_the_faulty_field(self) -> None:
        with pytest.raises(BadInput, match="/siren"):
            make_party(siren="123456789")
        with pytest.raises(BadInput, match="/rna"):
            replace(make_party(), rna="W1")


class TestWriteParty:
    async def test_the_same_changes_nothing(self, scene: Scene) -> None:
        party = make_party()
        async with scene.work() as work:
            assert await write_party(work, party) == (1, Outcome.CREATED)
            assert await write_party(work, party) == (1, Outcome.UNCHANGED)
            assert await write_party(work, replace(party, address="Ailleurs")) == (2, Outcome.CHANGED)

    async def test_is_for_the_organisation_and_the_town(self, scene: Scene, pair: Pair) -> None:
        async with scene.work(of_association(scene, pair)) as work:
            await write_party(work, make_party(pair.association_id, address="Ailleurs"))
            for foreign in (pair.company_id, TOWN_ID):
                with pytest.raises(Forbidden):
                    await write_party(work, make_party(foreign))

    async def test_an_employee_does_not_bind_the_company(self, scene: Scene, pair: Pair) -> None:
        async with scene.work(binding(scene, pair.company_id, Role.VOLUNTEER)) as work:
            with pytest.raises(Forbidden):
                await write_party(work, make_party(pair.company_id, address="Ailleurs"))


class TestContent:
    def test_the_same_facts_have_the_same_digest(self) -> None:
        hold, terms, campaign = make_hold(), make_terms(), make_campaign()
        sides = {side: Signatory(new_id(), "Nom", make_party()) for side in Side}

        def digest(*, terms: Terms = terms) -> str:
            content = build_content(mission_title="Site", hold=hold, campaign=campaign, terms=terms, sides=sides, insee="92071")
            return digest_of(content)

        assert digest() == digest()
        assert digest() != digest(terms=make_terms(planned_value_cents=0))

    def test_dates_follow_the_law(self) -> None:
        hold = make_hold()
        require_lawful_dates(make_terms(), hold)
        require_lawful_dates(replace(make_terms(), starts_on=date(2023, 6, 1)), hold)
        for day in (date(2026, 6, 2), date(2023, 5, 31)):
            with pytest.raises(BadInput, match="/starts_on"):
                require_lawful_dates(replace(make_terms(), starts_on=day), hold)

    def test_no_version_is_no_convention(self) -> None:
        assert state_of([]) is ConventionState.MISSING


class TestDraftConvention:
    async def test_tells_what_awaits_acceptance(self, scene: Scene, pair: Pair) -> None:
        agreed = await agree_mission(scene, pair)
        async with scene.work(of_association(scene, pair)) as work:
            version, outcome = await draft_convention(work, agreed.mission_id, ask_terms())
        assert (version.version, outcome, version.acceptances) == (1, Outcome.CREATED, ())
        assert version.content["mission"]["minutes"] == 120
        assert version.content["contributor"]["name"] == "Pixelune"
        assert version.content["town"]["name"] == "Sceaux"
        assert [(told.mission_id, told.version) for told in await scene.published(ConventionDrafted)] == [(agreed.mission_id, 1)]

    async def test_says_what_the_need_says_where_nobody_says_anything(self, scene: Scene, pair: Pair) -> None:
        first_day = local_date(scene.now) + timedelta(days=3)
        told: dict[str, Any] = {
            "description": "Trier les archives",
            "place": "Sceaux",
            "calendar": "mardi soir",
            "starts_on": first_day,
        }
        agreed = await agree_mission(scene, pair, **told)
        async with scene.work() as work:
            version, _ = await draft_convention(work, agreed.mission_id, AskedTerms(place="à la mairie"))
        names = ("tasks", "place", "calendar", "starts_on")
        content = version.content["mission"]
        assert [content[name] for name in names] == ["Trier les archives", "à la mairie", "mardi soir", first_day.isoformat()]

    async def test_a_first_day_that_is_over_is_the_day_it_was_written(self, scene: Scene, pair: Pair) -> None:
        written_on = local_date(scene.now)
        told: dict[str, Any] = {"description": "d", "place": "p", "calendar": "c", "starts_on": written_on - timedelta(days=3)}
        agreed = await agree_mission(scene, pair, **told)
        for outcome in (Outcome.CREATED, Outcome.UNCHANGED):
            async with scene.work() as work:
                version, became = await draft_convention(work, agreed.mission_id, AskedTerms())
            assert (version.content["mission"]["starts_on"], became) == (written_on.isoformat(), outcome)
            scene.now += timedelta(days=1)

    async def test_names_what_neither_need_nor_parties_say(self, scene: Scene, pair: Pair) -> None:
        agreed = await agree_mission(scene, pair, description="d", place="p")
        async with scene.work() as work:
            with pytest.raises(BadInput, match="/calendar: say it"):
                await draft_convention(work, agreed.mission_id, AskedTerms())

    async def test_the_same_changes_nothing(self, scene: Scene, pair: Pair) -> None:
        agreed = await agree_mission(scene, pair)
        for _ in range(2):
            async with scene.work() as work:
                version, outcome = await draft_convention(work, agreed.mission_id, ask_terms())
        assert (version.version, outcome) == (1, Outcome.UNCHANGED)
        assert len(await scene.published(ConventionDrafted)) == 1

    async def test_other_facts_are_a_new_version_and_the_old_one_stays(self, scene: Scene, pair: Pair) -> None:
        agreed = await agree_mission(scene, pair)
        await conclude(scene, pair, agreed.mission_id)
        await write_papers(scene, make_party(pair.association_id, address="5 rue Neuve, 92330 Sceaux"))
        async with scene.work() as work:
            version, outcome = await draft_convention(work, agreed.mission_id, ask_terms())
        assert (version.version, outcome) == (2, Outcome.CHANGED)
        first, second = await versions_of(scene, agreed.mission_id)
        assert first.content["association"]["address"] == "3 rue des Écoles, 92330 Sceaux"
        assert second.content["association"]["address"] == "5 rue Neuve, 92330 Sceaux"
        assert (first.is_concluded, second.is_concluded) == (True, False)
        assert digest_of(first.content) == first.digest
        assert state_of([first, second]) is ConventionState.CONCLUDED

    async def test_two_at_once_write_one_version_each_or_one(self, scene: Scene, pair: Pair) -> None:
        agreed = await agree_mission(scene, pair)

        async def draft(tasks: str) -> None:
            async with scene.work() as work:
                await draft_convention(work, agreed.mission_id, ask_terms(tasks=tasks))

        await asyncio.gather(*(draft(f"Tâche {number % 3}") for number in range(6)))
        numbers = [version.version for version in await versions_of(scene, agreed.mission_id)]
        assert numbers == list(range(1, len(numbers) + 1))

    async def test_names_what_is_not_known_of_a_party(self, scene: Scene, pair: Pair) -> None:
        stranger = await scene.record_actor(kind="company", name="Inconnue")
        await scene.pledge(600, contributor_id=stranger)
        agreed = await agree_mission(scene, Pair(pair.association_id, stranger))
        async with scene.work() as work:
            with pytest.raises(PartyIncomplete, match="Inconnue: legal_form, address, representative_function") as refused:
                await draft_convention(work, agreed.mission_id, ask_terms())
        assert refused.value.members["actor_id"] == str(stranger)

    async def test_waits_for_what_the_mission_is_about(self, scene: Scene, pair: Pair) -> None:
        agreed = await scene.agree(pair.association_id, pair.company_id, 60)
        async with scene.work() as work:
            with pytest.raises(MissionUnknown):
                await draft_convention(work, agreed.mission_id, ask_terms())

    async def test_comes_before_the_mission_or_not_at_all(self, scene: Scene, pair: Pair) -> None:
        agreed = await agree_mission(scene, pair)
        await scene.handle(scene.validated(agreed, 60))
        async with scene.work() as work:
            with pytest.raises(ConventionTooLate):
                await draft_convention(work, agreed.mission_id, ask_terms())
            with pytest.raises(NotFound):
                await draft_convention(work, new_id(), ask_terms())

    async def test_is_written_by_one_of_its_sides(self, scene: Scene, pair: Pair) -> None:
        agreed = await agree_mission(scene, pair)
        async with scene.work(binding(scene, new_id(), Role.ASSOCIATION)) as work:
            with pytest.raises(Forbidden):
                await draft_convention(work, agreed.mission_id, ask_terms())


class TestAcceptConvention:
    async def test_is_concluded_by_the_third_side(self, scene: Scene, pair: Pair) -> None:
        agreed = await agree_mission(scene, pair)
        await conclude(scene, pair, agreed.mission_id, sides=(Side.TOWN, Side.ASSOCIATION))
        assert await scene.published(ConventionConcluded) == []
        async with scene.work(of_company(scene, pair)) as work:
            version = await accept_convention(work, agreed.mission_id, version=1, side=Side.CONTRIBUTOR)
        assert version.is_concluded
        assert {acceptance.side: acceptance.actor_id for acceptance in version.acceptances} == {
            Side.TOWN: None, Side.ASSOCIATION: pair.association_id, Side.CONTRIBUTOR: pair.company_id,
        }  # fmt: skip
        assert all(acceptance.accepted_at == scene.now for acceptance in version.acceptances)
        assert [told.version for told in await scene.published(ConventionConcluded)] == [1]

    async def test_at_once_it_is_told_once(self, scene: Scene, pair: Pair) -> None:
        agreed = await agree_mission(scene, pair)
        await conclude(scene, pair, agreed.mission_id, sides=())
        callers = [(Side.TOWN, scene.officer), (Side.ASSOCIATION, of_association(scene, pair))]
        callers += [(Side.CONTRIBUTOR, of_company(scene, pair))]

        async def accept(side: Side, caller: Caller) -> None:
            async with scene.work(caller) as work:
                await accept_convention(work, agreed.mission_id, version=1, side=side)

        await asyncio.gather(*(accept(side, caller) for side, caller in callers * 2))
        assert len(await scene.published(ConventionConcluded)) == 1
        assert len(await scene.fetch("SELECT * FROM convention_acceptance")) == 3

    async def test_nobody_accepts_for_another(self, scene: Scene, pair: Pair) -> None:
        agreed = await agree_mission(scene, pair)
        await conclude(scene, pair, agreed.mission_id, sides=())
        for caller, side in (
            (scene.officer, Side.ASSOCIATION),
            (scene.officer, Side.CONTRIBUTOR),
            (of_association(scene, pair), Side.CONTRIBUTOR),
            (of_company(scene, pair), Side.TOWN),
            (binding(scene, pair.company_id, Role.VOLUNTEER), Side.CONTRIBUTOR),
            (binding(scene, new_id(), Role.OPERATOR), Side.TOWN),
        ):
            async with scene.work(caller) as work:
                with pytest.raises(Forbidden):
                    await accept_convention(work, agreed.mission_id, version=1, side=side)

    async def test_only_the_newest_version(self, scene: Scene, pair: Pair) -> None:
        agreed = await agree_mission(scene, pair)
        await conclude(scene, pair, agreed.mission_id, sides=(Side.TOWN,))
        async with scene.work() as work:
            await draft_convention(work, agreed.mission_id, ask_terms(tasks="Autre chose"))
        async with scene.work(of_association(scene, pair)) as work:
            with pytest.raises(ConventionOutdated):
                await accept_convention(work, agreed.mission_id, version=1, side=Side.ASSOCIATION)
            with pytest.raises(NotFound):
                await accept_convention(work, agreed.mission_id, version=3, side=Side.ASSOCIATION)

    async def test_a_citizen_accepts_for_themself_and_is_not_named(self, scene: Scene, pair: Pair) -> None:
        citizen = await scene.record_citizen()
        await scene.pledge(600, contributor_id=citizen)
        agreed = await agree_mission(scene, Pair(pair.association_id, citizen))
        async with scene.work() as work:
            drafted, _ = await draft_convention(work, agreed.mission_id, ask_terms())
        assert drafted.content["contributor"] == {"id": str(citizen), "name": None, "citizen": True}
        volunteer = Caller(scene.territory, "volunteer", None, citizen, frozenset({Role.VOLUNTEER}))
        async with scene.work(volunteer) as work:
            accepted = await accept_convention(work, agreed.mission_id, version=1, side=Side.CONTRIBUTOR)
        assert [acceptance.accepted_by for acceptance in accepted.acceptances] == [str(citizen)]


class TestSettlement:
    @pytest.fixture
    async def scene(self, database: Database, territory: str) -> Scene:
        """A campaign that asks for conventions."""
        return await Scene(database, territory).start(conventions_required=True)

    async def test_is_refused_without_a_convention(self, scene: Scene, pair: Pair) -> None:
        agreed = await agree_mission(scene, pair)
        await scene.handle(scene.validated(agreed, 60))
        (refused,) = await scene.published(SettlementRefused)
        assert refused.code == "convention-missing"
        assert "convention" in refused.reason
        assert await scene.balance(AccountKind.SERVED, pair.association_id) == 0
        (kept,) = await scene.fetch("SELECT * FROM refusal")
        assert (kept["code"], kept["asked_minutes"]) == ("convention-missing", 60)

    async def test_two_acceptances_are_not_enough(self, scene: Scene, pair: Pair) -> None:
        agreed = await agree_mission(scene, pair)
        await conclude(scene, pair, agreed.mission_id, sides=(Side.TOWN, Side.ASSOCIATION))
        await scene.handle(scene.validated(agreed, 60))
        assert [refused.code for refused in await scene.published(SettlementRefused)] == ["convention-missing"]

    async def test_goes_through_once_concluded(self, scene: Scene, pair: Pair) -> None:
        agreed = await agree_mission(scene, pair)
        await scene.handle(scene.validated(agreed, 60))
        await conclude(scene, pair, agreed.mission_id)
        await scene.handle(scene.validated(agreed, 60))
        assert [settled.served_minutes for settled in await scene.published(MissionSettled)] == [60]

    async def test_a_concluded_version_binds_until_a_newer_one_is(self, scene: Scene, pair: Pair) -> None:
        agreed = await agree_mission(scene, pair)
        await conclude(scene, pair, agreed.mission_id)
        async with scene.work() as work:
            await draft_convention(work, agreed.mission_id, ask_terms(tasks="Autre chose"))
        await scene.handle(scene.validated(agreed, 60))
        assert len(await scene.published(MissionSettled)) == 1

    async def test_another_missions_convention_does_not_count(self, scene: Scene, pair: Pair) -> None:
        first, second = await agree_mission(scene, pair), await agree_mission(scene, pair)
        await conclude(scene, pair, first.mission_id)
        await scene.handle(scene.validated(second, 60))
        assert await scene.published(MissionSettled) == []

    async def test_a_mission_that_served_nothing_needs_none(self, scene: Scene, pair: Pair) -> None:
        agreed = await agree_mission(scene, pair)
        await scene.handle(scene.validated(agreed, 0))
        assert await scene.published(SettlementRefused) == []
        assert await scene.balance(AccountKind.CREDIT, pair.association_id) == 6000


class TestWhatWasSaidStays:
    @pytest.fixture
    async def owner(self, owner_url: Callable[[str], str]) -> AsyncIterator["asyncpg.Connection[Any]"]:
        connection = await asyncpg.connect(owner_url("credits"))
        yield connection
        await connection.close()

    @pytest.mark.parametrize(
        "table",
        [
            "convention", "convention_acceptance", "valuation", "valuation_consent",
            "receipt", "receipt_mission", "receipt_cancellation",
        ],
    )  # fmt: skip
    async def test_neither_the_service_nor_the_owner_changes_it(
        self, scene: Scene, owner: "asyncpg.Connection[Any]", table: str
    ) -> None:
        for query in (f"UPDATE {table} SET territory = territory", f"DELETE FROM {table}", f"TRUNCATE {table} CASCADE"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await scene.fetch(query)
            with pytest.raises(asyncpg.PostgresError, match="is refused"):
                await owner.execute(query)
