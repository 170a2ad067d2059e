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
  FOREIGN KEY (territory, lot_id) REFERENCES lot (territory, id),
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
ALTER TABLE transfer DROP CONSTRAINT transfer_territory_from_account_id_fkey,
  DROP CONSTRAINT transfer_territory_to_account_id_fkey, DROP CONSTRAINT transfer_territory_reverses_fkey;
ALTER TABLE account DROP CONSTRAINT account_pkey, ADD PRIMARY KEY (id, territory);
ALTER TABLE transfer DROP CONSTRAINT transfer_pkey, ADD PRIMARY KEY (id, territory),
  ADD FOREIGN KEY (territory, from_account_id) REFERENCES account (territory, id),
  ADD FOREIGN KEY (territory, to_account_id) REFERENCES account (territory, id),
  ADD FOREIGN KEY (territory, reverses) REFERENCES transfer (territory, id);
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

# SQLSTATEs that store/ledger.py tells apart: MT001 a bound, MT002 a key reused, MT003 a change of what never changes,
# MT004 a transfer that the domain's table does not know, MT005 more reversed than was moved.
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

-- These very accounts, opened where they are not there yet.
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
  RETURN QUERY SELECT account.* FROM public.account
    JOIN unnest(campaign_ids, kinds, holder_ids, lot_ids) AS w(campaign_id, kind, holder_id, lot_id)
      ON account.campaign_id = w.campaign_id AND account.holder_id = w.holder_id AND account.kind = w.kind
      AND account.lot_id IS NOT DISTINCT FROM w.lot_id
    WHERE account.territory = here;
END $$;

CREATE TYPE ledger_leg AS (
  number bigint, id uuid, kind text, campaign_id uuid, minutes bigint, who text, why text, effective_at timestamptz,
  idempotency_key text, mission_id uuid, grant_id uuid, pledge_id uuid, reverses uuid,
  from_account_id uuid, source_kind text, source_holder_id uuid, to_account_id uuid, target_kind text, target_holder_id uuid
);
-- One account's part in one leg: its version and balance after it.
CREATE TYPE ledger_side AS (number bigint, account_id uuid, version bigint, balance_minutes bigint, missing_minutes bigint);

