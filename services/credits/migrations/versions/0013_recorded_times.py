"""Recorded times rise with an account's versions, whatever the server's clock does.

Statements by recorded time, their pages and exports find the version of an account before an instant by halving, which
holds only while no later version bears an earlier time. A clock that was set back, or a standby whose clock lies behind,
wrote such versions. An account now remembers the time of its last transfer, and the next one is recorded after it: by the
clock, or a microsecond later where the clock has fallen behind. Transfers of one call take microseconds of their own, so
that no two of an account bear the same.

Rows that are there keep their times. An account begins with the latest of its own, hence rises from there.
"""

from alembic import op

from kernel.migrate import execute_script
from services.credits.tables import keep_history

revision = "0013"
down_revision = "0012"

# As in 0010: one plan for all, made once.
BY_INDEX = """SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off
  SET enable_hashjoin = off SET enable_mergejoin = off SET enable_material = off"""
BY_HASH = """SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off
  SET enable_hashjoin = on SET enable_nestloop = off"""

COLUMN = """
-- NULL: nothing moved it yet.
ALTER TABLE account ADD moved_at timestamptz;
"""

# The rows of every territory, which the policies would hide even from the tables' owner.
LAST_TIMES = """
ALTER TABLE account NO FORCE ROW LEVEL SECURITY, DISABLE TRIGGER account_agrees;
ALTER TABLE transfer NO FORCE ROW LEVEL SECURITY;
UPDATE account SET moved_at = last.recorded_at FROM (
  SELECT territory, account_id, max(recorded_at) AS recorded_at FROM (
    SELECT territory, from_account_id AS account_id, recorded_at FROM transfer
    UNION ALL SELECT territory, to_account_id, recorded_at FROM transfer
  ) AS sides GROUP BY territory, account_id
) AS last WHERE (account.territory, account.id) = (last.territory, last.account_id);
ALTER TABLE transfer FORCE ROW LEVEL SECURITY;
ALTER TABLE account FORCE ROW LEVEL SECURITY, ENABLE TRIGGER account_agrees;
"""

HISTORY = "DROP TRIGGER account_is_written ON account;" + keep_history(
    "account", keys="id", left_out="balance_minutes,version,moved_at", updates=False
)

CLOCK = """
-- The one place where the ledger asks what time it is; tests set it back.
CREATE FUNCTION ledger_clock() RETURNS timestamptz LANGUAGE sql VOLATILE AS 'SELECT clock_timestamp()';
REVOKE ALL ON FUNCTION ledger_clock() FROM PUBLIC;
"""

# As in 0010, with recorded times. The caller gives transfers in the order in which they move their accounts.
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
  places bigint[];
BEGIN
  SELECT array_agg(last.id), array_agg(last.version), array_agg(last.balance_minutes), array_agg(last.place)
  INTO moved, versions, balances, places FROM (
    SELECT DISTINCT ON (id) id, version, balance_minutes, (number - 1) % cardinality(ids) AS place
    FROM unnest(sources || targets, from_versions || to_versions, from_balances || to_balances) WITH ORDINALITY
      AS w(id, version, balance_minutes, number)
    ORDER BY id, version DESC
  ) AS last;
  WITH clock AS MATERIALIZED (
    SELECT greatest(public.ledger_clock(), max(moved_at) + interval '1 microsecond') AS reads
    FROM public.account WHERE territory = here AND id = ANY(moved)
  ), written AS (
    INSERT INTO public.transfer (territory, id, campaign_id, kind, minutes, who, why, effective_at, idempotency_key, mission_id,
      grant_id, pledge_id, reverses, from_account_id, from_version, from_balance_minutes, to_account_id, to_version,
      to_balance_minutes, recorded_at)
    SELECT here, id, campaign_id, kind, minutes, who, why, effective_at, key, mission_id, grant_id, pledge_id, reverses,
      source, from_version, from_balance, target, to_version, to_balance,
      (SELECT reads FROM clock) + (number - 1) * interval '1 microsecond'
    FROM unnest(ids, kinds, campaign_ids, amounts, whos, whys, effective, keys, missions, grants, pledges, reversals,
        sources, from_versions, from_balances, targets, to_versions, to_balances) WITH ORDINALITY
      AS w(id, kind, campaign_id, minutes, who, why, effective_at, key, mission_id, grant_id, pledge_id, reverses,
        source, from_version, from_balance, target, to_version, to_balance, number)
  )
  UPDATE public.account SET balance_minutes = balances[array_position(moved, id)], version = versions[array_position(moved, id)],
    moved_at = (SELECT reads FROM clock) + places[array_position(moved, id)] * interval '1 microsecond'
  WHERE territory = here AND id = ANY(moved);
