"""Lots, holds in parts, and a ledger that posts many transfers in one set-based call.

A transfer carries the running balance and the version of both of its sides: what is one amount on two accounts cannot
come apart. `entry` is now a view over it. Each grant is a lot of its own; credit and held accounts belong to one lot.

The rows of before are carried over: a credit account becomes one lot that ends with its campaign.
"""

from alembic import op

from kernel.migrate import execute_script, runtime_role
from kernel.tables import secure

revision = "0004"
down_revision = "0003"

DROP_OLD = """
DROP TRIGGER transfer_balances ON transfer;
DROP TRIGGER entry_balances ON entry;
DROP TRIGGER account_agrees ON account;
DROP TRIGGER account_changes ON account;
DROP TRIGGER transfer_stays ON transfer;
DROP TRIGGER entry_stays ON entry;
DROP FUNCTION ledger_check_transfer(), ledger_check_account(), ledger_check_account_change(), post_transfers(jsonb),
  ledger_post_leg(jsonb), ledger_check_flow(jsonb, account, account), ledger_move(uuid, uuid, bigint),
  ledger_open_accounts(jsonb), lock_accounts(jsonb), ledger_flow_is_allowed(text, text, text);
"""

TABLES = """
-- A grant's minutes, or those that came over from an earlier campaign, and the instant from which nobody may spend them.
CREATE TABLE lot (
  territory text NOT NULL,
  id uuid NOT NULL,
  campaign_id uuid NOT NULL,
  association_id uuid NOT NULL,
  grant_id uuid,
  carried_from uuid,
  minutes bigint NOT NULL CHECK (minutes > 0),
  expires_at timestamptz NOT NULL,
  recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (territory, id),
  FOREIGN KEY (territory, campaign_id) REFERENCES campaign (territory, id),
  FOREIGN KEY (territory, grant_id) REFERENCES signed_grant (territory, id),
  FOREIGN KEY (territory, carried_from) REFERENCES campaign (territory, id)
);
CREATE INDEX ix_lot_association ON lot (association_id, campaign_id);
CREATE INDEX ix_lot_expires ON lot (territory, expires_at);

-- What a hold draws from a lot, in the order of drawing.
CREATE TABLE hold_part (
  territory text NOT NULL,
  mission_id uuid NOT NULL,
  number smallint NOT NULL,
  lot_id uuid NOT NULL,
  minutes bigint NOT NULL CHECK (minutes > 0),
  served_minutes bigint NOT NULL DEFAULT 0 CHECK (served_minutes >= 0),
  released_minutes bigint NOT NULL DEFAULT 0 CHECK (released_minutes >= 0),
  PRIMARY KEY (territory, mission_id, number),
  FOREIGN KEY (territory, mission_id) REFERENCES hold (territory, mission_id),
  CONSTRAINT ck_hold_part CHECK (served_minutes + released_minutes <= minutes)
);

ALTER TABLE account ADD lot_id uuid, ADD FOREIGN KEY (territory, lot_id) REFERENCES lot (territory, id);
ALTER TABLE account DROP CONSTRAINT uq_account, DROP CONSTRAINT ck_account_holder, DROP CONSTRAINT ck_account_bound,
  DROP CONSTRAINT account_kind_check;
ALTER TABLE transfer
  ADD from_version bigint, ADD from_balance_minutes bigint, ADD to_version bigint, ADD to_balance_minutes bigint,
  DROP request_hash, DROP CONSTRAINT uq_transfer_reverses, DROP CONSTRAINT transfer_kind_check;
"""

