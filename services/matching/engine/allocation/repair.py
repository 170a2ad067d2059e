"""Large rounds with slots: the flow's optimum, made whole.

The flow tells how minutes would be spent if needs could be cut; its value bounds every choice of slots. Repair keeps what
is whole already, then gives each cut need to one volunteer who has room (who carried most of it first), and improves:
a need moves to a better pair with room, and an unserved need may push one or two weaker ones aside if they find another place
or are worth less together. Every step raises the objective, so it ends; steps go in canonical order, so it is replayable.
"""

from collections.abc import Callable

import numpy as np

from services.matching.engine.allocation.flow import solve_flow
from services.matching.engine.allocation.model import Ints
from services.matching.engine.allocation.problem import Problem
from services.matching.engine.allocation.seats import NOBODY, Seats
from services.matching.engine.allocation.tiers import Tiers


def make_whole(
    problem: Problem,
    tiers: Tiers,
    values: Ints,
    minutes: Ints,
    *,
    passes: int,
    on_pass: Callable[[int], None] = lambda _: None,
) -> Ints:
    """Minutes by pair in which no part is smaller than its need allows (most often: the whole need). `minutes`: the flow's."""
    parts = _keep_parts(problem, minutes)
    seats = Seats(problem, tiers, values, parts)
    _seat_flow(seats, minutes)
    for number in range(passes):
        on_pass(number)
        changed = _serve_unserved(seats) + _improve_served(seats)
        if not changed:
            break
    result = parts
    taken = np.array([option for option in seats.seat if option != NOBODY], dtype=np.int64)
    if len(taken):
        chosen = seats.pair[taken]
        result[chosen] = problem.need_minutes[problem.pair_need[chosen]]
    return result


def fit_parts(problem: Problem, tiers: Tiers, values: Ints, minutes: Ints, *, most_flows: int = 4) -> Ints:
    """The flow again without the pairs whose parts came out too small for needs that can be cut, a few times over."""
    least = problem.need_slice[problem.pair_need]
    cut = (problem.need_slice < problem.need_minutes)[problem.pair_need]
    kept = np.ones(len(values), dtype=bool)
    for _ in range(most_flows):
        small = cut & (minutes > 0) & (minutes < least)
        if not small.any():
            break
        kept &= ~small
        minutes = np.zeros(len(values), dtype=np.int64)
        minutes[kept] = solve_flow(problem.keep_pairs(kept), tiers, values[kept]).minutes
    return minutes


def _keep_parts(problem: Problem, minutes: Ints) -> Ints:
    """The flow's parts of needs that can be cut, without those that are smaller than the need's smallest part."""
    least = problem.need_slice[problem.pair_need]
    cut = (problem.need_slice < problem.need_minutes)[problem.pair_need]
    return np.where(cut & (minutes >= least), minutes, 0)


def _seat_flow(seats: Seats, minutes: Ints) -> None:
    """Whole needs first, then the others by the share that one volunteer carried."""
    carried = minutes[seats.pair].tolist()
    best: dict[int, tuple[float, int]] = {}
    for option, amount in enumerate(carried):
        if amount > 0:
            need = seats.need[option]
            best[need] = max(best.get(need, (0.0, NOBODY)), (amount / seats.minutes[need], option))
    for need, (_, option) in sorted(best.items(), key=lambda item: (-item[1][0], item[0])):
        carriers = sorted((o for o in seats.options[need] if carried[o] > 0), key=lambda o: (o != option, -carried[o]))
        chosen = next((o for o in carriers if seats.has_room(o)), NOBODY)
        if chosen == NOBODY:
            chosen = seats.find_best(need)
        if chosen != NOBODY:
            seats.take(chosen)


def _serve_unserved(seats: Seats) -> int:
    changed = 0
    waiting = [need for need, option in enumerate(seats.seat) if option == NOBODY and seats.options[need]]
    waiting.sort(key=lambda need: -seats.value[seats.options[need][0]] * seats.minutes[need])
    for need in waiting:
        best = seats.find_best(need)
        if best != NOBODY:
            seats.take(best)
            changed += 1
        else:
            changed += any(_push_aside(seats, option) for option in seats.options[need])
    return changed


def _improve_served(seats: Seats) -> int:
    """Move served needs to better pairs that have room."""
    changed = 0
    for need, option in enumerate(list(seats.seat)):
        if option == NOBODY or seats.options[need][0] == option:
            continue
        seats.leave(need)
        best = seats.find_best(need)
        better = best if seats.value[best] > seats.value[option] else option
        seats.take(better)
        changed += better != option
    return changed


def _push_aside(seats: Seats, option: int) -> bool:
    """Serve `option` by moving guests of its volunteer elsewhere, or dropping them, if the objective rises."""
    volunteer, need = seats.volunteer[option], seats.need[option]
    short = seats.minutes[need] - seats.free[volunteer]
    for guests in _choose_guests(seats, seats.guests[volunteer], short):
        before = [seats.seat[guest] for guest in guests]
        balance = -sum([seats.leave(guest) for guest in guests])
        if seats.has_room(option):
            balance += seats.take(option)
            moved = []
            for guest in guests:
                place = seats.find_best(guest)
                if place != NOBODY:
                    balance += seats.take(place)
                    moved.append(guest)
            if balance > 0:
                return True
            for guest in [*moved, need]:
                seats.leave(guest)
        for old in before:
            seats.take(old)
    return False


def _choose_guests(seats: Seats, guests: list[int], short: int) -> list[tuple[int, ...]]:
    """One guest, or two, whose minutes make room; the fewest minutes first, at most eight tries."""
    ones: list[tuple[int, ...]] = [(guest,) for guest in guests if seats.minutes[guest] >= short]
    some = guests[:6]
    twos: list[tuple[int, ...]] = [
        (a, b) for n, a in enumerate(some) for b in some[n + 1 :] if seats.minutes[a] + seats.minutes[b] >= short
    ]
    return sorted(ones + twos, key=lambda chosen: sum(seats.minutes[guest] for guest in chosen))[:8]
