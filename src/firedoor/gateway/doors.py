"""The switches as one gateway worker sees them: table page, SHUT file, and what this worker shut by itself.

Looked at before each request and each released chunk. Exchanges in flight are told when their door shuts: by a nudge
of whoever writes the page, and by a tick, which alone notices leases that run out, the SHUT file, and a lost nudge.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from firedoor.core.switches import Lease, Scope, Standing, standing
from firedoor.ports.switches import ShutFiles, SwitchPage

TICK = 0.02
"""Seconds between looks that nobody nudged: a lease that runs out cuts a stalled stream this much later. Costs two stat
calls each."""

Notice = Callable[[Standing], None]


class Doors:
    """One worker's view of its region's switches."""

    def __init__(self, page: SwitchPage, files: ShutFiles, *, slot: str) -> None:
        self._page = page
        self._files = files
        self._slot = slot
        self._latched = False
        self._noted = False
        self._closed = False
        self._reflexes: dict[Scope, int | None] = {}
        self._watching: dict[int, tuple[Scope, Lease, Notice]] = {}
        self._next = 0
        self.look_at_file()

    def standing(self, scope: Scope, lease: Lease) -> Standing:
        """What holds for `scope` now. No system call but the clock."""
        look = self._page.look()
        shown = look.shown
        if self._closed:
            return Standing("stale", shown.table.version if shown else 0, "stopping")
        if self._reflexes and shown is not None:
            self._drop_absorbed(shown.table.absorbed.get(self._slot, -1))
        return standing(look, lease, scope, latched=self._latched, reflexes=self._reflexes)

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
        self.look()

    def watch(self, scope: Scope, lease: Lease, notice: Notice) -> int:
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
        """See whether the SHUT file is there, and leave control a note of it, which it folds into the table.

        The latch holds until control has taken the note, which it does once its own table is durable.
        """
        if self._files.shut():
            self._latched = True
        elif self._noted and not self._files.noted():
            self._latched = self._noted = False
        if self._latched and not self._noted:
            with contextlib.suppress(OSError):  # a full disk: tried again at every look, the latch is kept here
                self._files.note()
                self._noted = True
        if self._files.noted():  # another worker's, or from before a restart
            self._latched = self._noted = True

    def look(self) -> None:
        """Look at file and page now, and tell whom it concerns: on every nudge."""
        self.look_at_file()
        self.tell()

    async def run(self) -> None:
        """Tick until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(TICK)

    def _drop_absorbed(self, absorbed: int) -> None:
        for scope, sequence in list(self._reflexes.items()):
            if sequence is not None and sequence <= absorbed:
                del self._reflexes[scope]
