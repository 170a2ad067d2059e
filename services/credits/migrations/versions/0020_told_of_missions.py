"""What matching tells of a mission, for its convention: what is to be done, where, when, and from which day on."""

from alembic import op

revision = "0020"
down_revision = "0019"

# Missions told before say nothing of it: whoever writes their convention does.
ADD = """
ALTER TABLE mission
  ADD COLUMN description text NOT NULL DEFAULT '',
  ADD COLUMN place text NOT NULL DEFAULT '',
  ADD COLUMN calendar text NOT NULL DEFAULT '',
  ADD COLUMN starts_on date
"""


def upgrade() -> None:
    op.execute(ADD)
