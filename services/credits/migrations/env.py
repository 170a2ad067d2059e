"""Alembic's entry: one transaction for the whole upgrade (kernel/migrate.py)."""

from kernel.migrate import run_in_alembic
from services.credits.tables import metadata

run_in_alembic(metadata)
