"""What an audit recomputes. Each check is one statement that gives differences: table, key, column, expected, found."""

from dataclasses import dataclass

from kernel.clock import LOCAL_ZONE


@dataclass(frozen=True)
class Check:
    """`$1` is the territory, and every table is read for it alone.

    Where it reads `documents`, `$2` is the keys of those that it is to leave out, because they cannot be read.
    """

    name: str
    query: str
    documents: tuple["Documents", ...] = ()


@dataclass(frozen=True)
class Documents:
    """`texts`: key and text of each, as SQL; `probe`: SQL that fails on a text (`$1`) that the check cannot read."""

    table: str
    texts: str
    probe: str


# Both sides of each transfer; the view `entry`, which statements read, is checked against it and not used.
_SIDES = """
WITH sides AS (
  SELECT id, campaign_id, from_account_id AS account_id, from_version AS version, -minutes AS minutes,
    from_balance_minutes AS balance_minutes, recorded_at, effective_at
  FROM transfer WHERE territory = $1
  UNION ALL
  SELECT id, campaign_id, to_account_id, to_version, minutes, to_balance_minutes, recorded_at, effective_at
  FROM transfer WHERE territory = $1
), running AS (
  SELECT sides.*, row_number() OVER steps AS place, sum(minutes) OVER steps AS total
  FROM sides WINDOW steps AS (PARTITION BY account_id ORDER BY version, id ROWS UNBOUNDED PRECEDING)
)
"""

# What the transfers of each mission say, lot by lot. A reversal undoes what it names, in whole or in parts.
_PARTS = """
WITH meaning AS (
  SELECT t.mission_id, t.minutes, t.idempotency_key, coalesce(original.kind, t.kind) AS kind,
    CASE WHEN t.kind = 'reverse' THEN -1 ELSE 1 END AS sign,
    CASE WHEN (coalesce(original.kind, t.kind) = 'reserve') = (t.kind <> 'reverse')
      THEN t.to_account_id ELSE t.from_account_id END AS account_id
  FROM transfer t LEFT JOIN transfer original ON original.territory = $1 AND original.id = t.reverses
  WHERE t.territory = $1 AND t.mission_id IS NOT NULL
    AND coalesce(original.kind, t.kind) IN ('reserve', 'settle', 'release')
), parts AS (
  SELECT m.mission_id, a.lot_id,
    coalesce(sum(m.minutes) FILTER (WHERE m.kind = 'reserve' AND sign = 1), 0) AS minutes,
    coalesce(sum(m.minutes * sign) FILTER (WHERE m.kind = 'settle'), 0) AS served_minutes,
    coalesce(sum(m.minutes * CASE WHEN m.kind = 'reserve' THEN sign ELSE -sign END), 0) AS held_minutes,
    max(substring(m.idempotency_key FROM ':(\\d{1,4})$')) FILTER (WHERE m.kind = 'reserve' AND sign = 1) AS number
  FROM meaning m JOIN account a ON a.territory = $1 AND a.id = m.account_id
  GROUP BY m.mission_id, a.lot_id
)
"""

BALANCES = Check(
    "running balances",
    _SIDES + """
SELECT 'transfer', id::text, CASE WHEN version <> place THEN 'version' ELSE 'balance_minutes' END,
  CASE WHEN version <> place THEN place::text ELSE total::text END,
  CASE WHEN version <> place THEN version::text ELSE balance_minutes::text END
FROM running WHERE version <> place OR balance_minutes <> total
""",
)  # fmt: skip

