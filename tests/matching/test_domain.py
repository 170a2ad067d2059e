"""What matching decides: the tables of states, and each decision on its own."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.errors import BadInput, MetisError
from kernel.ids import new_id
from services.matching.domain.missions import (
    Mission,
    Side,
    check_convention,
    decide_acceptance,
    decide_mission,
    decide_report,
    decide_timesheet,
    decide_validation,
)
from services.matching.domain.needs import (
    check_need_facts,
    decide_need,
    decide_need_edit,
    decide_need_opening,
    decide_qualification,
)
from services.matching.domain.offers import decide_contributor, decide_offer_edit, decide_offer_opening
from services.matching.domain.refusals import (
    AgreedMinutesExceeded,
    AlreadyAnswered,
    CampaignNotOpen,
    ConventionMissing,
    NeedIsBusy,
    NotAsked,
    NothingWorked,
    OfferIsPromised,
    PeriodIsOver,
    Unknown,
    WrongState,
)
from services.matching.domain.shared import Setting
from services.matching.domain.states import (
    LIVE,
    MISSION_MOVES,
    NEED_MOVES,
    NEVER_SERVED,
    OFFER_MOVES,
    OWN_MOVES,
    REASONED,
    ROUND_MOVES,
    Deed,
    MissionState,
    NeedState,
    OfferState,
    OwnState,
    RoundState,
    Step,
    find_move,
    take_step,
)
from tests.builders.matching import (
    NOW,
    TODAY,
    make_campaign,
    make_mission,
    make_need,
    make_need_facts,
    make_offer,
    make_offer_facts,
)

README = Path(__file__).parents[2] / "services" / "matching" / "README.md"
TABLES: dict[type, Any] = {
    NeedState: NEED_MOVES,
    OfferState: OFFER_MOVES,
    MissionState: MISSION_MOVES,
    RoundState: ROUND_MOVES,
    OwnState: OWN_MOVES,
}

# How far each state is along its way; a smaller rank after a step is a step back.
WAYS: dict[type, list[Any]] = {
    NeedState: [NeedState.DRAFT, NeedState.QUALIFIED, NeedState.OPEN, NeedState.COVERED, NeedState.FULFILLED],
    OfferState: [OfferState.DRAFT, OfferState.OPEN],
    MissionState: [
        MissionState.PROPOSED, MissionState.AGREED, MissionState.RESERVED, MissionState.IN_PROGRESS,
        MissionState.REPORTED, MissionState.VALIDATED, MissionState.CLOSED,
    ],
    RoundState: [RoundState.ASKED, RoundState.COMPUTING, RoundState.COMPUTED, RoundState.RELEASED],
    OwnState: [OwnState.IN_FORCE],
}  # fmt: skip


def goes_back(states: type, before: Any, after: Any) -> bool:
    way = WAYS[states]
    return before in way and after in way and way.index(after) < way.index(before)


UNHAPPY_ENDS = {
    NeedState.WITHDRAWN, NeedState.EXPIRED, OfferState.WITHDRAWN, OfferState.EXPIRED,
    MissionState.DECLINED, MissionState.REFUSED, MissionState.CANCELLED, MissionState.DISPUTED,
    RoundState.STOPPED, RoundState.FAILED, OwnState.WITHDRAWN,
}  # fmt: skip


class TestTables:
    @pytest.mark.parametrize("states", TABLES)
    def test_every_state_is_reached_and_every_end_is_final(self, states: Any) -> None:
        moves = TABLES[states]
        first = next(iter(states))
        reached = {first, *(after for (before, _), after in moves.items() if before is not after)}
        assert reached == set(states)
        ends = set(states) - {before for (before, _), after in moves.items() if before is not after}
        expected = {
            NeedState: {NeedState.FULFILLED, NeedState.WITHDRAWN, NeedState.EXPIRED},
            OfferState: {OfferState.WITHDRAWN, OfferState.EXPIRED},
            MissionState: {MissionState.CLOSED, *NEVER_SERVED},
            RoundState: {RoundState.RELEASED, RoundState.STOPPED, RoundState.FAILED},
            OwnState: {OwnState.WITHDRAWN},
        }
        assert ends == expected[states]

    @pytest.mark.parametrize("states", TABLES)
    def test_a_step_back_and_an_unhappy_end_need_a_reason(self, states: Any) -> None:
        for (before, deed), after in TABLES[states].items():
            if goes_back(states, before, after) or after in UNHAPPY_ENDS or before is MissionState.DISPUTED:
                assert deed in REASONED, f"{before} -> {after}"

    @pytest.mark.parametrize(("number", "states"), list(enumerate(TABLES)))
    def test_the_diagrams_of_the_readme_show_the_same_steps(self, number: int, states: Any) -> None:
        diagram = README.read_text().split("```mermaid")[number + 1].split("```")[0]
        drawn = re.findall(r"(\w+) --> (\w+): (\w+)( ✎)?", diagram)
        assert {(before, deed, after, bool(mark)) for before, after, deed, mark in drawn} == {
            (before, deed, after, deed in REASONED) for (before, deed), after in TABLES[states].items()
        }

    def test_the_way_back_from_covered_leads_through_reopen_alone(self) -> None:
        backward = [(deed, after) for (before, deed), after in NEED_MOVES.items() if before is NeedState.COVERED]
        assert sorted(backward) == [(Deed.FULFIL, NeedState.FULFILLED), (Deed.REOPEN, NeedState.OPEN)]

    def test_live_missions_are_those_that_still_go_somewhere(self) -> None:
        assert {before for before, _ in MISSION_MOVES} == LIVE


class TestTakeStep:
    @given(st.data())
    def test_random_sequences_never_leave_the_table(self, data: st.DataObject) -> None:
        states: Any = data.draw(st.sampled_from(list(TABLES)))
        state = data.draw(st.sampled_from(list(states)))
        for deed, who, reason in data.draw(
            st.lists(st.tuples(st.sampled_from(Deed), st.text(max_size=3), st.none() | st.text(max_size=5)))
        ):
            try:
                step = take_step(TABLES[states], state, deed, who=who, reason=reason)
            except (WrongState, BadInput):
                continue
            assert TABLES[states][state, deed] is step.after
            assert step.before is state
            assert step.who
            if step.after in UNHAPPY_ENDS or goes_back(states, state, step.after):
                assert step.reason is not None
                assert step.reason.strip()
            state = step.after

    def test_names_the_states_that_would_allow_it(self) -> None:
        with pytest.raises(WrongState, match="possible only when disputed"):
            take_step(MISSION_MOVES, MissionState.CLOSED, Deed.REPORT_AGAIN, who="m", reason="r")

    def test_refuses_a_blank_reason(self) -> None:
        with pytest.raises(BadInput, match="/reason"):
            take_step(MISSION_MOVES, MissionState.AGREED, Deed.CANCEL, who="m", reason="  ")


class TestDecideNeed:
    def test_the_operator_qualifies_with_a_note(self) -> None:
        need, step = decide_qualification(make_need(state=NeedState.DRAFT), "Vu avec la trésorière.", who="op")
        assert (need.state, need.qualification_note, need.version) == (NeedState.QUALIFIED, "Vu avec la trésorière.", 2)
        assert step == Step(NeedState.DRAFT, NeedState.QUALIFIED, Deed.QUALIFY, "op", "Vu avec la trésorière.")

    def test_opens_only_in_an_open_campaign(self) -> None:
        need = make_need(state=NeedState.QUALIFIED)
        for campaign in (None, make_campaign(is_open=False)):
            with pytest.raises(CampaignNotOpen):
                decide_need_opening(need, campaign=campaign, today=TODAY, who="op")
        assert decide_need_opening(need, campaign=make_campaign(), today=TODAY, who="op")[0].state is NeedState.OPEN

    def test_opens_only_before_its_end(self) -> None:
        need = make_need(state=NeedState.QUALIFIED, ends_on=TODAY - timedelta(days=1), starts_on=TODAY - timedelta(days=9))
        with pytest.raises(PeriodIsOver):
            decide_need_opening(need, campaign=make_campaign(), today=TODAY, who="op")

    def test_a_draft_does_not_open_without_qualification(self) -> None:
        with pytest.raises(WrongState):
            decide_need_opening(make_need(state=NeedState.DRAFT), campaign=make_campaign(), today=TODAY, who="op")

    def test_a_changed_open_need_stays_open(self) -> None:
        edited = decide_need_edit(make_need(), make_need_facts(minutes=120), busy=False)
        assert (edited.state, edited.facts.minutes, edited.version) == (NeedState.OPEN, 120, 2)

    def test_is_not_changed_under_a_mission_or_after_its_end(self) -> None:
        with pytest.raises(NeedIsBusy):
            decide_need_edit(make_need(), make_need_facts(minutes=120), busy=True)
        with pytest.raises(WrongState):
            decide_need_edit(make_need(state=NeedState.FULFILLED), make_need_facts(minutes=120), busy=False)

    @pytest.mark.parametrize(
        ("changes", "pointer"),
        [
            ({"skills": ()}, "/skills"),
            ({"ends_on": TODAY, "starts_on": TODAY + timedelta(days=1)}, "/ends_on"),
            ({"commune": None}, "/commune"),
        ],
    )
    def test_facts_name_the_faulty_field(self, changes: dict[str, Any], pointer: str) -> None:
        with pytest.raises(BadInput) as refusal:
            check_need_facts(make_need_facts(**changes))
        assert refusal.value.fields[0].pointer == pointer

    def test_a_covered_need_reopens_with_its_reason(self) -> None:
        with pytest.raises(BadInput):
            decide_need(make_need(state=NeedState.COVERED), Deed.REOPEN, who="system")
        assert (
            decide_need(make_need(state=NeedState.COVERED), Deed.REOPEN, who="system", reason="annulée")[0].state
            is NeedState.OPEN
        )


class TestDecideOffer:
    def test_opens_for_a_known_volunteer_before_its_end(self) -> None:
        draft = make_offer(state=OfferState.DRAFT)
        assert decide_offer_opening(draft, volunteer_known=True, today=TODAY, who="v")[0].state is OfferState.OPEN
        with pytest.raises(Unknown):
            decide_offer_opening(draft, volunteer_known=False, today=TODAY, who="v")
        with pytest.raises(PeriodIsOver):
            decide_offer_opening(draft, volunteer_known=True, today=draft.facts.available_until + timedelta(days=1), who="v")

    def test_never_goes_below_what_missions_count_on(self) -> None:
        offer = make_offer(minutes=600)
        assert decide_offer_edit(offer, make_offer_facts(minutes=360), promised_minutes=360).facts.minutes == 360
        with pytest.raises(OfferIsPromised, match="360 minutes"):
            decide_offer_edit(offer, make_offer_facts(minutes=359), promised_minutes=360)

    def test_a_professional_offer_is_the_employers(self) -> None:
        employer = new_id()
        professional = make_offer(setting=Setting.PROFESSIONAL)
        assert decide_contributor(professional, employer_id=employer) == (employer, employer)
        assert decide_contributor(professional, employer_id=None) == (professional.volunteer_id, None)
        personal = make_offer(setting=Setting.PERSONAL)
        assert decide_contributor(personal, employer_id=employer) == (personal.volunteer_id, None)


def accept(mission: Mission, *sides: Side) -> Mission:
    for side in sides:
        mission, _ = decide_acceptance(mission, side, campaign=make_campaign(), who=side, now=NOW)
    return mission


class TestDecideAcceptance:
    def test_two_sides_agree_in_any_order(self) -> None:
        for sides in ((Side.ASSOCIATION, Side.VOLUNTEER), (Side.VOLUNTEER, Side.ASSOCIATION)):
            half = accept(make_mission(), sides[0])
            assert half.state is MissionState.PROPOSED
            assert half.agreed_at is None
            agreed = accept(half, sides[1])
            assert (agreed.state, agreed.agreed_at) == (MissionState.AGREED, NOW)

    def test_a_company_must_approve_its_employees_mission(self) -> None:
        mission = make_mission(company_id=new_id())
        assert accept(mission, Side.ASSOCIATION, Side.VOLUNTEER).state is MissionState.PROPOSED
        assert accept(mission, Side.COMPANY, Side.ASSOCIATION, Side.VOLUNTEER).state is MissionState.AGREED

    def test_each_yes_is_a_step_of_history(self) -> None:
        mission = accept(make_mission(), Side.VOLUNTEER)
        _, steps = decide_acceptance(mission, Side.ASSOCIATION, campaign=make_campaign(), who="a", now=NOW)
        assert [step.deed for step in steps] == [Deed.ACCEPT, Deed.AGREE]

    def test_says_yes_once(self) -> None:
        with pytest.raises(AlreadyAnswered):
            accept(make_mission(), Side.VOLUNTEER, Side.VOLUNTEER)

    def test_a_company_that_is_not_asked_cannot_approve(self) -> None:
        with pytest.raises(NotAsked):
            accept(make_mission(), Side.COMPANY)

    def test_nothing_is_agreed_in_a_closed_campaign(self) -> None:
        with pytest.raises(CampaignNotOpen):
            decide_acceptance(make_mission(), Side.VOLUNTEER, campaign=make_campaign(is_open=False), who="v", now=NOW)


class TestDecideTimesheet:
    def enter(self, mission: Mission, minutes: int, *, replaced_minutes: int = 0, days_ago: int = 0) -> Mission:
        return decide_timesheet(
            mission,
            minutes=minutes,
            replaced_minutes=replaced_minutes,
            worked_on=TODAY - timedelta(days=days_ago),
            today=TODAY,
            agreed_on=TODAY - timedelta(days=3),
        )

    def test_adds_up_to_the_agreed_minutes(self) -> None:
        mission = make_mission(state=MissionState.IN_PROGRESS)
        assert self.enter(self.enter(mission, 200), 160).worked_minutes == 360

    def test_refuses_more_than_agreed_with_the_cure(self) -> None:
        mission = make_mission(state=MissionState.IN_PROGRESS, worked_minutes=300)
        with pytest.raises(AgreedMinutesExceeded, match="new agreement") as refusal:
            self.enter(mission, 61)
        assert refusal.value.members == {"agreed_minutes": 360, "entered_minutes": 300}

    def test_a_correction_counts_instead_of_what_it_replaces(self) -> None:
        mission = make_mission(state=MissionState.DISPUTED, worked_minutes=360)
        assert self.enter(mission, 240, replaced_minutes=300).worked_minutes == 300

    @pytest.mark.parametrize("days_ago", [-1, 4])
    def test_refuses_days_before_the_agreement_and_after_today(self, days_ago: int) -> None:
        with pytest.raises(BadInput, match="worked_on"):
            self.enter(make_mission(state=MissionState.IN_PROGRESS), 60, days_ago=days_ago)

    @pytest.mark.parametrize("state", [MissionState.RESERVED, MissionState.REPORTED, MissionState.CLOSED])
    def test_only_while_in_progress_or_disputed(self, state: MissionState) -> None:
        with pytest.raises(WrongState):
            self.enter(make_mission(state=state), 60)


class TestCheckConvention:
    def test_names_the_next_step_while_there_is_none(self) -> None:
        mission = make_mission(state=MissionState.RESERVED)
        with pytest.raises(ConventionMissing, match=f"Étape suivante : la rédiger .PUT /conventions/{mission.id}."):
            check_convention(mission, concluded_on=None)

    @pytest.mark.parametrize("days_ago", [0, 1])
    def test_refuses_only_days_before_it(self, days_ago: int) -> None:
        mission = make_mission(state=MissionState.IN_PROGRESS)
        check_convention(mission, concluded_on=TODAY - timedelta(days=days_ago), worked_on=TODAY)
        with pytest.raises(BadInput, match="/worked_on"):
            check_convention(mission, concluded_on=TODAY, worked_on=TODAY - timedelta(days=1 + days_ago))


class TestDecideReport:
    def test_needs_minutes(self) -> None:
        with pytest.raises(NothingWorked):
            decide_report(make_mission(state=MissionState.IN_PROGRESS), who="v", reason=None)

    def test_after_a_dispute_says_what_was_put_right(self) -> None:
        disputed = make_mission(state=MissionState.DISPUTED, worked_minutes=60)
        with pytest.raises(BadInput, match="/reason"):
            decide_report(disputed, who="v", reason=None)
        assert decide_report(disputed, who="v", reason="Corrigé.")[0].state is MissionState.REPORTED


class TestDecideValidation:
    def test_a_dispute_ends_with_a_reason(self) -> None:
        disputed = make_mission(state=MissionState.DISPUTED, worked_minutes=60)
        with pytest.raises(BadInput, match="/reason"):
            decide_validation(disputed, who="a", reason=None)
        assert decide_validation(disputed, who="a", reason="Vu ensemble.")[0].state is MissionState.VALIDATED

    def test_needs_no_reason_after_a_report(self) -> None:
        reported = make_mission(state=MissionState.REPORTED, worked_minutes=60)
        assert decide_validation(reported, who="a", reason=None)[1].reason is None


DECISIONS: dict[str, Callable[[Mission, str | None, int], tuple[Mission, list[Step[MissionState]]]]] = {
    "accept_association": lambda m, r, n: decide_acceptance(m, Side.ASSOCIATION, campaign=make_campaign(), who="a", now=NOW),
    "accept_volunteer": lambda m, r, n: decide_acceptance(m, Side.VOLUNTEER, campaign=make_campaign(), who="v", now=NOW),
    "approve": lambda m, r, n: decide_acceptance(m, Side.COMPANY, campaign=make_campaign(), who="c", now=NOW),
    "timesheet": lambda m, r, n: (
        decide_timesheet(m, minutes=n, replaced_minutes=0, worked_on=TODAY, today=TODAY, agreed_on=TODAY),
        [],
    ),
    "report": lambda m, r, n: _one(decide_report(m, who="v", reason=r)),
    "validate": lambda m, r, n: _one(decide_validation(m, who="a", reason=r)),
    **{
        deed: lambda m, r, n, deed=deed: _one(decide_mission(m, deed, who="x", reason=r))  # type: ignore[misc]
        for deed in (
            Deed.DECLINE, Deed.CANCEL, Deed.RESERVE, Deed.REFUSE, Deed.START,
            Deed.DISPUTE, Deed.REFUSE_SETTLEMENT, Deed.CLOSE,
        )
    },
}  # fmt: skip


def _one(decided: tuple[Mission, Step[MissionState]]) -> tuple[Mission, list[Step[MissionState]]]:
    return decided[0], [decided[1]]


class TestAMissionsWholeLife:
    @given(
        company=st.booleans(),
        deeds=st.lists(
            st.tuples(st.sampled_from(sorted(DECISIONS)), st.sampled_from([None, "Parce que."]), st.integers(1, 400)), max_size=40
        ),
    )
    def test_whatever_people_and_events_do(self, company: bool, deeds: list[tuple[str, str | None, int]]) -> None:
        mission = make_mission(company_id=new_id() if company else None)
        history: list[Step[MissionState]] = []
        for name, reason, minutes in deeds:
            try:
                changed, steps = DECISIONS[name](mission, reason, minutes)
            except MetisError:
                continue
            assert changed.version == mission.version + 1
            for step in steps:
                assert step.before is not None
                assert find_move(MISSION_MOVES, step.before, step.deed) is step.after
                if step.after in UNHAPPY_ENDS:
                    assert step.reason
                    assert step.who
            history += steps
            mission = changed
        states = [MissionState.PROPOSED, *(step.after for step in history)]
        assert mission.state is states[-1]
        assert all(step.before is before for step, before in zip(history, states, strict=False))
        assert 0 <= mission.worked_minutes <= mission.minutes
        if mission.state not in {MissionState.PROPOSED, MissionState.DECLINED} and mission.agreed_at is not None:
            assert mission.accepted == mission.sides
        if mission.state in {MissionState.REPORTED, MissionState.VALIDATED, MissionState.CLOSED}:
            assert mission.worked_minutes > 0

    def test_the_short_way_to_closed(self) -> None:
        mission = accept(make_mission(), Side.ASSOCIATION, Side.VOLUNTEER)
        for name in (Deed.RESERVE, Deed.START, "timesheet", "report", "validate", Deed.CLOSE):
            mission, _ = DECISIONS[name](mission, None, 300)
        assert replace(mission, served_minutes=300) == mission.served(300)
        assert mission.state is MissionState.CLOSED
