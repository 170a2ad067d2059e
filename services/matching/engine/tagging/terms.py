"""Terms of the referential that stand in a text as they are: names, synonyms, titles, tools; and phrases that mislead."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from services.matching.engine.referential import Referential
from services.matching.engine.tagging.phrases import TERMS, Phrase, Voice
from services.matching.engine.tagging.tokens import Token, list_stems


@dataclass(frozen=True, slots=True)
class Hit:
    """Tokens first to last of the text are the stems of `phrase`."""

    phrase: Phrase
    first: int
    last: int

    @property
    def length(self) -> int:
        return self.last - self.first + 1

    def overlaps(self, other: "Hit") -> bool:
        return self.first <= other.last and other.first <= self.last


class TermIndex:
    """Finds phrases by their stems in a row, in time that hardly depends on how many are known."""

    def __init__(self, phrases: Iterable[Phrase]) -> None:
        self._by_first: dict[str, list[tuple[tuple[str, ...], Phrase]]] = defaultdict(list)
        for phrase in phrases:
            # “Vendeur / Vendeuse” is one title said twice: either is a term.
            for text in phrase.text.split(" / ") if phrase.voice is Voice.TITLE else (phrase.text,):
                if stems := list_stems(text):
                    self._by_first[stems[0]].append((stems, phrase))

    def find(self, tokens: Sequence[Token]) -> list[Hit]:
        stems = [token.stem for token in tokens]
        return [
            Hit(phrase, first, first + len(row) - 1)
            for first, stem in enumerate(stems)
            for row, phrase in self._by_first.get(stem, ())
            if tuple(stems[first : first + len(row)]) == row
        ]


def index_terms(phrases: Iterable[Phrase]) -> TermIndex:
    return TermIndex(phrase for phrase in phrases if phrase.voice in TERMS)


def index_false_friends(referential: Referential) -> TermIndex:
    """By the skill that each would be mistaken for (`voice` says nothing here)."""
    return TermIndex(_false_friends(referential))


def _false_friends(referential: Referential) -> Iterator[Phrase]:
    for skill in referential.skills.values():
        for text in skill.false_friends:
            # A word alone ("culture") would silence the skill in texts that do mean it.
            if len(list_stems(text)) > 1:
                yield Phrase(skill.code, Voice.DEFINITION, text)
