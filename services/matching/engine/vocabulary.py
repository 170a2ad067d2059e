"""The skills as one territory sees them: the referential, and what the territory has added to it.

Additions change what labels mean and what texts suggest, at once. Where a later release of the referential comes to use the
same words for something else, the release holds: the territory's word is then listed as overruled.
"""

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from services.matching.domain.vocabulary import LocalSkill, SkillWord, WordKind
from services.matching.engine.referential import Referential, ReferentialSkill
from services.matching.engine.skills import normalise_label

if TYPE_CHECKING:
    from services.matching.engine.vocabulary_search import SkillSearch

_building = threading.Lock()


@dataclass(frozen=True)
class Vocabulary:
    """`words` and `local_skills` are those in force. `referential`: the base with them; it serves wherever the base does."""

    base: Referential
    words: tuple[SkillWord, ...] = ()
    local_skills: tuple[LocalSkill, ...] = ()
    revision: int = 0

    @property
    def version(self) -> str:
        """Of the referential, and how often this territory has changed what it added: 1.0.0+3."""
        return f"{self.base.version}+{self.revision}" if self.revision else self.base.version

    @cached_property
    def referential(self) -> Referential:
        if not self.words and not self.local_skills:
            return self.base
        own: dict[str, list[SkillWord]] = {}
        for word in self.words:
            if word.kind is WordKind.SYNONYM and self.overruled_by(word) is None:
                own.setdefault(word.code, []).append(word)
        # The territory's first: of two that bear one name, the referential's is found by it.
        skills = {local.code: _as_referential(local) for local in self.local_skills} | dict(self.base.skills)
        for code, words in own.items():
            if code in skills:
                synonyms = (*skills[code].synonyms, *(word.phrase for word in words))
                skills[code] = replace(skills[code], synonyms=synonyms)
        return Referential(self.version, self.base.groups, skills)

    @cached_property
    def index(self) -> "SkillSearch":
        """To find skills by words. The first one of a process takes seconds: ask for it in a thread."""
        from services.matching.engine.vocabulary_search import SkillSearch  # noqa: PLC0415  (stemmers of all languages come along)

        with _building:  # one builds, the others wait and find it
            if "index" not in vars(self):
                vars(self)["index"] = SkillSearch(self.referential)
        found: SkillSearch = vars(self)["index"]
        return found

    @cached_property
    def additions(self) -> tuple[tuple[str, str], ...]:
        """(code, words) of all that the referential's own model has not learnt: for suggestions."""
        named = [(word.code, word.phrase) for word in self.words if self.overruled_by(word) is None]
        own = [(local.code, phrase) for local in self.local_skills for phrase in (*local.facts.titles, *local.facts.tools)]
        return (*named, *own)

    def overruled_by(self, word: SkillWord) -> str | None:
        """The skill of the referential that the same words name by now, if it is another."""
        code = self.base.code_of_label.get(word.normalised)
        return None if code in {None, word.code} else code

    def own_words(self, code: str) -> list[SkillWord]:
        """The synonyms that the territory has added to a skill of the referential, or written for its own."""
        return [word for word in self.words if word.code == code and word.kind is WordKind.SYNONYM]

    @cached_property
    def _names(self) -> Mapping[str, Sequence["Naming"]]:
        """All that names a skill here, by the words as labels are compared."""
        found: dict[str, list[Naming]] = {}
        for naming in _list_namings(self.referential.skills.values()):
            found.setdefault(normalise_label(naming.phrase), []).append(naming)
        return found

    def find_namings(self, phrase: str) -> Sequence["Naming"]:
        """What these words name already, whatever their case, accents and punctuation; several where they name neither."""
        return self._names.get(normalise_label(phrase), ())

    def find_false_friend(self, code: str, phrase: str) -> str | None:
        """The skill's false friend that reads the same, if one does."""
        wanted = normalise_label(phrase)
        return next((known for known in self.referential.skills[code].false_friends if normalise_label(known) == wanted), None)


@dataclass(frozen=True)
class Naming:
    """That a phrase names a skill. `kind`: code, name, english_name or synonym."""

    code: str
    name_fr: str
    kind: str
    phrase: str


def _list_namings(skills: Iterable[ReferentialSkill]) -> Iterable[Naming]:
    for skill in skills:
        yield Naming(skill.code, skill.name_fr, "code", skill.code)
        yield Naming(skill.code, skill.name_fr, "name", skill.name_fr)
        yield Naming(skill.code, skill.name_fr, "english_name", skill.name_en)
        for synonym in skill.synonyms:
            yield Naming(skill.code, skill.name_fr, "synonym", synonym)


def _as_referential(local: LocalSkill) -> ReferentialSkill:
    facts = local.facts
    return ReferentialSkill(
        code=local.code,
        name_fr=facts.name_fr,
        name_en=facts.name_en,
        definition=facts.definition,
        parent=facts.parent,
        synonyms=(),
        asks=facts.asks,
        gives=facts.gives,
        titles=facts.titles,
        tools=facts.tools,
        false_friends=facts.false_friends,
        near={code: percent / 100 for code, percent in facts.near.items()},
        rome=(),
        esco=(),
    )


def make_slug(name: str) -> str:
    """A code's words, lower-case ASCII joined by dashes; empty where the name has no such letter."""
    spelled = normalise_label(name).replace("+", " plus ").replace("#", " sharp ")
    bare = "".join(letter if letter.isascii() and letter.isalnum() else " " for letter in spelled)
    return "-".join(bare.split())[:60].strip("-")
