"""Four eyes, daily limits, signatures with their digest, and publications: rows that nobody changes.

The service asks for a second person before it moves anything (use_cases/approvals.py). What PostgreSQL holds again here:
a request and a decision stay as written, there is one decision, the decider is not the proposer, no decision comes after
the time is up, and above the campaign's threshold no signature and no reversal without an approval. The last binds only
campaigns that set a threshold, so that the version before this one may serve while the migration runs.
"""

from alembic import op

from kernel.migrate import execute_script, runtime_role
from kernel.tables import secure

revision = "0007"
down_revision = "0006"

CAMPAIGNS = """
ALTER TABLE campaign
  ADD COLUMN four_eyes_above_minutes bigint CONSTRAINT ck_campaign_four_eyes CHECK (four_eyes_above_minutes >= 0),
  ADD COLUMN daily_limit_minutes bigint CONSTRAINT ck_campaign_daily_limit CHECK (daily_limit_minutes > 0);
"""

APPROVALS = """
CREATE TABLE approval_request (
  territory text NOT NULL,
  id uuid NOT NULL,
  campaign_id uuid NOT NULL,
  kind text NOT NULL CHECK (kind IN ('grants', 'reversal', 'withdrawal', 'carry_in')),
  -- The proposal, transfer, pledge or earlier campaign that it is about.
  subject_id uuid NOT NULL,
  payload jsonb NOT NULL,
  digest text NOT NULL CHECK (digest ~ '^[0-9a-f]{64}$'),
  minutes bigint NOT NULL CHECK (minutes >= 0),
  reason text NOT NULL,
  proposed_by uuid NOT NULL,
  proposed_at timestamptz NOT NULL,
  expires_at timestamptz NOT NULL CHECK (expires_at > proposed_at),
  PRIMARY KEY (territory, id),
  FOREIGN KEY (territory, campaign_id) REFERENCES campaign (territory, id)
);
CREATE INDEX ix_approval_request_campaign ON approval_request (territory, campaign_id, id);
CREATE INDEX ix_approval_request_subject ON approval_request (territory, subject_id);
CREATE TABLE approval_decision (
  territory text NOT NULL,
  request_id uuid NOT NULL,
  outcome text NOT NULL CHECK (outcome IN ('approved', 'declined', 'withdrawn')),
  reason text NOT NULL,
  decided_by uuid NOT NULL,
  decided_at timestamptz NOT NULL,
  PRIMARY KEY (territory, request_id),
  FOREIGN KEY (territory, request_id) REFERENCES approval_request (territory, id)
);
-- What a person moved by hand today is added up under a lock: few rows, and none for missions.
CREATE INDEX ix_transfer_by_hand ON transfer (campaign_id, who, recorded_at)
  WHERE kind IN ('grant', 'reverse', 'withdraw', 'carry');
"""

SIGNATURES = """
CREATE TABLE grant_signature (
  territory text NOT NULL,
  proposal_id uuid NOT NULL,
  campaign_id uuid NOT NULL,
  minutes bigint NOT NULL CHECK (minutes >= 0),
  computation_digest text NOT NULL CHECK (computation_digest ~ '^[0-9a-f]{64}$'),
  approval_id uuid,
  signed_by text NOT NULL,
  signed_at timestamptz NOT NULL,
  PRIMARY KEY (territory, proposal_id),
  FOREIGN KEY (territory, proposal_id) REFERENCES grant_proposal (territory, id),
  FOREIGN KEY (territory, campaign_id) REFERENCES campaign (territory, id),
  FOREIGN KEY (territory, approval_id) REFERENCES approval_decision (territory, request_id)
);
CREATE TABLE grant_publication (
  territory text NOT NULL,
  id uuid NOT NULL,
  campaign_id uuid NOT NULL,
  proposal_id uuid NOT NULL,
  number integer NOT NULL CHECK (number > 0),
  replaces uuid,
  content jsonb NOT NULL,
  digest text NOT NULL CHECK (digest ~ '^[0-9a-f]{64}$'),
  published_by text NOT NULL,
  published_at timestamptz NOT NULL,
  PRIMARY KEY (territory, id),
  UNIQUE (territory, campaign_id, number),
  UNIQUE (territory, replaces),
  FOREIGN KEY (territory, campaign_id) REFERENCES campaign (territory, id),
  FOREIGN KEY (territory, proposal_id) REFERENCES grant_proposal (territory, id),
  FOREIGN KEY (territory, replaces) REFERENCES grant_publication (territory, id)
);
CREATE INDEX ix_grant_publication_campaign ON grant_publication (territory, campaign_id, id);
"""

