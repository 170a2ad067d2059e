"""Narrow rows for finding candidates.

A question reads as many pages as it finds offers, so that rows with few bytes answer sooner: places as chords of a globe,
languages as bits, tokens of 32 bits, kept apart from the row. Everything in the two tables is derived: they are made anew, and
the service's job fills in the tokens.
"""

from alembic import op

from kernel.migrate import execute_script
from kernel.tables import TERRITORY_SETTING, secure

revision = "0008"
down_revision = "0007"

DROP = """
DROP FUNCTION find_offers(
  bigint[], date, date, date, integer, integer, text[], text, boolean, boolean, double precision, double precision, boolean);
DROP FUNCTION find_offers_by_token(bigint[], integer);
DROP FUNCTION find_needs_by_token(bigint[]);
DROP TABLE offer_search, need_search;
"""

TABLES = """
-- Rows are narrow, for a question reads as many pages as it finds offers: tokens, which only their index reads, stand elsewhere.
CREATE TABLE offer_search (
  offer_id uuid NOT NULL,
  volunteer_id uuid NOT NULL,
  languages bigint NOT NULL,          -- a bit each; two languages may share one
  version integer NOT NULL,           -- of the offer, as it was written here
  available_from date NOT NULL,
  available_until date NOT NULL,
  week integer NOT NULL,
  minutes integer NOT NULL,
  free_minutes integer NOT NULL,
  missions integer NOT NULL,
  x real,                             -- the place on a globe of radius 1, and the square of the chord that the radius spans
  y real,
  z real,
  reach_squared real NOT NULL,
  remote boolean NOT NULL,
  professional boolean NOT NULL,
  cleared boolean NOT NULL,
  charter_signed boolean NOT NULL,
  territory text NOT NULL,
  commune text,
  referential text NOT NULL,          -- version of the referential that its skills were read with; '' to be read anew
  skills integer[] NOT NULL,
  tokens integer[] NOT NULL,
  PRIMARY KEY (territory, offer_id),
  FOREIGN KEY (territory, offer_id) REFERENCES offer
) WITH (fillfactor = 90, toast_tuple_target = 128);  -- minutes change often, and no index has them
ALTER TABLE offer_search ALTER COLUMN skills SET STORAGE MAIN, ALTER COLUMN tokens SET STORAGE EXTERNAL;
CREATE INDEX ix_offer_search_tokens ON offer_search USING gin (tokens) WITH (fastupdate = off);
CREATE INDEX ix_offer_search_volunteer ON offer_search (territory, volunteer_id, offer_id);

CREATE TABLE need_search (
  territory text NOT NULL,
  need_id uuid NOT NULL,
  version integer NOT NULL,
  referential text NOT NULL,
  tokens integer[] NOT NULL,
  commune text,
  PRIMARY KEY (territory, need_id),
  FOREIGN KEY (territory, need_id) REFERENCES need
);
CREATE INDEX ix_need_search_tokens ON need_search USING gin (tokens) WITH (fastupdate = off);
"""

KEPT = """
CREATE TRIGGER start_offer_search BEFORE INSERT OR UPDATE OF minutes, volunteer_id ON offer_search
  FOR EACH ROW EXECUTE FUNCTION start_offer_search();
"""

