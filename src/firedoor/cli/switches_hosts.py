"""What `firedoor switches watch` knows of a region's hosts: control's word, and its own memory of it."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Final, Literal

from msgspec import Struct

from firedoor.api import shapes
from firedoor.cli.control_client import ControlClient
from firedoor.config import RegionHome
from firedoor.core.hosts import NO_AGE
from firedoor.errors import FiredoorError

MISSING_AFTER: Final = 2.0
"""Seconds of silence: eight beats, and the lease of a surface unless its plan says more."""
ASK_EVERY: Final = 0.5
"""Seconds between two questions to control; the page tells what is shut sooner."""
ASK_WAIT: Final = 1.5
"""Seconds that control has to answer: it answers from memory."""
SILENT_AFTER: Final = 3.0
"""Seconds without an answer after which nothing is known of hosts any more."""

HostState = Literal["ok", "stale", "missing", "refuses", "unknown"]
BAD: Final = frozenset({"stale", "missing", "refuses"})


class HostRow(Struct, frozen=True):
    """A host that serves the region. `silent_s` is how long control has not heard of it, `age_s` how old its table is.

    The age is None without a beat. `refused` is the code why it takes no newer table. `latched`: its SHUT file is or
    was there; `kept` is how many switches it keeps shut without control's knowing.
    """

    name: str
    state: HostState
    silent_s: float
    version: int
    global_version: int
    age_s: float | None
    refused: str
    workers: int
    latched: bool
    kept: int


class HostBook:
    """Every host that control told of, also after a restart of control that knows of none. Times are monotonic."""

    def __init__(self, fresh: float) -> None:
        self._fresh = fresh
        self._hosts: dict[str, tuple[shapes.Host, float]] = {}
        self._answered: float | None = None
        self.switches: shapes.Switches | None = None
        """What control said of switches last, where this machine has no page."""

    def take(self, hosts: shapes.Hosts, at: float) -> None:
        """What control said at `at`."""
        self._answered = at
        for host in hosts.hosts:
            self._hosts[host.name] = (host, at - host.seen_ago_s)

    def answers(self, now: float) -> bool:
        """Whether control does."""
        return self._answered is not None and now - self._answered <= SILENT_AFTER

    def rows(self, now: float) -> tuple[HostRow, ...]:
        """All hosts by name, as they were when control answered last: that we did not ask makes nobody silent."""
        known = self.answers(now)
        then = self._answered if known and self._answered is not None else now
        return tuple(self._row(host, then - heard, known=known) for _, (host, heard) in sorted(self._hosts.items()))

    def _row(self, host: shapes.Host, silent: float, *, known: bool) -> HostRow:
        age = host.age_ms / 1e3 + silent if host.age_ms < NO_AGE else None
        return HostRow(
            name=host.name,
            state=self._state(host, silent, age) if known else "unknown",
            silent_s=round(silent, 3),
            version=host.version,
            global_version=host.global_version,
            age_s=None if age is None else round(age, 3),
            refused=host.refused,
            workers=host.workers,
            latched=host.latched,
            kept=host.kept,
        )

    def _state(self, host: shapes.Host, silent: float, age: float | None) -> HostState:
        if silent > MISSING_AFTER:
            return "missing"
        if host.refused:
            return "refuses"
        return "stale" if age is None or age > self._fresh else "ok"


class Asker:
    """Asks a region's control about its hosts, in a thread of its own: a control that hangs holds nobody up."""

    def __init__(self, place: RegionHome, book: HostBook) -> None:
        self._client = ControlClient(place, wait=ASK_WAIT)
        self._page = place.page
        self._book = book
        self._asked = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"hosts {place.name}", daemon=True)

    def start(self) -> None:
        """Ask from now on."""
        self._thread.start()

    def first(self) -> None:
        """Wait until control has answered once, or not."""
        self._asked.wait(ASK_WAIT + ASK_EVERY)

    def _run(self) -> None:
        while True:
            with contextlib.suppress(FiredoorError):  # it is asked again; the book knows since when it is silent
                self._book.switches = None if self._page.exists() else self._client.switches()
                self._book.take(self._client.hosts(), time.monotonic())
            self._asked.set()
            time.sleep(ASK_EVERY)
