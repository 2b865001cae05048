"""Keeps the switch table of a region: said to all hosts, on the disk and in the evidence, each in its order.

Shutting: it is said first, then the disk, then the evidence; nothing that fails later undoes it. Opening: the disk
first (its evidence was written before that), then it is said; what fails on the way leaves the door shut.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from msgspec import structs

from firedoor.core.evidence.record import Fact, Kind, Record
from firedoor.core.people import Signed
from firedoor.core.switches import MAX_SWITCHES, Scope, Switch, Table, join, shut, shut_in_drill
from firedoor.core.switchstate import TRAIL, Entry, Pending, Stored, missing_entries
from firedoor.core.switchtable import OPENINGS
from firedoor.errors import FiredoorError, SetupError
from firedoor.ports.evidence import Journal
from firedoor.ports.switches import ControlStore, TableOutput

MAX_VERSION = 1 << 52
"""Highest version that a host can push the table to. Versions stay whole in any JSON reader, and have 16 digits."""

CURSOR_SECONDS = 30.0
"""How often the reading positions are saved when nothing else is: what is read twice after a crash changes nothing."""


class Keeper:
    """The only writer of a region's table. Used from one event loop; says nothing until `show`."""

    def __init__(
        self,
        state: Stored,
        *,
        store: ControlStore,
        output: TableOutput,
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
        self._asked: tuple[Signed, ...] = ()
        self._dirty = True
        self._saved_at = 0.0
        self._store = store
        self._output = output
        self._journal = journal
        self._now_ns = now_ns
        self._saving = asyncio.Lock()
        self._recording = asyncio.Lock()

    def load_requests(self) -> None:
        """Take up the requests that waited, but for those that the trail says were carried out."""
        opened = {e.signed.act.digest for e in self.trail if e.state == "open" and e.signed}
        self.pending = {p.id: p for p in self._store.requests() if p.signed.act.digest not in opened}

    @property
    def now(self) -> float:
        """Unix seconds."""
        return self._now_ns() / 1e9

    @property
    def durable(self) -> bool:
        """Whether the disk holds the table that is said."""
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

    def openings(self) -> tuple[Signed, ...]:
        """What the table says of openings: the newest, and those that a host lacks, in the order they were made."""
        known = [e.signed for e in self.trail if _proof_of(e) and e.signed is not None and e.signed not in self._asked]
        newest = known[max(0, len(known) - (OPENINGS - len(self._asked))) :]
        return (*self._asked, *newest)

    def proof(self, scope: Scope, version: int) -> Signed | None:
        """The request by which two persons opened the shut of `scope` of table `version`, or a later one."""
        for entry in reversed(self.trail):
            signed = entry.signed
            if _proof_of(entry) and entry.scope == scope and signed and int(signed.act.args.get("of", -1)) >= version:
                return signed
        return None

    def prove(self, signed: Signed) -> None:
        """Say this opening from now on: a host was away for so long that it did not hear of it."""
        if signed in self.openings():
            return
        self._asked = (*self._asked, signed)[-OPENINGS // 2 :]
        self.take(structs.replace(self.table))

    def show(self) -> None:
        """Say the table; from now on every change is said at once. Raises OSError if not even this host can be told."""
        self._output.publish(self.table, self.openings())
        self._shown = self.table

    def beat(self) -> None:
        """Say that the table holds now. Raises OSError: without beats, AI goes off."""
        if self._shown is not self.table:
            self.show()
        else:
            self._output.beat()
        if self.now - self._saved_at >= CURSOR_SECONDS:
            self._dirty = True

    def take(self, table: Table) -> None:
        """Make `table` the present one, under a version that no other table ever had."""
        if table is self.table:
            return
        self._dirty = True
        self._top = self._next_version()
        self.table = structs.replace(table, version=self._top)
        if self._shown is not None:
            self.show()

    def raise_above(self, version: int, *, forgot: bool = False) -> None:
        """Go on above `version`, which a host has seen: it takes nothing older. Ignored where it cannot be true.

        `forgot` says that changes of this table are not known here any more, maybe of its `cache_epoch`: a new one
        begins, which no host has seen, because an epoch is never above its table's version.
        """
        if version > MAX_VERSION or (self.table.version > version and not forgot):
            return
        self._top = max(self._top, version)
        self.take(structs.replace(self.table, **({"cache_epoch": self._next_version()} if forgot else {})))

    def join(self, other: Table) -> tuple[Entry, ...]:
        """Shut what `other` shuts beside this table: joining can shut, never open. What was added."""
        base = self.table
        after = join(base, other)
        added = missing_entries(base, after)
        self.trail = (*self.trail, *added)[-TRAIL:]
        self.take(after)
        return added

    def shut(self, draft: Entry, base: Table | None = None) -> Entry | None:
        """Shut as `draft` says, on `base` or the present table, without waiting. None if it was shut before.

        A table that is full takes no further scope: the region is shut, or all regions if the scope lies in all.
        """
        base = base or self.table
        if len(base.shut) >= MAX_SWITCHES and all(s.scope != draft.scope for s in base.shut):
            draft = structs.replace(draft, scope=Scope(draft.scope.region))
        return self._shut(draft, base, shut)

    def shut_in_drill(self, draft: Entry) -> Entry | None:
        """The same in the layer of drills. Raises `ActRefused` if that is full."""
        return self._shut(draft, self.table, shut_in_drill)

    async def open(
        self, drafts: tuple[Entry, ...], step: Callable[[Table], Table], check: Callable[[], None]
    ) -> tuple[Entry, ...]:
        """Open: `step` gives the next table, `drafts` tell of it. Durable first, then said.

        `check` raises `ActRefused` if it may not be. It is asked again after the disk has answered, because a leak may
        have come in meanwhile. Raises `ActRefused`, and `SetupError` if the disk refuses.
        """
        while True:
            async with self._saving:
                check()
                base = self.table
                after = step(base)
                self._top = self._next_version()
                after = structs.replace(after, version=self._top)
                entries = tuple(structs.replace(d, version=self._top, recorded=True) for d in drafts)
                trail = (*self.trail, *entries)[-TRAIL:]
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
                    return entries
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

    def _shut(self, draft: Entry, base: Table, how: Callable[[Table, Switch], Table]) -> Entry | None:
        entry = structs.replace(draft, version=self._next_version())
        after = how(base, entry.switch())
        if after is not base:
            self.trail = (*self.trail, entry)[-TRAIL:]
        self.take(after)
        return entry if after is not base else None

    def _next_version(self) -> int:
        return max(self._top, self.table.version) + 1

    def _state(self) -> Stored:
        now = self.now
        spent = {nonce: until for nonce, until in self.spent.items() if until >= now}
        self.spent = spent
        return Stored(self.table, self.trail, dict(spent), dict(self.cursors))

    async def _save(self, state: Stored) -> None:
        """Save in a thread: a disk that hangs must not keep the next shut waiting. Raises OSError."""
        saving = asyncio.ensure_future(asyncio.to_thread(self._store.save, state, tuple(self.pending.values())))
        try:
            await asyncio.shield(saving)
        except asyncio.CancelledError:
            with contextlib.suppress(OSError):  # never two writers: the file must not go back to an older state
                await saving
            raise
        self._saved_at = self.now
        self.disk_works = True


def _proof_of(entry: Entry) -> bool:
    """Whether two persons signed this opening; the end of a drill takes one, and proves nothing."""
    return entry.state == "open" and entry.drill is None and entry.signed is not None
