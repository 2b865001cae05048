"""The cases of a region: kept, sealed, counted."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

from firedoor.core.incident.affected import Affected, AskedFor
from firedoor.core.incident.entries import Entry as CaseEntry
from firedoor.core.incident.hooks import Message


class StoredCase(NamedTuple):
    """A case as the store lists it; `entries` is the number of its newest entry."""

    id: str
    opened_at: int
    open: bool
    entries: int


class IncidentStore(Protocol):
    """The durable cases of a region. Owes: `append` is whole or not at all; what it returned from is on the disk.

    What is at rest is sealed: free text of people stands in entries. Calls block, and may come from several threads.
    Raises `StateBusy` if another process took over (stop then), `OSError` while the disk or the database refuses, and
    `StateDamaged` for what does not open or is not whole.
    """

    def cases(self) -> list[StoredCase]:
        """All cases, oldest first."""
        ...

    def entries(self, case: str) -> list[CaseEntry]:
        """The entries of a case in order; none for a case that is not there."""
        ...

    def cursors(self) -> dict[str, int]:
        """Per journal slot of this host the last record that cases know of."""
        ...

    def append(
        self,
        entries: Sequence[CaseEntry],
        *,
        cursors: Mapping[str, int],
        ended: Mapping[str, bool],
        messages: Sequence[Message] = (),
    ) -> None:
        """Add `entries` (each the next of its case), move the cursors, note which cases ended (True) or go on again
        (False), and queue `messages`: one transaction. An entry that is there already is left as it is.
        """
        ...

    def unrecorded(self, limit: int) -> list[CaseEntry]:
        """The oldest entries that the evidence is not known to hold."""
        ...

    def recorded(self, entries: Sequence[CaseEntry]) -> None:
        """Note that the evidence holds these."""
        ...

    def messages(self, system: str, limit: int) -> list[Message]:
        """The messages that wait for `system`, oldest first, whether they may be sent now or not: order is kept."""
        ...

    def tell_only(self, systems: Collection[str]) -> None:
        """Drop the messages that wait for any other system: the plan does not have them told any more. Counted."""
        ...

    def sent(self, message: Message) -> None:
        """The system has it."""
        ...

    def again(self, message: Message, not_before: float) -> None:
        """It did not take it: try again later."""
        ...


class SnapshotTaken(NamedTuple):
    """What a snapshot holds: its exact bytes, counts of items, and what could not be taken, with a code why."""

    data: bytes
    items: dict[str, int]
    missing: dict[str, str]


class Snapshots(Protocol):
    """Takes what would be gone tomorrow. Owes: it changes nothing; what it cannot take is among `missing`."""

    async def take(self, case: str, scopes: Sequence[str], exchanges: Sequence[str]) -> SnapshotTaken:
        """A snapshot for `case`, within about a second. Never raises for a part that cannot be seen."""
        ...


class AffectedSource(Protocol):
    """Counts who is affected. Blocks for the index: call it in a thread."""

    def count(self, asked: AskedFor) -> Affected:
        """Raises `StateUnavailable`, `StateDamaged`, OSError."""
        ...
