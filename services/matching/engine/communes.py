"""Every French commune's name and place, known without asking anybody (services/matching/referential/communes/).

Arrondissements of Paris, Lyon and Marseille, overseas, and former communes included. What an instance's registry has recorded
goes before it: `KnownCommunes`.
"""

import lzma
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path

from services.matching.domain.shared import Commune
from services.matching.engine.skills import normalise_label

FILE = Path(__file__).parent.parent / "referential" / "communes" / "communes.tsv.xz"
TODAY, ARRONDISSEMENT, FORMER = "C", "A", "D"
MOST_CHOICES = 8
_CODE = re.compile(r"(\d{2}|2[AB])\d{3}")
_DEPARTEMENT = re.compile(r"\(\s*(\d{2,3}|2[AB])\s*\)", re.IGNORECASE)
_NUMBERED = re.compile(r"^(paris|lyon|marseille) (\d{1,2})( ?(er|e|eme|arrondissement|arr))*$")


class UnclearCommune(ValueError):
    """A name that no commune bears, or several do; the message says which could be meant."""


@dataclass(frozen=True)
class _Entry:
    code: str
    name: str
    kind: str
    postcodes: tuple[str, ...]

    @property
    def departement(self) -> str:
        return self.code[:3] if self.code.startswith(("97", "98")) else self.code[:2]

    def __str__(self) -> str:
        return f"{self.name} ({self.departement}), code {self.code}"


def _read() -> Iterator[list[str]]:
    """The fields of each line: code, name, latitude, longitude, kind, postcodes."""
    with lzma.open(FILE, "rt", encoding="utf-8") as lines:
        next(lines)
        for line in lines:
            yield line.rstrip("\n").split("\t")


@lru_cache(maxsize=1)
def load_communes() -> dict[str, Commune]:
    """Name and centre (degrees, WGS 84) by INSEE code. Shared by all: nothing is ever written to it."""
    return {code: Commune(name, float(latitude), float(longitude)) for code, name, latitude, longitude, _, _ in _read()}


class KnownCommunes(Mapping[str, Commune]):
    """Those that an instance has recorded, then all of France, which is read when another one is asked for."""

    def __init__(self, recorded: Mapping[str, Commune]) -> None:
        self._recorded = recorded

    def __getitem__(self, code: str) -> Commune:
        return self._recorded[code] if code in self._recorded else load_communes()[code]

    def __iter__(self) -> Iterator[str]:
        return iter(load_communes().keys() | self._recorded.keys())

    def __len__(self) -> int:
        return sum(1 for _ in self)


@lru_cache(maxsize=1)
def _list_entries() -> list[_Entry]:
    """Only names that people write are looked up here: a service needs the codes alone."""
    return [_Entry(code, name, kind, tuple(filter(None, codes.split(",")))) for code, name, _, _, kind, codes in _read()]


@lru_cache(maxsize=1)
def _entries_by_name() -> Mapping[str, list[_Entry]]:
    names: dict[str, list[_Entry]] = defaultdict(list)
    for entry in _list_entries():
        names[_plain(entry.name)].append(entry)
    return names


def resolve_commune(text: str, *, around: Sequence[str] = ()) -> str:
    """The INSEE code of what a person wrote: “92071”, “Sceaux”, “Sceaux (92)”, “92330 Sceaux”, “Paris 14e”.

    A code alone is taken as an INSEE code if there is one, else as a postcode. A commune of today goes before a former one of
    its name; of several, the one in the départements `around` if it is alone there. Raises UnclearCommune where none or several
    remain, and names them.
    """
    code = text.strip().upper()
    if code in load_communes():
        return code
    postcode, departement = _CODE.search(text), _DEPARTEMENT.search(text)
    name = _plain(_CODE.sub(" ", _DEPARTEMENT.sub(" ", text)))
    entries = _find_by_name(name, with_postcode=postcode is not None) if name else _list_entries()
    if postcode:
        entries = [entry for entry in entries if postcode[0] in entry.postcodes]
    if departement:
        entries = [entry for entry in entries if entry.departement == departement[1].upper()]
    entries = _prefer(entries, arrondissements=postcode is not None)
    if len(entries) > 1 and len(close := [entry for entry in entries if entry.departement in around]) == 1:
        entries = close
    if len(entries) == 1:
        return entries[0].code
    raise UnclearCommune(_say_choices(text, entries) if entries else _say_unknown(text, name))


def _find_by_name(name: str, *, with_postcode: bool) -> list[_Entry]:
    """Of this name; “Paris 14e” is an arrondissement, and so is “Paris” with the postcode of one."""
    names = _entries_by_name()
    if numbered := _NUMBERED.match(name):
        number = int(numbered[2])
        return names.get(f"{numbered[1]} {number}{'er' if number == 1 else 'e'} arrondissement", [])
    found = list(names.get(name, []))
    if with_postcode and name in {"paris", "lyon", "marseille"}:
        found += [entry for entry in _list_entries() if entry.kind == ARRONDISSEMENT and _plain(entry.name).startswith(name)]
    return found


def _prefer(entries: Iterable[_Entry], *, arrondissements: bool) -> list[_Entry]:
    """Those of the first kind that there are any of."""
    entries = list(entries)
    kinds = (ARRONDISSEMENT, TODAY, FORMER) if arrondissements else (TODAY, ARRONDISSEMENT, FORMER)
    return next((chosen for kind in kinds if (chosen := [entry for entry in entries if entry.kind == kind])), [])


def _plain(name: str) -> str:
    """Comparable: without accents and signs, “St” and “Ste” written out."""
    words = normalise_label(name).split() if name.strip() else []
    return " ".join({"st": "saint", "ste": "sainte"}.get(word, word) for word in words)


def _say_choices(text: str, entries: list[_Entry]) -> str:
    shown = " ; ".join(str(entry) for entry in entries[:MOST_CHOICES])
    more = f" ; et {len(entries) - MOST_CHOICES} autres" if len(entries) > MOST_CHOICES else ""
    return f"« {text} » : plusieurs communes, précisez le département ou le code INSEE : {shown}{more}"


def _say_unknown(text: str, name: str) -> str:
    close = [
        str(entry) for known in get_close_matches(name, list(_entries_by_name()), n=3) for entry in _entries_by_name()[known]
    ]
    hint = f" ; vouliez-vous dire {' ; '.join(close[:MOST_CHOICES])} ?" if close else ""
    return f"« {text} » : aucune commune connue de ce nom{hint}"