CARRY_OVER_OLD_ROWS = """
INSERT INTO lot (territory, id, campaign_id, association_id, minutes, expires_at)
SELECT a.territory, a.id, a.campaign_id, a.holder_id,
  (SELECT sum(t.minutes) FROM transfer t WHERE t.territory = a.territory AND t.to_account_id = a.id AND t.kind = 'grant'),
  (c.ends_on + 1)::timestamp AT TIME ZONE 'Europe/Paris'
FROM account a JOIN campaign c ON (c.territory, c.id) = (a.territory, a.campaign_id)
WHERE a.kind = 'credit' AND a.version > 0;
UPDATE account SET lot_id = id WHERE kind = 'credit';
UPDATE account SET lot_id = credit.id FROM account AS credit
WHERE account.kind = 'held' AND credit.kind = 'credit'
  AND (credit.territory, credit.campaign_id, credit.holder_id) = (account.territory, account.campaign_id, account.holder_id);
UPDATE transfer SET
  from_version = s.account_version, from_balance_minutes = s.balance_after_minutes,
  to_version = t.account_version, to_balance_minutes = t.balance_after_minutes
FROM entry s, entry t
WHERE (s.territory, s.transfer_id, s.account_id) = (transfer.territory, transfer.id, transfer.from_account_id)
  AND (t.territory, t.transfer_id, t.account_id) = (transfer.territory, transfer.id, transfer.to_account_id);
INSERT INTO hold_part (territory, mission_id, number, lot_id, minutes, served_minutes, released_minutes)
SELECT h.territory, h.mission_id, 1, a.id, h.minutes,
  CASE WHEN h.state = 'settled' THEN h.served_minutes ELSE 0 END,
  CASE h.state WHEN 'held' THEN 0 WHEN 'settled' THEN h.minutes - h.served_minutes ELSE h.minutes END
FROM hold h JOIN account a
  ON (a.territory, a.campaign_id, a.holder_id, a.kind) = (h.territory, h.campaign_id, h.association_id, 'credit')
WHERE h.state IN ('held', 'settled', 'released', 'reversed') AND h.minutes > 0;
UPDATE hold SET served_minutes = 0 WHERE state = 'reversed';
DROP TABLE entry;
-- Marked only, and on no account; the next sweep books what was marked.
DROP TABLE carry_over;
-- Lots of one association may expire on different days, each with its own notices.
ALTER TABLE expiry_notice ADD expires_on date;
UPDATE expiry_notice SET expires_on = campaign.ends_on FROM campaign
WHERE (campaign.territory, campaign.id) = (expiry_notice.territory, expiry_notice.campaign_id);
ALTER TABLE expiry_notice DROP CONSTRAINT expiry_notice_pkey,
  ADD PRIMARY KEY (territory, campaign_id, association_id, expires_on, days_before);
"""

