"""Pins: pairs that a person decided, settled before anything is computed and taken off every limit."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from services.matching.engine.allocation.faults import InfeasiblePins
from services.matching.engine.allocation.model import NO_COMPANY, Exclusion, Ints, Pin, RoundInput
from services.matching.engine.allocation.problem import Pinned, Problem


def take_pins(problem: Problem, data: RoundInput) -> Problem:
    """The problem with pinned minutes taken off every limit they draw on."""
    if not data.pins:
        return problem
    _refuse_contradictions(data.pins, data.exclusions)
    pinned = tuple(sorted((_settle_pin(pin, problem, data) for pin in data.pins), key=lambda pin: (pin.need, pin.volunteer)))
    company, volunteer = problem.company_minutes.copy(), problem.volunteer_minutes.copy()
    need, credit = problem.need_minutes.copy(), problem.credit.copy()
    for pin in pinned:
        volunteer[pin.volunteer] -= pin.minutes
        need[pin.need] -= pin.minutes
        credit[problem.need_association[pin.need]] -= pin.minutes
        if problem.volunteer_company[pin.volunteer] != NO_COMPANY:
            company[problem.volunteer_company[pin.volunteer]] -= pin.minutes
    _refuse_overdrafts(problem, data, company=company, volunteer=volunteer, need=need, credit=credit)
    fixed = {(pin.need, pin.volunteer) for pin in pinned}
    pairs = zip(problem.pair_need.tolist(), problem.pair_volunteer.tolist(), strict=True)
    free = np.array([pair not in fixed for pair in pairs], dtype=bool)
    left = replace(
        problem.keep_pairs(free),
        company_minutes=company,
        volunteer_minutes=volunteer,
        need_minutes=need,
        credit=credit,
        credit_spent=problem.credit - credit,
        pinned=pinned,
    )
    return left.keep_pairs(left.pair_limit >= left.need_slice[left.pair_need])


def _settle_pin(pin: Pin, problem: Problem, data: RoundInput) -> Pinned:
    name = f"pin of need {pin.need_id} and volunteer {pin.volunteer_id}"
    need = _find(data.need_ids, problem.need_row, pin.need_id)
    volunteer = _find(data.volunteer_ids, problem.volunteer_row, pin.volunteer_id)
    at = np.flatnonzero((problem.pair_need == need) & (problem.pair_volunteer == volunteer))
    if not len(at):
        raise InfeasiblePins((f"{name}: this is no pair of the round that could be served; add it, or unpin it",))
    asked, least = int(problem.need_minutes[need]), int(problem.need_slice[need])
    minutes = asked if pin.minutes is None else pin.minutes
    if minutes < least:
        raise InfeasiblePins((f"{name}: {minutes} minutes, but the need takes no part below {least}",))
    return Pinned(need, volunteer, minutes, int(problem.pair_points[at[0]]))


def _find(ids: Sequence[str], rows: Ints, key: str) -> int:
    """The problem's row of an id, -1 where there is none."""
    try:
        found = np.flatnonzero(rows == list(ids).index(key))
    except ValueError:
        return -1
    return int(found[0]) if len(found) else -1


def _refuse_contradictions(pins: tuple[Pin, ...], exclusions: tuple[Exclusion, ...]) -> None:
    pinned = Counter((pin.need_id, pin.volunteer_id) for pin in pins)
    conflicts = [f"need {need} and volunteer {volunteer}: pinned twice" for (need, volunteer), n in pinned.items() if n > 1]
    both = sorted(set(pinned) & {(pair.need_id, pair.volunteer_id) for pair in exclusions})
    conflicts += [f"need {need} and volunteer {volunteer}: pinned and excluded; undo one of the two" for need, volunteer in both]
    if conflicts:
        raise InfeasiblePins(tuple(conflicts))


def _refuse_overdrafts(problem: Problem, data: RoundInput, **left: Ints) -> None:
    """`left`: minutes that pins leave, by table; below 0 the pins ask too much together."""
    ids = {
        "need": (np.asarray(data.need_ids, dtype=object)[problem.need_row], problem.need_minutes, "asks"),
        "volunteer": (np.asarray(data.volunteer_ids, dtype=object)[problem.volunteer_row], problem.volunteer_minutes, "has"),
        "credit": (np.asarray(data.association_ids, dtype=object)[problem.association_row], problem.credit, "has a credit of"),
        "company": (np.asarray(data.company_ids, dtype=object)[problem.company_row], problem.company_minutes, "has promised"),
    }
    conflicts = []
    for table in ("need", "volunteer", "credit", "company"):
        names, limits, verb = ids[table]
        label = "association" if table == "credit" else table
        for row in np.flatnonzero(left[table] < 0).tolist():
            pinned = int(limits[row] - left[table][row])
            conflicts.append(f"{label} {names[row]} {verb} {int(limits[row])} minutes, its pins take {pinned}")
    if conflicts:
        raise InfeasiblePins(tuple(conflicts))
