"""What the gates look at, the panel, and a territory's weights.

Every new column has a default that means "as before", so that stored rows and clients of before stay valid. A campaign that
was known before this migration may have admitted associations that nobody listened to: its panel shuts nobody out.
"""

from alembic import op

from kernel.migrate import execute_script
from kernel.tables import secure

revision = "0003"
down_revision = "0002"

DDL = """
ALTER TABLE need
  ADD COLUMN languages text[] NOT NULL DEFAULT '{fr}' CHECK (cardinality(languages) > 0),
  ADD COLUMN week text[] NOT NULL DEFAULT '{}',
  ADD COLUMN setting text CHECK (setting IN ('professional', 'personal')),
  ADD COLUMN with_minors boolean NOT NULL DEFAULT false,
  ADD COLUMN charter_required boolean NOT NULL DEFAULT false,
  ADD COLUMN latitude double precision,
  ADD COLUMN longitude double precision,
  ADD CHECK ((latitude IS NULL) = (longitude IS NULL)),
  ADD CHECK (latitude IS NULL OR commune IS NOT NULL);

ALTER TABLE offer
  ADD COLUMN languages text[] NOT NULL DEFAULT '{fr}' CHECK (cardinality(languages) > 0),
  ADD COLUMN week text[] NOT NULL DEFAULT '{}',
  ADD COLUMN latitude double precision,
  ADD COLUMN longitude double precision,
  ADD COLUMN excluded_associations uuid[] NOT NULL DEFAULT '{}',
  ADD COLUMN honorability_checked_on date,
  ADD COLUMN charter_signed boolean NOT NULL DEFAULT false,
  ADD CHECK ((latitude IS NULL) = (longitude IS NULL)),
  ADD CHECK (latitude IS NULL OR commune IS NOT NULL);

-- None: proposed before weights had versions.
ALTER TABLE mission ADD COLUMN weights_version integer;
-- Who worked together.
CREATE INDEX ix_mission_closed ON mission (territory, association_id, volunteer_id) WHERE state = 'closed';

ALTER TABLE campaign ADD COLUMN panel_heard boolean NOT NULL DEFAULT false;
CREATE TABLE panel (
  territory text NOT NULL,
  campaign_id uuid NOT NULL,
  association_id uuid NOT NULL,
  PRIMARY KEY (territory, campaign_id, association_id)
);

CREATE TABLE weights (
  territory text NOT NULL,
  version integer NOT NULL CHECK (version > 0),
  values jsonb NOT NULL,
  set_at timestamptz NOT NULL,
  set_by text NOT NULL CHECK (set_by <> ''),
  reason text NOT NULL CHECK (reason <> ''),
  PRIMARY KEY (territory, version)
);
CREATE TRIGGER weights_only_grow BEFORE UPDATE OR DELETE ON weights FOR EACH ROW EXECUTE FUNCTION refuse_change();
"""


def upgrade() -> None:
    execute_script(op, DDL + secure("panel") + secure("weights"))
