"""The SMTP server: one connection for a batch, and refusals told apart from troubles."""

import re
import string
from binascii import b2a_qp
from datetime import datetime
from email.utils import format_datetime, parseaddr
from types import TracebackType
from typing import Self

import aiosmtplib
from aiosmtplib import SMTP, SMTPException, SMTPRecipientsRefused, SMTPResponseException

from services.notifications.domain.messages import Email, is_address
from services.notifications.settings import Settings

_CONNECTION_LOST = (aiosmtplib.SMTPServerDisconnected, aiosmtplib.SMTPConnectError, aiosmtplib.SMTPTimeoutError, OSError)
# The server wants a login, or another one (RFC 4954): ours to mend, not the e-mail's fault.
_ABOUT_LOGIN = frozenset({530, 534, 535, 538})
# A server that keeps hanging up is left alone until the next batch.
MOST_LOSSES = 3
# What stands in a header as it is. Everything else becomes encoded words, so that nothing ever needs quotes.
_PLAIN = re.compile(r"([A-Za-z0-9'-]+( [A-Za-z0-9'-]+)*)?")
# Of an encoded word, so that "Subject: =?utf-8?q?...?=" stays within the 76 characters of a line (RFC 2047, section 2).
_MOST_CHARACTERS = 54
_IN_WORDS = {character: character for character in string.ascii_letters + string.digits + "-"} | {" ": "_"}


class SendingFailed(Exception):
    """The e-mail did not leave. `permanent`: the server will never take it."""

    def __init__(self, reason: str, *, permanent: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.permanent = permanent


def build_message(email: Email, *, sender: tuple[str, str], now: datetime) -> bytes:
    """The bytes of the message as it leaves; `sender` is a name and an address. Raises ValueError when an address is none,
    or when a header would hold a line break.

    Its Message-ID is the e-mail's own: a repeated sending can be recognised. It is written by hand, in the one form that
    holds every text, since `email.message` takes twenty times as long: more than all the rest of sending and recording.
    """
    if not is_address(email.address):  # the sender's was checked with the settings
        raise ValueError(f"{email.address!r} is no address")
    head = [
        f"From: {_mailbox(*sender)}",
        f"To: {_mailbox(email.name, email.address)}",
        f"Subject: {_encode(email.subject)}",
        f"Date: {format_datetime(now)}",
        f"Message-ID: <{email.id}@{sender[1].rpartition('@')[2]}>",
        "Auto-Submitted: auto-generated",  # RFC 3834: no holiday replies, please
        f"Content-Language: {_encode(email.locale)}",
        "MIME-Version: 1.0",
        'Content-Type: text/plain; charset="utf-8"',
        "Content-Transfer-Encoding: quoted-printable",
    ]
    lines = email.body.encode().splitlines()
    return "\r\n".join([*head, "", ""]).encode() + b2a_qp(b"\r\n".join([*lines, b""]))


def _mailbox(name: str, address: str) -> str:
    # On a line of its own: it cannot be folded, and the name before it may be long.
    return f"{_encode(name)}\r\n <{address}>" if name else f"<{address}>"


def _encode(text: str) -> str:
    """A text in a header: as it is, or as encoded words (RFC 2047, section 4.2) that hold whole characters, one a line."""
    if "\r" in text or "\n" in text:
        raise ValueError(f"a line break in {text!r}")
    if len(text) <= _MOST_CHARACTERS and _PLAIN.fullmatch(text):
        return text
    words = [""]
    for character in text:
        encoded = _IN_WORDS.get(character) or "".join(f"={byte:02X}" for byte in character.encode())
        if len(words[-1]) + len(encoded) > _MOST_CHARACTERS:
            words.append("")
        words[-1] += encoded
    return "\r\n ".join(f"=?utf-8?q?{word}?=" for word in words)


class SmtpConnection:
    """`async with SmtpConnection(settings) as smtp: await smtp.send(email, now=...)`; connects at the first sending."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._sender = parseaddr(settings.smtp_from)
        self._client: SMTP | None = None
        self._unreachable: str | None = None
        self._losses = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, error: BaseException | None, _stack: TracebackType | None
    ) -> None:
        if self._client is not None and error is None:
            try:
                await self._client.quit()
            except (SMTPException, *_CONNECTION_LOST):
                pass  # Everything was answered; how the server says good-bye changes nothing.
        self._drop()

    async def send(self, email: Email, *, now: datetime) -> None:
        """Returns when the server has taken the message. Raises SendingFailed."""
        try:
            message = build_message(email, sender=self._sender, now=now)
        except ValueError as error:
            raise SendingFailed(f"The address or a header is malformed: {error}", permanent=True) from error
        client = await self._connect()
        sender = self._sender[1]
        # An address beyond ASCII stands in the header as it is (RFC 6531); a server that does not offer this refuses it.
        options = [] if (sender + email.address).isascii() else ["SMTPUTF8", "BODY=8BITMIME"]
        try:
            await client.sendmail(sender, [email.address], message, mail_options=options)
        except _CONNECTION_LOST as error:
            raise self._count_loss(error) from error
        except SMTPRecipientsRefused as error:
            raise _refusal(error.recipients[0]) from error
        except SMTPResponseException as error:
            raise _refusal(error) from error
        except (SMTPException, ValueError) as error:
            raise SendingFailed(f"The server cannot take this message: {error}", permanent=True) from error

    async def _connect(self) -> SMTP:
        if self._unreachable is not None:
            # One try a batch: every other e-mail would wait for the same timeout.
            raise SendingFailed(self._unreachable, permanent=False)
        if self._client is not None and self._client.is_connected:
            return self._client
        settings = self._settings
        client = SMTP(
            hostname=settings.smtp_host,
            port=settings.smtp_port,
            use_tls=settings.smtp_tls,
            start_tls=settings.smtp_starttls,
            username=settings.smtp_username,
            password=settings.smtp_password.get_secret_value() if settings.smtp_password else None,
            timeout=settings.smtp_timeout_seconds,
        )
        try:
            await client.connect()
        except (SMTPException, *_CONNECTION_LOST) as error:
            # A refused login is the operator's to mend, not the e-mail's fault: it waits.
            client.close()
            self._unreachable = f"The SMTP server cannot be reached: {error!r}"
            raise SendingFailed(self._unreachable, permanent=False) from error
        self._client = client
        return client

    def _count_loss(self, error: Exception) -> SendingFailed:
        self._drop()
        self._losses += 1
        reason = f"The connection was lost: {error!r}"
        if self._losses >= MOST_LOSSES:
            self._unreachable = reason
        return SendingFailed(reason, permanent=False)

    def _drop(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None


def _refusal(error: SMTPResponseException) -> SendingFailed:
    """What the server answered. 5xx is final (RFC 5321, section 4.2.1), unless it is about our login."""
    return SendingFailed(f"{error.code} {error.message}", permanent=error.code >= 500 and error.code not in _ABOUT_LOGIN)
