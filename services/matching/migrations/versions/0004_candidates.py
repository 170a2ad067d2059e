"""Where the candidates of one need, or of one offer, are found at once.

`offer_search` and `need_search` hold a row for each offer and need: what gates and score look at, as plain columns, and `tokens`
(engine/cells.py), empty unless it is open. The service writes the rows in the transaction that writes the offer or need;
free minutes and the count of missions are kept by the trigger on missions, whoever writes these.

Row-level security hides an index over tokens from the planner: the operator `&&` is not leakproof, so it may not look at a row
before the policy has. The functions that find by token therefore run as their owner, whom a policy of its own
lets read, and compare the territory themselves.
"""

from alembic import op

from kernel.migrate import execute_script
from kernel.tables import TERRITORY_SETTING, secure

revision = "0004"
down_revision = "0003"

TABLES = """
CREATE TABLE offer_search (
  territory text NOT NULL,
  offer_id uuid NOT NULL,
  volunteer_id uuid NOT NULL,
  version integer NOT NULL,           -- of the offer, as it was written here
  referential text NOT NULL,          -- version of the referential that its skills were read with; '' to be read anew
  tokens bigint[] NOT NULL,
  skills bigint[] NOT NULL,
  commune text,
  latitude double precision,
  longitude double precision,
  radius_km integer NOT NULL,
  remote boolean NOT NULL,
  available_from date NOT NULL,
  available_until date NOT NULL,
  week integer NOT NULL,
  languages text[] NOT NULL,
  setting text NOT NULL,
  cleared boolean NOT NULL,
  charter_signed boolean NOT NULL,
  minutes integer NOT NULL,
  free_minutes integer NOT NULL,
  missions integer NOT NULL,
  PRIMARY KEY (territory, offer_id),
  FOREIGN KEY (territory, offer_id) REFERENCES offer
) WITH (fillfactor = 85);             -- minutes change often, and no index has them
CREATE INDEX ix_offer_search_tokens ON offer_search USING gin (tokens) WITH (fastupdate = off);
CREATE INDEX ix_offer_search_volunteer ON offer_search (territory, volunteer_id, offer_id);

CREATE TABLE need_search (
  territory text NOT NULL,
  need_id uuid NOT NULL,
  version integer NOT NULL,
  referential text NOT NULL,
  tokens bigint[] NOT NULL,
  commune text,
  PRIMARY KEY (territory, need_id),
  FOREIGN KEY (territory, need_id) REFERENCES need
);
CREATE INDEX ix_need_search_tokens ON need_search USING gin (tokens) WITH (fastupdate = off);
"""

KEPT = """
CREATE FUNCTION taken_minutes(of_territory text, of_offer uuid) RETURNS integer LANGUAGE sql STABLE AS $$
  SELECT coalesce(sum(CASE WHEN state = 'closed' THEN served_minutes ELSE minutes END), 0)::integer FROM mission
  WHERE territory = of_territory AND offer_id = of_offer AND state NOT IN ('declined', 'refused', 'cancelled')
$$;
CREATE FUNCTION given_missions(of_territory text, of_volunteer uuid) RETURNS integer LANGUAGE sql STABLE AS $$
  SELECT count(*)::integer FROM mission
  WHERE territory = of_territory AND volunteer_id = of_volunteer AND state NOT IN ('declined', 'refused', 'cancelled')
$$;
-- One at a time for a volunteer: else a new offer and a new mission would each miss the other.
CREATE FUNCTION lock_volunteer(of_territory text, of_volunteer uuid) RETURNS void LANGUAGE sql AS $$
  SELECT pg_advisory_xact_lock(hashtextextended(of_territory || ':volunteer:' || of_volunteer, 0))
$$;

CREATE FUNCTION start_offer_search() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM lock_volunteer(NEW.territory, NEW.volunteer_id);
  NEW.free_minutes := NEW.minutes - taken_minutes(NEW.territory, NEW.offer_id);
  NEW.missions := given_missions(NEW.territory, NEW.volunteer_id);
  RETURN NEW;
END $$;
CREATE TRIGGER start_offer_search BEFORE INSERT OR UPDATE OF minutes, volunteer_id ON offer_search
  FOR EACH ROW EXECUTE FUNCTION start_offer_search();

CREATE FUNCTION keep_offer_search() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM lock_volunteer(NEW.territory, NEW.volunteer_id);
  UPDATE offer_search SET
    free_minutes = minutes - taken_minutes(territory, offer_id), missions = given_missions(territory, volunteer_id)
  WHERE territory = NEW.territory AND volunteer_id = NEW.volunteer_id;
  RETURN NULL;
END $$;
CREATE TRIGGER keep_offer_search_new AFTER INSERT ON mission FOR EACH ROW EXECUTE FUNCTION keep_offer_search();
CREATE TRIGGER keep_offer_search_changed AFTER UPDATE OF state, minutes, served_minutes ON mission FOR EACH ROW
  WHEN (OLD.state IS DISTINCT FROM NEW.state OR OLD.minutes <> NEW.minutes) EXECUTE FUNCTION keep_offer_search();
"""

