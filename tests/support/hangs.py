"""What hangs is named and ended, what fails is said at once: a plugin of the test run.

pytest-timeout fails a test that takes too long from within, by an exception in whatever runs when the time is up. It does so
once a test: a fixture that hangs afterwards, or a task that swallows the exception, would hang the run for ever. Here a phase
that outlasts that by far ends its process from outside, with the stacks of all threads. Where tests run side by side (`-n`) the
report names the test, and nothing is tried again (`--max-worker-restart 0`: xdist would begin with what hung, for ever).
"""

import faulthandler
import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager

import pytest

GRACE_SECONDS = 60


class HangWatch:
    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._stderr = os.dup(2)  # pytest captures the other while tests run

    @contextmanager
    def _watching(self, item: pytest.Item) -> Iterator[None]:
        marker = item.get_closest_marker("timeout")
        seconds = float(marker.args[0] if marker else self._config.getoption("timeout") or self._config.getini("timeout"))
        faulthandler.dump_traceback_later(seconds + GRACE_SECONDS, exit=True, file=self._stderr)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()

    # Each phase anew: when one fails, pytest's own plugin for faults takes back what is set.
    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, object, object]:
        with self._watching(item):
            return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        with self._watching(item):
            return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, object, object]:
        with self._watching(item):
            return (yield)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A run that is ended from outside has no summary."""
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        if report.failed and reporter is not None and not hasattr(self._config, "workerinput"):
            reporter.write_line(f"\n{report.when} of {report.nodeid} failed:\n{report.longreprtext[-3000:]}")
