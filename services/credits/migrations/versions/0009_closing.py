"""The close of a campaign: its steps, the statements and the report it freezes, and the signatures. Rows are only added.

What PostgreSQL holds by itself: a step is done once; a report's digest is that of its text; a signature stands under a
report's very digest, once; an addendum names the signed report before it, so that all of them form one chain.
"""

from alembic import op

from kernel.migrate import execute_script, runtime_role
from kernel.tables import secure

revision = "0009"
down_revision = "0006"

CLOSINGS = """
CREATE TABLE closing (
  territory text NOT NULL,
  campaign_id uuid NOT NULL,
  reason text NOT NULL,
  begun_by text NOT NULL,
  begun_at timestamptz NOT NULL,
  PRIMARY KEY (territory, campaign_id),
  FOREIGN KEY (territory, campaign_id) REFERENCES campaign (territory, id)
);
-- Every try of a step that came to an end: done, or blocked by what it found. A try that failed leaves nothing.
CREATE TABLE closing_step (
  territory text NOT NULL,
  campaign_id uuid NOT NULL,
  number integer NOT NULL CHECK (number > 0),
  step text NOT NULL CHECK (step IN ('check', 'notices', 'expire', 'release', 'freeze', 'sign')),
  state text NOT NULL CHECK (state IN ('blocked', 'done')),
  -- JSON, as text: the bytes that were written are the bytes that are read.
  figures text NOT NULL CHECK (jsonb_typeof(figures::jsonb) = 'object'),
  findings text NOT NULL CHECK (jsonb_typeof(findings::jsonb) = 'array'),
  accepted text NOT NULL CHECK (jsonb_typeof(accepted::jsonb) = 'array'),
  recorded_by text NOT NULL,
  recorded_at timestamptz NOT NULL,
  PRIMARY KEY (territory, campaign_id, number),
  FOREIGN KEY (territory, campaign_id) REFERENCES closing (territory, campaign_id)
);
CREATE UNIQUE INDEX uq_closing_step_done ON closing_step (territory, campaign_id, step) WHERE state = 'done';
"""

# Number 0 is the report, those after it are addenda.
REPORTS = """
CREATE TABLE closing_report (
  territory text NOT NULL,
  campaign_id uuid NOT NULL,
  number integer NOT NULL CHECK (number >= 0),
  content text NOT NULL,
  digest text NOT NULL,
  previous_number integer,
  previous_digest text,
  drawn_up_by text NOT NULL,
  drawn_up_at timestamptz NOT NULL,
  PRIMARY KEY (territory, campaign_id, number),
  CONSTRAINT uq_closing_report_digest UNIQUE (territory, campaign_id, number, digest),
  FOREIGN KEY (territory, campaign_id) REFERENCES closing (territory, campaign_id),
  CONSTRAINT ck_closing_report_digest CHECK (digest = encode(sha256(convert_to(content, 'UTF8')), 'hex')),
  CONSTRAINT ck_closing_report_previous CHECK (
    CASE WHEN number = 0 THEN previous_number IS NULL AND previous_digest IS NULL
      ELSE previous_number IS NOT NULL AND previous_digest IS NOT NULL AND previous_number = number - 1 END)
);
CREATE TABLE closing_signature (
  territory text NOT NULL,
  campaign_id uuid NOT NULL,
  number integer NOT NULL,
  digest text NOT NULL,
  signed_by text NOT NULL,
  client_id text NOT NULL,
  signed_at timestamptz NOT NULL,
  PRIMARY KEY (territory, campaign_id, number),
  CONSTRAINT uq_closing_signature_digest UNIQUE (territory, campaign_id, number, digest),
  FOREIGN KEY (territory, campaign_id, number, digest) REFERENCES closing_report (territory, campaign_id, number, digest)
);
ALTER TABLE closing_report ADD CONSTRAINT fk_closing_report_previous
  FOREIGN KEY (territory, campaign_id, previous_number, previous_digest)
  REFERENCES closing_signature (territory, campaign_id, number, digest);
-- Closing figures of one holder, with the version of each of its accounts: what moves later has a higher one.
CREATE TABLE closing_statement (
  territory text NOT NULL,
  id uuid NOT NULL,
  campaign_id uuid NOT NULL,
  number integer NOT NULL,
  part text NOT NULL CHECK (part IN ('association', 'contributor', 'campaign')),
  holder_id uuid NOT NULL,
  content text NOT NULL,
  digest text NOT NULL,
  PRIMARY KEY (territory, id),
  UNIQUE (territory, campaign_id, number, part, holder_id),
  FOREIGN KEY (territory, campaign_id, number) REFERENCES closing_report (territory, campaign_id, number),
  CONSTRAINT ck_closing_statement_digest CHECK (digest = encode(sha256(convert_to(content, 'UTF8')), 'hex'))
);
CREATE INDEX ix_closing_statement_holder ON closing_statement (territory, holder_id);
"""

TABLES = ("closing", "closing_step", "closing_report", "closing_signature", "closing_statement")
STAYS = """
CREATE FUNCTION closing_refuse_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION '% of % is refused: what a closing did, froze or signed stays', TG_OP, TG_TABLE_NAME USING ERRCODE = 'MT003';
END $$;
""" + "".join(
    f"""
CREATE TRIGGER {table}_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}
  FOR EACH STATEMENT EXECUTE FUNCTION closing_refuse_change();
"""
    for table in TABLES
)

ROLE = runtime_role("credits")
PRIVILEGES = f"""
DO $$ BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = '{ROLE}') THEN
    REVOKE UPDATE, DELETE, TRUNCATE ON {", ".join(TABLES)} FROM "{ROLE}";
  END IF;
END $$;
"""


def upgrade() -> None:
    execute_script(op, CLOSINGS + REPORTS)
    for table in TABLES:
        execute_script(op, secure(table))
    execute_script(op, STAYS + PRIVILEGES)
