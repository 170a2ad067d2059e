"""What matching owes the public and the town: its rules, whose needs it proposes for, and what people say to its proposals."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from typing import Any

from kernel.clock import LOCAL_ZONE, local_date
from kernel.errors import BadInput, NotFound
from kernel.work import Work
from services.matching.domain.missions import Criterion, Side
from services.matching.domain.states import Deed
from services.matching.domain.weights import WeightsVersion
from services.matching.engine.explaining.answers import Answers
from services.matching.engine.explaining.equity import Equity, Observation, measure_equity
from services.matching.engine.explaining.public_rules import describe_rules
from services.matching.engine.referential import load_referential
from services.matching.store.explaining import count_answers, count_proposals, find_territory_name, list_opened_needs
from services.matching.store.weights import get_weights, list_weights

MOST_DAYS = 3 * 366


async def read_rules(work: Work, *, contact: str) -> dict[str, Any]:
    """The rules as they run here. Raises NotFound for a territory that nobody has told of."""
    name = await find_territory_name(work)
    if name is None:
        raise NotFound(f"{work.territory} runs no scheme on this instance; check the INSEE code.")
    return describe_rules(
        territory=work.territory,
        name=name,
        in_force=await get_weights(work),
        referential=load_referential(),
        contact=contact,
        now=work.now,
    )


async def read_equity(work: Work, *, since: date | None, until: date | None) -> tuple[Equity, str]:
    """The rates of a period (the last year unless said), and the town's name."""
    last = until or local_date(work.now)
    first = since or last - timedelta(days=365)
    if not 0 <= (last - first).days <= MOST_DAYS:
        raise BadInput.at("query/since", f"must not be after `until` ({last}), nor more than three years before it")
    found = await list_opened_needs(work, since=_start(first), until=_start(last + timedelta(days=1)))
    observations = [Observation(one.association_id, one.fields, one.minutes, one.proposed, one.agreed) for one in found]
    return measure_equity(observations, since=first, until=last), await find_territory_name(work) or work.territory


def _start(day: date) -> datetime:
    return datetime.combine(day, time(), LOCAL_ZONE)


async def read_feedback(work: Work) -> list[Answers]:
    """By version of the weights, the newest first; last those of before weights had versions, if there are any."""
    proposals, versions = await count_proposals(work), await list_weights(work)
    counts: dict[int | None, dict[Deed, dict[str, Counter[str]]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(Counter)))
    for row in await count_answers(work):
        counts[row.weights_version][Deed(row.deed)][row.criterion or ""][row.side or ""] += row.answers
    known: list[tuple[int | None, WeightsVersion | None]] = [(version.version, version) for version in versions]
    if None in proposals:
        known.append((None, None))
    return [Answers(version, *proposals.get(key, (0, 0, 0)), _fill(counts[key])) for key, version in known]


def _fill(counts: Mapping[Deed, Mapping[str, Mapping[str, int]]]) -> dict[Deed, dict[str, dict[str, int]]]:
    """Every criterion and side, zero where nobody said it."""
    nobody: Mapping[str, int] = {}
    return {
        deed: {criterion: {side: found.get(criterion, nobody).get(side, 0) for side in Side} for criterion in (*Criterion, "")}
        for deed in (Deed.ACCEPT, Deed.DECLINE)
        for found in (counts.get(deed, {}),)
    }
