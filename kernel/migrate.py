"""Migrations: a database and a role for each service, then Alembic, forward only.

Each service's `migrations/env.py` is one call of `run_in_alembic`. The runtime role owns nothing and bypasses
nothing: it holds what the default privileges below give it, and what a migration then revokes.
"""

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg
from alembic import command, context
from alembic.config import Config
from sqlalchemy import Connection, MetaData
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from kernel.database import sqlalchemy_url
from kernel.tables import BUS_DDL

BUS = "bus"


def database_name(service: str, *, prefix: str = "metis") -> str:
    return f"{prefix}_{service}"


def runtime_role(service: str) -> str:
    """The role a service logs in with; one name for all databases of a server."""
    return f"metis_{service}"


def url_for(admin_url: str, *, database: str, role: str | None = None, password: str | None = None) -> str:
    """The server of `admin_url`, another database, and (when given) another login."""
    parts = urlsplit(admin_url)
    host = parts.netloc.rpartition("@")[2]
    login = parts.netloc.rpartition("@")[0]
    if role is not None:
        login = quote(role) + (f":{quote(password, safe='')}" if password else "")
    return urlunsplit(parts._replace(netloc=f"{login}@{host}" if login else host, path=f"/{database}"))


async def create_database(admin_url: str, *, service: str, password: str, prefix: str = "metis") -> str:
    """Create the service's database and runtime role unless they exist; returns the role's URL."""
    database, role = database_name(service, prefix=prefix), runtime_role(service)
    connection = await asyncpg.connect(admin_url)
    try:
        # Two migrations at once would race on CREATE ROLE; the lock makes them queue.
        await connection.execute("SELECT pg_advisory_lock(hashtextextended('metis:migrate', 0))")
        if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role):
            await connection.execute(f'CREATE ROLE "{role}" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS')
        literal = await connection.fetchval("SELECT quote_literal($1::text)", password)
        await connection.execute(f'ALTER ROLE "{role}" PASSWORD {literal}')
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", database):
            await connection.execute(f'CREATE DATABASE "{database}"')
            await connection.execute(f'REVOKE ALL ON DATABASE "{database}" FROM PUBLIC')
            await connection.execute(f'GRANT CONNECT ON DATABASE "{database}" TO "{role}"')
    finally:
        await connection.close()
    owner = await asyncpg.connect(url_for(admin_url, database=database))
    try:
        await owner.execute(
            f"""
            ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO "{role}";
            ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO "{role}";
            GRANT USAGE ON SCHEMA public TO "{role}";
            """
        )
    finally:
        await owner.close()
    return url_for(admin_url, database=database, role=role, password=password)


async def create_bus(admin_url: str, *, password: str, prefix: str = "metis") -> str:
    """The database of the embedded transport; every service may use it. Returns the role's URL."""
    url = await create_database(admin_url, service=BUS, password=password, prefix=prefix)
    owner = await asyncpg.connect(url_for(admin_url, database=database_name(BUS, prefix=prefix)))
    try:
        if not await owner.fetchval("SELECT to_regclass('message') IS NOT NULL"):
            await owner.execute(BUS_DDL)
    finally:
        await owner.close()
    return url


def upgrade(owner_url: str, migrations: Path) -> None:
    """Bring one database to the newest revision of `migrations`. Repeating it changes nothing."""
    config = Config()
    config.set_main_option("script_location", str(migrations))
    config.attributes["url"] = owner_url
    command.upgrade(config, "head")


def run_in_alembic(metadata: MetaData) -> None:
    """What every `migrations/env.py` calls: one transaction for the whole upgrade."""
    url = context.config.attributes["url"]

    def run(connection: Connection) -> None:
        context.configure(connection=connection, target_metadata=metadata)
        with context.begin_transaction():
            context.execute("SELECT pg_advisory_xact_lock(hashtextextended('metis:migrate', 0))")
            context.run_migrations()

    async def connect() -> None:
        engine = create_async_engine(sqlalchemy_url(url), poolclass=NullPool)
        async with engine.connect() as connection:
            await connection.run_sync(run)
            await connection.commit()
        await engine.dispose()

    asyncio.run(connect())


def execute_script(operations: Any, script: str) -> None:
    """Run a script of many statements in a migration (asyncpg prepares single ones only)."""
    connection = operations.get_bind()
    connection.connection.dbapi_connection.run_async(lambda driver: driver.execute(script))
