"""Trials: a past round computed once more from its stored inputs, with weights that are not in force. Never released."""

from alembic import op

from kernel.migrate import execute_script

revision = "0009"
down_revision = "0008"

DDL = """
ALTER TABLE allocation_round
  ADD COLUMN trial_of uuid,
  ADD COLUMN trial_weights jsonb,
  ALTER COLUMN weights_version DROP NOT NULL,
  ADD FOREIGN KEY (territory, trial_of) REFERENCES allocation_round,
  ADD CONSTRAINT allocation_round_weights CHECK (
    CASE WHEN trial_of IS NULL THEN trial_weights IS NULL AND weights_version IS NOT NULL
    ELSE trial_weights IS NOT NULL AND weights_version IS NULL END),
  ADD CONSTRAINT allocation_round_trial_stays CHECK (trial_of IS NULL OR state <> 'released');
"""


def upgrade() -> None:
    execute_script(op, DDL)
