"""In CI a test may be skipped only for a reason that `tests/allowed-skips.txt` lists: nothing is left out unseen."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ALLOWED = Path(__file__).with_name("allowed-skips.txt")


def _allowed() -> dict[str, str]:
    lines = [line for line in ALLOWED.read_text("utf-8").splitlines() if line and not line.startswith("#")]
    return dict(line.split("  ", 1) for line in lines)


class Skips:
    """Fails the run if something was skipped that is not on the list."""

    def __init__(self) -> None:
        self.unlisted: list[str] = []
        self._allowed = _allowed()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped and not hasattr(report, "wasxfail"):
            self._see(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            self._see(report.nodeid)

    def _see(self, nodeid: str) -> None:
        if not any(nodeid.startswith(start) for start in self._allowed):
            self.unlisted.append(nodeid)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.unlisted and session.exitstatus == 0:
            session.exitstatus = 1

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for nodeid in self.unlisted:
            terminalreporter.write_line(f"skipped, and not in {ALLOWED.name}: {nodeid}", red=True)


LONGEST_FIRST = ("e2e", "faults", "rooms", "cli", "docs", "core")
"""Folders by how long their slowest files take: several processes that share the files then end at the same time."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest."""
    folders = {name: place for place, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: folders.get(item.path.parent.name, len(folders)))


def pytest_configure(config: pytest.Config) -> None:
    """Watch only where everything is said to be installed."""
    if os.environ.get("FIREDOOR_CI"):
        config.pluginmanager.register(Skips())
