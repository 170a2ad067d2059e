"""Receipts: numbered without gaps, one in force for a mission, only after the donor's valuation, corrected by replacement."""

import asyncio
from datetime import UTC, datetime
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy import Row

from kernel.auth import Role
from kernel.errors import Forbidden
from kernel.events.credits import ReceiptIssued
from kernel.ids import new_id
from services.credits.domain.document_errors import (
    AlreadyReceipted,
    MoreThanServed,
    PartyIncomplete,
    ReceiptNotInForce,
    ReceiptUnfit,
    ValuationMissing,
)
from services.credits.domain.errors import BadInput, NotFound
from services.credits.domain.ledger import TransferKind
from services.credits.domain.receipts import receipt_label
from services.credits.store import receipts as store
from services.credits.store.ledger import list_of_mission
from services.credits.use_cases.receipts import cancel_receipt, issue_receipt, replace_receipt
from services.credits.use_cases.reversals import reverse_transfer
from tests.builders.credits import Scene
from tests.builders.documents import (
    Pair,
    binding,
    issue,
    make_cost,
    make_line,
    make_pair,
    make_party,
    of_association,
    receipted_mission,
    serve_mission,
    value,
    write_papers,
)


@pytest.fixture
async def pair(scene: Scene) -> Pair:
    return await make_pair(scene)


async def row_of(scene: Scene, receipt_id: UUID) -> Row[object]:
    async with scene.work() as work:
        return await store.get_receipt_row(work, receipt_id)


async def replace_by(scene: Scene, pair: Pair, receipt_id: UUID, *mission_ids: UUID) -> UUID:
    async with scene.work(of_association(scene, pair)) as work:
        return await replace_receipt(work, receipt_id, mission_ids=mission_ids, reason="Adresse corrigée")


async def valued_mission(scene: Scene, pair: Pair) -> UUID:
    mission_id = await serve_mission(scene, pair)
    await value(scene, pair, mission_id)
    return mission_id


async def numbers_of(scene: Scene) -> list[int]:
    return [row["number"] for row in await scene.fetch("SELECT number FROM receipt ORDER BY number")]


