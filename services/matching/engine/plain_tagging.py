"""Skills that a text names outright: by name, synonym, job title or tool. No model; typos and hints are not understood."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from services.matching.engine.referential import Referential, ReferentialSkill
from services.matching.engine.text.words import STOPWORDS, stem, strip_accents

MOST_SKILLS, LONGEST_PHRASE = 5, 6
_WORTH = {"name": 1.0, "synonym": 0.9, "title": 0.8, "tool": 0.7}


@dataclass(frozen=True)
class Addition:
    """Words that a territory has added for a skill; `label`: the skill's name, where it is the territory's own."""

    code: str
    phrase: str
    label: str = ""


@dataclass(frozen=True)
class Evidence:
    """`words` of `title + newline + description`, from `start` to before `end`; `match`: name, synonym, title or tool;
    `matched`: the referential's own words."""

    start: int
    end: int
    words: str
    match: str
    matched: str


@dataclass(frozen=True)
class Tag:
    code: str
    label: str
    share: float
    evidence: tuple[Evidence, ...]


def suggest_skills(
    title: str,
    description: str,
    *,
    kind: Literal["need", "offer"],
    referential: Referential,
    additions: Sequence[Addition] = (),
) -> tuple[Tag, ...]:
    """The skills whose words occur in the text, those with most evidence first."""
    text = f"{title}\n{description}"
    words = list(_find_words(text))
    phrases = _phrases_of(referential) if not additions else _merge(_phrases_of(referential), additions)
    found: dict[str, list[Evidence]] = {}
    for first in range(len(words)):
        for last in range(min(first + LONGEST_PHRASE, len(words)) - 1, first - 1, -1):
            named = phrases.get(" ".join(key for key, _, _ in words[first : last + 1]), ())
            start, end = words[first][1], words[last][2]
            for code, match, phrase in named:
                found.setdefault(code, []).append(Evidence(start, end, text[start:end], match, phrase))
    points = {code: sum(_WORTH[one.match] for one in evidence) for code, evidence in found.items()}
    best = sorted(points, key=lambda code: (-points[code], code))[:MOST_SKILLS]
    total = sum(points[code] for code in best)
    return tuple(Tag(code, _label(referential, code), points[code] / total, tuple(found[code])) for code in best)


def _find_words(text: str) -> Iterable[tuple[str, int, int]]:
    """The stems of the words that mean something, with where each stands."""
    start = None
    for place, letter in enumerate([*text, " "]):
        if letter.isalnum() or letter in "+#":
            start = place if start is None else start
        elif start is not None:
            key = strip_accents(text[start:place])
            if key not in STOPWORDS:
                yield stem(key), start, place
            start = None


def _keys(phrase: str) -> str:
    return " ".join(key for key, _, _ in _find_words(phrase))


Named = tuple[str, str, str]  # code, what the words are to it, the words
Phrases = Mapping[str, Sequence[Named]]


def _phrases_of(referential: Referential) -> Phrases:
    return _read_phrases(_Held(referential))


class _Held:
    """A referential as a key: two are the same if they are one object."""

    def __init__(self, referential: Referential) -> None:
        self.referential = referential

    def __hash__(self) -> int:
        return id(self.referential)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Held) and other.referential is self.referential


@lru_cache(maxsize=4)
def _read_phrases(held: _Held) -> Phrases:
    found: dict[str, list[Named]] = {}
    for skill in held.referential.skills.values():
        for match, phrase in _list_phrases(skill):
            known = found.setdefault(_keys(phrase), [])
            if all(code != skill.code for code, _, _ in known):
                known.append((skill.code, match, phrase))
    found.pop("", None)
    return found


def _list_phrases(skill: ReferentialSkill) -> Iterable[tuple[str, str]]:
    yield "name", skill.name_fr
    yield from (("synonym", phrase) for phrase in skill.synonyms)
    yield from (("title", phrase) for title in skill.titles for phrase in title.split(" / "))
    yield from (("tool", phrase) for phrase in skill.tools)


def _merge(phrases: Phrases, additions: Sequence[Addition]) -> Phrases:
    own: dict[str, list[Named]] = {}
    for one in additions:
        own.setdefault(_keys(one.phrase), []).append((one.code, "synonym", one.phrase))
    own.pop("", None)
    return {**phrases, **{key: [*phrases.get(key, ()), *named] for key, named in own.items()}}


def _label(referential: Referential, code: str) -> str:
    return referential.skills[code].name_fr if code in referential.skills else code
