"""A text's words with where they stand, so that what they prove can be shown in the text."""

import re
from dataclasses import dataclass

from services.matching.engine.text.words import ABBREVIATIONS, STOPWORDS, stem, strip_accents

_WORD = re.compile(r"[^\W_]+(?:[+#]+)?")
_LEAST_STEM = 4
_ELIDED = frozenset({"c", "d", "j", "l", "m", "n", "s", "t", "qu", "jusqu", "lorsqu", "puisqu", "quoiqu", "presqu"})


@dataclass(frozen=True, slots=True)
class Token:
    """A word that means something, without accents, its `stem`, and text[start:end]. An abbreviation gives a token for each
    word it stands for."""

    word: str
    stem: str
    start: int
    end: int


def family_of(word: str) -> str:
    """The stem; of words with a very short one the singular, since such stems meet by chance ("tenir", "tennis")."""
    short = stem(word)
    return short if len(short) >= _LEAST_STEM else word.removesuffix("s")


def find_tokens(text: str) -> list[Token]:
    """In their order; words that carry no skill are left out."""
    tokens: list[Token] = []
    for found in _WORD.finditer(text):
        plain = strip_accents(found[0])
        if plain in _ELIDED and text[found.end() : found.end() + 1] in {"'", "’"}:
            continue
        tokens += [
            Token(word, family_of(word), found.start(), found.end())
            for word in ABBREVIATIONS.get(plain, plain).split()
            if word not in STOPWORDS
        ]
    return tokens


def list_stems(text: str) -> tuple[str, ...]:
    return tuple(token.stem for token in find_tokens(text))