END $$;
"""

# As in 0010, and times that rise: each version's after the one before, the last one's on the account.
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
        AND side.recorded_at > lag(side.recorded_at, 1, coalesce(before.moved_at, '-infinity')) OVER steps
        AND (lead(side.number) OVER steps IS NOT NULL
          OR (side.number, side.balance_minutes, side.recorded_at) = (after.version, after.balance_minutes, after.moved_at))
        AS agrees
    FROM after LEFT JOIN before USING (id, territory) LEFT JOIN LATERAL (
      SELECT from_version AS number, -minutes AS minutes, from_balance_minutes AS balance_minutes, recorded_at
      FROM public.transfer
      WHERE territory IS NOT DISTINCT FROM after.territory AND from_account_id = after.id AND from_version > before.version
      UNION ALL
      SELECT to_version, minutes, to_balance_minutes, recorded_at FROM public.transfer
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

CREATE OR REPLACE FUNCTION ledger_check_new_accounts() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF EXISTS (SELECT FROM written WHERE version <> 0 OR balance_minutes <> 0 OR moved_at IS NOT NULL) THEN
    RAISE EXCEPTION 'an account starts at zero' USING ERRCODE = 'MT003';
  END IF;
  RETURN NULL;
END $$;
"""

# As in 0006; what is asked about an instant past the last transfer, as most is, now needs no look at any.
ACCOUNT_AT = """
CREATE OR REPLACE FUNCTION ledger_account_at(wanted uuid, before timestamptz, OUT version bigint, OUT balance_minutes bigint)
LANGUAGE plpgsql STABLE COST 20000 SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  here text := current_setting('metis.territory', true);
  moved timestamptz;
  low bigint := 0;
  high bigint;
  middle bigint;
  recorded timestamptz;
BEGIN
  SELECT account.version, account.balance_minutes, account.moved_at INTO version, balance_minutes, moved
  FROM public.account WHERE account.territory = here AND account.id = wanted;
  IF before IS NULL OR coalesce(version, 0) = 0 OR moved < before THEN RETURN; END IF;
  high := version;
  WHILE low < high LOOP
    middle := (low + high + 1) / 2;
    SELECT entry.recorded_at INTO STRICT recorded FROM public.entry
    WHERE entry.territory = here AND entry.account_id = wanted AND entry.account_version = middle;
    IF recorded < before THEN low := middle; ELSE high := middle - 1; END IF;
  END LOOP;
  version := low;
  balance_minutes := coalesce((SELECT entry.balance_after_minutes FROM public.entry
    WHERE entry.territory = here AND entry.account_id = wanted AND entry.account_version = low), 0);
END $$;
"""

# As in 0010, but that transfers are written in the order in which they are numbered.
PROMISES = f"""
CREATE OR REPLACE FUNCTION post_promises(campaign_ids uuid[], asked jsonb, events jsonb)
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
    ORDER BY w.transfer_id
  ) AS numbered;
  RETURN QUERY SELECT * FROM enter_outbox(events, added::text[]);
END $$;
"""


def upgrade() -> None:
    for script in (COLUMN, LAST_TIMES, HISTORY, CLOCK, WRITING, CHECKS, ACCOUNT_AT, PROMISES):
        execute_script(op, script)
