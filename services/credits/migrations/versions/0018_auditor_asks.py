"""The auditor may ask what statements by effective time are made with, to compare it with the entries."""

from alembic import op

from kernel.migrate import execute_script, runtime_role

revision = "0018"
down_revision = "0017"

AUDITOR = f"{runtime_role('credits')}_auditor"
PRIVILEGES = f"""
DO $$ BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = '{AUDITOR}') THEN
    GRANT EXECUTE ON FUNCTION ledger_out_of_step(uuid, timestamptz) TO "{AUDITOR}";
  END IF;
END $$;
"""


def upgrade() -> None:
    execute_script(op, PRIVILEGES)