# `territory || ''` keeps the planner from reading a whole territory by the primary key, comparing tokens row by row: with
# young statistics, or a LIMIT, it thinks that cheap. Tokens are of one territory anyway; the comparison makes it certain.
FIND = f"""
-- Offers with one of these tokens that pass the gates that plain columns can tell; `metres` is -1 where they do not reach.
CREATE FUNCTION find_offers(
  any_token bigint[], today date, starts_on date, ends_on date, asked_minutes integer, asked_week integer,
  asked_languages text[], asked_setting text, with_minors boolean, charter_required boolean,
  asked_latitude double precision, asked_longitude double precision, asked_remote boolean
) RETURNS TABLE (
  offer_id uuid, volunteer_id uuid, skills bigint[], metres integer, remote boolean, common_days integer, first_day date,
  last_day date, week integer, free_minutes integer, missions integer
) LANGUAGE sql STABLE SECURITY DEFINER ROWS 5000
  SET search_path = pg_catalog, public SET enable_seqscan = off SET jit = off
AS $$
  SELECT found.offer_id, found.volunteer_id, found.skills, found.metres, found.remote,
    found.last_day - found.first_day + 1, found.first_day, found.last_day, found.week, found.free_minutes, found.missions
  FROM (
    SELECT s.offer_id, s.volunteer_id, s.skills, s.radius_km, s.remote AND asked_remote AS remote, s.week, s.free_minutes,
      s.missions, greatest(s.available_from, starts_on, today) AS first_day, least(s.available_until, ends_on) AS last_day,
      CASE WHEN s.latitude IS NULL OR asked_latitude IS NULL THEN -1 ELSE (12742017.6 * asin(least(1, sqrt(
        sin(radians(s.latitude - asked_latitude) / 2) ^ 2
        + cosd(asked_latitude) * cosd(s.latitude) * sin(radians(s.longitude - asked_longitude) / 2) ^ 2))))::integer
      END AS metres
    FROM public.offer_search AS s
    WHERE s.tokens && any_token
      AND s.territory || '' = current_setting('{TERRITORY_SETTING}', true)
      AND s.available_from <= ends_on AND s.available_until >= greatest(starts_on, today)
      AND s.free_minutes >= asked_minutes AND s.week & asked_week <> 0
      AND (asked_setting IS NULL OR s.setting = asked_setting)
      AND (s.cleared OR NOT with_minors) AND (s.charter_signed OR NOT charter_required)
      AND s.languages @> asked_languages
  ) AS found
  -- A metre either way is left to the exact measure that follows.
  WHERE found.remote OR found.metres BETWEEN 0 AND 1000 * found.radius_km + 1
$$;

-- Offers and needs with one of these tokens, no more than `most`.
CREATE FUNCTION find_offers_by_token(any_token bigint[], most integer) RETURNS TABLE (offer_id uuid)
  LANGUAGE sql STABLE SECURITY DEFINER ROWS 1000 SET search_path = pg_catalog, public SET enable_seqscan = off
AS $$
  SELECT s.offer_id FROM public.offer_search AS s
  WHERE s.tokens && any_token AND s.territory || '' = current_setting('{TERRITORY_SETTING}', true) LIMIT most
$$;
CREATE FUNCTION find_needs_by_token(any_token bigint[]) RETURNS TABLE (need_id uuid)
  LANGUAGE sql STABLE SECURITY DEFINER ROWS 1000 SET search_path = pg_catalog, public SET enable_seqscan = off
AS $$
  SELECT s.need_id FROM public.need_search AS s
  WHERE s.tokens && any_token AND s.territory || '' = current_setting('{TERRITORY_SETTING}', true)
$$;
"""

# What is there already gets its row now, so that its minutes are kept from here on; its tokens come from the service's job.
FILL = """
INSERT INTO offer_search (territory, offer_id, volunteer_id, version, referential, tokens, skills, commune, radius_km, remote,
  available_from, available_until, week, languages, setting, cleared, charter_signed, minutes, free_minutes, missions)
SELECT territory, id, volunteer_id, 0, '', '{}', '{}', commune, radius_km, remote, available_from, available_until, 0, languages,
  setting, false, false, minutes, minutes, 0 FROM offer;
INSERT INTO need_search (territory, need_id, version, referential, tokens, commune)
SELECT territory, id, 0, '', '{}', commune FROM need;
"""


def upgrade() -> None:
    # The owner is bound by row-level security, too: without this the fill would see no row.
    forced = ("need", "offer", "mission")
    execute_script(op, TABLES + KEPT + FIND)
    execute_script(op, "".join(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY;" for table in forced))
    execute_script(op, FILL)
    execute_script(op, "".join(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY;" for table in forced))
    for table in ("offer_search", "need_search"):
        owner_reads = f"CREATE POLICY owner_reads ON {table} FOR SELECT TO CURRENT_USER USING (true); ANALYZE {table};"
        execute_script(op, secure(table) + owner_reads)