class TestIssueReceipt:
    async def test_bears_what_the_form_asks_for(self, scene: Scene, pair: Pair) -> None:
        first, second = await valued_mission(scene, pair), await serve_mission(scene, pair, title="Comptes de l'année")
        await value(scene, pair, second, make_cost(make_line(minutes=45, hourly_cost_cents=9_001, employees=2)))
        row = await row_of(scene, await issue(scene, pair, first, second))
        content = row.content
        assert (receipt_label(row.year, row.number), row.state) == ("2026-0001", "in_force")
        assert content["beneficiary"]["object"] == "Apprendre à lire à tout âge"
        assert content["donor"]["siren"] == "732829320"
        assert (content["from_day"], content["to_day"]) == ("2026-03-01", "2026-03-31")
        assert (content["minutes"], content["amount_cents"]) == (135, 6_000 + 6_751)
        assert content["amount_words"] == "cent vingt-sept euros et cinquante et un centimes"
        assert [gift["employees"] for gift in content["gifts"]] == [1, 2]
        assert "hourly_cost_cents" not in str(content)

    async def test_tells_no_amount(self, scene: Scene, pair: Pair) -> None:
        receipt_id, _ = await receipted_mission(scene, pair)
        (told,) = await scene.published(ReceiptIssued)
        assert (told.receipt_id, told.label, told.replaces) == (receipt_id, "2026-0001", None)
        assert "amount_cents" not in told.model_dump()

    async def test_only_after_the_donors_valuation(self, scene: Scene, pair: Pair) -> None:
        mission_id = await serve_mission(scene, pair)
        with pytest.raises(ValuationMissing):
            await issue(scene, pair, mission_id)
        assert await numbers_of(scene) == []

    async def test_only_for_minutes_that_are_still_served(self, scene: Scene, pair: Pair) -> None:
        mission_id = await valued_mission(scene, pair)
        async with scene.work() as work:
            (settled,) = await list_of_mission(work, mission_id, TransferKind.SETTLE)
            await reverse_transfer(work, settled.id, reason="Heures notées deux fois", minutes=1)
        with pytest.raises(MoreThanServed):
            await issue(scene, pair, mission_id)

    async def test_never_two_for_one_valuation(self, scene: Scene, pair: Pair) -> None:
        receipt_id, mission_id = await receipted_mission(scene, pair)
        with pytest.raises(AlreadyReceipted, match="2026-0001") as refused:
            await issue(scene, pair, mission_id)
        assert refused.value.members == {"receipt_id": str(receipt_id)}

    async def test_never_two_however_many_ask_at_once(self, scene: Scene, pair: Pair) -> None:
        mission_id = await valued_mission(scene, pair)
        outcomes = await asyncio.gather(*(issue(scene, pair, mission_id) for _ in range(8)), return_exceptions=True)
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["AlreadyReceipted"] * 7 + ["UUID"]
        assert await numbers_of(scene) == [1]

    async def test_refuses_missions_of_others(self, scene: Scene, pair: Pair) -> None:
        other = await make_pair(scene)
        mission_id, foreign = await valued_mission(scene, pair), await valued_mission(scene, other)
        with pytest.raises(BadInput, match="/mission_ids/1: is a mission for another association"):
            await issue(scene, pair, mission_id, foreign)
        with pytest.raises(BadInput, match="/mission_ids/0: is a mission by another donor"):
            await issue(scene, Pair(pair.association_id, other.company_id), mission_id)
        with pytest.raises(NotFound):
            await issue(scene, pair, new_id())

    async def test_is_the_beneficiarys_alone(self, scene: Scene, pair: Pair) -> None:
        mission_id = await valued_mission(scene, pair)
        for caller in (scene.officer, binding(scene, pair.company_id, Role.COMPANY), binding(scene, new_id(), Role.ASSOCIATION)):
            async with scene.work(caller) as work:
                with pytest.raises(Forbidden):
                    await issue_receipt(
                        work, beneficiary_id=pair.association_id, donor_id=pair.company_id, mission_ids=[mission_id]
                    )

    async def test_names_what_lacks_of_donor_or_beneficiary(self, scene: Scene, pair: Pair) -> None:
        mission_id = await valued_mission(scene, pair)
        await write_papers(scene, make_party(pair.company_id, siren=None))
        with pytest.raises(PartyIncomplete, match="siren missing"):
            await issue(scene, pair, mission_id)

    async def test_a_citizens_time_is_no_gift_of_a_company(self, scene: Scene, pair: Pair) -> None:
        citizen = await scene.record_citizen()
        await scene.pledge(600, contributor_id=citizen)
        lone = Pair(pair.association_id, citizen)
        mission_id = await serve_mission(scene, lone)
        await scene.fetch(
            "INSERT INTO valuation VALUES ($1, $2, 1, '2026-03-01', '2026-03-31', 90, 10, 10, $3, '', 2026, NULL, 'x', now())",
            scene.territory, mission_id,
            '[{"minutes": 90, "hourly_cost_cents": 7, "grade": null, "employees": 1, "months": 1, "amount_cents": 10, "retained_cents": 10}]',
        )  # fmt: skip
        with pytest.raises(ReceiptUnfit, match="volunteering"):
            await issue(scene, lone, mission_id)

    async def test_nothing_is_no_gift(self, scene: Scene, pair: Pair) -> None:
        mission_id = await serve_mission(scene, pair)
        await value(scene, pair, mission_id, make_cost(make_line(hourly_cost_cents=0)))
        with pytest.raises(ReceiptUnfit):
            await issue(scene, pair, mission_id)
        assert await scene.fetch("SELECT * FROM receipt_counter") == []


