"""Ports on loopback that stay free until somebody listens on them.

A port that the system picks (`bind` to 0) comes from the range of which it makes the near ends of all outgoing connections:
what is free in one moment may be taken in the next, and again whenever its server is stopped for a while. These come from
below that range (Linux: 32768 and up, ip(7); macOS and IANA: 49152 and up).
"""

import random
import socket

LOOPBACK = "127.0.0.1"
_LOWEST, _HIGHEST = 20_000, 32_000
_TRIES = 200


def is_free(port: int) -> bool:
    """Whether a server could listen there: as servers do it, a port in TIME_WAIT counts as free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def find_free_port() -> int:
    """One that nobody listens on. Raises OSError when there is none."""
    for _ in range(_TRIES):
        port = random.randint(_LOWEST, _HIGHEST)  # noqa: S311 - spreads them, guards nothing
        if is_free(port):
            return port
    raise OSError(f"no free port on {LOOPBACK} between {_LOWEST} and {_HIGHEST}")
