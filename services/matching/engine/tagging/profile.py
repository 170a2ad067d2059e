"""p(skill | text) over all skills: what words, terms and meaning say, together.

Few numbers decide how they are weighed, and they were chosen on the development set (tests/matching/evaluation/) alone.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from services.matching.engine.referential import Referential
from services.matching.engine.tagging.features import is_stem, list_stem_features
from services.matching.engine.tagging.model import TrainedModel
from services.matching.engine.tagging.phrases import TERMS, Phrase, Voice
from services.matching.engine.tagging.spelling import Speller
from services.matching.engine.tagging.terms import Hit, TermIndex, index_false_friends, index_terms
from services.matching.engine.tagging.tokens import Token, find_tokens
from services.matching.engine.text.encoder import SentenceModel, Vectors

Scores = npt.NDArray[np.float32]

_TERM, _LONG_TERM, _MISLED = 0.2, 0.4, 2.0  # a term of one word, of several; a phrase that means something else
_OWN_TERM = 6.0  # an officer's own word for a skill: said by a person, not learnt
_MEANING = (0.0, 1.0, 0.7)  # weight of each sentence model's scores, by how many models there are
_FLATNESS = (1.5, 1.65, 1.8)  # what scores are divided by to be logarithms of shares, likewise
_PARTS = 0.3  # what the mean of a text's clauses, read for their words alone, has of its shares: a text may want several things
_PART = re.compile(r"[.!?;:,\n]+")
_QUOTABLE = 100  # characters: longer texts are learnt from, not shown whole


@dataclass(frozen=True)
class Addition:
    """An officer's own word or phrase for a skill: one of the referential's, or the territory's own (`code` not in it)."""

    code: str
    phrase: str
    label: str = ""


@dataclass(frozen=True)
class Reading:
    """A text as it was read. Positions of `tokens` are in `text`, which is the title, a line's end, the description.

    `scores`: (skills,), in the order of `Profiler.codes`, higher is likelier; `shares`: the same as p(skill | text), sum 1.
    `placed`: the text's points in the spaces of meaning.
    """

    text: str
    tokens: tuple[Token, ...]
    hits: tuple[Hit, ...]
    misled: tuple[Hit, ...]
    placed: tuple[Vectors, ...]
    scores: Scores
    shares: Scores
    known: bool  # anything in it that the referential speaks of