class TestNumbers:
    async def test_leave_no_gap_however_many_are_issued_and_fail_at_once(self, scene: Scene, pair: Pair) -> None:
        missions = [await valued_mission(scene, pair) for _ in range(8)]

        async def issue_or_fail(index: int, mission_id: UUID) -> None:
            async with scene.work(of_association(scene, pair)) as work:
                await issue_receipt(work, beneficiary_id=pair.association_id, donor_id=pair.company_id, mission_ids=[mission_id])
                if index % 3 == 0:
                    raise RuntimeError("the client went away before the commit")

        deeds = (issue_or_fail(index, mission_id) for index, mission_id in enumerate(missions))
        outcomes = await asyncio.gather(*deeds, return_exceptions=True)
        assert sum(isinstance(outcome, RuntimeError) for outcome in outcomes) == 3
        assert await numbers_of(scene) == [1, 2, 3, 4, 5]

    async def test_begin_anew_each_year_and_for_each_beneficiary(self, scene: Scene, pair: Pair) -> None:
        other = await make_pair(scene)
        labels = []
        for now, given in (
            (scene.now, pair),
            (scene.now, pair),
            (scene.now, other),
            (datetime(2026, 12, 31, 23, 30, tzinfo=UTC), pair),
        ):
            mission_id = await valued_mission(scene, given)
            scene.now = now
            row = await row_of(scene, await issue(scene, given, mission_id))
            labels.append(receipt_label(row.year, row.number))
        assert labels == ["2026-0001", "2026-0002", "2026-0001", "2027-0001"]  # half past midnight in Paris

    async def test_the_database_refuses_a_gap(self, scene: Scene, pair: Pair) -> None:
        await receipted_mission(scene, pair)
        with pytest.raises(asyncpg.PostgresError, match="would leave a gap: 2 is due"):
            await scene.fetch(
                "INSERT INTO receipt SELECT territory, $1, beneficiary_id, donor_id, year, 3, replaces, reason, minutes, amount_cents,"
                " template, content, digest, issued_by, issued_at FROM receipt",
                new_id(),
            )


