"""What statements and open data ask for: an account as of any instant, a campaign in the order of recording, more of an actor."""

from alembic import op

from kernel.migrate import execute_script

revision = "0006"
down_revision = "0005"

# Versions follow each other without a gap and are recorded one after the other: halving finds the last one before an
# instant with 24 looks among ten million, without an index that each transfer would have to pay for. Its cost is told to the
# planner, which would call it for each of an account's entries instead of once.
ACCOUNT_AT = """
CREATE FUNCTION ledger_account_at(wanted uuid, before timestamptz, OUT version bigint, OUT balance_minutes bigint)
LANGUAGE plpgsql STABLE COST 20000 SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  here text := current_setting('metis.territory', true);
  low bigint := 0;
  high bigint;
  middle bigint;
  recorded timestamptz;
BEGIN
  SELECT account.version, account.balance_minutes INTO version, balance_minutes
  FROM public.account WHERE account.territory = here AND account.id = wanted;
  IF before IS NULL OR coalesce(version, 0) = 0 THEN RETURN; END IF;
  high := version;
  middle := version;  -- most questions are about the present: look there first
  WHILE low < high LOOP
    SELECT entry.recorded_at INTO STRICT recorded FROM public.entry
    WHERE entry.territory = here AND entry.account_id = wanted AND entry.account_version = middle;
    IF recorded < before THEN low := middle; ELSE high := middle - 1; END IF;
    middle := (low + high + 1) / 2;
  END LOOP;
  version := low;
  balance_minutes := coalesce((SELECT entry.balance_after_minutes FROM public.entry
    WHERE entry.territory = here AND entry.account_id = wanted AND entry.account_version = low), 0);
END $$;
"""

INDEXES = """
CREATE INDEX ix_transfer_recorded ON transfer (campaign_id, recorded_at);
"""

# Public facts of legal bodies: open data name the beneficiary by them, and indicators add up by field of action.
ACTOR = """
ALTER TABLE actor ADD siret text, ADD rna text, ADD fields_of_action text[] NOT NULL DEFAULT '{}';
"""


def upgrade() -> None:
    execute_script(op, ACCOUNT_AT)
    execute_script(op, INDEXES)
    execute_script(op, ACTOR)
