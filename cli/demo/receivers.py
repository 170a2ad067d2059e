"""The outside world of the demo, on loopback: a mail server, and a partner's endpoint that verifies signatures."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError

from cli.console import CliError

SECRET_WAIT_SECONDS = 5.0


class MailServer:
    """An SMTP server that keeps what it gets in one mbox file, which any mail program opens."""

    def __init__(self, mbox: Path) -> None:
        self._mbox = mbox
        self._server: asyncio.Server | None = None
        self.port = 0
        self.received = mbox.read_bytes().count(b"\nX-Recipients: ") if mbox.exists() else 0

    async def start(self, host: str, port: int) -> None:
        from aiosmtpd.smtp import SMTP

        def make_protocol() -> Any:
            return SMTP(self, hostname="metis-demo", enable_SMTPUTF8=True)

        try:
            self._server = await asyncio.get_running_loop().create_server(make_protocol, host, port)
        except OSError as error:
            raise CliError(
                f"Le serveur SMTP de la démonstration ne peut pas écouter sur {host}:{port} : {error}.",
                cure="Choisissez un autre port avec --smtp-port (et METIS_SMTP_PORT de la plateforme), ou une autre adresse.",
            ) from error
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802  (aiosmtpd's name)
        """One message, accepted once it is in the file."""
        when = datetime.now(UTC).strftime("%a %b %d %H:%M:%S %Y")
        recipients = ", ".join(envelope.rcpt_tos)
        content = envelope.content.replace(b"\r\n", b"\n").replace(b"\nFrom ", b"\n>From ")
        head = f"From {envelope.mail_from or 'MAILER-DAEMON'} {when}\nX-Recipients: {recipients}\n"
        with self._mbox.open("ab") as file:
            file.write(head.encode() + content.rstrip(b"\n") + b"\n\n")
        self.received += 1
        return "250 OK"

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()


@dataclass
class Partner:
    """A partner's endpoint: what it verified, by territory, kept in a file of one JSON object a line."""

    journal: Path
    secrets: dict[str, str] = field(default_factory=dict)  # by path: /92071
    verified: dict[str, str] = field(default_factory=dict)  # message id: territory
    refused: list[str] = field(default_factory=list)
    _known: threading.Condition = field(default_factory=threading.Condition)

    def __post_init__(self) -> None:
        if self.journal.exists():
            for line in self.journal.read_text().splitlines():
                entry = json.loads(line)
                self.verified[entry["id"]] = entry["territory"]

    def know(self, path: str, secret: str) -> None:
        """The secret that deliveries to this path are signed with."""
        with self._known:
            self.secrets[path] = secret
            self._known.notify_all()

    def receive(self, path: str, body: bytes, headers: dict[str, str]) -> int:
        """Verify one delivery; the status to answer. The same message twice is one."""
        with self._known:
            # A first delivery may be quicker than the partner, who has just asked for its secret.
            self._known.wait_for(lambda: path in self.secrets, SECRET_WAIT_SECONDS)
            secret = self.secrets.get(path)
        if secret is None:
            return 503
        try:
            event = Webhook(secret).verify(body, headers)
        except WebhookVerificationError as error:
            self.refused.append(f"{path}: {error}")
            return 401
        if f"/{event['territory']}" != path:
            self.refused.append(f"{path}: an event of {event['territory']}")
            return 400
        with self._known:
            if event["id"] not in self.verified:
                self.verified[event["id"]] = event["territory"]
                with self.journal.open("a") as file:
                    entry = {
                        "id": event["id"],
                        "type": event["type"],
                        "territory": event["territory"],
                        "subject": event["subject"],
                    }
                    file.write(json.dumps(entry) + "\n")
        return 204


@contextmanager
def serve_partner(partner: Partner, host: str, port: int) -> Iterator[int]:
    """The partner's HTTP server, in threads of its own. Gives its port."""

    class Endpoint(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            status = partner.receive(self.path, body, {name.lower(): value for name, value in self.headers.items()})
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *arguments: Any) -> None:
            """The partner keeps a journal instead."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

    try:
        server = Server((host, port), Endpoint)
    except OSError:
        try:
            server = Server((host, 0), Endpoint)
        except OSError as error:
            raise CliError(f"Le partenaire de la démonstration ne peut pas écouter sur {host} : {error}.") from error
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, name="partner", daemon=True)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
