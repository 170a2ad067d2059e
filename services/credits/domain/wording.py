"""Figures as French readers write them."""

from fractions import Fraction

THIN_SPACE = "\u202f"


def number_text(number: int) -> str:
    """1 275, with a narrow no-break space."""
    return f"{number:,}".replace(",", THIN_SPACE)


def hours_text(minutes: int) -> str:
    """2 h 15, 45 min."""
    hours, rest = divmod(minutes, 60)
    if not hours:
        return f"{rest}{THIN_SPACE}min"
    return f"{number_text(hours)}{THIN_SPACE}h" + (f"{THIN_SPACE}{rest:02d}" if rest else "")


def euros_text(cents: int) -> str:
    euros, rest = divmod(cents, 100)
    return f"{number_text(euros)},{rest:02d}{THIN_SPACE}€"


def decimal_text(value: Fraction, *, digits: int = 3) -> str:
    """At most `digits` decimals, rounded half up; trailing zeros left out."""
    scaled = int(value * 10**digits + Fraction(1, 2))
    whole, rest = divmod(scaled, 10**digits)
    decimals = f"{rest:0{digits}d}".rstrip("0")
    return number_text(whole) + (f",{decimals}" if decimals else "")
