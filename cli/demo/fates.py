"""What becomes of the demo's missions: mostly all goes well, and some of everything else. The same in every run."""

from collections.abc import Sequence, Set
from typing import Any

SERVED = "served"
SHORTER = "shorter"
DISPUTED = "disputed"
RUNNING = "running"
CANCELLED = "cancelled"
CANCELLED_RUNNING = "cancelled_running"
DECLINED_BY_ASSOCIATION = "declined_by_association"
DECLINED_BY_VOLUNTEER = "declined_by_volunteer"
DECLINED_BY_COMPANY = "declined_by_company"
TWO_SESSIONS_MINUTES = 180
DECLINES = frozenset({DECLINED_BY_ASSOCIATION, DECLINED_BY_VOLUNTEER, DECLINED_BY_COMPANY})

REASONS = {
    DECLINED_BY_ASSOCIATION: "Nous cherchons quelqu'un de disponible le samedi ; nous préférons attendre une autre proposition.",
    DECLINED_BY_VOLUNTEER: "Je suis en déplacement à ces dates et ne pourrai pas tenir mon engagement.",
    DECLINED_BY_COMPANY: "Pic d'activité ce mois-ci : nous ne pouvons pas libérer notre salarié sur ce créneau.",
    CANCELLED: "Le projet est reporté au printemps ; nous reviendrons vers vous.",
    CANCELLED_RUNNING: "Un empêchement de santé m'oblige à m'arrêter là ; ce qui est fait reste à votre disposition.",
    DISPUTED: "La seconde séance a duré une heure de moins que ce qui est indiqué.",
}
CORRECTION = "Relevé corrigé : la seconde séance s'est terminée une heure plus tôt."
POSTPONED = "Reporté au printemps : le besoin sera réécrit pour la prochaine campagne."

# Every n-th mission of the first round, by title; the rest are served as agreed.
_PATTERN = {
    2: SHORTER, 4: DECLINED_BY_VOLUNTEER, 6: DISPUTED, 9: DECLINED_BY_ASSOCIATION, 12: SHORTER, 14: CANCELLED,
    17: DECLINED_BY_COMPANY, 20: SHORTER, 23: CANCELLED_RUNNING, 26: DISPUTED, 29: DECLINED_BY_VOLUNTEER, 32: SHORTER,
    35: DECLINED_BY_ASSOCIATION, 38: RUNNING,
}  # fmt: skip


def choose(missions: Sequence[dict[str, Any]], *, unaffordable: Set[str]) -> dict[str, str]:
    """A fate for each need of the first round, by its id.

    A fate that needs a company, two sessions or enough credit waits for the next mission that has them; `unaffordable`
    are the needs that will be refused for want of credit.
    """
    waiting: list[str] = []
    fates = {}
    for number, mission in enumerate(sorted(missions, key=lambda mission: (mission["title"], mission["id"])), start=1):
        if number in _PATTERN:
            waiting.append(_PATTERN[number])
        suitable = [] if mission["need_id"] in unaffordable else [fate for fate in waiting if _suits(fate, mission)]
        if suitable:
            waiting.remove(suitable[0])
        fates[mission["need_id"]] = suitable[0] if suitable else SERVED
    return fates


def _suits(fate: str, mission: dict[str, Any]) -> bool:
    if fate == DECLINED_BY_COMPANY:
        return mission["company_id"] is not None
    return fate not in {SHORTER, DISPUTED} or mission["minutes"] >= TWO_SESSIONS_MINUTES
