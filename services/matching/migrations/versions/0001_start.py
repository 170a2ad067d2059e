"""Matching's first tables.

The constraints repeat the domain's bounds: a message comes from there, the certainty from here. History only grows.
"""

from alembic import op

from kernel.migrate import execute_script
from kernel.tables import KERNEL_DDL, secure

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SECURED = (
    "commune", "actor", "member", "campaign", "need", "offer", "mission", "timesheet",
    "need_event", "offer_event", "mission_event",
)  # fmt: skip

KNOWN_DDL = """
-- No row-level security: the jobs learn here which territories there are.
CREATE TABLE territory (code text PRIMARY KEY, name text NOT NULL, told_at timestamptz NOT NULL);

CREATE TABLE commune (
  territory text NOT NULL,
  insee text NOT NULL,
  name text NOT NULL,
  latitude double precision NOT NULL,
  longitude double precision NOT NULL,
  told_at timestamptz NOT NULL,
  PRIMARY KEY (territory, insee)
);
CREATE TABLE actor (
  territory text NOT NULL,
  id uuid NOT NULL,
  version integer NOT NULL,
  kind text NOT NULL,
  archived boolean NOT NULL,
  PRIMARY KEY (territory, id)
);
CREATE TABLE member (
  territory text NOT NULL,
  id uuid NOT NULL,
  version integer NOT NULL,
  actor_id uuid,
  archived boolean NOT NULL,
  PRIMARY KEY (territory, id)
);
CREATE INDEX ix_member_actor ON member (territory, actor_id);
CREATE TABLE campaign (
  territory text NOT NULL,
  id uuid NOT NULL,
  title text NOT NULL,
  opened boolean NOT NULL,
  closed boolean NOT NULL,
  PRIMARY KEY (territory, id)
);
"""