ACCOUNTS = Check(
    "accounts",
    _SIDES + """
, told AS (
  SELECT account_id, count(*) AS version, sum(minutes) AS balance_minutes, max(recorded_at) AS moved_at
  FROM sides GROUP BY account_id
)
SELECT 'account', coalesce(a.id, told.account_id)::text, wrong.name, wrong.expected, wrong.found
FROM (SELECT * FROM account WHERE territory = $1) AS a FULL JOIN told ON told.account_id = a.id
CROSS JOIN LATERAL (VALUES
  ('version', coalesce(told.version, 0)::text, a.version::text),
  ('balance_minutes', coalesce(told.balance_minutes, 0)::text, a.balance_minutes::text),
  ('moved_at', told.moved_at::text, a.moved_at::text)
) AS wrong(name, expected, found)
WHERE wrong.expected IS DISTINCT FROM wrong.found
""",
)  # fmt: skip

# What was written before migration 0013 may have fallen with the server's clock: statements by recorded time do not
# reconcile there, and nothing mends it.
TIMES = Check(
    "recorded times",
    _SIDES + """
SELECT 'transfer', id::text, 'recorded_at', '>= ' || before, recorded_at::text
FROM (SELECT id, recorded_at, lag(recorded_at) OVER (PARTITION BY account_id ORDER BY version) AS before FROM sides) AS steps
WHERE recorded_at < before
""",
)  # fmt: skip

BOUNDS = Check(
    "bounds",
    _SIDES + """
SELECT 'account', a.id::text, 'balance_minutes', CASE WHEN a.kind IN ('promised', 'delivered') THEN '<= 0' ELSE '>= 0' END,
  running.total::text
FROM running JOIN account a ON a.territory = $1 AND a.id = running.account_id
WHERE a.kind <> 'carried' AND CASE WHEN a.kind IN ('promised', 'delivered') THEN running.total > 0 ELSE running.total < 0 END
""",
)  # fmt: skip

SUMS = Check(
    "zero sums",
    """
SELECT 'campaign', campaign_id::text, 'sum of balances', '0', sum(balance_minutes)::text
FROM account WHERE territory = $1 GROUP BY campaign_id HAVING sum(balance_minutes) <> 0
UNION ALL
SELECT 'transfer', t.id::text, 'campaign_id', a.campaign_id::text, t.campaign_id::text
FROM transfer t LEFT JOIN account a ON a.territory = $1 AND a.id IN (t.from_account_id, t.to_account_id)
WHERE t.territory = $1 AND a.campaign_id IS DISTINCT FROM t.campaign_id
""",
)  # fmt: skip

FLOWS = Check(
    "flows",
    """
SELECT 'transfer', t.id::text, 'kind', 'a known flow', t.kind || ': ' || coalesce(s.kind, '?') || ' -> ' || coalesce(d.kind, '?')
FROM transfer t
LEFT JOIN account s ON s.territory = $1 AND s.id = t.from_account_id
LEFT JOIN account d ON d.territory = $1 AND d.id = t.to_account_id
WHERE t.territory = $1 AND t.kind <> 'reverse' AND ((t.kind, s.kind, d.kind) IN (
    ('pledge', 'promised', 'pool'), ('withdraw', 'pool', 'promised'), ('grant', 'pool', 'credit'), ('reserve', 'credit', 'held'),
    ('release', 'held', 'credit'), ('settle', 'held', 'served'), ('deliver', 'delivered', 'promised'),
    ('expire', 'credit', 'pool'), ('expire', 'credit', 'lapsed'),
    ('carry', 'credit', 'carried'), ('carry', 'carried', 'credit'))) IS NOT TRUE
UNION ALL
SELECT 'transfer', t.id::text, 'reverses', 'the opposite of ' || t.reverses, coalesce(o.kind, 'nothing')
FROM transfer t LEFT JOIN transfer o ON o.territory = $1 AND o.id = t.reverses
WHERE t.territory = $1 AND t.kind = 'reverse'
  AND (o.kind <> 'reverse' AND (o.from_account_id, o.to_account_id) = (t.to_account_id, t.from_account_id)) IS NOT TRUE
UNION ALL
SELECT 'transfer', o.id::text, 'reversed minutes', '<= ' || o.minutes, sum(t.minutes)::text
FROM transfer o JOIN transfer t ON t.territory = $1 AND t.reverses = o.id WHERE o.territory = $1
GROUP BY o.id, o.minutes HAVING sum(t.minutes) > o.minutes
""",
)  # fmt: skip

