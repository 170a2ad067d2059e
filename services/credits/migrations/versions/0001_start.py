"""Campaigns, panel, pledges, computed and signed grants, holds, refusals, and copies of the registry's facts."""

from alembic import op

from kernel.migrate import execute_script
from kernel.tables import KERNEL_DDL, secure

revision = "0001"
down_revision = None

TERRITORIES = """
-- Known to the service for its jobs, which serve all territories: no row-level security.
CREATE TABLE territory (
  code text PRIMARY KEY,
  name text NOT NULL
);
"""

REGISTRY_COPIES = """
CREATE TABLE actor (
  territory text NOT NULL,
  id uuid NOT NULL,
  version integer NOT NULL,
  kind text NOT NULL,
  name text NOT NULL,
  archived boolean NOT NULL,
  PRIMARY KEY (territory, id)
);
-- A citizen may pledge hours; the id is all that is kept of a person here.
CREATE TABLE member (
  territory text NOT NULL,
  id uuid NOT NULL,
  PRIMARY KEY (territory, id)
);
-- What a statement says of a mission beside its id: the need's title and who serves (an opaque id).
CREATE TABLE mission (
  territory text NOT NULL,
  id uuid NOT NULL,
  title text NOT NULL,
  volunteer_id uuid NOT NULL,
  PRIMARY KEY (territory, id)
);
"""

CAMPAIGNS = """
CREATE TABLE campaign (
  territory text NOT NULL,
  id uuid NOT NULL,
  ref text NOT NULL,
  title text NOT NULL,
  starts_on date NOT NULL,
  ends_on date NOT NULL,
  operator_id uuid NOT NULL,
  step_minutes integer NOT NULL CHECK (step_minutes > 0),
  compensation_permille integer NOT NULL CHECK (compensation_permille > 0),
  hour_value_cents integer NOT NULL CHECK (hour_value_cents > 0),
  expiry text NOT NULL CHECK (expiry IN ('return', 'carry_over', 'lapse')),
  state text NOT NULL DEFAULT 'draft' CHECK (state IN ('draft', 'open', 'closed')),
  version integer NOT NULL DEFAULT 1,
  opened_at timestamptz,
  closed_at timestamptz,
  closed_by text,
  closure_reason text,
  PRIMARY KEY (territory, id),
  UNIQUE (territory, ref),
  CHECK (starts_on <= ends_on)
);
CREATE TABLE panel (
  territory text NOT NULL,
  id uuid NOT NULL,
  campaign_id uuid NOT NULL,
  association_id uuid NOT NULL,
  subsidy_before_cents bigint NOT NULL CHECK (subsidy_before_cents >= 0),
  subsidy_after_cents bigint NOT NULL CHECK (subsidy_after_cents >= 0),
  version integer NOT NULL DEFAULT 1,
  PRIMARY KEY (territory, id),
  UNIQUE (territory, campaign_id, association_id),
  FOREIGN KEY (territory, campaign_id) REFERENCES campaign (territory, id)
);
-- What a pledge is worth stands in the ledger alone; what was last stated tells whether the same is said again.
CREATE TABLE pledge (
  territory text NOT NULL,
  id uuid NOT NULL,
  campaign_id uuid NOT NULL,
  ref text NOT NULL,
  contributor_id uuid NOT NULL,
  stated_minutes bigint NOT NULL,
  note text NOT NULL,
  version integer NOT NULL DEFAULT 1,
  PRIMARY KEY (territory, id),
  UNIQUE (territory, campaign_id, ref),
  FOREIGN KEY (territory, campaign_id) REFERENCES campaign (territory, id)
);
"""