CONSTRAINTS = """
ALTER TABLE account
  ADD CONSTRAINT uq_account UNIQUE NULLS NOT DISTINCT (holder_id, campaign_id, kind, lot_id, territory),
  ADD CONSTRAINT ck_account_kind
    CHECK (kind IN ('promised', 'delivered', 'pool', 'credit', 'held', 'served', 'lapsed', 'carried')),
  ADD CONSTRAINT ck_account_holder CHECK ((kind IN ('pool', 'lapsed')) = (holder_id = campaign_id)),
  ADD CONSTRAINT ck_account_lot CHECK ((kind IN ('credit', 'held')) = (lot_id IS NOT NULL)),
  ADD CONSTRAINT ck_account_bound CHECK (
    CASE WHEN kind IN ('promised', 'delivered') THEN balance_minutes <= 0 ELSE kind = 'carried' OR balance_minutes >= 0 END);
-- Balances change at every transfer and stand in no index: new versions of a row find room beside the old one.
ALTER TABLE account SET (fillfactor = 70);
-- What tells rows apart comes first in an index, the territory last: few territories have many rows each, and while
-- statistics are young a plan would take an index by its territory alone (measured: forty times as slow).
DROP INDEX ix_account_holder, ix_hold_contributor, ix_transfer_campaign, ix_transfer_mission, ix_transfer_grant,
  ix_transfer_pledge;
CREATE INDEX ix_hold_contributor ON hold (contributor_id, campaign_id) WHERE state = 'held';
-- What a transfer names is looked up for all rows of a statement at once (transfer_agrees), and none of it is ever deleted.
ALTER TABLE transfer DROP CONSTRAINT transfer_territory_from_account_id_fkey,
  DROP CONSTRAINT transfer_territory_to_account_id_fkey, DROP CONSTRAINT transfer_territory_reverses_fkey,
  DROP CONSTRAINT transfer_territory_campaign_id_fkey, DROP CONSTRAINT transfer_territory_mission_id_fkey,
  DROP CONSTRAINT transfer_territory_grant_id_fkey, DROP CONSTRAINT transfer_territory_pledge_id_fkey;
ALTER TABLE account DROP CONSTRAINT account_pkey, ADD PRIMARY KEY (id, territory);
ALTER TABLE transfer DROP CONSTRAINT transfer_pkey, ADD PRIMARY KEY (id, territory);
ALTER TABLE transfer
  ALTER from_version SET NOT NULL, ALTER from_balance_minutes SET NOT NULL,
  ALTER to_version SET NOT NULL, ALTER to_balance_minutes SET NOT NULL,
  ADD CONSTRAINT ck_transfer_kind CHECK (
    kind IN ('pledge', 'withdraw', 'grant', 'reserve', 'release', 'settle', 'deliver', 'expire', 'carry', 'reverse')),
  DROP CONSTRAINT uq_transfer_key, ADD CONSTRAINT uq_transfer_key UNIQUE (idempotency_key, territory),
  ADD CONSTRAINT uq_transfer_from UNIQUE (from_account_id, from_version, territory),
  ADD CONSTRAINT uq_transfer_to UNIQUE (to_account_id, to_version, territory);
CREATE INDEX ix_transfer_campaign ON transfer (campaign_id, id);
CREATE INDEX ix_transfer_mission ON transfer (mission_id) WHERE mission_id IS NOT NULL;
CREATE INDEX ix_transfer_grant ON transfer (grant_id) WHERE grant_id IS NOT NULL;
CREATE INDEX ix_transfer_pledge ON transfer (pledge_id) WHERE pledge_id IS NOT NULL;
CREATE INDEX ix_transfer_reverses ON transfer (reverses) WHERE reverses IS NOT NULL;

CREATE VIEW entry WITH (security_invoker = true) AS
  SELECT territory, from_account_id AS account_id, from_version AS account_version, id AS transfer_id, -minutes AS minutes,
    from_balance_minutes AS balance_after_minutes, recorded_at
  FROM transfer
  UNION ALL
  SELECT territory, to_account_id, to_version, id, minutes, to_balance_minutes, recorded_at FROM transfer;
"""

