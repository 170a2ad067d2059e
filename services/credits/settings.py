"""The settings of the credits service."""

from pathlib import Path

from pydantic import Field, SecretStr

from kernel.settings import ServiceSettings


class Settings(ServiceSettings):
    sweep_every_seconds: float = Field(60, gt=0, description="How often ended campaigns and due notices are looked for.")
    hold_grace_days: int = Field(
        30,
        ge=0,
        description="Days after a mission's end during which its hours may still be validated; then what it holds goes back.",
    )
    seal_every_seconds: float = Field(30, gt=0, description="How often new rows of the ledger are sealed.")
    seal_private_key: SecretStr | None = Field(
        None, description="JWK (Ed25519) that signs the seals; without it nothing is sealed. `metis keys` makes one."
    )
    seal_private_key_file: Path | None = Field(None, description="File that holds it, instead.")
    seal_earlier_private_keys: list[SecretStr] = Field(
        [], description="JWKs that signed before: each signs once more, the block that hands over to its successor."
    )
    audit_every_seconds: float = Field(
        300, gt=0, description="How often it is looked whether a territory's nightly audit is due."
    )
    audit_hour: int = Field(3, ge=0, le=23, description="Local hour from which on the nightly audit runs.")
    audit_database_url: SecretStr | None = Field(
        None, description="postgresql://… that audits read (a replica, a role of their own); else the service's own, read-only."
    )
