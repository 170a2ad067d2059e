"""Balances by effective time out of the running ones: what was recorded on one side of an instant and took effect on the other.

Nearly all transfers take effect within moments of being recorded, and are found by the instant at which they were. Those
whose two times lie a minute or more apart are in partial indexes of their own; for all others these cost a comparison.
"""

from alembic import op

from kernel.migrate import execute_script, runtime_role

revision = "0012"
down_revision = "0011"

# How far apart its two times lie; the difference of two timestamptz is immutable, a timestamptz less an interval is not.
APART = "(greatest(effective_at, recorded_at) - least(effective_at, recorded_at))"
FAR = f"{APART} >= interval '1 minute'"
# Classes of those that lie far apart: from one of these to the next. Hours, for a day of a time zone may have 23 of them.
LIMITS = ("1 minute", "10 minutes", "1 hour", "6 hours", "24 hours", "168 hours", "720 hours", "8760 hours", "87600 hours")
CLASS = f"width_bucket({APART}, '{{{','.join(LIMITS)}}}'::interval[])"
MOST = f"'{{{','.join((*LIMITS[1:], 'NULL'))}}}'::interval[]"

# In the order of effect for pages; by class for what follows.
INDEXES = f"""
CREATE INDEX ix_transfer_far ON transfer (campaign_id, effective_at) WHERE {FAR};
CREATE INDEX ix_transfer_far_from ON transfer (from_account_id, effective_at) WHERE {FAR};
CREATE INDEX ix_transfer_far_to ON transfer (to_account_id, effective_at) WHERE {FAR};
CREATE INDEX ix_transfer_far_class ON transfer (campaign_id, ({CLASS}), effective_at, recorded_at) WHERE {FAR};
"""

# Of a class with lags of less than a day only a day on each side of the instant is read, whatever the ledger's size and
# however late something else was once. SECURITY DEFINER: under a row-level policy no index of an expression is used, since
# the expression might tell of other rows (an owner whom policies bind gets the same sums, more slowly). IS NOT DISTINCT FROM
# as in 0004: no index is taken for the territory alone. One plan for all, by index and one by one, as in 0010.
OUT_OF_STEP = f"""
-- By account: entries and minutes that took effect before the instant and were recorded from it on, less those that were
-- recorded before it and take effect from it on. Added to `ledger_account_at`, what was in effect before the instant.
CREATE FUNCTION ledger_out_of_step(campaign uuid, before timestamptz)
RETURNS TABLE (account_id uuid, version bigint, balance_minutes bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET enable_material = off AS $$
DECLARE
  here text := public.ledger_territory();
BEGIN
  RETURN QUERY
  SELECT side.account_id, sum(found.number)::bigint, sum(found.number * side.minutes)::bigint FROM (
    SELECT CASE WHEN effective_at < before THEN 1 ELSE -1 END AS number, from_account_id, to_account_id, minutes
    FROM public.transfer
    WHERE territory IS NOT DISTINCT FROM here AND campaign_id = campaign AND NOT {FAR}
      AND recorded_at > before - interval '1 minute' AND recorded_at < before + interval '1 minute'
      AND (effective_at < before) <> (recorded_at < before)
    UNION ALL
    SELECT far.* FROM unnest({MOST}) WITH ORDINALITY AS class(most, number) CROSS JOIN LATERAL (
      SELECT 1, from_account_id, to_account_id, minutes FROM public.transfer
      WHERE territory IS NOT DISTINCT FROM here AND campaign_id = campaign AND {FAR} AND {CLASS} = class.number::integer
        AND effective_at > coalesce(before - class.most, '-infinity') AND effective_at < before AND recorded_at >= before
      UNION ALL
      SELECT -1, from_account_id, to_account_id, minutes FROM public.transfer
      WHERE territory IS NOT DISTINCT FROM here AND campaign_id = campaign AND {FAR} AND {CLASS} = class.number::integer
        AND effective_at >= before AND effective_at < coalesce(before + class.most, 'infinity') AND recorded_at < before
    ) AS far
  ) AS found
  CROSS JOIN LATERAL (VALUES (from_account_id, -found.minutes), (to_account_id, found.minutes)) AS side(account_id, minutes)
  GROUP BY side.account_id;
END $$;
"""

ROLE = runtime_role("credits")
PRIVILEGES = f"""
REVOKE ALL ON FUNCTION ledger_out_of_step(uuid, timestamptz) FROM PUBLIC;
DO $$ BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = '{ROLE}') THEN
    GRANT EXECUTE ON FUNCTION ledger_out_of_step(uuid, timestamptz) TO "{ROLE}";
  END IF;
END $$;
"""


def upgrade() -> None:
    for script in (INDEXES, OUT_OF_STEP, PRIVILEGES):
        execute_script(op, script)
