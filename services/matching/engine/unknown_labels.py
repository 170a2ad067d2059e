"""Labels from real use that no skill knows: what synonyms are best added for."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches

from services.matching.engine.skills import normalise_label
from services.matching.engine.vocabulary import Vocabulary

MOST_NEAREST = 3
# Of the letters two labels share, from where on one may be meant for the other.
CLOSE = 0.8


@dataclass(frozen=True)
class UnknownLabel:
    """`label`: as it is written most often. `nearest`: codes of skills that it may be meant for."""

    label: str
    needs: int
    offers: int
    last_written_on: datetime
    nearest: tuple[str, ...] = ()


Written = tuple[str, int, datetime]  # label, how often, last when


def merge_unknown(
    needs: Iterable[Written], offers: Iterable[Written], vocabulary: Vocabulary, *, limit: int
) -> list[UnknownLabel]:
    """One a label, however it is written; those that name a skill by now are left out. The most frequent first."""
    found: dict[str, UnknownLabel] = {}
    for written, of_needs in ((needs, True), (offers, False)):
        for label, times, last in written:
            key = normalise_label(label)
            known = found.get(key) or UnknownLabel(label, 0, 0, last)
            found[key] = UnknownLabel(
                known.label,
                known.needs + times * of_needs,
                known.offers + times * (not of_needs),
                max(known.last_written_on, last),
            )
    unknown = [one for one in found.values() if vocabulary.referential.find_code(one.label) is None]
    unknown.sort(key=lambda one: (-one.needs - one.offers, normalise_label(one.label)))
    nearest = _make_finder(vocabulary)
    return [UnknownLabel(one.label, one.needs, one.offers, one.last_written_on, nearest(one.label)) for one in unknown[:limit]]


def _make_finder(vocabulary: Vocabulary) -> Callable[[str], tuple[str, ...]]:
    codes = vocabulary.referential.code_of_label
    labels = list(codes)

    def find(label: str) -> tuple[str, ...]:
        spelled = [codes[close] for close in get_close_matches(normalise_label(label), labels, n=MOST_NEAREST, cutoff=CLOSE)]
        worded = [skill.code for skill in vocabulary.index.find(label)]
        return tuple(dict.fromkeys(spelled + worded))[:MOST_NEAREST]

    return find
