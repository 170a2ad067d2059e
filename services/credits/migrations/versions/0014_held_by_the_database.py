"""What was held by the service alone is held by the database: closings are sealed, states move forward, rules stay.

A report's digest and the signature under it are rows, too: who owns the database could write all three anew, as one lie
that agrees with itself. From here on their blocks say it. What was closed before is sealed as this migration finds it.

A hold, its parts and a campaign are rows that change. What may become of them is written down here once more. Where the
way is the usual one, the conditions of the triggers say so and no function is called: settling costs as before.
"""

from alembic import op

from kernel.migrate import execute_script
from services.credits.tables import seal_rows

revision = "0014"
down_revision = "0011"

CLOSINGS = ("closing", "closing_step", "closing_report", "closing_signature", "closing_statement")

# MT003, as everywhere: a change of what never changes.
HOLDS = """
-- What the transfers say was served of a mission and not undone: in all, or out of one lot.
CREATE FUNCTION ledger_served_minutes(here text, mission uuid, lot uuid) RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce(sum(CASE WHEN target.kind = 'served' THEN moved.minutes ELSE -moved.minutes END), 0)::bigint
  FROM public.transfer AS moved
  JOIN public.account AS source ON source.id = moved.from_account_id AND source.territory = moved.territory
  JOIN public.account AS target ON target.id = moved.to_account_id AND target.territory = moved.territory
  WHERE moved.territory = here AND moved.mission_id = mission AND 'served' IN (source.kind, target.kind)
    AND (lot IS NULL OR lot IN (source.lot_id, target.lot_id))
$$;

-- Called for every change but those of a hold that is held and goes on, to its end or not.
CREATE FUNCTION ledger_check_hold_change() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF (NEW.state, NEW.served_minutes) = (OLD.state, OLD.served_minutes)
    OR (OLD.state = 'asked' AND NEW.state IN ('held', 'refused') AND NEW.served_minutes = 0)
    -- A settlement was undone, in whole or in part: by transfers, which are written first.
    OR (OLD.state = 'settled' AND NEW.served_minutes < OLD.served_minutes
      AND NEW.state = CASE WHEN NEW.served_minutes > 0 THEN 'settled' ELSE 'reversed' END
      AND NEW.served_minutes = public.ledger_served_minutes(NEW.territory, NEW.mission_id, NULL))
  THEN
    RETURN NEW;
  END IF;
  RAISE EXCEPTION 'the hold of mission % does not go from % (% minutes served) to % (%)', OLD.mission_id, OLD.state,
    OLD.served_minutes, NEW.state, NEW.served_minutes USING ERRCODE = 'MT003';
END $$;

CREATE FUNCTION ledger_check_part_change() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF NEW.released_minutes >= OLD.released_minutes
    AND NEW.served_minutes = public.ledger_served_minutes(NEW.territory, NEW.mission_id, NEW.lot_id)
  THEN
    RETURN NEW;
  END IF;
  RAISE EXCEPTION 'part % of the hold of mission % does not go back from % minutes served and % released to % and %',
    OLD.number, OLD.mission_id, OLD.served_minutes, OLD.released_minutes, NEW.served_minutes, NEW.released_minutes
    USING ERRCODE = 'MT003';
END $$;

CREATE FUNCTION ledger_refuse_other_terms() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION '% of % is refused: a hold stays as it was agreed; only its state and what was served of it change',
    TG_OP, TG_TABLE_NAME USING ERRCODE = 'MT003';
END $$;

CREATE TRIGGER hold_moves_forward BEFORE UPDATE OF state, served_minutes ON hold FOR EACH ROW
  WHEN (OLD.state <> 'held' OR NEW.served_minutes < OLD.served_minutes
    OR NOT (NEW.state IN ('held', 'settled') OR NEW.state = 'released' AND NEW.served_minutes = 0))
  EXECUTE FUNCTION ledger_check_hold_change();
CREATE TRIGGER hold_keeps_its_terms BEFORE UPDATE OF campaign_id, association_id, contributor_id, minutes, ends_on ON hold
  FOR EACH ROW WHEN ((NEW.campaign_id, NEW.association_id, NEW.contributor_id, NEW.minutes, NEW.ends_on)
    IS DISTINCT FROM (OLD.campaign_id, OLD.association_id, OLD.contributor_id, OLD.minutes, OLD.ends_on))
  EXECUTE FUNCTION ledger_refuse_other_terms();
CREATE TRIGGER hold_part_moves_forward BEFORE UPDATE OF served_minutes, released_minutes ON hold_part FOR EACH ROW
  WHEN (NEW.served_minutes < OLD.served_minutes OR NEW.released_minutes < OLD.released_minutes)
  EXECUTE FUNCTION ledger_check_part_change();
CREATE TRIGGER hold_part_keeps_its_terms BEFORE UPDATE OF number, lot_id, minutes ON hold_part
  FOR EACH ROW WHEN ((NEW.number, NEW.lot_id, NEW.minutes) IS DISTINCT FROM (OLD.number, OLD.lot_id, OLD.minutes))
  EXECUTE FUNCTION ledger_refuse_other_terms();
"""

# Columns that a campaign gets later are its rules as well, unless they are named here.
CAMPAIGNS = """
CREATE FUNCTION ledger_check_campaign_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  of_closing text[] := '{state,version,closed_at,closed_by,closure_reason}';
BEGIN
  IF NEW IS NOT DISTINCT FROM OLD OR (OLD.state = 'open' AND NEW.state = 'closed'
    AND to_jsonb(NEW) - of_closing = to_jsonb(OLD) - of_closing)
  THEN
    RETURN NEW;
  END IF;
  RAISE EXCEPTION 'campaign % is % and does not change%: its rules are fixed, and it is opened once and closed once', OLD.ref,
    OLD.state, CASE WHEN NEW.state <> OLD.state THEN ' to ' || NEW.state ELSE '' END USING ERRCODE = 'MT003';
END $$;

CREATE TRIGGER campaign_keeps_its_rules BEFORE UPDATE ON campaign
  FOR EACH ROW WHEN (OLD.state <> 'draft' OR NEW.state = 'closed') EXECUTE FUNCTION ledger_check_campaign_change();
"""

PRIVILEGES = """
REVOKE ALL ON FUNCTION ledger_served_minutes(text, uuid, uuid), ledger_check_hold_change(), ledger_check_part_change(),
  ledger_refuse_other_terms(), ledger_check_campaign_change() FROM PUBLIC;
"""


def upgrade() -> None:
    for table in CLOSINGS:
        execute_script(op, seal_rows(table, refusal="closing_refuse_change"))
    execute_script(op, HOLDS + CAMPAIGNS + PRIVILEGES)
