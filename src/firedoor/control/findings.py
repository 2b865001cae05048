"""What shuts without a person: confirmed leaks in the journals and in what hosts report, and SHUT files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from firedoor.control.keeper import Keeper
from firedoor.control.waiting import Waiting
from firedoor.core.evidence.leaf import Leaf
from firedoor.core.switches import Reason, Scope, absorb, forget_slots, scope_to_shut, where_found
from firedoor.core.switchstate import AUTOMATIC, Cause, Entry
from firedoor.ports.evidence import Journals
from firedoor.ports.switches import ShutFiles

BATCH = 1000
"""Records taken from the journals at a time."""

ABSORBED = 256
"""Journal slots that the table remembers a leak of: with the longest names of hosts it is still said in one message."""

FORGET = 32
"""Slots of other hosts that make room at a time."""


class Findings:
    """Shuts through `keeper`, and ends those of `waiting` that were made without knowing of it.

    `on_leak` is told of every leak once it is shut: slot, record, scope, exchange. It must neither wait nor raise.
    `own_host` says that the workers of this host have no switch agent but this process: then their note of a SHUT file
    is taken here, and removed once the table that knows of it is durable.
    """

    def __init__(
        self,
        region: str,
        keeper: Keeper,
        *,
        files: ShutFiles,
        journals: Journals,
        waiting: Waiting,
        own_host: bool,
    ) -> None:
        self.note_folded = False
        self.on_leak: Callable[[str, int, str, str], None] = lambda *_: None
        self._region = region
        self._keeper = keeper
        self._files = files
        self._journals = journals
        self._waiting = waiting
        self._own_host = own_host

    def begin(self) -> None:
        """Open the journals where they were read to. What was read of one that is gone counts no more."""
        keeper = self._keeper
        gone = self._journals.open(keeper.cursors)
        keeper.take(forget_slots(keeper.table, gone))
        for slot in gone:
            del keeper.cursors[slot]

    def read(self) -> bool:
        """Shut for every confirmed leak among the next records; whether there were any records at all.

        Taking the same records twice changes nothing: the table knows how far it has read each slot. Raises
        `EvidenceDamaged`.
        """
        leaves = self._journals.read(BATCH)
        cursors = self._keeper.cursors
        for leaf in leaves:
            if leaf.kind == "finding" and leaf.facts.get("verdict") == "shut":
                self._leak(leaf)
            cursors[leaf.slot] = max(leaf.seq, cursors.get(leaf.slot, 0))
        return bool(leaves)

    def look_at_files(self) -> None:
        """Fold this host's SHUT file, or a worker's note of one, into the table."""
        noted = self._own_host and self._files.noted()
        if noted or self._files.shut():
            self.note_folded = noted
            self.latch()

    def file_there(self) -> bool:
        """Whether this host's SHUT file is there, or its note still to be taken."""
        return self._files.shut() or (self._own_host and self._files.noted())

    def clear_note(self) -> None:
        """Remove the workers' note: the table is durable now. Raises OSError."""
        self.note_folded = False
        self._files.clear_note()

    def leak(self, slot: str, seq: int, scope: str, exchange: str) -> None:
        """Shut for the leak at `scope` that record `seq` of `slot` (``HOST/SLOT`` of another host) confirms; once."""
        keeper = self._keeper
        if slot not in keeper.table.absorbed and not self._room_for_slot():
            self.shut_all("leak", Scope(self._region))
            self.on_leak(slot, seq, scope, exchange)
            return
        known = absorb(keeper.table, slot, seq)
        if known is keeper.table:
            return
        found = where_found(scope, self._region)
        more = {"exchange": exchange[:64], "slot": slot, "seq": seq, "found": str(found)}
        keeper.shut(self._entry(scope_to_shut(keeper.table, found), "leak", "finding", **more), known)
        self._waiting.withdraw(found)
        self.on_leak(slot, seq, str(found), exchange)

    def latch(self) -> None:
        """Shut the region for a SHUT file. Taking the file away opens nothing, nor does a request from before it."""
        scope = Scope(self._region)
        if self._keeper.shut(self._entry(scope, "file", "file")) is not None:
            self._waiting.withdraw(scope)
        else:
            self._waiting.withdraw_exactly(scope)  # the others open nothing of what the file shuts

    def shut_all(self, reason: Reason, scope: Scope) -> None:
        """Shut `scope`, the region or all regions, because what should be shut finds no room in the table."""
        if self._keeper.shut(self._entry(scope, reason, "finding")) is not None:
            self._waiting.withdraw(scope)

    def _leak(self, leaf: Leaf) -> None:
        self.leak(leaf.slot, leaf.seq, str(leaf.facts.get("scope")), leaf.exchange)

    def _room_for_slot(self) -> bool:
        """Whether the table can remember one more slot. The oldest ones of other hosts make room.

        A host that was forgotten and comes back tells its old leaks again, and they shut again: in doubt, AI is off.
        """
        absorbed = self._keeper.table.absorbed
        if len(absorbed) >= ABSORBED:
            self._keeper.take(forget_slots(self._keeper.table, [slot for slot in absorbed if "/" in slot][:FORGET]))
        return len(self._keeper.table.absorbed) < ABSORBED

    def _entry(self, scope: Scope, reason: Reason, cause: Cause, **more: Any) -> Entry:
        now = self._keeper.now
        return Entry(state="shut", scope=scope, reason=reason, cause=cause, at=now, by=AUTOMATIC, **more)
