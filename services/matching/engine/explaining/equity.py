"""Whose needs get a proposal: rates by size and by field of action of associations, with what chance alone may do to them.

**Size.** The registry knows no size of an association, so size is how many needs it opened in the period: one, two to four,
five or more. **Field**: as the registry has it; an association of several fields counts in each, one of none under « aucun ».
A rate is the share of the needs opened in the period for which a mission was proposed at any time since. Intervals are Wilson's
at 95 % (E. B. Wilson, JASA 22, 1927). A group of fewer than five needs is not shown, for its rate would tell of one association;
and where exactly one size class is hidden, the next smallest is hidden too, since the total would give it away.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from html import escape
from math import sqrt
from uuid import UUID

from services.matching.engine.explaining import markup
from services.matching.engine.sentences import write_hours, write_period

LEAST_NEEDS = 5  # of a group that is shown
_Z = 1.959963984540054  # two-sided 95 %
NO_FIELD = "aucun"
SIZES = (("1 besoin", 1, 1), ("2 à 4 besoins", 2, 4), ("5 besoins ou plus", 5, None))
METHOD = (
    "Taux : part des besoins ouverts dans la période pour lesquels une mission a été proposée.",
    "Taille : le registre ne connaît pas la taille des associations ; c'est ici le nombre de besoins qu'elles ont ouverts dans "
    "la période.",
    "Domaine : selon le registre ; une association de plusieurs domaines compte dans chacun.",
    "Intervalle : de Wilson, à 95 %. Deux intervalles qui se chevauchent largement ne montrent pas de différence.",
    f"Un groupe de moins de {LEAST_NEEDS} besoins n'est pas montré (et un second, si le total le ferait deviner).",
)


@dataclass(frozen=True)
class Observation:
    """A need that was opened: of which association and fields, whether a mission was proposed, and agreed."""

    association_id: UUID
    fields: tuple[str, ...]
    minutes: int
    proposed: bool
    agreed: bool


@dataclass(frozen=True)
class Group:
    """`low` and `high`: Wilson's interval of the rate, 0 to 1. Hidden groups have no figures at all."""

    name: str
    hidden: bool
    needs: int | None = None
    associations: int | None = None
    proposed: int | None = None
    agreed: int | None = None
    minutes: int | None = None
    rate: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Equity:
    since: date
    until: date
    all: Group
    sizes: tuple[Group, ...]
    fields: tuple[Group, ...]


def measure_equity(observations: Sequence[Observation], *, since: date, until: date) -> Equity:
    """The rates of a period, both days included."""
    number = Counter(one.association_id for one in observations)
    sizes: dict[str, list[Observation]] = {name: [] for name, _, _ in SIZES}
    fields: dict[str, list[Observation]] = defaultdict(list)
    for one in observations:
        sizes[_find_size(number[one.association_id])].append(one)
        for field in one.fields or (NO_FIELD,):
            fields[field].append(one)
    of_fields = (_measure(name, found) for name, found in sorted(fields.items()))
    return Equity(
        since, until, _measure("tous", observations), _hide_second([_measure(name, found) for name, found in sizes.items()]),
        tuple(of_fields),
    )  # fmt: skip


def measure_interval(successes: int, trials: int) -> tuple[float, float]:
    """Wilson's interval at 95 %; without trials anything is possible."""
    if trials == 0:
        return 0.0, 1.0
    share, z2 = successes / trials, _Z * _Z
    centre = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = _Z * sqrt(share * (1 - share) / trials + z2 / (4 * trials * trials)) / (1 + z2 / trials)
    return max(0.0, centre - half), min(1.0, centre + half)


def _find_size(needs: int) -> str:
    return next(name for name, least, most in SIZES if needs >= least and (most is None or needs <= most))


def _measure(name: str, found: Sequence[Observation]) -> Group:
    if 0 < len(found) < LEAST_NEEDS:
        return Group(name, hidden=True)
    proposed = sum(one.proposed for one in found)
    low, high = measure_interval(proposed, len(found))
    return Group(
        name,
        hidden=False,
        needs=len(found),
        associations=len({one.association_id for one in found}),
        proposed=proposed,
        agreed=sum(one.agreed for one in found),
        minutes=sum(one.minutes for one in found),
        rate=proposed / len(found) if found else None,
        low=low if found else None,
        high=high if found else None,
    )


def _hide_second(groups: Sequence[Group]) -> tuple[Group, ...]:
    """In a partition, one hidden group is the total less the others."""
    shown = [group for group in groups if not group.hidden and group.needs]
    if sum(group.hidden for group in groups) != 1 or not shown:
        return tuple(groups)
    second = min(shown, key=lambda group: group.needs or 0)
    return tuple(Group(group.name, hidden=True) if group is second else group for group in groups)


