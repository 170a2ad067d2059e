"""The registry's tables as SQLAlchemy sees them; `migrations/` creates them."""

from sqlalchemy import Boolean, Column, Float, Integer, LargeBinary, MetaData, Table, Text
from sqlalchemy import Uuid as UuidType
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from kernel.tables import add_kernel_tables, id_column, instant_column

metadata = MetaData()
add_kernel_tables(metadata)

territory = Table(
    "territory", metadata,
    Column("territory", Text, primary_key=True),
    Column("name", Text, nullable=False),
    instant_column("recorded_at"),
)  # fmt: skip

commune = Table(
    "commune", metadata,
    Column("territory", Text, primary_key=True),
    id_column(),
    Column("insee", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("latitude", Float, nullable=False),
    Column("longitude", Float, nullable=False),
    Column("postcodes", ARRAY(Text), nullable=False),
    Column("epci_siren", Text),
    Column("ept_siren", Text),
)  # fmt: skip

actor = Table(
    "actor", metadata,
    Column("territory", Text, primary_key=True),
    id_column(),
    Column("ref", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("name_folded", Text, nullable=False),
    Column("commune", Text, nullable=False),
    Column("fields_of_action", ARRAY(Text), nullable=False),
    Column("siren", Text),
    Column("siret", Text),
    Column("rna", Text),
    Column("unverified_identifiers", JSONB, nullable=False),
    Column("email", Text),
    Column("website", Text),
    Column("description", Text),
    Column("is_example", Boolean, nullable=False),
    instant_column("recorded_at"),
    instant_column("changed_at"),
    instant_column("archived_at", nullable=True),
    Column("archival_reason", Text),
    Column("archived_by", Text),
)  # fmt: skip

member = Table(
    "member", metadata,
    Column("territory", Text, primary_key=True),
    id_column(),
    Column("ref", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("actor_id", UuidType),
    Column("display_name", Text, nullable=False),
    Column("email", Text, nullable=False),
    Column("roles", ARRAY(Text), nullable=False),
    Column("locale", Text, nullable=False),
    instant_column("recorded_at"),
    instant_column("changed_at"),
    instant_column("archived_at", nullable=True),
    Column("archival_reason", Text),
    Column("archived_by", Text),
)  # fmt: skip

client = Table(
    "client", metadata,
    Column("territory", Text, primary_key=True),
    id_column(),
    Column("client_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("roles", ARRAY(Text), nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("actor_id", UuidType),
    Column("member_id", UuidType),
    Column("secret_hash", LargeBinary, nullable=False),
    instant_column("created_at"),
    instant_column("rotated_at"),
)  # fmt: skip
