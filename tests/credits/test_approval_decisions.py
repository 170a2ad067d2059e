"""Four eyes: decided by another, done once, checked anew, or withdrawn; also over several lots and between campaigns."""

import asyncio
from datetime import timedelta

import pytest

from kernel.auth import Caller, Role
from kernel.database import Database
from kernel.events.credits import ApprovalDecided, CreditGranted
from services.credits.domain.approvals import (
    ApprovalRequest,
    ApprovalState,
    DecisionOutcome,
    ReversalOfTransfer,
    SigningOfGrants,
    WithdrawalForContributor,
)
from services.credits.domain.errors import (
    AlreadyDecided,
    ApprovalNeeded,
    NotEnoughCredit,
    NotOwnRequest,
    OwnRequest,
    PersonNeeded,
    ProposalOutdated,
    RequestExpired,
    RequestStale,
)
from services.credits.domain.grants import Adjustment
from services.credits.domain.ledger import AccountKind
from services.credits.store import approvals as store
from services.credits.use_cases.approvals import (
    check_safeguards,
    withdraw_request,
)
from services.credits.use_cases.expiries import carry_credit_in
from services.credits.use_cases.grants import propose_grants, sign_grants
from services.credits.use_cases.reversals import reverse_transfer
from tests.builders.approvals import (
    APPROVED,
    DECLINED,
    WHY,
    Start,
    ask,
    carry_over,
    compute,
    decide,
    find_state,
    undo_pledge,
)
from tests.builders.credits import IN_SPRING, Scene


