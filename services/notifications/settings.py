"""The settings of notifications: SMTP, webhooks, and how long things are kept."""

from email.errors import MessageError
from email.headerregistry import Address
from email.utils import parseaddr
from typing import Self

from pydantic import Field, SecretStr, model_validator

from kernel.settings import ServiceSettings


class Settings(ServiceSettings):
    smtp_host: str | None = Field(None, description="The SMTP server. Without it no e-mail leaves; a day later it is given up.")
    smtp_port: int = Field(25, ge=1, le=65535, description="25, or 587 with STARTTLS, or 465 with TLS.")
    smtp_tls: bool = Field(False, description="Speak TLS from the first byte (port 465).")
    smtp_starttls: bool = Field(False, description="Turn to TLS after the greeting, or fail (port 587).")
    smtp_username: str | None = Field(None, description="Login of the SMTP server, if it wants one.")
    smtp_password: SecretStr | None = Field(None, description="Its password.")
    smtp_from: str = Field("Métis <metis@localhost>", description="The sender; its domain also ends each Message-ID.")
    smtp_timeout_seconds: float = Field(20, gt=0, le=120, description="Pause of the SMTP server after which it counts as gone.")
    email_retry_delays_seconds: list[float] = Field(
        [30, 120, 600, 1800, 3600, 10800, 21600, 36000, 36000],
        description="Pause before each further try of an e-mail; then it is given up. A day at least.",
    )
    webhook_allow_private: bool = Field(
        False, description="Let webhooks go to http:// and to private addresses. For one machine and for tests alone."
    )
    webhook_retry_delays_seconds: list[float] = Field(
        [5, 30, 120, 600, 3600, 10800, 28800, 32400, 32400],
        description="Pause before each further try of a webhook delivery; then it has failed (docs/adr/0009). A day at least.",
    )
    webhook_timeout_seconds: float = Field(10, gt=0, le=60, description="Time a partner has for its whole answer.")
    webhook_parallel: int = Field(64, ge=1, description="Deliveries under way at most.")
    webhook_parallel_each: int = Field(4, ge=1, description="Deliveries under way at most to one webhook.")
    event_log_days: int = Field(30, ge=1, le=60, description="How long every event, and each delivery of it, is kept.")
    message_days: int = Field(365, ge=1, description="How long e-mails and inbox notices are kept.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.smtp_tls and self.smtp_starttls:
            raise ValueError("Set METIS_SMTP_TLS or METIS_SMTP_STARTTLS, not both.")
        try:
            Address(addr_spec=parseaddr(self.smtp_from)[1] or "@")
        except (ValueError, IndexError, MessageError) as error:
            raise ValueError(f"METIS_SMTP_FROM must be an address, e.g. Métis <metis@ville.example>: {error}") from error
        return self
