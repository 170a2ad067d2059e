"""What the gateway reads from the environment (`METIS_*`)."""

from pathlib import Path

from pydantic import Field, HttpUrl, SecretStr
from pydantic_settings import SettingsConfigDict

from kernel.settings import KernelSettings

DOCUMENT_FILE = Path(__file__).with_name("openapi.json")


class GatewaySettings(KernelSettings):
    """Where the services are, the keys of the tokens, and the limits of the public door."""

    model_config = SettingsConfigDict(hide_input_in_errors=True)  # a refused secret must not stand in the log

    registry_url: HttpUrl = Field(HttpUrl("http://127.0.0.1:8101"), description="Where the registry listens.")
    matching_url: HttpUrl = Field(HttpUrl("http://127.0.0.1:8102"), description="Where matching listens.")
    credits_url: HttpUrl = Field(HttpUrl("http://127.0.0.1:8103"), description="Where credits listens.")
    notifications_url: HttpUrl = Field(HttpUrl("http://127.0.0.1:8104"), description="Where notifications listens.")
    internal_private_key: SecretStr = Field(
        description="Private JWK (JSON, Ed25519) that signs every token; `metis keys` makes it."
    )
    admin_client_secret: SecretStr | None = Field(
        None,
        min_length=32,
        description="Secret of the client `instance-admin`, who may act in every territory; unset, it does not exist.",
    )
    openapi_file: Path = Field(DOCUMENT_FILE, description="The merged OpenAPI document that the routes are compiled from.")
    access_token_lifetime_seconds: int = Field(3600, ge=60, le=86400, description="How long a client's access token is good for.")
    client_limit_per_minute: int = Field(6000, ge=1, description="Requests a client may send in a minute.")
    address_limit_per_minute: int = Field(
        600, ge=1, description="Token requests, requests with an unknown token and pages an address may send in a minute."
    )
    failed_sign_ins_per_minute: int = Field(10, ge=1, description="Wrong secrets that are answered for one client and address.")
    body_limit_bytes: int = Field(1024 * 1024, ge=1024, description="Largest request body.")
    body_timeout_seconds: float = Field(30, gt=0, description="A request's body must have arrived in this time.")
    upstream_timeout_seconds: float = Field(30, gt=0, description="A service must answer, and go on answering, in this time.")
    upstream_connections: int = Field(128, ge=1, description="Open connections to each service at most.")

    def service_urls(self) -> dict[str, str]:
        """Each service and where it listens, in the order in which people read them."""
        return {
            "registry": str(self.registry_url),
            "credits": str(self.credits_url),
            "matching": str(self.matching_url),
            "notifications": str(self.notifications_url),
        }
