"""What writes evidence, reads it back, and ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Protocol

from firedoor.core.evidence.exchanges import Changes
from firedoor.core.evidence.leaf import Leaf
from firedoor.core.evidence.record import Record
from firedoor.core.evidence.retention import Expired


class Journal(Protocol):
    """Durable evidence of one writing process.

    Owes: records become durable in the order given; a future resolves with the record's sequence number only after the
    bytes are synced to the disk; after the first failed write or sync every later call fails with `JournalPoisoned`
    and nothing is retried.
    """

    @property
    def slot(self) -> str:
        """The slot this process writes to."""
        ...

    @property
    def poisoned(self) -> bool:
        """Whether the disk has failed: nothing more is taken."""
        ...

    def append(self, record: Record) -> asyncio.Future[int]:
        """Queue `record`; the future gives its sequence number once it is durable."""
        ...

    def note(self, record: Record) -> None:
        """Queue `record` for the next sync; nobody waits for it. Dropped silently if the journal is poisoned."""
        ...

    async def aclose(self) -> None:
        """Sync what is queued and let go of the slot."""
        ...


class Journals(Protocol):
    """All journal slots of a region, read as a queue.

    Owes: leaves of a slot come in order, each once, and only when they are durable.
    """

    def open(self, cursors: Mapping[str, int]) -> set[str]:
        """Begin after the sequence numbers in `cursors`, other slots at their start.

        Returns the slots in `cursors` whose journal does not reach that far any more: they begin at their start too.
        """
        ...

    def read(self, limit: int) -> list[Leaf]:
        """At most `limit` new leaves of all slots, also of slots that are new; empty when there are none.

        Raises `EvidenceDamaged`.
        """
        ...


class StoredLeaf(Protocol):
    """A leaf as it lies in a journal."""

    @property
    def leaf(self) -> Leaf:
        """What it says."""
        ...

    @property
    def data(self) -> bytes:
        """Its exact bytes."""
        ...


class SlotReader(Protocol):
    """One slot, read on from where it was opened."""

    def new(self, limit: int) -> Sequence[StoredLeaf]:
        """About `limit` leaves that follow, in order; none if there are no more. Raises `EvidenceDamaged`, OSError."""
        ...

    def close(self) -> None:
        """Let go of the files."""
        ...


class Slots(Protocol):
    """The journal slots of a region, each to be read from any record on."""

    def present(self) -> Mapping[str, int]:
        """The slots there are, and for each a number that is another one when its folder was replaced."""
        ...

    def reader(self, slot: str, after: int) -> SlotReader:
        """Leaves of `slot` after sequence number `after`."""
        ...


class ExchangeIndex(Protocol):
    """The index of a region's exchanges, written by one process.

    Owes: what `apply` is given is there whole, with the positions, or not at all. Every method raises
    `StateUnavailable` for what may be tried again, and `StateDamaged`.
    """

    def positions(self) -> dict[str, tuple[int, str]]:
        """Per slot the last sequence number that was applied, and the SHA-256 (hex) of its leaf."""
        ...

    def apply(self, changes: Changes, positions: Mapping[str, tuple[int, str]]) -> None:
        """Merge `changes` into the rows, and remember that the slots were read up to `positions`."""
        ...

    def forget(self, slot: str) -> None:
        """Remove what was read from `slot`, and its position."""
        ...

    def fresh(self) -> ExchangeIndex:
        """An empty index beside this one, for rebuilding. What an earlier rebuild left is removed."""
        ...

    def drop_fresh(self) -> bool:
        """Remove what `fresh` made and nobody will take; whether there was any. Erasing reaches only what is in use."""
        ...

    def replace_by(self, fresh: ExchangeIndex) -> None:
        """Put `fresh` in the place of what is here: readers see the one or the other."""
        ...

    def caught_up(self, at: int) -> None:
        """Note that all records that were durable at `at` (Unix microseconds) are in it."""
        ...

    def tidy(self) -> None:
        """Do some of what makes questions quicker and changes no answer; for when there is nothing to take in."""
        ...

    def close(self) -> None:
        """Let go of the database. The index made by `fresh` ends with it."""
        ...


class IndexHome(Protocol):
    """Where the index of a region lies."""

    def open(self) -> ExchangeIndex:
        """Raises `StateUnavailable`, `StateDamaged`, `SetupError`."""
        ...

    def set_aside(self) -> str:
        """Move a damaged index away, so that `open` makes a new one; where it lies now. Raises `StateUnavailable`."""
        ...

    def rebuild_wanted(self) -> bool:
        """Whether somebody asked for a rebuild since the last answer of yes."""
        ...


class Housekeeping(Protocol):
    """What destroys evidence whose time is over.

    Owes: nothing goes before its going is on record, nothing that a legal hold names goes at all, and what was cut
    short is finished by the next call. Both calls block for the disk; one thread at a time.
    """

    def expire(self) -> Expired:
        """Delete the bodies whose retention is over. Raises `FiredoorError`, OSError; the next call tries again."""
        ...

    def finish_erasures(self) -> int:
        """Finish the erasures that were begun; how many. Raises as `expire`."""
        ...
