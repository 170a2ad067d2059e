"""Which campaigns require conventions, and which missions have one that is concluded, as credits tells it.

A campaign that was opened before this was told requires none here: credits alone asks for its conventions, when minutes are
settled, as before.
"""

from alembic import op

from kernel.migrate import execute_script
from kernel.tables import secure

revision = "0010"
down_revision = "0009"

DDL = """
ALTER TABLE campaign ADD COLUMN conventions_required boolean NOT NULL DEFAULT false;

-- Of missions known here or not: a conclusion may be told before its mission's credit, or of another platform's mission.
CREATE TABLE convention (
  territory text NOT NULL,
  mission_id uuid NOT NULL,
  concluded_at timestamptz NOT NULL,
  PRIMARY KEY (territory, mission_id)
);
"""


def upgrade() -> None:
    execute_script(op, DDL + secure("convention"))
