"""Skills in people's own words, made comparable."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from services.matching.domain.shared import Skill

# Letters that Unicode does not decompose, and that French and its neighbours write both ways.
_LIGATURES = str.maketrans({"œ": "oe", "æ": "ae", "ø": "o", "ł": "l", "đ": "d", "ß": "ss"})
# `+` and `#` are part of names ("C++", "C#"); every other sign only separates words.
_SEPARATORS = re.compile(r"(?:[^\w+#]|_)+")


@lru_cache(maxsize=65536)
def normalise_label(label: str) -> str:
    """The label without case, accents, ligatures and punctuation: “Mise en Œuvre” and “mise-en-oeuvre” are one skill."""
    decomposed = unicodedata.normalize("NFKD", label.casefold())
    bare = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
    return _SEPARATORS.sub(" ", bare.casefold().translate(_LIGATURES)).strip() or label.strip().casefold()


@dataclass(frozen=True)
class SharedSkill:
    """A skill both sides name, in the need's words, with the level wanted and the level offered."""

    label: str
    wanted: int
    offered: int

    @property
    def share(self) -> float:
        """How much of the wish is met, up to 1."""
        return min(1.0, self.offered / self.wanted)


@dataclass(frozen=True)
class SkillComparison:
    shared: tuple[SharedSkill, ...]
    missing: tuple[Skill, ...]

    @property
    def share(self) -> float:
        """The part of the wanted skills that is met, 0 to 1; each skill weighs the same."""
        return sum(skill.share for skill in self.shared) / max(1, len(self.shared) + len(self.missing))


def compare_skills(wanted: Sequence[Skill], offered: Sequence[Skill]) -> SkillComparison:
    """What the offer has of what the need wants. A skill named twice counts once, at its highest level."""
    has: dict[str, int] = {}
    for skill in offered:
        key = normalise_label(skill.label)
        has[key] = max(has.get(key, 0), skill.level)
    wishes: dict[str, Skill] = {}
    for skill in wanted:
        key = normalise_label(skill.label)
        wishes[key] = max(wishes.get(key, skill), skill, key=lambda wish: wish.level)
    return SkillComparison(
        shared=tuple(SharedSkill(wish.label, wish.level, has[key]) for key, wish in wishes.items() if key in has),
        missing=tuple(wish for key, wish in wishes.items() if key not in has),
    )
