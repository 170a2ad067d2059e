"""Parties, conventions, valuations and receipts: what was written, accepted, valued or issued is never changed."""

from alembic import op

from kernel.migrate import execute_script, runtime_role
from kernel.tables import secure

revision = "0005"
down_revision = "0004"

RULE = """
-- A campaign that exists runs on by the rules it was opened with.
ALTER TABLE campaign ADD COLUMN conventions_required boolean NOT NULL DEFAULT false;
"""

# The one table here that may be corrected: a convention or receipt holds its own copy of what it said.
PARTIES = """
CREATE TABLE party (
  territory text NOT NULL,
  -- An actor of the registry, or zero for the town itself.
  actor_id uuid NOT NULL,
  version integer NOT NULL DEFAULT 1,
  legal_form text NOT NULL,
  address text NOT NULL,
  representative_function text NOT NULL,
  siren text,
  rna text,
  object text,
  category text,
  written_by text NOT NULL,
  written_at timestamptz NOT NULL,
  PRIMARY KEY (territory, actor_id)
);
"""

CONVENTIONS = """
CREATE TABLE convention (
  territory text NOT NULL,
  mission_id uuid NOT NULL,
  version integer NOT NULL CHECK (version > 0),
  template smallint NOT NULL,
  content jsonb NOT NULL,
  digest text NOT NULL,
  drafted_by text NOT NULL,
  drafted_at timestamptz NOT NULL,
  PRIMARY KEY (territory, mission_id, version),
  FOREIGN KEY (territory, mission_id) REFERENCES hold (territory, mission_id)
);
CREATE TABLE convention_acceptance (
  territory text NOT NULL,
  mission_id uuid NOT NULL,
  version integer NOT NULL,
  side text NOT NULL CHECK (side IN ('association', 'contributor', 'town')),
  accepted_by text NOT NULL,
  actor_id uuid,
  accepted_at timestamptz NOT NULL,
  PRIMARY KEY (territory, mission_id, version, side),
  FOREIGN KEY (territory, mission_id, version) REFERENCES convention (territory, mission_id, version)
);
"""

VALUATIONS = """
CREATE TABLE valuation (
  territory text NOT NULL,
  mission_id uuid NOT NULL,
  version integer NOT NULL CHECK (version > 0),
  from_day date NOT NULL,
  to_day date NOT NULL,
  minutes bigint NOT NULL CHECK (minutes > 0),
  amount_cents bigint NOT NULL CHECK (amount_cents >= 0),
  retained_cents bigint NOT NULL CHECK (retained_cents BETWEEN 0 AND amount_cents),
  lines jsonb NOT NULL,
  method text NOT NULL,
  law_year integer NOT NULL,
  reason text,
  valued_by text NOT NULL,
  valued_at timestamptz NOT NULL,
  PRIMARY KEY (territory, mission_id, version),
  FOREIGN KEY (territory, mission_id) REFERENCES hold (territory, mission_id),
  CHECK (from_day <= to_day),
  CONSTRAINT ck_valuation_correction CHECK (version = 1 OR reason IS NOT NULL)
);
-- What the donor last said of showing its figures to the town.
CREATE TABLE valuation_consent (
  territory text NOT NULL,
  mission_id uuid NOT NULL,
  version integer NOT NULL CHECK (version > 0),
  share_with_town boolean NOT NULL,
  said_by text NOT NULL,
  said_at timestamptz NOT NULL,
  PRIMARY KEY (territory, mission_id, version),
  FOREIGN KEY (territory, mission_id) REFERENCES hold (territory, mission_id)
);
"""

