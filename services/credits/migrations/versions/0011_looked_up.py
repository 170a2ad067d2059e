"""Accounts and waiting events are looked up one by one, whatever a plan believed of their tables when it was made.

A plan that was made while `account` was empty, as in a town's first hour, read all of it for every account that was wanted,
for as long as its connection lived: 24 ms of a batch's 30 with two thousand accounts. One made while the outbox was empty
read all of that for each batch. What is looked up beside each row that is wanted (OFFSET 0) cannot be turned round.
"""

from alembic import op

from kernel.migrate import execute_script

revision = "0011"
down_revision = "0010"

# One plan for all, which looks rows up by index, one by one, in the order in which they are asked for.
BY_INDEX = """SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off
  SET enable_hashjoin = off SET enable_mergejoin = off SET enable_material = off"""
IN_ORDER = """ORDER BY array_position('{promised,delivered,credit,held,served,carried,pool,lapsed}', account.kind), account.id
    FOR UPDATE"""

ACCOUNTS = f"""
CREATE OR REPLACE FUNCTION lock_accounts(campaign_ids uuid[], kinds text[], holder_ids uuid[]) RETURNS SETOF public.account
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp {BY_INDEX} AS $$
DECLARE
  here text := public.ledger_territory();
  found uuid[];
BEGIN
  SELECT array_agg(account.id) INTO found
  FROM (SELECT DISTINCT * FROM unnest(campaign_ids, kinds, holder_ids) AS w(campaign_id, kind, holder_id)) AS wanted,
    LATERAL (SELECT id FROM public.account WHERE territory = here AND holder_id = wanted.holder_id
      AND campaign_id = wanted.campaign_id AND kind = wanted.kind OFFSET 0) AS account;
  RETURN QUERY SELECT account.* FROM public.account WHERE territory = here AND id = ANY(found)
    {IN_ORDER};
END $$;

CREATE OR REPLACE FUNCTION open_accounts(campaign_ids uuid[], kinds text[], holder_ids uuid[], lot_ids uuid[])
RETURNS SETOF public.account
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp {BY_INDEX} AS $$
DECLARE
  here text := public.ledger_territory();
  found uuid[];
BEGIN
  LOOP
    SELECT array_agg(account.id) INTO found
    FROM (SELECT DISTINCT * FROM unnest(campaign_ids, kinds, holder_ids, lot_ids)
        AS w(campaign_id, kind, holder_id, lot_id)) AS wanted
      LEFT JOIN LATERAL (SELECT id FROM public.account WHERE territory = here AND holder_id = wanted.holder_id
        AND campaign_id = wanted.campaign_id AND kind = wanted.kind
        AND lot_id IS NOT DISTINCT FROM wanted.lot_id OFFSET 0) AS account ON true;
    EXIT WHEN array_position(found, NULL) IS NULL;
    -- Those that are not there yet come to be, or do so in another transaction that is waited for here.
    INSERT INTO public.account (territory, id, campaign_id, kind, holder_id, lot_id)
    SELECT here, gen_random_uuid(), campaign_id, kind, holder_id, lot_id FROM (
      SELECT DISTINCT * FROM unnest(campaign_ids, kinds, holder_ids, lot_ids) AS w(campaign_id, kind, holder_id, lot_id)
      ORDER BY 1, 2, 3, 4) AS wanted
    WHERE NOT EXISTS (
      SELECT FROM public.account WHERE account.territory = here AND account.campaign_id = wanted.campaign_id
        AND account.holder_id = wanted.holder_id AND account.kind = wanted.kind
        AND account.lot_id IS NOT DISTINCT FROM wanted.lot_id OFFSET 0)
    ON CONFLICT DO NOTHING;
  END LOOP;
  RETURN QUERY SELECT account.* FROM public.account WHERE territory = here AND id = ANY(found)
    {IN_ORDER};
END $$;
"""

OUTBOX = f"""
CREATE OR REPLACE FUNCTION enter_outbox(events jsonb, about text[]) RETURNS TABLE (event_id uuid, sequence bigint, behind boolean)
LANGUAGE plpgsql {BY_INDEX} AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY INSERT INTO outbox AS new (event_id, type, subject, body, traceparent, recorded_at)
    SELECT w.event_id, w.type, w.subject, convert_to(w.body, 'UTF8'), w.traceparent, w.recorded_at
    FROM jsonb_to_recordset(events)
      AS w(event_id uuid, type text, subject text, body text, traceparent text, recorded_at timestamptz)
    WHERE about IS NULL OR w.subject = ANY(about)
    RETURNING new.event_id, new.sequence, EXISTS (SELECT FROM outbox WHERE subject = new.subject OFFSET 0);
END $$;
"""


def upgrade() -> None:
    execute_script(op, ACCOUNTS)
    execute_script(op, OUTBOX)