class Profiler:
    """Reads texts. `models`: those sentence models that are there; without any, words alone decide.

    `additions` hold at once: what they say is found in texts as it stands, nothing is trained.
    """

    def __init__(
        self,
        referential: Referential,
        trained: TrainedModel,
        *,
        models: Mapping[str, SentenceModel],
        additions: Sequence[Addition] = (),
    ) -> None:
        self.referential = referential
        self.trained = trained
        self.meanings = [(meaning, models[meaning.model_name]) for meaning in trained.meanings if meaning.model_name in models]
        self.additions = tuple(additions)
        own = [addition.code for addition in additions if addition.code not in referential.skills]
        self.codes: tuple[str, ...] = (*trained.codes, *dict.fromkeys(own))
        self.place_of = {code: place for place, code in enumerate(self.codes)}
        self._phrases_by_stem: dict[str, dict[str, str]] = {}  # of the skills that were asked for
        self._own_terms = TermIndex(Phrase(addition.code, Voice.SYNONYM, addition.phrase) for addition in additions)

    def read(self, title: str, description: str) -> Reading:
        return self.read_all([(title, description)])[0]

    def read_all(self, texts: Sequence[tuple[str, str]]) -> list[Reading]:
        """(title, description) each; one call for many is quicker than many calls."""
        whole = [f"{title}. {description}" if description.strip() else title for title, description in texts]
        placed = [meaning.place(model.embed(whole)) for meaning, model in self.meanings]
        by_meaning = [meaning.score(points) for (meaning, _), points in zip(self.meanings, placed, strict=True)]
        return [
            self._read_one(title, description, [points[row] for points in placed], [scores[row] for scores in by_meaning])
            for row, (title, description) in enumerate(texts)
        ]

    def _read_one(self, title: str, description: str, placed: list[Vectors], by_meaning: list[Scores]) -> Reading:
        text = f"{title}\n{description}"
        read = list(find_tokens(text))
        tokens = [self._corrected(token) for token in read]
        misled = self._false_friends.find(tokens)
        hits = [
            hit
            for hit in self._terms.find(tokens)
            if not any(hit.phrase.code == other.phrase.code and hit.overlaps(other) for other in misled)
        ]
        # As they stand: to the speller a territory's own words are misspelt ones of the referential.
        own = self._own_terms.find(read) or self._own_terms.find(tokens)
        # What the title says, it says twice: people put there what they are after.
        weights = self.trained.lexical.weigh(f"{title} {title} {description}")
        scores = self._add_up(weights, hits, misled, by_meaning)
        scores = np.concatenate([scores, np.full(len(self.codes) - len(scores), scores.min(), dtype=np.float32)])
        for place in {self.place_of[hit.phrase.code] for hit in own}:
            scores[place] = max(scores[place], scores.max() - _OWN_TERM / 2) + _OWN_TERM
        known = bool(tokens) and (bool(hits or own) or any(is_stem(name) and not name[1:].isdigit() for name in weights))
        shares = _shares(scores / _FLATNESS[len(by_meaning)])
        return Reading(
            text, tuple(tokens), (*own, *hits), tuple(misled), tuple(placed), scores, self._with_parts(shares, text), known
        )

    def _add_up(self, weights: Mapping[str, float], hits: list[Hit], misled: list[Hit], by_meaning: list[Scores]) -> Scores:
        scores = self.trained.lexical.score(dict(weights))
        said: dict[tuple[int, int], set[str]] = {}
        for hit in hits:
            said.setdefault((hit.first, hit.last), set()).add(hit.phrase.code)
        best: dict[str, float] = {}
        for (first, last), codes in said.items():
            for code in codes:
                gain = (_TERM if first == last else _LONG_TERM) / len(codes)
                best[code] = max(best.get(code, 0.0), gain)
        for code, gain in best.items():
            scores[self.place_of[code]] += gain
        for code in {hit.phrase.code for hit in misled} - set(best):
            scores[self.place_of[code]] -= _MISLED
        for of_model in by_meaning:
            scores = scores + np.float32(_MEANING[len(by_meaning)]) * of_model
        return np.asarray(scores, dtype=np.float32)

    def _with_parts(self, shares: Scores, text: str) -> Scores:
        lexical, own = self.trained.lexical, len(self.codes) - len(self.trained.codes)
        weighed = [weights for part in _PART.split(text) if (weights := lexical.weigh(part))]
        if not weighed:
            return shares
        parts = np.mean([_shares(lexical.score(weights) / _FLATNESS[0]) for weights in weighed], axis=0)
        return np.asarray((1 - _PARTS) * shares + _PARTS * np.append(parts, np.zeros(own)), dtype=np.float32)

    def _corrected(self, token: Token) -> Token:
        right = self._speller.correct(token.stem)
        return replace(token, stem=right) if right else token

    def label_of(self, code: str) -> str:
        """The French name; of a territory's own skill the label it was given."""
        if skill := self.referential.skills.get(code):
            return skill.name_fr
        return next((addition.label or addition.phrase for addition in self.additions if addition.code == code), code)

    def phrases_with_stems(self, code: str) -> Mapping[str, str]:
        """Of a skill: the feature of a stem to the phrase to show for it, which is the shortest thing people say that has it
        (of a whole text a part), else the shortest term."""
        if code not in self._phrases_by_stem:
            said = [(phrase.voice in TERMS, part) for phrase in self._phrases_of[code] for part in _cut_to_quote(phrase.text)]
            by_stem: dict[str, str] = {}
            for _, part in sorted(said, key=lambda one: (one[0], len(one[1]))):
                for stem in list_stem_features(part):
                    by_stem.setdefault(stem, part)
            self._phrases_by_stem[code] = by_stem
        return self._phrases_by_stem[code]

    def sayings_of(self, code: str) -> list[str]:
        """What associations and volunteers say of a skill, in words few enough to be quoted."""
        skill = self.referential.skills[code]
        return [text for text in (*skill.asks, *skill.gives) if len(text) <= _QUOTABLE] or [skill.definition]

    @cached_property
    def _phrases_of(self) -> Mapping[str, list[Phrase]]:
        by_code: dict[str, list[Phrase]] = defaultdict(list)
        for phrase in self.trained.phrases:
            by_code[phrase.code].append(phrase)
        return by_code

    @cached_property
    def _speller(self) -> Speller:
        return Speller(name[1:] for name in self.trained.lexical.features if is_stem(name))

    @cached_property
    def _terms(self) -> TermIndex:
        return index_terms(self.trained.phrases)

    @cached_property
    def _false_friends(self) -> TermIndex:
        return index_false_friends(self.referential)


def _cut_to_quote(text: str) -> list[str]:
    """A text as it may be shown: whole, or where it is long, its parts."""
    return [text] if len(text) <= _QUOTABLE else [part.strip() for part in _PART.split(text) if part.strip()]


def _shares(scores: Scores) -> Scores:
    raised = np.exp(scores - scores.max())
    return np.asarray(raised / raised.sum(), dtype=np.float32)
