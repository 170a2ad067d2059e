"""A town that hears events, a real SMTP server and a real partner on loopback."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default as modern_policy
from typing import Any, cast

import pytest
from aiohttp import web
from aiosmtpd.smtp import SMTP as SmtpServerProtocol
from aiosmtpd.smtp import Envelope as SmtpEnvelope
from pydantic import SecretStr
from standardwebhooks.webhooks import Webhook as PartnerLibrary

from cli.ports import find_free_port
from kernel.auth import Caller
from kernel.database import Database
from kernel.work import open_work
from services.notifications.settings import Settings
from tests.builders.notifications import Town
from tests.support.clients import PUBLIC_KEYS


@pytest.fixture
async def database(make_database: Callable[..., Database]) -> Database:
    """The service's database without errands of other tests (they belong to no territory alone)."""
    made = make_database("notifications")
    async with open_work(made, Caller.system("*")) as work:
        await work.driver.execute("DELETE FROM errand")
    return made


@pytest.fixture
async def town(database: Database, territory: str) -> Town:
    made = Town(database, territory)
    await made.settle_in()
    return made


@pytest.fixture
def settings(service_url: Callable[[str], str], bus_url: str) -> Settings:
    return Settings(
        database_url=SecretStr(service_url("notifications")),
        bus_database_url=SecretStr(bus_url),
        internal_public_keys=PUBLIC_KEYS,
        smtp_from="Métis de Sceaux <metis@sceaux.exemple.test>",
        smtp_timeout_seconds=5,
        email_retry_delays_seconds=[30, 120],
        webhook_allow_private=True,
        webhook_timeout_seconds=2,
        webhook_retry_delays_seconds=[5, 30],
    )


# ---- SMTP -----------------------------------------------------------------------------------------------------------


@dataclass
class PostOffice:
    """A real SMTP server. What it makes of a recipient is in the beginning of the address."""

    port: int = 0
    received: list[EmailMessage] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    connections: int = 0
    hanging: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle_EHLO(self, server: Any, session: Any, envelope: Any, hostname: str, responses: list[str]) -> list[str]:
        self.connections += 1
        session.host_name = hostname
        return responses

    async def handle_RCPT(self, server: Any, session: Any, envelope: SmtpEnvelope, address: str, options: list[str]) -> str:
        if address.startswith("unknown"):
            return "550 5.1.1 no such mailbox"
        if address.startswith("busy"):
            return "451 4.3.0 try again later"
        if address.startswith("login"):
            return "530 5.7.0 authentication required"
        if address.startswith("hangs"):
            self.hanging.set()
            await asyncio.Event().wait()
        if address.startswith("hangup"):
            server.transport.close()
            return "421 good-bye"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: SmtpEnvelope) -> str:
        content = envelope.content
        assert isinstance(content, bytes)
        self.received.append(message_from_bytes(content, policy=modern_policy))
        self.recipients += envelope.rcpt_tos
        return "250 taken"


@pytest.fixture
async def post_office() -> AsyncIterator[PostOffice]:
    async with open_post_office(smtputf8=True) as office:
        yield office


@pytest.fixture
async def old_post_office() -> AsyncIterator[PostOffice]:
    """A server that knows addresses in ASCII alone."""
    async with open_post_office(smtputf8=False) as office:
        yield office


@asynccontextmanager
async def open_post_office(*, smtputf8: bool) -> AsyncIterator[PostOffice]:
    office = PostOffice()
    server = await asyncio.get_running_loop().create_server(
        lambda: SmtpServerProtocol(office, enable_SMTPUTF8=smtputf8), "127.0.0.1", 0
    )
    office.port = server.sockets[0].getsockname()[1]
    yield office
    server.close()
    await server.wait_closed()


# ---- A partner ------------------------------------------------------------------------------------------------------


@dataclass
class Received:
    path: str
    headers: dict[str, str]
    body: bytes

    def verify(self, secret: str) -> Any:
        """What the partner's own library makes of it; raises when the signature is not ours."""
        return PartnerLibrary(secret).verify(self.body, self.headers)


@dataclass
class Partner:
    """A real HTTP server. `answers[path]` is a status, or a function of the request; 200 unless set."""

    port: int = 0
    received: list[Received] = field(default_factory=list)
    answers: dict[str, Any] = field(default_factory=dict)

    def url(self, path: str = "/hooks") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def at(self, path: str) -> list[Received]:
        return [one for one in self.received if one.path == path]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.received.append(Received(request.path, dict(request.headers), await request.read()))
        answer = self.answers.get(request.path, 200)
        if callable(answer):
            return cast(web.StreamResponse, await answer(request))
        return web.Response(status=answer, text="merci")


@pytest.fixture
async def partner() -> AsyncIterator[Partner]:
    made = Partner(port=find_free_port())
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", made.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", made.port).start()
    yield made
    await runner.cleanup()


async def slow(_: web.Request) -> web.Response:
    """An endpoint that answers long after we stopped waiting."""
    await asyncio.sleep(30)
    return web.Response()
