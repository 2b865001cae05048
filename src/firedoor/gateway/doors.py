"""The switches as one gateway worker sees them: table page, SHUT file, and what this worker shut by itself.

Looked at before each request and each released chunk; a tick tells the exchanges in flight when their door shuts.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

from firedoor.core.switches import Scope, Standing, standing
from firedoor.ports import SwitchPage

TICK = 0.01
"""Seconds between looks for exchanges in flight: a stalled stream is cut this fast. Costs two stat calls each."""

Notice = Callable[[Standing], None]


class Doors:
    """One worker's view of its region's switches."""

    def __init__(self, region: str, page: SwitchPage, *, shut_file: Path, latch_file: Path, slot: str) -> None:
        self._region = region
        self._page = page
        self._shut_file = shut_file
        self._latch_file = latch_file
        self._slot = slot
        self._latched = False
        self._closed = False
        self._reflexes: dict[Scope, int | None] = {}
        self._watching: dict[int, tuple[Scope, float, Notice]] = {}
        self._next = 0
        self.look_at_file()

    def standing(self, scope: Scope, lease: float) -> Standing:
        """What holds for `scope` now; `lease` in seconds. No system call but the clock."""
        table, age = self._page.look()
        if self._closed:
            return Standing("stale", table.version if table else 0, "stopping")
        if self._reflexes and table is not None:
            self._drop_absorbed(table.absorbed.get(self._slot, -1))
        return standing(table, age, lease, scope, latched=self._latched, reflexes=self._reflexes)

    def reflex(self, scope: Scope) -> None:
        """Shut `scope` in this worker at once. It stays shut here until the table knows of the finding."""
        self._reflexes[scope] = None
        self.tell()

    def recorded(self, scope: Scope, sequence: int) -> None:
        """The finding behind the reflex is record `sequence` of this worker's journal."""
        if scope in self._reflexes:
            self._reflexes[scope] = max(sequence, self._reflexes[scope] or 0)

    def latch(self) -> None:
        """Shut the whole region: a leak was seen here, and the journal cannot tell control through which door."""
        self._latched = True
        with contextlib.suppress(OSError):
            self._latch_file.touch(mode=0o600)
        self.tell()

    def watch(self, scope: Scope, lease: float, notice: Notice) -> int:
        """Have `notice` called once when `scope` is no longer open. Returns a ticket for `unwatch`."""
        self._next += 1
        self._watching[self._next] = (scope, lease, notice)
        return self._next

    def unwatch(self, ticket: int) -> None:
        """Stop watching; twice is harmless."""
        self._watching.pop(ticket, None)

    def tell(self) -> None:
        """Look at every exchange in flight and notify those whose door is no longer open."""
        for ticket, (scope, lease, notice) in list(self._watching.items()):
            now = self.standing(scope, lease)
            if now.state != "open":
                del self._watching[ticket]
                notice(now)

    def close(self) -> None:
        """The worker is about to end: nothing is open here any more."""
        self._closed = True
        self.tell()

    def look_at_file(self) -> None:
        """See whether the SHUT file is there, and latch it for control, which folds it into the table."""
        if self._shut_file.exists():
            if not self._latched:
                with contextlib.suppress(OSError):  # a full disk keeps the latch in this process
                    self._latch_file.touch(mode=0o600)
            self._latched = True
        elif (self._latched and self._in_table()) or not self._latched:
            self._latched = self._latch_file.exists()

    async def run(self) -> None:
        """Tick until cancelled."""
        while True:
            self.look_at_file()
            self.tell()
            await asyncio.sleep(TICK)

    def _in_table(self) -> bool:
        table, _ = self._page.look()
        return table is not None and any(s.reason == "file" for s in table.shut)

    def _drop_absorbed(self, absorbed: int) -> None:
        for scope, sequence in list(self._reflexes.items()):
            if sequence is not None and sequence <= absorbed:
                del self._reflexes[scope]
