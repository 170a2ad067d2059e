"""The registry's first tables.

The unique indexes repeat what the use cases check under the territory's lock: the message comes from there, the
certainty from here. Archived actors leave their identifiers free for a new record.
"""

from alembic import op

from kernel.migrate import execute_script
from kernel.tables import KERNEL_DDL, secure

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

OWN_TABLES = ("territory", "commune", "actor", "member", "client")

OWN_DDL = """
CREATE TABLE territory (
  territory text PRIMARY KEY CHECK (territory ~ '^([0-9]{2}|2[AB])[0-9]{3}$'),
  name text NOT NULL,
  recorded_at timestamptz NOT NULL
);

CREATE TABLE commune (
  territory text NOT NULL REFERENCES territory,
  id uuid NOT NULL,
  insee text NOT NULL CHECK (insee ~ '^([0-9]{2}|2[AB])[0-9]{3}$'),
  name text NOT NULL,
  latitude double precision NOT NULL CHECK (latitude BETWEEN -90 AND 90),
  longitude double precision NOT NULL CHECK (longitude BETWEEN -180 AND 180),
  postcodes text[] NOT NULL,
  epci_siren text CHECK (epci_siren ~ '^[0-9]{9}$'),
  ept_siren text CHECK (ept_siren ~ '^[0-9]{9}$'),
  PRIMARY KEY (territory, id),
  UNIQUE (territory, insee)
);

CREATE TABLE actor (
  territory text NOT NULL REFERENCES territory,
  id uuid NOT NULL,
  ref text NOT NULL,
  version integer NOT NULL CHECK (version > 0),
  kind text NOT NULL CHECK (kind IN ('association', 'company', 'cooperative', 'mutual', 'foundation',
    'social_enterprise', 'public_body', 'third_place', 'collective', 'operator')),
  name text NOT NULL,
  name_folded text NOT NULL,
  commune text NOT NULL CHECK (commune ~ '^([0-9]{2}|2[AB])[0-9]{3}$'),
  fields_of_action text[] NOT NULL,
  siren text CHECK (siren ~ '^[0-9]{9}$'),
  siret text CHECK (siret ~ '^[0-9]{14}$' AND starts_with(siret, siren)),
  rna text CHECK (rna ~ '^W[0-9][A-Z0-9][0-9]{7}$'),
  unverified_identifiers jsonb NOT NULL,
  email text,
  website text,
  description text,
  is_example boolean NOT NULL,
  recorded_at timestamptz NOT NULL,
  changed_at timestamptz NOT NULL,
  archived_at timestamptz,
  archival_reason text,
  archived_by text,
  PRIMARY KEY (territory, id),
  UNIQUE (territory, ref),
  CHECK (num_nulls(archived_at, archival_reason, archived_by) IN (0, 3))
);
CREATE UNIQUE INDEX ux_actor_siren ON actor (territory, kind, siren) WHERE siren IS NOT NULL AND archived_at IS NULL;
CREATE UNIQUE INDEX ux_actor_rna ON actor (territory, rna) WHERE rna IS NOT NULL AND archived_at IS NULL;

CREATE TABLE member (
  territory text NOT NULL REFERENCES territory,
  id uuid NOT NULL,
  ref text NOT NULL,
  version integer NOT NULL CHECK (version > 0),
  actor_id uuid,
  display_name text NOT NULL,
  email text NOT NULL,
  roles text[] NOT NULL CHECK (cardinality(roles) > 0),
  locale text NOT NULL CHECK (locale IN ('fr', 'en')),
  recorded_at timestamptz NOT NULL,
  changed_at timestamptz NOT NULL,
  archived_at timestamptz,
  archival_reason text,
  archived_by text,
  PRIMARY KEY (territory, id),
  UNIQUE (territory, ref),
  FOREIGN KEY (territory, actor_id) REFERENCES actor (territory, id),
  CHECK (num_nulls(archived_at, archival_reason, archived_by) IN (0, 3))
);
CREATE INDEX ix_member_actor ON member (territory, actor_id, id);

CREATE TABLE client (
  territory text NOT NULL REFERENCES territory,
  id uuid NOT NULL,
  client_id text NOT NULL CHECK (starts_with(client_id, territory || '.')),
  name text NOT NULL,
  roles text[] NOT NULL CHECK (cardinality(roles) > 0),
  scopes text[] NOT NULL,
  actor_id uuid,
  member_id uuid,
  secret_hash bytea NOT NULL CHECK (octet_length(secret_hash) = 32),
  created_at timestamptz NOT NULL,
  rotated_at timestamptz NOT NULL,
  PRIMARY KEY (territory, id),
  UNIQUE (territory, client_id),
  FOREIGN KEY (territory, actor_id) REFERENCES actor (territory, id),
  FOREIGN KEY (territory, member_id) REFERENCES member (territory, id)
);
"""


def upgrade() -> None:
    execute_script(op, KERNEL_DDL + OWN_DDL + "".join(secure(table) for table in OWN_TABLES))
