"""Skills found by words, as an officer types them."""

from collections.abc import Iterable

from services.matching.engine.referential import Referential, ReferentialSkill
from services.matching.engine.skills import normalise_label
from services.matching.engine.text.words import STOPWORDS, stems

# Where the words stand, and what that is worth.
NAME, LABEL, MENTION, EXACT = 8, 4, 1, 100


class SkillSearch:
    """A referential's skills by their words; made once, for it reads them all."""

    def __init__(self, referential: Referential) -> None:
        self._referential = referential
        self._bags = [(skill, _bags_of(skill)) for skill in referential.skills.values()]

    def find(self, words: str) -> list[ReferentialSkill]:
        """The skills in which all these words occur, by their stems or their beginnings; the closest first, then by name."""
        wanted = list(dict.fromkeys(stems(words))) or normalise_label(words).split()
        exact = self._referential.find_code(words)
        scored = [(_score(bags, wanted) + (EXACT if skill.code == exact else 0), skill) for skill, bags in self._bags]
        return [skill for points, skill in sorted(scored, key=lambda one: (-one[0], normalise_label(one[1].name_fr))) if points]


Bags = list[tuple[int, frozenset[str]]]


def _bags_of(skill: ReferentialSkill) -> Bags:
    fields = (
        (NAME, (skill.name_fr, skill.name_en, skill.code)),
        (LABEL, (*skill.synonyms, *skill.titles, *skill.tools)),
        (MENTION, (skill.definition,)),
    )
    return [(worth, _bag(phrases)) for worth, phrases in fields]


def _bag(phrases: Iterable[str]) -> frozenset[str]:
    return frozenset(word for phrase in phrases for word in (*stems(phrase), *normalise_label(phrase).split()))


def _score(bags: Bags, wanted: list[str]) -> int:
    """0 unless every word is found somewhere."""
    points = [max((worth for worth, bag in bags if _holds(bag, word)), default=0) for word in wanted]
    return sum(points) if all(points) else 0


def _holds(bag: frozenset[str], word: str) -> bool:
    return word in bag or (len(word) > 2 and any(known.startswith(word) for known in bag))


def says_nothing(phrase: str) -> bool:
    """Whether a phrase has no word that could name a skill."""
    words = normalise_label(phrase).split()
    return all(word in STOPWORDS or not any(letter.isalnum() for letter in word) for word in words)