# SQLSTATEs that store/ledger.py tells apart: MT001 a bound, MT003 a change of what never changes, MT004 a transfer that the
# domain's table does not know, MT005 more reversed than was moved.
FUNCTIONS = """
CREATE FUNCTION ledger_flow_is_allowed(kind text, source text, target text) RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$
  SELECT (kind, source, target) IN (
    ('pledge', 'promised', 'pool'), ('withdraw', 'pool', 'promised'), ('grant', 'pool', 'credit'),
    ('reserve', 'credit', 'held'), ('release', 'held', 'credit'), ('settle', 'held', 'served'),
    ('deliver', 'delivered', 'promised'), ('expire', 'credit', 'pool'), ('expire', 'credit', 'lapsed'),
    ('carry', 'credit', 'carried'), ('carry', 'carried', 'credit'))
$$;

-- Minutes by which a balance breaks the bound of its kind of account; null when it does not.
CREATE FUNCTION ledger_missing_minutes(kind text, balance_minutes bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN kind = 'carried' THEN NULL
    WHEN kind IN ('promised', 'delivered') THEN CASE WHEN balance_minutes > 0 THEN balance_minutes END
    WHEN balance_minutes < 0 THEN -balance_minutes END
$$;

-- Lock every account of these holders and kinds, whatever its lot, in the one order that everybody locks in: by kind,
-- then id; the campaign's own (hot) accounts last. By kind first, because an account may come to be between two calls of
-- one transaction: a held account is then still locked after its credit, never before.
CREATE FUNCTION lock_accounts(campaign_ids uuid[], kinds text[], holder_ids uuid[]) RETURNS SETOF public.account
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  here text := public.ledger_territory();
BEGIN
  RETURN QUERY
    SELECT account.* FROM (
      SELECT DISTINCT * FROM unnest(campaign_ids, kinds, holder_ids) AS w(campaign_id, kind, holder_id)
    ) AS wanted JOIN public.account ON account.territory = here AND account.campaign_id = wanted.campaign_id
      AND account.holder_id = wanted.holder_id AND account.kind = wanted.kind
    ORDER BY array_position('{promised,delivered,credit,held,served,carried,pool,lapsed}', account.kind), account.id
    FOR UPDATE OF account;
END $$;

-- These very accounts, opened where they are not there yet, and locked in that same order.
CREATE FUNCTION open_accounts(campaign_ids uuid[], kinds text[], holder_ids uuid[], lot_ids uuid[]) RETURNS SETOF public.account
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  here text := public.ledger_territory();
BEGIN
  INSERT INTO public.account (territory, id, campaign_id, kind, holder_id, lot_id)
  SELECT here, gen_random_uuid(), campaign_id, kind, holder_id, lot_id FROM (
    SELECT DISTINCT * FROM unnest(campaign_ids, kinds, holder_ids, lot_ids) AS w(campaign_id, kind, holder_id, lot_id)
    ORDER BY 1, 2, 3, 4) AS wanted
  WHERE NOT EXISTS (
    SELECT FROM public.account WHERE account.territory = here AND account.campaign_id = wanted.campaign_id
      AND account.holder_id = wanted.holder_id AND account.kind = wanted.kind
      AND account.lot_id IS NOT DISTINCT FROM wanted.lot_id)
  ON CONFLICT DO NOTHING;
  RETURN QUERY
    SELECT account.* FROM (
      SELECT DISTINCT * FROM unnest(campaign_ids, kinds, holder_ids, lot_ids) AS w(campaign_id, kind, holder_id, lot_id)
    ) AS wanted JOIN public.account ON account.territory = here AND account.campaign_id = wanted.campaign_id
      AND account.holder_id = wanted.holder_id AND account.kind = wanted.kind
      AND account.lot_id IS NOT DISTINCT FROM wanted.lot_id
    ORDER BY array_position('{promised,delivered,credit,held,served,carried,pool,lapsed}', account.kind), account.id
    FOR UPDATE OF account;
END $$;

-- Write transfers with the version and the balance of both accounts after each, and move the accounts, which the caller has
-- locked: one statement, so that the triggers see both. They recompute every figure; what does not agree is not written.
CREATE FUNCTION write_transfers(
  ids uuid[], kinds text[], campaign_ids uuid[], amounts bigint[], whos text[], whys text[], effective timestamptz[], keys text[],
  missions uuid[], grants uuid[], pledges uuid[], reversals uuid[],
  sources uuid[], from_versions bigint[], from_balances bigint[], targets uuid[], to_versions bigint[], to_balances bigint[]
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  here text := public.ledger_territory();
BEGIN
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
  ), last AS (
    SELECT DISTINCT ON (id) * FROM unnest(sources || targets, from_versions || to_versions, from_balances || to_balances)
      AS w(id, version, balance_minutes)
    ORDER BY id, version DESC
  )
  UPDATE public.account SET balance_minutes = last.balance_minutes, version = last.version
  FROM last WHERE account.territory = here AND account.id = last.id;
END $$;
"""

