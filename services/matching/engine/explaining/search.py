"""The smallest change that would have served a need: searched, and proven by the gates themselves.

For each offer, every gate that blocks is lifted by the changes that `_LIFTERS` names for it, each no greater than this offer
asks for. What comes out smallest is applied and put before the gates again, free minutes included, so that no answer rests
on this search alone. First changes of one kind; only where none suffices, two kinds together.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import product
from typing import Any

from services.matching.domain.needs import Need
from services.matching.domain.offers import Candidate
from services.matching.domain.shared import Skill
from services.matching.domain.week import WHOLE_WEEK, days_mask, list_parts, week_mask
from services.matching.engine.comparison import find_key
from services.matching.engine.explaining.changes import (
    LEAST_MINUTES,
    MOST_DAYS,
    MOST_RADIUS_KM,
    Change,
    ChangeKind,
    apply,
    measure_cost,
)
from services.matching.engine.fit import Fit, assess
from services.matching.engine.gates import ObstacleKind
from services.matching.engine.places import PlaceKind
from services.matching.engine.surroundings import Surroundings

MOST_KINDS = 2
_DAYS_OF_A_WEEK = 7  # after so many days in a row, every part of the week has come
_K = ChangeKind
_NEVER = frozenset({ObstacleKind.OWN_ASSOCIATION, ObstacleKind.CONFLICT, ObstacleKind.TURNED_DOWN})
_DATES = ({_K.LONGER}, {_K.SHIFT})
_PLACE = ({_K.REMOTE}, {_K.OFFER_REMOTE}, {_K.REMOTE, _K.OFFER_REMOTE})
# What may lift a gate. Dates and the week go together: a longer need has other parts of the week, too.
_LIFTERS: Mapping[ObstacleKind, tuple[set[ChangeKind], ...]] = {
    ObstacleKind.SKILLS: ({_K.SKILL},),
    ObstacleKind.DATES: (*_DATES, {_K.LONGER, _K.WEEK}, {_K.SHIFT, _K.WEEK}),
    ObstacleKind.WEEK: (*_DATES, {_K.WEEK}, {_K.LONGER, _K.WEEK}, {_K.SHIFT, _K.WEEK}),
    ObstacleKind.DISTANCE: ({_K.RADIUS}, *_PLACE),
    ObstacleKind.MODE: _PLACE,
    ObstacleKind.LANGUAGE: ({_K.LANGUAGE},),
    ObstacleKind.MINUTES: ({_K.MINUTES},),
    ObstacleKind.PANEL: ({_K.PANEL},),
    ObstacleKind.SETTING: ({_K.SETTING},),
    ObstacleKind.MINORS: ({_K.MINORS},),
    ObstacleKind.CHARTER: ({_K.CHARTER},),
}


@dataclass(frozen=True)
class Cure:
    """Changes that make one offer fit. `before` is the gates' answer as it is, `after` with the changes applied."""

    changes: tuple[Change, ...]
    cost: int
    before: Fit
    after: Fit


@dataclass(frozen=True)
class Cures:
    """`offers` were looked at; `fitting` fit as it is. `blocked`: how many of the others each gate stops. `cures`: the smallest
    of each kind of change (of each two kinds where one does not suffice), the smallest of all first."""

    offers: int
    fitting: tuple[Fit, ...]
    cures: tuple[Cure, ...]
    blocked: Mapping[ObstacleKind, int]


@dataclass(frozen=True)
class _Idea:
    """Changes that should make an offer fit; the gates are still to be asked."""

    changes: tuple[Change, ...]
    cost: int
    fit: Fit

    @property
    def rank(self) -> tuple[Any, ...]:
        return (self.cost, [change.order for change in self.changes], self.fit.candidate.offer.id)


def find_cures(need: Need, candidates: Iterable[Candidate], surroundings: Surroundings) -> Cures:
    """What would have to change for a need to be served, over all these offers."""
    fits = [assess(need, candidate, surroundings) for candidate in candidates]
    blocked = Counter(obstacle for fit in fits for obstacle in fit.obstacles)
    fitting = tuple(sorted((fit for fit in fits if fit.fits), key=lambda fit: (-fit.score, fit.candidate.offer.id)))
    cures: list[Cure] = []
    for kinds in range(1, MOST_KINDS + 1):
        if fitting or cures:
            break
        ideas: dict[frozenset[ChangeKind], list[_Idea]] = defaultdict(list)
        for fit in fits:
            for idea in _list_ideas(fit, surroundings, kinds=kinds):
                ideas[frozenset(change.kind for change in idea.changes)].append(idea)
        proven = (_prove_first(found, surroundings) for found in ideas.values())
        cures = sorted((cure for cure in proven if cure), key=lambda cure: _Idea(cure.changes, cure.cost, cure.before).rank)
    return Cures(len(fits), fitting, tuple(cures), dict(blocked))


def find_cure(fit: Fit, surroundings: Surroundings) -> Cure | None:
    """The smallest change that makes this one offer fit; none where two kinds do not suffice, or nothing blocks."""
    for kinds in range(1, MOST_KINDS + 1):
        if (found := _prove_first(list(_list_ideas(fit, surroundings, kinds=kinds)), surroundings)) is not None:
            return found
    return None


def _prove_first(ideas: list[_Idea], surroundings: Surroundings) -> Cure | None:
    """The smallest idea that the gates let pass."""
    for idea in sorted(ideas, key=lambda idea: idea.rank):
        need, candidate, changed = idea.fit.need, idea.fit.candidate, surroundings
        for change in idea.changes:
            need, candidate, changed = apply(change, need, candidate, changed)
        after = assess(need, candidate, changed)
        if after.fits:
            return Cure(idea.changes, idea.cost, idea.fit, after)
    return None


