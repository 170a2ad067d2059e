"""Find quickly whether an earlier event of a subject waits in the outbox."""

from alembic import op

from kernel.migrate import execute_script
from kernel.tables import OUTBOX_INDEX

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    execute_script(op, OUTBOX_INDEX)
