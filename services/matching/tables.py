"""Matching's tables as SQLAlchemy sees them; `migrations/` creates them."""

from typing import Any

from sqlalchemy import ARRAY, REAL, BigInteger, Boolean, Column, Date, Float, Integer, LargeBinary, MetaData, Table, Text
from sqlalchemy import Uuid as UuidType
from sqlalchemy.dialects.postgresql import JSONB

from kernel.tables import add_kernel_tables, id_column, instant_column

metadata = MetaData()
add_kernel_tables(metadata)

# ---- What others told -----------------------------------------------------------------------------------------------

# Without row-level security: the jobs read from it which territories there are.
territory = Table(
    "territory", metadata,
    Column("code", Text, primary_key=True),
    Column("name", Text, nullable=False),
    instant_column("told_at"),
)  # fmt: skip

commune = Table(
    "commune", metadata,
    Column("territory", Text, primary_key=True),
    Column("insee", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("latitude", Float, nullable=False),
    Column("longitude", Float, nullable=False),
    instant_column("told_at"),
)  # fmt: skip

actor = Table(
    "actor", metadata,
    Column("territory", Text, primary_key=True),
    id_column(),
    Column("version", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("archived", Boolean, nullable=False),
    Column("name", Text),  # of a body, never of a person; none: told before names were kept
    Column("fields_of_action", ARRAY(Text), nullable=False),
)  # fmt: skip

# No name and no address: matching proposes people without knowing who they are.
member = Table(
    "member", metadata,
    Column("territory", Text, primary_key=True),
    id_column(),
    Column("version", Integer, nullable=False),
    Column("actor_id", UuidType),
    Column("archived", Boolean, nullable=False),
)  # fmt: skip

campaign = Table(
    "campaign", metadata,
    Column("territory", Text, primary_key=True),
    id_column(),
    Column("title", Text, nullable=False),
    Column("opened", Boolean, nullable=False),
    Column("closed", Boolean, nullable=False),
    Column("panel_heard", Boolean, nullable=False),  # not so of campaigns that were there before we listened to admissions
    Column("minutes_replayed", Boolean, nullable=False),  # pledges and grants of before we listened were told after all
    Column("conventions_required", Boolean, nullable=False),
)  # fmt: skip

# Concluded ones, of missions known here or not (yet): no foreign key.
convention = Table(
    "convention", metadata,
    Column("territory", Text, primary_key=True),
    id_column("mission_id"),
    instant_column("concluded_at"),
)  # fmt: skip

panel = Table(
    "panel", metadata,
    Column("territory", Text, primary_key=True),
    Column("campaign_id", UuidType, primary_key=True),
    Column("association_id", UuidType, primary_key=True),
)  # fmt: skip

# ---- What may still be spent and given, as credits told it ---------------------------------------------------------

# One row, of no territory: since when pledges and grants are listened to.
listening = Table("listening", metadata, instant_column("since"))

credit_told = Table(
    "credit_told", metadata,
    Column("territory", Text, primary_key=True),
    Column("campaign_id", UuidType, primary_key=True),
    Column("association_id", UuidType, primary_key=True),
    Column("minutes", BigInteger, nullable=False),
)  # fmt: skip

promise_told = Table(
    "promise_told", metadata,
    Column("territory", Text, primary_key=True),
    Column("campaign_id", UuidType, primary_key=True),
    Column("contributor_id", UuidType, primary_key=True),
    Column("minutes", BigInteger, nullable=False),
)  # fmt: skip

mission_minutes = Table(
    "mission_minutes", metadata,
    Column("territory", Text, primary_key=True),
    id_column("mission_id"),
    Column("campaign_id", UuidType, nullable=False),
    Column("association_id", UuidType, nullable=False),
    Column("contributor_id", UuidType),
    Column("direct", Boolean, nullable=False),
    Column("minutes", BigInteger, nullable=False),
)  # fmt: skip

# ---- Needs, offers, missions ----------------------------------------------------------------------------------------

need = Table(
    "need", metadata,
    Column("territory", Text, primary_key=True),
    id_column(),
    Column("ref", Text),
    Column("campaign_id", UuidType, nullable=False),
    Column("association_id", UuidType, nullable=False),
    Column("title", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("skills", JSONB, nullable=False),
    Column("minutes", Integer, nullable=False),
    Column("starts_on", Date, nullable=False),
    Column("ends_on", Date, nullable=False),
    Column("commune", Text),
    Column("remote", Boolean, nullable=False),
    Column("languages", ARRAY(Text), nullable=False),
    Column("week", ARRAY(Text), nullable=False),
    Column("setting", Text),
    Column("with_minors", Boolean, nullable=False),
    Column("charter_required", Boolean, nullable=False),
    Column("latitude", Float),
    Column("longitude", Float),
    Column("state", Text, nullable=False),
    Column("qualification_note", Text),
    Column("version", Integer, nullable=False),
    instant_column("created_at"),
    instant_column("changed_at"),
)  # fmt: skip

offer = Table(
    "offer", metadata,
    Column("territory", Text, primary_key=True),
    id_column(),
    Column("ref", Text),
    Column("volunteer_id", UuidType, nullable=False),
    Column("title", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("skills", JSONB, nullable=False),
    Column("minutes", Integer, nullable=False),
    Column("available_from", Date, nullable=False),
    Column("available_until", Date, nullable=False),
    Column("commune", Text),
    Column("remote", Boolean, nullable=False),
    Column("radius_km", Integer, nullable=False),
    Column("setting", Text, nullable=False),
    Column("languages", ARRAY(Text), nullable=False),
    Column("week", ARRAY(Text), nullable=False),
    Column("latitude", Float),
    Column("longitude", Float),
    Column("excluded_associations", ARRAY(UuidType), nullable=False),
    Column("honorability_checked_on", Date),
    Column("charter_signed", Boolean, nullable=False),
    Column("state", Text, nullable=False),
    Column("version", Integer, nullable=False),
    instant_column("created_at"),
    instant_column("changed_at"),
)  # fmt: skip

mission = Table(
    "mission", metadata,
    Column("territory", Text, primary_key=True),
    id_column(),
    Column("need_id", UuidType, nullable=False),
    Column("offer_id", UuidType, nullable=False),
    Column("campaign_id", UuidType, nullable=False),
    Column("association_id", UuidType, nullable=False),
    Column("volunteer_id", UuidType, nullable=False),
    Column("contributor_id", UuidType, nullable=False),
    Column("company_id", UuidType),
    Column("title", Text, nullable=False),
    Column("minutes", Integer, nullable=False),
    Column("starts_on", Date, nullable=False),
    Column("ends_on", Date, nullable=False),
    Column("score", Integer, nullable=False),
    Column("parts", JSONB, nullable=False),
    Column("reasons", ARRAY(Text), nullable=False),
    Column("state", Text, nullable=False),
    Column("accepted", ARRAY(Text), nullable=False),
    Column("worked_minutes", Integer, nullable=False),
    Column("served_minutes", Integer),
    instant_column("agreed_at", nullable=True),
    Column("version", Integer, nullable=False),
    Column("weights_version", Integer),
    Column("explanation", JSONB(none_as_null=True)),  # frozen when proposed, see 0007
    instant_column("created_at"),
    instant_column("changed_at"),
)  # fmt: skip

# ---- Where candidates are found (0004_candidates.py) ----------------------------------------------------------------------

offer_search = Table(
    "offer_search", metadata,
    Column("territory", Text, primary_key=True),
    id_column("offer_id"),
    Column("volunteer_id", UuidType, nullable=False),
    Column("version", Integer, nullable=False),
    Column("referential", Text, nullable=False),
    Column("tokens", ARRAY(Integer), nullable=False),
    Column("skills", ARRAY(Integer), nullable=False),
    Column("commune", Text),
    Column("x", REAL),
    Column("y", REAL),
    Column("z", REAL),
    Column("reach_squared", REAL, nullable=False),
    Column("remote", Boolean, nullable=False),
    Column("available_from", Date, nullable=False),
    Column("available_until", Date, nullable=False),
    Column("week", Integer, nullable=False),
    Column("languages", BigInteger, nullable=False),
    Column("professional", Boolean, nullable=False),
    Column("cleared", Boolean, nullable=False),
    Column("charter_signed", Boolean, nullable=False),
    Column("minutes", Integer, nullable=False),
    Column("free_minutes", Integer, nullable=False),  # kept by triggers, as is the next
    Column("missions", Integer, nullable=False),
)  # fmt: skip

need_search = Table(
    "need_search", metadata,
    Column("territory", Text, primary_key=True),
    id_column("need_id"),
    Column("version", Integer, nullable=False),
    Column("referential", Text, nullable=False),
    Column("tokens", ARRAY(Integer), nullable=False),
    Column("commune", Text),
)  # fmt: skip

timesheet = Table(
    "timesheet", metadata,
    Column("territory", Text, primary_key=True),
    id_column(),
    Column("mission_id", UuidType, nullable=False),
    Column("worked_on", Date, nullable=False),
    Column("minutes", Integer, nullable=False),
    Column("note", Text),
    Column("entered_by", Text, nullable=False),
    instant_column("entered_at"),
    Column("replaces", UuidType),
)  # fmt: skip


# How much each criterion counts here; a version is added, none is ever changed.
weights = Table(
    "weights", metadata,
    Column("territory", Text, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("values", JSONB, nullable=False),
    instant_column("set_at"),
    Column("set_by", Text, nullable=False),
    Column("reason", Text, nullable=False),
)  # fmt: skip

# ---- Allocation rounds ----------------------------------------------------------------------------------------------

allocation_round = Table(
    "allocation_round", metadata,
    Column("territory", Text, primary_key=True),
    id_column(),
    Column("campaign_id", UuidType, nullable=False),
    Column("based_on", UuidType),
    Column("trial_of", UuidType),
    Column("trial_weights", JSONB(none_as_null=True)),
    Column("state", Text, nullable=False),
    Column("fairness_permille", Integer, nullable=False),
    Column("whole", Boolean, nullable=False),
    Column("seed", Text, nullable=False),
    Column("weights_version", Integer),
    Column("served_points", Integer, nullable=False),
    Column("most_candidates", Integer, nullable=False),
    Column("note", Text, nullable=False),
    Column("asked_by", Text, nullable=False),
    instant_column("asked_at"),
    Column("attempt", Integer, nullable=False),
    Column("progress", JSONB(none_as_null=True)),
    Column("inputs_digest", Text),
    Column("proposals_digest", Text),
    Column("result", JSONB(none_as_null=True)),
    Column("released", JSONB(none_as_null=True)),
    Column("version", Integer, nullable=False),
    instant_column("changed_at"),
)  # fmt: skip

# Without row-level security: the job learns from it what waits, in whatever territory.
round_waiting = Table("round_waiting", metadata, id_column("round_id"), Column("code", Text, nullable=False))

round_choice = Table(
    "round_choice", metadata,
    Column("territory", Text, primary_key=True),
    id_column("round_id"),
    id_column("need_id"),
    id_column("offer_id"),
    Column("kind", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("chosen_by", Text, nullable=False),
    instant_column("chosen_at"),
)  # fmt: skip

round_inputs = Table(
    "round_inputs", metadata,
    Column("territory", Text, primary_key=True),
    id_column("round_id"),
    Column("content", LargeBinary, nullable=False),
)  # fmt: skip

round_proposal = Table(
    "round_proposal", metadata,
    Column("territory", Text, primary_key=True),
    id_column(),
    Column("round_id", UuidType, nullable=False),
    Column("need_id", UuidType, nullable=False),
    Column("offer_id", UuidType, nullable=False),
    Column("association_id", UuidType, nullable=False),
    Column("contributor_id", UuidType, nullable=False),
    Column("need_version", Integer, nullable=False),
    Column("offer_version", Integer, nullable=False),
    Column("minutes", Integer, nullable=False),
    Column("points", Integer, nullable=False),
    Column("parts", JSONB, nullable=False),
    Column("reasons", ARRAY(Text), nullable=False),
    Column("pinned", Boolean, nullable=False),
)  # fmt: skip

round_unserved = Table(
    "round_unserved", metadata,
    Column("territory", Text, primary_key=True),
    id_column(),
    Column("round_id", UuidType, nullable=False),
    Column("need_id", UuidType, nullable=False),
    Column("association_id", UuidType, nullable=False),
    Column("missing_minutes", Integer, nullable=False),
    Column("candidates", Integer, nullable=False),
    Column("why", ARRAY(Text), nullable=False),
)  # fmt: skip

round_release = Table(
    "round_release", metadata,
    Column("territory", Text, primary_key=True),
    Column("round_id", UuidType, nullable=False),
    id_column("proposal_id"),
    Column("mission_id", UuidType),
    Column("left_out", Text),
)  # fmt: skip

# ---- A territory's own words and skills -------------------------------------------------------------------------------

# How often a territory has changed its words and skills; `mark`: of the last change, so that copies know they are stale.
vocabulary = Table(
    "vocabulary", metadata,
    Column("territory", Text, primary_key=True),
    Column("revision", Integer, nullable=False),
    Column("mark", UuidType, nullable=False),
    instant_column("changed_at"),
)  # fmt: skip

skill_word = Table(
    "skill_word", metadata,
    Column("territory", Text, primary_key=True),
    id_column(),
    Column("code", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("phrase", Text, nullable=False),
    Column("normalised", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("added_by", Text, nullable=False),
    instant_column("added_at"),
    Column("state", Text, nullable=False),
    Column("version", Integer, nullable=False),
)  # fmt: skip

local_skill = Table(
    "local_skill", metadata,
    Column("territory", Text, primary_key=True),
    id_column(),
    Column("code", Text, nullable=False),
    Column("name_fr", Text, nullable=False),
    Column("name_en", Text, nullable=False),
    Column("definition", Text, nullable=False),
    Column("parent", Text, nullable=False),
    Column("near", JSONB, nullable=False),
    Column("asks", ARRAY(Text), nullable=False),
    Column("gives", ARRAY(Text), nullable=False),
    Column("titles", ARRAY(Text), nullable=False),
    Column("tools", ARRAY(Text), nullable=False),
    Column("false_friends", ARRAY(Text), nullable=False),
    Column("reason", Text, nullable=False),
    Column("proposed_by", Text, nullable=False),
    instant_column("proposed_at"),
    Column("state", Text, nullable=False),
    Column("version", Integer, nullable=False),
)  # fmt: skip


def _history(name: str, *columns: Column[Any]) -> Table:
    return Table(
        name, metadata,
        Column("territory", Text, primary_key=True),
        id_column(),
        Column("subject_id", UuidType, nullable=False),
        Column("before", Text),
        Column("after", Text, nullable=False),
        Column("deed", Text, nullable=False),
        instant_column("happened_at"),
        Column("who", Text, nullable=False),
        Column("side", Text),
        Column("reason", Text),
        Column("cause", UuidType),
        *columns,
    )  # fmt: skip


need_event = _history("need_event")
offer_event = _history("offer_event")
mission_event = _history("mission_event", Column("criterion", Text))  # what spoke for a yes or a no
allocation_round_event = _history("allocation_round_event")
skill_word_event = _history("skill_word_event")
local_skill_event = _history("local_skill_event")
