"""Fewer round trips: a batch of missions is loaded by one call and saved by another, new promises take one for all.

Functions that meet the ledger's rows bear their plans with them: made once, by index, from what is asked towards the rows.
A plan made while a table was empty would read all of it, and stays for as long as the connection does.

What was checked row by row is checked a statement at a time, as transfers are since 0004: a pledge's campaign and a part's
hold, neither of which is ever deleted. `open_promises` stays for the version before this one.
"""

from alembic import op

from kernel.migrate import execute_script, runtime_role

revision = "0010"
down_revision = "0009"

# One plan for all, which looks rows up by index, one by one, in the order in which they are asked for.
BY_INDEX = """SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off
  SET enable_hashjoin = off SET enable_mergejoin = off SET enable_material = off"""
# One that joins the statement's own rows with one another, and what is LATERAL still one by one.
BY_HASH = """SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off
  SET enable_hashjoin = on SET enable_nestloop = off"""

PLANS = f"""
ALTER FUNCTION lock_accounts(uuid[], text[], uuid[]) {BY_INDEX};
ALTER FUNCTION ledger_check_reversals(uuid[]) {BY_INDEX};
"""

# As in 0004, but that nothing is inserted, and no trigger called, where all accounts are there.
ACCOUNTS = f"""
CREATE OR REPLACE FUNCTION open_accounts(campaign_ids uuid[], kinds text[], holder_ids uuid[], lot_ids uuid[])
RETURNS SETOF public.account
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp {BY_INDEX} AS $$
DECLARE
  here text := public.ledger_territory();
BEGIN
  PERFORM FROM unnest(campaign_ids, kinds, holder_ids, lot_ids) AS wanted(campaign_id, kind, holder_id, lot_id)
  WHERE NOT EXISTS (
    SELECT FROM public.account WHERE account.territory = here AND account.campaign_id = wanted.campaign_id
      AND account.holder_id = wanted.holder_id AND account.kind = wanted.kind
      AND account.lot_id IS NOT DISTINCT FROM wanted.lot_id)
  LIMIT 1;
  IF FOUND THEN
    INSERT INTO public.account (territory, id, campaign_id, kind, holder_id, lot_id)
    SELECT here, gen_random_uuid(), campaign_id, kind, holder_id, lot_id FROM (
      SELECT DISTINCT * FROM unnest(campaign_ids, kinds, holder_ids, lot_ids) AS w(campaign_id, kind, holder_id, lot_id)
      ORDER BY 1, 2, 3, 4) AS wanted
    WHERE NOT EXISTS (
      SELECT FROM public.account WHERE account.territory = here AND account.campaign_id = wanted.campaign_id
        AND account.holder_id = wanted.holder_id AND account.kind = wanted.kind
        AND account.lot_id IS NOT DISTINCT FROM wanted.lot_id)
    ON CONFLICT DO NOTHING;
  END IF;
  RETURN QUERY
    SELECT account.* FROM (
      SELECT DISTINCT * FROM unnest(campaign_ids, kinds, holder_ids, lot_ids) AS w(campaign_id, kind, holder_id, lot_id)
    ) AS wanted JOIN public.account ON account.territory = here AND account.campaign_id = wanted.campaign_id
      AND account.holder_id = wanted.holder_id AND account.kind = wanted.kind
      AND account.lot_id IS NOT DISTINCT FROM wanted.lot_id
    ORDER BY array_position('{{promised,delivered,credit,held,served,carried,pool,lapsed}}', account.kind), account.id
    FOR UPDATE OF account;
END $$;
"""

