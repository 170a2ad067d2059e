"""The settings of the credits service."""

from pydantic import Field

from kernel.settings import ServiceSettings


class Settings(ServiceSettings):
    sweep_every_seconds: float = Field(60, gt=0, description="How often ended campaigns and due notices are looked for.")
    hold_grace_days: int = Field(
        30,
        ge=0,
        description="Days after a mission's end during which its hours may still be validated once its campaign is closed.",
    )
