"""Alembic's entry; `kernel.migrate.upgrade` runs it."""

from kernel.migrate import run_in_alembic
from services.matching.tables import metadata

run_in_alembic(metadata)
