"""The ledger: accounts, transfers and entries that PostgreSQL itself keeps balanced, bounded and unchanged.

The runtime role may read the three tables and call two functions, nothing else. The functions belong to the
migrations' owner, who may bypass row-level security: each statement therefore names the territory itself, and
takes it from the transaction's setting alone.
"""

from alembic import op

from kernel.migrate import execute_script, runtime_role
from kernel.tables import secure

revision = "0002"
down_revision = "0001"

TABLES = """
CREATE TABLE account (
  territory text NOT NULL,
  id uuid NOT NULL,
  campaign_id uuid NOT NULL,
  kind text NOT NULL CHECK (kind IN ('promised', 'delivered', 'pool', 'credit', 'held', 'served', 'lapsed')),
  -- The association or contributor; the campaign itself for pool and lapsed.
  holder_id uuid NOT NULL,
  balance_minutes bigint NOT NULL DEFAULT 0,
  version bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (territory, id),
  CONSTRAINT uq_account UNIQUE (territory, campaign_id, kind, holder_id),
  FOREIGN KEY (territory, campaign_id) REFERENCES campaign (territory, id),
  CONSTRAINT ck_account_holder CHECK ((kind IN ('pool', 'lapsed')) = (holder_id = campaign_id)),
  CONSTRAINT ck_account_bound CHECK (
    CASE WHEN kind IN ('promised', 'delivered') THEN balance_minutes <= 0 ELSE balance_minutes >= 0 END
  )
);
CREATE INDEX ix_account_holder ON account (territory, holder_id);

CREATE TABLE transfer (
  territory text NOT NULL,
  id uuid NOT NULL,
  campaign_id uuid NOT NULL,
  kind text NOT NULL
    CHECK (kind IN ('pledge', 'withdraw', 'grant', 'reserve', 'release', 'settle', 'deliver', 'expire', 'reverse')),
  from_account_id uuid NOT NULL,
  to_account_id uuid NOT NULL,
  minutes bigint NOT NULL CONSTRAINT ck_transfer_minutes CHECK (minutes > 0),
  who text NOT NULL,
  why text NOT NULL,
  effective_at timestamptz NOT NULL,
  -- Read after the accounts are locked, so that the times follow the order of each account's versions.
  recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  idempotency_key text NOT NULL,
  request_hash bytea NOT NULL,
  mission_id uuid,
  grant_id uuid,
  pledge_id uuid,
  reverses uuid,
  PRIMARY KEY (territory, id),
  CONSTRAINT uq_transfer_key UNIQUE (territory, idempotency_key),
  CONSTRAINT uq_transfer_reverses UNIQUE (territory, reverses),
  CHECK (from_account_id <> to_account_id),
  CHECK ((kind = 'reverse') = (reverses IS NOT NULL)),
  FOREIGN KEY (territory, campaign_id) REFERENCES campaign (territory, id),
  FOREIGN KEY (territory, from_account_id) REFERENCES account (territory, id),
  FOREIGN KEY (territory, to_account_id) REFERENCES account (territory, id),
  FOREIGN KEY (territory, mission_id) REFERENCES hold (territory, mission_id),
  FOREIGN KEY (territory, grant_id) REFERENCES signed_grant (territory, id),
  FOREIGN KEY (territory, pledge_id) REFERENCES pledge (territory, id),
  FOREIGN KEY (territory, reverses) REFERENCES transfer (territory, id)
);
CREATE INDEX ix_transfer_campaign ON transfer (territory, campaign_id, id);
CREATE INDEX ix_transfer_mission ON transfer (territory, mission_id) WHERE mission_id IS NOT NULL;
CREATE INDEX ix_transfer_grant ON transfer (territory, grant_id) WHERE grant_id IS NOT NULL;
CREATE INDEX ix_transfer_pledge ON transfer (territory, pledge_id) WHERE pledge_id IS NOT NULL;

CREATE TABLE entry (
  territory text NOT NULL,
  account_id uuid NOT NULL,
  account_version bigint NOT NULL,
  transfer_id uuid NOT NULL,
  minutes bigint NOT NULL CHECK (minutes <> 0),
  balance_after_minutes bigint NOT NULL,
  PRIMARY KEY (territory, account_id, account_version),
  CONSTRAINT uq_entry_transfer UNIQUE (territory, transfer_id, account_id),
  FOREIGN KEY (territory, account_id) REFERENCES account (territory, id),
  FOREIGN KEY (territory, transfer_id) REFERENCES transfer (territory, id)
);
"""