# As in 0004, but that the accounts are named by an array: a join may begin at either end.
WRITING = f"""
CREATE OR REPLACE FUNCTION write_transfers(
  ids uuid[], kinds text[], campaign_ids uuid[], amounts bigint[], whos text[], whys text[], effective timestamptz[], keys text[],
  missions uuid[], grants uuid[], pledges uuid[], reversals uuid[],
  sources uuid[], from_versions bigint[], from_balances bigint[], targets uuid[], to_versions bigint[], to_balances bigint[]
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp {BY_INDEX} AS $$
DECLARE
  here text := public.ledger_territory();
  moved uuid[];
  versions bigint[];
  balances bigint[];
BEGIN
  SELECT array_agg(last.id), array_agg(last.version), array_agg(last.balance_minutes) INTO moved, versions, balances FROM (
    SELECT DISTINCT ON (id) * FROM unnest(sources || targets, from_versions || to_versions, from_balances || to_balances)
      AS w(id, version, balance_minutes)
    ORDER BY id, version DESC
  ) AS last;
  WITH written AS (
    INSERT INTO public.transfer (territory, id, campaign_id, kind, minutes, who, why, effective_at, idempotency_key, mission_id,
      grant_id, pledge_id, reverses, from_account_id, from_version, from_balance_minutes, to_account_id, to_version,
      to_balance_minutes)
    SELECT here, id, campaign_id, kind, minutes, who, why, effective_at, key, mission_id, grant_id, pledge_id, reverses,
      source, from_version, from_balance, target, to_version, to_balance
    FROM unnest(ids, kinds, campaign_ids, amounts, whos, whys, effective, keys, missions, grants, pledges, reversals,
        sources, from_versions, from_balances, targets, to_versions, to_balances)
      AS w(id, kind, campaign_id, minutes, who, why, effective_at, key, mission_id, grant_id, pledge_id, reverses,
        source, from_version, from_balance, target, to_version, to_balance)
  )
  UPDATE public.account SET balance_minutes = balances[array_position(moved, id)], version = versions[array_position(moved, id)]
  WHERE territory = here AND id = ANY(moved);
END $$;
"""

# The same promises as in 0004, in one statement each: every version and balance is computed again from the transfers.
CHECKS = f"""
CREATE OR REPLACE FUNCTION ledger_check_accounts() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp {BY_HASH} AS $$
DECLARE
  wrong record;
BEGIN
  SELECT * INTO wrong FROM (
    SELECT after.id, (after.campaign_id, after.kind, after.holder_id, after.lot_id, after.version > before.version)
        IS NOT DISTINCT FROM (before.campaign_id, before.kind, before.holder_id, before.lot_id, true) AS stays,
      side.number = lag(side.number, 1, before.version) OVER steps + 1
        AND side.balance_minutes = lag(side.balance_minutes, 1, before.balance_minutes) OVER steps + side.minutes
        AND (lead(side.number) OVER steps IS NOT NULL
          OR (side.number, side.balance_minutes) = (after.version, after.balance_minutes)) AS agrees
    FROM after LEFT JOIN before USING (id, territory) LEFT JOIN LATERAL (
      SELECT from_version AS number, -minutes AS minutes, from_balance_minutes AS balance_minutes FROM public.transfer
      WHERE territory IS NOT DISTINCT FROM after.territory AND from_account_id = after.id AND from_version > before.version
      UNION ALL
      SELECT to_version, minutes, to_balance_minutes FROM public.transfer
      WHERE territory IS NOT DISTINCT FROM after.territory AND to_account_id = after.id AND to_version > before.version
    ) AS side ON true
    WINDOW steps AS (PARTITION BY after.id, after.territory ORDER BY side.number)
  ) AS checked WHERE (stays AND agrees) IS NOT TRUE LIMIT 1;
  IF FOUND AND wrong.stays IS NOT TRUE THEN
    RAISE EXCEPTION 'an account changes by its transfers alone' USING ERRCODE = 'MT003';
  ELSIF FOUND THEN
    RAISE EXCEPTION 'account % does not agree with its transfers', wrong.id USING ERRCODE = 'MT003';
  END IF;
  RETURN NULL;
END $$;

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
      AND written.grant_id IS NOT DISTINCT FROM signed_grant.id AS names_what_is
  INTO wrong FROM written
  LEFT JOIN public.account AS source ON source.id = written.from_account_id AND source.territory = written.territory
  LEFT JOIN public.account AS target ON target.id = written.to_account_id AND target.territory = written.territory
  LEFT JOIN public.hold ON hold.mission_id = written.mission_id AND hold.territory = written.territory
  LEFT JOIN public.pledge ON pledge.id = written.pledge_id AND pledge.territory = written.territory
  LEFT JOIN public.signed_grant ON signed_grant.id = written.grant_id AND signed_grant.territory = written.territory
  WHERE (source.version >= written.from_version AND target.version >= written.to_version
      AND source.campaign_id = written.campaign_id AND target.campaign_id = written.campaign_id) IS NOT TRUE
    OR public.ledger_missing_minutes(source.kind, written.from_balance_minutes) IS NOT NULL
    OR public.ledger_missing_minutes(target.kind, written.to_balance_minutes) IS NOT NULL
    OR (written.kind <> 'reverse' AND NOT (public.ledger_flow_is_allowed(written.kind, source.kind, target.kind)
      AND (source.holder_id = target.holder_id OR 'pool' IN (source.kind, target.kind) OR target.kind = 'lapsed')))
    OR written.mission_id IS DISTINCT FROM hold.mission_id
    OR written.pledge_id IS DISTINCT FROM pledge.id
    OR written.grant_id IS DISTINCT FROM signed_grant.id
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
DROP FUNCTION ledger_check_links(uuid[], uuid[], uuid[], text);

CREATE OR REPLACE FUNCTION ledger_keep_history() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
DECLARE
  keys text[] := string_to_array(TG_ARGV[0], ',');
  left_out text[] := string_to_array('territory,' || TG_ARGV[1], ',');
BEGIN
  -- A hold that is 'asked' exists within its own transaction only, which goes on to hold or refuse it.
  INSERT INTO public.fact (territory, table_name, row_key, facts)
  SELECT written->>'territory', TG_TABLE_NAME,
    CASE cardinality(keys) WHEN 1 THEN written->>keys[1]
      ELSE (SELECT string_agg(written->>key, '/' ORDER BY place) FROM unnest(keys) WITH ORDINALITY AS k(key, place)) END,
    written - left_out
  -- OFFSET 0: made once a row, not once a mention.
  FROM (SELECT to_jsonb(w) AS written FROM written AS w OFFSET 0) AS rows
  WHERE written->>'state' IS DISTINCT FROM 'asked';
  RETURN NULL;
END $$;
"""

