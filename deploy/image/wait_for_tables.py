"""Return once this service's database has the tables that this image's code wants (Kubernetes: before the service).

It needs no more than the service's own role: the migration itself runs elsewhere, as the databases' owner. A database
that is ahead is fine: migrations only run forward, and the previous version goes on serving beside them.
"""

import asyncio
import os
import sys

import asyncpg
from alembic.config import Config
from alembic.script import ScriptDirectory

TIMEOUT_SECONDS = 600
PAUSE_SECONDS = 2


def read_revisions(service: str) -> tuple[str | None, set[str]]:
    """The newest revision in this image, and all of them."""
    config = Config()
    config.set_main_option("script_location", f"/app/services/{service}/migrations")
    script = ScriptDirectory.from_config(config)
    return script.get_current_head(), {revision.revision for revision in script.walk_revisions()}


async def read_version(url: str) -> str:
    connection = await asyncpg.connect(url, timeout=10)
    try:
        return str(await connection.fetchval("SELECT version_num FROM alembic_version"))
    finally:
        await connection.close()


async def wait(service: str, url: str) -> None:
    head, known = read_revisions(service)
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while True:
            try:
                version = await read_version(url)
                if version == head or version not in known:
                    print(f"{service}: the database is at {version}, this image wants {head}")
                    return
                reason = f"the database is at {version}"
            except (OSError, asyncpg.PostgresError, TimeoutError) as error:
                reason = f"{type(error).__name__}: {error}"
            print(f"{service}: waiting for revision {head}; {reason}", flush=True)
            await asyncio.sleep(PAUSE_SECONDS)


if __name__ == "__main__":
    try:
        asyncio.run(wait(os.environ["METIS_IMAGE"], os.environ["METIS_DATABASE_URL"]))
    except TimeoutError:
        sys.exit(f"no such tables after {TIMEOUT_SECONDS} s: did the migration run?")
