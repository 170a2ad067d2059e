"""The exact leximin of associations' fills: nobody's can be raised without lowering one that is not higher.

What associations can be served together, whatever the points, is a polymatroid (all that can flow from one source to
their sinks), so the leximin vector is unique and found by splitting (Megiddo 1974; Fujishige 1980): give all associations
of a block the one level that would use up exactly what can flow to the block. If that flows, the block is done; if not,
a minimum cut parts those who cannot reach the level from those who can do better, and both parts go on alone. Blocks
share no capacity any more, so one max flow serves all of them at once: a few max flows, not one an association.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from ortools.graph.python import max_flow

from services.matching.engine.allocation.faults import SolverFailed
from services.matching.engine.allocation.model import NO_COMPANY, Ints
from services.matching.engine.allocation.problem import Problem

SCALE = 1_000  # max flows count thousandths of a minute
MOST_ROUNDS = 500
CLOSED = 0  # the number of all blocks that are done


@dataclass(frozen=True)
class Leximin:
    """Unpinned minutes of each association: at least `floor`, all of them together, and at most `ceiling` in the exact
    leximin, whose fractions lie between the two. `worst_fill`: of reachable associations. `max_flows`: how many it took."""

    floor: Ints
    ceiling: Ints
    worst_fill: float
    max_flows: int


@dataclass
class _Network:
    """Arcs between nodes. `entering`, `owed`: from the source into, and to the sink out of, each node, whoever is served.

    `block` of each node; `room`: what can flow to the associations of each open block. `exits`: associations' nodes.
    """

    tail: Ints
    head: Ints
    capacity: Ints
    entering: Ints
    owed: Ints
    block: Ints
    room: dict[int, int]
    exits: Ints


@dataclass(frozen=True)
class _MaxFlow:
    """`reached`: of each association's demand; `unpaid`: of what each node owes; `above`: on the source's side of the cut."""

    reached: Ints
    unpaid: Ints
    above: Ints


def solve_leximin(problem: Problem, *, on_round: Callable[[int], None] = lambda _: None) -> Leximin:
    """The leximin of (pinned + served) / target; associations without a target are left out (0 minutes)."""
    wants = (problem.target > 0) & (problem.credit > 0)
    network = _open_network(problem, wants)
    demand = np.zeros(problem.association_count, dtype=np.int64)
    for number in range(1, MOST_ROUNDS):
        on_round(number)
        _split_once(network, demand, wants, problem)
        if not network.room:
            return _settle(problem, demand, wants, number + 2)
    raise SolverFailed(f"leximin took more than {MOST_ROUNDS} max flows; use a slider below 1")


def find_best_worst_fill(problem: Problem, *, on_round: Callable[[int], None] = lambda _: None) -> float:
    """The highest fill that all reachable associations can have at once: leximin's first level, in three or four max flows."""
    measured = (problem.target > 0) & is_reachable(problem)
    wants = measured & (problem.credit > 0)
    network = _open_network(problem, wants)
    demand = np.zeros(problem.association_count, dtype=np.int64)
    lowest = wants
    for number in range(1, MOST_ROUNDS):
        on_round(number)
        lowest = wants & np.isin(network.block[network.exits], list(network.room))
        known = max(network.room)
        _split_once(network, demand, wants, problem)
        network.room = {block: room for block, room in network.room.items() if block > known}
        network.block[~np.isin(network.block, list(network.room))] = CLOSED
        if not network.room:
            break
    fixed = measured & ~wants
    return _lowest_fill(problem, demand, lowest | fixed)


def _lowest_fill(problem: Problem, demand: Ints, measured: Ints) -> float:
    fills = (demand / SCALE + problem.credit_spent)[measured] / problem.target[measured]
    return float(fills.min()) if len(fills) else 0.0


def is_reachable(problem: Problem) -> Ints:
    """By association: has it something pinned, or a volunteer who fits one of its needs?"""
    reachable = problem.credit_spent > 0
    reachable[problem.need_association[problem.pair_need]] = True
    return reachable


def _open_network(problem: Problem, wants: Ints) -> _Network:
    """All in one block, with what can flow to it."""
    network = _build_network(problem)
    network.room = {CLOSED + 1: int(_solve(network, np.where(wants, problem.credit * SCALE, 0)).reached.sum())}
    return network


def _split_once(network: _Network, demand: Ints, wants: Ints, problem: Problem) -> None:
    """One level for each open block, written into `demand`; then close what flows and split what does not."""
    blocks = network.block[network.exits]
    for block, room in network.room.items():
        _share_room(demand, np.flatnonzero(wants & (blocks == block)), room, problem)
    _split_blocks(network, _solve(network, demand), demand, wants)


