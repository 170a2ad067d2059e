"""What was held by the service alone is held by the database: closings are sealed, states move forward, rules stay.

A report's digest and the signature under it are rows, too: who owns the database could write all three anew, as one lie
that agrees with itself. From here on their blocks say it. What was closed before is sealed as this migration finds it.

A hold, its parts and a campaign are rows that change. What may become of them is written down here once more. Where the
way is the usual one, the conditions of the triggers say so and no function is called: settling costs as before.

A reservation from a lot that has expired is refused by the check that every transfer passes anyway.
"""

from alembic import op

from kernel.migrate import execute_script
from services.credits.tables import seal_rows

revision = "0014"
down_revision = "0013"

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

# One plan for all, which looks rows up by index, one by one, in the order in which they are asked for: as in 0010.
BY_INDEX = """SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off
  SET enable_hashjoin = off SET enable_mergejoin = off SET enable_material = off"""

# As in 0010, and nothing is reserved from a lot that has expired by the transfer's own time, when it takes effect. The
# service is stricter: it asks its clock when it decides, and an event is decided on after its own time. The database's
# clock is another one, and agrees with it by chance alone.
CHECKS = f"""
CREATE OR REPLACE FUNCTION ledger_check_transfers() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp {BY_INDEX} AS $$
DECLARE
  wrong record;
BEGIN
  SELECT written.*, source.kind AS source_kind, source.holder_id AS source_holder, target.kind AS target_kind,
    target.holder_id AS target_holder,
    (source.version >= written.from_version AND target.version >= written.to_version
      AND source.campaign_id = written.campaign_id AND target.campaign_id = written.campaign_id) IS TRUE AS moves,
    public.ledger_missing_minutes(source.kind, written.from_balance_minutes) AS source_missing,
    public.ledger_missing_minutes(target.kind, written.to_balance_minutes) AS target_missing,
    written.mission_id IS NOT DISTINCT FROM hold.mission_id AND written.pledge_id IS NOT DISTINCT FROM pledge.id
      AND written.grant_id IS NOT DISTINCT FROM signed_grant.id AS names_what_is,
    lot.expires_at
  INTO wrong FROM written
  LEFT JOIN public.account AS source ON source.id = written.from_account_id AND source.territory = written.territory
  LEFT JOIN public.account AS target ON target.id = written.to_account_id AND target.territory = written.territory
  LEFT JOIN public.hold ON hold.mission_id = written.mission_id AND hold.territory = written.territory
  LEFT JOIN public.pledge ON pledge.id = written.pledge_id AND pledge.territory = written.territory
  LEFT JOIN public.signed_grant ON signed_grant.id = written.grant_id AND signed_grant.territory = written.territory
  -- Of reservations alone: for all others the key is NULL, and nothing is looked up.
  LEFT JOIN public.lot ON lot.id = CASE WHEN written.kind = 'reserve' THEN source.lot_id END AND lot.territory = written.territory
  WHERE (source.version >= written.from_version AND target.version >= written.to_version
      AND source.campaign_id = written.campaign_id AND target.campaign_id = written.campaign_id) IS NOT TRUE
    OR public.ledger_missing_minutes(source.kind, written.from_balance_minutes) IS NOT NULL
    OR public.ledger_missing_minutes(target.kind, written.to_balance_minutes) IS NOT NULL
    OR (written.kind <> 'reverse' AND NOT (public.ledger_flow_is_allowed(written.kind, source.kind, target.kind)
      AND (source.holder_id = target.holder_id OR 'pool' IN (source.kind, target.kind) OR target.kind = 'lapsed')))
    OR written.mission_id IS DISTINCT FROM hold.mission_id
    OR written.pledge_id IS DISTINCT FROM pledge.id
    OR written.grant_id IS DISTINCT FROM signed_grant.id
    OR written.effective_at >= lot.expires_at
  ORDER BY written.id LIMIT 1;
  IF FOUND THEN
    IF NOT wrong.moves THEN
      RAISE EXCEPTION 'transfer % moves no account', wrong.id USING ERRCODE = 'MT003';
    ELSIF coalesce(wrong.source_missing, wrong.target_missing) IS NOT NULL THEN
      RAISE EXCEPTION 'transfer % breaks a bound by % minutes', wrong.id, coalesce(wrong.source_missing, wrong.target_missing)
        USING ERRCODE = 'MT001', DETAIL = jsonb_build_object('campaign_id', wrong.campaign_id,
          'kind', CASE WHEN wrong.source_missing IS NULL THEN wrong.target_kind ELSE wrong.source_kind END,
          'holder_id', CASE WHEN wrong.source_missing IS NULL THEN wrong.target_holder ELSE wrong.source_holder END,
          'missing_minutes', coalesce(wrong.source_missing, wrong.target_missing))::text;
    ELSIF NOT wrong.names_what_is THEN
      RAISE EXCEPTION 'a transfer names a mission, a pledge or a grant that is not there' USING ERRCODE = 'MT003';
    ELSIF wrong.effective_at >= wrong.expires_at THEN
      RAISE EXCEPTION 'transfer % would spend of a lot that expired at %', wrong.id, wrong.expires_at
        USING ERRCODE = 'MT001', DETAIL = jsonb_build_object('campaign_id', wrong.campaign_id, 'kind', wrong.source_kind,
          'holder_id', wrong.source_holder, 'missing_minutes', wrong.minutes)::text;
    END IF;
    RAISE EXCEPTION 'no % leads from %/% to %/%', wrong.kind, wrong.source_kind, wrong.source_holder, wrong.target_kind,
      wrong.target_holder USING ERRCODE = 'MT004';
  END IF;
  PERFORM FROM written WHERE kind = 'reverse' LIMIT 1;
  IF FOUND THEN
    PERFORM public.ledger_check_reversals(array_agg(id)) FROM written WHERE kind = 'reverse';
  END IF;
  RETURN NULL;
END $$;
"""

PRIVILEGES = """
REVOKE ALL ON FUNCTION ledger_served_minutes(text, uuid, uuid), ledger_check_hold_change(), ledger_check_part_change(),
  ledger_refuse_other_terms(), ledger_check_campaign_change() FROM PUBLIC;
"""


def upgrade() -> None:
    for table in CLOSINGS:
        execute_script(op, seal_rows(table, refusal="closing_refuse_change"))
    execute_script(op, HOLDS + CAMPAIGNS + CHECKS + PRIVILEGES)