LINKS = f"""
CREATE FUNCTION ledger_check_campaigns() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp {BY_INDEX} AS $$
BEGIN
  IF EXISTS (SELECT FROM (SELECT DISTINCT territory, campaign_id FROM written) AS named WHERE NOT EXISTS (
      SELECT FROM public.campaign WHERE campaign.territory = named.territory AND campaign.id = named.campaign_id)) THEN
    RAISE EXCEPTION '% names a campaign that is not there', TG_TABLE_NAME USING ERRCODE = 'foreign_key_violation';
  END IF;
  RETURN NULL;
END $$;

CREATE FUNCTION ledger_check_holds() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp {BY_INDEX} AS $$
BEGIN
  IF EXISTS (SELECT FROM written WHERE NOT EXISTS (
      SELECT FROM public.hold WHERE hold.territory = written.territory AND hold.mission_id = written.mission_id)) THEN
    RAISE EXCEPTION '% names a mission that is not there', TG_TABLE_NAME USING ERRCODE = 'foreign_key_violation';
  END IF;
  RETURN NULL;
END $$;

CREATE FUNCTION ledger_refuse_other_key() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION '% of % is refused: others name it by its key', TG_OP, TG_TABLE_NAME USING ERRCODE = 'MT003';
END $$;

ALTER TABLE pledge DROP CONSTRAINT pledge_territory_campaign_id_fkey;
ALTER TABLE hold_part DROP CONSTRAINT hold_part_territory_mission_id_fkey;
CREATE TRIGGER pledge_names_its_campaign AFTER INSERT ON pledge REFERENCING NEW TABLE AS written
  FOR EACH STATEMENT EXECUTE FUNCTION ledger_check_campaigns();
CREATE TRIGGER pledge_keeps_its_campaign BEFORE UPDATE OF territory, campaign_id ON pledge
  FOR EACH ROW WHEN ((NEW.territory, NEW.campaign_id) IS DISTINCT FROM (OLD.territory, OLD.campaign_id))
  EXECUTE FUNCTION ledger_refuse_other_key();
CREATE TRIGGER hold_part_names_its_hold AFTER INSERT ON hold_part REFERENCING NEW TABLE AS written
  FOR EACH STATEMENT EXECUTE FUNCTION ledger_check_holds();
CREATE TRIGGER hold_part_keeps_its_hold BEFORE UPDATE OF territory, mission_id ON hold_part
  FOR EACH ROW WHEN ((NEW.territory, NEW.mission_id) IS DISTINCT FROM (OLD.territory, OLD.mission_id))
  EXECUTE FUNCTION ledger_refuse_other_key();
CREATE TRIGGER campaign_stays BEFORE DELETE OR TRUNCATE ON campaign
  FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
CREATE TRIGGER campaign_keeps_its_key BEFORE UPDATE OF territory, id ON campaign
  FOR EACH ROW WHEN ((NEW.territory, NEW.id) IS DISTINCT FROM (OLD.territory, OLD.id))
  EXECUTE FUNCTION ledger_refuse_other_key();
CREATE TRIGGER hold_stays BEFORE DELETE OR TRUNCATE ON hold FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
CREATE TRIGGER hold_keeps_its_key BEFORE UPDATE OF territory, mission_id ON hold
  FOR EACH ROW WHEN ((NEW.territory, NEW.mission_id) IS DISTINCT FROM (OLD.territory, OLD.mission_id))
  EXECUTE FUNCTION ledger_refuse_other_key();
"""

