"""What was learnt from the referential, in one file: `referential/model/skills.npz`. It is data: no code is in it.

It says which phrases and which features it was learnt from. One that was learnt from others is stale, and refused.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from services.matching.engine.referential import Referential
from services.matching.engine.tagging.features import FEATURES_VERSION
from services.matching.engine.tagging.lexical import LexicalClassifier, Scores, list_features, mix_skills, train_lexical
from services.matching.engine.tagging.meaning import MeaningClassifier, train_meaning
from services.matching.engine.tagging.phrases import Phrase, digest_referential, list_phrases
from services.matching.engine.text.encoder import Vectors

FILE = Path(__file__).parents[2] / "referential" / "model" / "skills.npz"
REBUILD = "make skills-model (python -m services.matching.engine.tagging.build)"
_DIMENSION = 192
# Masses are kept as bytes: logarithms in steps of a thirty-second, above a hundredth.
_STEP, _LEAST_MASS = 32.0, 0.01


class StaleModel(RuntimeError):
    """The file was learnt from another referential, or by another version of this code; it says how to build it anew."""


@dataclass(frozen=True)
class TrainedModel:
    """`codes`: the skills in the order of all numbers of skills below; `phrases` in the order of all numbers of phrases."""

    codes: tuple[str, ...]
    phrases: tuple[Phrase, ...]
    lexical: LexicalClassifier
    meanings: tuple[MeaningClassifier, ...]


class Embedder(Protocol):
    """A sentence model, or what stands for one."""

    name: str

    def embed(self, texts: Sequence[str]) -> Vectors: ...


def train(referential: Referential, *, embedders: Sequence[Embedder]) -> TrainedModel:
    """Deterministic: the same phrases and models give the same numbers."""
    phrases = list_phrases(referential)
    codes = tuple(referential.skills)
    number = {code: place for place, code in enumerate(codes)}
    skills = [number[phrase.code] for phrase in phrases]
    lexical = train_lexical([phrase.text for phrase in phrases], skills, mixing=_mixing(referential))
    meanings = tuple(
        train_meaning(model.name, model.embed([phrase.text for phrase in phrases]), skills, dimension=_DIMENSION)
        for model in embedders
    )
    return TrainedModel(codes, phrases, _as_kept(lexical), meanings)


def write_model(model: TrainedModel, referential: Referential, file: Path = FILE) -> None:
    """The same model gives the same bytes."""
    about = {
        "features": FEATURES_VERSION,
        "referential": digest_referential(referential),
        "meanings": [{"model": meaning.model_name, "spread": meaning.spread} for meaning in model.meanings],
    }
    lexical = model.lexical
    arrays: dict[str, Any] = {
        "about": _bytes_of(json.dumps(about, sort_keys=True)),
        "features": _bytes_of("\n".join(lexical.features)),
        "rarity": lexical.rarity.astype(np.float16),
        "row_sizes": np.diff(lexical.starts).astype(np.uint16),
        "columns": lexical.columns.astype(np.uint8 if len(model.codes) <= 256 else np.int16),
        "mass": _encode(lexical.mass),
        "totals": lexical.totals,
    }
    for place, meaning in enumerate(model.meanings):
        arrays |= {
            f"mean_{place}": meaning.mean.astype(np.float16),
            f"map_{place}": meaning.map.astype(np.float16),
            f"middles_{place}": meaning.middles.astype(np.float16),
        }
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(file, **arrays)


def read_model(referential: Referential, file: Path = FILE) -> TrainedModel:
    """Raises StaleModel where the file is missing, or was not learnt from this referential by this code."""
    if not file.is_file():
        raise StaleModel(f"{file} is missing; build it: {REBUILD}")
    with np.load(file, allow_pickle=False) as arrays:
        about = json.loads(arrays["about"].tobytes())
        if about["features"] != FEATURES_VERSION or about["referential"] != digest_referential(referential):
            raise StaleModel(f"{file} was learnt from another referential or by other code; build it anew: {REBUILD}")
        lexical = LexicalClassifier(
            features=tuple(arrays["features"].tobytes().decode().split("\n")),
            rarity=arrays["rarity"].astype(np.float32),
            starts=np.concatenate([[0], np.cumsum(arrays["row_sizes"], dtype=np.int64)]),
            columns=arrays["columns"].astype(np.int16),
            mass=_decode(arrays["mass"]),
            totals=arrays["totals"],
            mixing=_mixing(referential),
        )
        phrases = list_phrases(referential)
        meanings = tuple(
            MeaningClassifier(
                model_name=kept["model"],
                mean=arrays[f"mean_{place}"].astype(np.float32),
                map=arrays[f"map_{place}"].astype(np.float32),
                middles=arrays[f"middles_{place}"].astype(np.float32),
                spread=kept["spread"],
            )
            for place, kept in enumerate(about["meanings"])
        )
    return TrainedModel(tuple(referential.skills), phrases, lexical, meanings)


def check_features(model: TrainedModel) -> None:
    """Read all phrases anew, which takes some seconds. Raises StaleModel where words are stemmed otherwise than for the file."""
    if list_features([phrase.text for phrase in model.phrases]) != model.lexical.features:
        raise StaleModel(f"{FILE} was learnt from words that are now read otherwise; build it anew: {REBUILD}")


def _as_kept(lexical: LexicalClassifier) -> LexicalClassifier:
    """As it will be read from the file again."""
    return LexicalClassifier(
        features=lexical.features,
        rarity=lexical.rarity.astype(np.float16).astype(np.float32),
        starts=lexical.starts,
        columns=lexical.columns,
        mass=_decode(_encode(lexical.mass)),
        totals=lexical.totals,
        mixing=lexical.mixing,
    )


def _encode(mass: Scores) -> npt.NDArray[np.uint8]:
    return np.asarray(np.minimum(255, np.rint(np.log1p(mass / _LEAST_MASS) * _STEP)), dtype=np.uint8)


def _decode(kept: npt.NDArray[np.uint8]) -> Scores:
    return np.asarray(np.expm1(kept.astype(np.float32) / _STEP) * _LEAST_MASS, dtype=np.float32)


def _mixing(referential: Referential) -> Scores:
    codes = list(referential.skills)
    place = {code: number for number, code in enumerate(codes)}
    nearness = np.zeros((len(codes), len(codes)), dtype=np.float32)
    for code, near in referential.near_percents.items():
        for other, percent in near.items():
            nearness[place[code], place[other]] = percent / 100
    return mix_skills(nearness, [skill.parent for skill in referential.skills.values()])


def _bytes_of(text: str) -> "np.ndarray[Any, np.dtype[np.uint8]]":
    return np.frombuffer(text.encode(), dtype=np.uint8)
