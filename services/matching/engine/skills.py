"""Skills in people's own words, made comparable."""

import re
import unicodedata
from functools import lru_cache

# Letters that Unicode does not decompose, and that French and its neighbours write both ways.
_LIGATURES = str.maketrans({"œ": "oe", "æ": "ae", "ø": "o", "ł": "l", "đ": "d", "ß": "ss"})
# `+` and `#` are part of names ("C++", "C#"); every other sign only separates words.
_SEPARATORS = re.compile(r"(?:[^\w+#]|_)+")


@lru_cache(maxsize=65536)
def normalise_label(label: str) -> str:
    """The label without case, accents, ligatures and punctuation: “Mise en Œuvre” and “mise-en-oeuvre” are one skill."""
    decomposed = unicodedata.normalize("NFKD", label.casefold())
    bare = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
    return _SEPARATORS.sub(" ", bare.casefold().translate(_LIGATURES)).strip() or label.strip().casefold()
