"""`metis deadletters` and `metis events replay`, in the services' own databases."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import aio_pika
import asyncpg
import pytest
from aio_pika.abc import AbstractQueue
from click.testing import Result
from typer.testing import CliRunner

from cli.main import app
from kernel.bus.rabbitmq import MANY_EVENTS, queue_arguments
from kernel.ids import new_id
from tests.builders.notifications import make_envelope, make_event
from tests.conftest import SERVICES
from tests.support.broker import Broker

Run = Callable[..., Awaitable[Result]]
TYPE = "matching.mission_closed.v1"


@pytest.fixture
async def run(owner_url: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """A function: one command, as a person types it, on databases without dead letters of other tests."""
    monkeypatch.delenv("METIS_AMQP_URL", raising=False)
    for service in SERVICES:
        monkeypatch.setenv(f"METIS_{service.upper()}_DATABASE_URL", owner_url(service))
        await query(owner_url(service), "DELETE FROM dead_letter")
        await query(owner_url(service), "DELETE FROM retry")
    # On a thread: a command has an event loop of its own.
    return lambda *words, **options: asyncio.to_thread(CliRunner().invoke, app, list(words), **options)


async def query(url: str, statement: str, *values: object) -> list[Any]:
    connection = await asyncpg.connect(url)
    try:
        rows: list[Any] = await connection.fetch(statement, *values)
        return rows
    finally:
        await connection.close()


async def park(url: str, *, type: str = TYPE, body: bytes = b'{"data": {"minutes": 60}}', reason: str = "KeyError: 'x'") -> UUID:
    id = new_id()
    await query(
        url,
        "INSERT INTO dead_letter (event_id, type, subject, territory, body, attempts, reason, stack)"
        " VALUES ($1, $2, 'a [subject]', '92071', $3, 7, $4, 'Traceback [of] it')",
        id, type, body, reason,
    )  # fmt: skip
    return id


async def ids(url: str, table: str) -> set[UUID]:
    return {row["event_id"] for row in await query(url, f"SELECT event_id FROM {table}")}


def words(result: Result) -> str:
    return " ".join(result.output.replace("│", " ").split())


@pytest.fixture
def credits(owner_url: Callable[[str], str]) -> str:
    return owner_url("credits")


@pytest.fixture
def matching(owner_url: Callable[[str], str]) -> str:
    return owner_url("matching")


class TestList:
    async def test_says_that_there_are_none(self, run: Run) -> None:
        result = await run("deadletters", "list")
        assert (result.exit_code, words(result)) == (0, "No dead letters.")

    async def test_names_those_of_every_service_with_the_reason(self, run: Run, credits: str, matching: str) -> None:
        there = [await park(credits, reason="ValueError: [odd] brackets"), await park(matching, type="?")]
        result = await run("deadletters", "list")
        assert all(str(id) in result.output for id in there)
        assert "[odd]" in result.output and "malformed" in result.output
        assert str(there[1]) not in (await run("deadletters", "list", "--service", "credits")).output

    async def test_says_when_there_are_more_than_it_shows(self, run: Run, credits: str, matching: str) -> None:
        shown, hidden = [await park(credits) for _ in range(2)]
        await park(matching)
        result = await run("deadletters", "list", "--limit", "1")
        assert str(shown) in result.output and str(hidden) not in result.output
        assert "credits: the oldest 1 of 2 are shown" in words(result) and "--limit 2" in words(result)
        assert "matching: the oldest" not in words(result)


class TestShow:
    async def test_has_event_reason_and_stack(self, run: Run, credits: str) -> None:
        result = await run("deadletters", "show", str(await park(credits)))
        assert result.exit_code == 0
        for said in (TYPE, "in credits", "a [subject]", "7 tries", "KeyError: 'x'", "Traceback [of] it", '"minutes": 60'):
            assert said in words(result), said

    async def test_has_the_bytes_of_what_is_no_event(self, run: Run, credits: str) -> None:
        result = await run("deadletters", "show", str(await park(credits, type="?", body=b"\x00[/nothing]")))
        assert result.exit_code == 0
        assert "Bytes that are no event" in words(result) and r"b'\x00[/nothing]'" in words(result)

    async def test_refuses_one_that_is_not_there(self, run: Run) -> None:
        result = await run("deadletters", "show", str(new_id()))
        assert result.exit_code == 1 and "No dead letter" in words(result)


class TestReplay:
    async def test_gives_the_named_ones_to_their_service_again(self, run: Run, credits: str, matching: str) -> None:
        one, other = await park(credits), await park(matching)
        result = await run("deadletters", "replay", str(one))
        assert (result.exit_code, words(result)) == (0, "credits: 1 given to the handlers again")
        assert (await ids(credits, "dead_letter"), await ids(credits, "retry")) == (set(), {one})
        assert await ids(matching, "dead_letter") == {other}

    async def test_gives_all_of_them(self, run: Run, credits: str, matching: str) -> None:
        there = {await park(credits) for _ in range(3)}, {await park(matching)}
        assert (await run("deadletters", "replay", "--all")).exit_code == 0
        assert (await ids(credits, "retry"), await ids(matching, "retry")) == there

    async def test_says_that_a_malformed_one_can_only_be_dropped(self, run: Run, credits: str) -> None:
        good, malformed = await park(credits), await park(credits, type="?")
        result = await run("deadletters", "replay", str(malformed))
        assert result.exit_code == 1
        assert f"Malformed, so that no handler can be given it: {malformed}" in words(result)
        assert "can only be dropped" in words(result)
        result = await run("deadletters", "replay", "--all")
        assert result.exit_code == 1 and "credits: 1 given" in words(result) and str(malformed) in words(result)
        assert (await ids(credits, "dead_letter"), await ids(credits, "retry")) == ({malformed}, {good})

    async def test_touches_nothing_when_one_is_not_there(self, run: Run, credits: str) -> None:
        there, missing = await park(credits), new_id()
        result = await run("deadletters", "replay", str(there), str(missing))
        assert result.exit_code == 1 and f"No dead letter {missing}." in words(result)
        assert await ids(credits, "dead_letter") == {there}

    async def test_must_be_told_which(self, run: Run) -> None:
        result = await run("deadletters", "replay")
        assert result.exit_code == 1 and "--all" in words(result)
        assert words(await run("deadletters", "replay", "--all")) == "No dead letters."


class TestDrop:
    async def test_deletes_the_named_ones_at_once(self, run: Run, credits: str) -> None:
        one, other = await park(credits, type="?"), await park(credits)
        result = await run("deadletters", "drop", str(one))
        assert (result.exit_code, words(result)) == (0, "credits: 1 dropped for good")
        assert await ids(credits, "dead_letter") == {other}

    @pytest.mark.parametrize(("answer", "left"), [("n\n", 2), ("\n", 2), ("y\n", 0)])
    async def test_asks_before_it_deletes_all(self, run: Run, credits: str, answer: str, left: int) -> None:
        for _ in range(2):
            await park(credits)
        result = await run("deadletters", "drop", "--all", input=answer)
        assert "Drop 2 of credits for good?" in words(result)
        assert (result.exit_code, len(await ids(credits, "dead_letter"))) == (1 if left else 0, left)

    async def test_deletes_nothing_when_nobody_can_answer(self, run: Run, credits: str) -> None:
        await park(credits)
        assert (await run("deadletters", "drop", "--all", input="")).exit_code == 1
        assert len(await ids(credits, "dead_letter")) == 1

    async def test_does_not_ask_when_told_so(self, run: Run, credits: str, matching: str) -> None:
        await park(credits)
        kept = await park(matching)
        result = await run("deadletters", "drop", "--all", "--yes", "--service", "credits")
        assert (result.exit_code, words(result)) == (0, "credits: 1 dropped for good")
        assert await ids(matching, "dead_letter") == {kept}


class TestEventsReplay:
    @pytest.fixture
    async def log(self, run: Run, owner_url: Callable[[str], str], territory: str) -> list[UUID]:
        """Past events of this test's territory: two that credits listens to, one that it does not."""
        url = owner_url("notifications")
        await query(url, "DELETE FROM territory")  # else other tests' events would be replayed, too
        await query(url, "INSERT INTO territory (territory, name) VALUES ($1, 'T')", territory)
        connection = await asyncpg.connect(url)
        await connection.execute("SELECT set_config('metis.territory', $1, false)", territory)
        past = []
        for type in ("matching.mission_agreed.v1", "matching.mission_validated.v1", "notifications.webhook_disabled.v1"):
            envelope, body = make_envelope(make_event(type), territory=territory), b"{}"
            await connection.execute(
                "INSERT INTO event_log (territory, event_id, type, subject, recorded_at, body) VALUES ($1, $2, $3, 's', $4, $5)",
                territory, envelope.id, type, datetime.now(UTC) - timedelta(days=2), body,
            )  # fmt: skip
            past.append(envelope.id)
        await connection.close()
        return past

    async def replay(self, run: Run, *more: str, days: int = 3) -> Result:
        since = f"{datetime.now().astimezone() - timedelta(days=days):%Y-%m-%d}"
        return await run("events", "replay", "--service", "credits", "--since", since, *more)

    async def test_queues_what_the_service_listens_to_and_does_not_know_once(
        self, run: Run, log: list[UUID], credits: str
    ) -> None:
        await query(credits, "INSERT INTO inbox (event_id, handled_at) VALUES ($1, now())", log[0])
        assert "2 events for credits" in words(result := await self.replay(run)) and "1 queued" in words(result)
        assert await ids(credits, "retry") == {log[1]}
        assert "0 queued" in words(await self.replay(run))

    async def test_of_one_type_when_told_so(self, run: Run, log: list[UUID], credits: str) -> None:
        assert "1 queued" in words(await self.replay(run, "--type", "matching.mission_agreed"))
        assert await ids(credits, "retry") == {log[0]}

    async def test_only_counts_in_a_dry_run(self, run: Run, log: list[UUID], credits: str) -> None:
        assert "2 events for credits" in words(await self.replay(run, "--dry-run"))
        assert await ids(credits, "retry") == set()

    async def test_takes_nothing_from_before(self, run: Run, log: list[UUID]) -> None:
        assert "0 events for credits" in words(await self.replay(run, days=1))

    async def test_refuses_a_moment_to_come_and_a_service_that_is_none(self, run: Run) -> None:
        result = await self.replay(run, days=-2)
        assert result.exit_code == 1 and "lies in the future" in words(result)
        result = await run("events", "replay", "--service", "nobody", "--since", "2026-01-01")
        assert result.exit_code == 1 and "No service is called 'nobody'" in words(result)


