"""Matching's settings."""

from pydantic import Field

from kernel.settings import ServiceSettings


class Settings(ServiceSettings):
    expiry_poll_seconds: float = Field(
        600, gt=0, description="Pause between two looks for needs and offers whose end has passed."
    )
    refresh_poll_seconds: float = Field(
        600, gt=0, description="Pause between two looks for offers and needs that are found by what is out of date."
    )
