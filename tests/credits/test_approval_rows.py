"""Four eyes as PostgreSQL holds it again: whoever writes, and whatever the service forgets."""

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest

from kernel.database import Database
from kernel.ids import new_id
from services.credits.domain.approvals import (
    ApprovalRequest,
    ReversalOfTransfer,
    SigningOfGrants,
)
from services.credits.domain.errors import (
    AlreadyReversed,
    ApprovalNeeded,
)
from services.credits.domain.ledger import AccountKind
from services.credits.use_cases.grants import propose_grants, sign_grants
from services.credits.use_cases.reversals import reverse_transfer
from tests.builders.approvals import WHY, ask, compute, decide
from tests.builders.credits import Scene


class TestHeldByTheDatabase:
    async def insert_decision(self, scene: Scene, request: ApprovalRequest, *, person: UUID, outcome: str, days: int = 0) -> None:
        async with scene.work() as work:
            await work.driver.execute(
                "INSERT INTO approval_decision VALUES ($1, $2, $3, 'Vu', $4, $5)",
                scene.territory, request.id, outcome, person, scene.now + timedelta(days=days),
            )  # fmt: skip

    async def test_the_decider_is_another(self, guarded: Scene) -> None:
        request = await ask(guarded, SigningOfGrants(await compute(guarded)))
        for person, outcome in ((request.proposed_by, "approved"), (request.proposed_by, "declined"), (new_id(), "withdrawn")):
            with pytest.raises(asyncpg.PostgresError) as refused:
                await self.insert_decision(guarded, request, person=person, outcome=outcome)
            assert refused.value.sqlstate == "MT008"

    async def test_no_decision_after_the_time_is_up(self, guarded: Scene) -> None:
        request = await ask(guarded, SigningOfGrants(await compute(guarded)))
        with pytest.raises(asyncpg.PostgresError) as refused:
            await self.insert_decision(guarded, request, person=new_id(), outcome="approved", days=15)
        assert refused.value.sqlstate == "MT008"

    async def insert_signature(self, scene: Scene, proposal_id: UUID, *, minutes: int, approval_id: UUID | None = None) -> None:
        async with scene.work() as work:
            await work.driver.execute(
                "INSERT INTO grant_signature VALUES ($1, $2, $3, $4, $5, $6, 'somebody', $7)",
                scene.territory, proposal_id, scene.campaign_id, minutes, "0" * 64, approval_id, scene.now,
            )  # fmt: skip

    async def test_no_signature_above_the_threshold_without_approval(self, guarded: Scene) -> None:
        proposal_id = await compute(guarded)
        with pytest.raises(ApprovalNeeded):
            async with guarded.work() as work:
                await sign_grants(work, guarded.campaign_id, proposal_id=proposal_id, adjustments=())
        with pytest.raises(asyncpg.PostgresError, match="need a second person"):
            await self.insert_signature(guarded, proposal_id, minutes=600)
        assert await guarded.balance(AccountKind.POOL) == 600

    async def test_no_signatures_above_it_together(self, guarded: Scene) -> None:
        first = await compute(guarded)
        async with guarded.work() as work:
            second = await propose_grants(work, guarded.campaign_id)
        await self.insert_signature(guarded, first, minutes=45)
        with pytest.raises(asyncpg.PostgresError, match="need a second person"):
            await self.insert_signature(guarded, second, minutes=30)
        await self.insert_signature(guarded, second, minutes=15)

    async def test_no_signature_under_the_approval_of_another_proposal(self, guarded: Scene) -> None:
        """However small: it would take the signature out of the sum."""
        first = await compute(guarded)
        request = await ask(guarded, SigningOfGrants(first))
        await decide(guarded, request, guarded.make_officer())
        async with guarded.work() as work:
            second = await propose_grants(work, guarded.campaign_id)
        with pytest.raises(asyncpg.PostgresError, match="need a second person"):
            await self.insert_signature(guarded, second, minutes=15, approval_id=request.id)

    async def test_no_reversal_above_the_threshold_without_approval(self, guarded: Scene) -> None:
        await guarded.pledge(600)
        (transfer,) = await guarded.fetch("SELECT id FROM transfer")
        with pytest.raises(ApprovalNeeded, match="needs a second person"):
            async with guarded.work() as work:
                await reverse_transfer(work, transfer["id"], reason=WHY)

    async def test_a_settlements_reversal_needs_one_approval_for_both_of_its_sides(self, guarded: Scene) -> None:
        contributor = await guarded.pledge(600)
        association = await guarded.admit(entitled_minutes=600)
        async with guarded.work() as work:
            proposal_id = await propose_grants(work, guarded.campaign_id)
        await decide(guarded, await ask(guarded, SigningOfGrants(proposal_id)), guarded.make_officer())
        agreed = await guarded.agree(association, contributor, 90)
        await guarded.handle(guarded.validated(agreed, 90))
        (deliver,) = await guarded.fetch("SELECT id FROM transfer WHERE kind = 'deliver'")
        await decide(guarded, await ask(guarded, ReversalOfTransfer(deliver["id"])), guarded.make_officer())
        assert await guarded.balance(AccountKind.SERVED, association) == 0
        with pytest.raises(AlreadyReversed):
            await ask(guarded, ReversalOfTransfer(deliver["id"]))

    @pytest.mark.parametrize("table", ["approval_request", "approval_decision", "grant_signature", "grant_publication"])
    async def test_the_service_changes_no_row(self, guarded: Scene, table: str) -> None:
        for statement in (f"UPDATE {table} SET territory = territory", f"DELETE FROM {table}", f"TRUNCATE {table} CASCADE"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await guarded.fetch(statement)

    @pytest.mark.parametrize("table", ["approval_request", "approval_decision", "grant_signature", "grant_publication"])
    async def test_not_even_the_owner_changes_a_row(self, guarded: Scene, owner_url: Callable[[str], str], table: str) -> None:
        connection = await asyncpg.connect(owner_url("credits"))
        try:
            for statement in (f"UPDATE {table} SET territory = territory", f"DELETE FROM {table}", f"TRUNCATE {table} CASCADE"):
                with pytest.raises(asyncpg.PostgresError) as refused:
                    await connection.execute(statement)
                assert refused.value.sqlstate == "MT003"
        finally:
            await connection.close()

    async def test_another_territory_sees_nothing(self, guarded: Scene, database: Database) -> None:
        await ask(guarded, SigningOfGrants(await compute(guarded)))
        stranger = Scene(database, "2A007")
        assert await stranger.fetch("SELECT 1 FROM approval_request WHERE campaign_id = $1", guarded.campaign_id) == []