# A promise breaks no bound, hence nothing has to be decided between locking its accounts and writing it.
PROMISES = f"""
-- Add new pledges of open campaigns by contributors who are not archived, post them, in the order of their transfers, and
-- tell it: each has one event, of which it is the subject. Returns those events. Of a pledge that was not added the ref is
-- taken, or something else has to be said.
CREATE FUNCTION post_promises(campaign_ids uuid[], asked jsonb, events jsonb)
RETURNS TABLE (event_id uuid, sequence bigint, behind boolean)
LANGUAGE plpgsql {BY_HASH} AS $$
DECLARE
  here text := current_setting('metis.territory');
  added uuid[];
  campaigns uuid[];
  contributors uuid[];
BEGIN
  PERFORM FROM campaign WHERE id = ANY(campaign_ids) AND state <> 'closed' ORDER BY id FOR SHARE;
  WITH new AS (
    INSERT INTO pledge AS p (territory, id, campaign_id, ref, contributor_id, stated_minutes, note)
    SELECT here, w.id, w.campaign_id, w.ref, w.contributor_id, w.minutes, w.note
    FROM jsonb_to_recordset(asked) AS w(id uuid, campaign_id uuid, ref text, contributor_id uuid, minutes bigint, note text)
    -- OFFSET 0: looked up, not joined.
    WHERE EXISTS (SELECT FROM campaign WHERE campaign.id = w.campaign_id AND state <> 'closed' OFFSET 0)
      AND NOT EXISTS (SELECT FROM actor WHERE actor.id = w.contributor_id AND archived OFFSET 0)
    ORDER BY w.campaign_id, w.ref ON CONFLICT DO NOTHING RETURNING p.id, p.campaign_id, p.contributor_id
  )
  SELECT array_agg(new.id), array_agg(new.campaign_id), array_agg(new.contributor_id)
  INTO added, campaigns, contributors FROM new;
  IF added IS NULL THEN
    RETURN;
  END IF;
  PERFORM write_transfers(array_agg(transfer_id), array_agg('pledge'::text), array_agg(campaign_id), array_agg(minutes),
    array_agg(who), array_agg(why), array_agg(effective_at), array_agg(key), array_agg(NULL::uuid), array_agg(NULL::uuid),
    array_agg(id), array_agg(NULL::uuid), array_agg(source), array_agg(from_version), array_agg(from_balance),
    array_agg(target), array_agg(to_version), array_agg(to_balance))
  FROM (
    WITH accounts AS MATERIALIZED (
      SELECT * FROM open_accounts(campaigns || campaigns,
        array_fill('promised'::text, ARRAY[cardinality(added)]) || array_fill('pool'::text, ARRAY[cardinality(added)]),
        contributors || campaigns, array_fill(NULL::uuid, ARRAY[2 * cardinality(added)]))
    )
    SELECT w.*, source.id AS source, source.version + count(*) OVER given AS from_version,
      (source.balance_minutes - sum(w.minutes) OVER given)::bigint AS from_balance,
      target.id AS target, target.version + count(*) OVER taken AS to_version,
      (target.balance_minutes + sum(w.minutes) OVER taken)::bigint AS to_balance
    FROM jsonb_to_recordset(asked) AS w(transfer_id uuid, id uuid, campaign_id uuid, contributor_id uuid, minutes bigint,
      who text, why text, effective_at timestamptz, key text)
    JOIN accounts AS source ON source.kind = 'promised' AND source.campaign_id = w.campaign_id
      AND source.holder_id = w.contributor_id
    JOIN accounts AS target ON target.kind = 'pool' AND target.campaign_id = w.campaign_id
    WHERE w.id = ANY(added)
    WINDOW given AS (PARTITION BY source.id ORDER BY w.transfer_id ROWS UNBOUNDED PRECEDING),
      taken AS (PARTITION BY target.id ORDER BY w.transfer_id ROWS UNBOUNDED PRECEDING)
  ) AS numbered;
  RETURN QUERY SELECT * FROM enter_outbox(events, added::text[]);
END $$;
"""

