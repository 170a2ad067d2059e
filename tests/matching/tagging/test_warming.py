"""What reads texts can be loaded before the first text comes."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from kernel.database import Database
from services.matching.use_cases import suggestions
from services.matching.use_cases.suggestions import Suggester

WAIT_SECONDS = 30


@pytest.fixture
def suggester(make_database: Callable[[str], Database]) -> Suggester:
    return Suggester(make_database("matching"), threads=1, most_waiting=1)


class TestWarm:
    def test_a_text_is_read_beside_all_else(self, suggester: Suggester, monkeypatch: pytest.MonkeyPatch) -> None:
        read: list[str] = []
        done = threading.Event()

        def note(title: str, description: str, **_: Any) -> tuple[()]:
            read.append(threading.current_thread().name)
            done.set()
            return ()

        monkeypatch.setattr(suggestions, "suggest", note)
        suggester.warm()
        assert done.wait(WAIT_SECONDS)
        assert read[0].startswith("suggest")

    def test_what_cannot_be_loaded_is_told_in_the_log_and_stops_nothing(
        self, suggester: Suggester, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: Any, **__: Any) -> tuple[()]:
            raise RuntimeError("the model is stale")

        told = threading.Event()
        monkeypatch.setattr(suggestions, "suggest", fail)
        monkeypatch.setattr(suggestions.log, "error", lambda *_, **__: told.set())
        suggester.warm()
        assert told.wait(WAIT_SECONDS)
