"""What a bound or a safeguard refuses is kept, though its own transaction leaves nothing."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr

from kernel.auth import Caller, Role
from kernel.database import Database
from kernel.ids import new_id
from kernel.work import Work
from services.credits.auditing.runs import run_audit
from services.credits.domain import errors
from services.credits.domain.approvals import ReversalOfTransfer, SigningOfGrants, WithdrawalForContributor
from services.credits.domain.errors import (
    ApprovalNeeded,
    BadInput,
    CampaignOver,
    ComputationOfAnother,
    DailyLimit,
    Forbidden,
    NotEnoughCredit,
    NothingCarried,
    OwnRequest,
    PersonNeeded,
    PledgeCommitted,
    PledgeTooSmall,
)
from services.credits.domain.grants import Adjustment
from services.credits.domain.refusals import WHY_REFUSED, why_refused
from services.credits.domain.wording import hours_text
from services.credits.settings import Settings
from services.credits.use_cases.approvals import check_safeguards, check_withdrawal, propose_operation
from services.credits.use_cases.expiries import carry_credit_in
from services.credits.use_cases.grants import require_computation, sign_grants
from services.credits.use_cases.pledges import pledge_hours, withdraw_pledge
from services.credits.use_cases.reversals import reverse_transfer
from tests.builders.approvals import Start, ask, carry_over, compute, decide
from tests.builders.bundles import verify_ledger
from tests.builders.credits import Scene
from tests.builders.seals import make_sealer
from tests.support.clients import PUBLIC_KEYS

WHY = "Erreur de saisie"


async def kept(scene: Scene) -> list[tuple[Any, ...]]:
    rows = await scene.fetch(
        "SELECT subject, code, asked_minutes, missing_minutes, association_id, contributor_id FROM refusal ORDER BY id"
    )
    return [tuple(row) for row in rows]


async def pledge_of(scene: Scene, contributor_id: UUID) -> UUID:
    (row,) = await scene.fetch("SELECT id FROM pledge WHERE contributor_id = $1", contributor_id)
    found: UUID = row["id"]
    return found


async def refused(
    scene: Scene, error: type[Exception], run: Callable[[Work], Awaitable[object]], *, caller: Caller | None = None
) -> None:
    with pytest.raises(error):
        async with scene.work(caller) as work:
            await run(work)


class TestReasons:
    def test_every_refusal_has_its_french_words(self) -> None:
        codes = {found.code for found in vars(errors).values() if isinstance(found, type) and issubclass(found, errors.Refused)}
        assert codes - {"refused"} <= WHY_REFUSED.keys()

    @pytest.mark.parametrize(
        ("code", "missing_minutes", "reason"),
        [
            ("campaign-over", 0, "Campagne terminée."),
            ("not-enough-credit", 90, f"Crédit insuffisant : il manque {hours_text(90)}."),
            ("daily-limit", 30, f"Plafond du jour atteint : {hours_text(30)} de trop."),
            ("a-code-of-later", 0, "A-code-of-later."),
        ],
    )
    def test_a_sentence_says_by_how_much(self, code: str, missing_minutes: int, reason: str) -> None:
        assert why_refused(code, missing_minutes=missing_minutes) == reason

    def test_a_sentence_says_where_minutes_are_missing(self) -> None:
        said = why_refused("not-enough-credit", missing_minutes=90, account=f"pool/{new_id()}")
        assert said == f"Enveloppe : il manque {hours_text(90)}."


class TestWithdrawals:
    async def test_past_what_the_pool_holds(self, scene: Scene) -> None:
        _, contributor = await scene.fund(credit=600, promise=600)
        pledge_id = await pledge_of(scene, contributor)
        await refused(scene, NotEnoughCredit, lambda work: withdraw_pledge(work, pledge_id, minutes=60, reason=WHY))
        assert await kept(scene) == [("withdrawal", "not-enough-credit", 60, 60, None, contributor)]
        (row,) = await scene.fetch("SELECT reason, asked_by, recorded_at, campaign_id, account FROM refusal")
        assert row["account"] == f"pool/{scene.campaign_id}"
        assert (row["asked_by"], row["recorded_at"]) == (str(scene.officer.member_id), scene.now)
        assert row["campaign_id"] == scene.campaign_id
        assert row["reason"] == f"Enveloppe : il manque {hours_text(60)}."

    async def test_of_contributors_themselves(self, scene: Scene) -> None:
        me = new_id()
        await scene.pledge(120, contributor_id=me)
        pledge_id = await pledge_of(scene, me)
        caller = Caller(scene.territory, "ada", None, me, frozenset({Role.VOLUNTEER}))
        await refused(
            scene, PledgeTooSmall, lambda work: withdraw_pledge(work, pledge_id, minutes=150, reason=WHY), caller=caller
        )
        assert await kept(scene) == [("withdrawal", "pledge-too-small", 150, 30, None, me)]
        (row,) = await scene.fetch("SELECT account FROM refusal")
        assert row["account"] is None  # the pledge is too small, whatever the account holds

    async def test_of_what_missions_count_on(self, scene: Scene) -> None:
        association, contributor = await scene.fund(credit=600, promise=600)
        await scene.agree(association, contributor, 600)
        pledge_id = await pledge_of(scene, contributor)
        await refused(scene, PledgeCommitted, lambda work: withdraw_pledge(work, pledge_id, minutes=45, reason=WHY))
        assert await kept(scene) == [("withdrawal", "pledge-committed", 45, 45, None, contributor)]

    async def test_not_those_that_are_not_allowed(self, scene: Scene) -> None:
        contributor = await scene.pledge(120)
        pledge_id = await pledge_of(scene, contributor)
        stranger = Caller(scene.territory, "eve", None, new_id(), frozenset({Role.VOLUNTEER}))
        await refused(scene, Forbidden, lambda work: withdraw_pledge(work, pledge_id, minutes=60, reason=WHY), caller=stranger)
        assert await kept(scene) == []


class TestPledges:
    async def test_lowered_past_what_the_pool_holds(self, scene: Scene) -> None:
        _, contributor = await scene.fund(credit=600, promise=600)

        async def lower(work: Work) -> None:
            (row,) = await work.driver.fetch("SELECT ref FROM pledge")
            await pledge_hours(work, scene.campaign_id, ref=row["ref"], contributor_id=contributor, minutes=400, note="")

        await refused(scene, NotEnoughCredit, lower)
        assert await kept(scene) == [("withdrawal", "not-enough-credit", 200, 200, None, contributor)]

    async def test_to_a_campaign_that_is_over(self, scene: Scene) -> None:
        await scene.close()
        contributor = new_id()
        await refused(
            scene,
            CampaignOver,
            lambda work: pledge_hours(work, scene.campaign_id, ref="p1", contributor_id=contributor, minutes=90, note=""),
        )
        assert [row[:3] for row in await kept(scene)] == [("pledge", "campaign-over", 90)]


class TestGrants:
    async def test_past_the_pool(self, scene: Scene) -> None:
        proposal_id = await compute(scene)
        (association,) = [row["association_id"] for row in await scene.fetch("SELECT association_id FROM panel")]
        more = (Adjustment(association, 900, "Public prioritaire"),)
        operation = SigningOfGrants(proposal_id, more)

        async def sign(work: Work) -> None:
            assert await check_safeguards(work, operation, reason=WHY) is None
            await sign_grants(work, scene.campaign_id, proposal_id=proposal_id, adjustments=more)

        await refused(scene, NotEnoughCredit, sign)
        assert await kept(scene) == [("grants", "not-enough-credit", 900, 300, None, None)]
        assert await scene.fetch("SELECT FROM grant_signature") == []

    async def test_under_the_digest_of_another_computation(self, scene: Scene) -> None:
        proposal_id = await compute(scene)
        other = "0" * 64
        await refused(
            scene, ComputationOfAnother, lambda work: require_computation(work, scene.campaign_id, proposal_id, digest=other)
        )
        assert await kept(scene) == [("grants", "computation-of-another", 600, 0, None, None)]


class TestReversals:
    async def test_past_a_bound(self, scene: Scene) -> None:
        association, contributor = await scene.fund(credit=600)
        await scene.agree(association, contributor, 600)
        (grant,) = await scene.fetch("SELECT id FROM transfer WHERE kind = 'grant'")

        async def undo(work: Work) -> None:
            assert await check_safeguards(work, ReversalOfTransfer(grant["id"], 60), reason=WHY) is None
            await reverse_transfer(work, grant["id"], reason=WHY, minutes=60)

        await refused(scene, NotEnoughCredit, undo)
        assert await kept(scene) == [("reversal", "not-enough-credit", 60, 60, association, None)]

    async def test_not_what_cannot_be_understood(self, scene: Scene) -> None:
        await scene.fund(credit=600)
        (grant,) = await scene.fetch("SELECT id FROM transfer WHERE kind = 'grant'")

        async def undo(work: Work) -> None:
            await check_safeguards(work, ReversalOfTransfer(grant["id"], 9000), reason=WHY)
            await reverse_transfer(work, grant["id"], reason=WHY, minutes=9000)

        await refused(scene, BadInput, undo)
        assert await kept(scene) == []


class TestCarryIns:
    async def test_of_nothing(self, scene: Scene) -> None:
        carry_in = await carry_over(scene)

        async def bring(work: Work) -> None:
            assert await check_safeguards(work, carry_in, reason=WHY) is None
            await carry_credit_in(work, scene.campaign_id, from_campaign_id=carry_in.from_campaign_id)

        async with scene.work() as work:
            await bring(work)
        await refused(scene, NothingCarried, bring)
        assert await kept(scene) == [("carry_in", "nothing-carried", 0, 0, None, None)]


class TestSafeguards:
    async def test_the_days_limit(self, start: Start) -> None:
        scene = await start(limit=100)
        contributor = await scene.pledge(600)
        pledge_id = await pledge_of(scene, contributor)
        await refused(scene, DailyLimit, lambda work: check_withdrawal(work, pledge_id, minutes=160, reason=WHY))
        assert await kept(scene) == [("withdrawal", "daily-limit", 160, 60, None, contributor)]

    async def test_a_proposal_by_nobody_in_particular(self, guarded: Scene) -> None:
        contributor = await guarded.pledge(600)
        operation = WithdrawalForContributor(await pledge_of(guarded, contributor), 120)
        program = Caller(guarded.territory, "mairie", None, None, frozenset({Role.OFFICER}))
        await refused(guarded, PersonNeeded, lambda work: propose_operation(work, operation, reason=WHY), caller=program)
        assert await kept(guarded) == [("withdrawal", "person-needed", 120, 0, None, contributor)]

    async def test_a_pledge_lowered_past_the_threshold(self, guarded: Scene) -> None:
        contributor = await guarded.pledge(600, ref="p1")
        with pytest.raises(ApprovalNeeded):
            await guarded.pledge(500, ref="p1", contributor_id=contributor)
        assert await kept(guarded) == [("withdrawal", "approval-needed", 100, 0, None, contributor)]

    async def test_an_approval_of_ones_own(self, guarded: Scene) -> None:
        contributor = await guarded.pledge(600)
        request = await ask(guarded, WithdrawalForContributor(await pledge_of(guarded, contributor), 120))
        with pytest.raises(OwnRequest):
            await decide(guarded, request, guarded.officer)
        assert [row[:3] for row in await kept(guarded)] == [("withdrawal", "own-request", 120)]


class TestMissions:
    async def test_a_validation_after_nothing_but_a_cancellation(self, scene: Scene) -> None:
        """The mark of the cancellation names no contributor; neither does the refusal."""
        association, contributor = await scene.fund(credit=600)
        agreed = scene.agreed(association, contributor, 120)
        await scene.handle(scene.cancelled(agreed))
        await scene.handle(scene.validated(agreed, 60))
        assert await kept(scene) == [("settlement", "nothing-held", 60, 60, association, None)]


class TestSeals:
    async def test_cover_them_and_the_auditor_finds_no_difference(
        self, scene: Scene, database: Database, service_url: Callable[[str], str], tmp_path: Path
    ) -> None:
        _, contributor = await scene.fund(credit=600, promise=600)
        pledge_id = await pledge_of(scene, contributor)
        await refused(scene, NotEnoughCredit, lambda work: withdraw_pledge(work, pledge_id, minutes=60, reason=WHY))
        settings = Settings(database_url=SecretStr(service_url("credits")), internal_public_keys=PUBLIC_KEYS)
        async with scene.work() as work:
            assert (await run_audit(work, settings=settings)).difference_count == 0
        await make_sealer().seal(database, scene.territory)
        assert (await verify_ledger(database, scene.territory, tmp_path, head=None)).findings == []