class TestRecover:
    @pytest.fixture
    async def put_aside(self, run: Run, broker: Broker, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AbstractQueue]:
        """The queue of a service, to which RabbitMQ does not deliver one message any more."""
        monkeypatch.setenv("METIS_AMQP_URL", broker.url)
        connection = await aio_pika.connect(broker.url)
        async with connection:
            channel = await connection.channel()
            dead = await channel.declare_queue("metis.registry.dead", durable=True, arguments={"x-queue-type": "quorum"})
            queue = await channel.declare_queue("metis.registry", durable=True, arguments=queue_arguments("registry"))
            await channel.default_exchange.publish(
                aio_pika.Message(b"{}\n{}", message_id="m", content_type=MANY_EVENTS), dead.name
            )
            yield queue
            await queue.delete(if_unused=False, if_empty=False)
            await dead.delete(if_unused=False, if_empty=False)

    async def test_gives_back_what_list_and_doctor_name(self, run: Run, put_aside: AbstractQueue, tmp_path: Path) -> None:
        said = words(await run("deadletters", "list"))
        assert "No dead letters." in said and "1 messages aside in metis.registry.dead" in said
        assert "metis deadletters recover --service registry" in said
        assert "metis.registry.dead" in words(await run("doctor", "--state", str(tmp_path / "none")))
        assert words(await run("deadletters", "recover")) == "registry: 1 messages given to its queue again"
        [message] = [await anext(aiter(put_aside.iterator()))]
        assert (message.body, message.message_id, message.content_type) == (b"{}\n{}", "m", MANY_EVENTS)
        await message.ack()
        assert words(await run("deadletters", "recover")) == "RabbitMQ has put nothing aside."
        assert words(await run("deadletters", "list")) == "No dead letters."

    async def test_a_broker_that_is_away_hides_no_other_dead_letter(
        self, run: Run, credits: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("METIS_AMQP_URL", "amqp://guest:guest@127.0.0.1:1/")
        id = await park(credits)
        result = await run("deadletters", "list")
        assert result.exit_code == 0 and str(id) in result.output and "cannot be seen" in words(result)
        assert (await run("deadletters", "recover")).exit_code == 1

    async def test_needs_a_broker(self, run: Run) -> None:
        result = await run("deadletters", "recover")
        assert result.exit_code == 1 and "METIS_AMQP_URL is not set" in words(result)
