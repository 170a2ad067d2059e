"""What a transfer stands for is held by the database as well: each moves minutes for a reason that is there.

Until here the service alone saw to it that a mission's served minutes are delivered by its contributor in the same breath,
that credit stays in its lot, that credit comes from a signed grant or from what an earlier campaign carried over, that what
expires goes the way of the campaign's rule, and that an approved reversal covers no more minutes than were approved. Its
role could have written otherwise, and no audit would have said so. Now both look.

Receipts, answers kept under an Idempotency-Key, and notices of expiry follow: what was said stays. A refusal says on which
account minutes were missing.

Rows that are there stay as they are: new constraints hold for new rows, and the audit reads all.
"""

from alembic import op

from kernel.migrate import execute_script, runtime_role

revision = "0019"
down_revision = "0018"

# One plan for all, which looks rows up by index, one by one, in the order in which they are asked for: as in 0010.
BY_INDEX = """SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off
  SET enable_hashjoin = off SET enable_mergejoin = off SET enable_material = off"""

# As in 0014, and: minutes stay in their lot, what is reserved or served names its mission and is its association's or its
# contributor's, and what is settled of it is delivered in the same statement, as what is undone of the one is of the other.
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
    lot.expires_at, source.lot_id AS source_lot, target.lot_id AS target_lot,
    public.ledger_flow_is_allowed(written.kind, source.kind, target.kind) AND source.holder_id = target.holder_id AS flows
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
    OR source.lot_id <> target.lot_id
    OR (written.mission_id IS NULL AND written.kind IN ('reserve', 'release', 'settle', 'deliver'))
    OR source.holder_id <> CASE WHEN written.kind IN ('reserve', 'release', 'settle') THEN hold.association_id
      WHEN written.kind = 'deliver' THEN hold.contributor_id END
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
    ELSIF wrong.source_lot <> wrong.target_lot THEN
      RAISE EXCEPTION 'transfer % would bring minutes from lot % to lot %', wrong.id, wrong.source_lot, wrong.target_lot
        USING ERRCODE = 'MT004';
    ELSIF wrong.flows AND wrong.mission_id IS NULL AND wrong.kind IN ('reserve', 'release', 'settle', 'deliver') THEN
      RAISE EXCEPTION 'a % that names no mission', wrong.kind USING ERRCODE = 'MT003';
    END IF;
    RAISE EXCEPTION 'no % leads from %/% to %/%', wrong.kind, wrong.source_kind, wrong.source_holder, wrong.target_kind,
      wrong.target_holder USING ERRCODE = 'MT004';
  END IF;
  PERFORM FROM written WHERE kind IN ('settle', 'deliver', 'reverse') LIMIT 1;
  IF FOUND THEN
    PERFORM public.ledger_check_reversals(array_agg(id)) FROM written WHERE kind = 'reverse' HAVING count(*) > 0;
    SELECT sides.mission_id, sum(sides.minutes) AS minutes INTO wrong FROM (
      SELECT w.mission_id, CASE coalesce(undone.kind, w.kind) WHEN 'settle' THEN 1 WHEN 'deliver' THEN -1 ELSE 0 END
        * CASE w.kind WHEN 'reverse' THEN -w.minutes ELSE w.minutes END AS minutes
      FROM written AS w LEFT JOIN public.transfer AS undone ON undone.id = w.reverses AND undone.territory = w.territory
      WHERE w.mission_id IS NOT NULL
    ) AS sides GROUP BY sides.mission_id HAVING sum(sides.minutes) <> 0 LIMIT 1;
    IF FOUND THEN
      RAISE EXCEPTION 'mission %: % minutes more are settled than are delivered', wrong.mission_id, wrong.minutes
        USING ERRCODE = 'MT004';
    END IF;
  END IF;
  RETURN NULL;
END $$;
"""

LOTS = """
CREATE UNIQUE INDEX uq_lot_grant ON lot (grant_id, territory) WHERE grant_id IS NOT NULL;
CREATE INDEX ix_lot_carried ON lot (carried_from, association_id) WHERE carried_from IS NOT NULL;

