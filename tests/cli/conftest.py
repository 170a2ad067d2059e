"""A platform that is played: a real HTTP server on loopback that answers as the test says."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from cli.console import console, errors

Answer = tuple[int, dict[str, Any]] | tuple[int, dict[str, Any], dict[str, str]]


@dataclass
class Platform:
    """`answer` gets method, path and body; `seen` holds what came in, without sign-ins."""

    url: str = ""
    answer: Callable[[str, str, Any], Answer] = lambda method, path, body: (200, {})
    seen: list[tuple[str, str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    sign_ins: int = 0
    most_at_once: int = 0
    _at_once: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def handle(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        if path == "/oauth/token":
            self.sign_ins += 1
            return 200, {"access_token": f"token-{self.sign_ins}", "expires_in": 3600}
        with self._lock:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            content = json.loads(body) if body else None
            self.seen.append((method, path, content))
            self.headers.append(headers)
        try:
            return self.answer(method, path, content)
        finally:
            with self._lock:
                self._at_once -= 1


@pytest.fixture(autouse=True)
def wide_console(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables are as wide wherever tests run: of a worker that writes nowhere, rich takes the width to be 80."""
    monkeypatch.setattr(console, "width", 140)
    monkeypatch.setattr(errors, "width", 140)


@pytest.fixture
def platform() -> Iterator[Platform]:
    played = Platform()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def play(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, content, *more = played.handle(self.command, self.path, body, headers)
            text = json.dumps(content).encode()
            self.send_response(status)
            for name, value in {"content-length": str(len(text)), **(more[0] if more else {})}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_PUT = do_POST = do_PATCH = play

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    played.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield played
    server.shutdown()
    thread.join()
    server.server_close()