KEYS = Check(
    "unique keys",
    """
SELECT 'transfer', min(id::text), 'idempotency_key', 'once', count(*) || ' times ' || idempotency_key
FROM transfer WHERE territory = $1 GROUP BY idempotency_key HAVING count(*) > 1
UNION ALL
SELECT 'transfer', id::text, 'id', 'once', count(*) || ' times' FROM transfer WHERE territory = $1 GROUP BY id HAVING count(*) > 1
""",
)  # fmt: skip

PARTS = Check(
    "parts of holds",
    _PARTS + """
SELECT 'hold_part', coalesce(h.mission_id, parts.mission_id) || '/' || coalesce(h.number::text, parts.lot_id::text),
  wrong.name, wrong.expected, wrong.found
FROM (SELECT * FROM hold_part WHERE territory = $1) AS h
FULL JOIN parts ON parts.mission_id = h.mission_id AND parts.lot_id = h.lot_id
CROSS JOIN LATERAL (VALUES
  ('minutes', parts.minutes::text, h.minutes::text),
  ('served_minutes', parts.served_minutes::text, h.served_minutes::text),
  ('released_minutes', (parts.minutes - parts.served_minutes - parts.held_minutes)::text, h.released_minutes::text),
  ('number', coalesce(parts.number, h.number::text), h.number::text)
) AS wrong(name, expected, found)
WHERE wrong.expected IS DISTINCT FROM wrong.found
""",
)  # fmt: skip

HOLDS = Check(
    "holds",
    _PARTS + """
, told AS (
  SELECT mission_id, sum(minutes) AS minutes, sum(served_minutes) AS served_minutes, sum(held_minutes) AS held_minutes
  FROM parts GROUP BY mission_id
)
SELECT 'hold', coalesce(h.mission_id, told.mission_id)::text, wrong.name, wrong.expected, wrong.found
FROM (SELECT * FROM hold WHERE territory = $1) AS h FULL JOIN told ON told.mission_id = h.mission_id
CROSS JOIN LATERAL (VALUES
  ('minutes', CASE WHEN told.mission_id IS NULL AND h.state IN ('refused', 'cancelled') THEN h.minutes::text
    ELSE coalesce(told.minutes, 0)::text END, h.minutes::text),
  ('served_minutes', coalesce(told.served_minutes, 0)::text, h.served_minutes::text),
  ('state', CASE WHEN coalesce(told.held_minutes, 0) > 0 THEN 'held' WHEN h.state = 'held' THEN 'not held' ELSE h.state END,
    h.state)
) AS wrong(name, expected, found)
WHERE wrong.expected IS DISTINCT FROM wrong.found
UNION ALL
SELECT 'account', h.id::text, 'balance_minutes', coalesce(sum(parts.held_minutes), 0)::text, h.balance_minutes::text
FROM account h LEFT JOIN (parts JOIN hold ON hold.territory = $1 AND hold.mission_id = parts.mission_id)
  ON parts.lot_id = h.lot_id AND hold.campaign_id = h.campaign_id
WHERE h.territory = $1 AND h.kind = 'held' GROUP BY h.id, h.balance_minutes
HAVING coalesce(sum(parts.held_minutes), 0) <> h.balance_minutes
""",
)  # fmt: skip

