"""The demo's parts that need no platform: fates, receivers, checks. The whole is played by `make demo`."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime
from email import message_from_string
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest
from aiosmtplib import send
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from cli.demo import fates
from cli.demo.closing import NOTICE
from cli.demo.outcome import TRACED, Outcome, Row, TownOutcome, Tracks, check, read_traces
from cli.demo.papers import Papers
from cli.demo.receivers import MailServer, Partner, serve_partner
from cli.http import make_client
from cli.traces import Span

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def make_mission(number: int, *, minutes: int = 240, company: bool = True) -> dict[str, Any]:
    return {
        "id": f"m{number}",
        "need_id": f"n{number}",
        "title": f"t{number:03}",
        "minutes": minutes,
        "company_id": "c" if company else None,
    }


class TestFates:
    def test_a_full_campaign_has_one_of_everything(self) -> None:
        chosen = Counter(fates.choose([make_mission(n) for n in range(42)], unaffordable=set()).values())
        assert set(chosen) == {
            fates.SERVED, fates.SHORTER, fates.DISPUTED, fates.RUNNING, fates.CANCELLED, fates.CANCELLED_RUNNING, *fates.DECLINES,
        }  # fmt: skip
        assert chosen[fates.SERVED] > 20
        assert set(fates.REASONS) == set(chosen) - {fates.SERVED, fates.SHORTER, fates.RUNNING}

    @given(st.lists(st.tuples(st.integers(15, 900), st.booleans()), max_size=60), st.sets(st.integers(0, 59)))
    def test_every_mission_gets_one_that_it_can_have(self, facts: list[tuple[int, bool]], poor: set[int]) -> None:
        missions = [make_mission(n, minutes=minutes, company=company) for n, (minutes, company) in enumerate(facts)]
        unaffordable = {f"n{n}" for n in poor}
        chosen = fates.choose(missions, unaffordable=unaffordable)
        assert set(chosen) == {mission["need_id"] for mission in missions}
        for mission in missions:
            fate = chosen[mission["need_id"]]
            assert fate == fates.SERVED or mission["need_id"] not in unaffordable
            assert fate != fates.DECLINED_BY_COMPANY or mission["company_id"]
            assert fate not in {fates.SHORTER, fates.DISPUTED} or mission["minutes"] >= fates.TWO_SESSIONS_MINUTES


class TestMailServer:
    async def test_keeps_messages_in_an_mbox_and_counts_them_over_runs(self, tmp_path: Path) -> None:
        mbox = tmp_path / "mails.mbox"
        server = MailServer(mbox)
        await server.start("127.0.0.1", 0)
        message = message_from_string("From: a@exemple.test\nTo: b@exemple.test\nSubject: Bonjour\n\nFrom the start\n.dot\n")
        for _ in range(2):
            await send(message, hostname="127.0.0.1", port=server.port, start_tls=False)
        await server.stop()
        assert server.received == 2
        assert MailServer(mbox).received == 2
        assert ">From the start" in mbox.read_text()


@pytest.fixture
def partner(tmp_path: Path) -> Partner:
    return Partner(tmp_path / "journal.jsonl")


@pytest.fixture
def endpoint(partner: Partner) -> Iterator[str]:
    with serve_partner(partner, "127.0.0.1", 0) as port:
        yield f"http://127.0.0.1:{port}"


async def deliver(url: str, *, territory: str = "92071", path: str = "/92071", secret: str = SECRET, id: str = "") -> int:
    body = json.dumps({"id": id or str(uuid4()), "type": "t", "territory": territory, "subject": "s"})
    now = datetime.now(UTC)
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign("msg_1", now, body),
    }
    async with make_client() as http:
        return (await http.post(url + path, content=body.encode(), headers=headers)).status_code


class TestPartner:
    async def test_counts_what_it_verified_once_and_remembers(self, partner: Partner, endpoint: str) -> None:
        partner.know("/92071", SECRET)
        assert [await deliver(endpoint, id="one") for _ in range(2)] == [204, 204]
        assert partner.verified == {"one": "92071"}
        assert Partner(partner.journal).verified == {"one": "92071"}

    async def test_refuses_other_signatures_and_other_territories(self, partner: Partner, endpoint: str) -> None:
        partner.know("/92071", SECRET)
        assert await deliver(endpoint, secret="whsec_" + "A" * 32) == 401
        assert await deliver(endpoint, territory="92014") == 400
        assert (len(partner.refused), partner.verified) == (2, {})

    async def test_waits_a_moment_for_its_secret(self, partner: Partner, endpoint: str) -> None:
        delivery = asyncio.create_task(deliver(endpoint))
        partner.know("/92071", SECRET)
        assert await delivery == 204


def make_papers(**changes: Any) -> Papers:
    papers = Papers(
        mission={"served_minutes": 60},
        convention={"state": "concluded"},
        valuation={"versions": [{"minutes": 60, "amount_cents": 4200}]},
        receipt={"minutes": 60, "amount_cents": 4200},
        indicators={"total": {"served_minutes": 60}},
        open_data={"rows": [{}]},
    )
    return replace(papers, **changes)


def make_statement(*, granted: int = 60, served: int = 60) -> Row:
    lines = [{"kind": "grant", "minutes": granted}, {"kind": "settle", "minutes": served}]
    return {"holder_id": "a", "closing_minutes": {"served": served}, "lines": lines}


def make_outcome(**changes: Any) -> Outcome:
    town = TownOutcome(
        town=None,  # type: ignore[arg-type]
        grants=[{"minutes": 60, "association_id": "a"}],
        lines={},
        needs=[],
        missions=[{"state": "closed", "association_id": "a", "served_minutes": 60}],
        statements=[make_statement()],
        books={"sum_minutes": 0, "entries_sum_minutes": 0, "accounts_out_of_step": 0},
        refusals=[{"code": "not-enough-credit"}],
        emails=[{"state": "sent", "event_type": NOTICE}],
        deliveries=[{"event_id": "e", "state": "delivered"}],
        reasons={},
        papers=make_papers(),
    )
    for name, value in changes.items():
        setattr(town, name, value)
    return Outcome([town], attempts=[object()], events=9, dead_letters=0, verified=1, mails_received=1)  # type: ignore[list-item]


def failed(outcome: Outcome, partner: Partner) -> list[str]:
    return [words for words, held in check(outcome, partner) if not held]


class TestCheck:
    def test_holds_when_everything_agrees(self, partner: Partner) -> None:
        partner.verified["e"] = "92071"
        outcome = make_outcome()
        assert failed(outcome, partner) == []
        outcome.checks = check(outcome, partner)
        assert outcome.figures(seconds=1.23) == {
            "ok": True, "grants": 1, "missions_closed": 1, "events": 9, "books_sum_minutes": 0, "webhooks_delivered": 1, "emails": 1,
            "trace_services": [], "seconds": 1.2,
        }  # fmt: skip

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"books": {"sum_minutes": 1, "entries_sum_minutes": 0, "accounts_out_of_step": 0}}, "livres"),
            ({"statements": [make_statement(served=45)]}, "relevé"),
            ({"statements": [make_statement(granted=45)]}, "relevé"),
            ({"statements": []}, "relevé"),
            ({"refusals": []}, "refusée faute de crédit"),
            ({"refusals": [{"code": "pledge-exhausted"}]}, "refusée faute de crédit"),
            (
                {
                    "missions": [],
                    "statements": [make_statement(served=0)],
                    "papers": make_papers(indicators={"total": {"served_minutes": 0}}),
                },
                "accordé et dépensé",
            ),
            ({"emails": [{"state": "sent", "event_type": "x.v1"}]}, "préavis"),
            (
                {
                    "missions": [
                        {"state": "validated"},
                        {"state": "closed", "association_id": "a", "served_minutes": 60},
                    ],
                },
                "en suspens",
            ),
            ({"papers": make_papers(convention={"state": "awaiting"})}, "reçu"),
            ({"papers": make_papers(receipt={"minutes": 45, "amount_cents": 4200})}, "reçu"),
            ({"papers": make_papers(open_data={"rows": []})}, "données ouvertes"),
            ({"emails": [{"state": "failed", "event_type": NOTICE}, {"state": "sent", "event_type": NOTICE}]}, "courriels"),
            ({"emails": [{"state": "sent", "event_type": NOTICE}] * 2}, "courriels"),
            ({"deliveries": [{"event_id": "other", "state": "delivered"}]}, "webhooks"),
            ({"deliveries": [{"event_id": "e", "state": "failed"}]}, "webhooks"),
            ({"deliveries": []}, "webhooks"),
        ],
    )
    def test_says_what_does_not_hold(self, partner: Partner, changes: dict[str, Any], said: str) -> None:
        partner.verified["e"] = "92071"
        (words,) = failed(make_outcome(**changes), partner)
        assert said in words


def make_trace(*services: str, webhook: bool = True, trace: str = "a" * 32) -> list[Span]:
    names = dict.fromkeys(services, "process") | ({services[-1]: "POST webhook x.v1"} if webhook else {})
    return [
        Span(trace, f"{number:016}", None, service, name, "server", number, number + 10, None)
        for number, (service, name) in enumerate(names.items())
    ]


class TestCheckTrace:
    @pytest.mark.parametrize(
        "traces",
        [
            [],
            [make_trace("gateway", "matching")],
            [make_trace("gateway", "matching", "credits", "notifications", webhook=False)],
        ],
    )
    def test_a_mission_that_cannot_be_followed_to_the_partner_fails_the_demo(
        self, partner: Partner, traces: list[list[Span]]
    ) -> None:
        partner.verified["e"] = "92071"
        outcome = make_outcome()
        outcome.traces = traces
        assert failed(outcome, partner) == []  # elsewhere, or with a collector
        outcome.trace_required = True
        (words,) = failed(outcome, partner)
        assert "suivie de bout en bout" in words

    def test_one_that_can_is_shown_and_its_processes_named(self, partner: Partner) -> None:
        partner.verified["e"] = "92071"
        outcome = make_outcome()
        outcome.traces = [make_trace("gateway", "matching"), make_trace(*TRACED, trace="b" * 32)]
        outcome.trace_required = True
        assert failed(outcome, partner) == []
        assert outcome.figures(seconds=1)["trace_services"] == list(TRACED)

    def test_is_read_from_the_files_that_are_there(self, tmp_path: Path) -> None:
        (tmp_path / "older").write_bytes(b"".join(orjson.dumps(asdict(span)) + b"\n" for span in make_trace("gateway")))
        files = [tmp_path / "none", tmp_path / "older"]
        assert read_traces(Tracks(["a" * 32, "b" * 32], files)) == [make_trace("gateway")]
        assert read_traces(Tracks(["b" * 32], files)) == []
