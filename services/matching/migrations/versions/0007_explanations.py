"""What a proposal was made of, frozen with its mission; which criterion spoke for a yes or a no.

Missions of before this migration have no explanation: their record says so, and gives what was kept of them.
"""

from alembic import op

from kernel.migrate import execute_script

revision = "0007"
down_revision = "0006"

DDL = """
ALTER TABLE mission ADD COLUMN explanation jsonb;

-- The record is of the proposal as it was made: whoever writes the mission later, this stays.
CREATE TRIGGER mission_explanation_stays BEFORE UPDATE ON mission FOR EACH ROW
  WHEN (OLD.explanation IS DISTINCT FROM NEW.explanation OR OLD.score <> NEW.score OR OLD.parts <> NEW.parts
    OR OLD.weights_version IS DISTINCT FROM NEW.weights_version)
  EXECUTE FUNCTION refuse_change();

ALTER TABLE mission_event ADD COLUMN criterion text
  CHECK (criterion IN ('skills', 'distance', 'dates', 'minutes', 'language', 'setting', 'person', 'other'));

-- Which needs were opened in a period, for the report of whose are proposed for.
CREATE INDEX ix_need_event_opened ON need_event (territory, happened_at) WHERE deed = 'open';
"""


def upgrade() -> None:
    execute_script(op, DDL)