LOTS = Check(
    "lots",
    """
WITH credited AS (
  SELECT a.lot_id, sum(t.minutes) AS minutes FROM transfer t
  JOIN account a ON a.territory = $1 AND a.id = t.to_account_id AND a.kind = 'credit'
  WHERE t.territory = $1 AND t.kind IN ('grant', 'carry') GROUP BY a.lot_id
)
SELECT 'lot', lot.id::text, 'minutes', coalesce(credited.minutes, 0)::text, lot.minutes::text
FROM lot LEFT JOIN credited ON credited.lot_id = lot.id
WHERE lot.territory = $1 AND lot.minutes IS DISTINCT FROM credited.minutes
UNION ALL
SELECT 'lot', lot.id::text, 'minutes', g.minutes::text, lot.minutes::text
FROM lot JOIN signed_grant g ON g.territory = $1 AND g.id = lot.grant_id
WHERE lot.territory = $1 AND lot.minutes <> g.minutes
UNION ALL
SELECT 'account', a.id::text, 'lot_id', 'a lot of its own', coalesce(a.lot_id::text, 'none')
FROM account a LEFT JOIN lot ON lot.territory = $1 AND lot.id = a.lot_id
WHERE a.territory = $1 AND a.kind IN ('credit', 'held')
  AND ((lot.campaign_id, lot.association_id) = (a.campaign_id, a.holder_id)) IS NOT TRUE
UNION ALL
SELECT 'transfer', t.id::text, 'effective_at', '< ' || lot.expires_at, t.effective_at::text
FROM transfer t JOIN account a ON a.territory = $1 AND a.id = t.from_account_id
JOIN lot ON lot.territory = $1 AND lot.id = a.lot_id
WHERE t.territory = $1 AND t.kind = 'reserve' AND t.effective_at >= lot.expires_at
""",
)  # fmt: skip

# What the database asks of a new transfer, asked of all of them: that it stands for something that is there. Lots from before
# migration 0019 may name neither a grant nor a campaign.
REASONS = Check(
    "reasons",
    """
WITH sides AS (
  SELECT t.*, s.lot_id AS source_lot, d.lot_id AS target_lot, s.holder_id AS source_holder, s.kind AS source_kind,
    d.kind AS target_kind, coalesce(original.kind, t.kind) AS meant, CASE WHEN t.kind = 'reverse' THEN -1 ELSE 1 END AS sign
  FROM transfer t JOIN account s ON s.territory = $1 AND s.id = t.from_account_id
  JOIN account d ON d.territory = $1 AND d.id = t.to_account_id
  LEFT JOIN transfer original ON original.territory = $1 AND original.id = t.reverses
  WHERE t.territory = $1
), brought AS (
  SELECT carried_from, association_id, sum(minutes) AS minutes FROM lot
  WHERE territory = $1 AND carried_from IS NOT NULL GROUP BY 1, 2
)
SELECT 'hold', coalesce(mission_id::text, 'none'), 'delivered minutes',
  coalesce(sum(minutes * sign) FILTER (WHERE meant = 'settle'), 0)::text,
  coalesce(sum(minutes * sign) FILTER (WHERE meant = 'deliver'), 0)::text
FROM sides WHERE meant IN ('settle', 'deliver') GROUP BY mission_id
HAVING mission_id IS NULL
  OR sum(minutes * sign * CASE meant WHEN 'settle' THEN 1 ELSE -1 END) <> 0
UNION ALL
SELECT 'transfer', sides.id::text, 'holder', wanted.holder_id::text, sides.source_holder::text
FROM sides JOIN hold ON hold.territory = $1 AND hold.mission_id = sides.mission_id
CROSS JOIN LATERAL (
  SELECT CASE WHEN sides.kind = 'deliver' THEN hold.contributor_id ELSE hold.association_id END AS holder_id) AS wanted
WHERE sides.kind IN ('reserve', 'release', 'settle', 'deliver') AND sides.source_holder <> wanted.holder_id
UNION ALL
SELECT 'transfer', id::text, 'lot_id', source_lot::text, target_lot::text FROM sides WHERE source_lot <> target_lot
UNION ALL
SELECT 'transfer', sides.id::text, 'grant_id', lot.grant_id::text, coalesce(sides.grant_id::text, 'none')
FROM sides JOIN lot ON lot.territory = $1 AND lot.id = sides.target_lot
WHERE sides.kind = 'grant' AND lot.grant_id IS DISTINCT FROM sides.grant_id
  AND coalesce(lot.grant_id, lot.carried_from) IS NOT NULL
UNION ALL
SELECT 'lot', max(id::text), 'grant_id', 'once', count(*) || ' times ' || grant_id
FROM lot WHERE territory = $1 AND grant_id IS NOT NULL GROUP BY grant_id HAVING count(*) > 1
UNION ALL
SELECT 'lot', lot.id::text, 'association_id', granted.association_id::text, lot.association_id::text
FROM lot JOIN signed_grant granted ON granted.territory = $1 AND granted.id = lot.grant_id
WHERE lot.territory = $1 AND (granted.association_id, granted.campaign_id) <> (lot.association_id, lot.campaign_id)
UNION ALL
SELECT 'campaign', carried_from::text, 'carried over for ' || association_id,
  '>= ' || brought.minutes, coalesce(sum(sides.minutes), 0)::text
FROM brought LEFT JOIN sides ON sides.kind = 'carry' AND sides.target_kind = 'carried'
  AND sides.campaign_id = brought.carried_from AND sides.source_holder = brought.association_id
GROUP BY carried_from, association_id, brought.minutes HAVING coalesce(sum(sides.minutes), 0) < brought.minutes
UNION ALL
SELECT 'transfer', sides.id::text, 'kind', campaign.expiry, sides.kind || ': credit -> ' || sides.target_kind
FROM sides JOIN campaign ON campaign.territory = $1 AND campaign.id = sides.campaign_id
WHERE sides.kind IN ('expire', 'carry') AND sides.source_kind = 'credit'
  AND sides.target_kind <> CASE campaign.expiry WHEN 'return' THEN 'pool' WHEN 'lapse' THEN 'lapsed' ELSE 'carried' END
UNION ALL
SELECT 'transfer', sides.id::text, 'recorded_at', '>= ' || lot.expires_at, sides.recorded_at::text
FROM sides JOIN lot ON lot.territory = $1 AND lot.id = sides.source_lot
JOIN campaign ON campaign.territory = $1 AND campaign.id = sides.campaign_id
WHERE sides.kind IN ('expire', 'carry') AND campaign.state <> 'closed'
  AND greatest(sides.effective_at, sides.recorded_at) < lot.expires_at
""",
)  # fmt: skip

