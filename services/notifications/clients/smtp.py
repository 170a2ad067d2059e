"""The SMTP server: one connection for a batch, and refusals told apart from troubles."""

from datetime import datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import format_datetime, parseaddr
from types import TracebackType
from typing import Self

import aiosmtplib
from aiosmtplib import SMTP, SMTPException, SMTPRecipientsRefused, SMTPResponseException

from services.notifications.domain.messages import Email
from services.notifications.settings import Settings

# What the standard library's parser of addresses and headers raises.
MALFORMED = (ValueError, IndexError, MessageError)
_CONNECTION_LOST = (aiosmtplib.SMTPServerDisconnected, aiosmtplib.SMTPConnectError, aiosmtplib.SMTPTimeoutError, OSError)


# The server wants a login, or another one (RFC 4954): ours to mend, not the e-mail's fault.
_ABOUT_LOGIN = frozenset({530, 534, 535, 538})
# A server that keeps hanging up is left alone until the next batch.
MOST_LOSSES = 3


class SendingFailed(Exception):
    """The e-mail did not leave. `permanent`: the server will never take it."""

    def __init__(self, reason: str, *, permanent: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.permanent = permanent


def build_message(email: Email, *, sender: str, now: datetime) -> EmailMessage:
    """The message as it leaves. Its Message-ID is the e-mail's own: a repeated sending can be recognised.

    Raises one of MALFORMED when the address is none, or when a header would hold a line break.
    """
    sender_name, sender_address = parseaddr(sender)
    message = EmailMessage(policy=SMTP_POLICY)
    message["From"] = Address(display_name=sender_name, addr_spec=sender_address)
    message["To"] = Address(display_name=email.name, addr_spec=email.address)
    message["Subject"] = email.subject
    message["Date"] = format_datetime(now)
    message["Message-ID"] = f"<{email.id}@{sender_address.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no holiday replies, please
    message.set_content(email.body)
    message["Content-Language"] = email.locale  # after set_content, which starts the content's headers anew
    return message


class SmtpConnection:
    """`async with SmtpConnection(settings) as smtp: await smtp.send(email, now=...)`; connects at the first sending."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
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
            message = build_message(email, sender=self._settings.smtp_from, now=now)
        except MALFORMED as error:
            raise SendingFailed(f"The address or a header is malformed: {error}", permanent=True) from error
        client = await self._connect()
        try:
            await client.send_message(message)
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
