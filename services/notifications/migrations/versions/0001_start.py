"""The first tables of notifications.

`errand` and `territory` hold no row-level security: the senders look for what is due in every territory at once.
Everything that says something about anybody is bound to its territory.
"""

from alembic import op

from kernel.migrate import execute_script
from kernel.tables import KERNEL_DDL, secure

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SECURED = (
    "member", "actor", "campaign", "panel_place", "need", "mission", "event_log",
    "preference", "notice", "email", "webhook", "delivery",
)  # fmt: skip

KNOWN_OF_OTHERS = """
CREATE TABLE territory (territory text PRIMARY KEY, name text);

CREATE TABLE member (
  territory text NOT NULL,
  id uuid NOT NULL,
  version integer NOT NULL,
  actor_id uuid,
  display_name text NOT NULL,
  email text NOT NULL,
  roles text[] NOT NULL,
  locale text NOT NULL,
  archived boolean NOT NULL,
  PRIMARY KEY (territory, id)
);
CREATE INDEX ix_member_actor ON member (territory, actor_id);

CREATE TABLE actor (
  territory text NOT NULL, id uuid NOT NULL, version integer NOT NULL, name text NOT NULL, PRIMARY KEY (territory, id)
);
CREATE TABLE campaign (territory text NOT NULL, id uuid NOT NULL, title text NOT NULL, PRIMARY KEY (territory, id));
CREATE TABLE panel_place (
  territory text NOT NULL, campaign_id uuid NOT NULL, association_id uuid NOT NULL,
  PRIMARY KEY (territory, campaign_id, association_id)
);
CREATE TABLE need (territory text NOT NULL, id uuid NOT NULL, title text NOT NULL, PRIMARY KEY (territory, id));
CREATE TABLE mission (
  territory text NOT NULL,
  id uuid NOT NULL,
  title text NOT NULL,
  campaign_id uuid NOT NULL,
  association_id uuid NOT NULL,
  volunteer_id uuid NOT NULL,
  company_id uuid,
  PRIMARY KEY (territory, id)
);
"""

EVENTS = """
CREATE TABLE event_log (
  territory text NOT NULL,
  event_id uuid NOT NULL,
  type text NOT NULL,
  subject text NOT NULL,
  recorded_at timestamptz NOT NULL,
  body bytea NOT NULL,
  PRIMARY KEY (territory, event_id)
);
CREATE INDEX ix_event_log_recorded_at ON event_log (territory, recorded_at);

CREATE TABLE errand (
  kind text NOT NULL CHECK (kind IN ('announcement', 'email', 'delivery')),
  id uuid NOT NULL,
  territory text NOT NULL,
  lane uuid,
  due_at timestamptz NOT NULL,
  tries smallint NOT NULL DEFAULT 0,
  PRIMARY KEY (kind, id)
) WITH (fillfactor = 70);
CREATE INDEX ix_errand_due ON errand (kind, due_at);
CREATE INDEX ix_errand_lane ON errand (lane, due_at) WHERE lane IS NOT NULL;
"""

MESSAGES = """
CREATE TABLE preference (
  territory text NOT NULL,
  member_id uuid NOT NULL,
  category text NOT NULL,
  email boolean NOT NULL,
  inbox boolean NOT NULL,
  PRIMARY KEY (territory, member_id, category)
);

CREATE TABLE notice (
  territory text NOT NULL,
  id uuid NOT NULL,
  event_id uuid NOT NULL,
  event_type text NOT NULL,
  category text NOT NULL,
  member_id uuid,
  client_id text,
  subject text NOT NULL,
  body text NOT NULL,
  created_at timestamptz NOT NULL,
  read_at timestamptz,
  PRIMARY KEY (territory, id),
  CHECK (num_nonnulls(member_id, client_id) = 1)
);
CREATE UNIQUE INDEX ux_notice_member ON notice (territory, member_id, event_id) WHERE member_id IS NOT NULL;
CREATE UNIQUE INDEX ux_notice_client ON notice (territory, client_id, event_id) WHERE client_id IS NOT NULL;
CREATE INDEX ix_notice_created_at ON notice (territory, created_at);

CREATE TABLE email (
  territory text NOT NULL,
  id uuid NOT NULL,
  event_id uuid NOT NULL,
  event_type text NOT NULL,
  category text NOT NULL,
  member_id uuid NOT NULL,
  name text NOT NULL,
  address text NOT NULL,
  locale text NOT NULL,
  subject text NOT NULL,
  body text NOT NULL,
  state text NOT NULL CHECK (state IN ('waiting', 'sent', 'failed')),
  tries smallint NOT NULL DEFAULT 0,
  reason text,
  traceparent text,
  created_at timestamptz NOT NULL,
  sent_at timestamptz,
  PRIMARY KEY (territory, id),
  -- Never more than one e-mail for an event and a person, whatever is repeated.
  UNIQUE (territory, member_id, event_id),
  CHECK ((state = 'sent') = (sent_at IS NOT NULL))
);
CREATE INDEX ix_email_created_at ON email (territory, created_at);
"""

WEBHOOKS = """
CREATE TABLE webhook (
  territory text NOT NULL,
  id uuid NOT NULL,
  version integer NOT NULL,
  client_id text NOT NULL,
  member_id uuid,
  url text NOT NULL,
  event_types text[] NOT NULL,
  description text NOT NULL,
  state text NOT NULL CHECK (state IN ('active', 'disabled')),
  disabled_reason text,
  secret text NOT NULL,
  previous_secret text,
  previous_secret_until timestamptz,
  failing_since timestamptz,
  created_at timestamptz NOT NULL,
  PRIMARY KEY (territory, id)
);

CREATE TABLE delivery (
  territory text NOT NULL,
  id uuid NOT NULL,
  webhook_id uuid NOT NULL,
  event_id uuid NOT NULL,
  event_type text NOT NULL,
  state text NOT NULL CHECK (state IN ('waiting', 'delivered', 'failed')),
  tries jsonb NOT NULL DEFAULT '[]',
  traceparent text,
  created_at timestamptz NOT NULL,
  delivered_at timestamptz,
  PRIMARY KEY (territory, id),
  FOREIGN KEY (territory, webhook_id) REFERENCES webhook ON DELETE CASCADE,
  UNIQUE (territory, webhook_id, event_id)
);
CREATE INDEX ix_delivery_webhook ON delivery (territory, webhook_id, id);
CREATE INDEX ix_delivery_created_at ON delivery (territory, created_at);
"""


def upgrade() -> None:
    script = [KERNEL_DDL, KNOWN_OF_OTHERS, EVENTS, MESSAGES, WEBHOOKS, *map(secure, SECURED)]
    execute_script(op, "\n".join(script))
