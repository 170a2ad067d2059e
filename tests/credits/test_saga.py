"""The mission saga on a real ledger: reserve, release, settle, whatever is repeated and whatever comes first."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from kernel.events.credits import (
    CreditExpired,
    CreditReleased,
    CreditReserved,
    MissionSettled,
    ReservationRefused,
    SettlementRefused,
)
from kernel.events.matching import MissionAgreed, MissionProposed
from kernel.ids import new_id
from services.credits.domain.campaigns import ExpiryRule
from services.credits.domain.errors import MissionUnknown, NoSuchMinutes
from services.credits.domain.ledger import AccountKind
from services.credits.store import missions as store
from tests.builders.credits import Scene


class TestReserveCredit:
    async def test_sets_the_minutes_aside(self, scene: Scene) -> None:
        association, contributor = await scene.fund(credit=600)
        agreed = await scene.agree(association, contributor, 150)
        assert await scene.balance(AccountKind.CREDIT, association) == 450
        assert await scene.balance(AccountKind.HELD, association) == 150
        assert [event.mission_id for event in await scene.published(CreditReserved)] == [agreed.mission_id]

    async def test_refuses_overdraft_and_keeps_the_refusal(self, scene: Scene) -> None:
        association, contributor = await scene.fund(credit=60, promise=600)
        agreed = await scene.agree(association, contributor, 90)
        (refused,) = await scene.published(ReservationRefused)
        assert (refused.mission_id, refused.code, refused.missing_minutes) == (agreed.mission_id, "not-enough-credit", 30)
        (kept,) = await scene.fetch("SELECT * FROM refusal")
        assert (kept["code"], kept["asked_minutes"], kept["asked_by"]) == ("not-enough-credit", 90, "somebody")
        assert await scene.balance(AccountKind.CREDIT, association) == 60

    async def test_refuses_more_than_the_contributor_promised(self, scene: Scene) -> None:
        association, contributor = await scene.fund(credit=300)
        other = await scene.pledge(120)
        await scene.agree(association, other, 90)
        await scene.agree(association, other, 60)
        (refused,) = await scene.published(ReservationRefused)
        assert (refused.code, refused.missing_minutes) == ("pledge-exhausted", 30)
        await scene.agree(association, contributor, 60)
        assert await scene.balance(AccountKind.HELD, association) == 150

    async def test_refuses_a_contributor_without_a_promise(self, scene: Scene) -> None:
        association, _ = await scene.fund(credit=300)
        await scene.agree(association, new_id(), 60)
        (refused,) = await scene.published(ReservationRefused)
        assert (refused.code, refused.missing_minutes) == ("pledge-exhausted", 60)

    async def test_refuses_who_is_not_on_the_panel(self, scene: Scene) -> None:
        _, contributor = await scene.fund(credit=300)
        await scene.agree(await scene.record_actor(), contributor, 60)
        assert [refused.code for refused in await scene.published(ReservationRefused)] == ["association-not-on-panel"]

    async def test_refuses_for_a_campaign_that_is_closed_over_or_unknown(self, scene: Scene) -> None:
        association, contributor = await scene.fund(credit=300)
        scene.now = datetime(2027, 1, 1, 12, 0, tzinfo=UTC)
        await scene.agree(association, contributor, 60)
        await scene.close()
        await scene.agree(association, contributor, 60)
        scene.campaign_id = new_id()
        await scene.agree(association, contributor, 60)
        assert [refused.code for refused in await scene.published(ReservationRefused)] == ["campaign-not-open"] * 3

    async def test_happens_once_when_redelivered(self, scene: Scene) -> None:
        association, contributor = await scene.fund(credit=600)
        agreed = await scene.agree(association, contributor, 150)
        await scene.handle(agreed)
        assert await scene.balance(AccountKind.HELD, association) == 150
        assert len(await scene.published(CreditReserved)) == 1

    async def test_never_overdraws_however_many_ask_at_once(self, scene: Scene) -> None:
        association, contributor = await scene.fund(credit=600, promise=6000)
        await asyncio.gather(*(scene.agree(association, contributor, 45) for _ in range(40)))
        # 13 × 45 = 585: one more would overdraw.
        assert len(await scene.published(CreditReserved)) == 13
        assert len(await scene.published(ReservationRefused)) == 27
        assert await scene.balance(AccountKind.CREDIT, association) == 15
        assert await scene.balance(AccountKind.HELD, association) == 585

    async def test_never_overdraws_a_promise_shared_by_associations(self, scene: Scene) -> None:
        contributor = await scene.pledge(600)
        await scene.pledge(6000)
        associations = [await scene.admit(entitled_minutes=600) for _ in range(4)]
        await scene.sign()
        await asyncio.gather(*(scene.agree(associations[i % 4], contributor, 45) for i in range(32)))
        assert len(await scene.published(CreditReserved)) == 13
        assert {refused.code for refused in await scene.published(ReservationRefused)} == {"pledge-exhausted"}

    async def test_happens_once_when_delivered_at_once(self, scene: Scene) -> None:
        association, contributor = await scene.fund(credit=600)
        agreed = scene.agreed(association, contributor, 150)
        await asyncio.gather(*(scene.handle(agreed) for _ in range(8)))
        assert await scene.balance(AccountKind.HELD, association) == 150

    async def test_refuses_minutes_that_no_mission_has(self, scene: Scene) -> None:
        association, contributor = await scene.fund(credit=600)
        with pytest.raises(NoSuchMinutes):
            await scene.agree(association, contributor, 0)

    async def test_notes_who_why_and_when(self, scene: Scene) -> None:
        association, contributor = await scene.fund(credit=600)
        event = scene.agreed(association, contributor, 60)
        await scene.handle(event, actorid="la-presidente")
        (transfer,) = await scene.fetch("SELECT * FROM transfer WHERE kind = 'reserve'")
        assert (transfer["who"], transfer["effective_at"], transfer["mission_id"]) == (
            "la-presidente",
            scene.now,
            event.mission_id,
        )
        assert transfer["why"].startswith("Mission convenue")


class TestReleaseCredit:
    async def test_gives_the_hold_back(self, scene: Scene) -> None:
        association, contributor = await scene.fund(credit=600)
        agreed = await scene.agree(association, contributor, 150)
        await scene.handle(scene.cancelled(agreed))
        assert await scene.balance(AccountKind.CREDIT, association) == 600
        (released,) = await scene.published(CreditReleased)
        assert (released.minutes, released.reason) == (150, "Le local est fermé")

    async def test_leaves_no_hold_when_it_comes_first(self, scene: Scene) -> None:
        association, contributor = await scene.fund(credit=600)
        agreed = scene.agreed(association, contributor, 150)
        await scene.handle(scene.cancelled(agreed))
        await scene.handle(agreed)
        assert await scene.balance(AccountKind.HELD, association) == 0
        assert await scene.published(CreditReserved) == []

    async def test_is_harmless_when_repeated_or_too_late(self, scene: Scene) -> None:
        association, contributor = await scene.fund(credit=600)
        agreed = await scene.agree(association, contributor, 150)
        await scene.handle(scene.validated(agreed, 120))
        await scene.handle(scene.cancelled(agreed))
        await scene.handle(scene.cancelled(agreed))
        assert await scene.balance(AccountKind.SERVED, association) == 120
        assert await scene.published(CreditReleased) == []

    async def test_is_harmless_after_a_refusal(self, scene: Scene) -> None:
        association, contributor = await scene.fund(credit=60, promise=600)
        agreed = await scene.agree(association, contributor, 90)
        await scene.handle(scene.cancelled(agreed))
        assert await scene.balance(AccountKind.CREDIT, association) == 60

    @pytest.mark.parametrize(
        ("rule", "kind", "outcome"),
        [
            (ExpiryRule.RETURN, AccountKind.POOL, "returned"),
            (ExpiryRule.LAPSE, AccountKind.LAPSED, "lapsed"),
            (ExpiryRule.CARRY_OVER, AccountKind.CARRIED, "carried_over"),
        ],
    )
    async def test_expires_at_once_after_the_closure(
        self, scene: Scene, rule: ExpiryRule, kind: AccountKind, outcome: str
    ) -> None:
        await scene.start(expiry=rule)
        association, contributor = await scene.fund(credit=600)
        agreed = await scene.agree(association, contributor, 150)
        await scene.close()
        await scene.handle(scene.cancelled(agreed))
        expired = await scene.published(CreditExpired)
        assert [(event.minutes, event.outcome) for event in expired] == [(450, outcome), (150, outcome)]
        assert await scene.balance(kind, association if kind is AccountKind.CARRIED else None) == 600
        assert (await scene.books()).sum_minutes == 0


class TestSettleMission:
    async def test_spends_what_was_served_and_gives_the_rest_back(self, scene: Scene) -> None:
        association, contributor = await scene.fund(credit=600)
        agreed = await scene.agree(association, contributor, 150)
        await scene.handle(scene.validated(agreed, 120))
        (settled,) = await scene.published(MissionSettled)
        assert (settled.served_minutes, settled.released_minutes, settled.contributor_id) == (120, 30, contributor)
        assert (await scene.books()).by_kind == {
            "promised": -480, "delivered": -120, "pool": 0, "credit": 480, "held": 0, "served": 120, "lapsed": 0, "carried": 0,
        }  # fmt: skip

    async def test_refuses_more_than_held_and_moves_nothing(self, scene: Scene) -> None:
        association, contributor = await scene.fund(credit=600)
        agreed = await scene.agree(association, contributor, 60)
        await scene.handle(scene.validated(agreed, 75))
        (refused,) = await scene.published(SettlementRefused)
        assert refused.code == "more-than-held"
        assert await scene.balance(AccountKind.HELD, association) == 60
        await scene.handle(scene.validated(agreed, 60))
        assert await scene.balance(AccountKind.SERVED, association) == 60

    async def test_happens_once_when_redelivered(self, scene: Scene) -> None:
        association, contributor = await scene.fund(credit=600)
        agreed = await scene.agree(association, contributor, 150)
        for _ in range(3):
            await scene.handle(scene.validated(agreed, 120))
        assert await scene.balance(AccountKind.SERVED, association) == 120
        assert len(await scene.published(MissionSettled)) == 1

    async def test_with_nothing_served_gives_all_back(self, scene: Scene) -> None:
        association, contributor = await scene.fund(credit=600)
        agreed = await scene.agree(association, contributor, 150)
        await scene.handle(scene.validated(agreed, 0))
        assert await scene.balance(AccountKind.CREDIT, association) == 600
        (settled,) = await scene.published(MissionSettled)
        assert (settled.served_minutes, settled.released_minutes) == (0, 150)

    async def test_refuses_a_cancelled_mission(self, scene: Scene) -> None:
        association, contributor = await scene.fund(credit=600)
        agreed = await scene.agree(association, contributor, 150)
        await scene.handle(scene.cancelled(agreed))
        await scene.handle(scene.validated(agreed, 120))
        assert [refused.code for refused in await scene.published(SettlementRefused)] == ["nothing-held"]

    async def test_waits_for_an_agreement_that_is_late(self, scene: Scene) -> None:
        association, contributor = await scene.fund(credit=600)
        agreed = scene.agreed(association, contributor, 150)
        with pytest.raises(MissionUnknown):
            await scene.handle(scene.validated(agreed, 120))

    async def test_pays_a_mission_that_outlives_its_campaign(self, scene: Scene) -> None:
        association, contributor = await scene.fund(credit=600)
        agreed = await scene.agree(association, contributor, 150)
        await scene.close()
        await scene.handle(scene.validated(agreed, 120))
        assert await scene.balance(AccountKind.SERVED, association) == 120
        assert await scene.balance(AccountKind.CREDIT, association) == 0
        assert await scene.balance(AccountKind.POOL) == 480


class TestToldTogether:
    """What the consumer finds in one batch is decided at once, and as if one after the other."""

    async def test_each_mission_comes_to_its_own_end(self, scene: Scene) -> None:
        association, contributor = await scene.fund(credit=600)
        served, off, running, greedy = [scene.agreed(association, contributor, minutes) for minutes in (120, 90, 60, 400)]
        events = [
            served, off, proposed(running), running, greedy, scene.validated(served, 75), scene.cancelled(off), served,
            scene.validated(running, 90),
        ]  # fmt: skip
        await scene.handle(*events)
        rows = await scene.fetch("SELECT mission_id, state FROM hold")
        assert {row["mission_id"]: row["state"] for row in rows} == {
            served.mission_id: "settled", off.mission_id: "released", running.mission_id: "held", greedy.mission_id: "refused",
        }  # fmt: skip
        kinds = (AccountKind.CREDIT, AccountKind.HELD, AccountKind.SERVED)
        assert [await scene.balance(kind, association) for kind in kinds] == [465, 60, 75]
        [missing] = await scene.published(ReservationRefused)
        assert (missing.mission_id, missing.missing_minutes) == (greedy.mission_id, 70)
        assert [refused.mission_id for refused in await scene.published(SettlementRefused)] == [running.mission_id]
        assert len(await scene.published(CreditReserved)) == 3
        assert len(await scene.published(MissionSettled)) == 1
        assert [row["title"] for row in await scene.fetch("SELECT title FROM mission")] == ["Refonte du site"]

    async def test_one_that_is_wrong_in_itself_takes_all_back(self, scene: Scene) -> None:
        """The consumer then handles each alone, so that it fails alone."""
        association, contributor = await scene.fund(credit=600)
        agreed, unheard = (scene.agreed(association, contributor, 60) for _ in range(2))
        with pytest.raises(MissionUnknown):
            await scene.handle(proposed(agreed), agreed, scene.validated(unheard, 30))
        assert await scene.balance(AccountKind.HELD, association) == 0
        assert await scene.fetch("SELECT FROM mission") == []
        assert await scene.published(CreditReserved) == []

    async def test_all_are_loaded_by_one_call_and_saved_by_another(self, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
        association, contributor = await scene.fund(credit=600)
        calls: list[str] = []
        for name in ("load", "save"):
            monkeypatch.setattr(store, name, counted(calls, name, getattr(store, name)))
        await scene.handle(*(scene.agreed(association, contributor, 15) for _ in range(20)))
        assert calls == ["load", "save"]
        assert await scene.balance(AccountKind.HELD, association) == 300


def counted(calls: list[str], name: str, function: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def called(*arguments: Any, **named: Any) -> Any:
        calls.append(name)
        return await function(*arguments, **named)

    return called


def proposed(agreed: MissionAgreed) -> MissionProposed:
    return MissionProposed(
        mission_id=agreed.mission_id,
        campaign_id=agreed.campaign_id,
        association_id=agreed.association_id,
        contributor_id=agreed.contributor_id,
        need_id=new_id(),
        offer_id=new_id(),
        volunteer_id=new_id(),
        company_id=None,
        title="Refonte du site",
        minutes=agreed.minutes,
        reasons=[],
    )