MISSIONS = f"""
-- All that missions are decided on, locked in the one order (campaigns, missions, accounts) and read after the locks. Of a
-- mission that is heard of for the first time there is no row to lock: whoever comes with it waits for a lock on its id,
-- then looks for the row again.
-- `association_ids`, `contributor_ids`: what the first command says of a mission that may be new here; else NULL.
CREATE FUNCTION load_missions(
  asked_campaigns uuid[], asked_missions uuid[], mission_campaigns uuid[], association_ids uuid[], contributor_ids uuid[]
) RETURNS TABLE (campaigns campaign[], holds hold[], parts hold_part[], lots lot[], accounts account[], seats panel[],
  committed_campaigns uuid[], committed_contributors uuid[], committed_minutes bigint[],
  settled_keys text[], settled_minutes bigint[], refusals refusal[], concluded uuid[])
LANGUAGE plpgsql {BY_INDEX} AS $$
DECLARE
  known uuid[];
  of_campaigns uuid[];
  of_associations uuid[];
  of_contributors uuid[];
BEGIN
  SELECT array_agg(found.one) INTO campaigns
  FROM (SELECT c AS one FROM campaign AS c WHERE c.id = ANY(asked_campaigns) ORDER BY c.id FOR SHARE) AS found;
  PERFORM pg_advisory_xact_lock(uuid_hash_extended(asked.id, 0))
  FROM (SELECT m.id FROM unnest(asked_missions) AS m(id)
    WHERE NOT EXISTS (SELECT FROM hold WHERE hold.mission_id = m.id) ORDER BY m.id) AS asked;
  SELECT array_agg(found.one), array_agg((found.one).mission_id) INTO holds, known
  FROM (SELECT h AS one FROM hold AS h WHERE h.mission_id = ANY(asked_missions) ORDER BY h.mission_id FOR UPDATE) AS found;
  SELECT array_agg(m.campaign_id), array_agg(m.association_id), array_agg(m.contributor_id)
  INTO of_campaigns, of_associations, of_contributors FROM (
    SELECT new.campaign_id, new.association_id, new.contributor_id
    FROM unnest(asked_missions, mission_campaigns, association_ids, contributor_ids)
      AS new(mission_id, campaign_id, association_id, contributor_id)
    WHERE new.association_id IS NOT NULL AND (new.mission_id = ANY(known)) IS NOT TRUE
    UNION ALL SELECT h.campaign_id, h.association_id, h.contributor_id FROM unnest(holds) AS h
  ) AS m;
  -- What a new mission may move, and what one may that is there; accounts that are missing here are opened when they are moved.
  SELECT array_agg(a) INTO accounts FROM (
    SELECT array_agg(w.campaign_id) AS campaign_ids, array_agg(w.kind) AS kinds, array_agg(w.holder_id) AS holder_ids FROM (
      SELECT m.campaign_id, k.kind, m.association_id AS holder_id FROM unnest(of_campaigns, of_associations)
        AS m(campaign_id, association_id), unnest(CASE WHEN known IS NULL THEN '{{credit,held}}'::text[]
        ELSE '{{credit,held,served,carried}}' END) AS k(kind)
      UNION ALL
      SELECT m.campaign_id, k.kind, m.contributor_id FROM unnest(of_campaigns, of_contributors)
        AS m(campaign_id, contributor_id), unnest(CASE WHEN known IS NULL THEN '{{promised}}'::text[]
        ELSE '{{promised,delivered}}' END) AS k(kind) WHERE m.contributor_id IS NOT NULL
    ) AS w
  ) AS keys, LATERAL lock_accounts(keys.campaign_ids, keys.kinds, keys.holder_ids) AS a;
  SELECT array_agg(l) INTO lots FROM lot AS l
  WHERE l.association_id = ANY(of_associations) AND l.campaign_id = ANY(of_campaigns);
  IF known IS NULL OR cardinality(known) < cardinality(asked_missions) THEN
    SELECT array_agg(p) INTO seats FROM panel AS p
    WHERE p.campaign_id = ANY(of_campaigns) AND p.association_id = ANY(of_associations);
    SELECT array_agg(h.campaign_id), array_agg(h.contributor_id), array_agg(h.minutes)
    INTO committed_campaigns, committed_contributors, committed_minutes FROM (
      SELECT campaign_id, contributor_id, sum(minutes - served_minutes)::bigint AS minutes FROM hold
      WHERE contributor_id = ANY(of_contributors) AND campaign_id = ANY(of_campaigns) AND state = 'held' GROUP BY 1, 2
    ) AS h;
  END IF;
  IF known IS NOT NULL THEN
    SELECT array_agg(p ORDER BY p.mission_id, p.number) INTO parts FROM hold_part AS p WHERE p.mission_id = ANY(known);
    SELECT array_agg(t.idempotency_key), array_agg(t.minutes) INTO settled_keys, settled_minutes
    FROM transfer AS t WHERE t.mission_id = ANY(known) AND t.kind = 'deliver';
    SELECT array_agg(r) INTO refusals FROM refusal AS r WHERE r.mission_id = ANY(known) AND r.subject = 'reservation';
    SELECT array_agg(DISTINCT agreed.mission_id) INTO concluded FROM (
      SELECT a.mission_id FROM convention_acceptance AS a WHERE a.mission_id = ANY(known)
      GROUP BY a.mission_id, a.version HAVING count(*) = 3
    ) AS agreed;
  END IF;
  RETURN NEXT;
END $$;

-- What was decided about them, written and told. A hold that is new here comes to be in the state that it stays in.
CREATE FUNCTION save_missions(
  saved_at timestamptz, new_holds jsonb, changed_holds jsonb, saved_parts jsonb, refused jsonb, transfers jsonb,
  events jsonb
) RETURNS TABLE (event_id uuid, sequence bigint, behind boolean)
LANGUAGE plpgsql {BY_INDEX} AS $$
DECLARE
  here text := current_setting('metis.territory');
  changed uuid[];
  states text[];
  served bigint[];
BEGIN
  IF new_holds IS NOT NULL THEN
    INSERT INTO hold (territory, mission_id, campaign_id, association_id, contributor_id, minutes, served_minutes, ends_on, state,
      changed_at)
    SELECT here, w.*, saved_at FROM jsonb_to_recordset(new_holds) AS w(mission_id uuid, campaign_id uuid, association_id uuid,
      contributor_id uuid, minutes bigint, served_minutes bigint, ends_on date, state text);
  END IF;
  IF changed_holds IS NOT NULL THEN
    SELECT array_agg(w.mission_id), array_agg(w.state), array_agg(w.served_minutes) INTO changed, states, served
    FROM jsonb_to_recordset(changed_holds) AS w(mission_id uuid, state text, served_minutes bigint);
    UPDATE hold SET state = states[array_position(changed, mission_id)],
      served_minutes = served[array_position(changed, mission_id)], changed_at = saved_at WHERE mission_id = ANY(changed);
  END IF;
  IF saved_parts IS NOT NULL THEN
    INSERT INTO hold_part (territory, mission_id, number, lot_id, minutes, served_minutes, released_minutes)
    SELECT here, w.* FROM jsonb_to_recordset(saved_parts) AS w(mission_id uuid, number smallint, lot_id uuid, minutes bigint,
      served_minutes bigint, released_minutes bigint)
    ON CONFLICT (territory, mission_id, number)
    DO UPDATE SET served_minutes = excluded.served_minutes, released_minutes = excluded.released_minutes;
  END IF;
  IF refused IS NOT NULL THEN
    INSERT INTO refusal (territory, id, campaign_id, subject, mission_id, association_id, contributor_id, code, reason,
      asked_minutes, missing_minutes, asked_by, recorded_at)
    SELECT here, w.*, saved_at FROM jsonb_to_recordset(refused) AS w(id uuid, campaign_id uuid, subject text, mission_id uuid,
      association_id uuid, contributor_id uuid, code text, reason text, asked_minutes bigint, missing_minutes bigint,
      asked_by text);
  END IF;
  IF transfers IS NOT NULL THEN
    PERFORM post_transfers(transfers);
  END IF;
  IF events IS NOT NULL THEN
    RETURN QUERY SELECT * FROM enter_outbox(events, NULL);
  END IF;
END $$;
"""