CREATE FUNCTION ledger_check_lot() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF (NEW.grant_id IS NULL) = (NEW.carried_from IS NULL) THEN
    RAISE EXCEPTION 'lot % is that of a grant, or of what an earlier campaign carried over', NEW.id USING ERRCODE = 'MT004';
  END IF;
  IF NEW.grant_id IS NOT NULL AND NOT EXISTS (
    SELECT FROM public.signed_grant AS signed WHERE signed.territory = NEW.territory AND signed.id = NEW.grant_id
      AND (signed.campaign_id, signed.association_id, signed.minutes) = (NEW.campaign_id, NEW.association_id, NEW.minutes)) THEN
    RAISE EXCEPTION 'lot % is not what grant % says', NEW.id, NEW.grant_id USING ERRCODE = 'MT004';
  END IF;
  IF NEW.expires_at > (SELECT (campaign.ends_on + 1)::timestamp AT TIME ZONE 'Europe/Paris' FROM public.campaign
    WHERE campaign.territory = NEW.territory AND campaign.id = NEW.campaign_id) THEN
    RAISE EXCEPTION 'lot % would outlive its campaign', NEW.id USING ERRCODE = 'MT004';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER lot_has_its_reason AFTER INSERT ON lot FOR EACH ROW EXECUTE FUNCTION ledger_check_lot();

-- Credit that comes to be, once a lot, and credit that nobody spent, which goes where its campaign's rule says, in time.
CREATE FUNCTION ledger_check_rule() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  target public.account;
  spent public.lot;
  made public.lot;
  rules public.campaign;
BEGIN
  SELECT * INTO STRICT target FROM public.account WHERE territory = NEW.territory AND id = NEW.to_account_id;
  IF target.kind = 'credit' THEN
    SELECT * INTO STRICT made FROM public.lot WHERE territory = NEW.territory AND id = target.lot_id;
    IF (made.minutes = NEW.minutes AND NEW.to_version = 1 AND made.grant_id IS NOT DISTINCT FROM NEW.grant_id
      AND (made.grant_id IS NOT NULL) = (NEW.kind = 'grant')) IS NOT TRUE THEN
      RAISE EXCEPTION 'transfer % is not what lot % was made of', NEW.id, made.id USING ERRCODE = 'MT004';
    END IF;
    IF NEW.kind = 'carry' AND (SELECT sum(minutes) FROM public.lot WHERE territory = NEW.territory
        AND carried_from = made.carried_from AND association_id = made.association_id)
      > coalesce((SELECT sum(out.minutes) FROM public.account AS carried JOIN public.transfer AS out
        ON out.territory = carried.territory AND out.to_account_id = carried.id
        WHERE carried.territory = NEW.territory AND carried.campaign_id = made.carried_from AND carried.kind = 'carried'
          AND carried.holder_id = made.association_id), 0) THEN
      RAISE EXCEPTION 'campaign % did not carry over as many minutes of % as lot % brings in', made.carried_from,
        made.association_id, made.id USING ERRCODE = 'MT004';
    END IF;
    RETURN NULL;
  END IF;
  SELECT lot.* INTO spent FROM public.account AS source JOIN public.lot
    ON lot.territory = source.territory AND lot.id = source.lot_id
  WHERE source.territory = NEW.territory AND source.id = NEW.from_account_id;
  IF spent.id IS NULL THEN
    RETURN NULL;  -- from an account that has no lot, which no flow allows
  END IF;
  SELECT * INTO STRICT rules FROM public.campaign WHERE territory = NEW.territory AND id = NEW.campaign_id;
  IF target.kind <> (CASE rules.expiry WHEN 'return' THEN 'pool' WHEN 'lapse' THEN 'lapsed' ELSE 'carried' END) THEN
    RAISE EXCEPTION 'transfer % does not follow the rule of campaign %: unspent credit is to %', NEW.id, rules.ref, rules.expiry
      USING ERRCODE = 'MT004';
  END IF;
  IF rules.state <> 'closed' AND greatest(NEW.effective_at, NEW.recorded_at) < spent.expires_at THEN
    RAISE EXCEPTION 'lot % may be spent until %', spent.id, spent.expires_at USING ERRCODE = 'MT004';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER transfer_follows_its_rule AFTER INSERT ON transfer FOR EACH ROW
  WHEN (NEW.kind IN ('grant', 'carry', 'expire')) EXECUTE FUNCTION ledger_check_rule();
"""

# As in 0007, but that an approval covers as many minutes as it names. What is undone beyond them must stay within what
# one person may undo alone.
APPROVALS = """
CREATE OR REPLACE FUNCTION approval_check_transfer() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  threshold bigint := public.approval_threshold(NEW.territory, NEW.campaign_id);
  undone public.transfer;
