"""How much each criterion of the score counts: the territory's own choice, within bounds, versioned.

The defaults (domain/weights.py) and the bounds below are the software's; a territory's versions are rows that are never
changed (store/weights.py).
"""

from dataclasses import fields

from kernel.errors import BadInput, FieldError
from services.matching.domain.weights import DEFAULT_WEIGHTS, Weights

__all__ = [
    "ADDED_UP", "AVAILABILITY", "BOUNDS", "CONTINUITY", "CRITERIA", "DEFAULT_WEIGHTS", "DISTANCE", "MINUTES", "NEAR",
    "NEWCOMER", "SKILLS", "TOTAL_POINTS", "UNMET", "Weights", "check_weights",
]  # fmt: skip

TOTAL_POINTS = 100

# The criteria, in the order in which they are shown.
SKILLS, NEAR, DISTANCE, AVAILABILITY = "skills", "near", "distance", "availability"
MINUTES, CONTINUITY, NEWCOMER, UNMET = "minutes", "continuity", "newcomer", "unmet"
CRITERIA = (SKILLS, NEAR, DISTANCE, AVAILABILITY, MINUTES, CONTINUITY, NEWCOMER, UNMET)
# Near skills stand in for missing ones: their points come instead of those for skills, never on top.
ADDED_UP = tuple(name for name in CRITERIA if name != NEAR)


# Least and greatest, both allowed. What a person can do stays the most important.
BOUNDS: dict[str, tuple[int, int]] = {
    SKILLS: (30, 90),
    NEAR: (0, 90),
    DISTANCE: (0, 40),
    AVAILABILITY: (0, 40),
    MINUTES: (0, 20),
    CONTINUITY: (0, 20),
    NEWCOMER: (0, 20),
    UNMET: (0, 30),
    "far_km": (1, 500),
    "remote_percent": (0, 100),
    "near_from_percent": (10, 100),
    "continuity_missions": (1, 10),
    "newcomer_missions": (1, 20),
}


def check_weights(weights: Weights) -> None:
    """Within their bounds, and the maxima that add up make 100 points. Raises BadInput naming every faulty field."""
    faults = []
    for field in fields(weights):
        (least, greatest), value = BOUNDS[field.name], getattr(weights, field.name)
        if not least <= value <= greatest:
            faults.append(FieldError(f"/{field.name}", f"must lie between {least} and {greatest}, not {value}"))
    if weights.near > weights.skills:
        faults.append(
            FieldError("/near", f"must not exceed skills ({weights.skills}): a near skill never beats the skill itself")
        )
    total = sum(weights.of(name) for name in ADDED_UP)
    if total != TOTAL_POINTS:
        over = "too many; lower" if total > TOTAL_POINTS else "too few; raise"
        what = f"{', '.join(ADDED_UP)} add up to {total}, {abs(total - TOTAL_POINTS)} {over} one of them, so that they make 100"
        faults.append(FieldError(f"/{SKILLS}", what))
    if faults:
        raise BadInput("; ".join(f"{fault.pointer}: {fault.detail}" for fault in faults), fields=faults)
