"""The whole service as a process of its own: from the bus to the letter-box and the partner's endpoint, in one trace."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import orjson
from sqlalchemy import func, select

from cli.ports import find_free_port
from kernel.auth import Caller
from kernel.bus.postgres import PostgresTransport
from kernel.bus.transport import Outgoing
from kernel.events.envelope import Event, encode_event
from kernel.ids import new_id
from kernel.work import open_work
from services.notifications.store import webhooks as store
from services.notifications.tables import errand
from tests.builders.notifications import NOW, Town, make_event, make_webhook
from tests.notifications.conftest import Partner, PostOffice
from tests.support.clients import PUBLIC_KEYS
from tests.support.waiting import wait_until

ROOT = Path(__file__).parent.parent.parent
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@asynccontextmanager
async def running_service(**settings: object) -> AsyncIterator[None]:
    """The service, ready and consuming; told to stop at the end, and gone by then."""
    port = find_free_port()
    environment = (
        os.environ | {f"METIS_{name.upper()}": str(value) for name, value in settings.items()} | {"METIS_PORT": str(port)}
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "kernel.web", "services.notifications.app:make_service", cwd=ROOT, env=environment
    )
    try:
        async with httpx2.AsyncClient() as client:

            async def is_consuming() -> bool:
                assert process.returncode is None, "the service ended"
                try:
                    answer = await client.get(f"http://127.0.0.1:{port}/health/ready")
                except httpx2.TransportError:
                    return False
                return bool(answer.json().get("consuming"))

            await wait_until(is_consuming, what="the service")
        yield
    finally:
        process.terminate()
        # uvicorn drains, then lets the signal have its way.
        assert await asyncio.wait_for(process.wait(), 20) in (0, -signal.SIGTERM)


async def is_done(town: Town) -> bool:
    async with open_work(town.database, Caller.system("*")) as work:
        return not await work.connection.scalar(select(func.count()).where(errand.c.territory == town.territory))


def make_outgoing(event: Event, *, territory: str, subject: Any) -> Outgoing:
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
    return Outgoing(0, id, event.event_type, str(subject), body, None)


async def test_an_event_becomes_letters_and_a_webhook_in_one_trace(
    service_url: Callable[[str], str], town: Town, bus_url: str, post_office: PostOffice, partner: Partner, tmp_path: Path
) -> None:
    hook = make_webhook(url=partner.url(), event_types=("*",))
    async with open_work(town.database, Caller.system(town.territory)) as work:
        await store.insert_webhook(work, hook)
    spans = tmp_path / "spans"
    async with running_service(
        database_url=service_url("notifications"),
        bus_database_url=bus_url,
        internal_public_keys=PUBLIC_KEYS,
        smtp_host="127.0.0.1",
        smtp_port=post_office.port,
        webhook_allow_private=True,
        spans_file=spans,
    ):
        opened = make_event("matching.need_opened.v1", association_id=town.association_id, title="Un site web")
        transport = PostgresTransport(bus_url)
        assert await transport.publish([make_outgoing(opened, territory=town.territory, subject=new_id())]) == {}
        await transport.close()
        await wait_until(lambda: post_office.received, what="the letter")
        await wait_until(lambda: partner.received, what="the webhook")
        # Whoever stops in the middle of a sending has no span of it.
        await wait_until(lambda: is_done(town), what="all of it to be written down")
    assert partner.received[0].verify(hook.secret)["data"]["title"] == "Un site web"
    assert TRACE in partner.received[0].headers["traceparent"]
    drawn = [span for span in map(orjson.loads, spans.read_bytes().splitlines()) if span["trace"] == TRACE]
    kinds = sorted((span["kind"], span["name"].split(" ")[0]) for span in drawn)
    assert kinds == [("client", "POST"), ("consumer", "process"), ("internal", "announce"), ("producer", "send")]
    ids = {span["span"] for span in drawn}
    assert sum(span["parent"] in ids for span in drawn) == 2  # the delivery below its handler, the e-mail below its announcement
