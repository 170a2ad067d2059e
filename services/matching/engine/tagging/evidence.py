"""Which words of a text speak for a skill, and what of the referential they are."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from services.matching.engine.tagging.features import is_stem
from services.matching.engine.tagging.phrases import Voice
from services.matching.engine.tagging.profile import Profiler, Reading

_MOST = 4
_LEAST_GAIN = 0.15  # of a word: less is chance
_LEAST_RARITY = 6.3  # of a word: in more than about one phrase of two hundred it proves nothing to a reader
_LEAST_SIMILARITY = 0.3  # of a clause and a phrase
_CLAUSE = re.compile(r"[^.!?;:\n]+[.!?;:]*")


class Match(StrEnum):
    """What words of a text are to the referential, the surest first."""

    NAME = "name"
    SYNONYM = "synonym"
    TITLE = "title"
    TOOL = "tool"
    PHRASE = "phrase"  # the words stand in something that associations or volunteers say of the skill
    MEANING = "meaning"  # other words, the same meaning: found by the sentence model


_MATCH_OF_VOICE = {
    Voice.NAME: Match.NAME,
    Voice.SYNONYM: Match.SYNONYM,
    Voice.TITLE: Match.TITLE,
    Voice.TOOL: Match.TOOL,
}


@dataclass(frozen=True)
class Evidence:
    """Reading.text[start:end] (title, a line's end, description) is `words`; `matched`: the referential's own words."""

    start: int
    end: int
    words: str
    match: Match
    matched: str


def find_evidence(profiler: Profiler, reading: Reading, code: str) -> tuple[Evidence, ...]:
    """The best four at most, the surest first; none where only what cannot be shown (letters) spoke for the skill."""
    found = sorted(_terms(reading, code), key=lambda evidence: (list(Match).index(evidence.match), evidence.start))
    if code in profiler.trained.codes:
        found += _words(profiler, reading, code)
    chosen = _without_overlaps(found)
    if len(chosen) < _MOST and code in profiler.trained.codes:
        shown = {(evidence.start, evidence.end) for evidence in chosen}
        chosen += [evidence for evidence in _meaning(profiler, reading, code) if (evidence.start, evidence.end) not in shown]
    return tuple(chosen[:_MOST])


def _terms(reading: Reading, code: str) -> Iterator[Evidence]:
    for hit in reading.hits:
        if hit.phrase.code == code:
            start, end = reading.tokens[hit.first].start, reading.tokens[hit.last].end
            yield Evidence(start, end, reading.text[start:end], _MATCH_OF_VOICE[hit.phrase.voice], hit.phrase.text)


def _words(profiler: Profiler, reading: Reading, code: str) -> list[Evidence]:
    """Words that the classifier counts for the skill, each with a phrase of the skill that has it."""
    place, lexical = profiler.place_of[code], profiler.trained.lexical
    gains: dict[str, float] = {}
    for name, weight in lexical.weigh(reading.text).items():
        gain = weight * float(lexical.gains_of(name)[place]) if is_stem(name) else 0.0
        if gain > _LEAST_GAIN and lexical.rarity_of(name) > _LEAST_RARITY:
            gains[name] = gain
    phrases = profiler.phrases_with_stems(code)
    best = [name for name in sorted(gains, key=lambda name: -gains[name]) if name in phrases][:_MOST]
    return [
        Evidence(token.start, token.end, reading.text[token.start : token.end], Match.PHRASE, phrases[name])
        for name in best
        if (token := next((token for token in reading.tokens if "=" + token.stem == name), None))
    ]


def _meaning(profiler: Profiler, reading: Reading, code: str) -> list[Evidence]:
    """The clause of the text that is nearest to something people say of the skill."""
    if not profiler.meanings:
        return []
    meaning, model = profiler.meanings[0]  # the quicker one: this only chooses what to show
    spans = [(found.start(), found.end()) for found in _CLAUSE.finditer(reading.text) if found[0].strip()]
    phrases = profiler.sayings_of(code)
    clauses = meaning.place(model.embed([reading.text[start:end] for start, end in spans]))
    similarities = clauses @ meaning.place(model.embed(phrases)).T
    clause, phrase = np.unravel_index(int(similarities.argmax()), similarities.shape)
    if similarities[clause, phrase] < _LEAST_SIMILARITY:
        return []
    start, end = spans[clause]
    words = reading.text[start:end]
    start += len(words) - len(words.lstrip())
    words = words.strip()
    return [Evidence(start, start + len(words), words, Match.MEANING, phrases[phrase])]


def _without_overlaps(found: list[Evidence]) -> list[Evidence]:
    chosen: list[Evidence] = []
    for evidence in found:
        if all(evidence.end <= other.start or other.end <= evidence.start for other in chosen):
            chosen.append(evidence)
    return chosen
