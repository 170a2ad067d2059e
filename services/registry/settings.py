"""The registry's settings: those of every service."""

from kernel.settings import ServiceSettings


class Settings(ServiceSettings):
    """Nothing of its own yet."""