class TestDecideRequest:
    async def test_approval_does_it_in_the_same_transaction(self, guarded: Scene) -> None:
        request = await ask(guarded, SigningOfGrants(await compute(guarded)))
        colleague = guarded.make_officer()
        decided = await decide(guarded, request, colleague)
        assert decided.state_at(guarded.now) is ApprovalState.APPROVED
        assert await guarded.balance(AccountKind.POOL) == 0
        assert len(await guarded.published(CreditGranted)) == 1
        (signature,) = await guarded.fetch("SELECT * FROM grant_signature")
        assert (signature["signed_by"], signature["approval_id"]) == (str(colleague.member_id), request.id)
        (event,) = await guarded.published(ApprovalDecided)
        assert (event.outcome, event.proposed_by, event.decided_by) == (
            "approved", guarded.officer.member_id, colleague.member_id,
        )  # fmt: skip

    async def test_a_clock_that_lies_behind_decides_no_earlier_than_it_was_proposed(self, guarded: Scene) -> None:
        request = await ask(guarded, SigningOfGrants(await compute(guarded)))
        guarded.now -= timedelta(minutes=5)
        decided = await decide(guarded, request, guarded.make_officer())
        assert decided.decision is not None
        assert decided.decision.decided_at == request.proposed_at

    async def test_reversal_and_withdrawal_are_done_alike(self, guarded: Scene) -> None:
        contributor = await guarded.pledge(600)
        (pledge,) = await guarded.fetch("SELECT id FROM pledge")
        await decide(guarded, await ask(guarded, WithdrawalForContributor(pledge["id"], 200)), guarded.make_officer())
        assert await guarded.balance(AccountKind.PROMISED, contributor) == -400
        await guarded.pledge(120, contributor_id=contributor, ref="b")
        (transfer,) = await guarded.fetch("SELECT id FROM transfer WHERE kind = 'pledge' AND minutes = 120")
        await decide(guarded, await ask(guarded, ReversalOfTransfer(transfer["id"])), guarded.make_officer())
        assert await guarded.balance(AccountKind.PROMISED, contributor) == -400
        (reversal,) = await guarded.fetch("SELECT why FROM transfer WHERE kind = 'reverse'")
        assert reversal["why"] == WHY

    async def test_declined_does_nothing(self, guarded: Scene) -> None:
        request = await ask(guarded, SigningOfGrants(await compute(guarded)))
        await decide(guarded, request, guarded.make_officer(), outcome=DECLINED)
        assert await find_state(guarded, request) is ApprovalState.DECLINED
        assert await guarded.balance(AccountKind.POOL) == 600

    @pytest.mark.parametrize("outcome", [APPROVED, DECLINED])
    async def test_refuses_ones_own_also_with_another_client(self, guarded: Scene, outcome: DecisionOutcome) -> None:
        request = await ask(guarded, SigningOfGrants(await compute(guarded)))
        same_person = guarded.make_officer(client_id=f"{guarded.territory}.tablette", member_id=guarded.officer.member_id)
        for caller in (guarded.officer, same_person):
            with pytest.raises(OwnRequest):
                await decide(guarded, request, caller, outcome=outcome)
        assert await find_state(guarded, request) is ApprovalState.OPEN

    async def test_refuses_a_decider_who_is_nobody(self, guarded: Scene) -> None:
        request = await ask(guarded, SigningOfGrants(await compute(guarded)))
        program = Caller(guarded.territory, f"{guarded.territory}.mairie", None, None, frozenset({Role.OFFICER}))
        with pytest.raises(PersonNeeded):
            await decide(guarded, request, program)

    async def test_happens_once(self, guarded: Scene) -> None:
        request = await ask(guarded, SigningOfGrants(await compute(guarded)))
        await decide(guarded, request, guarded.make_officer())
        with pytest.raises(AlreadyDecided):
            await decide(guarded, request, guarded.make_officer(), outcome=DECLINED)

    @pytest.mark.parametrize("outcome", [DecisionOutcome.APPROVED, DECLINED])
    async def test_said_again_by_the_same_person_changes_nothing(self, guarded: Scene, outcome: DecisionOutcome) -> None:
        request = await ask(guarded, SigningOfGrants(await compute(guarded)))
        colleague = guarded.make_officer()
        state = "SELECT (SELECT count(*) FROM refusal), (SELECT max(sequence) FROM outbox), (SELECT count(*) FROM transfer)"
        first, before = await decide(guarded, request, colleague, outcome=outcome), await guarded.fetch(state)
        assert await decide(guarded, request, colleague, outcome=outcome) == first
        assert await guarded.fetch(state) == before
        with pytest.raises(AlreadyDecided):
            await decide(guarded, request, colleague, outcome=APPROVED if outcome is DECLINED else DECLINED)

    async def test_happens_once_however_many_approve_at_once(self, guarded: Scene) -> None:
        request = await ask(guarded, SigningOfGrants(await compute(guarded)))
        results = await asyncio.gather(
            *(decide(guarded, request, guarded.make_officer()) for _ in range(5)), return_exceptions=True
        )
        assert sum(isinstance(result, ApprovalRequest) for result in results) == 1
        assert sum(isinstance(result, AlreadyDecided) for result in results) == 4
        assert len(await guarded.fetch("SELECT 1 FROM transfer WHERE kind = 'grant'")) == 1

    async def test_expired_is_refused(self, guarded: Scene) -> None:
        request = await ask(guarded, SigningOfGrants(await compute(guarded)))
        guarded.now += timedelta(days=14)
        with pytest.raises(RequestExpired):
            await decide(guarded, request, guarded.make_officer())
        assert await find_state(guarded, request) is ApprovalState.EXPIRED

    async def test_after_its_time_the_same_may_be_proposed_anew(self, guarded: Scene) -> None:
        proposal_id = await compute(guarded)
        first = await ask(guarded, SigningOfGrants(proposal_id))
        guarded.now += timedelta(days=14)
        second = await ask(guarded, SigningOfGrants(proposal_id))
        assert first.id != second.id
        await decide(guarded, second, guarded.make_officer())

    async def test_stale_is_refused_and_stays_open(self, guarded: Scene) -> None:
        request = await ask(guarded, SigningOfGrants(await compute(guarded)))
        await guarded.admit(entitled_minutes=60)
        with pytest.raises(ProposalOutdated):
            await decide(guarded, request, guarded.make_officer())
        assert await find_state(guarded, request) is ApprovalState.OPEN
        assert await guarded.published(ApprovalDecided) == []
        await decide(guarded, request, guarded.make_officer(), outcome=DECLINED)

    async def test_what_would_move_another_amount_by_now_is_refused(self, guarded: Scene) -> None:
        await guarded.pledge(600)
        (transfer,) = await guarded.fetch("SELECT id FROM transfer")
        request = await ask(guarded, ReversalOfTransfer(transfer["id"]))
        async with guarded.work() as work:
            assert await check_safeguards(work, ReversalOfTransfer(transfer["id"], 60), reason=WHY) is None
            await reverse_transfer(work, transfer["id"], reason=WHY, minutes=60)
        with pytest.raises(RequestStale, match="540"):
            await decide(guarded, request, guarded.make_officer())
        assert await find_state(guarded, request) is ApprovalState.OPEN

    async def test_a_second_slice_waits_too(self, guarded: Scene) -> None:
        await guarded.pledge(600)
        (transfer,) = await guarded.fetch("SELECT id FROM transfer")
        async with guarded.work() as work:
            await reverse_transfer(work, transfer["id"], reason=WHY, minutes=60)
        request = await ask(guarded, ReversalOfTransfer(transfer["id"], 1))
        await decide(guarded, request, guarded.make_officer())
        assert await guarded.balance(AccountKind.POOL) == 539

    async def test_slices_at_once_do_not_pass_together(self, guarded: Scene) -> None:
        await guarded.pledge(600)
        (transfer,) = await guarded.fetch("SELECT id FROM transfer")

        async def slice_off() -> None:
            async with guarded.work(guarded.make_officer()) as work:
                if await check_safeguards(work, ReversalOfTransfer(transfer["id"], 50), reason=WHY) is None:
                    await reverse_transfer(work, transfer["id"], reason=WHY, minutes=50)

        await asyncio.gather(*(slice_off() for _ in range(5)), return_exceptions=True)
        assert await guarded.balance(AccountKind.POOL) == 550

    async def test_what_a_fuller_pool_cures_is_approved_later(self, guarded: Scene) -> None:
        request = await ask(guarded, SigningOfGrants(await compute(guarded)))
        (pledge,) = await guarded.fetch("SELECT id FROM pledge")
        await undo_pledge(guarded, pledge["id"])
        with pytest.raises(NotEnoughCredit):
            await decide(guarded, request, guarded.make_officer())
        await guarded.pledge(600)
        await decide(guarded, request, guarded.make_officer())
        assert await guarded.balance(AccountKind.POOL) == 0


