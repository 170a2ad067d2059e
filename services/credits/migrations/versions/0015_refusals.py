"""Refusals of what is asked for by hand are kept beside those of missions: they may name no mission and nobody's account.

A settlement may also be refused of which only the cancellation was heard before, and that names no contributor.
"""

from alembic import op

from kernel.migrate import execute_script

revision = "0015"
down_revision = "0011"

REFUSALS = """
ALTER TABLE refusal
  ALTER COLUMN mission_id DROP NOT NULL,
  ALTER COLUMN association_id DROP NOT NULL,
  ALTER COLUMN contributor_id DROP NOT NULL,
  DROP CONSTRAINT refusal_subject_check,
  ADD CONSTRAINT ck_refusal_subject
    CHECK (subject IN ('reservation', 'settlement', 'pledge', 'withdrawal', 'grants', 'reversal', 'carry_in')),
  ADD CONSTRAINT ck_refusal_mission
    CHECK (subject NOT IN ('reservation', 'settlement') OR (mission_id IS NOT NULL AND association_id IS NOT NULL));
"""


def upgrade() -> None:
    execute_script(op, REFUSALS)
