"""The words of a text that name a skill: what a person can point at when they ask where a match comes from."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from services.matching.domain.shared import Skill
from services.matching.engine.comparison import find_key
from services.matching.engine.referential import Referential
from services.matching.engine.skills import normalise_label

_WORD = re.compile(r"[^\W_]+[+#]*")
MOST_WORDS = 3  # a skill and a text: the longest phrases say enough


@dataclass(frozen=True)
class Words:
    """`text[start:end]` of the field `where`, in characters; `skill`: the label that they speak for."""

    skill: str
    where: str
    start: int
    end: int
    words: str


def find_words(texts: Mapping[str, str], skills: Iterable[Skill], referential: Referential) -> tuple[Words, ...]:
    """Where the texts (by field: title, description) use a skill's own names or the referential's phrases for it.

    Nothing is found where a person typed the skill and the text never speaks of it: then their own choice is the evidence.
    """
    spans = {where: [(found.start(), found.end()) for found in _WORD.finditer(text)] for where, text in texts.items()}
    words = {where: [normalise_label(texts[where][start:end]) for start, end in ends] for where, ends in spans.items()}
    found: list[Words] = []
    for skill in skills:
        phrases = [phrase.split() for phrase in _list_phrases(skill, referential)]
        of_skill = [
            Words(skill.label, where, spans[where][first][0], spans[where][last][1], "")
            for where in texts
            for first, last in _find_phrases(words[where], phrases)
        ]
        of_skill.sort(key=lambda one: (one.start - one.end, one.where != "title", one.start))
        found += of_skill[:MOST_WORDS]
    return tuple(Words(one.skill, one.where, one.start, one.end, texts[one.where][one.start : one.end]) for one in found)


def _list_phrases(skill: Skill, referential: Referential) -> Iterable[str]:
    known = referential.skills.get(find_key(skill, referential))
    labels: tuple[str, ...] = (skill.label, *skill.evidence)
    if known is not None:
        labels += (known.name_fr, *known.synonyms, *known.asks, *known.gives, *known.titles, *known.tools)
    return dict.fromkeys(normalise_label(label) for label in labels)


def _find_phrases(words: Sequence[str], phrases: Sequence[Sequence[str]]) -> list[tuple[int, int]]:
    """First and last word of each phrase that occurs, without those that lie within a longer one."""
    found = {
        (first, first + len(phrase) - 1)
        for phrase in phrases
        for first in range(len(words) - len(phrase) + 1)
        if words[first] == phrase[0] and list(words[first : first + len(phrase)]) == list(phrase)
    }
    return [
        (first, last)
        for first, last in sorted(found)
        if not any(other != (first, last) and other[0] <= first and last <= other[1] for other in found)
    ]
