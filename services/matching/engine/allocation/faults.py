"""What stops a round, each with the field at fault and the cure."""


class RoundFault(Exception):
    """Base of all that `allocate` raises on purpose."""


class BadRoundInput(RoundFault):
    """A table of the round contradicts itself; the message names table, row and cure."""


class InfeasiblePins(RoundFault):
    """Pins that cannot all hold. `conflicts`: one sentence for each limit they break."""

    def __init__(self, conflicts: tuple[str, ...]) -> None:
        super().__init__("; ".join(conflicts))
        self.conflicts = conflicts

    def __reduce__(self) -> tuple[type["InfeasiblePins"], tuple[tuple[str, ...]]]:
        """Pickled by its conflicts: a round runs in a child process."""
        return InfeasiblePins, (self.conflicts,)


class RoundStopped(RoundFault):
    """`should_stop` said so; nothing was decided. The message names the phase."""


class SolverFailed(RoundFault):
    """A solver gave no optimum of a problem that always has one: a bug, or numbers out of range."""
