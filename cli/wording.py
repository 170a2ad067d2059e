"""Figures and days as French readers write them, on a terminal."""

from datetime import date, datetime

from kernel.clock import local_date


def hours(minutes: int) -> str:
    """21 h 15, 45 min, 0 h."""
    sign, (whole, rest) = "−" if minutes < 0 else "", divmod(abs(minutes), 60)
    if not whole and rest:
        return f"{sign}{rest} min"
    return f"{sign}{_grouped(whole)} h" + (f" {rest:02d}" if rest else "")


def euros(cents: int) -> str:
    """1 250 €, 12,50 €."""
    sign, (whole, rest) = "−" if cents < 0 else "", divmod(abs(cents), 100)
    return f"{sign}{_grouped(whole)}" + (f",{rest:02d} €" if rest else " €")


def counted(number: int, words: str) -> str:
    """`words`, each of which takes an s from two on, after their number: 1 mission proposée, 5 missions proposées."""
    return f"{_grouped(number)} {words if abs(number) < 2 else ' '.join(f'{word}s' for word in words.split())}"


def day(text: str | None) -> str:
    """A day, or the town's day of an instant, out of the API's ISO 8601: 22/11/2026; a dash for none."""
    if not text:
        return "—"
    found = local_date(datetime.fromisoformat(text)) if "T" in text else date.fromisoformat(text)
    return f"{found:%d/%m/%Y}"


def _grouped(number: int) -> str:
    return f"{number:,}".replace(",", " ")