# Errors that the service tells apart by their SQLSTATE (store/ledger.py): MT001 a bound, MT002 a key reused,
# MT003 a change of what never changes, MT004 a transfer that the domain's table does not know.
FUNCTIONS = """
CREATE FUNCTION ledger_territory() RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  here text := current_setting('metis.territory', true);
BEGIN
  IF here IS NULL OR here = '' THEN
    RAISE EXCEPTION 'no territory is set for this transaction' USING ERRCODE = 'MT004';
  END IF;
  RETURN here;
END $$;

-- The accounts of the table in DOMAIN.md that a kind of transfer leads from and to.
CREATE FUNCTION ledger_flow_is_allowed(kind text, source text, target text) RETURNS boolean
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT (kind, source, target) IN (
    ('pledge', 'promised', 'pool'), ('withdraw', 'pool', 'promised'), ('grant', 'pool', 'credit'),
    ('reserve', 'credit', 'held'), ('release', 'held', 'credit'), ('settle', 'held', 'served'),
    ('deliver', 'delivered', 'promised'), ('expire', 'credit', 'pool'), ('expire', 'credit', 'lapsed'))
$$;

-- Lock the accounts that exist among [{campaign_id, kind, holder_id}], in the one order that everybody locks in: by
-- kind, then id; the campaign's own (hot) accounts last. By kind first, because an account may come to be between two
-- calls of one transaction: a held account is then still locked after its credit, never before.
CREATE FUNCTION lock_accounts(wanted jsonb) RETURNS SETOF public.account
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  here text := public.ledger_territory();
BEGIN
  RETURN QUERY
    SELECT account.* FROM public.account
    WHERE account.territory = here AND (account.campaign_id, account.kind, account.holder_id) IN (
      SELECT campaign_id, kind, holder_id FROM jsonb_to_recordset(wanted) AS w(campaign_id uuid, kind text, holder_id uuid))
    ORDER BY array_position('{promised,delivered,credit,held,served,pool,lapsed}', account.kind), account.id
    FOR UPDATE;
END $$;

CREATE FUNCTION ledger_open_accounts(wanted jsonb) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO public.account (territory, id, campaign_id, kind, holder_id)
  SELECT public.ledger_territory(), gen_random_uuid(), campaign_id, kind, holder_id
  FROM (SELECT DISTINCT campaign_id, kind, holder_id
        FROM jsonb_to_recordset(wanted) AS w(campaign_id uuid, kind text, holder_id uuid)
        ORDER BY campaign_id, kind, holder_id) AS distinct_accounts
  WHERE NOT EXISTS (
    SELECT FROM public.account WHERE account.territory = public.ledger_territory()
      AND (account.campaign_id, account.kind, account.holder_id)
        = (distinct_accounts.campaign_id, distinct_accounts.kind, distinct_accounts.holder_id))
  ON CONFLICT DO NOTHING;
END $$;

-- Move one account by a signed amount and write the entry. A bound in the way is named before the CHECK would.
CREATE FUNCTION ledger_move(account_id uuid, transfer_id uuid, amount_minutes bigint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  here text := public.ledger_territory();
  moved public.account;
  missing bigint;
BEGIN
  SELECT * INTO STRICT moved FROM public.account WHERE territory = here AND id = account_id;
  missing := CASE WHEN moved.kind IN ('promised', 'delivered')
    THEN moved.balance_minutes + amount_minutes ELSE -(moved.balance_minutes + amount_minutes) END;
  IF missing > 0 THEN
    RAISE EXCEPTION 'account %/% would break its bound by % minutes', moved.kind, moved.holder_id, missing
      USING ERRCODE = 'MT001', DETAIL = jsonb_build_object(
        'campaign_id', moved.campaign_id, 'kind', moved.kind, 'holder_id', moved.holder_id,
        'missing_minutes', missing, 'balance_minutes', moved.balance_minutes)::text;
  END IF;
  UPDATE public.account SET balance_minutes = balance_minutes + amount_minutes, version = version + 1
  WHERE territory = here AND id = account_id RETURNING * INTO moved;
  INSERT INTO public.entry (territory, account_id, account_version, transfer_id, minutes, balance_after_minutes)
  VALUES (here, moved.id, moved.version, transfer_id, amount_minutes, moved.balance_minutes);
END $$;

CREATE FUNCTION ledger_check_flow(leg jsonb, source public.account, target public.account) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF leg->>'kind' = 'reverse' THEN
    PERFORM FROM public.transfer WHERE territory = source.territory AND id = (leg->>'reverses')::uuid AND kind <> 'reverse'
      AND from_account_id = target.id AND to_account_id = source.id AND minutes = (leg->>'minutes')::bigint;
    IF FOUND THEN RETURN; END IF;
  ELSIF public.ledger_flow_is_allowed(leg->>'kind', source.kind, target.kind) AND source.campaign_id = target.campaign_id
    AND (source.holder_id = target.holder_id OR 'pool' IN (source.kind, target.kind) OR target.kind = 'lapsed') THEN
    RETURN;
  END IF;
  RAISE EXCEPTION 'no % leads from %/% to %/%', leg->>'kind', source.kind, source.holder_id, target.kind, target.holder_id
    USING ERRCODE = 'MT004';
END $$;

-- Write the transfer of one leg, or find the one that its key wrote before.
CREATE FUNCTION ledger_post_leg(leg jsonb, OUT transfer_id uuid, OUT posted boolean)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  here text := public.ledger_territory();
  campaign uuid := leg->>'campaign_id';
  amount bigint := leg->>'minutes';
  source public.account;
  target public.account;
  digest bytea := sha256(convert_to((leg - '{id,who,why,effective_at}'::text[])::text, 'UTF8'));
  known public.transfer;
BEGIN
  SELECT * INTO known FROM public.transfer WHERE territory = here AND idempotency_key = leg->>'idempotency_key';
  IF FOUND THEN
    IF known.request_hash <> digest THEN
      RAISE EXCEPTION 'the key % wrote another transfer', leg->>'idempotency_key' USING ERRCODE = 'MT002';
    END IF;
    transfer_id := known.id;
    posted := false;
    RETURN;
  END IF;
  SELECT * INTO STRICT source FROM public.account WHERE territory = here AND campaign_id = campaign
    AND kind = leg->'source'->>'kind' AND holder_id = (leg->'source'->>'holder_id')::uuid;
  SELECT * INTO STRICT target FROM public.account WHERE territory = here AND campaign_id = campaign
    AND kind = leg->'target'->>'kind' AND holder_id = (leg->'target'->>'holder_id')::uuid;
  PERFORM public.ledger_check_flow(leg, source, target);
  INSERT INTO public.transfer (territory, id, campaign_id, kind, from_account_id, to_account_id, minutes, who, why,
    effective_at, idempotency_key, request_hash, mission_id, grant_id, pledge_id, reverses)
  VALUES (here, (leg->>'id')::uuid, campaign, leg->>'kind', source.id, target.id, amount, leg->>'who', leg->>'why',
    (leg->>'effective_at')::timestamptz, leg->>'idempotency_key', digest, (leg->>'mission_id')::uuid,
    (leg->>'grant_id')::uuid, (leg->>'pledge_id')::uuid, (leg->>'reverses')::uuid);
  PERFORM public.ledger_move(source.id, (leg->>'id')::uuid, -amount);
  PERFORM public.ledger_move(target.id, (leg->>'id')::uuid, amount);
  transfer_id := leg->>'id';
  posted := true;
END $$;

-- Post legs [{id, campaign_id, kind, source, target, minutes, who, why, effective_at, idempotency_key, links}] in order.
-- Accounts come to be at their first use; all are locked before the first leg, so that legs of two calls never interleave.
CREATE FUNCTION post_transfers(legs jsonb) RETURNS TABLE (transfer_id uuid, posted boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  wanted jsonb;
  leg jsonb;
BEGIN
  SELECT coalesce(jsonb_agg((one->side) || jsonb_build_object('campaign_id', one->'campaign_id')), '[]') INTO wanted
  FROM jsonb_array_elements(legs) AS one, unnest(ARRAY['source', 'target']) AS side;
  PERFORM public.ledger_open_accounts(wanted);
  PERFORM public.lock_accounts(wanted);
  FOR leg IN SELECT value FROM jsonb_array_elements(legs) WITH ORDINALITY ORDER BY ordinality LOOP
    RETURN QUERY SELECT written.transfer_id, written.posted FROM public.ledger_post_leg(leg) AS written;
  END LOOP;
END $$;
"""