# MT008: a rule of four eyes that the service should have refused by name before.
TRIGGERS = """
CREATE FUNCTION refuse_change_of_record() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION '% of % is refused: what was proposed, decided, signed or published stays', TG_OP, TG_TABLE_NAME
    USING ERRCODE = 'MT003';
END $$;

CREATE FUNCTION approval_check_decision() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  request public.approval_request;
BEGIN
  SELECT * INTO STRICT request FROM public.approval_request WHERE territory = NEW.territory AND id = NEW.request_id;
  IF (NEW.outcome = 'withdrawn') <> (NEW.decided_by = request.proposed_by) THEN
    RAISE EXCEPTION 'request % was proposed by the one who would decide it, or is withdrawn by another', request.id
      USING ERRCODE = 'MT008';
  END IF;
  IF NEW.decided_at NOT BETWEEN request.proposed_at AND request.expires_at THEN
    RAISE EXCEPTION 'request % waited from % to %', request.id, request.proposed_at, request.expires_at
      USING ERRCODE = 'MT008';
  END IF;
  RETURN NEW;
END $$;

-- The threshold of a campaign; NULL where it has none, which no comparison passes.
CREATE FUNCTION approval_threshold(here text, asked uuid) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT four_eyes_above_minutes FROM public.campaign WHERE territory = here AND id = asked
$$;

CREATE FUNCTION approval_check_signature() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF NEW.minutes > public.approval_threshold(NEW.territory, NEW.campaign_id) AND NOT EXISTS (
    SELECT FROM public.approval_request AS request JOIN public.approval_decision AS decision
      ON decision.territory = request.territory AND decision.request_id = request.id
    WHERE request.territory = NEW.territory AND request.id = NEW.approval_id AND decision.outcome = 'approved'
      AND request.kind = 'grants' AND request.subject_id = NEW.proposal_id AND request.minutes = NEW.minutes) THEN
    RAISE EXCEPTION 'the grants of proposal % need a second person', NEW.proposal_id USING ERRCODE = 'MT008';
  END IF;
  RETURN NEW;
END $$;

-- Grants are posted under a signature that names their sum; above the threshold nothing is reversed by one person alone,
-- not even in slices. What a mission reserved, and what was served and delivered of it, is undone together and judged
-- together, however many lots it was drawn from: an approval of one of these transfers is one of all.
CREATE FUNCTION approval_check_transfer() RETURNS trigger
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
  ) AND NOT EXISTS (
    SELECT FROM public.transfer AS named
      JOIN public.approval_request AS request ON request.territory = named.territory AND request.subject_id = named.id
      JOIN public.approval_decision AS decision ON decision.territory = request.territory AND decision.request_id = request.id
    WHERE named.territory = NEW.territory AND request.kind = 'reversal' AND decision.outcome = 'approved'
      AND (named.id = undone.id OR (named.mission_id = undone.mission_id
        AND (named.kind = 'reserve') = (undone.kind = 'reserve')))
  ) THEN
    RAISE EXCEPTION 'the reversal of % needs a second person', NEW.reverses USING ERRCODE = 'MT008';
  END IF;
  RETURN NULL;
END $$;

CREATE TRIGGER decision_is_anothers BEFORE INSERT ON approval_decision
  FOR EACH ROW EXECUTE FUNCTION approval_check_decision();
CREATE TRIGGER signature_is_approved BEFORE INSERT ON grant_signature
  FOR EACH ROW EXECUTE FUNCTION approval_check_signature();
CREATE TRIGGER transfer_is_approved AFTER INSERT ON transfer
  FOR EACH ROW WHEN (NEW.kind IN ('grant', 'reverse')) EXECUTE FUNCTION approval_check_transfer();
"""

KEPT = ("approval_request", "approval_decision", "grant_signature", "grant_publication")
ROLE = runtime_role("credits")
PRIVILEGES = f"""
REVOKE ALL ON FUNCTION refuse_change_of_record(), approval_check_decision(), approval_threshold(text, uuid),
  approval_check_signature(), approval_check_transfer() FROM PUBLIC;
DO $$ BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = '{ROLE}') THEN
    REVOKE UPDATE, DELETE, TRUNCATE ON {", ".join(KEPT)} FROM "{ROLE}";
  END IF;
END $$;
"""


def upgrade() -> None:
    execute_script(op, CAMPAIGNS + APPROVALS + SIGNATURES + TRIGGERS)
    for table in KEPT:
        execute_script(op, secure(table))
        execute_script(
            op,
            f"CREATE TRIGGER {table}_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_record();",
        )
    execute_script(op, PRIVILEGES)