GRANTS = """
CREATE TABLE grant_proposal (
  territory text NOT NULL,
  id uuid NOT NULL,
  campaign_id uuid NOT NULL,
  step_minutes integer NOT NULL,
  compensation_permille integer NOT NULL,
  hour_value_cents integer NOT NULL,
  pool_minutes bigint NOT NULL,
  due_minutes bigint NOT NULL,
  computed_minutes bigint NOT NULL,
  computed_by text NOT NULL,
  computed_at timestamptz NOT NULL,
  PRIMARY KEY (territory, id),
  FOREIGN KEY (territory, campaign_id) REFERENCES campaign (territory, id)
);
CREATE TABLE grant_proposal_line (
  territory text NOT NULL,
  proposal_id uuid NOT NULL,
  association_id uuid NOT NULL,
  subsidy_before_cents bigint NOT NULL,
  subsidy_after_cents bigint NOT NULL,
  already_granted_minutes bigint NOT NULL,
  exact_minutes text NOT NULL,
  entitled_minutes bigint NOT NULL,
  due_minutes bigint NOT NULL,
  share_steps text NOT NULL,
  extra_step boolean NOT NULL,
  computed_minutes bigint NOT NULL CHECK (computed_minutes >= 0),
  PRIMARY KEY (territory, proposal_id, association_id),
  FOREIGN KEY (territory, proposal_id) REFERENCES grant_proposal (territory, id)
);
CREATE TABLE signed_grant (
  territory text NOT NULL,
  id uuid NOT NULL,
  campaign_id uuid NOT NULL,
  proposal_id uuid NOT NULL,
  association_id uuid NOT NULL,
  computed_minutes bigint NOT NULL,
  minutes bigint NOT NULL CHECK (minutes >= 0),
  adjustment_reason text,
  signed_by text NOT NULL,
  signed_at timestamptz NOT NULL,
  PRIMARY KEY (territory, id),
  UNIQUE (territory, proposal_id, association_id),
  FOREIGN KEY (territory, proposal_id, association_id) REFERENCES grant_proposal_line (territory, proposal_id, association_id),
  FOREIGN KEY (territory, campaign_id) REFERENCES campaign (territory, id),
  CHECK (minutes = computed_minutes OR adjustment_reason IS NOT NULL)
);
CREATE INDEX ix_signed_grant_campaign ON signed_grant (territory, campaign_id, id);
"""

# A mission may name a campaign that is not ours: it is then refused, and the refusal kept, hence no foreign key.
HOLDS = """
CREATE TABLE hold (
  territory text NOT NULL,
  mission_id uuid NOT NULL,
  campaign_id uuid NOT NULL,
  association_id uuid NOT NULL,
  contributor_id uuid,
  minutes bigint NOT NULL CHECK (minutes >= 0),
  served_minutes bigint NOT NULL DEFAULT 0 CHECK (served_minutes BETWEEN 0 AND minutes),
  ends_on date,
  state text NOT NULL CHECK (state IN ('asked', 'held', 'refused', 'cancelled', 'released', 'settled', 'reversed')),
  changed_at timestamptz NOT NULL,
  PRIMARY KEY (territory, mission_id)
);
CREATE INDEX ix_hold_campaign ON hold (territory, campaign_id, mission_id);
CREATE INDEX ix_hold_contributor ON hold (territory, campaign_id, contributor_id) WHERE state = 'held';
CREATE TABLE refusal (
  territory text NOT NULL,
  id uuid NOT NULL,
  campaign_id uuid NOT NULL,
  subject text NOT NULL CHECK (subject IN ('reservation', 'settlement')),
  mission_id uuid NOT NULL,
  association_id uuid NOT NULL,
  contributor_id uuid NOT NULL,
  code text NOT NULL,
  reason text NOT NULL,
  asked_minutes bigint NOT NULL,
  missing_minutes bigint NOT NULL,
  asked_by text NOT NULL,
  recorded_at timestamptz NOT NULL,
  PRIMARY KEY (territory, id)
);
CREATE INDEX ix_refusal_campaign ON refusal (territory, campaign_id, id);
CREATE TABLE carry_over (
  territory text NOT NULL,
  campaign_id uuid NOT NULL,
  association_id uuid NOT NULL,
  minutes bigint NOT NULL CHECK (minutes > 0),
  PRIMARY KEY (territory, campaign_id, association_id),
  FOREIGN KEY (territory, campaign_id) REFERENCES campaign (territory, id)
);
CREATE TABLE expiry_notice (
  territory text NOT NULL,
  campaign_id uuid NOT NULL,
  association_id uuid NOT NULL,
  days_before integer NOT NULL,
  sent_at timestamptz NOT NULL,
  PRIMARY KEY (territory, campaign_id, association_id, days_before),
  FOREIGN KEY (territory, campaign_id) REFERENCES campaign (territory, id)
);
"""

SECURED = (
    "actor", "member", "mission", "campaign", "panel", "pledge", "grant_proposal", "grant_proposal_line", "signed_grant",
    "hold", "refusal", "carry_over", "expiry_notice",
)  # fmt: skip


def upgrade() -> None:
    execute_script(op, KERNEL_DDL)
    execute_script(op, TERRITORIES + REGISTRY_COPIES + CAMPAIGNS + GRANTS + HOLDS)
    for table in SECURED:
        execute_script(op, secure(table))