# Deferred: at the commit, whoever wrote the rows and in whatever order.
TRIGGERS = """
CREATE FUNCTION ledger_check_transfer() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  checked uuid := to_jsonb(NEW)->>(CASE TG_TABLE_NAME WHEN 'transfer' THEN 'id' ELSE 'transfer_id' END);
  entries bigint;
  fitting bigint;
  total numeric;
BEGIN
  SELECT count(*), sum(entry.minutes), count(*) FILTER (
      WHERE (entry.account_id = transfer.from_account_id AND entry.minutes = -transfer.minutes)
         OR (entry.account_id = transfer.to_account_id AND entry.minutes = transfer.minutes))
    INTO entries, total, fitting
  FROM public.entry JOIN public.transfer ON transfer.territory = entry.territory AND transfer.id = entry.transfer_id
  WHERE entry.territory = NEW.territory AND entry.transfer_id = checked;
  IF entries <> 2 OR fitting <> 2 OR total <> 0 THEN
    RAISE EXCEPTION 'transfer % has % entries (% fitting) that sum to %', checked, entries, fitting, total
      USING ERRCODE = 'MT003';
  END IF;
  RETURN NULL;
END $$;

CREATE FUNCTION ledger_check_account() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF NEW.version = 0 AND NEW.balance_minutes = 0 THEN RETURN NULL; END IF;
  PERFORM FROM public.entry WHERE territory = NEW.territory AND account_id = NEW.id AND account_version = NEW.version
    AND balance_after_minutes = NEW.balance_minutes;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'no entry leads account % to % minutes at version %', NEW.id, NEW.balance_minutes, NEW.version
      USING ERRCODE = 'MT003';
  END IF;
  RETURN NULL;
END $$;

CREATE FUNCTION ledger_check_account_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF (NEW.territory, NEW.id, NEW.campaign_id, NEW.kind, NEW.holder_id) IS DISTINCT FROM
     (OLD.territory, OLD.id, OLD.campaign_id, OLD.kind, OLD.holder_id) OR NEW.version <> OLD.version + 1 THEN
    RAISE EXCEPTION 'an account changes by its balance alone, one version at a time' USING ERRCODE = 'MT003';
  END IF;
  RETURN NEW;
END $$;

CREATE FUNCTION ledger_refuse_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION '% of % is refused: the ledger only grows; reverse the transfer instead', TG_OP, TG_TABLE_NAME
    USING ERRCODE = 'MT003';
END $$;

CREATE CONSTRAINT TRIGGER transfer_balances AFTER INSERT ON transfer
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger_check_transfer();
CREATE CONSTRAINT TRIGGER entry_balances AFTER INSERT ON entry
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger_check_transfer();
CREATE CONSTRAINT TRIGGER account_agrees AFTER INSERT OR UPDATE ON account
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger_check_account();
CREATE TRIGGER account_changes BEFORE UPDATE ON account FOR EACH ROW EXECUTE FUNCTION ledger_check_account_change();
CREATE TRIGGER account_stays BEFORE DELETE OR TRUNCATE ON account FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
CREATE TRIGGER transfer_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON transfer
  FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
CREATE TRIGGER entry_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON entry
  FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
"""

