"""Campaigns, holds, notices and statements, decided without a database."""

from datetime import UTC, date, datetime
from typing import ClassVar
from uuid import UUID

import pytest

from kernel.errors import BadInput
from kernel.ids import new_id
from services.credits.domain.campaigns import CampaignFacts, CampaignState, ExpiryRule, decide_notice
from services.credits.domain.errors import CampaignNotDraft, CampaignNotOpen, CampaignOver, NotEnoughCredit
from services.credits.domain.holds import HoldState, decide_reservation, decide_settlement
from services.credits.domain.ledger import AccountKey, AccountKind, Transfer, TransferKind, make_expiry_leg, make_reversal_leg
from services.credits.domain.statements import Basis, Period, StatementLine, build_statement, cut_page, decide_as_of
from services.credits.domain.wording import hours_text
from tests.builders.credits import make_campaign, make_hold, make_means, make_rules

IN_MAY = date(2026, 5, 4)


class TestCampaign:
    def test_refuses_an_end_before_the_start(self) -> None:
        with pytest.raises(BadInput, match="/ends_on"):
            CampaignFacts("Campagne", date(2026, 2, 1), date(2026, 1, 31), new_id(), make_rules())

    def test_opens_only_as_a_draft(self) -> None:
        with pytest.raises(CampaignNotDraft):
            make_campaign(state=CampaignState.CLOSED).require_openable(IN_MAY)

    def test_does_not_open_past_its_end(self) -> None:
        with pytest.raises(CampaignOver):
            make_campaign(state=CampaignState.DRAFT, ends_on=date(2026, 5, 3)).require_openable(IN_MAY)

    def test_is_spendable_on_its_last_day_and_not_after(self) -> None:
        campaign = make_campaign(ends_on=IN_MAY)
        assert campaign.is_spendable_on(IN_MAY)
        assert not campaign.is_spendable_on(date(2026, 5, 5))
        with pytest.raises(CampaignNotOpen):
            campaign.require_spendable_on(date(2026, 5, 5))


class TestDecideReservation:
    def test_agrees_when_credit_and_promise_suffice(self) -> None:
        assert decide_reservation(make_means(credit_minutes=60, promised_minutes=60), asked_minutes=60, today=IN_MAY) is None

    def test_refuses_past_the_last_day(self) -> None:
        means = make_means(campaign=make_campaign(ends_on=date(2026, 5, 3)))
        refusal = decide_reservation(means, asked_minutes=60, today=IN_MAY)
        assert refusal is not None
        assert refusal.code == "campaign-not-open"

    def test_refuses_who_is_not_on_the_panel(self) -> None:
        refusal = decide_reservation(make_means(on_panel=False), asked_minutes=60, today=IN_MAY)
        assert refusal is not None
        assert refusal.code == "association-not-on-panel"

    def test_refuses_overdraft_and_says_what_is_missing(self) -> None:
        refusal = decide_reservation(make_means(credit_minutes=45), asked_minutes=180, today=IN_MAY)
        assert refusal is not None
        assert (refusal.code, refusal.missing_minutes) == ("not-enough-credit", 135)
        assert "Il manque 2 h 15 de crédit" in refusal.reason.replace("\u202f", " ")

    def test_counts_what_the_contributor_gives_elsewhere(self) -> None:
        refusal = decide_reservation(make_means(promised_minutes=120, committed_minutes=90), asked_minutes=60, today=IN_MAY)
        assert refusal is not None
        assert (refusal.code, refusal.missing_minutes) == ("pledge-exhausted", 30)


class TestDecideSettlement:
    def test_pays_up_to_what_is_held(self) -> None:
        assert decide_settlement(make_hold(minutes=60), served_minutes=60) is None

    def test_refuses_more_than_held(self) -> None:
        refusal = decide_settlement(make_hold(minutes=60), served_minutes=75)
        assert refusal is not None
        assert (refusal.code, refusal.missing_minutes) == ("more-than-held", 15)

    @pytest.mark.parametrize("state", [HoldState.RELEASED, HoldState.CANCELLED, HoldState.REFUSED, HoldState.REVERSED])
    def test_refuses_where_nothing_is_held(self, state: HoldState) -> None:
        refusal = decide_settlement(make_hold(state=state), served_minutes=15)
        assert refusal is not None
        assert refusal.code == "nothing-held"


class TestLegs:
    def test_expiry_follows_the_rule(self) -> None:
        credit = AccountKey.of(AccountKind.CREDIT, campaign_id=new_id(), holder_id=new_id(), lot_id=new_id())

        def target(rule: ExpiryRule) -> AccountKind:
            return make_expiry_leg(rule, credit, minutes=15, key="key").target.kind

        assert [target(rule) for rule in (ExpiryRule.RETURN, ExpiryRule.LAPSE, ExpiryRule.CARRY_OVER)] == [
            AccountKind.POOL,
            AccountKind.LAPSED,
            AccountKind.CARRIED,
        ]

    def test_reversal_is_the_opposite(self) -> None:
        transfer = make_transfer(minutes=60)
        leg = make_reversal_leg(transfer, minutes=60, reason="Erreur de saisie")
        assert (leg.source, leg.target, leg.minutes, leg.reverses) == (transfer.target, transfer.source, 60, transfer.id)

    def test_account_names_are_those_of_the_domain(self) -> None:
        campaign, association = new_id(), new_id()
        credit = AccountKey.of(AccountKind.CREDIT, campaign_id=campaign, holder_id=association)
        pool = AccountKey.of(AccountKind.POOL, campaign_id=campaign, holder_id=association)
        assert (str(credit), str(pool)) == (f"credit/{campaign}/{association}", f"pool/{campaign}")

    def test_refusal_names_account_shortage_and_cure(self) -> None:
        campaign = new_id()
        refusal = NotEnoughCredit.on(kind="pool", campaign_id=campaign, holder_id=campaign, missing_minutes=30)
        assert refusal.members["account"] == f"pool/{campaign}"
        assert refusal.members["missing_minutes"] == 30
        assert "pledge more" in refusal.detail


