"""The exact optimum where needs take any part: a min-cost flow of minutes.

    source -> company -> volunteer -> need -> association -> sink        (volunteers of no company: from the source)

Each arc's capacity is what may pass (promised, free, asked, credit), each pair's cost the value of a minute of it.
Costs are integers made from integers, so the optimum is exact: `cost = -(value x scale + 1024 - draw)`, where scale is
above all that draws can add up to, so that draws decide between equal values only, and more minutes come first.

Solver: OR-Tools' SimpleMinCostFlow (cost-scaling push-relabel, Goldberg 1997; its result is a function of the arcs in
their order alone). `ortools.graph` has nothing else for this: its assignment solver takes one task a person, its max
flow no costs. Linear programming (HiGHS, GLOP) gives the same optimum some 20 to 100 times slower (bench.matching).
"""

from dataclasses import dataclass, field
from math import gcd

import numpy as np
import ortools
import scipy
from ortools.graph.python import min_cost_flow
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import reverse_cuthill_mckee

from services.matching.engine.allocation.canonical import DRAW_BITS
from services.matching.engine.allocation.faults import SolverFailed
from services.matching.engine.allocation.model import NO_COMPANY, Ints
from services.matching.engine.allocation.problem import Problem
from services.matching.engine.allocation.tiers import Tiers

SOLVER = f"OR-Tools {ortools.__version__} SimpleMinCostFlow, SciPy {scipy.__version__}"
DRAWS_PAIRS_LIMIT = 500_000  # above, draws only order the rows: telling all equals apart makes a flow half as slow again
_TOP = 1 << DRAW_BITS
_COST_LIMIT = 1 << 61


@dataclass(frozen=True)
class Flow:
    """`minutes` by pair; `value`: minutes x value of their pairs; `draws_decide`: between equals, as `canonical` says."""

    minutes: Ints
    value: int
    draws_decide: bool


@dataclass
class _Arcs:
    tails: list[Ints] = field(default_factory=list)
    heads: list[Ints] = field(default_factory=list)
    capacities: list[Ints] = field(default_factory=list)
    costs: list[Ints] = field(default_factory=list)

    def add(self, tail: Ints | int, head: Ints | int, capacity: Ints, cost: Ints | int = 0) -> None:
        shape = capacity.shape
        self.tails.append(np.broadcast_to(np.asarray(tail, dtype=np.int32), shape))
        self.heads.append(np.broadcast_to(np.asarray(head, dtype=np.int32), shape))
        self.capacities.append(capacity.astype(np.int64, copy=False))
        self.costs.append(np.broadcast_to(np.asarray(cost, dtype=np.int64), shape))


def solve_flow(problem: Problem, tiers: Tiers, values: Ints) -> Flow:
    """The allocation of the highest value and rewards. `values`: of a minute, by pair. Raises SolverFailed."""
    if not len(problem.pair_need):
        return Flow(np.zeros(0, dtype=np.int64), 0, True)
    scale = _choose_scale(problem, tiers, values)
    cost = -(values * scale + (_TOP - problem.pair_draw)) if scale > 1 else -values
    solver = min_cost_flow.SimpleMinCostFlow()
    arcs, source, sink = _lay_arcs(problem, tiers, cost, reward_cost=-tiers.reward * scale)
    number = _number_nodes(problem, nodes=sink + 1)
    for tail, head, capacity, unit in zip(arcs.tails, arcs.heads, arcs.capacities, arcs.costs, strict=True):
        solver.add_arcs_with_capacity_and_unit_cost(number[tail], number[head], capacity, unit)
    total = int(problem.need_minutes.sum())
    supply = np.zeros(sink + 1, dtype=np.int64)
    supply[source], supply[sink] = total, int(tiers.floor.sum()) - total
    supply[source - problem.association_count : source] = -tiers.floor
    solver.set_nodes_supplies(number, supply)
    del arcs, number, supply
    status = solver.solve()
    if status != solver.OPTIMAL:
        raise SolverFailed(f"{SOLVER} answered {status.name} to {len(values)} pairs; lower points or minutes, or report this")
    minutes = solver.flows(np.arange(len(values), dtype=np.int32)).astype(np.int64, copy=False)
    return Flow(minutes, int((minutes * values).sum()), scale > 1)


def _lay_arcs(problem: Problem, tiers: Tiers, cost: Ints, *, reward_cost: Ints) -> tuple[_Arcs, int, int]:
    """Pairs first, so that arc numbers are pair numbers. Nodes: volunteers, needs, companies, associations, ends."""
    need = len(problem.volunteer_minutes)
    company = need + problem.need_count
    association = company + len(problem.company_minutes)
    source = association + problem.association_count
    sink = source + 1
    hired = np.flatnonzero(problem.volunteer_company != NO_COMPANY)
    own = np.flatnonzero(problem.volunteer_company == NO_COMPANY)
    arcs = _Arcs()
    arcs.add(problem.pair_volunteer, need + problem.pair_need, problem.pair_limit, cost)
    arcs.add(source, company + np.arange(len(problem.company_minutes)), problem.company_minutes)
    arcs.add(source, own, problem.volunteer_minutes[own])
    arcs.add(company + problem.volunteer_company[hired], hired, problem.volunteer_minutes[hired])
    arcs.add(need + np.arange(problem.need_count), association + problem.need_association, problem.need_minutes)
    arcs.add(association + tiers.association, sink, tiers.minutes, reward_cost)
    arcs.add(source, sink, np.array([problem.need_minutes.sum()]))
    return arcs, source, sink


def _number_nodes(problem: Problem, *, nodes: int) -> Ints:
    """The solver's number of each node. In large rounds neighbours get numbers that are close to each other (reverse
    Cuthill-McKee), which saves an eighth of the time: less is fetched from memory."""
    number = np.arange(nodes, dtype=np.int32)
    volunteers, needs = len(problem.volunteer_minutes), problem.need_count
    if len(problem.pair_need) <= DRAWS_PAIRS_LIMIT:
        return number
    ones = np.ones(len(problem.pair_need), dtype=np.int8)
    links = csr_matrix((ones, (problem.pair_volunteer, volunteers + problem.pair_need)), shape=(volunteers + needs,) * 2)
    number[reverse_cuthill_mckee((links + links.T).tocsr(), symmetric_mode=True)] = np.arange(volunteers + needs)
    return number


def _choose_scale(problem: Problem, tiers: Tiers, values: Ints) -> int:
    """1 + all that draws can add up to, in units of the amounts' common divisor; 1 where that is too much or too slow."""
    if len(values) > DRAWS_PAIRS_LIMIT:
        return 1
    total = int(problem.need_minutes.sum())
    scale = total * _TOP // max(1, _common_divisor(problem, tiers)) + 1
    highest = (int(values.max()) + int(tiers.reward.max(initial=0))) * scale + _TOP
    nodes = len(problem.volunteer_minutes) + problem.need_count + len(problem.company_minutes) + problem.association_count + 2
    return scale if highest * max(total, nodes) < _COST_LIMIT else 1


def _common_divisor(problem: Problem, tiers: Tiers) -> int:
    amounts = (problem.need_minutes, problem.volunteer_minutes, problem.company_minutes, tiers.minutes, tiers.floor)
    return gcd(*(int(np.gcd.reduce(column)) for column in amounts if len(column)))