class TestReplaceReceipt:
    async def test_both_stay_and_the_first_bears_the_seconds_number(self, scene: Scene, pair: Pair) -> None:
        first, mission_id = await receipted_mission(scene, pair)
        await value(scene, pair, mission_id, make_cost(make_line(minutes=60)), reason="30 minutes étaient sur temps personnel")
        assert (await row_of(scene, first)).outdated is True
        second = await replace_by(scene, pair, first, mission_id)
        old, new = await row_of(scene, first), await row_of(scene, second)
        assert (old.state, old.replaced_by, receipt_label(old.successor_year, old.successor_number)) == (
            "replaced",
            second,
            "2026-0002",
        )
        assert (new.state, new.replaces, new.reason, new.outdated) == ("in_force", first, "Adresse corrigée", False)
        assert (old.amount_cents, new.amount_cents) == (6_000, 4_000)
        assert new.content["replaces"] == "2026-0001"

    async def test_hours_that_were_undone_since_ask_for_it(self, scene: Scene, pair: Pair) -> None:
        first, mission_id = await receipted_mission(scene, pair)
        assert (await row_of(scene, first)).outdated is False
        async with scene.work() as work:
            (settled,) = await list_of_mission(work, mission_id, TransferKind.SETTLE)
            await reverse_transfer(work, settled.id, reason="Heures notées deux fois", minutes=30)
        assert (await row_of(scene, first)).outdated is True

    async def test_happens_once_however_many_ask_at_once(self, scene: Scene, pair: Pair) -> None:
        first, mission_id = await receipted_mission(scene, pair)
        outcomes = await asyncio.gather(*(replace_by(scene, pair, first, mission_id) for _ in range(6)), return_exceptions=True)
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["ReceiptNotInForce"] * 5 + ["UUID"]
        assert await numbers_of(scene) == [1, 2]

    async def test_may_drop_a_mission_that_is_then_free(self, scene: Scene, pair: Pair) -> None:
        one, two = await valued_mission(scene, pair), await valued_mission(scene, pair)
        first = await issue(scene, pair, one, two)
        second = await replace_by(scene, pair, first, one)
        third = await issue(scene, pair, two)
        with pytest.raises(AlreadyReceipted):
            await replace_by(scene, pair, second, one, two)
        assert [(await row_of(scene, id)).state for id in (first, second, third)] == ["replaced", "in_force", "in_force"]

    async def test_may_be_replaced_again_but_not_from_the_middle(self, scene: Scene, pair: Pair) -> None:
        first, mission_id = await receipted_mission(scene, pair)
        second = await replace_by(scene, pair, first, mission_id)
        await replace_by(scene, pair, second, mission_id)
        with pytest.raises(ReceiptNotInForce):
            await replace_by(scene, pair, first, mission_id)

    async def test_the_database_refuses_a_second_receipt_in_force(self, scene: Scene, pair: Pair) -> None:
        first, mission_id = await receipted_mission(scene, pair)

        async def cover_again(follows: UUID | None) -> None:
            async with scene.work() as work:
                second = new_id()
                await work.driver.execute(
                    "INSERT INTO receipt SELECT territory, $1, beneficiary_id, donor_id, year, 2, replaces, reason, minutes,"
                    " amount_cents, template, content, digest, issued_by, issued_at FROM receipt",
                    second,
                )
                await work.driver.execute(
                    "INSERT INTO receipt_mission VALUES ($1, $2, $3, 1, $4)", scene.territory, second, mission_id, follows
                )

        for follows, refusal in ((None, "uq_receipt_mission_chain"), (first, "covered by 2 receipts in force")):
            with pytest.raises(asyncpg.PostgresError, match=refusal):
                await cover_again(follows)


class TestCancelReceipt:
    async def test_keeps_the_number_and_frees_the_mission(self, scene: Scene, pair: Pair) -> None:
        first, mission_id = await receipted_mission(scene, pair)
        async with scene.work(of_association(scene, pair)) as work:
            await cancel_receipt(work, first, reason="Heures contre-passées")
        row = await row_of(scene, first)
        assert (row.state, row.cancellation_reason) == ("cancelled", "Heures contre-passées")
        with pytest.raises(ReceiptNotInForce):
            await replace_by(scene, pair, first, mission_id)
        second = await row_of(scene, await issue(scene, pair, mission_id))
        assert (second.number, second.replaces) == (2, None)

    async def test_is_the_beneficiarys_alone(self, scene: Scene, pair: Pair) -> None:
        first, _ = await receipted_mission(scene, pair)
        async with scene.work() as work:
            with pytest.raises(Forbidden):
                await cancel_receipt(work, first, reason="Heures contre-passées")


class TestDeclaration:
    async def test_counts_what_is_in_force(self, scene: Scene, pair: Pair) -> None:
        first, mission_id = await receipted_mission(scene, pair)
        await replace_by(scene, pair, first, mission_id)
        cancelled, _ = await receipted_mission(scene, pair)
        async with scene.work(of_association(scene, pair)) as work:
            await cancel_receipt(work, cancelled, reason="Heures contre-passées")
        await receipted_mission(scene, pair)
        async with scene.work() as work:
            (row,) = (await work.connection.execute(store.select_declarations(2026))).all()
            assert (await work.connection.execute(store.select_declarations(2025))).all() == []
            assert await store.sum_given_cents(work, pair.company_id, year=2026) == 12_000
        assert (row.receipts, row.amount_cents, row.replaced, row.cancelled) == (2, 12_000, 1, 1)

    async def test_the_counter_is_never_taken_back(self, scene: Scene, pair: Pair) -> None:
        await receipted_mission(scene, pair)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await scene.fetch("DELETE FROM receipt_counter")