# What the busiest use cases load, in one call each. They run with the caller's own rights; every statement in them sees
# what was committed before it, hence what is read after a lock is current.
BUSY = """
-- New pledges of open campaigns by contributors who are not archived, with their two accounts locked. What is not
-- returned was not added: its ref is taken, or something else has to be said about it.
CREATE FUNCTION open_promises(
  ids uuid[], campaign_ids uuid[], refs text[], contributor_ids uuid[], minutes bigint[], notes text[]
) RETURNS TABLE (pledge_id uuid, promised_id uuid, promised_minutes bigint, promised_version bigint,
  pool_id uuid, pool_minutes bigint, pool_version bigint)
LANGUAGE plpgsql AS $$
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
    FROM unnest(ids, campaign_ids, refs, contributor_ids, minutes, notes)
      AS w(id, campaign_id, ref, contributor_id, minutes, note)
    WHERE EXISTS (SELECT FROM campaign WHERE campaign.id = w.campaign_id AND state <> 'closed')
      AND NOT EXISTS (SELECT FROM actor WHERE actor.id = w.contributor_id AND archived)
    ORDER BY w.campaign_id, w.ref ON CONFLICT DO NOTHING RETURNING p.id, p.campaign_id, p.contributor_id
  )
  SELECT array_agg(new.id), array_agg(new.campaign_id), array_agg(new.contributor_id)
  INTO added, campaigns, contributors FROM new;
  RETURN QUERY
    WITH accounts AS MATERIALIZED (
      SELECT * FROM open_accounts(campaigns || campaigns,
        array_fill('promised'::text, ARRAY[cardinality(added)]) || array_fill('pool'::text, ARRAY[cardinality(added)]),
        contributors || campaigns, array_fill(NULL::uuid, ARRAY[2 * cardinality(added)]))
    )
    SELECT w.id, promised.id, promised.balance_minutes, promised.version, pool.id, pool.balance_minutes, pool.version
    FROM unnest(added, campaigns, contributors) AS w(id, campaign_id, contributor_id)
    JOIN accounts promised ON promised.kind = 'promised' AND promised.campaign_id = w.campaign_id
      AND promised.holder_id = w.contributor_id
    JOIN accounts pool ON pool.kind = 'pool' AND pool.campaign_id = w.campaign_id;
END $$;
"""

