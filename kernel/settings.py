"""Settings, read once from the environment (`METIS_*`) and checked before anything starts."""

from functools import cached_property
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class KernelSettings(BaseSettings):
    """What every process needs, the gateway included."""

    model_config = SettingsConfigDict(env_prefix="METIS_", extra="ignore", frozen=False, ignored_types=(cached_property,))

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(0, description="Port to listen on.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least severe level that is logged.")
    otlp_endpoint: str | None = Field(None, description="Base URL of an OTLP/HTTP collector, e.g. http://collector:4318.")
    spans_file: str | None = Field(None, description="File that spans are appended to when no collector is set (`metis trace`).")
    trace_ratio: float = Field(
        1.0, ge=0, le=1, description="Share of the traces that are kept; a caller's own choice is followed."
    )
    internal_public_keys: str = Field(
        description="JWKS (JSON) with the public keys of the gateway's internal tokens; `metis keys` makes a pair."
    )


class ServiceSettings(KernelSettings):
    """What a service with a database and a bus needs."""

    database_url: SecretStr = Field(description="postgresql://role:password@host:port/database of this service.")
    database_pool_size: int = Field(10, ge=2, description="Open connections at most.")
    amqp_url: SecretStr | None = Field(None, description="amqp://… of RabbitMQ; without it the embedded transport is used.")
    bus_database_url: SecretStr | None = Field(None, description="postgresql://… of the embedded transport's database.")
    retry_delays_seconds: list[float] = Field(
        [1, 5, 30, 120, 600, 3600], description="Pause before each further try of a failed event; then the dead letters."
    )
