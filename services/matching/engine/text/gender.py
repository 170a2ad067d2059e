"""French titles said twice, once for each gender: “Accueillant / Accueillante”, “chargé·e”, “vendeur (H/F)”.

A text that says both says one thing; so does the masculine alone, or the feminine alone. Everything is led back to the
masculine, which French dictionaries and taxonomies file their entries under. No meaning hangs on it: it is only the
spelling that two texts are compared in.
"""

import re
from itertools import pairwise

# Feminine ending, masculine ending; on words in lower case without accents. The first that fits is taken.
_ENDINGS = (
    ("trice", "teur"),
    ("drice", "deur"),
    ("euse", "eur"),
    ("eure", "eur"),
    ("eresse", "eur"),
    ("cheffe", "chef"),
    ("hotesse", "hote"),
    ("maitresse", "maitre"),
    ("ere", "er"),
    ("enne", "en"),
    ("onne", "on"),
    ("elle", "el"),
    ("ive", "if"),
    ("ee", "e"),
)
# Between the two halves of a title these are pairs, too; on a word alone they would be a guess ("alerte" is no "alert").
_PAIRED = (
    *_ENDINGS,
    ("ale", "al"),
    ("euse", "er"),
    ("rice", "er"),
    ("rice", "eur"),
    ("elle", "eau"),
    ("woman", "man"),
    ("ette", "et"),
    ("esse", "e"),
    ("que", "c"),
    ("se", "x"),
    ("a", "o"),
    ("e", ""),
)
_IRREGULAR = {
    ("homme", "femme"),
    ("hommes", "femmes"),
    ("steward", "hotesse"),
    ("garcon", "fille"),
    ("barman", "barmaid"),
    ("le", "la"),
    ("un", "une"),
}

_BOTH_GENDERS = re.compile(
    r"[\s(\[,–-]*\b(?:h\s?[/.-]\s?f|f\s?[/.-]\s?h|m\s?/\s?f(?:\s?/\s?d)?|m\s?/\s?w\s?/\s?d)\b[)\]]*", re.IGNORECASE
)
_SUFFIX = r"(?:trices?|rices?|euses?|eresses?|i?[eè]res?|i?ennes?|onnes?|esses?|elles?|nes?|les?|ves?|ses?|es?|s)"
# A dot, dash or slash also stands between words: after those, only endings that are no word themselves.
_SAFE_SUFFIX = r"(?:trices?|rices?|euses?|eresses?|i?[eè]res?|i?ennes?|nes?|ves?|ses|es?)"
_INCLUSIVE = (
    re.compile(rf"(?<=\w\w)[·•‧∙]{_SUFFIX}(?:[·•‧∙]s)?\b", re.IGNORECASE),
    re.compile(rf"(?<=\w\w)[(]{_SUFFIX}[)]s?", re.IGNORECASE),
    re.compile(r"(?<=\w\w\w)/(?:se|le|te)(?![\w'’])", re.IGNORECASE),
    re.compile(rf"(?<=\w\w)[./-]{_SAFE_SUFFIX}(?:[./-]s)?(?![\w'’])", re.IGNORECASE),
)
_ACCENTS = str.maketrans("àâäçéèêëîïôöùûüÿ", "aaaceeeeiioouuuy")


def without_inclusive_marks(text: str) -> str:
    """“chargé·e·s”, “conseiller(ère)”, “agent.e”, “vendeur (H/F)” as their masculine; everything else as it was."""
    text = _BOTH_GENDERS.sub("", text)
    for marks in _INCLUSIVE:
        text = marks.sub("", text)
    return text


def in_one_gender(text: str) -> str:
    """A title that names both genders around a slash, in the masculine alone, with what follows either.

    “Agent / Agente d'accueil” and “agent d'accueil/agente d'accueil” are both “Agent d'accueil”. A slash between words
    that are no pair (“entretien/propreté”) stays.
    """
    for separator, joint in ((r"\s+/\s*|\s*/\s+", " / "), (r"/", "/")):
        text = _fold_segments(re.split(separator, text), joint)
    return text


def masculine_word(word: str) -> str:
    """The masculine ending of a word in lower case without accents; consistent, not always a word (“dangereuse” and
    “dangereux” both give “dangereur”)."""
    if len(word) < 5:
        return word
    for ending, base in _ENDINGS:
        if word.endswith(ending):
            return word[: -len(ending)] + base
    if word.endswith("eux"):
        return word[:-3] + "eur"
    return word


def are_counterparts(one: str, other: str) -> bool:
    """Are these one word in two genders, or the same word? Compounds (“monteur-vendeur”) are compared part by part."""
    one, other = _bare(one), _bare(other)
    if one == other:
        return True
    first, second = re.split(r"[-/]", one), re.split(r"[-/]", other)
    if len(first) != len(second):
        return False
    return all(a == b or is_feminine_of(b, a) or is_feminine_of(a, b) for a, b in zip(first, second, strict=True))


def is_feminine_of(feminine: str, masculine: str) -> bool:
    """Both in lower case without accents."""
    if (masculine, feminine) in _IRREGULAR:
        return True
    singular = (feminine.removesuffix("s"), masculine.removesuffix("s"))
    return any(
        len(masc) > 2 and fem.endswith(ending) and fem[: -len(ending)] + base == masc
        for fem, masc in {singular, (singular[0], masculine)}
        for ending, base in _PAIRED
    )


def _fold_segments(segments: list[str], joint: str) -> str:
    kept = segments[0]
    for left, right in pairwise(segments):
        merged = _merge(kept.split(), right.split()) if left.strip() and right.strip() else None
        kept = merged if merged is not None else f"{kept}{joint}{right}"
    return kept


def _merge(left: list[str], right: list[str]) -> str | None:
    """The last words of `left` are the first of `right` in the other gender: as many as can be, one differing at least."""
    if left == right or (len(left) > 2 and left[1:] == right[1:]):
        return " ".join(left)
    for count in range(min(len(left), len(right)), 0, -1):
        head, tail = left[-count:], right[:count]
        if not all(are_counterparts(a, b) for a, b in zip(head, tail, strict=True)):
            continue
        differing = [(a, b) for a, b in zip(head, tail, strict=True) if _bare(a) != _bare(b)]
        if not differing:
            continue
        masculine = tail if is_feminine_of(*(_bare(word) for word in differing[0])) else head
        return " ".join([*left[:-count], *masculine, *right[count:]])
    return None


def _bare(word: str) -> str:
    return word.lower().translate(_ACCENTS).strip(",;:.()’'")
