"""Four eyes: proposed by one person, approved by another, done once, checked anew; and what one person may move in a day."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest

from kernel.auth import Caller, Role
from kernel.clock import utc_now
from kernel.database import Database
from kernel.events.credits import ApprovalDecided, ApprovalRequested, CreditGranted
from kernel.ids import new_id
from services.credits.domain.approvals import (
    LIFETIME,
    ApprovalRequest,
    ApprovalState,
    CarryInOfCredit,
    Decision,
    DecisionOutcome,
    Operation,
    ReversalOfTransfer,
    SigningOfGrants,
    WithdrawalForContributor,
    decode_operation,
    digest_operation,
    encode_operation,
    needs_second_person,
    require_person,
    require_within_limit,
)
from services.credits.domain.campaigns import ExpiryRule, Safeguards
from services.credits.domain.errors import (
    AlreadyDecided,
    AlreadyReversed,
    AlreadySigned,
    ApprovalNeeded,
    ApprovalPending,
    DailyLimit,
    NotEnoughCredit,
    NotOwnRequest,
    NotReversible,
    OwnRequest,
    PersonNeeded,
    ProposalOutdated,
    RequestExpired,
    RequestStale,
)
from services.credits.domain.grants import Adjustment
from services.credits.domain.ledger import AccountKind
from services.credits.store import approvals as store
from services.credits.store import campaigns
from services.credits.use_cases.approvals import (
    check_safeguards,
    check_withdrawal,
    decide_request,
    propose_operation,
    require_lowering_alone,
    withdraw_request,
)
from services.credits.use_cases.expiries import carry_credit_in
from services.credits.use_cases.grants import propose_grants, sign_grants
from services.credits.use_cases.pledges import withdraw_pledge
from services.credits.use_cases.reversals import reverse_transfer
from tests.builders.credits import IN_SPRING, Scene

APPROVED, DECLINED = DecisionOutcome.APPROVED, DecisionOutcome.DECLINED
WHY = "Dotations du printemps"


def make_request(*, proposed_by: UUID | None = None, decision: Decision | None = None) -> ApprovalRequest:
    operation = ReversalOfTransfer(new_id())
    return ApprovalRequest(
        new_id(), new_id(), operation, "0" * 64, 60, WHY, proposed_by or new_id(), IN_SPRING, IN_SPRING + LIFETIME, decision
    )


class TestApprovalRequest:
    def test_waits_fourteen_days(self) -> None:
        request = make_request()
        assert request.state_at(IN_SPRING + timedelta(days=14, seconds=-1)) is ApprovalState.OPEN
        assert request.state_at(IN_SPRING + timedelta(days=14)) is ApprovalState.EXPIRED
        with pytest.raises(RequestExpired):
            request.require_open(IN_SPRING + timedelta(days=14))

    def test_decided_in_time_does_not_expire(self) -> None:
        request = make_request(decision=Decision(APPROVED, "Vu", new_id(), IN_SPRING))
        assert request.state_at(IN_SPRING + timedelta(days=400)) is ApprovalState.APPROVED
        with pytest.raises(AlreadyDecided):
            request.require_open(IN_SPRING)

    def test_is_decided_by_another_and_withdrawn_by_its_own(self) -> None:
        me = new_id()
        with pytest.raises(OwnRequest):
            make_request(proposed_by=me).require_decider(me)
        with pytest.raises(NotOwnRequest):
            make_request().require_proposer(me)


class TestRequirePerson:
    def test_refuses_a_token_that_names_nobody(self) -> None:
        with pytest.raises(PersonNeeded):
            require_person(None)


class TestNeedsSecondPerson:
    @pytest.mark.parametrize(
        ("threshold", "minutes", "needed"), [(None, 10**9, False), (60, 60, False), (60, 61, True), (0, 1, True)]
    )
    def test_above_the_threshold_only(self, threshold: int | None, minutes: int, needed: bool) -> None:
        assert needs_second_person(Safeguards(four_eyes_above_minutes=threshold), minutes) is needed


class TestRequireWithinLimit:
    def test_lets_the_last_minute_pass(self) -> None:
        require_within_limit(600, moved_minutes=540, minutes=60)

    def test_says_what_is_left_and_what_would_help(self) -> None:
        with pytest.raises(DailyLimit, match="tomorrow") as refused:
            require_within_limit(600, moved_minutes=540, minutes=61)
        assert (refused.value.code, refused.value.members["left_minutes"]) == ("daily-limit", 60)


class TestEncodeOperation:
    @pytest.mark.parametrize(
        "operation",
        [
            SigningOfGrants(UUID(int=1), (Adjustment(UUID(int=2), 45, "Public prioritaire"),)),
            ReversalOfTransfer(UUID(int=1)),
            ReversalOfTransfer(UUID(int=1), 30),
            WithdrawalForContributor(UUID(int=1), 30),
            CarryInOfCredit(UUID(int=1), UUID(int=2)),
        ],
    )
    def test_is_read_back_as_it_was(self, operation: Operation) -> None:
        assert decode_operation(operation.kind, encode_operation(operation)) == operation

    def test_every_fact_changes_the_digest(self) -> None:
        operations = [ReversalOfTransfer(UUID(int=1)), ReversalOfTransfer(UUID(int=2)), ReversalOfTransfer(UUID(int=1), 30)]
        digests = {digest_operation(one, campaign_id=UUID(int=9), basis=basis) for one in operations for basis in ({}, {"a": 1})}
        assert len(digests) == 6


# ---- On a real database --------------------------------------------------------------------------------------------

Start = Callable[..., Awaitable[Scene]]


@pytest.fixture
def start(database: Database, territory: str) -> Start:
    async def begin(*, above: int | None = None, limit: int | None = None) -> Scene:
        return await Scene(database, territory).start(safeguards=Safeguards(above, limit))

    return begin


@pytest.fixture
async def guarded(start: Start) -> Scene:
    """More than an hour needs a second person."""
    return await start(above=60)


async def compute(scene: Scene, *, entitled_minutes: int = 600) -> UUID:
    """A proposal for one association, with a pool that serves it."""
    await scene.pledge(entitled_minutes)
    await scene.admit(entitled_minutes=entitled_minutes)
    async with scene.work() as work:
        return await propose_grants(work, scene.campaign_id)


async def ask(scene: Scene, operation: Operation, *, caller: Caller | None = None) -> ApprovalRequest:
    async with scene.work(caller) as work:
        request = await check_safeguards(work, operation, reason=WHY)
    assert request is not None
    return request


async def decide(
    scene: Scene, request: ApprovalRequest, caller: Caller, *, outcome: DecisionOutcome = APPROVED
) -> ApprovalRequest:
    async with scene.work(caller) as work:
        return await decide_request(work, request.id, outcome=outcome, reason="Vu et vérifié")


async def find_state(scene: Scene, request: ApprovalRequest) -> ApprovalState:
    async with scene.work() as work:
        return (await store.get_request(work, request.id)).state_at(scene.now)


class TestCheckSafeguards:
    async def test_lets_one_person_go_on_below_the_threshold(self, guarded: Scene) -> None:
        proposal_id = await compute(guarded, entitled_minutes=60)
        async with guarded.work() as work:
            assert await check_safeguards(work, SigningOfGrants(proposal_id), reason=WHY) is None

    async def test_is_off_where_the_campaign_says_nothing(self, scene: Scene) -> None:
        proposal_id = await compute(scene)
        async with scene.work() as work:
            assert await check_safeguards(work, SigningOfGrants(proposal_id), reason=WHY) is None

    async def test_keeps_the_request_and_moves_nothing(self, guarded: Scene) -> None:
        proposal_id = await compute(guarded)
        request = await ask(guarded, SigningOfGrants(proposal_id))
        assert (request.minutes, request.proposed_by) == (600, guarded.officer.member_id)
        assert await guarded.balance(AccountKind.POOL) == 600
        (event,) = await guarded.published(ApprovalRequested)
        assert (event.request_id, event.kind, event.proposed_by) == (request.id, "grants", guarded.officer.member_id)

    async def test_counts_what_the_adjustments_make_of_it(self, guarded: Scene) -> None:
        proposal_id = await compute(guarded)
        (row,) = await guarded.fetch("SELECT association_id FROM panel")
        small = SigningOfGrants(proposal_id, (Adjustment(row["association_id"], 60, "Un début"),))
        async with guarded.work() as work:
            assert await check_safeguards(work, small, reason=WHY) is None

    async def test_gives_the_same_request_when_asked_again(self, guarded: Scene) -> None:
        proposal_id = await compute(guarded)
        first, again = [await ask(guarded, SigningOfGrants(proposal_id)) for _ in range(2)]
        assert (first.id, len(await guarded.published(ApprovalRequested))) == (again.id, 1)

    async def test_refuses_another_request_about_the_same(self, guarded: Scene) -> None:
        proposal_id = await compute(guarded)
        await ask(guarded, SigningOfGrants(proposal_id))
        with pytest.raises(ApprovalPending):
            await ask(guarded, SigningOfGrants(proposal_id), caller=guarded.make_officer())

    async def test_keeps_one_request_however_many_ask_at_once(self, guarded: Scene) -> None:
        proposal_id = await compute(guarded)
        found = await asyncio.gather(*(ask(guarded, SigningOfGrants(proposal_id)) for _ in range(5)))
        assert len({request.id for request in found}) == 1

    async def test_refuses_a_token_that_names_no_person(self, guarded: Scene) -> None:
        proposal_id = await compute(guarded)
        program = Caller(guarded.territory, f"{guarded.territory}.mairie", new_id(), None, frozenset({Role.OFFICER}))
        with pytest.raises(PersonNeeded):
            await ask(guarded, SigningOfGrants(proposal_id), caller=program)

    async def test_asks_nobody_about_what_is_refused_already(self, guarded: Scene) -> None:
        proposal_id = await compute(guarded)
        await decide(guarded, await ask(guarded, SigningOfGrants(proposal_id)), guarded.make_officer())
        with pytest.raises(AlreadySigned):
            await ask(guarded, SigningOfGrants(proposal_id))

    async def test_asks_nobody_to_undo_what_is_undone_otherwise(self, guarded: Scene) -> None:
        await guarded.pledge(600)
        (transfer,) = await guarded.fetch("SELECT id FROM transfer")
        await decide(guarded, await ask(guarded, ReversalOfTransfer(transfer["id"])), guarded.make_officer())
        (reversal,) = await guarded.fetch("SELECT id FROM transfer WHERE kind = 'reverse'")
        with pytest.raises(NotReversible):
            await ask(guarded, ReversalOfTransfer(reversal["id"]))

    async def test_reversal_in_slices_does_not_pass(self, guarded: Scene) -> None:
        await compute(guarded)
        (pledge,) = await guarded.fetch("SELECT id FROM transfer WHERE kind = 'pledge'")
        async with guarded.work() as work:
            assert await check_safeguards(work, ReversalOfTransfer(pledge["id"], 60), reason=WHY) is None
            assert await check_safeguards(work, ReversalOfTransfer(pledge["id"], 61), reason=WHY) is not None


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


async def undo_pledge(scene: Scene, pledge_id: UUID) -> None:
    """It takes two persons, too."""
    (row,) = await scene.fetch("SELECT id FROM transfer WHERE kind = 'pledge' AND pledge_id = $1", pledge_id)
    await decide(scene, await ask(scene, ReversalOfTransfer(row["id"])), scene.make_officer())


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


class TestCheckWithdrawal:
    async def test_what_contributors_take_back_is_their_own(self, guarded: Scene) -> None:
        contributor = await guarded.pledge(600)
        (pledge,) = await guarded.fetch("SELECT id FROM pledge")
        citizen = Caller(guarded.territory, "c", None, contributor, frozenset({Role.VOLUNTEER}))
        async with guarded.work(citizen) as work:
            assert await check_withdrawal(work, pledge["id"], minutes=600, reason=WHY) is None

    async def test_the_town_waits_for_a_second_person(self, guarded: Scene) -> None:
        await guarded.pledge(600)
        (pledge,) = await guarded.fetch("SELECT id FROM pledge")
        async with guarded.work() as work:
            assert await check_withdrawal(work, pledge["id"], minutes=61, reason=WHY) is not None

    async def test_a_file_that_lowers_a_pledge_is_told_to_ask(self, guarded: Scene) -> None:
        await guarded.pledge(600, ref="p1")
        with pytest.raises(ApprovalNeeded, match="/withdrawals"):
            async with guarded.work() as work:
                await require_lowering_alone(work, guarded.campaign_id, "p1", minutes=500)
        async with guarded.work() as work:
            await require_lowering_alone(work, guarded.campaign_id, "p1", minutes=540)
            await require_lowering_alone(work, guarded.campaign_id, "p1", minutes=6000)
            await require_lowering_alone(work, guarded.campaign_id, "new", minutes=1)


async def grant_some(scene: Scene, minutes: int, *, caller: Caller | None = None) -> None:
    """Grant so many minutes to a new association, all others nothing, as the route does."""
    association_id = await scene.admit(entitled_minutes=minutes)
    async with scene.work() as work:
        seats = await campaigns.list_seats(work, scene.campaign_id)
        proposal_id = await propose_grants(work, scene.campaign_id)
    others = tuple(Adjustment(seat.association_id, 0, "Plus tard") for seat in seats if seat.association_id != association_id)
    async with scene.work(caller) as work:
        assert await check_safeguards(work, SigningOfGrants(proposal_id, others), reason=WHY) is None
        await sign_grants(work, scene.campaign_id, proposal_id=proposal_id, adjustments=others)


class TestDailyLimit:
    async def test_adds_up_a_persons_grants_and_reversals(self, start: Start) -> None:
        scene = await start(limit=600)
        await scene.pledge(3000)
        await grant_some(scene, 300)
        (grant,) = await scene.fetch("SELECT id FROM transfer WHERE kind = 'grant'")
        async with scene.work() as work:
            assert await check_safeguards(work, ReversalOfTransfer(grant["id"]), reason=WHY) is None
            await reverse_transfer(work, grant["id"], reason=WHY)
        with pytest.raises(DailyLimit) as refused:
            await grant_some(scene, 15)
        assert refused.value.members["left_minutes"] == 0

    async def test_is_each_persons_own_whichever_client_they_use(self, start: Start) -> None:
        scene = await start(limit=600)
        await scene.pledge(3000)
        await grant_some(scene, 600)
        same_person = scene.make_officer(client_id="autre", member_id=scene.officer.member_id)
        with pytest.raises(DailyLimit):
            await grant_some(scene, 15, caller=same_person)
        await grant_some(scene, 600, caller=scene.make_officer())

    async def test_begins_anew_at_midnight_where_the_town_lives(self, start: Start) -> None:
        scene = await start(limit=600)
        scene.now = utc_now()
        await scene.pledge(3000)
        await grant_some(scene, 600)
        scene.now += timedelta(days=1)
        await grant_some(scene, 600)

    async def test_two_at_once_cannot_pass_it_together(self, start: Start) -> None:
        scene = await start(limit=100)
        await scene.pledge(3000)
        pledges = await scene.fetch("SELECT id FROM pledge")

        async def withdraw() -> None:
            async with scene.work() as work:
                assert await check_withdrawal(work, pledges[0]["id"], minutes=60, reason=WHY) is None
                await withdraw_pledge(work, pledges[0]["id"], minutes=60, reason=WHY)

        results = await asyncio.gather(*(withdraw() for _ in range(6)), return_exceptions=True)
        assert sum(result is None for result in results) == 1
        assert sum(isinstance(result, DailyLimit) for result in results) == 5

    async def test_two_grants_at_once_cannot_pass_it_together(self, start: Start) -> None:
        scene = await start(limit=600)
        await scene.pledge(3000)
        for _ in range(2):
            await scene.admit(entitled_minutes=450)
        first, second = (row["association_id"] for row in await scene.fetch("SELECT association_id FROM panel"))
        async with scene.work() as work:
            proposals = [await propose_grants(work, scene.campaign_id) for _ in range(2)]

        async def sign(proposal_id: UUID, other: UUID) -> None:
            adjustments = (Adjustment(other, 0, "Plus tard"),)
            async with scene.work() as work:
                assert await check_safeguards(work, SigningOfGrants(proposal_id, adjustments), reason=WHY) is None
                await sign_grants(work, scene.campaign_id, proposal_id=proposal_id, adjustments=adjustments)

        results = await asyncio.gather(sign(proposals[0], second), sign(proposals[1], first), return_exceptions=True)
        assert sum(isinstance(result, DailyLimit) for result in results) == 1
        assert await scene.balance(AccountKind.POOL) == 2550

    async def test_an_approval_counts_for_who_approves(self, start: Start) -> None:
        scene = await start(above=60, limit=600)
        request = await ask(scene, SigningOfGrants(await compute(scene)))
        colleague = scene.make_officer()
        await decide(scene, request, colleague)
        (transfer,) = await scene.fetch("SELECT id FROM transfer WHERE kind = 'grant'")
        reversal = await ask(scene, ReversalOfTransfer(transfer["id"]))
        with pytest.raises(DailyLimit):
            await decide(scene, reversal, colleague)
        assert await find_state(scene, reversal) is ApprovalState.OPEN
        await decide(scene, reversal, scene.make_officer())

    async def test_two_approvals_at_once_cannot_pass_it_together(self, start: Start) -> None:
        scene = await start(above=60, limit=150)
        for _ in range(4):
            await scene.pledge(100)
        pledges = await scene.fetch("SELECT id FROM pledge")
        requests = [await ask(scene, WithdrawalForContributor(row["id"], 100)) for row in pledges]
        approver = scene.make_officer()
        results = await asyncio.gather(*(decide(scene, one, approver) for one in requests), return_exceptions=True)
        assert sum(isinstance(result, ApprovalRequest) for result in results) == 1
        assert sum(isinstance(result, DailyLimit) for result in results) == 3
        assert await scene.balance(AccountKind.POOL) == 300
        assert len(await scene.fetch("SELECT 1 FROM approval_decision")) == 1

    async def test_does_not_count_missions(self, start: Start) -> None:
        scene = await start(limit=600)
        association, contributor = await scene.fund(credit=600)
        agreed = await scene.agree(association, contributor, 600)
        await scene.handle(scene.validated(agreed, 600), actorid=str(scene.officer.member_id))
        async with scene.work() as work:
            assert await store.sum_moved_minutes(work, scene.campaign_id, since=IN_SPRING) == 600

    async def test_counts_a_reversed_settlement_once(self, start: Start) -> None:
        scene = await start()
        association, contributor = await scene.fund(credit=600)
        agreed = await scene.agree(association, contributor, 90)
        await scene.handle(scene.validated(agreed, 60))
        (settle,) = await scene.fetch("SELECT id FROM transfer WHERE kind = 'settle'")
        colleague = scene.make_officer()
        async with scene.work(colleague) as work:
            await reverse_transfer(work, settle["id"], reason=WHY)
            assert await store.sum_moved_minutes(work, scene.campaign_id, since=IN_SPRING) == 60


async def carry_over(scene: Scene, *, above: int | None = None, limit: int | None = None) -> CarryInOfCredit:
    """An open campaign after one that closed with 600 minutes to carry over; what would bring them in."""
    earlier = await scene.start(expiry=ExpiryRule.CARRY_OVER)
    await scene.fund(credit=600)
    await scene.close()
    from_campaign_id = earlier.campaign_id
    await scene.start(safeguards=Safeguards(above, limit))
    return CarryInOfCredit(scene.campaign_id, from_campaign_id)


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
        for part in (60, 60):
            async with scene.work() as work:
                proposal_id = await propose_grants(work, scene.campaign_id)
                adjustments = (Adjustment(association, part, "En deux fois"),)
                assert await check_safeguards(work, SigningOfGrants(proposal_id, adjustments), reason=WHY) is None
                await sign_grants(work, scene.campaign_id, proposal_id=proposal_id, adjustments=adjustments)
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

    async def test_no_signature_above_the_threshold_without_approval(self, guarded: Scene) -> None:
        proposal_id = await compute(guarded)
        with pytest.raises(Exception, match="need a second person"):
            async with guarded.work() as work:
                await sign_grants(work, guarded.campaign_id, proposal_id=proposal_id, adjustments=())
        assert await guarded.balance(AccountKind.POOL) == 600

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


class TestProposeOperation:
    async def test_may_be_asked_for_where_no_rule_demands_it(self, scene: Scene) -> None:
        proposal_id = await compute(scene)
        async with scene.work() as work:
            request = await propose_operation(work, SigningOfGrants(proposal_id), reason="Je préfère un second regard")
        await decide(scene, request, scene.make_officer())
        assert await scene.balance(AccountKind.POOL) == 0
