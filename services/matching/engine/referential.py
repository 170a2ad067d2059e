"""The skills referential: what associations ask for and volunteers give, with the words both use for it.

Its data are the TOML files below `services/matching/referential/`, reviewed like code: `groups.toml`, `version.toml`, and a
file a field of skills. Codes are stable: a skill may be renamed, its code is never given to another.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import tomli

from services.matching.engine.skills import normalise_label

DATA = Path(__file__).parent.parent / "referential"
_CODE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_ROME = re.compile(r"[A-N]\d{4}")
_ESCO = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_LISTS = ("synonyms", "asks", "gives", "titles", "tools", "false_friends", "rome", "esco")
_FIELDS = {"code", "name", "definition", "parent", "near", *_LISTS}


class ReferentialFault(ValueError):
    """The data files contradict themselves; the message names the file, the skill and the cure."""


@dataclass(frozen=True)
class SkillGroup:
    code: str
    name_fr: str
    name_en: str


@dataclass(frozen=True)
class ReferentialSkill:
    """One skill. `asks` are an association's own words for needing it, `gives` a volunteer's for having it, both mostly
    without naming it; `false_friends` are phrases that share its words and mean something else. `near`: code of another
    skill to the share (0 to 1) of this one that it can stand for. `rome`: ROME 4.0 job codes; `esco`: ids of ESCO v1.2 skills.
    """

    code: str
    name_fr: str
    name_en: str
    definition: str
    parent: str
    synonyms: tuple[str, ...]
    asks: tuple[str, ...]
    gives: tuple[str, ...]
    titles: tuple[str, ...]
    tools: tuple[str, ...]
    false_friends: tuple[str, ...]
    near: Mapping[str, float]
    rome: tuple[str, ...]
    esco: tuple[str, ...]


@dataclass(frozen=True)
class Referential:
    version: str
    groups: Mapping[str, SkillGroup]
    skills: Mapping[str, ReferentialSkill]

    @cached_property
    def code_of_label(self) -> Mapping[str, str]:
        """Normalised names, synonyms and codes to the skill they name; a word of two skills names neither."""
        found: dict[str, set[str]] = {}
        for skill in self.skills.values():
            for label in (skill.code, skill.name_fr, skill.name_en, *skill.synonyms):
                found.setdefault(normalise_label(label), set()).add(skill.code)
        names = {normalise_label(skill.name_fr): skill.code for skill in self.skills.values()}
        return {label: next(iter(codes)) for label, codes in found.items() if len(codes) == 1} | names

    def find_code(self, label: str) -> str | None:
        return self.code_of_label.get(normalise_label(label))

    def nearness(self, one: str, other: str) -> float:
        """How far one skill can stand for another, 0 to 1; written on either side, it holds both ways."""
        if one == other:
            return 1.0
        first, second = self.skills.get(one), self.skills.get(other)
        if first is None or second is None:
            return 0.0
        return max(first.near.get(other, 0.0), second.near.get(one, 0.0))

    @cached_property
    def near_percents(self) -> Mapping[str, Mapping[str, int]]:
        """For each code the codes near it, with `nearness` in whole percent (rounded half up)."""
        near: dict[str, dict[str, int]] = {}
        for skill in self.skills.values():
            for other in skill.near:
                percent = int(100 * self.nearness(skill.code, other) + 0.5)
                near.setdefault(skill.code, {})[other] = percent
                near.setdefault(other, {})[skill.code] = percent
        return near


# Without any skill: labels then match by their words alone.
NO_REFERENTIAL = Referential("", {}, {})


@lru_cache(maxsize=1)
def load_referential(folder: Path = DATA) -> Referential:
    """Read all files, as `check_referential` found them when they last changed: a service that starts does not check again."""
    groups = _read_groups(folder)
    skills = [_skill_from(entry) for _, entry in _read_entries(folder)]
    return Referential(_read(folder / "version.toml")["version"], groups, {skill.code: skill for skill in skills})


def check_referential(folder: Path = DATA) -> None:
    """Read all files and doubt them. Raises ReferentialFault with every fault found, a line each."""
    groups, seen, faults = _read_groups(folder), set[str](), list[str]()
    for file, entry in _read_entries(folder):
        where = f"{file.name}, {entry.get('code', 'a skill without code')}"
        faults += [f"{where}: {fault}" for fault in _faults_of(entry, groups)]
        if entry.get("code") in seen:
            faults.append(f"{where}: this code stands twice; give one of the two another")
        seen.add(entry.get("code", ""))
    if not faults:
        faults = _far_faults(load_referential(folder).skills.values())
    if faults:
        raise ReferentialFault("\n".join(faults))


def _read_groups(folder: Path) -> dict[str, SkillGroup]:
    return {
        entry["code"]: SkillGroup(entry["code"], entry["name"]["fr"], entry["name"]["en"])
        for entry in _read(folder / "groups.toml")["group"]
    }


def _read_entries(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    for file in sorted((folder / "skills").glob("*.toml")):
        for entry in _read(file).get("skill", ()):
            yield file, entry


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomli.loads(file.read_text(encoding="utf-8"))
    except tomli.TOMLDecodeError as error:
        raise ReferentialFault(f"{file.name}: {error}") from error


def _skill_from(entry: Mapping[str, Any]) -> ReferentialSkill:
    return ReferentialSkill(
        code=entry["code"],
        name_fr=entry["name"]["fr"],
        name_en=entry["name"]["en"],
        definition=entry["definition"],
        parent=entry["parent"],
        near=dict(entry.get("near", {})),
        **{name: tuple(entry.get(name, ())) for name in _LISTS},
    )


def _faults_of(entry: Mapping[str, Any], groups: Mapping[str, SkillGroup]) -> Iterable[str]:
    if unknown := set(entry) - _FIELDS:
        yield f"unknown fields {', '.join(sorted(unknown))}; known are {', '.join(sorted(_FIELDS))}"
    if not _CODE.fullmatch(entry.get("code", "")):
        yield "`code` must be lower-case ASCII words joined by dashes"
    if set(entry.get("name", {})) != {"fr", "en"}:
        yield "`name` must have `fr` and `en`"
    if not entry.get("definition"):
        yield "`definition` is missing"
    if entry.get("parent") not in groups:
        yield f"`parent` {entry.get('parent')!r} is not in groups.toml"
    for name in ("synonyms", "asks", "gives", "titles"):
        if not entry.get(name):
            yield f"`{name}` is empty"
    for name in _LISTS:
        counts = Counter(normalise_label(text) for text in entry.get(name, ()))
        if twice := [text for text, count in counts.items() if count > 1]:
            yield f"`{name}` has twice: {', '.join(sorted(twice))}"
    if wrong := [code for code in entry.get("rome", ()) if not _ROME.fullmatch(code)]:
        yield f"`rome` takes codes such as M1805, not {', '.join(wrong)}"
    if wrong := [code for code in entry.get("esco", ()) if not _ESCO.fullmatch(code)]:
        yield f"`esco` takes the id at the end of a skill's URI, not {', '.join(wrong)}"
    if wrong := [code for code, share in entry.get("near", {}).items() if not 0 < share < 1]:
        yield f"`near` takes shares between 0 and 1: {', '.join(wrong)}"


def _far_faults(skills: Iterable[ReferentialSkill]) -> list[str]:
    known = {skill.code for skill in skills}
    return [
        f"{skill.code}: near {code} is no skill of the referential; mend the code or take it out"
        for skill in skills
        for code in skill.near
        if code not in known or code == skill.code
    ]
