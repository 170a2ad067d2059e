"""Words that a typo keeps from being known: the one known stem that is a letter away."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

_SHORTEST = 5  # shorter words are a letter away from too many others


class Speller:
    """Knows stems; built once a model (some tenths of a second), asked in microseconds.

    Two words are a letter apart when they are equal after at most one letter is taken from each (Garbe's symmetric delete).
    """

    def __init__(self, stems: Iterable[str]) -> None:
        self._known = {stem for stem in stems if len(stem) >= _SHORTEST and stem.isalpha()}
        near: dict[str, list[str]] = defaultdict(list)
        for stem in sorted(self._known):
            for shorter in _without_a_letter(stem):
                near[shorter].append(stem)
        self._near: Mapping[str, list[str]] = near

    def correct(self, stem: str) -> str | None:
        """The known stem that is meant; None if it is known itself, too short, or if none or several could be meant."""
        if len(stem) < _SHORTEST or stem in self._known:
            return None
        found = {other for shorter in _without_a_letter(stem) for other in self._near.get(shorter, ()) if other[0] == stem[0]}
        return next(iter(found)) if len(found) == 1 else None


def _without_a_letter(word: str) -> Iterator[str]:
    yield word
    for place in range(len(word)):
        yield word[:place] + word[place + 1 :]
