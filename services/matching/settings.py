"""Matching's settings."""

from pydantic import Field

from kernel.settings import ServiceSettings


class Settings(ServiceSettings):
    expiry_poll_seconds: float = Field(
        600, gt=0, description="Pause between two looks for needs and offers whose end has passed."
    )
    rounds_poll_seconds: float = Field(1, gt=0, description="Pause between two looks for allocation rounds that wait.")
    round_limit_seconds: float = Field(3600, gt=0, description="Longer than this no round is computed; it then fails.")
    refresh_poll_seconds: float = Field(
        600, gt=0, description="Pause between two looks for offers and needs that are found by what is out of date."
    )
    suggestion_threads: int = Field(2, ge=1, le=32, description="Texts that are read for skills at the same time.")
    warm_suggestions: bool = Field(
        False, description="Load what reads texts at the start, instead of at the first text (which then waits for some seconds)."
    )
    most_waiting_suggestions: int = Field(
        64, ge=1, description="Texts that may wait or be read at once; one more is answered 503, to come again."
    )
    matching_contact: str = Field(
        "l'agent de la ville chargé du dispositif, ou l'opérateur de la campagne",
        description="Whom to ask about a match, as the public rules and the records say; e.g. an office and its address.",
    )
