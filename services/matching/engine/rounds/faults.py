"""Why a round cannot be computed: sentences for the officer who asked for it."""


class RoundCannotBe(Exception):
    """The message is French: what stands in the way, and what to do about it."""


class InputsUnreadable(Exception):
    """Stored inputs that this version does not read; the message says which do, or that the bytes were changed."""
