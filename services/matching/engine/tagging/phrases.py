"""Everything the referential says of its skills, as labelled phrases: what the classifiers learn from."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from services.matching.engine.referential import Referential, ReferentialSkill


class Voice(StrEnum):
    """Who speaks in a phrase, or what it is."""

    NAME = "name"
    DEFINITION = "definition"
    SYNONYM = "synonym"
    ASK = "ask"  # an association's words for needing the skill
    GIVE = "give"  # a volunteer's words for having it
    TITLE = "title"
    TOOL = "tool"


# Those that name a skill or something of it in a few words, so that a text can contain them as they stand.
TERMS = frozenset({Voice.NAME, Voice.SYNONYM, Voice.TITLE, Voice.TOOL})


@dataclass(frozen=True, slots=True)
class Phrase:
    code: str
    voice: Voice
    text: str


def list_phrases(referential: Referential) -> tuple[Phrase, ...]:
    """Skill by skill in the referential's order; the same referential always gives the same list."""
    return tuple(phrase for skill in referential.skills.values() for phrase in _phrases_of(skill))


def digest_referential(referential: Referential) -> str:
    """SHA-256 in hexadecimal of all that is learnt from: a model that was built from another referential is told by it."""
    digest = hashlib.sha256()
    for phrase in list_phrases(referential):
        digest.update(f"{phrase.code}\t{phrase.voice}\t{phrase.text}\n".encode())
    for skill in referential.skills.values():
        near = sorted(referential.near_percents.get(skill.code, {}).items())
        digest.update(f"{skill.code}\t{skill.parent}\t{near}\n".encode())
    return digest.hexdigest()


def _phrases_of(skill: ReferentialSkill) -> Iterator[Phrase]:
    yield Phrase(skill.code, Voice.NAME, skill.name_fr)
    yield Phrase(skill.code, Voice.DEFINITION, skill.definition)
    texts = (
        (Voice.SYNONYM, skill.synonyms),
        (Voice.ASK, skill.asks),
        (Voice.GIVE, skill.gives),
        (Voice.TITLE, skill.titles),
        (Voice.TOOL, skill.tools),
    )
    for voice, of_voice in texts:
        for text in of_voice:
            yield Phrase(skill.code, voice, text)