OWN_DDL = """
CREATE TABLE need (
  territory text NOT NULL,
  id uuid NOT NULL,
  ref text,
  campaign_id uuid NOT NULL,
  association_id uuid NOT NULL,
  title text NOT NULL,
  description text NOT NULL,
  skills jsonb NOT NULL,
  minutes integer NOT NULL CHECK (minutes > 0),
  starts_on date NOT NULL,
  ends_on date NOT NULL CHECK (ends_on >= starts_on),
  commune text,
  remote boolean NOT NULL,
  state text NOT NULL CHECK (state IN ('draft', 'qualified', 'open', 'covered', 'fulfilled', 'withdrawn', 'expired')),
  qualification_note text,
  version integer NOT NULL,
  created_at timestamptz NOT NULL,
  changed_at timestamptz NOT NULL,
  PRIMARY KEY (territory, id),
  UNIQUE (territory, ref),
  CHECK (remote OR commune IS NOT NULL)
);
CREATE INDEX ix_need_state ON need (territory, state, id);
CREATE INDEX ix_need_association ON need (territory, association_id, id);
CREATE INDEX ix_need_campaign ON need (territory, campaign_id);

CREATE TABLE offer (
  territory text NOT NULL,
  id uuid NOT NULL,
  ref text,
  volunteer_id uuid NOT NULL,
  title text NOT NULL,
  description text NOT NULL,
  skills jsonb NOT NULL,
  minutes integer NOT NULL CHECK (minutes > 0),
  available_from date NOT NULL,
  available_until date NOT NULL CHECK (available_until >= available_from),
  commune text,
  remote boolean NOT NULL,
  radius_km integer NOT NULL CHECK (radius_km >= 0),
  setting text NOT NULL CHECK (setting IN ('professional', 'personal')),
  state text NOT NULL CHECK (state IN ('draft', 'open', 'paused', 'withdrawn', 'expired')),
  version integer NOT NULL,
  created_at timestamptz NOT NULL,
  changed_at timestamptz NOT NULL,
  PRIMARY KEY (territory, id),
  UNIQUE (territory, ref),
  CHECK (remote OR commune IS NOT NULL)
);
CREATE INDEX ix_offer_state ON offer (territory, state, id);
CREATE INDEX ix_offer_volunteer ON offer (territory, volunteer_id, id);

CREATE TABLE mission (
  territory text NOT NULL,
  id uuid NOT NULL,
  need_id uuid NOT NULL,
  offer_id uuid NOT NULL,
  campaign_id uuid NOT NULL,
  association_id uuid NOT NULL,
  volunteer_id uuid NOT NULL,
  contributor_id uuid NOT NULL,
  company_id uuid,
  title text NOT NULL,
  minutes integer NOT NULL CHECK (minutes > 0),
  starts_on date NOT NULL,
  ends_on date NOT NULL CHECK (ends_on >= starts_on),
  score integer NOT NULL,
  parts jsonb NOT NULL,
  reasons text[] NOT NULL,
  state text NOT NULL CHECK (state IN ('proposed', 'agreed', 'reserved', 'in_progress', 'reported', 'validated', 'closed',
    'declined', 'refused', 'cancelled', 'disputed')),
  accepted text[] NOT NULL CHECK (accepted <@ ARRAY['association', 'volunteer', 'company']),
  worked_minutes integer NOT NULL CHECK (worked_minutes BETWEEN 0 AND minutes),
  served_minutes integer CHECK (served_minutes BETWEEN 0 AND minutes),
  agreed_at timestamptz,
  version integer NOT NULL,
  created_at timestamptz NOT NULL,
  changed_at timestamptz NOT NULL,
  PRIMARY KEY (territory, id),
  FOREIGN KEY (territory, need_id) REFERENCES need,
  FOREIGN KEY (territory, offer_id) REFERENCES offer,
  CHECK ((state = 'closed') = (served_minutes IS NOT NULL)),
  CHECK (state IN ('proposed', 'declined', 'cancelled') OR agreed_at IS NOT NULL)
);
-- A need has one mission that lives or was served, whatever races.
CREATE UNIQUE INDEX ux_mission_of_need ON mission (territory, need_id) WHERE state NOT IN ('declined', 'refused', 'cancelled');
CREATE INDEX ix_mission_need ON mission (territory, need_id, id);
CREATE INDEX ix_mission_offer ON mission (territory, offer_id);
CREATE INDEX ix_mission_volunteer ON mission (territory, volunteer_id, id);
CREATE INDEX ix_mission_association ON mission (territory, association_id, id);
CREATE INDEX ix_mission_company ON mission (territory, company_id, id) WHERE company_id IS NOT NULL;
CREATE INDEX ix_mission_proposed ON mission (territory, ends_on) WHERE state = 'proposed';

CREATE TABLE timesheet (
  territory text NOT NULL,
  id uuid NOT NULL,
  mission_id uuid NOT NULL,
  worked_on date NOT NULL,
  minutes integer NOT NULL CHECK (minutes BETWEEN 0 AND 1440),
  note text,
  entered_by text NOT NULL,
  entered_at timestamptz NOT NULL,
  replaces uuid,
  PRIMARY KEY (territory, id),
  UNIQUE (territory, mission_id, id),
  UNIQUE (territory, replaces),
  FOREIGN KEY (territory, mission_id) REFERENCES mission,
  -- A correction stays within its mission.
  FOREIGN KEY (territory, mission_id, replaces) REFERENCES timesheet (territory, mission_id, id),
  CHECK (minutes > 0 OR replaces IS NOT NULL)
);
"""

HISTORY_DDL = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'history only grows: % of % is refused', TG_OP, TG_TABLE_NAME;
END $$;
"""


def history(owner: str) -> str:
    """History of the states of `owner`: never changed, never deleted."""
    return f"""
CREATE TABLE {owner}_event (
  territory text NOT NULL,
  id uuid NOT NULL,
  subject_id uuid NOT NULL,
  before text,
  after text NOT NULL,
  deed text NOT NULL,
  happened_at timestamptz NOT NULL,
  who text NOT NULL CHECK (who <> ''),
  side text,
  reason text,
  cause uuid,
  PRIMARY KEY (territory, id),
  FOREIGN KEY (territory, subject_id) REFERENCES {owner}
);
CREATE INDEX ix_{owner}_event_subject ON {owner}_event (territory, subject_id, id);
CREATE TRIGGER {owner}_event_only_grows BEFORE UPDATE OR DELETE ON {owner}_event
  FOR EACH ROW EXECUTE FUNCTION refuse_change();
"""


def upgrade() -> None:
    owners = "".join(history(owner) for owner in ("need", "offer", "mission"))
    execute_script(op, KERNEL_DDL + KNOWN_DDL + OWN_DDL + HISTORY_DDL + owners + "".join(secure(table) for table in SECURED))