RECEIPTS = Check(
    "receipts",
    """
WITH valued AS (
  SELECT covered.receipt_id, sum(v.retained_cents) AS amount_cents, sum(v.minutes) AS minutes
  FROM receipt_mission covered JOIN valuation v ON v.territory = $1 AND v.mission_id = covered.mission_id
    AND v.version = covered.valuation_version
  WHERE covered.territory = $1 GROUP BY covered.receipt_id
)
SELECT 'receipt', receipt.id::text, wrong.name, wrong.expected, wrong.found
FROM receipt LEFT JOIN valued ON valued.receipt_id = receipt.id
CROSS JOIN LATERAL (VALUES
  ('amount_cents', coalesce(valued.amount_cents, 0)::text, receipt.amount_cents::text),
  ('minutes', coalesce(valued.minutes, 0)::text, receipt.minutes::text)
) AS wrong(name, expected, found)
WHERE receipt.territory = $1 AND wrong.expected <> wrong.found
UNION ALL
SELECT 'receipt', id::text, 'number', place::text, number::text
FROM (SELECT id, number, row_number() OVER (PARTITION BY beneficiary_id, year ORDER BY number) AS place
  FROM receipt WHERE territory = $1) AS numbered
WHERE number <> place
""",
)  # fmt: skip

STATEMENTS = Check(
    "closing figures of statements",
    _SIDES + """
, told AS (
  SELECT a.campaign_id, a.holder_id, a.kind, sum(s.minutes) AS minutes
  FROM sides s JOIN account a ON a.territory = $1 AND a.id = s.account_id GROUP BY 1, 2, 3
), shown AS (
  SELECT a.campaign_id, a.holder_id, a.kind, sum(e.minutes) AS minutes
  FROM entry e JOIN account a ON a.territory = $1 AND a.id = e.account_id WHERE e.territory = $1 GROUP BY 1, 2, 3
)
SELECT 'statement', kind || '/' || campaign_id || '/' || holder_id, 'closing', told.minutes::text, shown.minutes::text
FROM told FULL JOIN shown USING (campaign_id, holder_id, kind) WHERE told.minutes IS DISTINCT FROM shown.minutes
""",
)  # fmt: skip

