"""Four eyes: what waits for a second person, what they are asked, and what the pure rules say."""

import asyncio
from dataclasses import replace
from datetime import date, timedelta
from uuid import UUID

import pytest

from kernel.auth import Caller, Role
from kernel.events.credits import ApprovalRequested
from kernel.ids import new_id
from services.credits.domain.approvals import (
    ApprovalState,
    CarryInOfCredit,
    Decision,
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
from services.credits.domain.campaigns import Safeguards
from services.credits.domain.errors import (
    AlreadyDecided,
    AlreadySigned,
    ApprovalNeeded,
    ApprovalPending,
    DailyLimit,
    NotOwnRequest,
    NotReversible,
    OwnRequest,
    PersonNeeded,
    RequestExpired,
)
from services.credits.domain.grants import Adjustment
from services.credits.domain.ledger import AccountKind
from services.credits.use_cases.approvals import (
    check_safeguards,
    check_withdrawal,
    propose_operation,
)
from services.credits.use_cases.grants import propose_grants, sign_grants
from services.credits.use_cases.pledges import pledge_hours, withdraw_pledge
from tests.builders.approvals import (
    APPROVED,
    WHY,
    ask,
    compute,
    decide,
    grant_some,
    make_request,
)
from tests.builders.credits import IN_SPRING, Scene


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
            SigningOfGrants(UUID(int=1), (), date(2026, 6, 30)),
            ReversalOfTransfer(UUID(int=1)),
            ReversalOfTransfer(UUID(int=1), 30),
            WithdrawalForContributor(UUID(int=1), 30),
            CarryInOfCredit(UUID(int=1), UUID(int=2)),
            CarryInOfCredit(UUID(int=1), UUID(int=2), date(2026, 6, 30)),
        ],
    )
    def test_is_read_back_as_it_was(self, operation: Operation) -> None:
        assert decode_operation(operation.kind, encode_operation(operation)) == operation

    def test_every_fact_changes_the_digest(self) -> None:
        operations = [ReversalOfTransfer(UUID(int=1)), ReversalOfTransfer(UUID(int=2)), ReversalOfTransfer(UUID(int=1), 30)]
        digests = {digest_operation(one, campaign_id=UUID(int=9), basis=basis) for one in operations for basis in ({}, {"a": 1})}
        assert len(digests) == 6

    @pytest.mark.parametrize("operation", [SigningOfGrants(UUID(int=1)), CarryInOfCredit(UUID(int=1), UUID(int=2))])
    def test_an_expiry_changes_the_digest_and_none_keeps_that_of_before(
        self, operation: SigningOfGrants | CarryInOfCredit
    ) -> None:
        days = [None, date(2026, 6, 30), date(2026, 7, 1)]
        asked = [replace(operation, expires_on=day) for day in days]
        assert len({digest_operation(one, campaign_id=UUID(int=9), basis={}) for one in asked}) == 3
        assert "expires_on" not in encode_operation(asked[0])


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


class TestSlices:
    """What persons move alone is added up, whoever they are and whenever it was."""

    async def take_back(self, scene: Scene, pledge_id: UUID, minutes: int, *, caller: Caller | None = None) -> bool:
        """As the route does; whether it waits for a second person."""
        async with scene.work(caller) as work:
            if await check_withdrawal(work, pledge_id, minutes=minutes, reason=WHY) is not None:
                return True
            await withdraw_pledge(work, pledge_id, minutes=minutes, reason=WHY)
        return False

    async def test_of_one_contributors_pledges_do_not_pass(self, guarded: Scene) -> None:
        contributor = await guarded.pledge(600)
        await guarded.pledge(600, contributor_id=contributor)
        await guarded.pledge(600)  # another's: a matter of its own
        first, second, other = [row["id"] for row in await guarded.fetch("SELECT id FROM pledge ORDER BY id")]
        assert not await self.take_back(guarded, first, 40)
        guarded.now += timedelta(days=40)
        assert not await self.take_back(guarded, second, 20, caller=guarded.make_officer())
        assert await self.take_back(guarded, second, 1, caller=guarded.make_officer())
        assert not await self.take_back(guarded, other, 60)
        (row,) = await guarded.fetch("SELECT ref FROM pledge WHERE id = $1", first)
        with pytest.raises(ApprovalNeeded):
            await guarded.pledge(550, ref=row["ref"], contributor_id=contributor)

    async def test_that_come_at_once_do_not_pass_together(self, guarded: Scene) -> None:
        await guarded.pledge(600)
        (pledge,) = await guarded.fetch("SELECT id FROM pledge")
        slices = (self.take_back(guarded, pledge["id"], 40, caller=guarded.make_officer()) for _ in range(4))
        results = await asyncio.gather(*slices, return_exceptions=True)
        assert sum(result is False for result in results) == 1
        assert all(result in {True, False} or isinstance(result, (ApprovalNeeded, ApprovalPending)) for result in results)
        assert await guarded.balance(AccountKind.POOL) == 560

    async def test_count_neither_what_contributors_take_back_nor_what_two_decided(self, guarded: Scene) -> None:
        contributor = await guarded.pledge(900, ref="p1")
        await lower_own(guarded, contributor, 600)
        (pledge,) = await guarded.fetch("SELECT id FROM pledge")
        await decide(guarded, await ask(guarded, WithdrawalForContributor(pledge["id"], 200)), guarded.make_officer())
        assert not await self.take_back(guarded, pledge["id"], 60)
        assert await guarded.balance(AccountKind.POOL) == 340

    async def test_of_grants_do_not_pass(self, guarded: Scene) -> None:
        await guarded.pledge(6000)
        await grant_some(guarded, 45)
        await grant_some(guarded, 15, caller=guarded.make_officer())
        association = await guarded.admit(entitled_minutes=15)
        async with guarded.work() as work:
            proposal_id = await propose_grants(work, guarded.campaign_id)
        request = await ask(guarded, SigningOfGrants(proposal_id))
        assert request.minutes == 15
        with pytest.raises(ApprovalNeeded):
            async with guarded.work() as work:
                await sign_grants(work, guarded.campaign_id, proposal_id=proposal_id, adjustments=())
        await decide(guarded, request, guarded.make_officer())
        assert await guarded.balance(AccountKind.CREDIT, association) == 15

    async def test_of_grants_do_not_count_what_two_signed(self, guarded: Scene) -> None:
        await decide(guarded, await ask(guarded, SigningOfGrants(await compute(guarded))), guarded.make_officer())
        await guarded.pledge(60)
        await grant_some(guarded, 60)
        assert await guarded.balance(AccountKind.POOL) == 0


