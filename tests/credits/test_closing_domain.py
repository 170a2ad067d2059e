"""The close of a campaign, decided without a database."""

from datetime import date, timedelta
from uuid import UUID

import pytest

from kernel.ids import new_id
from services.credits.domain import closings as domain
from services.credits.domain.campaigns import CampaignState, ExpiryRule
from services.credits.domain.closing_errors import StepTooEarly
from services.credits.domain.closing_figures import Flow, build_figures
from services.credits.domain.closing_plan import Position, decide_plan, sum_by_kind
from services.credits.domain.closing_report import FrozenText
from services.credits.domain.closings import Closing, Finding, Step, StepState, Try, Unspent, Weight, list_in_the_way
from services.credits.domain.digests import canonical_json
from services.credits.domain.holds import Hold, HoldPart, HoldState
from services.credits.domain.ledger import Account, AccountKey, AccountKind, TransferKind
from services.credits.domain.lots import Lot
from tests.builders.credits import IN_SPRING, make_campaign

TODAY = IN_SPRING.date()


def make_finding(code: str = "notice-missing", *, weight: Weight = Weight.WARNING, subject_id: UUID | None = None) -> Finding:
    return Finding(code, weight, "Quelque chose.", "Faire quelque chose.", subject_id)


def make_try(step: Step, *, state: StepState = StepState.DONE, number: int = 1, accepted: tuple[str, ...] = ()) -> Try:
    return Try(number, step, state, {}, (), accepted, "somebody", IN_SPRING)


def make_closing(*tries: Try) -> Closing:
    return Closing(new_id(), "Fin", "somebody", IN_SPRING, tries)


def make_held(campaign_id: UUID, lot: Lot, *, minutes: int, ends_on: date | None) -> Hold:
    parts = (HoldPart(1, lot.id, minutes),)
    return Hold(new_id(), campaign_id, lot.association_id, new_id(), minutes, 0, ends_on, HoldState.HELD, parts)


class TestInTheWay:
    def test_what_blocks_cannot_be_accepted(self) -> None:
        finding = make_finding("books-differ", weight=Weight.BLOCKING)
        assert list_in_the_way([finding], accepted={"books-differ"}) == [finding]

    def test_a_warning_is_accepted_by_its_key_or_its_code(self) -> None:
        one, other = make_finding(subject_id=new_id()), make_finding(subject_id=new_id())
        assert list_in_the_way([one, other], accepted={one.key}) == [other]
        assert list_in_the_way([one, other], accepted={"notice-missing"}) == []

    def test_a_remark_stands_in_nobodys_way(self) -> None:
        assert list_in_the_way([make_finding(weight=Weight.INFO)], accepted=()) == []


class TestSteps:
    def test_come_in_one_order(self) -> None:
        closing = make_closing(make_try(Step.CHECK))
        assert closing.next_step is Step.NOTICES
        with pytest.raises(StepTooEarly, match="notices"):
            closing.require_next(Step.EXPIRE)

    def test_a_blocked_step_is_still_the_next(self) -> None:
        assert make_closing(make_try(Step.CHECK, state=StepState.BLOCKED)).next_step is Step.CHECK

    def test_all_done_leaves_none(self) -> None:
        assert make_closing(*(make_try(step) for step in Step)).next_step is None

    def test_remembers_all_that_was_accepted(self) -> None:
        first = make_try(Step.CHECK, accepted=("a/1",))
        assert make_closing(first, make_try(Step.NOTICES, accepted=("b/2",))).accepted == {"a/1", "b/2"}


class TestFindings:
    @pytest.mark.parametrize(("days", "found"), [(-1, []), (0, ["before-the-end"]), (9, ["before-the-end"])])
    def test_an_end_before_the_last_day_is_over_must_be_wanted(self, days: int, found: list[str]) -> None:
        campaign = make_campaign(ends_on=TODAY + timedelta(days=days))
        assert [one.code for one in domain.find_early_end(campaign, today=TODAY)] == found

    def test_a_closed_campaign_is_not_early(self) -> None:
        assert domain.find_early_end(make_campaign(state=CampaignState.CLOSED), today=TODAY) == []

    @pytest.mark.parametrize(
        ("days", "code", "weight"),
        [(-1, "hours-unvalidated", Weight.WARNING), (0, "mission-running", Weight.INFO), (None, "mission-running", Weight.INFO)],
    )
    def test_a_mission_that_is_over_stands_in_the_way_a_running_one_does_not(
        self, days: int | None, code: str, weight: Weight
    ) -> None:
        hold = Hold(
            new_id(), new_id(), new_id(), new_id(), 90, 0, None if days is None else TODAY + timedelta(days=days), HoldState.HELD
        )
        (found,) = domain.find_holds([hold], today=TODAY, grace_days=30, titles={hold.mission_id: "Refaire le site"})
        assert (found.code, found.weight, found.subject_id, found.minutes) == (code, weight, hold.mission_id, 90)
        assert "Refaire le site" in found.text

    @pytest.mark.parametrize(
        ("sent", "said"), [(frozenset({30, 7}), None), (frozenset({7}), "de 30 jours"), (frozenset(), "30 jours ni de 7 jours")]
    )
    def test_names_the_notices_that_were_not_given(self, sent: frozenset[int], said: str | None) -> None:
        found = domain.find_missing_notices([Unspent(new_id(), "Les Petits Ateliers", 90, TODAY, sent)])
        assert [said in one.text for one in found if said] == ([True] if said else [])
        assert bool(found) is (said is not None)

    def test_books_that_agree_say_nothing(self) -> None:
        assert domain.find_books(sum_minutes=0, entries_sum_minutes=0, accounts_out_of_step=0) == []
        (found,) = domain.find_books(sum_minutes=0, entries_sum_minutes=0, accounts_out_of_step=1)
        assert found.weight is Weight.BLOCKING

    def test_news_under_way_block(self) -> None:
        assert [one.code for one in domain.find_waiting_events(waiting=1, parked=2)] == ["reservation-pending", "event-parked"]
        assert domain.find_waiting_events(waiting=0, parked=0) == []