BEGIN
  IF threshold IS NULL THEN
    RETURN NULL;
  END IF;
  IF NEW.kind = 'grant' THEN
    PERFORM FROM public.signed_grant AS granted JOIN public.grant_signature AS signature
      ON signature.territory = granted.territory AND signature.proposal_id = granted.proposal_id
    WHERE granted.territory = NEW.territory AND granted.id = NEW.grant_id AND NEW.minutes <= granted.minutes
      AND signature.minutes = (SELECT sum(other.minutes) FROM public.signed_grant AS other
        WHERE other.territory = granted.territory AND other.proposal_id = granted.proposal_id);
    IF NOT FOUND THEN
      RAISE EXCEPTION 'the grant % is not signed', NEW.grant_id USING ERRCODE = 'MT008';
    END IF;
    RETURN NULL;
  END IF;
  SELECT * INTO STRICT undone FROM public.transfer WHERE territory = NEW.territory AND id = NEW.reverses;
  IF threshold < (
    SELECT sum(reversal.minutes) FROM public.transfer AS sibling JOIN public.transfer AS reversal
      ON reversal.territory = sibling.territory AND reversal.reverses = sibling.id
    WHERE sibling.territory = NEW.territory
      AND (sibling.id = undone.id OR (sibling.mission_id = undone.mission_id AND sibling.kind = undone.kind))
  ) - coalesce((
    SELECT sum(request.minutes) FROM public.transfer AS named
      JOIN public.approval_request AS request ON request.territory = named.territory AND request.subject_id = named.id
      JOIN public.approval_decision AS decision ON decision.territory = request.territory AND decision.request_id = request.id
    WHERE named.territory = NEW.territory AND request.kind = 'reversal' AND decision.outcome = 'approved'
      AND (named.id = undone.id OR (named.mission_id = undone.mission_id
        AND (named.kind = 'reserve') = (undone.kind = 'reserve')))
  ), 0) THEN
    RAISE EXCEPTION 'the reversal of % needs a second person', NEW.reverses USING ERRCODE = 'MT008';
  END IF;
  RETURN NULL;
END $$;
"""

RECEIPTS = """
CREATE FUNCTION documents_check_receipt() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  valued record;
BEGIN
  SELECT sum(valuation.retained_cents) AS cents, sum(valuation.minutes) AS minutes INTO valued
  FROM public.receipt_mission AS covered JOIN public.valuation ON valuation.territory = covered.territory
    AND valuation.mission_id = covered.mission_id AND valuation.version = covered.valuation_version
  WHERE covered.territory = NEW.territory AND covered.receipt_id = NEW.id;
  IF (valued.cents, valued.minutes) IS DISTINCT FROM (NEW.amount_cents::numeric, NEW.minutes::numeric) THEN
    RAISE EXCEPTION 'receipt % says % cents for % minutes, its missions were valued at % for %', NEW.id, NEW.amount_cents,
      NEW.minutes, coalesce(valued.cents, 0), coalesce(valued.minutes, 0) USING ERRCODE = 'MT004';
  END IF;
  RETURN NULL;
END $$;
-- At the commit: a receipt is written before what it covers.
CREATE CONSTRAINT TRIGGER receipt_is_valued AFTER INSERT ON receipt DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION documents_check_receipt();
"""

KEYS = """
CREATE FUNCTION ledger_keep_answer() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION '% of % is refused: an answer that was given under a key is given for ever', TG_OP, TG_TABLE_NAME
    USING ERRCODE = 'MT003';
END $$;
CREATE TRIGGER answer_stays BEFORE DELETE OR TRUNCATE ON idempotency_key
  FOR EACH STATEMENT EXECUTE FUNCTION ledger_keep_answer();
CREATE TRIGGER answer_is_given_once BEFORE UPDATE ON idempotency_key FOR EACH ROW
  WHEN (OLD.status IS NOT NULL OR (NEW.territory, NEW.client_id, NEW.key, NEW.request_hash)
    IS DISTINCT FROM (OLD.territory, OLD.client_id, OLD.key, OLD.request_hash))
  EXECUTE FUNCTION ledger_keep_answer();
"""

REFUSALS = """
-- Where minutes were missing, of what was asked for by hand; of a mission it follows from the reason and whose it is.
ALTER TABLE refusal ADD account text;
"""

NOTICES = """
CREATE TRIGGER expiry_notice_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON expiry_notice
  FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
"""

ROLE = runtime_role("credits")
PRIVILEGES = f"""
REVOKE ALL ON FUNCTION ledger_check_lot(), ledger_check_rule(), documents_check_receipt(), ledger_keep_answer() FROM PUBLIC;
DO $$ BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = '{ROLE}') THEN
    REVOKE DELETE, TRUNCATE ON idempotency_key FROM "{ROLE}";
    REVOKE UPDATE, DELETE, TRUNCATE ON expiry_notice FROM "{ROLE}";
  END IF;
END $$;
"""


def upgrade() -> None:
    execute_script(op, CHECKS + LOTS + APPROVALS + RECEIPTS + KEYS + REFUSALS + NOTICES + PRIVILEGES)
