"""Who serves which need whole, and what that leaves of every limit: the state that repair changes step by step."""

from collections import defaultdict

import numpy as np

from services.matching.engine.allocation.model import NO_COMPANY, Ints
from services.matching.engine.allocation.problem import Problem
from services.matching.engine.allocation.tiers import Tiers
from services.matching.engine.allocation.use import measure_use

NOBODY = -1


class Seats:
    """Who serves which need whole, and what that leaves of every limit. Plain lists: they are read one by one."""

    def __init__(self, problem: Problem, tiers: Tiers, values: Ints, parts: Ints) -> None:
        """`parts`: minutes by pair already given to needs that can be cut; their pairs are no options here."""
        cut = problem.need_slice < problem.need_minutes
        whole = np.flatnonzero((problem.pair_limit >= problem.need_minutes[problem.pair_need]) & ~cut[problem.pair_need])
        self.pair = whole
        self.need: list[int] = problem.pair_need[whole].tolist()
        self.volunteer: list[int] = problem.pair_volunteer[whole].tolist()
        self.value: list[int] = values[whole].tolist()
        self.minutes: list[int] = problem.need_minutes.tolist()
        self.association: list[int] = problem.need_association.tolist()
        self.company: list[int] = problem.volunteer_company.tolist()
        taken = measure_use(problem, parts)
        self.free: list[int] = (problem.volunteer_minutes - taken.volunteer).tolist()
        self.company_free: list[int] = (problem.company_minutes - taken.company).tolist()
        self.credit_free: list[int] = (problem.credit - taken.association).tolist()
        self.seat = [NOBODY] * problem.need_count  # the option that serves each need
        self.options: list[list[int]] = [[] for _ in range(problem.need_count)]
        for option, need in enumerate(self.need):
            self.options[need].append(option)
        for options in self.options:
            options.sort(key=lambda option: -self.value[option])
        self.guests: dict[int, list[int]] = defaultdict(list)  # needs that each volunteer serves
        self.served: list[int] = taken.association.tolist()
        self.steps: list[list[tuple[int, int]]] = [[] for _ in range(problem.association_count)]
        order = np.lexsort((-tiers.reward, tiers.association))
        for row in order.tolist():
            self.steps[int(tiers.association[row])].append((int(tiers.minutes[row]), int(tiers.reward[row])))

    def reward(self, association: int, start: int, minutes: int) -> int:
        """The rewards of `minutes` more for an association that has `start`."""
        total, left, position = 0, minutes, start
        for width, rate in self.steps[association]:
            if position >= width:
                position -= width
                continue
            taken = min(left, width - position)
            total += taken * rate
            left -= taken
            position = 0
            if not left:
                break
        return total

    def has_room(self, option: int) -> bool:
        need, volunteer = self.need[option], self.volunteer[option]
        minutes, company = self.minutes[need], self.company[volunteer]
        return (
            self.free[volunteer] >= minutes
            and (company == NO_COMPANY or self.company_free[company] >= minutes)
            and self.credit_free[self.association[need]] >= minutes
        )

    def take(self, option: int) -> int:
        """Seat a need; returns what the objective gains."""
        gained = self.gain(option)
        self.seat[self.need[option]] = option
        self.guests[self.volunteer[option]].append(self.need[option])
        self._move(option, 1)
        return gained

    def leave(self, need: int) -> int:
        """Free a need's seat; returns what the objective loses."""
        option = self.seat[need]
        self.seat[need] = NOBODY
        self.guests[self.volunteer[option]].remove(need)
        self._move(option, -1)
        return self.gain(option)

    def _move(self, option: int, sign: int) -> None:
        need, volunteer = self.need[option], self.volunteer[option]
        minutes = sign * self.minutes[need]
        self.free[volunteer] -= minutes
        self.credit_free[self.association[need]] -= minutes
        self.served[self.association[need]] += minutes
        if self.company[volunteer] != NO_COMPANY:
            self.company_free[self.company[volunteer]] -= minutes

    def gain(self, option: int) -> int:
        """What serving this need by this option adds now."""
        need = self.need[option]
        association, minutes = self.association[need], self.minutes[need]
        return self.value[option] * minutes + self.reward(association, self.served[association], minutes)

    def find_best(self, need: int) -> int:
        """The best option with room, or -1; options are sorted by value."""
        return next((option for option in self.options[need] if self.has_room(option)), NOBODY)