class TestDecideNotice:
    @pytest.mark.parametrize(
        ("today", "sent", "due"),
        [
            (date(2026, 5, 31), frozenset(), None),
            (date(2026, 6, 1), frozenset(), 30),
            (date(2026, 6, 2), frozenset({30}), None),
            (date(2026, 6, 10), frozenset(), 30),
            (date(2026, 6, 24), frozenset({30}), 7),
            (date(2026, 6, 25), frozenset({7}), None),
            (date(2026, 6, 26), frozenset(), 7),
            (date(2026, 7, 1), frozenset({30}), 7),
            (date(2026, 7, 2), frozenset(), None),
        ],
    )
    def test_comes_once_30_and_once_7_days_before(self, today: date, sent: frozenset[int], due: int | None) -> None:
        assert decide_notice(ends_on=date(2026, 7, 1), today=today, sent_days=sent) == due


def make_transfer(*, minutes: int = 60, recorded_at: datetime = datetime(2026, 5, 4, tzinfo=UTC)) -> Transfer:
    campaign, association = new_id(), new_id()
    pool = AccountKey.of(AccountKind.POOL, campaign_id=campaign, holder_id=association)
    credit = AccountKey.of(AccountKind.CREDIT, campaign_id=campaign, holder_id=association)
    return Transfer(
        new_id(), campaign, TransferKind.GRANT, pool, credit, minutes, "who", "why", recorded_at, recorded_at, "key",
        None, None, None, None, None,
    )  # fmt: skip


def make_line(day: int, minutes: int) -> StatementLine:
    transfer = make_transfer(minutes=abs(minutes), recorded_at=datetime(2026, 5, day, tzinfo=UTC))
    return StatementLine(transfer, None, UUID(int=1), {AccountKind.CREDIT: minutes})


class TestBuildStatement:
    lines = (make_line(1, 600), make_line(10, -60), make_line(20, -90), make_line(30, 30))
    nothing: ClassVar = {AccountKind.CREDIT: 0}

    def test_runs_from_nothing_to_the_balance(self) -> None:
        statement = build_statement(self.lines, opening=self.nothing, start=self.nothing, closing={AccountKind.CREDIT: 480})
        assert (statement.opening, statement.closing) == ({AccountKind.CREDIT: 0}, {AccountKind.CREDIT: 480})
        assert [after[AccountKind.CREDIT] for after in statement.after] == [600, 540, 450, 480]

    def test_goes_on_from_where_the_page_starts(self) -> None:
        start = {AccountKind.CREDIT: 600}
        statement = build_statement(self.lines[1:], opening=self.nothing, start=start, closing={AccountKind.CREDIT: 480})
        assert [after[AccountKind.CREDIT] for after in statement.after] == [540, 450, 480]

    def test_never_parts_one_instant(self) -> None:
        lines = [make_line(1, 600), make_line(2, -60), make_line(2, -90), make_line(3, 30)]
        page = cut_page(lines[:3], limit=2, basis=Basis.RECORDED)
        assert page is not None
        assert ([line.moved[AccountKind.CREDIT] for line in page[0]], page[1]) == ([600], True)
        assert cut_page(lines[1:3], limit=1, basis=Basis.RECORDED) is None


class TestDecideAsOf:
    now = datetime(2026, 5, 4, tzinfo=UTC)

    def test_asks_about_one_of_the_two_times(self) -> None:
        assert decide_as_of(recorded_at=None, effective_at=None, now=self.now) is None
        with pytest.raises(BadInput, match="as_effective_at"):
            decide_as_of(recorded_at=self.now, effective_at=self.now, now=self.now)

    def test_knows_no_record_of_the_future(self) -> None:
        with pytest.raises(BadInput, match="as_recorded_at"):
            decide_as_of(recorded_at=datetime(2026, 5, 5, tzinfo=UTC), effective_at=None, now=self.now)

    def test_ends_a_period_with_its_instant(self) -> None:
        as_of = decide_as_of(recorded_at=self.now, effective_at=None, now=self.now)
        assert Period().up_to(as_of).until == datetime(2026, 5, 4, 0, 0, 0, 1, tzinfo=UTC)
        assert Period(until=datetime(2026, 5, 1, tzinfo=UTC)).up_to(as_of).until == datetime(2026, 5, 1, tzinfo=UTC)


class TestHoursText:
    @pytest.mark.parametrize(
        ("minutes", "text"), [(45, "45 min"), (60, "1 h"), (135, "2 h 15"), (65, "1 h 05"), (60_000, "1 000 h")]
    )
    def test_reads_as_french_readers_write(self, minutes: int, text: str) -> None:
        assert hours_text(minutes).replace("\u202f", " ") == text
