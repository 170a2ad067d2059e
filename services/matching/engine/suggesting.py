"""Skills that a text of a need or an offer speaks of, for a person to confirm or correct. The one door to the tagger."""

from dataclasses import dataclass
from typing import Literal

from services.matching.engine.vocabulary import Vocabulary

Kind = Literal["need", "offer"]
Field = Literal["title", "description"]
MOST_LETTERS = 300  # of a quote: as many as fit with a confirmed skill (schemas/shared.py)


@dataclass(frozen=True)
class Quote:
    """Words of the text that speak for a skill: `field` from character `start` to before `end` (Unicode code points).

    `match`: what of the skill they matched: name, synonym, title, tool, phrase, or meaning; `matched`: those words.
    """

    field: Field
    start: int
    end: int
    words: str
    match: str
    matched: str


@dataclass(frozen=True)
class Suggestion:
    """`percent`: how much of the text is about this skill, as the tagger sees it; the best comes first."""

    code: str
    name_fr: str
    percent: int
    evidence: tuple[Quote, ...]


def suggest(title: str, description: str, *, kind: Kind, vocabulary: Vocabulary) -> tuple[Suggestion, ...]:
    """Up to five skills. The first call of a process loads what the tagger has learnt, which takes a while and memory."""
    # Only who asks pays for numpy and the models.
    from services.matching.engine.tagging.profile import Addition  # noqa: PLC0415
    from services.matching.engine.tagging.suggestion import suggest_skills  # noqa: PLC0415

    skills = vocabulary.referential.skills
    additions = [Addition(code, phrase, skills[code].name_fr) for code, phrase in vocabulary.additions if code in skills]
    tags = suggest_skills(title, description, kind=kind, referential=vocabulary.base, additions=additions)
    return tuple(
        Suggestion(
            tag.code,
            skills[tag.code].name_fr,
            round(100 * tag.share),
            tuple(_place(one.start, one.words, title, match=str(one.match), matched=one.matched) for one in tag.evidence),
        )
        for tag in tags
    )


def _place(start: int, words: str, title: str, *, match: str, matched: str) -> Quote:
    """The tagger counts in title, newline, description; words that begin in the title are the title's."""
    words = words[:MOST_LETTERS]
    if start < len(title):
        words = words[: len(title) - start]
        return Quote("title", start, start + len(words), words, match, matched)
    start -= len(title) + 1
    return Quote("description", start, start + len(words), words, match, matched)
