"""The whole service running: from the bus to the letter-box and the partner's endpoint, in one trace."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
from fastapi import FastAPI

from kernel.bus.postgres import PostgresTransport
from kernel.bus.transport import Outgoing
from kernel.events.envelope import Event, encode_event
from kernel.ids import new_id
from kernel.work import open_work
from services.notifications.store import webhooks as store
from kernel.auth import Caller
from tests.builders.notifications import NOW, Town, make_webhook
from tests.notifications.conftest import Partner, PostOffice
from tests.support.waiting import wait_until

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def outgoing(event: Event, *, territory: str, subject: Any) -> Outgoing:
    id = new_id()
    body = encode_event(
        event,
        id=id,
        source="/metis/matching",
        time=NOW,
        subject=str(subject),
        territory=territory,
        traceparent=f"00-{TRACE}-00f067aa0ba902b7-01",
        actorid="system",
    )
    return Outgoing(id, event.event_type, str(subject), body)


async def test_an_event_becomes_letters_and_a_webhook_in_one_trace(
    make_app: Callable[..., FastAPI],
    town: Town,
    bus_url: str,
    post_office: PostOffice,
    partner: Partner,
    tmp_path: Path,
) -> None:
    hook = make_webhook(url=partner.url(), event_types=("*",))
    async with open_work(town.database, Caller.system(town.territory)) as work:
        await store.insert_webhook(work, hook)
    spans = tmp_path / "spans"
    app = make_app(
        "notifications",
        smtp_host="127.0.0.1",
        smtp_port=post_office.port,
        webhook_allow_private=True,
        spans_file=str(spans),
    )
    async with app.router.lifespan_context(app):
        await wait_until(lambda: app.state.bus.consumer.connected, what="the consumer")
        proposed = town.propose()
        transport = PostgresTransport(bus_url)
        assert await transport.publish([outgoing(proposed, territory=town.territory, subject=proposed.mission_id)]) == {}
        await transport.close()
        await wait_until(lambda: len(post_office.received) == 2, what="two letters")
        await wait_until(lambda: partner.received, what="the webhook")
    assert partner.received[0].verify(hook.secret)["data"]["title"] == "Tenir les comptes"
    assert TRACE in partner.received[0].headers["traceparent"]
    drawn = [span for span in map(orjson.loads, spans.read_bytes().splitlines()) if span["trace"] == TRACE]
    kinds = sorted((span["kind"], span["name"].split(" ")[0]) for span in drawn)
    assert kinds == [
        ("client", "POST"),
        ("consumer", "process"),
        ("internal", "announce"),
        ("producer", "send"),
        ("producer", "send"),
    ]
