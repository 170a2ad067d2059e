"""`python -m services.matching.engine.tagging.build`: learn the model from the referential, and write it.

Needs the sentence models that the `sentences` extra brings; some ten minutes, nearly all of them the slower model's. With
`--vectors FILE` what was embedded is kept there, and the next build embeds only what is new. `--check` writes nothing and
fails where the model is stale; either way the referential's own files are checked first.
"""

import argparse
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from services.matching.engine.referential import ReferentialFault, check_referential, load_referential
from services.matching.engine.tagging.model import FILE, StaleModel, check_features, read_model, train, write_model
from services.matching.engine.text.encoder import SentenceModel, Vectors, find_sentence_model

MODELS = ("use", "e5")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Learn the skills model from the referential.")
    parser.add_argument("--check", action="store_true", help="only say whether the file is of this referential")
    parser.add_argument("--vectors", type=Path, help="keep the phrases' vectors in this file from build to build")
    given = parser.parse_args(arguments)
    try:
        check_referential()
    except ReferentialFault as fault:
        print(fault, file=sys.stderr)  # noqa: T201
        return 1
    referential = load_referential()
    if given.check:
        try:
            check_features(read_model(referential))
        except StaleModel as stale:
            print(stale, file=sys.stderr)  # noqa: T201
            return 1
        return 0
    models = [model for name in MODELS if (model := find_sentence_model(name)) is not None]
    if len(models) < len(MODELS):
        print("The sentence models are missing: install the `sentences` extra, then build again.", file=sys.stderr)  # noqa: T201
        return 1
    write_model(train(referential, embedders=[_Remembering(model, given.vectors) for model in models]), referential)
    print(f"{FILE}: {FILE.stat().st_size / 1e6:.1f} MB, {len(referential.skills)} skills")  # noqa: T201
    return 0


class _Remembering:
    """A sentence model that keeps what it embedded in a file."""

    def __init__(self, model: SentenceModel, file: Path | None) -> None:
        self.name = model.name
        self._model = model
        self._file = file.with_suffix(f".{model.name}.npz") if file else None

    def embed(self, texts: Sequence[str]) -> Vectors:
        known = self._read()
        keys = [hashlib.sha256(text.encode()).hexdigest() for text in texts]
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        known |= dict(zip(new, self._model.embed(list(new.values())), strict=True))
        vectors = np.stack([known[key] for key in keys])
        if self._file:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            np.savez(
                self._file, keys=np.array(list(dict.fromkeys(keys))), vectors=np.stack([known[k] for k in dict.fromkeys(keys)])
            )
        return vectors

    def _read(self) -> dict[str, Vectors]:
        if self._file is None or not self._file.is_file():
            return {}
        with np.load(self._file) as kept:
            return dict(zip(kept["keys"].tolist(), kept["vectors"], strict=True))


if __name__ == "__main__":
    sys.exit(main())