# `territory || ''` keeps the planner from reading a whole territory by the primary key, comparing tokens row by row: with
# young statistics, or a LIMIT, it thinks that cheap. Tokens are of one territory anyway; the comparison makes it certain.
FIND = f"""
-- Offers with one of these tokens that pass the gates that plain columns can tell; `metres` is -1 where they do not
-- reach. What costs least is asked first.
CREATE FUNCTION find_offers(
  any_token integer[], today date, starts_on date, ends_on date, asked_minutes integer, asked_week integer,
  asked_languages bigint, asked_professional boolean, with_minors boolean, charter_required boolean,
  asked_x double precision, asked_y double precision, asked_z double precision, asked_remote boolean
) RETURNS TABLE (
  offer_id uuid, volunteer_id uuid, skills integer[], metres integer, remote boolean, common_days integer, week integer,
  free_minutes integer, missions integer
) LANGUAGE sql STABLE SECURITY DEFINER ROWS 5000
  SET search_path = pg_catalog, public SET enable_seqscan = off SET jit = off SET work_mem = '64MB'  -- rows found stay in memory
AS $$
  SELECT s.offer_id, s.volunteer_id, s.skills,
    CASE WHEN chord.squared <= s.reach_squared THEN (12742017.6 * asin(least(1, sqrt(chord.squared) / 2)))::integer ELSE -1 END,
    s.remote AND asked_remote, least(s.available_until, ends_on) - greatest(s.available_from, starts_on, today) + 1, s.week,
    s.free_minutes, s.missions
  FROM public.offer_search AS s, LATERAL (SELECT
    (s.x - asked_x) * (s.x - asked_x) + (s.y - asked_y) * (s.y - asked_y) + (s.z - asked_z) * (s.z - asked_z) AS squared
  ) AS chord
  WHERE s.tokens && any_token
    AND s.territory || '' = current_setting('{TERRITORY_SETTING}', true)
    AND s.free_minutes >= asked_minutes
    AND s.available_from <= ends_on AND s.available_until >= greatest(starts_on, today)
    AND (chord.squared <= s.reach_squared OR s.remote AND asked_remote)
    AND s.week & asked_week <> 0
    AND (asked_professional IS NULL OR s.professional = asked_professional)
    AND (s.cleared OR NOT with_minors) AND (s.charter_signed OR NOT charter_required)
    AND s.languages & asked_languages = asked_languages
$$;

-- Offers and needs with one of these tokens, no more than `most`.
CREATE FUNCTION find_offers_by_token(any_token integer[], most integer) RETURNS TABLE (offer_id uuid)
  LANGUAGE sql STABLE SECURITY DEFINER ROWS 1000 SET search_path = pg_catalog, public SET enable_seqscan = off
AS $$
  SELECT s.offer_id FROM public.offer_search AS s
  WHERE s.tokens && any_token AND s.territory || '' = current_setting('{TERRITORY_SETTING}', true) LIMIT most
$$;
CREATE FUNCTION find_needs_by_token(any_token integer[]) RETURNS TABLE (need_id uuid)
  LANGUAGE sql STABLE SECURITY DEFINER ROWS 1000 SET search_path = pg_catalog, public SET enable_seqscan = off
AS $$
  SELECT s.need_id FROM public.need_search AS s
  WHERE s.tokens && any_token AND s.territory || '' = current_setting('{TERRITORY_SETTING}', true)
$$;
"""

# What is there already gets its row now, so that its minutes are kept from here on.
FILL = """
INSERT INTO offer_search (territory, offer_id, volunteer_id, version, referential, tokens, skills, commune, reach_squared, remote,
  available_from, available_until, week, languages, professional, cleared, charter_signed, minutes, free_minutes, missions)
SELECT territory, id, volunteer_id, 0, '', '{}', '{}', commune, 0, remote, available_from, available_until, 0, 0,
  false, false, false, minutes, minutes, 0 FROM offer;
INSERT INTO need_search (territory, need_id, version, referential, tokens, commune)
SELECT territory, id, 0, '', '{}', commune FROM need;
"""


def upgrade() -> None:
    # The owner is bound by row-level security, too: without this the fill would see no row.
    forced = ("need", "offer", "mission")
    execute_script(op, DROP + TABLES + KEPT + FIND)
    execute_script(op, "".join(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY;" for table in forced))
    execute_script(op, FILL)
    execute_script(op, "".join(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY;" for table in forced))
    for table in ("offer_search", "need_search"):
        owner_reads = f"CREATE POLICY owner_reads ON {table} FOR SELECT TO CURRENT_USER USING (true); ANALYZE {table};"
        execute_script(op, secure(table) + owner_reads)
