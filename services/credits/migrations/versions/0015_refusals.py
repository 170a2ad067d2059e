"""Refusals of what is asked for by hand are kept beside those of missions: they may name no mission and nobody's account.

A settlement may also be refused of which only the cancellation was heard before, and that names no contributor.

What one person signs alone is added up: grants pass the threshold in slices no more than reversals do. An approval that a
signature names is that of its own proposal, however small, for it takes the signature out of the sum.
"""

from alembic import op

from kernel.migrate import execute_script

revision = "0015"
down_revision = "0014"

REFUSALS = """
ALTER TABLE refusal
  ALTER COLUMN mission_id DROP NOT NULL,
  ALTER COLUMN association_id DROP NOT NULL,
  ALTER COLUMN contributor_id DROP NOT NULL,
  DROP CONSTRAINT refusal_subject_check,
  ADD CONSTRAINT ck_refusal_subject
    CHECK (subject IN ('reservation', 'settlement', 'pledge', 'withdrawal', 'grants', 'reversal', 'carry_in')),
  ADD CONSTRAINT ck_refusal_mission
    CHECK (subject NOT IN ('reservation', 'settlement') OR (mission_id IS NOT NULL AND association_id IS NOT NULL));
"""


SIGNATURES = """
CREATE OR REPLACE FUNCTION approval_check_signature() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  threshold bigint := public.approval_threshold(NEW.territory, NEW.campaign_id);
  alone bigint;
BEGIN
  IF threshold IS NULL THEN
    RETURN NEW;
  END IF;
  -- Signatures of a campaign are given under its lock, one after the other.
  SELECT coalesce(sum(minutes), 0) INTO alone FROM public.grant_signature
  WHERE territory = NEW.territory AND campaign_id = NEW.campaign_id AND approval_id IS NULL;
  IF (NEW.approval_id IS NOT NULL OR alone + NEW.minutes > threshold) AND NOT EXISTS (
    SELECT FROM public.approval_request AS request JOIN public.approval_decision AS decision
      ON decision.territory = request.territory AND decision.request_id = request.id
    WHERE request.territory = NEW.territory AND request.id = NEW.approval_id AND decision.outcome = 'approved'
      AND request.kind = 'grants' AND request.subject_id = NEW.proposal_id AND request.minutes = NEW.minutes) THEN
    RAISE EXCEPTION 'the grants of proposal % need a second person', NEW.proposal_id USING ERRCODE = 'MT008';
  END IF;
  RETURN NEW;
END $$;
"""


def upgrade() -> None:
    execute_script(op, REFUSALS)
    execute_script(op, SIGNATURES)
