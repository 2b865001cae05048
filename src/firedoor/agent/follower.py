"""Reads journals into one index, batch by batch, from where it stopped; notices a journal that was replaced."""

from __future__ import annotations

import logging
from hashlib import sha256
from typing import Final

from firedoor.core.evidence.exchanges import LARGEST, fold
from firedoor.core.evidence.leaf import GENESIS, check_name
from firedoor.errors import EvidenceDamaged, StateDamaged
from firedoor.ports.evidence import ExchangeIndex, IndexHome, SlotReader, Slots, StoredLeaf

log = logging.getLogger("firedoor.agent")

BATCH: Final = 4000
"""Leaves of one transaction: some 10 MB of memory and a fifth of a second; fewer cost more syncs of the disk."""
LEAST: Final = 100
"""Leaves of one slot in a transaction, however many slots there are."""

Position = tuple[int, str]


class _Slot:
    """A slot that is being read."""

    __slots__ = ("damage", "identity", "position", "reader", "waiting")

    def __init__(self, position: Position, identity: int) -> None:
        self.position = position
        self.identity = identity
        self.reader: SlotReader | None = None
        self.waiting: list[StoredLeaf] = []
        self.damage: str | None = None


class Follower:
    """Brings one index up to date, batch by batch. Used by one thread at a time."""

    def __init__(self, index: ExchangeIndex, slots: Slots, region: str) -> None:
        self.index = index
        self._slots = slots
        self._region = region
        self._known = index.positions()
        self._open: dict[str, _Slot] = {}
        self._first = -1

    @property
    def damaged(self) -> tuple[str, ...]:
        """Slots that cannot be read on."""
        return tuple(sorted(name for name, slot in self._open.items() if slot.damage is not None))

    def step(self, limit: int = BATCH) -> int:
        """Take about `limit` new leaves into the index, of every slot in turn; how many there were.

        Raises `StateUnavailable` and `StateDamaged`; then nothing was taken, and the next call reads it again.
        """
        present = self._slots.present()
        names = sorted(present)
        for gone in self._open.keys() - present.keys():
            self._shut(self._open.pop(gone))
        self._first = (self._first + 1) % max(len(names), 1)  # with many slots, none waits for ever
        share = max(limit // max(len(names), 1), LEAST)
        batch: list[StoredLeaf] = []
        positions: dict[str, Position] = {}
        try:
            for name in names[self._first :] + names[: self._first]:
                found = self._read(name, present[name], share)
                if found:
                    batch += found
                    positions[name] = found[-1].leaf.seq, sha256(found[-1].data).hexdigest()
                if len(batch) >= limit:
                    break
            if batch:
                self.index.apply(fold(stored.leaf for stored in batch), positions)
        except BaseException:
            for name in positions:  # what was read must be read again
                self._shut(self._open.pop(name))
            raise
        for name, position in positions.items():
            self._known[name] = self._open[name].position = position
            self._open[name].damage = None
        return len(batch)

    def catch_up(self) -> int:
        """Take in all there is; how many leaves that was. Raises like `step`."""
        total = 0
        while taken := self.step():
            total += taken
        return total

    def close(self) -> None:
        """Let go of the journals' files."""
        for slot in self._open.values():
            self._shut(slot)
        self._open.clear()

    def _read(self, name: str, identity: int, limit: int) -> list[StoredLeaf]:
        slot = self._open.get(name)
        if slot is not None and slot.identity != identity:
            self._shut(slot)
            slot = None
        if slot is None:
            slot = self._open[name] = _Slot(self._known.get(name, (0, GENESIS)), identity)
        try:
            if slot.reader is None:
                self._begin(name, slot)
            return self._checked(name, slot, limit)
        except (EvidenceDamaged, OSError) as error:
            self._shut(slot)  # begun anew the next time: another journal may stand there by then
            reason = error.message if isinstance(error, EvidenceDamaged) else str(error.strerror)
            if slot.damage != reason:
                log.error("slot %s cannot be read on, the index waits at record %d: %s", name, slot.position[0], reason)
            slot.damage = reason
            return []

    def _begin(self, name: str, slot: _Slot) -> None:
        """Read on after the last record indexed, if the journal still holds exactly that record."""
        try:
            check_name("slot", name)
        except ValueError as error:
            raise EvidenceDamaged(str(error)) from error
        seq, hashed = slot.position
        if seq:
            slot.reader = reader = self._slots.reader(name, seq - 1)
            found = list(reader.new(1))
            if found and sha256(found[0].data).hexdigest() == hashed:
                slot.waiting = found[1:]
                return
            self._replaced(name, slot, "another record stands there" if found else "it ends before it")
        slot.reader = self._slots.reader(name, 0)

    def _checked(self, name: str, slot: _Slot, limit: int) -> list[StoredLeaf]:
        assert slot.reader is not None
        found = slot.waiting or list(slot.reader.new(limit))
        slot.waiting = []
        if found and found[0].leaf.prev != slot.position[1]:
            self._replaced(name, slot, "the record after it does not follow from it")
            slot.reader = self._slots.reader(name, 0)
            found = list(slot.reader.new(limit))
        for stored in found:
            leaf = stored.leaf
            if leaf.region != self._region or leaf.slot != name or leaf.seq > LARGEST:
                raise EvidenceDamaged(f"record {leaf.seq} belongs to {leaf.region}/{leaf.slot}.")
        return found

    def _replaced(self, name: str, slot: _Slot, why: str) -> None:
        log.warning(
            "the journal of slot %s is not the one that was indexed up to record %d (%s): it is indexed from its start",
            name, slot.position[0], why,
        )  # fmt: skip
        self._shut(slot)
        self.index.forget(name)
        self._known[name] = slot.position = (0, GENESIS)

    @staticmethod
    def _shut(slot: _Slot) -> None:
        if slot.reader is not None:
            slot.reader.close()
        slot.reader = None
        slot.waiting = []


def bring_up_to_date(home: IndexHome, slots: Slots, region: str, *, rebuild: bool = False) -> tuple[str, ...]:
    """Take all there is into the index, or make it again; returns the slots that cannot be read to their end.

    Raises `StateBusy` if another process does it already, `SetupError`, `StateUnavailable`, `StateDamaged`.
    """
    try:
        return _bring_up_to_date(home, slots, region, rebuild=rebuild)
    except StateDamaged:
        log.error("the damaged index was set aside as %s: it is made again from the log", home.set_aside())
        return _bring_up_to_date(home, slots, region, rebuild=False)


def _bring_up_to_date(home: IndexHome, slots: Slots, region: str, *, rebuild: bool) -> tuple[str, ...]:
    index = home.open()
    try:
        target = index.fresh() if rebuild else index
        follower = Follower(target, slots, region)
        try:
            follower.catch_up()
            damaged = follower.damaged
        finally:
            follower.close()
        if rebuild and damaged:
            log.error("no rebuild, the index stays as it is: %s cannot be read whole", ", ".join(damaged))
            index.drop_fresh()
        elif rebuild:
            index.replace_by(target)
        index.tidy()
        return damaged
    finally:
        index.close()
