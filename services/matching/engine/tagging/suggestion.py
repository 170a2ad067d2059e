"""A text's skills, for a person to confirm or correct: three to five of the referential's, each with its evidence."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from services.matching.engine.referential import Referential, load_referential
from services.matching.engine.tagging.evidence import Evidence, find_evidence
from services.matching.engine.tagging.model import TrainedModel, read_model
from services.matching.engine.tagging.phrases import Voice
from services.matching.engine.tagging.profile import Addition, Profiler, Reading, Scores
from services.matching.engine.text.encoder import SentenceModel, find_sentence_model

_FEWEST, _MOST = 3, 5
_NAMED = 0.15
_WORTH_NAMING = 0.05  # a share below is named only to make three


@dataclass(frozen=True)
class Tag:
    """`share`: how likely the skill is the one meant, 0 to 1; those of a text sum to 1 at most."""

    code: str
    label: str
    share: float
    evidence: tuple[Evidence, ...]


def suggest_skills(
    title: str,
    description: str,
    *,
    kind: Literal["need", "offer"],
    referential: Referential | None = None,
    additions: Sequence[Addition] = (),
    sentences: bool = True,
) -> tuple[Tag, ...]:
    """Three to five tags, the likeliest first; none where nothing in the text is known (empty, or another language).

    `additions`: an officer's own words and skills, which hold at once. `sentences=False` leaves the sentence model out, as if
    its extra were not installed. Raises StaleModel where the trained file is not of this referential. `kind` says who speaks;
    both are read alike today.
    """
    del kind
    profiler = make_profiler(referential or load_referential(), additions=additions, sentences=sentences)
    return tag_reading(profiler, profiler.read(title, description))


def make_profiler(
    referential: Referential, *, additions: Sequence[Addition] = (), sentences: bool = True, thorough: bool = False
) -> Profiler:
    """A profiler with what is installed here; the same one again for the same questions of a process.

    `thorough` reads with all sentence models: better by a little, slower by much. Else with the quickest alone, while a person
    waits. `sentences=False`: with none.
    """
    return _make_profiler(_Held(referential), tuple(additions), sentences, thorough)


def tag_reading(profiler: Profiler, reading: Reading, *, with_evidence: bool = True) -> tuple[Tag, ...]:
    """The tags of a text that was read; finding the evidence is most of the work."""
    if not reading.known:
        return ()
    shares = _prefer_named(profiler, reading)
    order = np.argsort(-shares, kind="stable")[:_MOST]
    chosen = [int(place) for rank, place in enumerate(order) if rank < _FEWEST or shares[place] >= _WORTH_NAMING]
    return tuple(
        Tag(
            profiler.codes[place],
            profiler.label_of(profiler.codes[place]),
            round(float(shares[place]), 4),
            find_evidence(profiler, reading, profiler.codes[place]) if with_evidence else (),
        )
        for place in chosen
    )


def _prefer_named(profiler: Profiler, reading: Reading) -> Scores:
    """The shares, with more for skills that the text calls by their name: a list of skills is read one by one."""
    spans: dict[tuple[int, int], set[str]] = {}
    for hit in reading.hits:
        if hit.phrase.voice in {Voice.NAME, Voice.SYNONYM}:
            spans.setdefault((hit.first, hit.last), set()).add(hit.phrase.code)
    named = np.zeros_like(reading.shares)
    for codes in spans.values():
        for code in codes:
            named[profiler.place_of[code]] = max(named[profiler.place_of[code]], _NAMED / len(codes))
    shares = reading.shares + named
    return np.asarray(shares / shares.sum(), dtype=np.float32)


class _Held:
    """A referential as a cache's key: the same object, not equal contents (which take long to compare)."""

    def __init__(self, referential: Referential) -> None:
        self.referential = referential

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Held) and other.referential is self.referential

    def __hash__(self) -> int:
        return id(self.referential)


@lru_cache(maxsize=1)
def _load_trained(held: _Held) -> TrainedModel:
    return read_model(held.referential)


@lru_cache(maxsize=16)
def _make_profiler(held: _Held, additions: tuple[Addition, ...], sentences: bool, thorough: bool) -> Profiler:
    trained = _load_trained(held)
    models: dict[str, SentenceModel] = {}
    for meaning in trained.meanings if sentences else ():
        if (thorough or not models) and (model := find_sentence_model(meaning.model_name)) is not None:
            models[meaning.model_name] = model
    return Profiler(held.referential, trained, models=models, additions=additions)
