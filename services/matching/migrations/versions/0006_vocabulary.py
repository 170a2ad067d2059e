"""What territories add to the skills referential: their own words and skills, with their history.

Nothing of before changes: a territory that adds nothing has no row here.
"""

from alembic import op

from kernel.migrate import execute_script
from kernel.tables import secure

revision = "0006"
down_revision = "0005"

DDL = """
CREATE TABLE vocabulary (
  territory text PRIMARY KEY,
  revision integer NOT NULL CHECK (revision > 0),
  mark uuid NOT NULL,
  changed_at timestamptz NOT NULL
);

CREATE TABLE skill_word (
  territory text NOT NULL,
  id uuid NOT NULL,
  code text NOT NULL,
  kind text NOT NULL CHECK (kind IN ('name', 'english_name', 'synonym')),
  phrase text NOT NULL CHECK (phrase <> ''),
  normalised text NOT NULL CHECK (normalised <> ''),
  reason text NOT NULL CHECK (reason <> ''),
  added_by text NOT NULL CHECK (added_by <> ''),
  added_at timestamptz NOT NULL,
  state text NOT NULL CHECK (state IN ('in_force', 'withdrawn')),
  version integer NOT NULL,
  PRIMARY KEY (territory, id)
);
-- The same words name one skill, whatever races.
CREATE UNIQUE INDEX ux_skill_word_in_force ON skill_word (territory, normalised) WHERE state = 'in_force';
CREATE INDEX ix_skill_word_code ON skill_word (territory, code, id);

CREATE TABLE local_skill (
  territory text NOT NULL,
  id uuid NOT NULL,
  code text NOT NULL CHECK (starts_with(code, territory || ':')),
  name_fr text NOT NULL,
  name_en text NOT NULL,
  definition text NOT NULL,
  parent text NOT NULL,
  near jsonb NOT NULL,
  asks text[] NOT NULL,
  gives text[] NOT NULL,
  titles text[] NOT NULL,
  tools text[] NOT NULL,
  false_friends text[] NOT NULL,
  reason text NOT NULL CHECK (reason <> ''),
  proposed_by text NOT NULL CHECK (proposed_by <> ''),
  proposed_at timestamptz NOT NULL,
  state text NOT NULL CHECK (state IN ('in_force', 'withdrawn')),
  version integer NOT NULL,
  PRIMARY KEY (territory, id),
  UNIQUE (territory, code)
);

-- Needs and offers with a label that named no skill when it was written: few, and counted for the officer.
CREATE INDEX ix_need_uncoded ON need (territory) WHERE jsonb_path_exists(skills, '$[*] ? (!exists (@.code) || @.code == null)');
CREATE INDEX ix_offer_uncoded ON offer (territory) WHERE jsonb_path_exists(skills, '$[*] ? (!exists (@.code) || @.code == null)');
"""


def history(owner: str) -> str:
    """History of the states of `owner`: never changed, never deleted (as in 0001)."""
    return f"""
CREATE TABLE {owner}_event (
  territory text NOT NULL,
  id uuid NOT NULL,
  subject_id uuid NOT NULL,
  before text,
  after text NOT NULL,
  deed text NOT NULL,
  happened_at timestamptz NOT NULL,
  who text NOT NULL CHECK (who <> ''),
  side text,
  reason text,
  cause uuid,
  PRIMARY KEY (territory, id),
  FOREIGN KEY (territory, subject_id) REFERENCES {owner}
);
CREATE INDEX ix_{owner}_event_subject ON {owner}_event (territory, subject_id, id);
CREATE TRIGGER {owner}_event_only_grows BEFORE UPDATE OR DELETE ON {owner}_event
  FOR EACH ROW EXECUTE FUNCTION refuse_change();
"""


def upgrade() -> None:
    owned = ("skill_word", "local_skill")
    secured = ("vocabulary", *owned, *(f"{owner}_event" for owner in owned))
    execute_script(op, DDL + "".join(history(owner) for owner in owned) + "".join(secure(table) for table in secured))