# Where a statement of a period begins and ends, by either time: what the functions say that it is made with, for each account
# at the end of each of its campaign's months, and what the entries until then add up to.
MONTHS = Check(
    "balances of statements at the end of each month",
    _SIDES + """
, moved AS (
  SELECT times.basis, s.account_id, a.campaign_id, sum(s.minutes) AS minutes,
    (date_trunc('month', times.at AT TIME ZONE '""" + LOCAL_ZONE.key + """') + interval '1 month')
      AT TIME ZONE '""" + LOCAL_ZONE.key + """' AS until
  FROM sides s JOIN account a ON a.territory = $1 AND a.id = s.account_id
  CROSS JOIN LATERAL (VALUES ('recorded', s.recorded_at), ('effective', s.effective_at)) AS times(basis, at)
  GROUP BY times.basis, s.account_id, a.campaign_id, until
), months AS MATERIALIZED (
  SELECT DISTINCT basis, campaign_id, until FROM moved
), told AS (
  SELECT months.basis, a.id AS account_id, months.until,
    coalesce(sum(moved.minutes) OVER (PARTITION BY months.basis, a.id ORDER BY months.until), 0) AS minutes
  FROM months JOIN account a ON a.territory = $1 AND a.campaign_id = months.campaign_id
  LEFT JOIN moved ON (moved.basis, moved.account_id, moved.until) = (months.basis, a.id, months.until)
), apart AS (
  SELECT months.basis, months.until, found.account_id, found.balance_minutes FROM months
  CROSS JOIN LATERAL ledger_out_of_step(months.campaign_id, months.until) AS found WHERE months.basis = 'effective'
)
SELECT 'statement', told.account_id::text, 'minutes ' || told.basis || ' before ' || told.until, told.minutes::text,
  (at.balance_minutes + coalesce(apart.balance_minutes, 0))::text
FROM told CROSS JOIN LATERAL ledger_account_at(told.account_id, told.until) AS at
LEFT JOIN apart ON (apart.basis, apart.account_id, apart.until) = (told.basis, told.account_id, told.until)
WHERE told.minutes IS DISTINCT FROM at.balance_minutes + coalesce(apart.balance_minutes, 0)
""",
)  # fmt: skip