# What was computed, signed or refused is as little the runtime role's to rewrite as the ledger itself.
ROLE = runtime_role("credits")
PRIVILEGES = f"""
REVOKE ALL ON FUNCTION ledger_territory(), ledger_flow_is_allowed(text, text, text), lock_accounts(jsonb),
  ledger_open_accounts(jsonb), ledger_move(uuid, uuid, bigint), ledger_check_flow(jsonb, account, account),
  ledger_post_leg(jsonb), post_transfers(jsonb) FROM PUBLIC;
DO $$ BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = '{ROLE}') THEN
    REVOKE ALL ON account, transfer, entry FROM "{ROLE}";
    GRANT SELECT ON account, transfer, entry TO "{ROLE}";
    REVOKE UPDATE, DELETE, TRUNCATE ON grant_proposal, grant_proposal_line, signed_grant, refusal FROM "{ROLE}";
    GRANT EXECUTE ON FUNCTION lock_accounts(jsonb), post_transfers(jsonb) TO "{ROLE}";
  END IF;
END $$;
"""


def upgrade() -> None:
    execute_script(op, TABLES)
    for table in ("account", "transfer", "entry"):
        execute_script(op, secure(table))
    execute_script(op, FUNCTIONS)
    execute_script(op, TRIGGERS)
    execute_script(op, PRIVILEGES)
