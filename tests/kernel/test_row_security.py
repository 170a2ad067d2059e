"""One town's rows are hidden from every other by PostgreSQL itself (docs/adr/0004), and no table was forgotten."""

from collections.abc import Callable

import pytest

from cli.migrate import SERVICES
from kernel.auth import Caller
from kernel.database import Database
from kernel.work import open_work

# What serves all towns at once, and is read by no public route.
DEAD_LETTERS = "dead_letter"  # `metis deadletters` and the metric count and replay them for the whole installation
ERRANDS = "errand"  # ids and times only: one query finds what is due in any town
LIST_OF_TOWNS = "territory"  # the jobs learn from it which towns there are; the registry's own is bound like all else
OPEN_TO_ALL_TOWNS = {service: {DEAD_LETTERS} for service in SERVICES} | {"notifications": {DEAD_LETTERS, ERRANDS, LIST_OF_TOWNS}}

# Policies add up, so one that forgot the territory would open its table. Those for the owner alone are matching's: its search
# functions run as the owner and name the territory themselves.
TABLES_WITH_A_TERRITORY = """
SELECT c.relname AS name, c.relrowsecurity AND c.relforcerowsecurity AND (
  SELECT coalesce(bool_and(pg_get_expr(p.polqual, c.oid) LIKE '%metis.territory%'
    AND pg_get_expr(coalesce(p.polwithcheck, p.polqual), c.oid) LIKE '%metis.territory%'), false)
  FROM pg_policy p WHERE p.polrelid = c.oid AND p.polpermissive AND p.polroles <> ARRAY[c.relowner]
) AS is_secured
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'territory' AND NOT a.attisdropped
WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace
"""


@pytest.mark.parametrize("service", SERVICES)
async def test_every_table_with_a_territory_is_secured(make_database: Callable[[str], Database], service: str) -> None:
    async with open_work(make_database(service), Caller.system("92071")) as work:
        secured = {row["name"]: row["is_secured"] for row in await work.driver.fetch(TABLES_WITH_A_TERRITORY)}
    assert secured["idempotency_key"]
    assert {name for name in secured if not secured[name]} == OPEN_TO_ALL_TOWNS[service]
