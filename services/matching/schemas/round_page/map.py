"""Who serves where: communes at their centres, in their real proportions, with a line for the missions between two.

No map service is asked: positions are those of the communes' centres, so that nobody's home can be read from it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import cos, radians, sqrt

from services.matching.domain.shared import Commune
from services.matching.schemas.round_page.html import escape
from services.matching.schemas.round_page.plots import DARK, ORANGE

KM_PER_DEGREE = 111.195  # of latitude, on the mean sphere
_WIDTH, _MARGIN, _LEAST_KM = 720, 60, 4.0


@dataclass(frozen=True)
class Journey:
    """One proposed mission between two communes (INSEE codes); none: it is done at a distance only."""

    volunteer_commune: str | None
    need_commune: str | None


@dataclass(frozen=True)
class _Frame:
    """From degrees to the picture: one scale for both axes."""

    west: float
    north: float
    km_per_longitude: float
    pixels_per_km: float
    height: float

    def place(self, commune: Commune) -> tuple[float, float]:
        x = _MARGIN + (commune.longitude - self.west) * self.km_per_longitude * self.pixels_per_km
        y = _MARGIN + (self.north - commune.latitude) * KM_PER_DEGREE * self.pixels_per_km
        return x, y


def draw_map(
    journeys: Iterable[Journey], unserved: Iterable[str | None], communes: Mapping[str, Commune], *, title: str, name: str
) -> str:
    """An SVG; empty where no commune's place is known. `unserved`: the communes of needs that nobody serves."""
    travelled = list(journeys)
    served = Counter(one.need_commune for one in travelled if one.need_commune in communes)
    homes = Counter(one.volunteer_commune for one in travelled if one.volunteer_commune in communes)
    waiting = Counter(commune for commune in unserved if commune in communes)
    places = {insee: communes[insee] for insee in sorted(filter(None, {*served, *homes, *waiting}))}
    if not places:
        return ""
    frame = _make_frame(list(places.values()))
    lines = Counter((one.volunteer_commune, one.need_commune) for one in travelled)
    drawn = "".join(
        _draw_line(frame, places[one], places[other], count)
        for (one, other), count in sorted(lines.items(), key=str)
        if one in places and other in places and one != other
    )
    drawn += "".join(
        _draw_commune(frame, place, served=served[insee], waiting=waiting[insee], homes=homes[insee])
        for insee, place in places.items()
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {frame.height:.0f}" role="img"'
        f' aria-labelledby="{name}-title" font-family="system-ui,sans-serif" font-size="12">'
        f'<title id="{name}-title">{escape(title)}</title><rect width="100%" height="100%" fill="#f7f7f4"/>'
        f"{drawn}{_draw_scale(frame)}{_draw_key(frame)}</svg>"
    )


def _make_frame(places: list[Commune]) -> _Frame:
    south, north = min(one.latitude for one in places), max(one.latitude for one in places)
    west, east = min(one.longitude for one in places), max(one.longitude for one in places)
    km_per_longitude = KM_PER_DEGREE * cos(radians((south + north) / 2))
    wide, high = (east - west) * km_per_longitude, (north - south) * KM_PER_DEGREE
    room = _WIDTH - 2 * _MARGIN
    pixels_per_km = room / max(wide, high, _LEAST_KM)
    # What is narrower than the picture stands in its middle.
    west -= (room / pixels_per_km - wide) / 2 / km_per_longitude
    return _Frame(west, north, km_per_longitude, pixels_per_km, high * pixels_per_km + 2 * _MARGIN + 60)


def _draw_line(frame: _Frame, one: Commune, other: Commune, count: int) -> str:
    (x, y), (to_x, to_y) = frame.place(one), frame.place(other)
    said = f"{count} de {one.name} à {other.name}"
    return (
        f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}" stroke="{DARK}" stroke-opacity="0.55"'
        f' stroke-width="{min(10.0, 1 + sqrt(count)):.1f}"><title>{escape(said)}</title></line>'
    )


def _draw_commune(frame: _Frame, place: Commune, *, served: int, waiting: int, homes: int) -> str:
    """A disc for needs served, a ring around it for needs that wait, a diamond for volunteers who come from here."""
    x, y = frame.place(place)
    said = f"{place.name} : besoins servis {served}, sans réponse {waiting}, bénévoles {homes}"
    shapes = f"<title>{escape(said)}</title>"
    if waiting:
        radius = 5 + 2.5 * sqrt(served + waiting)
        ring = f'fill="#fff" stroke="{ORANGE}" stroke-width="3" stroke-dasharray="4 3"'
        shapes += f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" {ring}/>'
    if served:
        shapes += f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{3 + 2.5 * sqrt(served):.1f}" fill="{DARK}"/>'
    if homes:
        half = 3 + 1.5 * sqrt(homes)
        shapes += (
            f'<path d="M{x:.1f} {y - half:.1f}l{half:.1f} {half:.1f}l-{half:.1f} {half:.1f}l-{half:.1f} -{half:.1f}z"'
            f' fill="#fff" stroke="#1a1a1a" stroke-width="1.5"/>'
        )
    radius = 6 + 2.5 * sqrt(served + waiting)
    return f'<g>{shapes}<text x="{x:.1f}" y="{y - radius - 4:.1f}" text-anchor="middle">{escape(place.name)}</text></g>'


def _draw_scale(frame: _Frame) -> str:
    """A bar of a round number of kilometres, about a fifth of the picture."""
    wanted = _WIDTH / 5 / frame.pixels_per_km
    length_km = max((step for step in (0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if step <= wanted), default=0.5)
    y, pixels = frame.height - 20, length_km * frame.pixels_per_km
    told = f"{length_km:g} km".replace(".", ",")
    return (
        f'<path d="M{_MARGIN} {y - 5:.0f}v5h{pixels:.1f}v-5" fill="none" stroke="#1a1a1a" stroke-width="2"/>'
        f'<text x="{_MARGIN + pixels / 2:.1f}" y="{y - 6:.0f}" text-anchor="middle">{told}</text>'
    )


def _draw_key(frame: _Frame) -> str:
    y = frame.height - 20
    return (
        f'<circle cx="300" cy="{y:.0f}" r="6" fill="{DARK}"/><text x="312" y="{y + 4:.0f}">besoins servis</text>'
        f'<circle cx="415" cy="{y:.0f}" r="6" fill="#fff" stroke="{ORANGE}" stroke-width="3" stroke-dasharray="4 3"/>'
        f'<text x="427" y="{y + 4:.0f}">sans réponse</text>'
        f'<path d="M528 {y - 6:.0f}l6 6l-6 6l-6 -6z" fill="#fff" stroke="#1a1a1a" stroke-width="1.5"/>'
        f'<text x="540" y="{y + 4:.0f}">communes des bénévoles</text>'
    )
