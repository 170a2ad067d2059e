"""Ports that stay free until somebody listens."""

import socket
from pathlib import Path

import pytest

from cli import ports

RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def test_what_somebody_listens_on_is_not_free() -> None:
    with socket.socket() as server:
        port = ports.find_free_port()
        server.bind((ports.LOOPBACK, port))
        server.listen()
        assert not ports.is_free(port)
    assert ports.is_free(port)


@pytest.mark.skipif(not RANGE.exists(), reason="the range is told by Linux alone")
def test_no_outgoing_connection_takes_one() -> None:
    lowest, highest = map(int, RANGE.read_text().split())
    assert all(not lowest <= ports.find_free_port() <= highest for _ in range(100))


def test_says_so_when_all_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "is_free", lambda port: False)
    with pytest.raises(OSError, match=r"no free port on 127\.0\.0\.1 between 20000 and 32000"):
        ports.find_free_port()
