"""The tables of notifications as SQLAlchemy sees them; `migrations/` creates them."""

from sqlalchemy import Boolean, Column, Integer, LargeBinary, MetaData, SmallInteger, Table, Text
from sqlalchemy import Uuid as UuidType
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from kernel.tables import add_kernel_tables, id_column, instant_column

metadata = MetaData()
add_kernel_tables(metadata)


def _territory() -> Column[str]:
    return Column("territory", Text, primary_key=True)


# ---- What this service knows of others (its own copy, made by listening) --------------------------------------------

territory = Table("territory", metadata, _territory(), Column("name", Text))

member = Table(
    "member", metadata, _territory(), id_column(),
    Column("version", Integer, nullable=False),
    Column("actor_id", UuidType),
    Column("display_name", Text, nullable=False),
    Column("email", Text, nullable=False),
    Column("roles", ARRAY(Text), nullable=False),
    Column("locale", Text, nullable=False),
    Column("archived", Boolean, nullable=False),
)  # fmt: skip

actor = Table(
    "actor", metadata, _territory(), id_column(),
    Column("version", Integer, nullable=False),
    Column("name", Text, nullable=False),
)  # fmt: skip

campaign = Table("campaign", metadata, _territory(), id_column(), Column("title", Text, nullable=False))

panel_place = Table("panel_place", metadata, _territory(), id_column("campaign_id"), id_column("association_id"))

need = Table("need", metadata, _territory(), id_column(), Column("title", Text, nullable=False))

mission = Table(
    "mission", metadata, _territory(), id_column(),
    Column("title", Text, nullable=False),
    Column("campaign_id", UuidType, nullable=False),
    Column("association_id", UuidType, nullable=False),
    Column("volunteer_id", UuidType, nullable=False),
    Column("company_id", UuidType),
)  # fmt: skip

# ---- Events and the errands they cause ------------------------------------------------------------------------------

event_log = Table(
    "event_log", metadata, _territory(), id_column("event_id"),
    Column("type", Text, nullable=False),
    Column("subject", Text, nullable=False),
    instant_column("recorded_at"),
    Column("body", LargeBinary, nullable=False),
)  # fmt: skip

# Something to do at a time. Without row-level security, so that one query finds what is due in all territories;
# it holds ids and times and nothing about anybody.
errand = Table(
    "errand", metadata,
    Column("kind", Text, primary_key=True),
    id_column(),
    Column("territory", Text, nullable=False),
    Column("lane", UuidType),  # what must not crowd out others: a delivery's webhook
    instant_column("due_at"),
    Column("tries", SmallInteger, nullable=False),
)  # fmt: skip

# ---- Messages to people ---------------------------------------------------------------------------------------------

preference = Table(
    "preference", metadata, _territory(), id_column("member_id"),
    Column("category", Text, primary_key=True),
    Column("email", Boolean, nullable=False),
    Column("inbox", Boolean, nullable=False),
)  # fmt: skip

notice = Table(
    "notice", metadata, _territory(), id_column(),
    Column("event_id", UuidType, nullable=False),
    Column("event_type", Text, nullable=False),
    Column("category", Text, nullable=False),
    Column("member_id", UuidType),
    Column("client_id", Text),
    Column("subject", Text, nullable=False),
    Column("body", Text, nullable=False),
    instant_column("created_at"),
    instant_column("read_at", nullable=True),
)  # fmt: skip

email = Table(
    "email", metadata, _territory(), id_column(),
    Column("event_id", UuidType, nullable=False),
    Column("event_type", Text, nullable=False),
    Column("category", Text, nullable=False),
    Column("member_id", UuidType, nullable=False),
    Column("name", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("locale", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("tries", SmallInteger, nullable=False),
    Column("reason", Text),
    Column("traceparent", Text),
    instant_column("created_at"),
    instant_column("sent_at", nullable=True),
)  # fmt: skip

# ---- Webhooks of partners -------------------------------------------------------------------------------------------

webhook = Table(
    "webhook", metadata, _territory(), id_column(),
    Column("version", Integer, nullable=False),
    Column("client_id", Text, nullable=False),
    Column("member_id", UuidType),
    Column("url", Text, nullable=False),
    Column("event_types", ARRAY(Text), nullable=False),
    Column("description", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("disabled_reason", Text),
    Column("secret", Text, nullable=False),
    Column("previous_secret", Text),
    instant_column("previous_secret_until", nullable=True),
    instant_column("failing_since", nullable=True),
    instant_column("created_at"),
)  # fmt: skip

delivery = Table(
    "delivery", metadata, _territory(), id_column(),
    Column("webhook_id", UuidType, nullable=False),
    Column("event_id", UuidType, nullable=False),
    Column("event_type", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("tries", JSONB, nullable=False),
    Column("traceparent", Text),
    instant_column("created_at"),
    instant_column("delivered_at", nullable=True),
)  # fmt: skip
