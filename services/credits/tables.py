"""The tables as SQLAlchemy sees them; migrations/ creates them, with the rules that PostgreSQL holds."""

from sqlalchemy import BigInteger, Boolean, Column, Date, Integer, LargeBinary, MetaData, SmallInteger, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from kernel.tables import add_kernel_tables, id_column, instant_column, territory_column

metadata = MetaData()
add_kernel_tables(metadata)

# No territory of its own: jobs read it to serve every territory.
territory = Table("territory", metadata, Column("code", Text, primary_key=True), Column("name", Text, nullable=False))

actor = Table(
    "actor", metadata,
    territory_column(), id_column(),
    Column("version", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("archived", Boolean, nullable=False),
    Column("siret", Text),
    Column("rna", Text),
    Column("fields_of_action", ARRAY(Text), nullable=False),
)  # fmt: skip

member = Table("member", metadata, territory_column(), id_column())

mission = Table(
    "mission", metadata,
    territory_column(), id_column(),
    Column("title", Text, nullable=False),
    Column("volunteer_id", Uuid, nullable=False),
    Column("description", Text, nullable=False),
    Column("place", Text, nullable=False),
    Column("calendar", Text, nullable=False),
    Column("starts_on", Date),
)  # fmt: skip

campaign = Table(
    "campaign", metadata,
    territory_column(), id_column(),
    Column("ref", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("starts_on", Date, nullable=False),
    Column("ends_on", Date, nullable=False),
    Column("operator_id", Uuid, nullable=False),
    Column("step_minutes", Integer, nullable=False),
    Column("compensation_permille", Integer, nullable=False),
    Column("hour_value_cents", Integer, nullable=False),
    Column("expiry", Text, nullable=False),
    Column("conventions_required", Boolean, nullable=False),
    Column("four_eyes_above_minutes", BigInteger),
    Column("daily_limit_minutes", BigInteger),
    Column("state", Text, nullable=False),
    Column("version", Integer, nullable=False),
    instant_column("opened_at", nullable=True),
    instant_column("closed_at", nullable=True),
    Column("closed_by", Text),
    Column("closure_reason", Text),
)  # fmt: skip

panel = Table(
    "panel", metadata,
    territory_column(), id_column(),
    Column("campaign_id", Uuid, nullable=False),
    Column("association_id", Uuid, nullable=False),
    Column("subsidy_before_cents", BigInteger, nullable=False),
    Column("subsidy_after_cents", BigInteger, nullable=False),
    Column("version", Integer, nullable=False),
)  # fmt: skip

pledge = Table(
    "pledge", metadata,
    territory_column(), id_column(),
    Column("campaign_id", Uuid, nullable=False),
    Column("ref", Text, nullable=False),
    Column("contributor_id", Uuid, nullable=False),
    Column("stated_minutes", BigInteger, nullable=False),
    Column("note", Text, nullable=False),
    Column("version", Integer, nullable=False),
)  # fmt: skip

grant_proposal = Table(
    "grant_proposal", metadata,
    territory_column(), id_column(),
    Column("campaign_id", Uuid, nullable=False),
    Column("step_minutes", Integer, nullable=False),
    Column("compensation_permille", Integer, nullable=False),
    Column("hour_value_cents", Integer, nullable=False),
    Column("pool_minutes", BigInteger, nullable=False),
    Column("due_minutes", BigInteger, nullable=False),
    Column("computed_minutes", BigInteger, nullable=False),
    Column("computed_by", Text, nullable=False),
    instant_column("computed_at"),
)  # fmt: skip

grant_proposal_line = Table(
    "grant_proposal_line", metadata,
    territory_column(), id_column("proposal_id"), id_column("association_id"),
    Column("subsidy_before_cents", BigInteger, nullable=False),
    Column("subsidy_after_cents", BigInteger, nullable=False),
    Column("already_granted_minutes", BigInteger, nullable=False),
    Column("exact_minutes", Text, nullable=False),
    Column("entitled_minutes", BigInteger, nullable=False),
    Column("due_minutes", BigInteger, nullable=False),
    Column("share_steps", Text, nullable=False),
    Column("extra_step", Boolean, nullable=False),
    Column("computed_minutes", BigInteger, nullable=False),
)  # fmt: skip

signed_grant = Table(
    "signed_grant", metadata,
    territory_column(), id_column(),
    Column("campaign_id", Uuid, nullable=False),
    Column("proposal_id", Uuid, nullable=False),
    Column("association_id", Uuid, nullable=False),
    Column("computed_minutes", BigInteger, nullable=False),
    Column("minutes", BigInteger, nullable=False),
    Column("adjustment_reason", Text),
    Column("signed_by", Text, nullable=False),
    instant_column("signed_at"),
)  # fmt: skip

grant_signature = Table(
    "grant_signature", metadata,
    territory_column(), id_column("proposal_id"),
    Column("campaign_id", Uuid, nullable=False),
    Column("minutes", BigInteger, nullable=False),
    Column("computation_digest", Text, nullable=False),
    Column("approval_id", Uuid),
    Column("signed_by", Text, nullable=False),
    instant_column("signed_at"),
)  # fmt: skip

grant_publication = Table(
    "grant_publication", metadata,
    territory_column(), id_column(),
    Column("campaign_id", Uuid, nullable=False),
    Column("proposal_id", Uuid, nullable=False),
    Column("number", Integer, nullable=False),
    Column("replaces", Uuid),
    Column("content", JSONB, nullable=False),
    Column("digest", Text, nullable=False),
    Column("published_by", Text, nullable=False),
    instant_column("published_at"),
)  # fmt: skip

approval_request = Table(
    "approval_request", metadata,
    territory_column(), id_column(),
    Column("campaign_id", Uuid, nullable=False),
    Column("kind", Text, nullable=False),
    Column("subject_id", Uuid, nullable=False),
    Column("payload", JSONB, nullable=False),
    Column("digest", Text, nullable=False),
    Column("minutes", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("proposed_by", Uuid, nullable=False),
    instant_column("proposed_at"),
    instant_column("expires_at"),
)  # fmt: skip

approval_decision = Table(
    "approval_decision", metadata,
    territory_column(), id_column("request_id"),
    Column("outcome", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("decided_by", Uuid, nullable=False),
    instant_column("decided_at"),
)  # fmt: skip

hold = Table(
    "hold", metadata,
    territory_column(), id_column("mission_id"),
    Column("campaign_id", Uuid, nullable=False),
    Column("association_id", Uuid, nullable=False),
    Column("contributor_id", Uuid),
    Column("minutes", BigInteger, nullable=False),
    Column("served_minutes", BigInteger, nullable=False),
    Column("ends_on", Date),
    Column("state", Text, nullable=False),
    instant_column("changed_at"),
)  # fmt: skip

refusal = Table(
    "refusal", metadata,
    territory_column(), id_column(),
    Column("campaign_id", Uuid, nullable=False),
    Column("subject", Text, nullable=False),
    Column("mission_id", Uuid),
    Column("association_id", Uuid),
    Column("contributor_id", Uuid),
    Column("code", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("asked_minutes", BigInteger, nullable=False),
    Column("missing_minutes", BigInteger, nullable=False),
    Column("asked_by", Text, nullable=False),
    instant_column("recorded_at"),
    Column("account", Text),
)  # fmt: skip

lot = Table(
    "lot", metadata,
    territory_column(), id_column(),
    Column("campaign_id", Uuid, nullable=False),
    Column("association_id", Uuid, nullable=False),
    Column("grant_id", Uuid),
    Column("carried_from", Uuid),
    Column("minutes", BigInteger, nullable=False),
    instant_column("expires_at"),
    instant_column("recorded_at"),
)  # fmt: skip

hold_part = Table(
    "hold_part", metadata,
    territory_column(), id_column("mission_id"),
    Column("number", SmallInteger, primary_key=True),
    Column("lot_id", Uuid, nullable=False),
    Column("minutes", BigInteger, nullable=False),
    Column("served_minutes", BigInteger, nullable=False),
    Column("released_minutes", BigInteger, nullable=False),
)  # fmt: skip

expiry_notice = Table(
    "expiry_notice", metadata,
    territory_column(), id_column("campaign_id"), id_column("association_id"),
    Column("expires_on", Date, primary_key=True),
    Column("days_before", Integer, primary_key=True),
    instant_column("sent_at"),
)  # fmt: skip

# The close of a campaign (migration 0008): rows are only added. JSON stands as text: what is signed is its very bytes.
closing = Table(
    "closing", metadata,
    territory_column(), id_column("campaign_id"),
    Column("reason", Text, nullable=False),
    Column("begun_by", Text, nullable=False),
    instant_column("begun_at"),
)  # fmt: skip

closing_step = Table(
    "closing_step", metadata,
    territory_column(), id_column("campaign_id"),
    Column("number", Integer, primary_key=True),
    Column("step", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("figures", Text, nullable=False),
    Column("findings", Text, nullable=False),
    Column("accepted", Text, nullable=False),
    Column("recorded_by", Text, nullable=False),
    instant_column("recorded_at"),
)  # fmt: skip

closing_report = Table(
    "closing_report", metadata,
    territory_column(), id_column("campaign_id"),
    Column("number", Integer, primary_key=True),
    Column("content", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("previous_number", Integer),
    Column("previous_digest", Text),
    Column("drawn_up_by", Text, nullable=False),
    instant_column("drawn_up_at"),
)  # fmt: skip

closing_signature = Table(
    "closing_signature", metadata,
    territory_column(), id_column("campaign_id"),
    Column("number", Integer, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("signed_by", Text, nullable=False),
    Column("client_id", Text, nullable=False),
    instant_column("signed_at"),
)  # fmt: skip

closing_statement = Table(
    "closing_statement", metadata,
    territory_column(), id_column(),
    Column("campaign_id", Uuid, nullable=False),
    Column("number", Integer, nullable=False),
    Column("part", Text, nullable=False),
    Column("holder_id", Uuid, nullable=False),
    Column("content", Text, nullable=False),
    Column("digest", Text, nullable=False),
)  # fmt: skip

# The ledger: read here, written by the functions of migration 0004 alone.
account = Table(
    "account", metadata,
    territory_column(), id_column(),
    Column("campaign_id", Uuid, nullable=False),
    Column("kind", Text, nullable=False),
    Column("holder_id", Uuid, nullable=False),
    Column("lot_id", Uuid),
    Column("balance_minutes", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False),
    instant_column("moved_at", nullable=True),
)  # fmt: skip

transfer = Table(
    "transfer", metadata,
    territory_column(), id_column(),
    Column("campaign_id", Uuid, nullable=False),
    Column("kind", Text, nullable=False),
    Column("from_account_id", Uuid, nullable=False),
    Column("from_version", BigInteger, nullable=False),
    Column("from_balance_minutes", BigInteger, nullable=False),
    Column("to_account_id", Uuid, nullable=False),
    Column("to_version", BigInteger, nullable=False),
    Column("to_balance_minutes", BigInteger, nullable=False),
    Column("minutes", BigInteger, nullable=False),
    Column("who", Text, nullable=False),
    Column("why", Text, nullable=False),
    instant_column("effective_at"),
    instant_column("recorded_at"),
    Column("idempotency_key", Text, nullable=False),
    Column("mission_id", Uuid),
    Column("grant_id", Uuid),
    Column("pledge_id", Uuid),
    Column("reverses", Uuid),
)  # fmt: skip

# A view: both sides of each transfer.
entry = Table(
    "entry", metadata,
    territory_column(), id_column("account_id"),
    Column("account_version", BigInteger, primary_key=True),
    Column("transfer_id", Uuid, nullable=False),
    Column("minutes", BigInteger, nullable=False),
    Column("balance_after_minutes", BigInteger, nullable=False),
    instant_column("recorded_at"),
)  # fmt: skip

# Conventions, valuations and receipts: append-only but for `party` and the counter.
party = Table(
    "party", metadata,
    territory_column(), id_column("actor_id"),
    Column("version", Integer, nullable=False),
    Column("legal_form", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("representative_function", Text, nullable=False),
    Column("siren", Text),
    Column("rna", Text),
    Column("object", Text),
    Column("category", Text),
    Column("written_by", Text, nullable=False),
    instant_column("written_at"),
)  # fmt: skip

convention = Table(
    "convention", metadata,
    territory_column(), id_column("mission_id"),
    Column("version", Integer, primary_key=True),
    Column("template", SmallInteger, nullable=False),
    Column("content", JSONB, nullable=False),
    Column("digest", Text, nullable=False),
    Column("drafted_by", Text, nullable=False),
    instant_column("drafted_at"),
)  # fmt: skip

convention_acceptance = Table(
    "convention_acceptance", metadata,
    territory_column(), id_column("mission_id"),
    Column("version", Integer, primary_key=True),
    Column("side", Text, primary_key=True),
    Column("accepted_by", Text, nullable=False),
    Column("actor_id", Uuid),
    instant_column("accepted_at"),
)  # fmt: skip

valuation = Table(
    "valuation", metadata,
    territory_column(), id_column("mission_id"),
    Column("version", Integer, primary_key=True),
    Column("from_day", Date, nullable=False),
    Column("to_day", Date, nullable=False),
    Column("minutes", BigInteger, nullable=False),
    Column("amount_cents", BigInteger, nullable=False),
    Column("retained_cents", BigInteger, nullable=False),
    Column("lines", JSONB, nullable=False),
    Column("method", Text, nullable=False),
    Column("law_year", Integer, nullable=False),
    Column("reason", Text),
    Column("valued_by", Text, nullable=False),
    instant_column("valued_at"),
)  # fmt: skip

valuation_consent = Table(
    "valuation_consent", metadata,
    territory_column(), id_column("mission_id"),
    Column("version", Integer, primary_key=True),
    Column("share_with_town", Boolean, nullable=False),
    Column("said_by", Text, nullable=False),
    instant_column("said_at"),
)  # fmt: skip

receipt_counter = Table(
    "receipt_counter", metadata,
    territory_column(), id_column("beneficiary_id"),
    Column("year", Integer, primary_key=True),
    Column("last_number", Integer, nullable=False),
)  # fmt: skip

receipt = Table(
    "receipt", metadata,
    territory_column(), id_column(),
    Column("beneficiary_id", Uuid, nullable=False),
    Column("donor_id", Uuid, nullable=False),
    Column("year", Integer, nullable=False),
    Column("number", Integer, nullable=False),
    Column("replaces", Uuid),
    Column("reason", Text),
    Column("minutes", BigInteger, nullable=False),
    Column("amount_cents", BigInteger, nullable=False),
    Column("template", SmallInteger, nullable=False),
    Column("content", JSONB, nullable=False),
    Column("digest", Text, nullable=False),
    Column("issued_by", Text, nullable=False),
    instant_column("issued_at"),
)  # fmt: skip

receipt_cancellation = Table(
    "receipt_cancellation", metadata,
    territory_column(), id_column("receipt_id"),
    Column("reason", Text, nullable=False),
    Column("cancelled_by", Text, nullable=False),
    instant_column("cancelled_at"),
)  # fmt: skip

receipt_mission = Table(
    "receipt_mission", metadata,
    territory_column(), id_column("receipt_id"), id_column("mission_id"),
    Column("valuation_version", Integer, nullable=False),
    Column("follows", Uuid),
)  # fmt: skip

# Every version of facts that may change, written by triggers (migration 0009).
fact = Table(
    "fact", metadata,
    territory_column(),
    Column("id", BigInteger, primary_key=True),
    Column("table_name", Text, nullable=False),
    Column("row_key", Text, nullable=False),
    Column("facts", JSONB, nullable=False),
    instant_column("recorded_at"),
)  # fmt: skip

seal_block = Table(
    "seal_block", metadata,
    territory_column(),
    Column("number", BigInteger, primary_key=True),
    Column("format", SmallInteger, nullable=False),
    Column("first_sequence", BigInteger, nullable=False),
    Column("row_count", Integer, nullable=False),
    Column("previous_hash", LargeBinary, nullable=False),
    Column("merkle_root", LargeBinary, nullable=False),
    Column("leaves", LargeBinary, nullable=False),
    Column("refs", ARRAY(Text), nullable=False),
    Column("hints", LargeBinary, nullable=False),
    Column("last_xact", Text, nullable=False),
    Column("last_table", Text, nullable=False),
    Column("last_key", Text, nullable=False),
    instant_column("sealed_at"),
    Column("public_key", LargeBinary, nullable=False),
    Column("next_public_key", LargeBinary),
    Column("hash", LargeBinary, nullable=False),
    Column("signature", LargeBinary, nullable=False),
)  # fmt: skip

published_head = Table(
    "published_head", metadata,
    territory_column(),
    Column("day", Date, primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    instant_column("published_at"),
)  # fmt: skip

audit_run = Table(
    "audit_run", metadata,
    territory_column(), id_column(),
    Column("asked_by", Text, nullable=False),
    instant_column("started_at"),
    instant_column("ended_at"),
    Column("transfers", BigInteger, nullable=False),
    Column("accounts", BigInteger, nullable=False),
    Column("difference_count", BigInteger, nullable=False),
    Column("differences", JSONB, nullable=False),
)  # fmt: skip


def seal_rows(table: str, *, refusal: str = "ledger_refuse_change") -> str:
    """SQL of a migration: from now on the rows of an append-only table are sealed (sealing/ finds it by its column).

    Rows that are there already are the migration's transaction's, and sealed as they stand then. `refusal`: the trigger
    function that says why nothing is changed. A column that joins such a table later must allow NULL: what a row was
    sealed with leaves out what was NULL.
    """
    return f"""
ALTER TABLE "{table}" ADD xact xid8 NOT NULL DEFAULT pg_current_xact_id();
-- For the sealer alone: see migration 0016.
CREATE INDEX ix_{table}_xact ON "{table}" (territory, xact) WHERE xact IS NOT NULL;
CREATE OR REPLACE TRIGGER {table}_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON "{table}"
  FOR EACH STATEMENT EXECUTE FUNCTION {refusal}();
"""


def keep_history(table: str, *, keys: str, left_out: str = "", updates: bool = True) -> str:
    """SQL of a migration: each version of this table's rows is kept in `fact`, and sealed there.

    `left_out`: columns that the transfers tell; without `updates` a row is kept once, when it comes to be.
    """
    arguments = f"'{keys}', '{left_out}'"
    script = f"""
CREATE TRIGGER {table}_is_written AFTER INSERT ON "{table}" REFERENCING NEW TABLE AS written
  FOR EACH STATEMENT EXECUTE FUNCTION ledger_keep_history({arguments});
"""
    if updates:
        script += f"""
CREATE TRIGGER {table}_is_changed AFTER UPDATE ON "{table}" REFERENCING NEW TABLE AS written
  FOR EACH STATEMENT EXECUTE FUNCTION ledger_keep_history({arguments});
"""
    return script
