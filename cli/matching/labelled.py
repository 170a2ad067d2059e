"""A labelled file of needs and offers, read leniently where its form may vary; what cannot be used is named, never dropped."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, TypeVar
from uuid import NAMESPACE_URL, UUID, uuid5

from cli.console import CliError
from services.matching.domain.needs import Need, NeedFacts
from services.matching.domain.offers import Candidate, Offer, OfferFacts
from services.matching.domain.shared import Setting
from services.matching.engine.communes import UnclearCommune, resolve_commune
from services.matching.engine.gates import ObstacleKind
from services.matching.engine.text.words import strip_accents

T = TypeVar("T")
K = TypeVar("K")

# Where a row leaves these out: nothing that could block.
FIRST_DAY, LAST_DAY = date(2000, 1, 1), date(2100, 12, 31)
DEFAULT_MINUTES, DEFAULT_RADIUS_KM = 60, 20
_GRADES = range(4)

_MODES = {
    "onsite": ("onsite", "on site", "presentiel", "sur place", "in person", "physique", "local"),
    "remote": ("remote", "distance", "a distance", "distanciel", "online", "en ligne", "visio", "teletravail"),
    "either": ("either", "both", "hybrid", "hybride", "mixte", "mixed", "any", "indifferent", "les deux", "flexible"),
}
_SETTINGS = {
    Setting.PROFESSIONAL: ("professional", "professionnel", "professionnelle", "pro", "job", "metier", "mecenat"),
    Setting.PERSONAL: ("personal", "personnel", "personnelle", "perso", "hobby", "loisir", "benevole", "private"),
}
_REASONS = {
    ObstacleKind.DATES: ("dates", "date", "period", "periode"),
    ObstacleKind.DISTANCE: ("distance", "radius", "rayon", "lieu"),
    ObstacleKind.LANGUAGE: ("language", "languages", "langue", "langues"),
    ObstacleKind.MODE: ("mode", "remote", "modalite"),
}
_LANGUAGES = {
    "fr": ("francais", "french"), "en": ("anglais", "english"), "es": ("espagnol", "spanish"), "de": ("allemand", "german"),
    "it": ("italien", "italian"), "pt": ("portugais", "portuguese"), "ar": ("arabe", "arabic"), "tr": ("turc", "turkish"),
    "ru": ("russe", "russian"), "uk": ("ukrainien", "ukrainian"), "zh": ("chinois", "chinese", "mandarin"),
    "fsl": ("lsf", "langue des signes", "langue des signes francaise"), "fa": ("persan", "farsi", "dari"),
    "pl": ("polonais", "polish"),
    "ro": ("roumain", "romanian"), "ta": ("tamoul", "tamil"), "vi": ("vietnamien", "vietnamese"), "nl": ("neerlandais", "dutch"),
}  # fmt: skip


class Unusable(ValueError):
    """What is wrong with one field of a row, and the cure."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field} : {message}")


class UnusableFile(CliError):
    """All rows that cannot be used."""


@dataclass(frozen=True)
class Judgment:
    need: int
    offer: int
    grade: int


@dataclass(frozen=True)
class Gate:
    need: int
    offer: int
    reason: ObstacleKind


@dataclass(frozen=True)
class LabelledSet:
    """Needs and offers without skills yet; judgments, gates and passes point at them by place."""

    ids: tuple[str, ...]
    needs: tuple[Need, ...]
    candidates: tuple[Candidate, ...]
    judgments: tuple[Judgment, ...]
    gates: tuple[Gate, ...]
    passes: tuple[tuple[int, int], ...]
    first_day: date


def read_labelled(file: Path) -> LabelledSet:
    """Raises UnusableFile with every row that cannot be used, its id, its field and the cure."""
    content = _read_json(file)
    faults: list[str] = []
    needs = _read_rows(content, "needs", _read_need, faults)
    offers = _read_rows(content, "offers", _read_offer, faults)
    need_place = {name: place for place, (name, _) in enumerate(needs)}
    offer_place = {name: place for place, (name, _) in enumerate(offers)}

    def pair(row: Mapping[str, Any]) -> tuple[int, int]:
        return _find(row, "need", need_place), _find(row, "offer", offer_place)

    judgments = _read_links(content, "judgments", lambda row: Judgment(*pair(row), _read_grade(row)), faults)
    gates = _read_links(content, "gates", lambda row: Gate(*pair(row), _read_reason(row)), faults)
    passes = _read_links(content, "passes", pair, faults)
    if not faults and not any(judgment.grade for judgment in judgments):
        faults.append("judgments : aucune note de 1 ou plus, il n'y a rien à mesurer")
    if faults:
        raise UnusableFile(
            f"{file} : {len(faults)} {'ligne inutilisable' if len(faults) == 1 else 'lignes inutilisables'}.",
            detail="\n".join(faults),
            cure="Corrigez ces lignes (forme : metis match eval --help) ; rien n'a été mesuré.",
        )
    days = [need.facts.starts_on for _, need in needs if need.facts.starts_on > FIRST_DAY]
    return LabelledSet(
        tuple(need_place),
        tuple(need for _, need in needs),
        tuple(offer for _, offer in offers),
        tuple(judgments),
        tuple(gates),
        tuple(passes),
        min(days, default=FIRST_DAY),
    )