class TestWithdrawRequest:
    async def test_takes_it_back_for_good(self, guarded: Scene) -> None:
        request = await ask(guarded, SigningOfGrants(await compute(guarded)))
        async with guarded.work() as work:
            await withdraw_request(work, request.id, reason="Le panel n'est pas complet")
        assert await find_state(guarded, request) is ApprovalState.WITHDRAWN
        with pytest.raises(AlreadyDecided):
            await decide(guarded, request, guarded.make_officer())

    async def test_is_for_the_proposer_alone(self, guarded: Scene) -> None:
        request = await ask(guarded, SigningOfGrants(await compute(guarded)))
        with pytest.raises(NotOwnRequest):
            async with guarded.work(guarded.make_officer()) as work:
                await withdraw_request(work, request.id, reason="Pas d'accord")


class TestCarryIn:
    async def test_waits_for_a_second_person(self, database: Database, territory: str) -> None:
        scene = Scene(database, territory)
        request = await ask(scene, await carry_over(scene, above=60))
        assert (request.minutes, request.campaign_id) == (600, scene.campaign_id)
        await decide(scene, request, scene.make_officer())
        assert sum((await scene.books()).by_kind.values()) == 0
        assert (await scene.books()).by_kind["credit"] == 600

    async def test_counts_as_moved_by_hand_and_the_closure_does_not(self, database: Database, territory: str) -> None:
        scene = Scene(database, territory)
        carry_in = await carry_over(scene, limit=600)
        async with scene.work() as work:
            assert await store.sum_moved_minutes(work, carry_in.from_campaign_id, since=IN_SPRING) == 600  # the grant alone
            assert await check_safeguards(work, carry_in, reason=WHY) is None
            await carry_credit_in(work, carry_in.campaign_id, from_campaign_id=carry_in.from_campaign_id)
            assert await store.sum_moved_minutes(work, carry_in.campaign_id, since=IN_SPRING) == 600


class TestSeveralLots:
    async def test_what_is_undone_together_is_judged_together(self, start: Start) -> None:
        scene = await start(above=60)
        contributor = await scene.pledge(600)
        association = await scene.admit(entitled_minutes=120)
        adjustments = (Adjustment(association, 60, "En deux fois"),)
        async with scene.work() as work:
            proposal_id = await propose_grants(work, scene.campaign_id)
            assert await check_safeguards(work, SigningOfGrants(proposal_id, adjustments), reason=WHY) is None
            await sign_grants(work, scene.campaign_id, proposal_id=proposal_id, adjustments=adjustments)
        async with scene.work() as work:
            proposal_id = await propose_grants(work, scene.campaign_id)
        await decide(scene, await ask(scene, SigningOfGrants(proposal_id, adjustments)), scene.make_officer())
        await scene.agree(association, contributor, 120)
        reserved = await scene.fetch("SELECT id, minutes FROM transfer WHERE kind = 'reserve'")
        assert [row["minutes"] for row in reserved] == [60, 60]
        with pytest.raises(ApprovalNeeded, match="needs a second person"):
            async with scene.work() as work:
                await reverse_transfer(work, reserved[0]["id"], reason=WHY)
        request = await ask(scene, ReversalOfTransfer(reserved[0]["id"]))
        assert request.minutes == 120
        await decide(scene, request, scene.make_officer())
        assert await scene.balance(AccountKind.CREDIT, association) == 120
