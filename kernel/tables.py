"""Tables and columns that all services share, and the SQL that protects a territory's rows."""

from uuid import UUID

from sqlalchemy import BigInteger, Column, DateTime, Identity, LargeBinary, MetaData, SmallInteger, Table, Text
from sqlalchemy import Uuid as UuidType

# The name of the setting that row-level security compares with; set by kernel.work for each transaction.
TERRITORY_SETTING = "metis.territory"


def id_column(name: str = "id") -> Column[UUID]:
    return Column(name, UuidType, primary_key=True)


def territory_column() -> Column[str]:
    return Column("territory", Text, nullable=False)


def instant_column(name: str, *, nullable: bool = False) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=nullable)


def add_kernel_tables(metadata: MetaData) -> None:
    """Declare the kernel's tables in a service's metadata. `KERNEL_DDL` creates them.

    Only the idempotency keys are reached by routes; the others belong to the relay and the consumer,
    which serve all territories, and hold no row-level security.
    """
    Table(
        "outbox", metadata,
        Column("sequence", BigInteger, Identity(always=True), primary_key=True),
        Column("event_id", UuidType, nullable=False),
        Column("type", Text, nullable=False),
        Column("subject", Text, nullable=False, index=True),
        Column("body", LargeBinary, nullable=False),
        Column("traceparent", Text),
        instant_column("recorded_at"),
    )  # fmt: skip
    Table("inbox", metadata, Column("event_id", UuidType, primary_key=True), instant_column("handled_at"))
    Table(
        "retry", metadata,
        Column("sequence", BigInteger, Identity(always=True), primary_key=True),
        Column("event_id", UuidType, nullable=False, unique=True),
        Column("subject", Text, nullable=False, index=True),
        Column("body", LargeBinary, nullable=False),
        Column("attempts", SmallInteger, nullable=False),
        instant_column("due_at"),
        Column("reason", Text, nullable=False),
    )  # fmt: skip
    Table(
        "dead_letter", metadata,
        Column("event_id", UuidType, primary_key=True),
        Column("type", Text, nullable=False),
        Column("subject", Text, nullable=False),
        Column("territory", Text, nullable=False),
        Column("body", LargeBinary, nullable=False),
        Column("attempts", SmallInteger, nullable=False),
        Column("reason", Text, nullable=False),
        Column("stack", Text, nullable=False),
        instant_column("parked_at"),
    )  # fmt: skip
    Table(
        "idempotency_key", metadata,
        Column("territory", Text, primary_key=True),
        Column("client_id", Text, primary_key=True),
        Column("key", Text, primary_key=True),
        Column("request_hash", LargeBinary, nullable=False),
        Column("status", SmallInteger),
        Column("headers", Text),
        Column("body", LargeBinary),
        instant_column("recorded_at"),
    )  # fmt: skip


def secure(table: str) -> str:
    """SQL that binds a table's rows to the transaction's territory.

    FORCE makes it hold for the owner too. The comparison is an equality with a setting that is
    empty unless kernel.work sets it: outside a work, a table shows nothing and takes nothing.
    """
    return f"""
ALTER TABLE "{table}" ENABLE ROW LEVEL SECURITY;
ALTER TABLE "{table}" FORCE ROW LEVEL SECURITY;
CREATE POLICY territory ON "{table}"
  USING (territory = current_setting('{TERRITORY_SETTING}', true))
  WITH CHECK (territory = current_setting('{TERRITORY_SETTING}', true));
"""


# By which an event learns that another one of its subject waits before it (kernel/work.py).
OUTBOX_INDEX = "CREATE INDEX IF NOT EXISTS ix_outbox_subject ON outbox (subject);"

KERNEL_DDL = f"""
CREATE TABLE outbox (
  sequence bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  event_id uuid NOT NULL,
  type text NOT NULL,
  subject text NOT NULL,
  body bytea NOT NULL,
  traceparent text,
  recorded_at timestamptz NOT NULL DEFAULT now()
);
{OUTBOX_INDEX}
-- Every row is soon deleted: vacuum by count, or the relay reads past ever more dead ones.
ALTER TABLE outbox SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
CREATE TABLE inbox (event_id uuid PRIMARY KEY, handled_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE retry (
  sequence bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  event_id uuid NOT NULL UNIQUE,
  subject text NOT NULL,
  body bytea NOT NULL,
  attempts smallint NOT NULL,
  due_at timestamptz NOT NULL,
  reason text NOT NULL
);
CREATE INDEX ix_retry_subject ON retry (subject);
CREATE TABLE dead_letter (
  event_id uuid PRIMARY KEY,
  type text NOT NULL,
  subject text NOT NULL,
  territory text NOT NULL,
  body bytea NOT NULL,
  attempts smallint NOT NULL,
  reason text NOT NULL,
  stack text NOT NULL,
  parked_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE idempotency_key (
  territory text NOT NULL,
  client_id text NOT NULL,
  key text NOT NULL,
  request_hash bytea NOT NULL,
  status smallint,
  headers text,
  body bytea,
  recorded_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (territory, client_id, key)
);
{secure("idempotency_key")}
"""

# The embedded transport's small broker, in a database of its own (kernel/bus/postgres.py).
BUS_DDL = """
CREATE TABLE binding (queue text NOT NULL, pattern text NOT NULL, PRIMARY KEY (queue, pattern));
CREATE TABLE message (
  sequence bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  queue text NOT NULL,
  event_id uuid NOT NULL,
  taken boolean NOT NULL DEFAULT false,
  body bytea NOT NULL
);
CREATE INDEX ix_message_queue ON message (queue, sequence);
ALTER TABLE message SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, fillfactor = 70);
"""