CSV_HEADER = ("decoupage", "groupe", "besoins", "associations", "proposes", "agrees", "minutes", "taux", "taux_bas", "taux_haut")


def list_rows(equity: Equity) -> Iterable[tuple[object, ...]]:
    """One row a group, as in `CSV_HEADER`; hidden figures are empty."""
    for kind, groups in (("total", (equity.all,)), ("taille", equity.sizes), ("domaine", equity.fields)):
        for one in groups:
            shares = (None if share is None else round(share, 4) for share in (one.rate, one.low, one.high))
            yield (kind, one.name, one.needs, one.associations, one.proposed, one.agreed, one.minutes, *shares)


def render_equity(equity: Equity, *, town: str) -> str:
    """Tables and bars as a page in French."""
    period = write_period(equity.since, equity.until)
    return markup.page(
        f"Qui reçoit des propositions — {town}",
        markup.paragraph(f"Besoins ouverts {period}. Tous ensemble : {_say(equity.all)}"),
        _render_groups("Par taille d'association", equity.sizes),
        _render_groups("Par domaine d'action", equity.fields),
        markup.section("Comment lire ces chiffres", markup.bullets(METHOD)),
    )


def _render_groups(title: str, groups: Sequence[Group]) -> str:
    rows = [_row(group) for group in groups]
    headers = ("Groupe", "Besoins", "Associations", "Proposés", "Agréés", "Heures demandées", "Taux", "Intervalle à 95 %")
    return markup.section(title, draw_bars(title, groups), markup.table(title, headers, rows))


def _row(group: Group) -> tuple[markup.Cell, ...]:
    if group.hidden:
        return (group.name, "non montré", None, None, None, None, None, None)
    hours = write_hours(group.minutes or 0)
    interval = f"{_percent(group.low)} à {_percent(group.high)}" if group.rate is not None else None
    rate = _percent(group.rate) if group.rate is not None else None
    return (group.name, group.needs, group.associations, group.proposed, group.agreed, hours, rate, interval)


def _say(group: Group) -> str:
    if group.hidden or group.rate is None:
        return "trop peu de besoins pour un taux."
    interval = f"{_percent(group.low)} à {_percent(group.high)}"
    return f"{group.proposed} proposés sur {group.needs}, soit {_percent(group.rate)} ({interval})."


def _percent(share: float | None) -> str:
    return "—" if share is None else f"{100 * share:.0f} %"


_LEFT, _WIDTH, _ROW = 220, 480, 34  # pixels of the drawing


def draw_bars(title: str, groups: Sequence[Group]) -> str:
    """A bar a group with the whisker of its interval; the table beside it has the same figures."""
    height = _ROW * len(groups) + 30
    marks = [
        f'<line x1="{_x(share)}" y1="0" x2="{_x(share)}" y2="{height - 24}" stroke="#6b6b6b" stroke-dasharray="2 4"/>'
        f'<text x="{_x(share)}" y="{height - 6}" text-anchor="middle">{_percent(share)}</text>'
        for share in (0.0, 0.25, 0.5, 0.75, 1.0)
    ]
    bars = "".join(_draw(group, number) for number, group in enumerate(groups))
    label = escape(f"{title} : taux de proposition et intervalle ; les mêmes chiffres sont dans le tableau")
    return (
        f'<svg viewBox="0 0 {_LEFT + _WIDTH + 40} {height}" role="img" aria-label="{label}" font-family="system-ui, sans-serif" '
        f'font-size="13" fill="#1b1b1b">{"".join(marks)}{bars}</svg>'
    )


def _draw(group: Group, number: int) -> str:
    y = number * _ROW + 6
    name = group.name if len(group.name) <= 30 else f"{group.name[:29]}…"
    text = f'<text x="{_LEFT - 8}" y="{y + 15}" text-anchor="end">{escape(name)}</text>'
    if group.hidden or group.rate is None or group.low is None or group.high is None:
        return f'{text}<text x="{_LEFT + 6}" y="{y + 15}">{"non montré" if group.hidden else "aucun besoin"}</text>'
    return (
        f'{text}<rect x="{_LEFT}" y="{y}" width="{_x(group.rate) - _LEFT:.1f}" height="20" fill="#0b4f8a"/>'
        f'<line x1="{_x(group.low)}" y1="{y + 10}" x2="{_x(group.high)}" y2="{y + 10}" stroke="#fff" stroke-width="5"/>'
        f'<line x1="{_x(group.low)}" y1="{y + 10}" x2="{_x(group.high)}" y2="{y + 10}" stroke="#b34700" stroke-width="2.5"/>'
    )


def _x(share: float) -> float:
    return round(_LEFT + _WIDTH * share, 1)