def _read_json(file: Path) -> Mapping[str, Any]:
    form = '{"needs": […], "offers": […], "judgments": […], "gates": […], "passes": […]}'
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise UnusableFile(f"{file} n'existe pas.", cure="Vérifiez le chemin.") from None
    except (IsADirectoryError, UnicodeDecodeError):
        raise UnusableFile(f"{file} n'est pas un fichier de texte UTF-8.", cure=f"Donnez un fichier JSON : {form}.") from None
    except json.JSONDecodeError as error:
        raise UnusableFile(
            f"{file}, ligne {error.lineno} : ce n'est pas du JSON ({error.msg}).", cure=f"Forme : {form}."
        ) from None
    if not isinstance(content, dict) or not all(isinstance(content.get(key), list) for key in ("needs", "offers", "judgments")):
        raise UnusableFile(f"{file} : il manque « needs », « offers » ou « judgments ».", cure=f"Forme : {form}.")
    return content


def _read_rows(
    content: Mapping[str, Any], key: str, read: Callable[[str, Mapping[str, Any]], T], faults: list[str]
) -> list[tuple[str, T]]:
    rows: dict[str, T] = {}
    for number, row in enumerate(content[key], 1):
        name = str(row.get("id", "")).strip() if isinstance(row, dict) else ""
        where = f"{key}, {name or f'ligne {number}'}"
        if not name or name in rows:
            faults.append(f"{where}, id : {'manque' if not name else 'existe deux fois'} ; donnez à chaque ligne son id")
            continue
        try:
            rows[name] = read(name, row)
        except Unusable as fault:
            faults.append(f"{where}, {fault}")
    return list(rows.items())


def _read_links(content: Mapping[str, Any], key: str, read: Callable[[Mapping[str, Any]], T], faults: list[str]) -> list[T]:
    links: list[T] = []
    for number, row in enumerate(content.get(key) or (), 1):
        try:
            links.append(read(row if isinstance(row, dict) else {}))
        except Unusable as fault:
            faults.append(f"{key}, ligne {number}, {fault}")
    return links


def _read_need(name: str, row: Mapping[str, Any]) -> Need:
    commune, remote = _read_place(row)
    facts = NeedFacts(
        **_read_common(row), starts_on=_read_day(row, "starts_on", FIRST_DAY), ends_on=_read_day(row, "ends_on", LAST_DAY),
        commune=commune, remote=remote,
    )  # fmt: skip
    _check_days(facts.starts_on, facts.ends_on)
    return Need(_identify("need", name), name, _identify("campaign", ""), _identify("association", name), facts)


def _read_offer(name: str, row: Mapping[str, Any]) -> Candidate:
    commune, remote = _read_place(row)
    kind = _plain(row.get("kind"))
    facts = OfferFacts(
        **_read_common(row),
        available_from=_read_day(row, "starts_on", FIRST_DAY), available_until=_read_day(row, "ends_on", LAST_DAY),
        commune=commune, remote=remote, radius_km=_read_number(row, "radius_km", DEFAULT_RADIUS_KM),
        setting=_choose("kind", kind, _SETTINGS) if kind else Setting.PERSONAL,
    )  # fmt: skip
    _check_days(facts.available_from, facts.available_until)
    offer = Offer(_identify("offer", name), name, _identify("volunteer", name), facts)
    return Candidate(offer, remaining_minutes=facts.minutes, missions=0, employer_id=None)


def _read_common(row: Mapping[str, Any]) -> dict[str, Any]:
    title, description = str(row.get("title") or "").strip(), str(row.get("description") or "").strip()
    if not title and not description:
        raise Unusable("title", "ni titre ni description ; écrivez au moins l'un des deux")
    return {
        "title": title,
        "description": description,
        "skills": (),
        "minutes": _read_number(row, "minutes", DEFAULT_MINUTES),
        "languages": _read_languages(row),
    }