def _build_network(problem: Problem) -> _Network:
    need = len(problem.volunteer_minutes)
    company = need + problem.need_count
    association = company + len(problem.company_minutes)
    exits = association + problem.association_count + np.arange(problem.association_count)
    hired = np.flatnonzero(problem.volunteer_company != NO_COMPANY)
    own = np.flatnonzero(problem.volunteer_company == NO_COMPANY)
    nodes = association + 2 * problem.association_count
    parts = [
        (problem.pair_volunteer, need + problem.pair_need, problem.pair_limit),
        (company + problem.volunteer_company[hired], hired, problem.volunteer_minutes[hired]),
        (need + np.arange(problem.need_count), association + problem.need_association, problem.need_minutes),
        (exits - problem.association_count, exits, problem.credit),
    ]
    tail, head, capacity = (np.concatenate(column).astype(np.int64) for column in zip(*parts, strict=True))
    entering = np.zeros(nodes, dtype=np.int64)
    entering[own] = problem.volunteer_minutes[own]
    entering[company + np.arange(len(problem.company_minutes))] = problem.company_minutes
    nothing = np.zeros(nodes, dtype=np.int64)
    return _Network(tail, head, capacity * SCALE, entering * SCALE, nothing, nothing + CLOSED + 1, {CLOSED + 1: 0}, exits)


def _solve(network: _Network, demand: Ints) -> _MaxFlow:
    """What of `demand` by association (and of what is owed) can flow, in open blocks only."""
    nodes = len(network.entering)
    source, sink = nodes, nodes + 1
    is_open = np.isin(network.block, list(network.room))
    inner = np.flatnonzero(is_open[network.tail])
    enter = np.flatnonzero(is_open & (network.entering > 0))
    owing = np.flatnonzero(is_open & (network.owed > 0))
    leaving = np.flatnonzero(is_open[network.exits] & (demand > 0))
    solver = max_flow.SimpleMaxFlow()
    solver.add_arcs_with_capacity(network.tail[inner], network.head[inner], network.capacity[inner])
    solver.add_arcs_with_capacity(np.full(len(enter), source), enter, network.entering[enter])
    first = len(inner) + len(enter)
    solver.add_arcs_with_capacity(owing, np.full(len(owing), sink), network.owed[owing])
    solver.add_arcs_with_capacity(network.exits[leaving], np.full(len(leaving), sink), demand[leaving])
    above = np.zeros(nodes + 2, dtype=bool)
    reached, unpaid = np.zeros_like(demand), np.where(is_open, network.owed, 0)
    if len(leaving) and len(enter):
        status = solver.solve(source, sink)
        if status != solver.OPTIMAL:
            raise SolverFailed(f"OR-Tools SimpleMaxFlow answered {status.name}; report this with the round's digest")
        flows = np.asarray(solver.flows(np.arange(first, first + len(owing) + len(leaving))), dtype=np.int64)
        unpaid[owing] -= flows[: len(owing)]
        reached[leaving] = flows[len(owing) :]
        above[np.asarray(solver.get_source_side_min_cut(), dtype=np.int64)] = True
    return _MaxFlow(reached, unpaid, above[:nodes])


def _share_room(demand: Ints, members: Ints, room: int, problem: Problem) -> None:
    """Write the level that uses up a block's room into `demand`: equal fills, nobody below what is pinned (Python's
    integers: products outgrow 64 bits)."""
    target, spent = problem.target.tolist(), problem.credit_spent.tolist()
    demand[members] = 0
    sharing = members.tolist()
    while sharing:
        total = sum(target[row] for row in sharing)
        filled = room + SCALE * sum(spent[row] for row in sharing)
        level = {row: filled * target[row] // total - SCALE * spent[row] for row in sharing}
        if min(level.values()) >= 0:
            demand[sharing] = list(level.values())
            return
        sharing = [row for row in sharing if level[row] >= 0]


def _split_blocks(network: _Network, solved: _MaxFlow, demand: Ints, wants: Ints) -> None:
    """Close the blocks whose demand flows; cut the others in two at the minimum cut, each with its own room."""
    count = max(network.room) + 1
    blocks = network.block[network.exits]
    short = np.bincount(network.block, solved.unpaid, count) + np.bincount(blocks, demand - solved.reached, count)
    members = np.bincount(blocks[wants], minlength=count)
    low = np.bincount(blocks[wants & ~solved.above[network.exits]], minlength=count)
    halves = {block for block in network.room if short[block] > members[block] and 0 < low[block] < members[block]}
    crossing = network.block[network.tail] == network.block[network.head]
    crossing &= np.isin(network.block[network.tail], list(halves))
    down = crossing & solved.above[network.tail] & ~solved.above[network.head]
    up = crossing & ~solved.above[network.tail] & solved.above[network.head]
    np.add.at(network.entering, network.head[down], network.capacity[down])
    np.add.at(network.owed, network.tail[down], network.capacity[down])
    kept = ~(down | up)
    network.tail, network.head, network.capacity = network.tail[kept], network.head[kept], network.capacity[kept]
    room: dict[int, int] = {}
    for block in sorted(halves):
        under = (network.block == block) & ~solved.above
        fresh, count = count, count + 1
        room[fresh] = int(network.entering[under].sum()) - int(network.owed[under].sum())
        room[block] = network.room[block] - room[fresh]
        network.block[under] = fresh
    network.block[~np.isin(network.block, list(room))] = CLOSED
    network.room = room


def _settle(problem: Problem, demand: Ints, wants: Ints, max_flows: int) -> Leximin:
    """Whole minutes out of thousandths: floors that certainly flow together, checked once more on the whole network."""
    ceiling = np.minimum(-(-demand // SCALE), problem.credit)
    floor = _solve(_build_network(problem), demand // SCALE * SCALE).reached // SCALE
    measured = (problem.target > 0) & is_reachable(problem)
    return Leximin(floor, np.maximum(ceiling, floor), _lowest_fill(problem, demand, measured), max_flows)
