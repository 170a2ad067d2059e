"""Attacks by the service's own role, by SQL and through the ledger's own functions: a transfer that stands for nothing, credit
that comes from nowhere, a receipt without a gift. PostgreSQL refuses each; the ways beside them that are right go through."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import date, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest

from kernel.errors import MetisError
from kernel.ids import new_id
from services.credits.auditing.auditor import audit
from services.credits.domain.approvals import ReversalOfTransfer
from services.credits.domain.campaigns import ExpiryRule
from services.credits.domain.errors import UnknownFlow
from services.credits.domain.ledger import AccountKey, AccountKind, Leg, TransferKind
from services.credits.store import ledger
from tests.builders.approvals import ask, decide
from tests.builders.credits import STILL_TO_COME, Scene
from tests.builders.documents import make_pair
from tests.builders.lots import LATER, fund_two_lots, open_next_campaign
from tests.support.culprit import Culprit

Found = Callable[[], Awaitable[set[tuple[str, str]]]]
REFUSED = (asyncpg.PostgresError, MetisError)


def account(scene: Scene, kind: AccountKind, holder_id: UUID, lot_id: UUID | None = None) -> AccountKey:
    return AccountKey(scene.campaign_id, kind, holder_id, lot_id)


async def post(scene: Scene, *legs: Leg) -> None:
    async with scene.work() as work:
        await ledger.post(work, legs)


async def make_lot(
    scene: Scene, association_id: UUID, minutes: int, *, expires_at: datetime = LATER, grant_id: UUID | None = None,
    carried_from: UUID | None = None, lot_id: UUID | None = None,
) -> UUID:  # fmt: skip
    made = lot_id or new_id()
    await scene.fetch(
        "INSERT INTO lot (territory, id, campaign_id, association_id, grant_id, carried_from, minutes, expires_at)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        scene.territory, made, scene.campaign_id, association_id, grant_id, carried_from, minutes, expires_at,
    )  # fmt: skip
    return made


class TestBothSides:
    """What a mission spends of credit its contributor delivers, in the same statement."""

    async def test_a_settlement_without_its_delivery(self, scene: Scene) -> None:
        association, contributor = await scene.fund(credit=600)
        agreed = await scene.agree(association, contributor, 60)
        (lot,) = await scene.fetch("SELECT id FROM lot")
        held, served = (account(scene, kind, association, lot["id"]) for kind in (AccountKind.HELD, AccountKind.SERVED))
        settle = Leg(TransferKind.SETTLE, held, replace(served, lot_id=None), 60, "half", "w", agreed.mission_id)
        delivered, promised = (account(scene, kind, contributor) for kind in (AccountKind.DELIVERED, AccountKind.PROMISED))
        deliver = Leg(TransferKind.DELIVER, delivered, promised, 60, "other half", "w", agreed.mission_id)
        for legs in ([settle], [deliver], [settle, replace(deliver, minutes=45)]):
            with pytest.raises(UnknownFlow, match="settled than are delivered"):
                await post(scene, *legs)
        await post(scene, settle, deliver)

    async def test_by_somebody_else_or_for_no_mission(self, scene: Scene) -> None:
        association, contributor = await scene.fund(credit=600)
        agreed = await scene.agree(association, contributor, 60)
        other = await scene.pledge(600)
        (lot,) = await scene.fetch("SELECT id FROM lot")
        settle = Leg(
            TransferKind.SETTLE, account(scene, AccountKind.HELD, association, lot["id"]),
            account(scene, AccountKind.SERVED, association), 60, "settle", "w", agreed.mission_id,
        )  # fmt: skip
        deliver = Leg(
            TransferKind.DELIVER, account(scene, AccountKind.DELIVERED, other), account(scene, AccountKind.PROMISED, other), 60,
            "deliver", "w", agreed.mission_id,
        )  # fmt: skip
        with pytest.raises(UnknownFlow):
            await post(scene, settle, deliver)
        with pytest.raises(asyncpg.PostgresError, match="names no mission"):
            await post(scene, replace(settle, mission_id=None), replace(deliver, mission_id=None))


class TestLots:
    async def test_minutes_stay_in_theirs(self, scene: Scene) -> None:
        funded = await fund_two_lots(scene)
        agreed = await funded.reserve(60)
        held_soon, credit_later = (
            account(scene, kind, funded.association, lot.id)
            for kind, lot in ((AccountKind.HELD, funded.soon), (AccountKind.CREDIT, funded.later))
        )
        with pytest.raises(UnknownFlow, match="from lot"):
            await post(scene, Leg(TransferKind.RELEASE, held_soon, credit_later, 60, "moved", "w", agreed.mission_id))

    async def test_are_a_grants_or_carried_over(self, scene: Scene) -> None:
        association, _ = await scene.fund(credit=600)
        (lot,) = await scene.fetch("SELECT grant_id, expires_at FROM lot")
        with pytest.raises(asyncpg.UniqueViolationError):
            await make_lot(scene, association, 600, grant_id=lot["grant_id"])
        with pytest.raises(asyncpg.PostgresError, match="carried over"):
            await make_lot(scene, association, 600)

    async def test_are_what_the_grant_says_and_end_with_the_campaign(self, scene: Scene) -> None:
        association, _ = await scene.fund(credit=600)
        (granted,) = await scene.fetch("SELECT * FROM signed_grant")
        other = new_id()
        await scene.fetch(
            "INSERT INTO grant_proposal_line SELECT territory, proposal_id, $1, subsidy_before_cents, subsidy_after_cents,"
            " already_granted_minutes, exact_minutes, entitled_minutes, due_minutes, share_steps, extra_step, computed_minutes"
            " FROM grant_proposal_line LIMIT 1",
            other,
        )
        signed = new_id()
        await scene.fetch(
            "INSERT INTO signed_grant (territory, id, campaign_id, proposal_id, association_id, computed_minutes, minutes, signed_by,"
            " signed_at) SELECT territory, $1, campaign_id, proposal_id, $2, 600, 600, 'x', now() FROM signed_grant LIMIT 1",
            signed, other,
        )  # fmt: skip
        for holder, minutes in ((association, 600), (other, 601)):
            with pytest.raises(asyncpg.PostgresError, match="is not what grant"):
                await make_lot(scene, holder, minutes, grant_id=signed)
        with pytest.raises(asyncpg.PostgresError, match="outlive its campaign"):
            await make_lot(scene, other, 600, grant_id=signed, expires_at=LATER + timedelta(days=4000))
        await make_lot(scene, other, 600, grant_id=signed)
        assert granted["minutes"] == 600

    async def test_are_filled_once_by_the_grant_itself(self, scene: Scene) -> None:
        association, _ = await scene.fund(credit=600)
        await scene.pledge(6000)
        (lot,) = await scene.fetch("SELECT id, grant_id FROM lot")
        pool = account(scene, AccountKind.POOL, scene.campaign_id)
        credit = account(scene, AccountKind.CREDIT, association, lot["id"])
        for grant_id in (lot["grant_id"], None):
            with pytest.raises(UnknownFlow, match="is not what lot"):
                await post(scene, Leg(TransferKind.GRANT, pool, credit, 600, "again", "w", grant_id=grant_id))

    async def test_carry_in_no_more_than_was_carried_over(self, scene: Scene) -> None:
        association = await scene.admit(entitled_minutes=600)
        earlier = await open_next_campaign(scene, expiry=ExpiryRule.CARRY_OVER)
        lot = await make_lot(scene, association, 6000, carried_from=earlier)
        carried = account(scene, AccountKind.CARRIED, association)
        with pytest.raises(UnknownFlow, match="did not carry over"):
            await post(
                scene, Leg(TransferKind.CARRY, carried, account(scene, AccountKind.CREDIT, association, lot), 6000, "k", "w")
            )


class TestExpiry:
    async def test_follows_the_campaigns_rule_and_not_before_its_time(self, scene: Scene) -> None:
        await scene.start(ends_on=STILL_TO_COME)
        association, _ = await scene.fund(credit=600)
        (lot,) = await scene.fetch("SELECT id, expires_at FROM lot")
        credit = account(scene, AccountKind.CREDIT, association, lot["id"])
        lapsed, pool = (account(scene, kind, scene.campaign_id) for kind in (AccountKind.LAPSED, AccountKind.POOL))
        with pytest.raises(UnknownFlow, match="does not follow the rule"):
            await post(scene, Leg(TransferKind.EXPIRE, credit, lapsed, 600, "lapse", "w"))
        back = Leg(TransferKind.EXPIRE, credit, pool, 600, "back", "w")
        with pytest.raises(UnknownFlow, match="may be spent until"):
            await post(scene, back)
        scene.now = lot["expires_at"]
        await post(scene, back)


class TestApprovals:
    async def test_cover_the_minutes_that_they_name(self, guarded: Scene) -> None:
        contributor = await guarded.pledge(3000)
        (pledged,) = await guarded.fetch("SELECT id, pledge_id FROM transfer")
        request = await ask(guarded, ReversalOfTransfer(pledged["id"], 75))
        await decide(guarded, request, guarded.make_officer())
        pool, promised = (
            account(guarded, AccountKind.POOL, guarded.campaign_id),
            account(guarded, AccountKind.PROMISED, contributor),
        )
        back = Leg(TransferKind.REVERSE, pool, promised, 61, "rest", "w", pledge_id=pledged["pledge_id"], reverses=pledged["id"])
        with pytest.raises(REFUSED, match="second person"):
            await post(guarded, back)
        await post(guarded, replace(back, minutes=60))  # what one person may undo alone here


class TestAudit:
    """Whoever switches the triggers off writes what they refuse; the next audit names it."""

    @pytest.fixture(autouse=True)
    async def unguarded(self, owner_url: Callable[[str], str]) -> AsyncIterator[None]:
        owner = await asyncpg.connect(owner_url("credits"))
        triggers = {"transfer": ("transfer_agrees", "transfer_follows_its_rule"), "lot": ("lot_has_its_reason",)}
        for switch in ("DISABLE", "ENABLE"):
            for table, names in triggers.items():
                await owner.execute(f"ALTER TABLE {table} " + ", ".join(f"{switch} TRIGGER {name}" for name in names))
            if switch == "DISABLE":
                yield
        await owner.close()

    @pytest.fixture
    def found(self, scene: Scene, service_url: Callable[[str], str]) -> Callable[[], Awaitable[set[tuple[str, str]]]]:
        async def run() -> set[tuple[str, str]]:
            differences = (await audit(service_url("credits"), scene.territory)).differences
            return {(one.table, one.column) for one in differences if one.check == "reasons"}

        return run

    async def test_names_half_a_settlement(self, scene: Scene, found: Found) -> None:
        association, contributor = await scene.fund(credit=600)
        agreed = await scene.agree(association, contributor, 60)
        delivered, promised = (account(scene, kind, contributor) for kind in (AccountKind.DELIVERED, AccountKind.PROMISED))
        assert await found() == set()
        await post(scene, Leg(TransferKind.DELIVER, delivered, promised, 60, "half", "w", agreed.mission_id))
        assert await found() == {("hold", "delivered minutes")}

    async def test_names_minutes_that_changed_their_lot(self, scene: Scene, found: Found) -> None:
        funded = await fund_two_lots(scene)
        agreed = await funded.reserve(60)
        assert await found() == set()
        held, credit = (
            account(scene, kind, funded.association, lot.id)
            for kind, lot in ((AccountKind.HELD, funded.soon), (AccountKind.CREDIT, funded.later))
        )
        await post(scene, Leg(TransferKind.RELEASE, held, credit, 60, "moved", "w", agreed.mission_id))
        assert await found() == {("transfer", "lot_id")}

    async def test_names_credit_from_nowhere(self, scene: Scene, found: Found) -> None:
        association, _ = await scene.fund(credit=600)
        (granted,) = await scene.fetch("SELECT id, grant_id FROM lot")
        earlier = await open_next_campaign(scene, expiry=ExpiryRule.CARRY_OVER)
        lot = await make_lot(scene, association, 600, carried_from=earlier)
        await scene.pledge(6000)
        pool, carried = account(scene, AccountKind.POOL, scene.campaign_id), account(scene, AccountKind.CARRIED, association)
        await post(scene, Leg(TransferKind.CARRY, carried, account(scene, AccountKind.CREDIT, association, lot), 600, "k", "w"))
        assert await found() == {("campaign", f"carried over for {association}")}
        credit = account(scene, AccountKind.CREDIT, association, granted["id"])
        await post(scene, Leg(TransferKind.GRANT, pool, credit, 60, "unsigned", "w"))
        assert await found() == {("campaign", f"carried over for {association}"), ("transfer", "grant_id")}

    async def test_says_nothing_of_a_lot_from_before_lots_named_their_grants(
        self, scene: Scene, found: Found, culprit: Culprit
    ) -> None:
        await scene.fund(credit=600)
        await culprit.run("UPDATE lot SET grant_id = NULL WHERE territory = $1")
        assert await found() == set()

    async def test_names_what_expired_against_the_rule_and_too_early(self, scene: Scene, found: Found) -> None:
        await scene.start(ends_on=STILL_TO_COME)
        association, _ = await scene.fund(credit=600)
        (lot,) = await scene.fetch("SELECT id FROM lot")
        credit, lapsed = (
            account(scene, AccountKind.CREDIT, association, lot["id"]),
            account(scene, AccountKind.LAPSED, scene.campaign_id),
        )
        await post(scene, Leg(TransferKind.EXPIRE, credit, lapsed, 600, "k", "w"))
        assert await found() == {("transfer", "kind"), ("transfer", "recorded_at")}


class TestReceipts:
    async def test_say_what_was_valued(self, scene: Scene) -> None:
        pair = await make_pair(scene)
        with pytest.raises(asyncpg.PostgresError, match="were valued at 0"):
            await scene.fetch(
                "INSERT INTO receipt (territory, id, beneficiary_id, donor_id, year, number, minutes, amount_cents, template, content,"
                " digest, issued_by, issued_at) VALUES ($1, $2, $3, $4, 2026, 1, 60, 9999999, 1, '{}', 'x', 'x', now())",
                scene.territory, new_id(), pair.association_id, pair.company_id,
            )  # fmt: skip


class TestAnswers:
    """What was answered under an Idempotency-Key is answered for ever."""

    async def test_are_written_once_and_stay(self, scene: Scene) -> None:
        await scene.fetch(
            "INSERT INTO idempotency_key (territory, client_id, key, request_hash) VALUES ($1, 'c', 'k', '\\x00')",
            scene.territory,
        )
        with pytest.raises(asyncpg.PostgresError, match="for ever"):
            await scene.fetch("UPDATE idempotency_key SET request_hash = '\\x01'")
        await scene.fetch("UPDATE idempotency_key SET status = 201, body = 'first'")
        with pytest.raises(asyncpg.PostgresError, match="for ever"):
            await scene.fetch("UPDATE idempotency_key SET body = 'other'")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await scene.fetch("DELETE FROM idempotency_key")

    async def test_notices_stay_as_well(self, scene: Scene) -> None:
        await scene.fetch(
            "INSERT INTO expiry_notice (territory, campaign_id, association_id, expires_on, days_before, sent_at)"
            " VALUES ($1, $2, $3, $4, 7, now())",
            scene.territory, scene.campaign_id, new_id(), date(2026, 12, 31),
        )  # fmt: skip
        for statement in ("DELETE FROM expiry_notice", "UPDATE expiry_notice SET days_before = 30"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await scene.fetch(statement)
