"""Skills that a text of a need or an offer speaks of, for a person to confirm or correct. The one door to the tagger."""

from dataclasses import dataclass
from typing import Literal

from services.matching.engine.vocabulary import Vocabulary

Kind = Literal["need", "offer"]
Field = Literal["title", "description"]


@dataclass(frozen=True)
class Quote:
    """Words of the text that speak for a skill: `field` from character `start` to before `end` (Unicode code points).

    `matched`: what of the skill they matched: name, synonym, title, tool, phrase, or meaning.
    """

    field: Field
    start: int
    end: int
    words: str
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
    from services.matching.engine.plain_tagging import suggest_skills  # noqa: PLC0415  (only who asks pays for it)

    tags = suggest_skills(title, description, kind=kind, referential=vocabulary.base, additions=vocabulary.additions)
    skills = vocabulary.referential.skills
    return tuple(
        Suggestion(
            tag.code,
            skills[tag.code].name_fr,
            round(100 * tag.share),
            tuple(_place(one.start, one.end, one.words, one.source, title=title) for one in tag.evidence),
        )
        for tag in tags
        if tag.code in skills
    )


def _place(start: int, end: int, words: str, matched: str, *, title: str) -> Quote:
    """The tagger counts in title, newline, description; words that begin in the title are the title's."""
    behind = len(title) + 1
    if start < len(title):
        return Quote("title", start, min(end, len(title)), words[: len(title) - start], matched)
    return Quote("description", start - behind, end - behind, words, matched)
