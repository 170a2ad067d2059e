"""Figures as French readers write them, on a terminal."""


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


def _grouped(number: int) -> str:
    return f"{number:,}".replace(",", " ")