# At the end of the statement that writes, whoever writes: transfers and accounts change together and agree, or not at all.
TRIGGERS = """
-- IS NOT DISTINCT FROM, where = would do: no index can serve it, hence none is taken for the territory alone.
CREATE FUNCTION ledger_check_accounts() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  wrong uuid;
BEGIN
  PERFORM FROM after JOIN before USING (territory, id)
  WHERE (after.campaign_id, after.kind, after.holder_id, after.lot_id, after.version > before.version)
    IS DISTINCT FROM (before.campaign_id, before.kind, before.holder_id, before.lot_id, true);
  IF FOUND OR (SELECT count(*) FROM after) <> (SELECT count(*) FROM after JOIN before USING (territory, id)) THEN
    RAISE EXCEPTION 'an account changes by its transfers alone' USING ERRCODE = 'MT003';
  END IF;
  SELECT after.id INTO wrong FROM after JOIN before USING (territory, id) CROSS JOIN LATERAL (
    SELECT count(*) AS sides, max(number) AS last,
      bool_and(number = before.version + place AND balance_minutes = before.balance_minutes + moved) AS agree,
      max(moved) FILTER (WHERE place = of_all) AS moved
    FROM (
      SELECT number, balance_minutes, row_number() OVER steps AS place, sum(minutes) OVER steps AS moved,
        count(*) OVER () AS of_all
      FROM (
        SELECT from_version AS number, -minutes AS minutes, from_balance_minutes AS balance_minutes FROM public.transfer
        WHERE territory IS NOT DISTINCT FROM after.territory AND from_account_id = after.id AND from_version > before.version
        UNION ALL
        SELECT to_version, minutes, to_balance_minutes FROM public.transfer
        WHERE territory IS NOT DISTINCT FROM after.territory AND to_account_id = after.id AND to_version > before.version
      ) AS sides WINDOW steps AS (ORDER BY number ROWS UNBOUNDED PRECEDING)
    ) AS running
  ) AS written
  WHERE (written.agree AND written.last = after.version AND before.balance_minutes + written.moved = after.balance_minutes)
    IS NOT TRUE LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'account % does not agree with its transfers', wrong USING ERRCODE = 'MT003';
  END IF;
  RETURN NULL;
END $$;

CREATE FUNCTION ledger_check_transfers() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  wrong record;
BEGIN
  SELECT written.*, source.kind AS source_kind, source.holder_id AS source_holder, target.kind AS target_kind,
    target.holder_id AS target_holder,
    (source.version >= written.from_version AND target.version >= written.to_version
      AND source.campaign_id = written.campaign_id AND target.campaign_id = written.campaign_id) IS TRUE AS moves,
    public.ledger_missing_minutes(source.kind, written.from_balance_minutes) AS source_missing,
    public.ledger_missing_minutes(target.kind, written.to_balance_minutes) AS target_missing
  INTO wrong FROM written
  LEFT JOIN public.account AS source ON source.id = written.from_account_id AND source.territory = written.territory
  LEFT JOIN public.account AS target ON target.id = written.to_account_id AND target.territory = written.territory
  WHERE (source.version >= written.from_version AND target.version >= written.to_version
      AND source.campaign_id = written.campaign_id AND target.campaign_id = written.campaign_id) IS NOT TRUE
    OR public.ledger_missing_minutes(source.kind, written.from_balance_minutes) IS NOT NULL
    OR public.ledger_missing_minutes(target.kind, written.to_balance_minutes) IS NOT NULL
    OR (written.kind <> 'reverse' AND NOT (public.ledger_flow_is_allowed(written.kind, source.kind, target.kind)
      AND (source.holder_id = target.holder_id OR 'pool' IN (source.kind, target.kind) OR target.kind = 'lapsed')))
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
    END IF;
    RAISE EXCEPTION 'no % leads from %/% to %/%', wrong.kind, wrong.source_kind, wrong.source_holder, wrong.target_kind,
      wrong.target_holder USING ERRCODE = 'MT004';
  END IF;
  PERFORM public.ledger_check_links(array_agg(DISTINCT written.mission_id), array_agg(DISTINCT written.pledge_id),
    array_agg(DISTINCT written.grant_id), max(written.territory)) FROM written;
  PERFORM public.ledger_check_reversals(array_agg(written.id)) FROM written WHERE written.kind = 'reverse' HAVING count(*) > 0;
  RETURN NULL;
END $$;

-- A transfer names what is there.
CREATE FUNCTION ledger_check_links(missions uuid[], pledges uuid[], grants uuid[], here text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF (SELECT count(*) FROM public.hold WHERE territory = here AND mission_id = ANY(missions))
      <> cardinality(array_remove(missions, NULL))
    OR (SELECT count(*) FROM public.pledge WHERE territory = here AND id = ANY(pledges))
      <> cardinality(array_remove(pledges, NULL))
    OR (SELECT count(*) FROM public.signed_grant WHERE territory = here AND id = ANY(grants))
      <> cardinality(array_remove(grants, NULL))
  THEN
    RAISE EXCEPTION 'a transfer names a mission, a pledge or a grant that is not there' USING ERRCODE = 'MT003';
  END IF;
END $$;

-- A reversal is the opposite of what it names; those of one transfer undo no more than it moved. Both its accounts are
-- locked by whoever writes, hence no other comes between.
CREATE FUNCTION ledger_check_reversals(ids uuid[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  here text := public.ledger_territory();
  undone record;
BEGIN
  PERFORM FROM public.transfer AS undoing
  LEFT JOIN public.transfer AS original ON original.id = undoing.reverses AND original.territory = undoing.territory
  WHERE undoing.id = ANY(ids) AND undoing.territory = here AND (original.kind <> 'reverse'
    AND original.from_account_id = undoing.to_account_id AND original.to_account_id = undoing.from_account_id) IS NOT TRUE;
  IF FOUND THEN
    RAISE EXCEPTION 'a reversal leads back over the accounts of a transfer that it names' USING ERRCODE = 'MT004';
  END IF;
  SELECT original.minutes, sum(part.minutes) AS asked_minutes INTO undone FROM public.transfer AS original
  JOIN public.transfer AS part ON part.reverses = original.id AND part.territory = original.territory
  WHERE original.territory = here AND original.id IN (
    SELECT reverses FROM public.transfer WHERE id = ANY(ids) AND territory = here)
  GROUP BY original.id, original.minutes HAVING sum(part.minutes) > original.minutes LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION '% minutes were moved, % would be undone', undone.minutes, undone.asked_minutes USING ERRCODE = 'MT005';
  END IF;
END $$;

CREATE FUNCTION ledger_check_new_accounts() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF EXISTS (SELECT FROM written WHERE version <> 0 OR balance_minutes <> 0) THEN
    RAISE EXCEPTION 'an account starts at zero' USING ERRCODE = 'MT003';
  END IF;
  RETURN NULL;
END $$;

CREATE TRIGGER account_agrees AFTER UPDATE ON account REFERENCING OLD TABLE AS before NEW TABLE AS after
  FOR EACH STATEMENT EXECUTE FUNCTION ledger_check_accounts();
CREATE TRIGGER account_starts AFTER INSERT ON account REFERENCING NEW TABLE AS written
  FOR EACH STATEMENT EXECUTE FUNCTION ledger_check_new_accounts();
CREATE TRIGGER transfer_agrees AFTER INSERT ON transfer REFERENCING NEW TABLE AS written
  FOR EACH STATEMENT EXECUTE FUNCTION ledger_check_transfers();
CREATE TRIGGER transfer_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON transfer
  FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
CREATE TRIGGER lot_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON lot
  FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
"""

