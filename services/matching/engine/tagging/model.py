"""What was learnt from the referential, in one file: `referential/model/skills.npz`. It is data: no code is in it.

It says which phrases and which features it was learnt from. One that was learnt from others is stale, and refused.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from services.matching.engine.referential import Referential
from services.matching.engine.tagging.features import FEATURES_VERSION
from services.matching.engine.tagging.lexical import LexicalClassifier, train_lexical
from services.matching.engine.tagging.meaning import MeaningClassifier, train_meaning
from services.matching.engine.tagging.phrases import Phrase, Voice, digest_phrases, list_phrases
from services.matching.engine.text.encoder import SentenceModel

FILE = Path(__file__).parents[2] / "referential" / "model" / "skills.npz"
REBUILD = "python -m services.matching.engine.tagging.build"
_DIMENSION = 192
# A tool's name alone ("Excel") has no meaning that a sentence model could place; a definition is nobody's way to speak.
_WITH_MEANING = frozenset({Voice.NAME, Voice.SYNONYM, Voice.TITLE, Voice.ASK, Voice.GIVE})
_GAIN_STEP = 32.0  # gains are kept as bytes, in steps of a thirty-second


class StaleModel(RuntimeError):
    """The file was learnt from another referential, or by another version of this code; it says how to build it anew."""


@dataclass(frozen=True)
class TrainedModel:
    """`codes`: the skills in the order of all numbers of skills below; `phrases` in the order of all numbers of phrases."""

    codes: tuple[str, ...]
    phrases: tuple[Phrase, ...]
    lexical: LexicalClassifier
    meanings: tuple[MeaningClassifier, ...]


def train(referential: Referential, *, models: Sequence[SentenceModel]) -> TrainedModel:
    """Deterministic: the same phrases and models give the same numbers."""
    phrases = list_phrases(referential)
    codes = tuple(referential.skills)
    number = {code: place for place, code in enumerate(codes)}
    lexical = train_lexical(
        [phrase.text for phrase in phrases], [number[phrase.code] for phrase in phrases], skill_count=len(codes)
    )
    chosen = [place for place, phrase in enumerate(phrases) if phrase.voice in _WITH_MEANING]
    meanings = tuple(
        train_meaning(
            model.name,
            model.embed([phrases[place].text for place in chosen]),
            phrase_numbers=chosen,
            skills=[number[phrases[place].code] for place in chosen],
            dimension=_DIMENSION,
        )
        for model in models
    )
    return TrainedModel(codes, phrases, _as_kept(lexical), meanings)


def write_model(model: TrainedModel, file: Path = FILE) -> None:
    """The same model gives the same bytes."""
    about = {
        "features": FEATURES_VERSION,
        "phrases": digest_phrases(model.phrases),
        "meanings": [{"model": meaning.model_name, "spread": meaning.spread} for meaning in model.meanings],
    }
    lexical = model.lexical
    arrays: dict[str, Any] = {
        "about": _bytes_of(json.dumps(about, sort_keys=True)),
        "features": _bytes_of("\n".join(lexical.features)),
        "rarity": lexical.rarity.astype(np.float16),
        "row_sizes": np.diff(lexical.starts).astype(np.uint16),
        "columns": lexical.columns.astype(np.uint8 if len(model.codes) <= 256 else np.int16),
        "gains": np.rint(lexical.gains * _GAIN_STEP).astype(np.uint8),
        "floor": lexical.floor,
    }
    for place, meaning in enumerate(model.meanings):
        arrays |= {
            f"mean_{place}": meaning.mean.astype(np.float16),
            f"map_{place}": meaning.map.astype(np.float16),
            f"points_{place}": meaning.points,
            f"phrase_numbers_{place}": meaning.phrase_numbers,
            f"skills_{place}": meaning.skills,
        }
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(file, **arrays)


def read_model(referential: Referential, file: Path = FILE) -> TrainedModel:
    """Raises StaleModel where the file is missing, or was not learnt from this referential by this code."""
    if not file.is_file():
        raise StaleModel(f"{file} is missing; build it: {REBUILD}")
    with np.load(file, allow_pickle=False) as arrays:
        about = json.loads(arrays["about"].tobytes())
        phrases = list_phrases(referential)
        if about["features"] != FEATURES_VERSION or about["phrases"] != digest_phrases(phrases):
            raise StaleModel(f"{file} was learnt from another referential or by other code; build it anew: {REBUILD}")
        lexical = LexicalClassifier(
            features=tuple(arrays["features"].tobytes().decode().split("\n")),
            rarity=arrays["rarity"].astype(np.float32),
            starts=np.concatenate([[0], np.cumsum(arrays["row_sizes"], dtype=np.int64)]),
            columns=arrays["columns"].astype(np.int16),
            gains=arrays["gains"].astype(np.float32) / np.float32(_GAIN_STEP),
            floor=arrays["floor"],
        )
        meanings = tuple(
            MeaningClassifier(
                model_name=kept["model"],
                mean=arrays[f"mean_{place}"].astype(np.float32),
                map=arrays[f"map_{place}"].astype(np.float32),
                points=arrays[f"points_{place}"],
                phrase_numbers=arrays[f"phrase_numbers_{place}"],
                skills=arrays[f"skills_{place}"],
                spread=kept["spread"],
            )
            for place, kept in enumerate(about["meanings"])
        )
    return TrainedModel(tuple(referential.skills), phrases, lexical, meanings)


def _as_kept(lexical: LexicalClassifier) -> LexicalClassifier:
    """As it will be read from the file again."""
    return LexicalClassifier(
        features=lexical.features,
        rarity=lexical.rarity.astype(np.float16).astype(np.float32),
        starts=lexical.starts,
        columns=lexical.columns,
        gains=(np.rint(lexical.gains * _GAIN_STEP) / _GAIN_STEP).astype(np.float32),
        floor=lexical.floor,
    )


def _bytes_of(text: str) -> "np.ndarray[Any, np.dtype[np.uint8]]":
    return np.frombuffer(text.encode(), dtype=np.uint8)
