"""What notifications decides, without anything around it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook as PartnerLibrary

from kernel.clock import utc_now
from kernel.errors import BadInput
from kernel.events import EVENT_TYPES
from kernel.ids import new_id
from services.notifications.domain.addresses import is_public_address
from services.notifications.domain.announcements import (
    RULES,
    Audience,
    Mission,
    Parties,
    decide_parties,
    decide_recipients,
    decide_rule,
    is_complete,
)
from services.notifications.domain.errands import JITTER, decide_next_try, is_exhausted
from services.notifications.domain.messages import is_address
from services.notifications.domain.people import Category, Preference, decide_preferences
from services.notifications.domain.webhooks import (
    LASTING_FAILURE,
    Delivery,
    DeliveryState,
    Try,
    check_url,
    decide_disabling,
    decide_state,
    first_tried_at,
    make_secret,
    sign,
)
from services.notifications.settings import Settings
from tests.builders.notifications import NOW, make_event, make_member, make_webhook

WEBHOOK_DELAYS_SECONDS = Settings.model_fields["webhook_retry_delays_seconds"].default
EMAIL_DELAYS_SECONDS = Settings.model_fields["email_retry_delays_seconds"].default
ASSOCIATION, COMPANY, VOLUNTEER = new_id(), new_id(), new_id()
MISSION = Mission(new_id(), "Tenir les comptes", new_id(), ASSOCIATION, VOLUNTEER, COMPANY)


class TestDecideRule:
    def test_every_rule_names_an_event_of_the_platform(self) -> None:
        assert {rule.event_type for rule in RULES} <= set(EVENT_TYPES)

    def test_every_condition_names_a_field_of_its_event(self) -> None:
        for rule in RULES:
            assert set(rule.when or {}) <= set(EVENT_TYPES[rule.event_type].model_fields)

    def test_asks_the_company_only_once_its_employee_agreed(self) -> None:
        by_side = {side: decide_rule("matching.mission_accepted.v1", {"side": side}) for side in ("volunteer", "association")}
        assert by_side["volunteer"] and Audience.COMPANY in by_side["volunteer"].audiences
        assert by_side["association"] and Audience.COMPANY not in by_side["association"].audiences

    def test_welcomes_a_person_once(self) -> None:
        assert decide_rule("registry.member_recorded.v1", {"version": 1})
        assert decide_rule("registry.member_recorded.v1", {"version": 2}) is None

    def test_says_nothing_of_events_that_concern_nobody(self) -> None:
        assert decide_rule("registry.commune_recorded.v1", {}) is None


class TestDecideParties:
    def test_takes_from_the_mission_what_the_event_does_not_name(self) -> None:
        parties = decide_parties({"mission_id": str(MISSION.id), "reason": "…"}, mission=MISSION)
        assert (parties.association_id, parties.volunteer_id, parties.company_id) == (ASSOCIATION, VOLUNTEER, COMPANY)

    def test_prefers_what_the_event_names(self) -> None:
        other = new_id()
        assert decide_parties({"association_id": str(other)}, mission=MISSION).association_id == other


class TestIsComplete:
    rule = decide_rule("credits.credit_reserved.v1", {})

    def test_waits_for_the_mission(self) -> None:
        assert self.rule and not is_complete(self.rule, Parties(association_id=ASSOCIATION), known=[ASSOCIATION])

    def test_waits_for_the_volunteer_and_the_company(self) -> None:
        parties = Parties(association_id=ASSOCIATION, volunteer_id=VOLUNTEER, company_id=COMPANY)
        assert self.rule and not is_complete(self.rule, parties, known=[ASSOCIATION, COMPANY])
        assert not is_complete(self.rule, parties, known=[ASSOCIATION, VOLUNTEER])
        assert is_complete(self.rule, parties, known=[ASSOCIATION, VOLUNTEER, COMPANY])

    def test_wants_no_company_where_there_is_none(self) -> None:
        parties = Parties(association_id=ASSOCIATION, volunteer_id=VOLUNTEER)
        assert self.rule and is_complete(self.rule, parties, known=[ASSOCIATION, VOLUNTEER])


class TestDecideRecipients:
    parties = Parties(association_id=ASSOCIATION, volunteer_id=VOLUNTEER, company_id=COMPANY)
    rule = decide_rule("matching.mission_cancelled.v1", {})

    def told(self, *members: object, parties: Parties | None = None) -> list[tuple[Audience, UUID]]:
        assert self.rule
        return [(you, one.id) for you, one in decide_recipients(self.rule, parties or self.parties, members)]  # type: ignore[arg-type]

    def test_tells_members_of_the_association_with_its_role(self) -> None:
        acts = make_member(actor_id=ASSOCIATION, roles=frozenset({"association"}))
        helps = make_member(actor_id=ASSOCIATION, roles=frozenset({"volunteer"}))
        assert self.told(acts, helps) == [(Audience.ASSOCIATION, acts.id)]

    def test_tells_a_companys_referents_and_not_its_employees(self) -> None:
        referent = make_member(actor_id=COMPANY, roles=frozenset({"company"}))
        employee = make_member(actor_id=COMPANY)
        assert self.told(referent, employee) == [(Audience.COMPANY, referent.id)]

    def test_tells_each_once_as_the_first_audience_says(self) -> None:
        both = make_member(id=VOLUNTEER, actor_id=ASSOCIATION, roles=frozenset({"association", "operator"}))
        assert self.told(both) == [(Audience.VOLUNTEER, VOLUNTEER)]

    def test_leaves_out_archived_people(self) -> None:
        assert self.told(make_member(id=VOLUNTEER, archived=True)) == []

    def test_leaves_out_who_did_it(self) -> None:
        parties = decide_parties({}, mission=MISSION, doer=str(VOLUNTEER))
        assert self.told(make_member(id=VOLUNTEER), parties=parties) == []

    def test_nobody_without_an_organisation_belongs_to_an_unknown_one(self) -> None:
        assert self.told(make_member(roles=frozenset({"association", "company"})), parties=Parties()) == []

    def test_a_pledge_is_told_to_a_citizen_or_to_a_companys_referents(self) -> None:
        rule = decide_rule("credits.hours_pledged.v1", {})
        assert rule
        citizen = make_member()
        referent = make_member(actor_id=COMPANY, roles=frozenset({"company"}))
        for contributor, expected in ((citizen.id, citizen), (COMPANY, referent)):
            told = decide_recipients(rule, Parties(contributor_id=contributor), [citizen, referent])
            assert told == [(Audience.CONTRIBUTOR, expected)]

    def test_tells_the_whole_panel(self) -> None:
        rule = decide_rule("credits.campaign_opened.v1", {})
        members = [make_member(actor_id=id, roles=frozenset({"association"})) for id in (ASSOCIATION, new_id())]
        assert rule
        assert decide_recipients(rule, Parties(panel=frozenset({ASSOCIATION})), members) == [(Audience.PANEL, members[0])]


class TestDecidePreferences:
    def test_who_never_chose_gets_everything(self) -> None:
        assert decide_preferences([]) == [Preference(category, True, True) for category in Category]

    def test_keeps_what_was_chosen(self) -> None:
        chosen = Preference(Category.PROPOSALS, email=False, inbox=True)
        assert chosen in decide_preferences([chosen])


class TestDecideNextTry:
    def test_grows_then_ends(self) -> None:
        due = [decide_next_try(now=NOW, tries=tries, delays_seconds=[5, 30], jitter=1) for tries in (1, 2, 3)]
        assert due == [NOW + timedelta(seconds=5), NOW + timedelta(seconds=30), None]

    @given(st.integers(1, len(WEBHOOK_DELAYS_SECONDS)), st.floats(*JITTER))
    def test_lies_ahead_and_near_its_delay(self, tries: int, jitter: float) -> None:
        due = decide_next_try(now=NOW, tries=tries, delays_seconds=WEBHOOK_DELAYS_SECONDS, jitter=jitter)
        delay = timedelta(seconds=WEBHOOK_DELAYS_SECONDS[tries - 1])
        assert due is not None
        assert NOW + delay * 0.79 < due < NOW + delay * 1.21

    @pytest.mark.parametrize("delays", [WEBHOOK_DELAYS_SECONDS, EMAIL_DELAYS_SECONDS], ids=["webhook", "e-mail"])
    def test_what_is_sent_is_tried_for_a_day_however_the_jitter_falls(self, delays: list[float]) -> None:
        due = NOW
        for tries in range(1, len(delays) + 1):
            due = decide_next_try(now=due, tries=tries, delays_seconds=delays, jitter=JITTER[0]) or NOW
        assert due - NOW >= LASTING_FAILURE

    def test_more_tries_than_there_are_mean_that_they_ended_the_process(self) -> None:
        assert not is_exhausted(3, [1, 1])
        assert is_exhausted(4, [1, 1])


class TestSign:
    @given(st.binary(), st.binary(min_size=32, max_size=32))
    def test_partners_library_accepts_any_utf8_body(self, body: bytes, entropy: bytes) -> None:
        text = body.decode("utf-8", "ignore").encode()
        headers = _headers([make_secret(entropy)], text)
        PartnerLibrary(make_secret(entropy)).verify(text, headers, json_parse=False)

    @given(st.text(min_size=1))
    def test_another_body_does_not_pass(self, more: str) -> None:
        secret = make_secret(b"k" * 32)
        with pytest.raises(Exception, match="No matching signature"):
            PartnerLibrary(secret).verify("{}" + more, _headers([secret], b"{}"), json_parse=False)

    def test_during_a_rotation_both_secrets_pass(self) -> None:
        old, new = make_secret(b"o" * 32), make_secret(b"n" * 32)
        webhook = make_webhook(secret=new, previous_secret=old, previous_secret_until=NOW + timedelta(hours=24))
        headers = _headers(webhook.secrets_at(NOW), b"{}")
        for secret in (old, new):
            PartnerLibrary(secret).verify(b"{}", headers)

    def test_after_a_day_the_old_secret_signs_no_more(self) -> None:
        webhook = make_webhook(previous_secret=make_secret(b"o" * 32), previous_secret_until=NOW)
        assert webhook.secrets_at(NOW) == [webhook.secret]

    def test_a_secret_has_its_prefix_and_32_bytes(self) -> None:
        assert make_secret(b"x" * 32).startswith("whsec_")
        with pytest.raises(ValueError, match="32"):
            make_secret(b"short")


def _headers(secrets: list[str], body: bytes) -> dict[str, str]:
    timestamp = int(utc_now().timestamp())
    signature = sign(secrets, message_id="evt_1", timestamp=timestamp, body=body)
    return {"webhook-id": "evt_1", "webhook-timestamp": str(timestamp), "webhook-signature": signature}


class TestIsPublicAddress:
    @pytest.mark.parametrize("text", ["93.184.216.34", "8.8.8.8", "2606:2800:220:1:248:1893:25c8:1946", "2a00:1450:4007::1"])
    def test_accepts(self, text: str) -> None:
        assert is_public_address(text)

    @pytest.mark.parametrize(
        "text",
        [
            "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.255.255", "169.254.169.254", "172.16.0.1",
            "172.31.255.255", "192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.51.100.1", "203.0.113.1",
            "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
            "::", "::1", "::127.0.0.1", "::8.8.8.8", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:a9fe:a9fe", "64:ff9b::7f00:1",
            "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1", "2002:7f00:1::", "3fff::1", "5f00::1", "fc00::1", "fd12:3456::1",
            "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "ff0e::1",
            "", "localhost", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "1.2.3.4.5",
        ],
    )  # fmt: skip
    def test_refuses(self, text: str) -> None:
        assert not is_public_address(text)

    @given(st.ip_addresses(network="10.0.0.0/8") | st.ip_addresses(network="fc00::/7") | st.ip_addresses(network="127.0.0.0/8"))
    def test_refuses_every_private_one(self, address: object) -> None:
        assert not is_public_address(str(address))


class TestCheckUrl:
    @pytest.mark.parametrize(
        "url",
        ["https://partner.example/hooks", "https://partner.example:8443/a?b=c", "https://8.8.8.8/", "https://[2a00:1450::1]/"],
    )
    def test_accepts(self, url: str) -> None:
        check_url(url, allow_private=False)

    @pytest.mark.parametrize(
        "url",
        [
            "http://partner.example/", "ftp://partner.example/", "file:///etc/passwd", "https://", "https:///path", "a.example",
            "https://user:pass@partner.example/", "https://user@partner.example/", "https://partner.example/#part",
            "https://localhost/", "https://intranet/", "https://a.localhost/", "https://printer.local/", "https://db.internal/",
            "https://127.0.0.1/", "https://127.1/", "https://2130706433/", "https://0x7f000001/", "https://0x7f.1/", "https://127.0.0.1./",
            "https://169.254.169.254/latest", "https://[::1]/", "https://[::ffff:127.0.0.1]/", "https://[fe80::1%25eth0]/",
            "https://partner.example:99999/", "https://partner.example:x/", "https://[::1/", "https://partner.example/a b",
            "https://partner.example/\r\nX: y", "https://evil.example\\@127.0.0.1/", "", " ", "*",
        ],
    )  # fmt: skip
    def test_refuses_with_a_pointer_to_the_field(self, url: str) -> None:
        with pytest.raises(BadInput) as refusal:
            check_url(url, allow_private=False)
        assert refusal.value.fields[0].pointer == "/url"

    @pytest.mark.parametrize("url", ["http://127.0.0.1:9000/", "http://localhost/hooks", "https://10.0.0.1/"])
    def test_lets_private_ones_pass_where_they_are_allowed(self, url: str) -> None:
        check_url(url, allow_private=True)
        with pytest.raises(BadInput):
            check_url(url, allow_private=False)

    @given(st.text())
    def test_knows_no_third_way(self, url: str) -> None:
        try:
            check_url(url, allow_private=False)
        except BadInput:
            return
        assert url.startswith("https://") or url.lower().startswith("https://")


class TestDecideState:
    later = NOW + timedelta(minutes=1)

    @pytest.mark.parametrize("status", [200, 201, 204, 299])
    def test_any_2xx_is_delivered(self, status: int) -> None:
        assert decide_state(_try(status), next_try_at=self.later) is DeliveryState.DELIVERED

    @pytest.mark.parametrize("status", [None, 100, 301, 307, 400, 404, 429, 500, 503])
    def test_anything_else_waits_for_its_next_try(self, status: int | None) -> None:
        assert decide_state(_try(status), next_try_at=self.later) is DeliveryState.WAITING
        assert decide_state(_try(status), next_try_at=None) is DeliveryState.FAILED

    def test_gone_is_final(self) -> None:
        assert decide_state(_try(410), next_try_at=self.later) is DeliveryState.FAILED


class TestDecideDisabling:
    def test_at_once_when_gone(self) -> None:
        assert "410" in (decide_disabling(make_webhook(), _try(410), DeliveryState.FAILED, others_arrive=True) or "")

    def test_when_all_tries_of_a_delivery_are_spent_and_nothing_else_arrives(self) -> None:
        assert "HTTP 500" in (decide_disabling(make_webhook(), _try(500), DeliveryState.FAILED, others_arrive=False) or "")

    def test_not_for_one_event_that_is_refused_while_others_arrive(self) -> None:
        assert decide_disabling(make_webhook(), _try(400), DeliveryState.FAILED, others_arrive=True) is None

    def test_after_a_day_without_success(self) -> None:
        failing = make_webhook(failing_since=NOW - timedelta(hours=24))
        assert decide_disabling(failing, _try(500), DeliveryState.WAITING, others_arrive=False)

    def test_not_before(self) -> None:
        failing = make_webhook(failing_since=NOW - timedelta(hours=23))
        assert decide_disabling(failing, _try(500), DeliveryState.WAITING, others_arrive=False) is None


class TestFirstTriedAt:
    def test_is_that_of_this_sending_and_not_of_one_before_a_redelivery(self) -> None:
        earlier = [replace(_try(500), tried_at=NOW - timedelta(hours=hours)).as_json() for hours in (99, 98, 3, 2)]
        delivery = make_delivery(tries=tuple(earlier))
        assert first_tried_at(delivery, tries=3, attempt=_try(500)) == NOW - timedelta(hours=3)
        assert first_tried_at(delivery, tries=1, attempt=_try(500)) == NOW

    def test_of_tries_that_ended_their_process_is_the_delivery_itself(self) -> None:
        delivery = make_delivery(tries=(), created_at=NOW - timedelta(hours=5))
        assert first_tried_at(delivery, tries=4, attempt=_try(None)) == NOW - timedelta(hours=5)


def make_delivery(**changes: Any) -> Delivery:
    facts: dict[str, Any] = {
        "id": uuid4(), "webhook_id": uuid4(), "event_id": uuid4(), "event_type": "x.v1", "state": DeliveryState.WAITING, "tries": (),
        "traceparent": None, "created_at": NOW, "delivered_at": None,
    }  # fmt: skip
    return Delivery(**facts | changes)


def _try(status: int | None) -> Try:
    return Try(NOW, status, 12, None if status == 200 else f"HTTP {status}")


def test_a_sample_of_every_event_can_be_made() -> None:
    for event_type in EVENT_TYPES:
        assert make_event(event_type).event_type == event_type
    assert NOW.tzinfo is UTC and isinstance(NOW, datetime)


class TestIsAddress:
    @pytest.mark.parametrize("text", ["a@b", "zoe.d'arc+metis@sceaux.exemple.test", "zoé@exémple.test", "用户@例子.test"])
    def test_takes_names_of_all_scripts(self, text: str) -> None:
        assert is_address(text)

    @pytest.mark.parametrize(
        "text",
        [
            "", "a", "@", "a@", "@b", "a@b@c", "a..b@c", ".a@c", "a.@c", "a@c..d", "a@c.", "a b@c", "a@b c", " a@b", "a@b ",
            "<a@b>", "a@b>", "a@b, c@d", "a(x)@b", "a;b@c", "a:b@c", '"a b"@c', "a@[127.0.0.1]", "a\\b@c",
            "a@b\n", "a@b\r\nBcc: c@d", "a\x00@b", "a\x85@b", "a\u2028@b", "a\u00a0@b", "a" * 253 + "@b",
        ],
    )  # fmt: skip
    def test_takes_nothing_else(self, text: str) -> None:
        assert not is_address(text)