ROLE = runtime_role("credits")
FOR_ALL = """lock_accounts(uuid[], text[], uuid[]), open_accounts(uuid[], text[], uuid[], uuid[]),
  write_transfers(uuid[], text[], uuid[], bigint[], text[], text[], timestamptz[], text[], uuid[], uuid[], uuid[], uuid[],
    uuid[], bigint[], bigint[], uuid[], bigint[], bigint[])"""
OWN = """ledger_flow_is_allowed(text, text, text), ledger_missing_minutes(text, bigint),
  ledger_check_links(uuid[], uuid[], uuid[], text), ledger_check_reversals(uuid[])"""
PRIVILEGES = f"""
REVOKE ALL ON FUNCTION {OWN}, {FOR_ALL} FROM PUBLIC;
DO $$ BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = '{ROLE}') THEN
    REVOKE ALL ON account, transfer, entry FROM "{ROLE}";
    GRANT SELECT ON account, transfer, entry TO "{ROLE}";
    REVOKE UPDATE, DELETE, TRUNCATE ON lot FROM "{ROLE}";
    REVOKE DELETE, TRUNCATE ON campaign, pledge, hold, hold_part FROM "{ROLE}";
    GRANT EXECUTE ON FUNCTION {FOR_ALL} TO "{ROLE}";
  END IF;
END $$;
"""


def upgrade() -> None:
    execute_script(op, DROP_OLD)
    execute_script(op, TABLES)
    for table in ("lot", "hold_part"):
        execute_script(op, secure(table))
    # What is carried over belongs to every territory; the policies would hide it even from the tables' owner.
    forced = ("campaign", "hold", "account", "transfer", "entry", "lot", "hold_part", "signed_grant", "expiry_notice")
    execute_script(op, "".join(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY;" for table in forced))
    execute_script(op, CARRY_OVER_OLD_ROWS)
    execute_script(op, "".join(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY;" for table in forced if table != "entry"))
    execute_script(op, CONSTRAINTS)
    execute_script(op, FUNCTIONS + BUSY)
    execute_script(op, TRIGGERS)
    execute_script(op, PRIVILEGES)
