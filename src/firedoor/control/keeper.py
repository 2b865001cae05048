"""Keeps the switch table of a region: on the page, on the disk and in the evidence, each in its order.

Shutting: the page first, then the disk, then the evidence; nothing that fails later undoes it. Opening: the disk first
(its evidence was written before that), then the page; what fails on the way leaves the door shut.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from msgspec import structs

from firedoor.core.evidence.record import Fact, Kind, Record
from firedoor.core.switches import MAX_SWITCHES, Scope, Table, open_, shut
from firedoor.core.switchstate import TRAIL, Entry, Pending, Stored
from firedoor.errors import FiredoorError, SetupError
from firedoor.ports import Journal, PageOutput, RequestStore, SwitchStore

CURSOR_SECONDS = 30.0
"""How often the reading positions are saved when nothing else is: what is read twice after a crash changes nothing."""


class Keeper:
    """The only writer of a region's table. Used from one event loop; shows nothing until `show`."""

    def __init__(
        self,
        state: Stored,
        *,
        store: SwitchStore,
        requests: RequestStore,
        page: PageOutput,
        journal: Journal,
        now_ns: Callable[[], int],
    ) -> None:
        self.table = state.table
        self.trail = state.trail
        self.cursors = dict(state.cursors)
        self.spent = dict(state.spent)
        self.pending: dict[str, Pending] = {}
        self.disk_works = True
        self.store_failures = 0
        self.record_failures = 0
        self._top = state.table.version
        self._shown: Table | None = None
        self._dirty = True
        self._saved_at = 0.0
        self._saved_pending: tuple[Pending, ...] = ()
        self._store = store
        self._requests = requests
        self._page = page
        self._journal = journal
        self._now_ns = now_ns
        self._saving = asyncio.Lock()
        self._recording = asyncio.Lock()

    def load_requests(self) -> None:
        """Take up the requests that waited, but for those that the trail says were carried out."""
        opened = {e.signed.act.digest for e in self.trail if e.state == "open" and e.signed}
        self._saved_pending = self._requests.load()
        self.pending = {p.id: p for p in self._saved_pending if p.signed.act.digest not in opened}

    @property
    def now(self) -> float:
        """Unix seconds."""
        return self._now_ns() / 1e9

    @property
    def durable(self) -> bool:
        """Whether the disk holds the table that the page shows."""
        return not self._dirty

    @property
    def recorded(self) -> bool:
        """Whether the evidence is known to hold every change of the trail."""
        return all(e.recorded for e in self.trail)

    @property
    def evidence_works(self) -> bool:
        """Whether the journal takes records."""
        return not self._journal.poisoned

    def changed(self) -> None:
        """Say that something beside the table must become durable."""
        self._dirty = True

    def show(self) -> None:
        """Put the table on the page, and beat; from now on every change shows at once."""
        self._page.publish(self.table)
        self._shown = self.table

    def beat(self) -> None:
        """Say that the table holds now. Raises if the page cannot be written: without beats, AI goes off."""
        if self._shown is not self.table or self._page.lost():
            self.show()
        else:
            self._page.beat()
        if self.now - self._saved_at >= CURSOR_SECONDS:
            self._dirty = True

    def take(self, table: Table) -> None:
        """Make `table` the present one, under a version that no other table ever had."""
        if table is self.table:
            return
        self._dirty = True
        self._top = max(self._top, self.table.version) + 1
        self.table = structs.replace(table, version=self._top)
        if self._shown is not None:
            self.show()

    def shut(self, draft: Entry, base: Table | None = None) -> Entry | None:
        """Shut as `draft` says, on `base` or the present table, without waiting. None if it was shut before.

        A table that is full takes no further scope: the region is shut.
        """
        base = base or self.table
        if len(base.shut) >= MAX_SWITCHES and all(s.scope != draft.scope for s in base.shut):
            draft = structs.replace(draft, scope=Scope(base.region))
        after = shut(base, draft.switch())
        entry = structs.replace(draft, version=max(self._top, self.table.version) + 1)
        if after is not base:
            self.trail = (*self.trail, entry)[-TRAIL:]
        self.take(after)
        return entry if after is not base else None

    async def open(self, draft: Entry, check: Callable[[], None]) -> Entry:
        """Open exactly `draft.scope`: durable first, then shown. `check` raises `ActRefused` if it may not be.

        It is asked again after the disk has answered, because a leak may have come in meanwhile. Raises `ActRefused`,
        and `SetupError` if the disk refuses.
        """
        while True:
            async with self._saving:
                check()
                base = self.table
                after = open_(base, draft.scope)
                self._top += 1
                after = structs.replace(after, version=self._top)
                entry = structs.replace(draft, version=self._top, recorded=True)
                trail = (*self.trail, entry)[-TRAIL:]
                try:
                    await self._save(structs.replace(self._state(), table=after, trail=trail))
                    check()
                except BaseException as error:
                    # The disk may hold the opened table: a newer version of the shut one goes over it.
                    self.take(structs.replace(self.table))
                    if isinstance(error, OSError):
                        self.store_failures += 1
                        self.disk_works = False
                        raise SetupError(
                            "The opening cannot be made durable: the disk refuses.", remedy="Free or replace the disk."
                        ) from error
                    raise
                if self.table is base:
                    self.table, self.trail = after, trail
                    self.show()
                    return entry
                self._dirty = True

    async def persist(self) -> bool:
        """Make the present state durable. False if the disk refuses: the next beat tries again."""
        async with self._saving:
            if not self._dirty:
                return True
            state = self._state()
            self._dirty = False
            try:
                await self._save(state)
            except BaseException as error:
                self._dirty = True
                self.store_failures += 1
                self.disk_works = False
                if isinstance(error, OSError):
                    return False
                raise
            return True

    async def record(
        self, kind: Kind, facts: dict[str, Fact], *, exchange: str = "", body: bytes | None = None
    ) -> None:
        """Put a record into the evidence and wait until it is durable. Raises `FiredoorError`."""
        await self._journal.append(Record(kind=kind, exchange=exchange, at=self._now_ns(), facts=facts, body=body))

    def note(self, kind: Kind, facts: dict[str, Fact]) -> None:
        """Put a record into the evidence; nobody waits for it."""
        self._journal.note(Record(kind=kind, exchange="", at=self._now_ns(), facts=facts))

    async def record_changes(self) -> bool:
        """Record the changes of the table that the evidence does not hold yet, oldest first; whether it now holds all.

        A crash can make one appear twice, with the same version.
        """
        async with self._recording:
            while (entry := next((e for e in self.trail if not e.recorded), None)) is not None:
                try:
                    await self.record("switch", entry.facts(), exchange=entry.exchange)
                except FiredoorError:
                    self.record_failures += 1
                    return False
                known = structs.replace(entry, recorded=True)
                self.trail = tuple(known if e is entry else e for e in self.trail)
        return True

    def _state(self) -> Stored:
        now = self.now
        spent = {nonce: until for nonce, until in self.spent.items() if until >= now}
        self.spent = spent
        return Stored(self.table, self.trail, dict(spent), dict(self.cursors))

    async def _save(self, state: Stored) -> None:
        """Save in a thread: a disk that hangs must not keep the next shut waiting. Raises OSError."""
        saving = asyncio.ensure_future(asyncio.to_thread(self._save_both, state, tuple(self.pending.values())))
        try:
            await asyncio.shield(saving)
        except asyncio.CancelledError:
            with contextlib.suppress(OSError):  # never two writers: the file must not go back to an older state
                await saving
            raise
        self._saved_at = self.now
        self.disk_works = True

    def _save_both(self, state: Stored, pending: tuple[Pending, ...]) -> None:
        """Requests first: one that a new leak withdrew must be gone before the table says that the leak is known."""
        try:
            if pending != self._saved_pending:
                self._requests.save(pending)
                self._saved_pending = pending
        finally:
            self._store.save(state)
