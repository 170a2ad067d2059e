"""Whole numbers and amounts in French words, as a receipt must bear them.

Traditional spelling (a hyphen below a hundred, none around `et`), which every tax office reads. Written here rather than
taken from a library: it is forty lines, has no state, and is tested against its own inverse for every number.
"""

GREATEST = 10**12 - 1

# fmt: off
_SMALL = (
    "zéro", "un", "deux", "trois", "quatre", "cinq", "six", "sept", "huit", "neuf", "dix", "onze", "douze", "treize", "quatorze",
    "quinze", "seize", "dix-sept", "dix-huit", "dix-neuf",
)
# fmt: on
_TENS = {2: "vingt", 3: "trente", 4: "quarante", 5: "cinquante", 6: "soixante", 8: "quatre-vingt"}
_NOUNS = ((10**9, "milliard"), (10**6, "million"))


def number_words(number: int) -> str:
    """`quatre-vingt-un mille deux cents` for 81 200. Raises ValueError below 0 and from 10^12."""
    if not 0 <= number <= GREATEST:
        raise ValueError(f"{number} is not written in words here; 0 to {GREATEST}")
    if number == 0:
        return _SMALL[0]
    words = []
    for size, noun in _NOUNS:
        count, number = divmod(number, size)
        if count:
            words.append(f"{_below_thousand(count)} {noun}{'s' if count > 1 else ''}")
    thousands, rest = divmod(number, 1000)
    if thousands:
        # `mille` is no noun: it takes no s, is not counted when alone, and takes the s of what stands before it.
        words.append("mille" if thousands == 1 else f"{_below_thousand(thousands, final=False)} mille")
    if rest:
        words.append(_below_thousand(rest))
    return " ".join(words)


def amount_words(cents: int) -> str:
    """`mille deux cents euros et cinquante centimes` for 120 050."""
    euros, rest = divmod(cents, 100)
    parts = []
    if euros or not rest:
        # A noun asks for `de`: deux millions d'euros, but deux millions cent euros.
        link = " d'" if euros and euros % 10**6 == 0 else " "
        parts.append(f"{number_words(euros)}{link}{'euros' if euros > 1 else 'euro'}")
    if rest:
        parts.append(f"{number_words(rest)} {'centimes' if rest > 1 else 'centime'}")
    return " et ".join(parts)


def _below_thousand(number: int, *, final: bool = True) -> str:
    """`final`: whether `cent` and `quatre-vingt` may take their plural s here (not before `mille`)."""
    hundreds, rest = divmod(number, 100)
    if not hundreds:
        return _below_hundred(rest, final=final)
    head = "cent" if hundreds == 1 else f"{_SMALL[hundreds]} cent"
    if not rest:
        return head + ("s" if hundreds > 1 and final else "")
    return f"{head} {_below_hundred(rest, final=final)}"


def _below_hundred(number: int, *, final: bool) -> str:
    if number < 20:
        return _SMALL[number]
    tens, unit = divmod(number, 10)
    if tens in {7, 9}:  # counted from sixty and from eighty
        tens, unit = tens - 1, unit + 10
    if not unit:
        return _TENS[tens] + ("s" if tens == 8 and final else "")
    if unit in {1, 11} and tens != 8:
        return f"{_TENS[tens]} et {_SMALL[unit]}"
    return f"{_TENS[tens]}-{_SMALL[unit]}"
