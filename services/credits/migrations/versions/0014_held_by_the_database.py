"""What was held by the service alone, held by the database: closings are sealed like everything else that stays.

A report's digest and the signature under it are rows, too: who owns the database could write all three anew, as one lie
that agrees with itself. From here on their blocks say it. What was closed before is sealed as this migration finds it.
"""

from alembic import op

from kernel.migrate import execute_script
from services.credits.tables import seal_rows

revision = "0014"
down_revision = "0011"

CLOSINGS = ("closing", "closing_step", "closing_report", "closing_signature", "closing_statement")


def upgrade() -> None:
    for table in CLOSINGS:
        execute_script(op, seal_rows(table, refusal="closing_refuse_change"))
