"""Cells of a spreadsheet, read as the API wants them. Each reader says what is wrong and what to write instead."""

import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from cli.importer.codes import BOOLEANS, choices
from services.registry.domain.identifiers import READERS, IdentifierKind

Reader = Callable[[str], Any]
_INSEE = re.compile(r"(\d{2}|2[AB])\d{3}")
_LANGUAGE = re.compile(r"[a-z]{2}")
_REF = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")
_WEBSITE = re.compile(r"https?://\S{1,490}")
_FRENCH_DATE = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})")
_CLOCK_HOURS = re.compile(r"(\d+)\s*[hH]\s*(\d{2})?")


class BadCell(ValueError):
    """A cell that cannot be read. `cure` is what the officer should write."""

    def __init__(self, problem: str, cure: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.cure = cure


def text(*, longest: int) -> Reader:
    def read(cell: str) -> str:
        if len(cell) > longest:
            raise BadCell(f"{len(cell)} caractères, c'est trop", f"au plus {longest} caractères")
        return cell

    return read


def ref(cell: str) -> str:
    if not _REF.fullmatch(cell):
        raise BadCell("référence mal formée", "au plus 80 lettres sans accent, chiffres, « - », « . » ou « _ », sans espace")
    return cell


def insee(cell: str) -> str:
    code = cell.upper()
    if not _INSEE.fullmatch(code):
        raise BadCell("ce n'est pas un code INSEE de commune", "cinq caractères, par exemple 92071 (pas le code postal)")
    return code


def identifier(kind: IdentifierKind, cure: str) -> Reader:
    """A number that identifies a body, by the registry's own rules: a faulty one is seen before anything is sent."""

    def read(cell: str) -> str:
        try:
            return READERS[kind](cell)
        except ValueError:
            raise BadCell(f"ce n'est pas un {kind.upper()} valable", cure) from None

    return read


def email(cell: str) -> str:
    """The form alone; the registry looks closer."""
    if not _EMAIL.fullmatch(cell):
        raise BadCell("ce n'est pas une adresse de courriel", "une adresse comme nom@exemple.fr")
    return cell


def website(cell: str) -> str:
    if not _WEBSITE.fullmatch(cell):
        raise BadCell("ce n'est pas une adresse de site", "une adresse entière et sans espace, comme https://exemple.fr")
    return cell


def boolean(cell: str) -> bool:
    try:
        return BOOLEANS[fold(cell)]
    except KeyError:
        raise BadCell("ni oui ni non", "écrivez oui ou non") from None


def one_of(table: Mapping[str, str]) -> Reader:
    """A French word of `table` (case and accents do not matter), or the API's own code."""

    def read(cell: str) -> str:
        word = fold(cell)
        if word in table:
            return table[word]
        if word in table.values():
            return word
        raise BadCell("mot inconnu", f"l'un de : {choices(table)}")

    return read


def language(cell: str) -> str:
    """ISO 639-1."""
    code = cell.strip().lower()
    if not _LANGUAGE.fullmatch(code):
        raise BadCell("ce n'est pas un code de langue", "deux lettres, comme fr, en ou ar")
    return code


def many(read_one: Reader, *, at_least: int = 0) -> Reader:
    """Several values in one cell, separated by `;` or `|`."""

    def read(cell: str) -> list[Any]:
        values = [read_one(part.strip()) for part in re.split(r"[;|]", cell) if part.strip()]
        if len(values) < at_least:
            raise BadCell("cellule vide", f"au moins {at_least} valeur(s), séparées par « ; »")
        return list(dict.fromkeys(values)) if all(isinstance(value, str) for value in values) else values

    return read


def decimal(cell: str) -> Decimal:
    try:
        value = Decimal(_plain_number(cell))
    except InvalidOperation:
        raise BadCell("ce n'est pas un nombre", "un nombre comme 12,5 ou 12.5") from None
    # Neither infinite nor of a size that arithmetic would choke on.
    if not value.is_finite() or abs(value.adjusted()) > 15:
        raise BadCell("ce n'est pas un nombre", "un nombre comme 12,5 ou 12.5")
    return value


def _plain_number(cell: str) -> str:
    return re.sub(r"[\s\u202f\u00a0€]", "", cell).replace(",", ".")


def degrees(limit: int) -> Reader:
    def read(cell: str) -> float:
        value = float(decimal(cell))
        if abs(value) > limit:
            raise BadCell("hors de la Terre", f"un nombre de degrés entre -{limit} et {limit}")
        return value

    return read


def cents(cell: str) -> int:
    """Euros, as whole cents."""
    value = decimal(cell) * 100
    if value != value.to_integral_value() or not 0 <= value <= 10**11:
        raise BadCell("ce n'est pas un montant en euros", "un montant positif avec au plus deux décimales, comme 1250,50")
    return int(value)


def minutes(cell: str) -> int:
    """Hours (`14,5`, `14.5`, `14 h 30`), as whole minutes."""
    if clock := _CLOCK_HOURS.fullmatch(cell.strip()):
        return _check_minutes(Decimal(int(clock.group(1)) * 60 + int(clock.group(2) or 0)))
    return _check_minutes(decimal(cell) * 60)


def threshold_minutes(cell: str) -> int:
    """Hours above which a rule holds, as whole minutes; 0 means always."""
    return 0 if cell.strip() == "0" else minutes(cell)


def _check_minutes(value: Decimal) -> int:
    if value != value.to_integral_value() or not 0 < value <= 6_000_000:
        raise BadCell("ce n'est pas une durée en heures", "un nombre d'heures plus grand que zéro, comme 7,5 (pour 7 h 30)")
    return int(value)


def whole(low: int, high: int) -> Reader:
    def read(cell: str) -> int:
        value = decimal(cell)
        if value != value.to_integral_value() or not low <= value <= high:
            raise BadCell("nombre entier attendu", f"un nombre entier de {low} à {high}")
        return int(value)

    return read


def permille(cell: str) -> int:
    """A share (`0,60` or `60 %`), as whole thousandths."""
    percent = cell.strip().endswith("%")
    value = decimal(cell.strip().rstrip("%"))
    value = value * 10 if percent else value * 1000
    if value != value.to_integral_value() or not 0 < value <= 1000:
        raise BadCell("ce n'est pas une part", "un nombre plus grand que 0 et au plus 1, comme 0,60 (ou 60 %), à trois décimales")
    return int(value)


def day(shift_days: int) -> Reader:
    """A date, `2026-11-22` or `22/11/2026`, moved by some days; as ISO text."""

    def read(cell: str) -> str:
        french = _FRENCH_DATE.fullmatch(cell)
        try:
            value = date(*(int(part) for part in reversed(french.groups()))) if french else date.fromisoformat(cell)
            return (value + timedelta(days=shift_days)).isoformat()
        except (ValueError, OverflowError):
            raise BadCell("ce n'est pas une date", "une date comme 2026-11-22 ou 22/11/2026") from None

    return read


def skill(cell: str) -> tuple[str, int | None]:
    """`comptabilité:3`, or a label alone."""
    label, _, level = cell.partition(":")
    if level.strip() not in {"", "1", "2", "3"} or not label.strip():
        raise BadCell(f"niveau inconnu dans « {cell} »", "un niveau de 1 (notions) à 3 (expert), comme comptabilité:3")
    return label.strip(), int(level) if level.strip() else None


def fold(cell: str) -> str:
    """Lower case without accents; blanks and hyphens as in the codes."""
    plain = "".join(char for char in unicodedata.normalize("NFKD", cell.strip().casefold()) if not unicodedata.combining(char))
    return re.sub(r"[\s-]+", "_", plain)