# What a closing froze says which version of which account it saw. A report names its statements by their digests.
_SAID = "jsonb_to_recordset({text}::jsonb->'accounts') AS one(id uuid, version bigint, minutes bigint)"
FROZEN = Check(
    "frozen statements",
    _SIDES + """
, said AS (
  SELECT s.id, one.id AS account_id, one.version, one.minutes FROM closing_statement s
  CROSS JOIN """ + _SAID.format(text="s.content") + """
  WHERE s.territory = $1 AND s.id::text <> ALL($2::text[])
), digests AS (
  SELECT 'closing_report' AS name, campaign_id || '/' || number AS key, content, digest, true AS named
  FROM closing_report WHERE territory = $1
  UNION ALL
  SELECT 'closing_statement', s.id::text, s.content, s.digest, (r.content::jsonb->'statements' @> jsonb_build_array(
    jsonb_build_object('part', s.part, 'holder_id', s.holder_id, 'digest', s.digest))) IS TRUE
  FROM closing_statement s LEFT JOIN closing_report r ON (r.territory, r.campaign_id, r.number) = ($1, s.campaign_id, s.number)
    AND r.campaign_id || '/' || r.number <> ALL($2::text[])
  WHERE s.territory = $1
)
SELECT 'closing_statement', said.id::text, 'minutes of ' || said.account_id, coalesce(running.total, 0)::text, said.minutes::text
FROM said LEFT JOIN running ON running.account_id = said.account_id AND running.version = said.version
WHERE coalesce(running.total, 0) IS DISTINCT FROM said.minutes
UNION ALL
SELECT name, key, 'digest', encode(sha256(convert_to(content, 'UTF8')), 'hex'),
  digest || CASE WHEN named THEN '' ELSE ', which its report does not name' END
FROM digests WHERE NOT named OR digest <> encode(sha256(convert_to(content, 'UTF8')), 'hex')
""",
    (
        Documents(
            "closing_statement",
            "SELECT id::text, content FROM closing_statement WHERE territory = $1",
            f"SELECT count(*) FROM {_SAID.format(text='$1::text')}",
        ),
        Documents(
            "closing_report",
            "SELECT campaign_id || '/' || number, content FROM closing_report WHERE territory = $1",
            "SELECT $1::text::jsonb->'statements'",
        ),
    ),
)  # fmt: skip

SEALS = Check(
    "chain of seals",
    """
SELECT 'seal_block', number::text, wrong.name, wrong.expected, wrong.found FROM (
  SELECT number, first_sequence, previous_hash, row_number() OVER chain AS place, lag(hash) OVER chain AS hash_before,
    lag(first_sequence + row_count, 1, 1::bigint) OVER chain AS sequence
  FROM seal_block WHERE territory = $1 WINDOW chain AS (ORDER BY number)
) AS blocks
CROSS JOIN LATERAL (VALUES
  ('number', place::text, number::text), ('first_sequence', sequence::text, first_sequence::text),
  ('previous_hash', encode(coalesce(hash_before, decode(repeat('00', 32), 'hex')), 'hex'), encode(previous_hash, 'hex'))
) AS wrong(name, expected, found)
WHERE wrong.expected IS DISTINCT FROM wrong.found
""",
)  # fmt: skip


def make_history_check(table: str, *, key: str, left_out: tuple[str, ...] = ()) -> Check:
    """Current rows against the last version that was kept (and sealed) of each."""
    dropped = ", ".join(f"'{name}'" for name in ("territory", *left_out))
    return Check(
        f"history of {table}",
        f"""
WITH last AS (
  SELECT DISTINCT ON (row_key) row_key, facts FROM fact WHERE territory = $1 AND table_name = '{table}' ORDER BY row_key, id DESC
), pairs AS (
  SELECT coalesce(row_key, {key}::text) AS row_key, to_jsonb(jsonb_populate_record(NULL::{table}, facts)) AS told,
    to_jsonb(now_there) AS found
  FROM last FULL JOIN (SELECT * FROM {table} WHERE territory = $1) AS now_there ON {key}::text = row_key
)
SELECT '{table}', row_key, coalesce(one.key, 'row'), coalesce(told->>one.key, 'none'), coalesce(found->>one.key, 'none')
FROM pairs LEFT JOIN LATERAL jsonb_object_keys(coalesce(found, told)) AS one(key) ON one.key NOT IN ({dropped})
WHERE told->one.key IS DISTINCT FROM found->one.key
""",
    )


CHECKS = (
    BALANCES, ACCOUNTS, TIMES, BOUNDS, SUMS, FLOWS, KEYS, PARTS, HOLDS, LOTS, REASONS, RECEIPTS, STATEMENTS, MONTHS, FROZEN,
    SEALS,
    make_history_check("campaign", key="id"),
    make_history_check("panel", key="id"),
    make_history_check("pledge", key="id"),
    make_history_check("hold", key="mission_id"),
    make_history_check("account", key="id", left_out=("balance_minutes", "version", "moved_at")),
)  # fmt: skip
