"""The sealer's indexes serve the sealer alone.

They begin with the territory, which every query names. Where statistics had not seen a territory yet, as a new one among
many, a plan took it for a handful of rows and read all of them by this index, however many they were: a balance as of an
instant looked through the whole ledger of its town for each of its looks. The predicate is always true, and known to be so
only where a query compares `xact`, which the sealer's do.
"""

from alembic import op

from kernel.migrate import execute_script

revision = "0016"
down_revision = "0015"

INDEXES = """
DO $$
DECLARE
  sealed text;
BEGIN
  FOR sealed IN SELECT c.relname FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attname = 'xact' AND a.atttypid = 'xid8'::regtype
  LOOP
    EXECUTE format('DROP INDEX IF EXISTS %I', 'ix_' || sealed || '_xact');
    EXECUTE format('CREATE INDEX %I ON %I (territory, xact) WHERE xact IS NOT NULL', 'ix_' || sealed || '_xact', sealed);
  END LOOP;
END $$;
"""


def upgrade() -> None:
    execute_script(op, INDEXES)