-- Post legs in order, all or none. All accounts are locked before anything is read of them, so that legs of two calls
-- never interleave. A key that wrote a transfer before gives that transfer, and writes nothing.
CREATE FUNCTION post_transfers(
  ids uuid[], leg_kinds text[], campaign_ids uuid[], sources uuid[], targets uuid[], amounts bigint[], whos text[], whys text[],
  effective timestamptz[], keys text[], missions uuid[], grants uuid[], pledges uuid[], reversals uuid[]
) RETURNS TABLE (transfer_id uuid, posted boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  here text := public.ledger_territory();
  legs public.ledger_leg[];
  known text[];
BEGIN
  PERFORM FROM public.account WHERE territory = here AND id = ANY(sources || targets)
  ORDER BY array_position('{promised,delivered,credit,held,served,carried,pool,lapsed}', kind), id FOR UPDATE;
  SELECT array_agg(ROW(u.n, u.id, u.kind, u.campaign_id, u.minutes, u.who, u.why, u.effective_at, u.key, u.mission_id,
    u.grant_id, u.pledge_id, u.reverses, s.id, s.kind, s.holder_id, t.id, t.kind, t.holder_id)::public.ledger_leg ORDER BY u.n)
  INTO legs
  FROM unnest(ids, leg_kinds, campaign_ids, sources, targets, amounts, whos, whys, effective, keys, missions, grants, pledges,
      reversals) WITH ORDINALITY
    AS u(id, kind, campaign_id, source_id, target_id, minutes, who, why, effective_at, key, mission_id, grant_id, pledge_id,
      reverses, n)
  JOIN public.account s ON s.id = u.source_id AND s.territory = here AND s.campaign_id = u.campaign_id
  JOIN public.account t ON t.id = u.target_id AND t.territory = here AND t.campaign_id = u.campaign_id;
  IF cardinality(legs) IS DISTINCT FROM cardinality(ids) THEN
    RAISE EXCEPTION 'a leg names an account that is not of its campaign' USING ERRCODE = 'MT004';
  END IF;
  SELECT array_agg(idempotency_key) INTO known FROM public.transfer WHERE idempotency_key = ANY(keys) AND territory = here;
  IF known IS NULL THEN
    PERFORM public.ledger_write(legs);
    RETURN QUERY SELECT id, true FROM unnest(ids) AS id;
    RETURN;
  END IF;
  PERFORM public.ledger_check_replayed(legs);
  PERFORM public.ledger_write(array_agg(leg::public.ledger_leg ORDER BY leg.number))
    FROM unnest(legs) AS leg WHERE leg.idempotency_key <> ALL(known) HAVING count(*) > 0;
  RETURN QUERY SELECT transfer.id, transfer.idempotency_key <> ALL(known)
    FROM unnest(keys) WITH ORDINALITY AS asked(key, n)
    JOIN public.transfer ON transfer.territory = here AND transfer.idempotency_key = asked.key ORDER BY asked.n;
END $$;

-- Whoever repeats a key repeats the request.
CREATE FUNCTION ledger_check_replayed(legs ledger_leg[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  other text;
BEGIN
  SELECT leg.idempotency_key INTO other FROM unnest(legs) AS leg
  JOIN public.transfer AS known ON known.territory = public.ledger_territory() AND known.idempotency_key = leg.idempotency_key
  WHERE (known.kind, known.campaign_id, known.minutes, known.from_account_id, known.to_account_id, known.mission_id,
      known.grant_id, known.pledge_id, known.reverses) IS DISTINCT FROM
    (leg.kind, leg.campaign_id, leg.minutes, leg.from_account_id, leg.to_account_id, leg.mission_id,
      leg.grant_id, leg.pledge_id, leg.reverses)
  ORDER BY leg.number LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'the key % wrote another transfer', other USING ERRCODE = 'MT002';
  END IF;
END $$;

CREATE FUNCTION ledger_check_flows(legs ledger_leg[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  here text := public.ledger_territory();
  wrong public.ledger_leg;
BEGIN
  SELECT leg.* INTO wrong FROM unnest(legs) AS leg WHERE leg.kind <> 'reverse' AND NOT (
    public.ledger_flow_is_allowed(leg.kind, leg.source_kind, leg.target_kind)
    AND (leg.source_holder_id = leg.target_holder_id OR 'pool' IN (leg.source_kind, leg.target_kind)
      OR leg.target_kind = 'lapsed')
  ) OR leg.kind = 'reverse' AND NOT EXISTS (
    SELECT FROM public.transfer WHERE territory = here AND id = leg.reverses AND kind <> 'reverse'
      AND from_account_id = leg.to_account_id AND to_account_id = leg.from_account_id)
  ORDER BY leg.number LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'no % leads from %/% to %/%', wrong.kind, wrong.source_kind, wrong.source_holder_id, wrong.target_kind,
      wrong.target_holder_id USING ERRCODE = 'MT004';
  END IF;
END $$;

-- Reversals may come in parts; together they undo no more than was moved. Both accounts are locked, hence no other comes between.
CREATE FUNCTION ledger_check_reversals(legs ledger_leg[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  here text := public.ledger_territory();
  undone record;
BEGIN
  SELECT original.id, original.minutes, asked.minutes AS asked_minutes,
    coalesce((SELECT sum(minutes) FROM public.transfer WHERE territory = here AND reverses = original.id), 0) AS before_minutes
  INTO undone
  FROM (SELECT reverses, sum(minutes) AS minutes FROM unnest(legs) WHERE reverses IS NOT NULL GROUP BY reverses) AS asked
  JOIN public.transfer AS original ON original.territory = here AND original.id = asked.reverses
  WHERE asked.minutes + coalesce((SELECT sum(minutes) FROM public.transfer WHERE territory = here AND reverses = original.id), 0)
    > original.minutes
  LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'of % minutes, % are reversed already', undone.minutes, undone.before_minutes USING ERRCODE = 'MT005';
  END IF;
END $$;

-- Write fresh legs: running balances and versions of each account in the order of the legs, transfers, and the accounts.
CREATE FUNCTION ledger_write(legs ledger_leg[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  here text := public.ledger_territory();
  sources public.ledger_side[];
  targets public.ledger_side[];
BEGIN
  PERFORM public.ledger_check_flows(legs);
  IF EXISTS (SELECT FROM unnest(legs) WHERE reverses IS NOT NULL) THEN
    PERFORM public.ledger_check_reversals(legs);
  END IF;
  WITH sides AS (
    SELECT number, from_account_id AS account_id, -minutes AS minutes FROM unnest(legs)
    UNION ALL SELECT number, to_account_id, minutes FROM unnest(legs)
  ), running AS (
    SELECT number, account_id, sides.minutes < 0 AS is_source, account.kind, account.version + row_number() OVER steps AS version,
      account.balance_minutes + (sum(sides.minutes) OVER steps)::bigint AS balance_minutes
    FROM sides JOIN public.account ON account.territory = here AND account.id = sides.account_id
    WINDOW steps AS (PARTITION BY account_id ORDER BY number ROWS UNBOUNDED PRECEDING)
  ), judged AS (
    SELECT number, is_source, ROW(number, account_id, version, balance_minutes,
      public.ledger_missing_minutes(kind, balance_minutes))::public.ledger_side AS side FROM running
  )
  SELECT array_agg(side ORDER BY number) FILTER (WHERE is_source), array_agg(side ORDER BY number) FILTER (WHERE NOT is_source)
  INTO sources, targets FROM judged;
  PERFORM public.ledger_check_bounds(sources || targets);
  WITH written AS (
    INSERT INTO public.transfer (territory, id, campaign_id, kind, from_account_id, to_account_id, minutes, who, why,
      effective_at, idempotency_key, mission_id, grant_id, pledge_id, reverses,
      from_version, from_balance_minutes, to_version, to_balance_minutes)
    SELECT here, id, campaign_id, kind, from_account_id, to_account_id, minutes, who, why, effective_at, idempotency_key,
      mission_id, grant_id, pledge_id, reverses, from_version, from_balance_minutes, to_version, to_balance_minutes
    FROM unnest(legs, sources, targets) AS leg(number, id, kind, campaign_id, minutes, who, why, effective_at, idempotency_key,
      mission_id, grant_id, pledge_id, reverses, from_account_id, source_kind, source_holder_id, to_account_id, target_kind,
      target_holder_id, from_number, from_account, from_version, from_balance_minutes, from_missing, to_number, to_account,
      to_version, to_balance_minutes, to_missing)
  ), last AS (
    SELECT DISTINCT ON (account_id) account_id, version, balance_minutes FROM unnest(sources || targets)
    ORDER BY account_id, version DESC
  )
  UPDATE public.account SET balance_minutes = last.balance_minutes, version = last.version
  FROM last WHERE account.territory = here AND account.id = last.account_id;
END $$;

-- A bound in the way is named before the CHECK would.
CREATE FUNCTION ledger_check_bounds(sides ledger_side[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  broken public.ledger_side;
  account public.account;
BEGIN
  SELECT side.* INTO broken FROM unnest(sides) AS side WHERE side.missing_minutes IS NOT NULL ORDER BY side.number LIMIT 1;
  IF NOT FOUND THEN RETURN; END IF;
  SELECT * INTO STRICT account FROM public.account WHERE territory = public.ledger_territory() AND id = broken.account_id;
  RAISE EXCEPTION 'account %/% would break its bound by % minutes', account.kind, account.holder_id, broken.missing_minutes
    USING ERRCODE = 'MT001', DETAIL = jsonb_build_object(
      'number', broken.number, 'campaign_id', account.campaign_id, 'kind', account.kind, 'holder_id', account.holder_id,
      'missing_minutes', broken.missing_minutes, 'balance_minutes', account.balance_minutes)::text;
END $$;
"""

# At the end of the statement that writes, whoever writes: transfers and accounts change together and agree, or not at all.
TRIGGERS = """
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
        WHERE territory = after.territory AND from_account_id = after.id AND from_version > before.version
        UNION ALL
        SELECT to_version, minutes, to_balance_minutes FROM public.transfer
        WHERE territory = after.territory AND to_account_id = after.id AND to_version > before.version
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
  wrong uuid;
BEGIN
  SELECT written.id INTO wrong FROM written
  JOIN public.account AS source ON (source.territory, source.id) = (written.territory, written.from_account_id)
  JOIN public.account AS target ON (target.territory, target.id) = (written.territory, written.to_account_id)
  WHERE source.version < written.from_version OR target.version < written.to_version
    OR source.campaign_id <> written.campaign_id OR target.campaign_id <> written.campaign_id LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'transfer % moves no account', wrong USING ERRCODE = 'MT003';
  END IF;
  RETURN NULL;
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
OWN = """ledger_flow_is_allowed(text, text, text), ledger_missing_minutes(text, bigint), lock_accounts(uuid[], text[], uuid[]),
  open_accounts(uuid[], text[], uuid[], uuid[]), ledger_check_replayed(ledger_leg[]), ledger_check_flows(ledger_leg[]),
  ledger_check_reversals(ledger_leg[]), ledger_write(ledger_leg[]), ledger_check_bounds(ledger_side[])"""
POST = """post_transfers(uuid[], text[], uuid[], uuid[], uuid[], bigint[], text[], text[], timestamptz[], text[],
  uuid[], uuid[], uuid[], uuid[])"""
PRIVILEGES = f"""
REVOKE ALL ON FUNCTION {OWN}, {POST} FROM PUBLIC;
DO $$ BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = '{ROLE}') THEN
    REVOKE ALL ON account, transfer, entry FROM "{ROLE}";
    GRANT SELECT ON account, transfer, entry TO "{ROLE}";
    REVOKE UPDATE, DELETE, TRUNCATE ON lot FROM "{ROLE}";
    REVOKE DELETE, TRUNCATE ON hold_part, hold FROM "{ROLE}";
    GRANT EXECUTE ON FUNCTION lock_accounts(uuid[], text[], uuid[]), open_accounts(uuid[], text[], uuid[], uuid[]), {POST}
      TO "{ROLE}";
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
    execute_script(op, FUNCTIONS)
    execute_script(op, TRIGGERS)
    execute_script(op, PRIVILEGES)
