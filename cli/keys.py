"""Secrets of a new instance (`metis keys`), as lines for an environment file."""

import secrets


def make_environment() -> dict[str, str]:
    """A key pair for the internal tokens, the key of the ledger's seals, and the two secrets that all else derives from."""
    from kernel.auth import make_key_pair

    private, public = make_key_pair()
    return {
        "METIS_INTERNAL_PRIVATE_KEY": private,
        "METIS_INTERNAL_PUBLIC_KEYS": public,
        "METIS_ADMIN_CLIENT_SECRET": secrets.token_urlsafe(32),
        "METIS_SECRET": secrets.token_urlsafe(32),
        "METIS_SEAL_PRIVATE_KEY": make_key_pair()[0],
    }


def as_lines(environment: dict[str, str]) -> str:
    """`NAME='value'`: read alike by a shell, `docker compose --env-file` and systemd."""
    return "\n".join(f"{name}='{value}'" for name, value in environment.items())