class TestProposeOperation:
    async def test_may_be_asked_for_where_no_rule_demands_it(self, scene: Scene) -> None:
        proposal_id = await compute(scene)
        async with scene.work() as work:
            request = await propose_operation(work, SigningOfGrants(proposal_id), reason="Je préfère un second regard")
        await decide(scene, request, scene.make_officer())
        assert await scene.balance(AccountKind.POOL) == 0


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
        contributor = await guarded.pledge(600, ref="p1")
        with pytest.raises(ApprovalNeeded, match="/withdrawals"):
            await guarded.pledge(500, ref="p1", contributor_id=contributor)
        await guarded.pledge(540, ref="p1", contributor_id=contributor)
        await guarded.pledge(6000, ref="p1", contributor_id=contributor)
        await guarded.pledge(1, ref="new")
        assert await guarded.balance(AccountKind.POOL) == 6001

    async def test_contributors_lower_their_own(self, guarded: Scene) -> None:
        contributor = await guarded.pledge(600, ref="p1")
        await lower_own(guarded, contributor, 100)
        assert await guarded.balance(AccountKind.POOL) == 100

    async def test_what_was_last_said_lowers_a_pledge_that_is_worth_more_by_now(self, guarded: Scene) -> None:
        """The contributor took hours back, the town undid that: the same figure with another note takes them anew."""
        contributor = await guarded.pledge(600, ref="p1")
        await lower_own(guarded, contributor, 300)
        (withdrawn,) = await guarded.fetch("SELECT id FROM transfer WHERE kind = 'withdraw'")
        await decide(guarded, await ask(guarded, ReversalOfTransfer(withdrawn["id"])), guarded.make_officer())
        await guarded.pledge(300, ref="p1", contributor_id=contributor)  # changes nothing
        with pytest.raises(ApprovalNeeded):
            async with guarded.work() as work:
                await pledge_hours(
                    work, guarded.campaign_id, ref="p1", contributor_id=contributor, minutes=300, note="Selon l'entreprise"
                )

    async def test_a_raise_meanwhile_makes_no_lowering_pass(self, guarded: Scene) -> None:
        """What the file's own figure takes back is judged on the pledge as it is when it is locked."""
        contributor = await guarded.pledge(600, ref="p1")
        me = Caller(guarded.territory, "c", None, contributor, frozenset({Role.VOLUNTEER}))
        file = None
        async with guarded.work(me) as raising:
            await pledge_hours(raising, guarded.campaign_id, ref="p1", contributor_id=contributor, minutes=6000, note="")
            file = asyncio.create_task(guarded.pledge(590, ref="p1", contributor_id=contributor))
            await until_one_waits(guarded)
        with pytest.raises(ApprovalNeeded) as refused:
            await file
        assert refused.value.members["minutes"] == 5410
        assert await guarded.balance(AccountKind.POOL) == 6000


async def lower_own(scene: Scene, contributor: UUID, minutes: int) -> None:
    citizen = Caller(scene.territory, "c", None, contributor, frozenset({Role.VOLUNTEER}))
    async with scene.work(citizen) as work:
        await pledge_hours(work, scene.campaign_id, ref="p1", contributor_id=contributor, minutes=minutes, note="")


async def until_one_waits(scene: Scene) -> None:
    """Until somebody waits for a lock of this database."""
    for _ in range(2000):
        (row,) = await scene.fetch(
            "SELECT count(*) AS waiting FROM pg_locks WHERE NOT granted AND pid IN"
            " (SELECT pid FROM pg_stat_activity WHERE datname = current_database())"
        )
        if row["waiting"]:
            return
    raise AssertionError("nobody waits")
