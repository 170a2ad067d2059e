"""Allocation rounds as stored objects, and what may still be spent and given, as credits told it.

Campaigns of before this migration told their pledges and grants while nobody listened: `listening` says since when we do,
so that a round knows whose minutes it cannot know. A round's inputs and results are written once.
"""

from alembic import op

from kernel.migrate import execute_script
from kernel.tables import secure

revision = "0005"
down_revision = "0004"

KNOWN_DDL = """
-- Names of associations and companies, for the officer's pages; never of people.
ALTER TABLE actor ADD COLUMN name text, ADD COLUMN fields_of_action text[] NOT NULL DEFAULT '{}';

-- One row, of no territory: since when pledges and grants are listened to.
CREATE TABLE listening (since timestamptz NOT NULL);
INSERT INTO listening VALUES (now());

-- A campaign whose earlier pledges and grants were told to us after all (`metis events replay`).
ALTER TABLE campaign ADD COLUMN minutes_replayed boolean NOT NULL DEFAULT false;

-- Granted, less what expired or was undone; of what missions take, see the missions themselves and mission_minutes.
CREATE TABLE credit_told (
  territory text NOT NULL,
  campaign_id uuid NOT NULL,
  association_id uuid NOT NULL,
  minutes bigint NOT NULL,
  PRIMARY KEY (territory, campaign_id, association_id)
);
-- Promised, less what was withdrawn or undone.
CREATE TABLE promise_told (
  territory text NOT NULL,
  campaign_id uuid NOT NULL,
  contributor_id uuid NOT NULL,
  minutes bigint NOT NULL,
  PRIMARY KEY (territory, campaign_id, contributor_id)
);
-- What the ledger told of missions beyond what matching decides: all of those it does not know (direct), and minutes that
-- were given back (below zero) of those it does.
CREATE TABLE mission_minutes (
  territory text NOT NULL,
  mission_id uuid NOT NULL,
  campaign_id uuid NOT NULL,
  association_id uuid NOT NULL,
  contributor_id uuid,
  direct boolean NOT NULL,
  minutes bigint NOT NULL,
  PRIMARY KEY (territory, mission_id)
);
CREATE INDEX ix_mission_minutes_campaign ON mission_minutes (territory, campaign_id);
CREATE INDEX ix_mission_campaign ON mission (territory, campaign_id);
"""