class TestPlan:
    @pytest.mark.parametrize(
        ("rule", "kind", "outcome"),
        [
            (ExpiryRule.RETURN, AccountKind.POOL, "returned"),
            (ExpiryRule.LAPSE, AccountKind.LAPSED, "lapsed"),
            (ExpiryRule.CARRY_OVER, AccountKind.CARRIED, "carried_over"),
        ],
    )
    def test_credit_and_overdue_holds_go_by_the_rule_and_running_missions_keep_theirs(
        self, rule: ExpiryRule, kind: AccountKind, outcome: str
    ) -> None:
        position, overdue, running = self.make_position(rule)
        plan = decide_plan(position, now=IN_SPRING, ended_before=TODAY)
        assert (plan.outcome, plan.expired_minutes) == (outcome, 100)
        assert (plan.released, plan.surviving) == ((overdue,), (running,))
        after = sum_by_kind(plan.after)
        assert (after["credit"], after["held"], after[kind]) == (0, 20, 100)
        assert sum(after.values()) == sum(sum_by_kind(plan.before).values()) == 0

    def test_changes_nothing_of_what_it_was_given(self) -> None:
        position, *_ = self.make_position(ExpiryRule.RETURN)
        before = dict(position.accounts)
        decide_plan(position, now=IN_SPRING, ended_before=TODAY)
        assert position.accounts == before

    def make_position(self, rule: ExpiryRule) -> tuple[Position, Hold, Hold]:
        """60 minutes unspent, 40 held for a mission long over, 20 for one that runs."""
        campaign = make_campaign(rule=rule)
        lot = Lot(new_id(), campaign.id, new_id(), 120, IN_SPRING + timedelta(days=90))
        overdue = make_held(campaign.id, lot, minutes=40, ends_on=TODAY - timedelta(days=1))
        running = make_held(campaign.id, lot, minutes=20, ends_on=TODAY)
        promised = AccountKey(campaign.id, AccountKind.PROMISED, new_id())
        balances = {lot.account(AccountKind.CREDIT): 60, lot.account(AccountKind.HELD): 60, promised: -120}
        accounts = {key: Account(new_id(), minutes, 1) for key, minutes in balances.items()}
        return Position(campaign, accounts, {lot.id: lot}, (overdue, running)), overdue, running


class TestFigures:
    def test_add_up_when_all_that_came_went_somewhere(self) -> None:
        association, contributor, campaign = new_id(), new_id(), new_id()
        flows = [
            Flow(AccountKind.CREDIT, association, TransferKind.GRANT, 120, 0),
            Flow(AccountKind.CREDIT, association, TransferKind.RESERVE, 0, -90),
            Flow(AccountKind.CREDIT, association, TransferKind.RELEASE, 30, 0),
            Flow(AccountKind.CREDIT, association, TransferKind.EXPIRE, 0, -60),
            Flow(AccountKind.PROMISED, contributor, TransferKind.PLEDGE, 0, -150),
            Flow(AccountKind.PROMISED, contributor, TransferKind.WITHDRAW, 10, 0),
            Flow(AccountKind.PROMISED, contributor, TransferKind.DELIVER, 60, 0),
        ]
        balances = {
            (AccountKind.CREDIT, association): 0,
            (AccountKind.HELD, association): 0,
            (AccountKind.SERVED, association): 60,
            (AccountKind.PROMISED, contributor): -80,
            (AccountKind.DELIVERED, contributor): -60,
            (AccountKind.POOL, campaign): 80,
        }
        figures = build_figures(flows, balances=balances, committed={})
        assert figures.agree
        assert figures.totals()["undelivered_minutes"] == 80
        balances[AccountKind.POOL, campaign] = 81
        assert not build_figures(flows, balances=balances, committed={}).agree


class TestFrozenText:
    def test_says_the_same_whatever_the_order(self) -> None:
        one, other = FrozenText.of({"b": 1, "a": "é"}), FrozenText.of({"a": "é", "b": 1})
        assert one == other
        assert one.content == '{"a":"\\u00e9","b":1}'

    def test_reads_back_as_it_was(self) -> None:
        id = new_id()
        assert FrozenText.of({"id": id, "on": TODAY}).facts == {"id": str(id), "on": TODAY.isoformat()}

    def test_takes_nothing_that_has_no_one_form(self) -> None:
        with pytest.raises(TypeError):
            canonical_json({"a": object()})
