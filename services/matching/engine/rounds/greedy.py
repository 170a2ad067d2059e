"""What serving the best pairs first would give: the plain way, to compare a round with."""

from dataclasses import dataclass

from services.matching.engine.allocation.model import NO_COMPANY, RoundInput


@dataclass(frozen=True)
class Greedy:
    """`score`: minutes x points; `worst_fill`: served over target of the worst-served association that has a target and pairs."""

    score: int
    served_minutes: int
    worst_fill: float


def serve_greedily(data: RoundInput) -> Greedy:
    """Pins first, then the pairs of most points while minutes last on all four limits; equals in the order of their ids."""
    company, volunteer = data.company_minutes.tolist(), data.volunteer_minutes.tolist()
    credit, need = data.association_credit.tolist(), data.need_minutes.tolist()
    employer, owner, least = data.volunteer_company.tolist(), data.need_association.tolist(), data.need_slice.tolist()
    served = [0] * len(credit)
    pinned = {(pin.need_id, pin.volunteer_id) for pin in data.pins}
    excluded = {(pair.need_id, pair.volunteer_id) for pair in data.exclusions}
    score = 0
    pairs = zip(data.pair_need.tolist(), data.pair_volunteer.tolist(), data.pair_points.tolist(), strict=True)
    named = [(data.need_ids[n], data.volunteer_ids[v], n, v, points) for n, v, points in pairs]
    named.sort(key=lambda pair: ((pair[0], pair[1]) not in pinned, -pair[4], pair[0], pair[1]))
    for need_id, volunteer_id, n, v, points in named:
        if (need_id, volunteer_id) in excluded:
            continue
        hired = employer[v] != NO_COMPANY
        amount = min(need[n], volunteer[v], credit[owner[n]], company[employer[v]] if hired else need[n])
        if amount < min(least[n], need[n]) or amount <= 0:
            continue
        need[n] -= amount
        volunteer[v] -= amount
        credit[owner[n]] -= amount
        served[owner[n]] += amount
        if hired:
            company[employer[v]] -= amount
        score += amount * points
    reachable = {owner[n] for n in data.pair_need.tolist()}
    targets = data.association_target.tolist()
    fills = [served[asso] / targets[asso] for asso in reachable if targets[asso]]
    return Greedy(score, sum(served), min(fills, default=0.0))