ROUND_DDL = """
CREATE TABLE allocation_round (
  territory text NOT NULL,
  id uuid NOT NULL,
  campaign_id uuid NOT NULL,
  based_on uuid,
  state text NOT NULL CHECK (state IN ('asked', 'computing', 'computed', 'released', 'stopped', 'failed')),
  fairness_permille integer NOT NULL CHECK (fairness_permille BETWEEN 0 AND 1000),
  whole boolean NOT NULL,
  seed text NOT NULL CHECK (seed <> ''),
  weights_version integer NOT NULL CHECK (weights_version >= 0),
  served_points integer NOT NULL CHECK (served_points BETWEEN 0 AND 1000),
  most_candidates integer NOT NULL CHECK (most_candidates BETWEEN 1 AND 1000),
  note text NOT NULL,
  asked_by text NOT NULL CHECK (asked_by <> ''),
  asked_at timestamptz NOT NULL,
  attempt integer NOT NULL CHECK (attempt >= 0),
  progress jsonb,
  inputs_digest text,
  proposals_digest text,
  result jsonb,
  released jsonb,
  version integer NOT NULL,
  changed_at timestamptz NOT NULL,
  PRIMARY KEY (territory, id),
  FOREIGN KEY (territory, based_on) REFERENCES allocation_round,
  CHECK (state NOT IN ('computed', 'released') OR (inputs_digest IS NOT NULL AND proposals_digest IS NOT NULL)),
  CHECK ((state = 'released') = (released IS NOT NULL))
);
CREATE INDEX ix_allocation_round_campaign ON allocation_round (territory, campaign_id, id);
-- One round of a campaign waits or is computed, whatever races.
CREATE UNIQUE INDEX ux_allocation_round_under_way ON allocation_round (territory, campaign_id)
  WHERE state IN ('asked', 'computing');

-- No row-level security: the job learns here what waits, in whatever territory (`code`).
CREATE TABLE round_waiting (round_id uuid PRIMARY KEY, code text NOT NULL);

CREATE TABLE round_choice (
  territory text NOT NULL,
  round_id uuid NOT NULL,
  need_id uuid NOT NULL,
  offer_id uuid NOT NULL,
  kind text NOT NULL CHECK (kind IN ('pin', 'exclude')),
  reason text NOT NULL CHECK (reason <> ''),
  chosen_by text NOT NULL CHECK (chosen_by <> ''),
  chosen_at timestamptz NOT NULL,
  PRIMARY KEY (territory, round_id, need_id, offer_id),
  FOREIGN KEY (territory, round_id) REFERENCES allocation_round,
  FOREIGN KEY (territory, need_id) REFERENCES need,
  FOREIGN KEY (territory, offer_id) REFERENCES offer
);
-- A need is served by one pinned offer at most.
CREATE UNIQUE INDEX ux_round_choice_pin ON round_choice (territory, round_id, need_id) WHERE kind = 'pin';

CREATE TABLE round_inputs (
  territory text NOT NULL,
  round_id uuid NOT NULL,
  content bytea NOT NULL,
  PRIMARY KEY (territory, round_id),
  FOREIGN KEY (territory, round_id) REFERENCES allocation_round
);
-- Compressed already.
ALTER TABLE round_inputs ALTER COLUMN content SET STORAGE EXTERNAL;

CREATE TABLE round_proposal (
  territory text NOT NULL,
  id uuid NOT NULL,
  round_id uuid NOT NULL,
  need_id uuid NOT NULL,
  offer_id uuid NOT NULL,
  association_id uuid NOT NULL,
  contributor_id uuid NOT NULL,
  need_version integer NOT NULL,
  offer_version integer NOT NULL,
  minutes integer NOT NULL CHECK (minutes > 0),
  points integer NOT NULL CHECK (points >= 0),
  parts jsonb NOT NULL,
  reasons text[] NOT NULL,
  pinned boolean NOT NULL,
  PRIMARY KEY (territory, id),
  UNIQUE (territory, round_id, need_id, offer_id),
  FOREIGN KEY (territory, round_id) REFERENCES allocation_round
);
CREATE INDEX ix_round_proposal_round ON round_proposal (territory, round_id, id);

CREATE TABLE round_unserved (
  territory text NOT NULL,
  id uuid NOT NULL,
  round_id uuid NOT NULL,
  need_id uuid NOT NULL,
  association_id uuid NOT NULL,
  missing_minutes integer NOT NULL CHECK (missing_minutes > 0),
  candidates integer NOT NULL,
  why text[] NOT NULL,
  PRIMARY KEY (territory, id),
  UNIQUE (territory, round_id, need_id),
  FOREIGN KEY (territory, round_id) REFERENCES allocation_round
);
CREATE INDEX ix_round_unserved_round ON round_unserved (territory, round_id, id);

-- What became of a proposal at the release: its mission, or why it was left out.
CREATE TABLE round_release (
  territory text NOT NULL,
  round_id uuid NOT NULL,
  proposal_id uuid NOT NULL,
  mission_id uuid,
  left_out text,
  PRIMARY KEY (territory, proposal_id),
  FOREIGN KEY (territory, proposal_id) REFERENCES round_proposal,
  CHECK ((mission_id IS NULL) <> (left_out IS NULL))
);
CREATE INDEX ix_round_release_round ON round_release (territory, round_id);

CREATE TABLE allocation_round_event (
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
  FOREIGN KEY (territory, subject_id) REFERENCES allocation_round
);
CREATE INDEX ix_allocation_round_event_subject ON allocation_round_event (territory, subject_id, id);
"""

# Written once: what was computed and released is what the town answers for.
WRITTEN_ONCE = ("allocation_round_event", "round_inputs", "round_proposal", "round_unserved", "round_release")
SECURED = (
    "credit_told", "promise_told", "mission_minutes", "allocation_round", "round_choice", "round_inputs", "round_proposal",
    "round_unserved", "round_release", "allocation_round_event",
)  # fmt: skip


def upgrade() -> None:
    only_grow = "".join(
        f"CREATE TRIGGER {table}_only_grows BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION refuse_change();\n"
        for table in WRITTEN_ONCE
    )
    execute_script(op, KNOWN_DDL + ROUND_DDL + only_grow + "".join(secure(table) for table in SECURED))