OUTBOX = f"""
-- Events, with what they tell; `about`: only those whose subject is one of these. Returns what kernel/work.py wants to know.
CREATE FUNCTION enter_outbox(events jsonb, about text[]) RETURNS TABLE (event_id uuid, sequence bigint, behind boolean)
LANGUAGE plpgsql {BY_INDEX} AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY INSERT INTO outbox AS new (event_id, type, subject, body, traceparent, recorded_at)
    SELECT w.event_id, w.type, w.subject, convert_to(w.body, 'UTF8'), w.traceparent, w.recorded_at
    FROM jsonb_to_recordset(events)
      AS w(event_id uuid, type text, subject text, body text, traceparent text, recorded_at timestamptz)
    WHERE about IS NULL OR w.subject = ANY(about)
    RETURNING new.event_id, new.sequence, EXISTS (SELECT FROM outbox WHERE subject = new.subject);
END $$;
"""

TRANSFERS = """
CREATE INDEX ix_refusal_mission ON refusal (mission_id);

-- Transfers that were numbered on accounts that are locked, in one document: it travels at half the price of arrays.
CREATE FUNCTION post_transfers(numbered jsonb) RETURNS void
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
BEGIN
  PERFORM write_transfers(array_agg(id), array_agg(kind), array_agg(campaign_id), array_agg(minutes), array_agg(who),
    array_agg(why), array_agg(effective_at), array_agg(key), array_agg(mission_id), array_agg(grant_id), array_agg(pledge_id),
    array_agg(reverses), array_agg(source), array_agg(from_version), array_agg(from_balance), array_agg(target),
    array_agg(to_version), array_agg(to_balance))
  FROM jsonb_to_recordset(numbered) AS w(id uuid, kind text, campaign_id uuid, minutes bigint, who text, why text,
    effective_at timestamptz, key text, mission_id uuid, grant_id uuid, pledge_id uuid, reverses uuid, source uuid,
    from_version bigint, from_balance bigint, target uuid, to_version bigint, to_balance bigint);
END $$;
"""

ROLE = runtime_role("credits")
CALLED = """enter_outbox(jsonb, text[]), post_promises(uuid[], jsonb, jsonb),
  load_missions(uuid[], uuid[], uuid[], uuid[], uuid[]), save_missions(timestamptz, jsonb, jsonb, jsonb, jsonb, jsonb, jsonb),
  post_transfers(jsonb)"""
PRIVILEGES = f"""
REVOKE ALL ON FUNCTION {CALLED}, ledger_check_campaigns(), ledger_check_holds(), ledger_refuse_other_key() FROM PUBLIC;
DO $$ BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = '{ROLE}') THEN
    GRANT EXECUTE ON FUNCTION {CALLED} TO "{ROLE}";
  END IF;
END $$;
"""


def upgrade() -> None:
    for script in (PLANS, ACCOUNTS, WRITING, CHECKS, LINKS, OUTBOX, TRANSFERS, PROMISES, MISSIONS, PRIVILEGES):
        execute_script(op, script)
