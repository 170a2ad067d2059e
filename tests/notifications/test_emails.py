"""Sending e-mails to a real SMTP server."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from email import message_from_bytes
from email.header import decode_header, make_header
from email.policy import default as modern_policy
from email.utils import parseaddr
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy import select, update

from cli.ports import find_free_port
from kernel.auth import Caller
from kernel.clock import utc_now
from kernel.database import Database
from kernel.work import open_work
from services.notifications.clients.smtp import MOST_LOSSES, SendingFailed, SmtpConnection, build_message
from services.notifications.domain.errands import ErrandKind
from services.notifications.domain.messages import Email
from services.notifications.jobs.emails import MOST_UNRECORDED, EmailSender, Outcome, Records
from services.notifications.letters import one_line
from services.notifications.settings import Settings
from services.notifications.store import errands, messages
from services.notifications.tables import email, errand
from tests.builders.notifications import NOW, make_email, make_errand, make_settings
from tests.notifications.conftest import PostOffice
from tests.support.waiting import wait_until


async def post(database: Database, territory: str, *addresses: str, **changes: Any) -> list[Email]:
    """Let e-mails to these addresses wait, as an announcement does."""
    made = [make_email(address=address, **{"created_at": utc_now()} | changes) for address in addresses]
    async with open_work(database, Caller.system(territory)) as work:
        await messages.save_emails(work, made)
        await errands.put_errands(work, ErrandKind.EMAIL, [one.id for one in made])
    return made


async def states(database: Database, territory: str) -> dict[str, Any]:
    async with open_work(database, Caller.system(territory)) as work:
        return {row.address: row for row in await work.connection.execute(select(email))}


async def count_errands(database: Database) -> int:
    async with open_work(database, Caller.system("*")) as work:
        return len((await work.connection.execute(select(errand))).all())


def make_sender(settings: Settings, office: PostOffice | None = None, *, after_seconds: float = 0, **changes: Any) -> EmailSender:
    found = make_settings(settings, smtp_host="127.0.0.1", smtp_port=office.port if office else find_free_port(), **changes)
    return EmailSender(found, now=lambda: utc_now() + timedelta(seconds=after_seconds), jitter=lambda: 1)


class TestSend:
    async def test_delivers_over_one_connection(
        self, database: Database, territory: str, settings: Settings, post_office: PostOffice
    ) -> None:
        made = await post(database, territory, *(f"a{n}@exemple.test" for n in range(5)))
        await make_sender(settings, post_office).run(database)
        assert [message["Message-ID"] for message in post_office.received] == [f"<{one.id}@sceaux.exemple.test>" for one in made]
        assert post_office.connections == 1
        found = await states(database, territory)
        assert {(row.state, row.tries) for row in found.values()} == {("sent", 1)}
        assert all(row.sent_at for row in found.values())
        assert await count_errands(database) == 0

    async def test_the_message_reads_as_it_was_written(
        self, database: Database, territory: str, settings: Settings, post_office: PostOffice
    ) -> None:
        body = "Bonjour Zoé,\n\nÀ bientôt, l’équipe — 1 h 30.\n.\nFin\n"
        await post(database, territory, "zoe@exemple.test", name="Zoé Éxemple", subject="Réunion\u00a0: « été »", body=body)
        await make_sender(settings, post_office).run(database)
        [message] = post_office.received
        assert message["Subject"] == "Réunion\u00a0: « été »"
        assert message["To"].addresses[0].display_name == "Zoé Éxemple"
        assert parseaddr(str(message["From"])) == ("Métis de Sceaux", "metis@sceaux.exemple.test")
        assert message["Auto-Submitted"] == "auto-generated"
        assert message.get_content().replace("\r\n", "\n") == body

    @pytest.mark.parametrize("address", ["zoé@exemple.test", "zoe@exémple.test"])
    async def test_an_address_beyond_ascii_needs_a_server_that_takes_it(
        self, database: Database, territory: str, settings: Settings, post_office: PostOffice, old_post_office: PostOffice,
        address: str,
    ) -> None:  # fmt: skip
        for office, state in ((old_post_office, "failed"), (post_office, "sent")):
            await post(database, territory, address)
            await make_sender(settings, office).run(database)
            row = (await states(database, territory))[address]
            assert row.state == state and (state == "sent" or "SMTPUTF8" in row.reason)
        assert old_post_office.recipients == [] and post_office.recipients == [address]

    async def test_records_each_email_while_the_next_leaves(
        self, database: Database, territory: str, settings: Settings, post_office: PostOffice
    ) -> None:
        await post(database, territory, "a@exemple.test", "hangs@exemple.test")
        sending = asyncio.create_task(make_sender(settings, post_office).run(database))
        await asyncio.wait_for(post_office.hanging.wait(), 10)

        async def is_recorded() -> bool:
            return bool((await states(database, territory))["a@exemple.test"].state == "sent")

        await wait_until(is_recorded, what="the first to be recorded")
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        found = await states(database, territory)
        assert (found["a@exemple.test"].state, found["hangs@exemple.test"].state) == ("sent", "waiting")
        assert await count_errands(database) == 1

    async def test_finds_what_waits_in_every_territory(
        self, database: Database, territory: str, settings: Settings, post_office: PostOffice
    ) -> None:
        await post(database, territory, "ici@exemple.test")
        await post(database, "2A004", "ailleurs@exemple.test")
        await make_sender(settings, post_office).run(database)
        assert {str(message["To"].addresses[0].addr_spec) for message in post_office.received} == {
            "ici@exemple.test", "ailleurs@exemple.test",
        }  # fmt: skip

    async def test_everything_waits_while_no_server_is_set(self, database: Database, territory: str, settings: Settings) -> None:
        await post(database, territory, "a@exemple.test")
        await EmailSender(settings).run(database)
        assert (await states(database, territory))["a@exemple.test"].state == "waiting"
        assert await count_errands(database) == 1


class TestRecords:
    """Without a database: what is written together, and what is not lost."""

    @staticmethod
    def make_outcomes(count: int) -> list[Outcome]:
        return [Outcome(one, make_errand(ErrandKind.EMAIL, one.id)) for one in (make_email() for _ in range(count))]

    async def test_what_comes_within_a_moment_or_during_a_commit_shares_one(self) -> None:
        written: list[list[Outcome]] = []
        begun, may_commit = asyncio.Event(), asyncio.Event()

        async def write(outcomes: Sequence[Outcome]) -> None:
            written.append(list(outcomes))
            begun.set()
            await may_commit.wait()

        records, outcomes = Records(write, linger_seconds=0), self.make_outcomes(5)
        for outcome in outcomes[:2]:
            await records.add(outcome)
        await asyncio.wait_for(begun.wait(), 5)
        for outcome in outcomes[2:]:
            await asyncio.wait_for(records.add(outcome), 5)
        may_commit.set()
        await records.finish()
        assert written == [outcomes[:2], outcomes[2:]]

    async def test_one_at_fault_takes_no_other_with_it(self) -> None:
        outcomes = self.make_outcomes(3)
        written: list[Outcome] = []

        async def write(those: Sequence[Outcome]) -> None:
            if outcomes[1] in those:
                raise ValueError("cannot be written")
            written.extend(those)

        records = Records(write)
        for outcome in outcomes:
            await records.add(outcome)
        await records.finish()
        assert written == [outcomes[0], outcomes[2]]

    async def test_the_sender_waits_when_too_many_are_not_written(self) -> None:
        begun, may_commit = asyncio.Event(), asyncio.Event()

        async def write(_: Sequence[Outcome]) -> None:
            begun.set()
            await may_commit.wait()

        records, outcomes = Records(write), self.make_outcomes(MOST_UNRECORDED)
        await records.add(outcomes[0])
        await asyncio.wait_for(begun.wait(), 5)
        for outcome in outcomes[1:-1]:
            await asyncio.wait_for(records.add(outcome), 5)
        last = asyncio.create_task(records.add(outcomes[-1]))
        await asyncio.sleep(0)
        assert not last.done()
        may_commit.set()
        await asyncio.wait_for(last, 5)

    async def test_whoever_stops_still_writes_down_what_left(self) -> None:
        begun, may_commit = asyncio.Event(), asyncio.Event()
        written: list[Outcome] = []

        async def write(outcomes: Sequence[Outcome]) -> None:
            begun.set()
            await may_commit.wait()
            written.extend(outcomes)

        records, outcomes = Records(write), self.make_outcomes(1)
        await records.add(outcomes[0])
        stopping = asyncio.create_task(records.finish())
        await begun.wait()
        stopping.cancel()
        await asyncio.gather(stopping, return_exceptions=True)
        may_commit.set()
        await records.finish()
        assert written == outcomes


class TestFailure:
    async def test_a_refusal_for_good_is_final_and_says_why(
        self, database: Database, territory: str, settings: Settings, post_office: PostOffice
    ) -> None:
        await post(database, territory, "unknown@exemple.test", "known@exemple.test")
        await make_sender(settings, post_office).run(database)
        found = await states(database, territory)
        assert (found["unknown@exemple.test"].state, found["known@exemple.test"].state) == ("failed", "sent")
        assert "550" in found["unknown@exemple.test"].reason
        assert await count_errands(database) == 0

    async def test_a_trouble_is_tried_again_later_each_time_and_then_given_up(
        self, database: Database, territory: str, settings: Settings, post_office: PostOffice
    ) -> None:
        await post(database, territory, "busy@exemple.test")
        seen = []
        for after_seconds in (0, 10, 40, 100, 170):
            await make_sender(settings, post_office, after_seconds=after_seconds).run(database)
            row = (await states(database, territory))["busy@exemple.test"]
            seen.append((row.state, row.tries))
        # Delays of 30 s and 120 s: nothing at 10 s, a second try at 40 s, nothing at 100 s, the last at 170 s.
        assert seen == [("waiting", 1), ("waiting", 1), ("waiting", 2), ("waiting", 2), ("failed", 3)]
        assert "451" in row.reason
        assert await count_errands(database) == 0

    async def test_a_server_that_is_away_costs_one_connection_a_batch(
        self, database: Database, territory: str, settings: Settings
    ) -> None:
        await post(database, territory, *(f"a{n}@exemple.test" for n in range(3)))
        await make_sender(settings).run(database)
        found = await states(database, territory)
        assert {(row.state, row.tries) for row in found.values()} == {("waiting", 1)}
        assert all("cannot be reached" in row.reason for row in found.values())

    async def test_a_lost_connection_delays_one_email_and_not_the_next(
        self, database: Database, territory: str, settings: Settings, post_office: PostOffice
    ) -> None:
        await post(database, territory, "hangup@exemple.test", "next@exemple.test")
        await make_sender(settings, post_office).run(database)
        found = await states(database, territory)
        assert (found["hangup@exemple.test"].state, found["next@exemple.test"].state) == ("waiting", "sent")

    async def test_a_server_that_keeps_hanging_up_is_left_alone_until_the_next_batch(
        self, database: Database, territory: str, settings: Settings, post_office: PostOffice
    ) -> None:
        await post(database, territory, *(f"hangup{n}@exemple.test" for n in range(6)))
        await make_sender(settings, post_office).run(database)
        assert post_office.connections == MOST_LOSSES
        assert {(row.state, row.tries) for row in (await states(database, territory)).values()} == {("waiting", 1)}

    async def test_a_login_that_is_wanted_is_no_fault_of_the_email(
        self, database: Database, territory: str, settings: Settings, post_office: PostOffice
    ) -> None:
        await post(database, territory, "login@exemple.test")
        await make_sender(settings, post_office).run(database)
        assert (await states(database, territory))["login@exemple.test"].state == "waiting"

    async def test_a_malformed_address_is_final(
        self, database: Database, territory: str, settings: Settings, post_office: PostOffice
    ) -> None:
        await post(database, territory, "a@b@c", "x\r\nBcc: y@z.test")
        await make_sender(settings, post_office).run(database)
        assert {row.state for row in (await states(database, territory)).values()} == {"failed"}
        assert post_office.received == []

    async def test_a_refused_login_lets_everything_wait(
        self, database: Database, territory: str, settings: Settings, post_office: PostOffice
    ) -> None:
        await post(database, territory, "a@exemple.test")
        await make_sender(settings, post_office, smtp_username="metis", smtp_password="x").run(database)
        assert (await states(database, territory))["a@exemple.test"].state == "waiting"

    async def test_one_that_never_found_a_server_in_a_day_is_given_up(
        self, database: Database, territory: str, settings: Settings, post_office: PostOffice
    ) -> None:
        await post(database, territory, "old@exemple.test", created_at=utc_now() - timedelta(hours=25))
        await make_sender(settings, post_office).run(database)
        row = (await states(database, territory))["old@exemple.test"]
        assert row.state == "failed" and "longer than a day" in row.reason
        assert post_office.received == []


class TestCrash:
    async def test_what_a_dead_process_held_comes_back_when_its_lease_ends(
        self, database: Database, territory: str, settings: Settings, post_office: PostOffice
    ) -> None:
        await post(database, territory, "a@exemple.test")
        await make_sender(settings, post_office)._take(database)  # and then the process is gone
        await make_sender(settings, post_office, after_seconds=60).run(database)
        assert post_office.received == []
        await make_sender(settings, post_office, after_seconds=3600).run(database)
        assert len(post_office.received) == 1
        assert (await states(database, territory))["a@exemple.test"].tries == 2

    async def test_what_a_stopping_process_had_not_begun_is_the_next_ones_at_once(
        self, database: Database, territory: str, settings: Settings, post_office: PostOffice
    ) -> None:
        await post(database, territory, "hangs@exemple.test", "b@exemple.test", "c@exemple.test")
        stopping = asyncio.create_task(make_sender(settings, post_office).run(database))
        await asyncio.wait_for(post_office.hanging.wait(), 10)
        stopping.cancel()
        await asyncio.gather(stopping, return_exceptions=True)
        await make_sender(settings, post_office).run(database)
        assert sorted(parseaddr(str(message["To"]))[1] for message in post_office.received) == [
            "b@exemple.test",
            "c@exemple.test",
        ]

    async def test_one_that_ends_the_process_each_time_is_given_up(
        self, database: Database, territory: str, settings: Settings, post_office: PostOffice
    ) -> None:
        await post(database, territory, "a@exemple.test")
        for turn in range(3):
            await make_sender(settings, post_office, after_seconds=turn * 3600)._take(database)
        await make_sender(settings, post_office, after_seconds=4 * 3600).run(database)
        row = (await states(database, territory))["a@exemple.test"]
        assert row.state == "failed" and "ended the process" in row.reason
        assert post_office.received == []

    async def test_two_senders_at_once_send_each_email_once(
        self, database: Database, territory: str, settings: Settings, post_office: PostOffice
    ) -> None:
        await post(database, territory, *(f"a{n}@exemple.test" for n in range(120)))
        await asyncio.gather(*(make_sender(settings, post_office).run(database) for _ in range(3)))
        ids = [str(message["Message-ID"]) for message in post_office.received]
        assert len(ids) == len(set(ids)) == 120

    async def test_an_email_that_no_longer_waits_is_not_sent(
        self, database: Database, territory: str, settings: Settings, post_office: PostOffice
    ) -> None:
        await post(database, territory, "a@exemple.test")
        async with open_work(database, Caller.system(territory)) as work:
            await work.connection.execute(update(email).values(state="failed"))
        await make_sender(settings, post_office).run(database)
        assert post_office.received == [] and await count_errands(database) == 0


anything = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
awkward = st.text("aé œ,\"'.:;<>@()[]\\=?_-\n🎉👩‍👧漢", max_size=200)
SENDER = ("Métis, « Sceaux »", "metis@exemple.test")


class TestBuildMessage:
    @given((anything | awkward).map(one_line), (anything | awkward).map(one_line), anything | awkward)
    @example("=?utf-8?q?x?=", "=?utf-8?q?x?=", ".\n..\nFrom \n \n")
    @example("Jean d'Exemple-Test", "Votre besoin est ouvert", "a" * 2000)
    def test_python_reads_back_every_header_and_the_body(self, name: str, subject: str, body: str) -> None:
        sent = make_email(name=name, subject=subject, body=body)
        built = build_message(sent, sender=SENDER, now=NOW)
        message = message_from_bytes(built, policy=modern_policy)
        assert not message.defects and not any(header.defects for header in message.values())
        assert message["Subject"] == subject
        assert message["From"].addresses[0].display_name == SENDER[0]
        assert (message["From"].addresses[0].addr_spec, message["To"].addresses[0].addr_spec) == (SENDER[1], sent.address)
        assert message["Date"].datetime == NOW
        assert message["Message-ID"] == f"<{sent.id}@exemple.test>"
        assert (message["Auto-Submitted"], message["Content-Language"]) == ("auto-generated", "fr")
        assert message.get_content().split("\r\n")[:-1] == [line.decode() for line in body.encode().splitlines()]
        # Not by `addresses`: Python 3.11 shows the fold between two encoded words of a name as a space (RFC 2047, 6.2).
        shown = message_from_bytes(built)["To"].removesuffix(f"<{sent.address}>").removesuffix("\r\n ")
        assert str(make_header(decode_header(shown))) == name

    @given(anything | awkward, anything | awkward, anything | awkward)
    def test_no_text_adds_a_header_or_a_long_line(self, name: str, subject: str, body: str) -> None:
        with suppress(ValueError):
            built = build_message(make_email(name=name, subject=subject, body=body), sender=SENDER, now=NOW)
            lines = built.split(b"\r\n")
            assert built.isascii() and all(len(line) <= 76 and not {*b"\r\n"} & {*line} for line in lines)
            names = [line.partition(b":")[0].lower() for line in lines[: lines.index(b"")] if not line.startswith(b" ")]
            assert sorted(names) == sorted(
                b"from to subject date message-id auto-submitted mime-version"
                b" content-language content-type content-transfer-encoding".split()
            )

    @pytest.mark.parametrize("field", ["name", "subject", "address", "locale"])
    @pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
    def test_refuses_a_line_break_in_a_header(self, field: str, end: str) -> None:
        with pytest.raises(ValueError):
            build_message(make_email(**{field: f"x@y.test{end}Bcc: z@y.test"}), sender=SENDER, now=NOW)

    async def test_what_cannot_be_built_is_refused_for_good(self, settings: Settings) -> None:
        async with SmtpConnection(settings) as smtp:
            with pytest.raises(SendingFailed) as failure:
                await smtp.send(make_email(address=""), now=NOW)
        assert failure.value.permanent


class TestSettings:
    def test_tls_and_starttls_exclude_each_other(self, settings: Settings) -> None:
        with pytest.raises(ValueError, match="not both"):
            make_settings(settings, smtp_tls=True, smtp_starttls=True)

    @pytest.mark.parametrize("sender", ["", "Métis", "a@b@c"])
    def test_the_sender_is_an_address(self, settings: Settings, sender: str) -> None:
        with pytest.raises(ValueError):
            make_settings(settings, smtp_from=sender)
