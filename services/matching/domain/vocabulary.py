"""What a territory adds to the skills referential without waiting for a release: its own words, and its own skills."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from services.matching.domain.states import OWN_MOVES, Deed, OwnState, Step, take_step


class WordKind(StrEnum):
    """What a word is to its skill. Names are those of a territory's own skills."""

    NAME = "name"
    ENGLISH_NAME = "english_name"
    SYNONYM = "synonym"


@dataclass(frozen=True)
class SkillWord:
    """Words that name a skill in this territory: of the referential's skills, or of the territory's own.

    `normalised`: the words as labels are compared; while in force they name one skill only.
    """

    id: UUID
    code: str
    kind: WordKind
    phrase: str
    normalised: str
    reason: str
    added_by: str
    added_at: datetime
    state: OwnState = OwnState.IN_FORCE
    version: int = 1


@dataclass(frozen=True)
class LocalSkillFacts:
    """The part of an own skill that people write, with the meanings of engine/referential.py; its words stand apart
    (`SkillWord`). `near`: code of a skill to the percent of this one that it can stand for."""

    name_fr: str
    name_en: str
    definition: str
    parent: str
    near: Mapping[str, int] = field(default_factory=dict)
    asks: tuple[str, ...] = ()
    gives: tuple[str, ...] = ()
    titles: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    false_friends: tuple[str, ...] = ()


@dataclass(frozen=True)
class LocalSkill:
    """A skill of this territory alone, usable at once, until the referential takes it up or it is withdrawn.

    `code`: the territory, a colon, a name in ASCII; never given to another.
    """

    id: UUID
    code: str
    facts: LocalSkillFacts
    reason: str
    proposed_by: str
    proposed_at: datetime
    state: OwnState = OwnState.IN_FORCE
    version: int = 1


def start_own(*, who: str, reason: str) -> Step[OwnState]:
    """The first step of a word or skill."""
    return Step(None, OwnState.IN_FORCE, Deed.CREATE, who, reason)


def decide_word_withdrawal(word: SkillWord, *, who: str, reason: str) -> tuple[SkillWord, Step[OwnState]]:
    """From now on it names nothing here. What people have confirmed by it stays confirmed."""
    step = take_step(OWN_MOVES, word.state, Deed.WITHDRAW, who=who, reason=reason)
    return replace(word, state=step.after, version=word.version + 1), step


def decide_skill_edit(skill: LocalSkill, facts: LocalSkillFacts, *, who: str, reason: str) -> tuple[LocalSkill, Step[OwnState]]:
    step = take_step(OWN_MOVES, skill.state, Deed.EDIT, who=who, reason=reason)
    return replace(skill, facts=facts, version=skill.version + 1), step


def decide_skill_withdrawal(skill: LocalSkill, *, who: str, reason: str) -> tuple[LocalSkill, Step[OwnState]]:
    """It is suggested and written no more; needs and offers that have it keep it, and still meet by it."""
    step = take_step(OWN_MOVES, skill.state, Deed.WITHDRAW, who=who, reason=reason)
    return replace(skill, state=step.after, version=skill.version + 1), step