RECEIPTS = """
-- One row a beneficiary and year, locked by who takes the next number: a rolled back receipt leaves no gap.
CREATE TABLE receipt_counter (
  territory text NOT NULL,
  beneficiary_id uuid NOT NULL,
  year integer NOT NULL,
  last_number integer NOT NULL CHECK (last_number > 0),
  PRIMARY KEY (territory, beneficiary_id, year)
);
CREATE TABLE receipt (
  territory text NOT NULL,
  id uuid NOT NULL,
  beneficiary_id uuid NOT NULL,
  donor_id uuid NOT NULL,
  year integer NOT NULL,
  number integer NOT NULL,
  replaces uuid,
  reason text,
  minutes bigint NOT NULL CHECK (minutes > 0),
  amount_cents bigint NOT NULL CHECK (amount_cents > 0),
  template smallint NOT NULL,
  content jsonb NOT NULL,
  digest text NOT NULL,
  issued_by text NOT NULL,
  issued_at timestamptz NOT NULL,
  PRIMARY KEY (territory, id),
  CONSTRAINT uq_receipt_number UNIQUE (territory, beneficiary_id, year, number),
  CONSTRAINT uq_receipt_replaces UNIQUE (territory, replaces),
  FOREIGN KEY (territory, replaces) REFERENCES receipt (territory, id),
  CHECK ((replaces IS NULL) = (reason IS NULL))
);
CREATE INDEX ix_receipt_donor ON receipt (territory, donor_id, id);
CREATE TABLE receipt_cancellation (
  territory text NOT NULL,
  receipt_id uuid NOT NULL,
  reason text NOT NULL,
  cancelled_by text NOT NULL,
  cancelled_at timestamptz NOT NULL,
  PRIMARY KEY (territory, receipt_id),
  FOREIGN KEY (territory, receipt_id) REFERENCES receipt (territory, id)
);
-- Which valuation of which mission a receipt covers. `follows` names the receipt that covered the mission before, so that
-- all receipts of one mission form one chain, however many are asked for at once: two firsts, or two followers of one, clash.
CREATE TABLE receipt_mission (
  territory text NOT NULL,
  receipt_id uuid NOT NULL,
  mission_id uuid NOT NULL,
  valuation_version integer NOT NULL,
  follows uuid,
  PRIMARY KEY (territory, receipt_id, mission_id),
  CONSTRAINT uq_receipt_mission_chain UNIQUE NULLS NOT DISTINCT (territory, mission_id, follows),
  FOREIGN KEY (territory, receipt_id) REFERENCES receipt (territory, id),
  FOREIGN KEY (territory, follows, mission_id) REFERENCES receipt_mission (territory, receipt_id, mission_id),
  FOREIGN KEY (territory, mission_id, valuation_version) REFERENCES valuation (territory, mission_id, version)
);
"""

# MT003, like the ledger's: a change of what never changes.
RULES = """
CREATE FUNCTION documents_refuse_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION '% of % is refused: what was said stays; say the right thing anew', TG_OP, TG_TABLE_NAME
    USING ERRCODE = 'MT003';
END $$;

CREATE FUNCTION receipt_check_number() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  due integer := 1 + coalesce((SELECT max(number) FROM public.receipt WHERE territory = NEW.territory
    AND beneficiary_id = NEW.beneficiary_id AND year = NEW.year), 0);
BEGIN
  IF NEW.number <> due THEN
    RAISE EXCEPTION 'receipt % of % would leave a gap: % is due', NEW.number, NEW.year, due USING ERRCODE = 'MT003';
  END IF;
  RETURN NEW;
END $$;

-- At the commit: one receipt in force for a mission, at most.
CREATE FUNCTION receipt_check_mission() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  in_force bigint := (
    SELECT count(*) FROM public.receipt_mission AS covered
    WHERE covered.territory = NEW.territory AND covered.mission_id = NEW.mission_id
      AND NOT EXISTS (SELECT FROM public.receipt WHERE territory = NEW.territory AND replaces = covered.receipt_id)
      AND NOT EXISTS (SELECT FROM public.receipt_cancellation AS cancelled
        WHERE cancelled.territory = NEW.territory AND cancelled.receipt_id = covered.receipt_id));
BEGIN
  IF in_force > 1 THEN
    RAISE EXCEPTION 'mission % is covered by % receipts in force', NEW.mission_id, in_force USING ERRCODE = 'MT003';
  END IF;
  RETURN NULL;
END $$;

CREATE TRIGGER receipt_number BEFORE INSERT ON receipt FOR EACH ROW EXECUTE FUNCTION receipt_check_number();
CREATE CONSTRAINT TRIGGER receipt_mission_once AFTER INSERT ON receipt_mission
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION receipt_check_mission();
"""

APPEND_ONLY = (
    "convention", "convention_acceptance", "valuation", "valuation_consent", "receipt", "receipt_cancellation", "receipt_mission",
)  # fmt: skip
ROLE = runtime_role("credits")


def _keep(table: str) -> str:
    """SQL that makes a table append-only, for everybody by trigger and for the runtime role by privilege, too."""
    return f"""
CREATE TRIGGER {table}_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}
  FOR EACH STATEMENT EXECUTE FUNCTION documents_refuse_change();
DO $$ BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = '{ROLE}') THEN
    REVOKE UPDATE, DELETE, TRUNCATE ON {table} FROM "{ROLE}";
  END IF;
END $$;
"""


COUNTER = f"""
CREATE TRIGGER receipt_counter_stays BEFORE DELETE OR TRUNCATE ON receipt_counter
  FOR EACH STATEMENT EXECUTE FUNCTION documents_refuse_change();
DO $$ BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = '{ROLE}') THEN
    REVOKE DELETE, TRUNCATE ON receipt_counter FROM "{ROLE}";
  END IF;
END $$;
"""


def upgrade() -> None:
    execute_script(op, RULE + PARTIES + CONVENTIONS + VALUATIONS + RECEIPTS + RULES)
    for table in ("party", "receipt_counter", *APPEND_ONLY):
        execute_script(op, secure(table))
    for table in APPEND_ONLY:
        execute_script(op, _keep(table))
    execute_script(op, COUNTER)
