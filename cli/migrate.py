"""Databases, roles and tables of the services (`metis migrate`). Repeating it changes nothing.

`cli.stack` has the nursery fork a process for them, whose memory goes away with it.
"""

import asyncio
import hashlib
import hmac
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from cli.console import CliError

SERVICES = ("registry", "credits", "matching", "notifications")
BUS = "bus"
ROOT = Path(__file__).parent.parent


def derive_password(secret: str, service: str) -> str:
    """A password of its own for each role, from one secret: nothing more to keep, and no role knows another's."""
    return hmac.new(secret.encode(), f"metis:database:{service}".encode(), hashlib.sha256).hexdigest()


def password_variable(service: str) -> str:
    return f"METIS_{service.upper()}_DATABASE_PASSWORD"


def password_of(service: str, environment: Mapping[str, str]) -> str:
    """METIS_<SERVICE>_DATABASE_PASSWORD, else derived from METIS_SECRET. Raises CliError when there is neither."""
    given = environment.get(password_variable(service))
    if given:
        return given
    if secret := environment.get("METIS_SECRET"):
        return derive_password(secret, service)
    raise CliError(
        f"No password for the runtime role of {service}.",
        cure=f"Set {password_variable(service)}, or METIS_SECRET, from which all derive.",
    )


def runtime_urls(admin_url: str, passwords: Mapping[str, str], *, prefix: str = "metis") -> dict[str, str]:
    """The URL that each service's runtime role will have on this server.

    As `kernel.migrate.url_for` makes them, which would bring SQLAlchemy and Alembic into every command.
    """

    def url(service: str) -> str:
        parts = urlsplit(owner_url(admin_url, service, prefix=prefix))
        login = f"metis_{service}:{quote(passwords[service], safe='')}"
        return urlunsplit(parts._replace(netloc=f"{login}@{parts.netloc.rpartition('@')[2]}"))

    return {service: url(service) for service in passwords}


def owner_url(admin_url: str, service: str, *, prefix: str = "metis") -> str:
    """A service's database on the server of `admin_url`, with the same login."""
    return urlunsplit(urlsplit(admin_url)._replace(path=f"/{prefix}_{service}"))


async def _create(admin_url: str, passwords: Mapping[str, str], *, prefix: str) -> dict[str, str]:
    from kernel.migrate import create_bus, create_database

    urls = {}
    # One after the other: CREATE DATABASE copies template1 and takes turns anyway.
    for service, password in passwords.items():
        if service == BUS:
            urls[service] = await create_bus(admin_url, password=password, prefix=prefix)
        else:
            urls[service] = await create_database(admin_url, service=service, password=password, prefix=prefix)
    return urls


def migrate(admin_url: str, passwords: Mapping[str, str], *, prefix: str = "metis") -> dict[str, str]:
    """Bring the named services (and the bus, if named) to the newest tables; returns the runtime roles' URLs."""
    from kernel.migrate import upgrade

    urls = asyncio.run(_create(admin_url, passwords, prefix=prefix))
    for service in passwords:
        if service != BUS:
            upgrade(owner_url(admin_url, service, prefix=prefix), ROOT / "services" / service / "migrations")
    return urls


def services_here(chosen: Sequence[str]) -> list[str]:
    """The services asked for, or all whose code is here (an image holds one)."""
    unknown = sorted(set(chosen) - {*SERVICES, BUS})
    if unknown:
        raise CliError(f"No service is called {unknown[0]!r}.", cure=f"One of: {', '.join((*SERVICES, BUS))}.")
    return list(chosen) or [service for service in SERVICES if (ROOT / "services" / service / "migrations").is_dir()]


def run(chosen: Sequence[str]) -> dict[str, str]:
    """`metis migrate`: the server from METIS_DATABASE_URL, the passwords from the environment."""
    admin_url = os.environ.get("METIS_DATABASE_URL")
    if not admin_url:
        raise CliError(
            "METIS_DATABASE_URL is not set.",
            cure="Give the URL of the server's owner, e.g. postgresql://postgres:…@localhost/postgres (`metis up` needs none).",
        )
    services = services_here(chosen)
    if not chosen and not os.environ.get("METIS_AMQP_URL"):
        services.append(BUS)
    return connect_or_explain(admin_url, {service: password_of(service, os.environ) for service in services})


def connect_or_explain(admin_url: str, passwords: Mapping[str, str]) -> dict[str, str]:
    """`migrate`, with a server that cannot be reached or a wrong login said in words."""
    import asyncpg

    try:
        return migrate(admin_url, passwords)
    except (OSError, asyncpg.PostgresError) as error:
        raise CliError(
            f"Migration impossible : {type(error).__name__} : {error}",
            cure="Vérifiez METIS_DATABASE_URL (serveur, compte propriétaire, droit de créer des bases).",
        ) from error


def run_as_task() -> None:
    """`run` in a process of its own (`cli.stack`): what went wrong stands at the end of its log."""
    try:
        run(())
    except CliError as error:
        sys.exit(f"{error.message}\n→ {error.cure}")
