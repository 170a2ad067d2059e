"""Terms of the referential that stand in a text as they are: names, synonyms, titles, tools; and phrases that mislead."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from services.matching.engine.referential import Referential
from services.matching.engine.tagging.phrases import TERMS, Phrase, Voice
from services.matching.engine.tagging.tokens import Token, find_tokens, list_stems

_MOST_ENDING = 2  # letters in which two forms of a word may differ before the shorter one ends


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
        self._by_first: dict[str, list[tuple[list[Token], Phrase]]] = defaultdict(list)
        for phrase in phrases:
            # “Vendeur / Vendeuse” is one title said twice: either is a term.
            for text in phrase.text.split(" / ") if phrase.voice is Voice.TITLE else (phrase.text,):
                if tokens := find_tokens(text):
                    self._by_first[tokens[0].stem].append((tokens, phrase))

    def find(self, tokens: Sequence[Token]) -> list[Hit]:
        return [
            Hit(phrase, first, first + len(row) - 1)
            for first, token in enumerate(tokens)
            for row, phrase in self._by_first.get(token.stem, ())
            if _are_alike(tokens[first : first + len(row)], row)
        ]


def _are_alike(found: Sequence[Token], row: Sequence[Token]) -> bool:
    """The same stems in a row. A word alone must look alike, too: short stems meet by chance ("tenir", "tennis")."""
    if len(found) == len(row) == 1:
        one, other = found[0].word, row[0].word
        alike = min(len(one), len(other)) - _MOST_ENDING
        return found[0].stem == row[0].stem and one[:alike] == other[:alike]
    return [token.stem for token in found] == [token.stem for token in row]


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