def _list_ideas(fit: Fit, surroundings: Surroundings, *, kinds: int) -> Iterator[_Idea]:
    """For every set of exactly so many kinds that lifts all gates of this offer, the smallest measure of each."""
    # No kind lifts two gates that can block at once, so each gate asks for a kind of its own.
    if fit.fits or len(fit.obstacles) > kinds or _NEVER & set(fit.obstacles):
        return
    sets = {frozenset().union(*chosen) for chosen in product(*(_LIFTERS[obstacle] for obstacle in fit.obstacles))}
    for chosen in sets:
        # Longer and shifted is longer still.
        if len(chosen) != kinds or {_K.LONGER, _K.SHIFT} <= chosen:
            continue
        options = [_measure(kind, fit, surroundings, beside=chosen) for kind in sorted(chosen)]
        for changes in product(*options):
            if _K.WEEK in chosen and not _agree_on_week(changes, fit, surroundings.today):
                continue
            ordered = tuple(sorted(changes, key=lambda change: change.order))
            cost = sum(measure_cost(change, fit.need, fit.candidate) for change in ordered)
            yield _Idea(ordered, cost, fit)


def _measure(  # noqa: PLR0911 - a line or two a kind
    kind: ChangeKind, fit: Fit, surroundings: Surroundings, *, beside: frozenset[ChangeKind]
) -> list[Change]:
    """The smallest change of this kind that could lift what blocks this offer; several where one may be earlier or later."""
    asked, given = fit.need.facts, fit.candidate.offer.facts
    match kind:
        case ChangeKind.LONGER | ChangeKind.SHIFT:
            week = WHOLE_WEEK if _K.WEEK in beside else week_mask(asked.week)
            return [Change(kind, days=days) for days in _find_days(fit, surroundings.today, week & week_mask(given.week))]
        case ChangeKind.WEEK:
            if not asked.week:
                return []
            return [Change(kind, parts=(part,)) for part in list_parts(week_mask(given.week) & ~week_mask(asked.week))]
        case ChangeKind.RADIUS:
            kilometres = -(-fit.place.metres // 1000)
            reachable = fit.place.kind is PlaceKind.FAR and kilometres <= MOST_RADIUS_KM
            return [Change(kind, kilometres=kilometres)] if reachable else []
        case ChangeKind.REMOTE:
            return [] if asked.remote else [Change(kind)]
        case ChangeKind.OFFER_REMOTE:
            return [] if given.remote else [Change(kind)]
        case ChangeKind.MINUTES:
            free = fit.candidate.remaining_minutes
            return [Change(kind, minutes=free)] if LEAST_MINUTES <= free < asked.minutes else []
        case ChangeKind.LANGUAGE:
            missing = tuple(language for language in asked.languages if language not in given.languages)
            return [Change(kind, languages=missing)]
        case ChangeKind.SKILL:
            nearest = find_nearest_skill(fit)
            return [nearest] if nearest else []
        case _:
            return [Change(kind)]


def find_nearest_skill(fit: Fit) -> Change | None:
    """The offered skill that stands most nearly for a wanted one; else one of the same group; of equals the first by name."""
    referential = fit.referential
    wanted = [find_key(skill, referential) for skill in fit.need.facts.skills]
    groups = {known.parent for key in wanted if (known := referential.skills.get(key))}
    options = []
    for skill in fit.candidate.offer.facts.skills:
        key = find_key(skill, referential)
        percent = max((referential.near_percents.get(other, {}).get(key, 0) for other in wanted), default=0)
        known = referential.skills.get(key)
        if percent or (known and known.parent in groups):
            options.append(Change(_K.SKILL, skill=Skill(skill.label, 1, skill.code), percent=percent))
    return min(options, key=lambda change: (-change.percent, change.skill.label if change.skill else ""), default=None)


def _find_days(fit: Fit, today: date, week: int) -> list[int]:
    """How many days later, and how many earlier (below zero), the need would meet a day of the offer in these parts of the week.

    Longer or shifted by that much, its last (or first) day is that day; nothing begins in the past.
    """
    asked, given = fit.need.facts, fit.candidate.offer.facts
    found = []
    first = max(asked.ends_on + timedelta(days=1), given.available_from, today)
    last = min(given.available_until, asked.ends_on + timedelta(days=MOST_DAYS))
    if (day := _find_day(first, last, week, step=1)) is not None:
        found.append((day - asked.ends_on).days)
    first = min(asked.starts_on - timedelta(days=1), given.available_until)
    last = max(given.available_from, today, asked.starts_on - timedelta(days=MOST_DAYS))
    if (day := _find_day(first, last, week, step=-1)) is not None:
        found.append((day - asked.starts_on).days)
    return found


def _find_day(first: date, last: date, week: int, *, step: int) -> date | None:
    """From the first on, towards the last, the nearest day with one of these parts of the week."""
    for number in range(min(_DAYS_OF_A_WEEK, step * (last - first).days + 1)):
        day = first + timedelta(days=step * number)
        if days_mask(day, day) & week:
            return day
    return None


def _agree_on_week(changes: Iterable[Change], fit: Fit, today: date) -> bool:
    """Whether the part of the week that is added occurs in the days in common, changed as they are."""
    asked, given = fit.need.facts, fit.candidate.offer.facts
    first, last, mask = asked.starts_on, asked.ends_on, 0
    for change in changes:
        step = timedelta(days=change.days)
        shifted = change.kind is _K.SHIFT
        last = last + step if change.days > 0 or shifted else last
        first = first + step if change.days < 0 or shifted else first
        mask |= week_mask(change.parts) if change.parts else 0
    return bool(mask & days_mask(max(first, given.available_from, today), min(last, given.available_until)))