def _read_place(row: Mapping[str, Any]) -> tuple[str | None, bool]:
    """The commune's INSEE code where the mission can be on the spot, and whether it can be at a distance."""
    written = _write_commune(row)
    mode = _choose("mode", _plain(row.get("mode")), _MODES) if _plain(row.get("mode")) else "onsite" if written else "remote"
    if mode == "remote":
        return None, True
    if not written:
        raise Unusable("commune", "manque ; donnez un code INSEE ou un nom, ou mode « remote »")
    try:
        return resolve_commune(written), mode == "either"
    except UnclearCommune as unclear:
        raise Unusable("commune", str(unclear)) from None


def _write_commune(row: Mapping[str, Any]) -> str:
    """One line to resolve: a code alone, or a name with the postcode or département that stands beside it."""
    commune = row.get("commune") or row.get("insee") or ""
    fields = {**row, **commune} if isinstance(commune, dict) else {**row, "name": commune}
    code = str(fields.get("insee") or fields.get("code") or "").strip()
    name = str(fields.get("name") or code).strip()
    if code or not name or (re.fullmatch(r"\w{5}", name) and any(letter.isdigit() for letter in name)):
        return code or name
    postcode, departement = (
        fields.get("postcode") or fields.get("postal_code"),
        fields.get("departement") or fields.get("department"),
    )
    return f"{postcode} {name}" if postcode else f"{name} ({departement})" if departement else name


def _read_languages(row: Mapping[str, Any]) -> tuple[str, ...]:
    written = row.get("languages") or row.get("language") or ["fr"]
    names: Sequence[Any] = re.split(r"[,;/]", written) if isinstance(written, str) else written
    if not isinstance(names, list | tuple):
        raise Unusable("languages", 'une liste de codes, p. ex. ["fr", "en"]')
    return tuple(dict.fromkeys(_read_language(_plain(name)) for name in names))


def _read_language(name: str) -> str:
    if found := next((code for code, names in _LANGUAGES.items() if name in names), None):
        return found
    if code := re.fullmatch(r"([a-z]{2,3})([ -][a-z]{2,4})?", name):
        return code[1]
    raise Unusable("languages", f"« {name} » n'est pas un code de langue ; p. ex. fr, en, ar")


def _read_day(row: Mapping[str, Any], field: str, default: date) -> date:
    written = row.get(field)
    if written in {None, ""}:
        return default
    try:
        return date.fromisoformat(str(written)[:10])
    except ValueError:
        raise Unusable(field, f"« {written} » n'est pas une date ; écrivez 2026-11-30") from None


def _check_days(first: date, last: date) -> None:
    if first > last:
        raise Unusable("ends_on", f"{last} est avant starts_on ({first}) ; corrigez l'une des deux")


def _read_number(row: Mapping[str, Any], field: str, default: int) -> int:
    written = row.get(field)
    if written in {None, ""}:
        return default
    try:
        number = round(float(str(written).replace(",", ".")))
    except (ValueError, OverflowError):
        number = -1
    if number < 0:
        raise Unusable(field, f"« {written} » n'est pas un nombre positif ; p. ex. {default}")
    return number


def _read_grade(row: Mapping[str, Any]) -> int:
    try:
        grade = float(str(row.get("grade")))
    except ValueError:
        grade = -1.0
    if grade not in _GRADES:
        raise Unusable("grade", f"« {row.get('grade')} » ; les notes sont 0, 1, 2 et 3")
    return int(grade)


def _read_reason(row: Mapping[str, Any]) -> ObstacleKind:
    return _choose("blocked_by", _plain(row.get("blocked_by")), _REASONS)


def _choose(field: str, written: str, names: Mapping[K, tuple[str, ...]]) -> K:
    if (found := next((key for key, known in names.items() if written in known), None)) is not None:
        return found
    raise Unusable(field, f"« {written} » est inconnu ; l'un de : {', '.join(_first_names(names))}")


def _first_names(names: Mapping[K, tuple[str, ...]]) -> Iterator[str]:
    return (known[0] for known in names.values())


def _find(row: Mapping[str, Any], field: str, places: Mapping[str, int]) -> int:
    name = str(row.get(field, "")).strip()
    if name not in places:
        raise Unusable(field, f"« {name} » n'est pas un id de « {field}s » (ou sa ligne est inutilisable)")
    return places[name]


def _plain(written: object) -> str:
    return " ".join(re.sub(r"[_-]", " ", strip_accents(str(written or ""))).split())


def _identify(kind: str, name: str) -> UUID:
    return uuid5(NAMESPACE_URL, f"labelled:{kind}:{name}")
