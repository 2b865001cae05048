"""The switch table: signed, kept, shown and read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from firedoor.core.people import Signed
from firedoor.core.switches import Look, Shown, Switch, Table
from firedoor.core.switchstate import Pending, Stored


class SwitchPage(Protocol):
    """The region's switch table as this process sees it.

    Owes: `look` makes no system call that can block and never raises; the age counts from the writer's last beat on a
    clock that does not stop in suspend.
    """

    def look(self) -> Look:
        """The newest whole tables (None before the first) and their ages in seconds."""
        ...


class TableOutput(Protocol):
    """Where control says its table. Owes: what is said is on its way when the call returns; nothing waits."""

    def publish(self, table: Table, opened: Sequence[Signed]) -> None:
        """Say `table` from now on, and now. `opened` are the signed openings that led to it, newest last.

        Raises OSError if not even this host can be told: stop then, so that AI goes off.
        """
        ...

    def beat(self) -> None:
        """Say the table again. Raises OSError."""
        ...


class TableSigner(Protocol):
    """The key that signs the region's switch tables. Owes: follows a key that was renewed; nothing here waits."""

    @property
    def key(self) -> str:
        """The id of the key that `sign` signs with now."""
        ...

    def sign(self, data: bytes) -> bytes:
        """An Ed25519 signature (64 bytes) over `data`."""
        ...


class ControlStore(Protocol):
    """The durable state of a region's control, written by one process.

    Owes: `save` returns only when all that it was given is durable, and a crash in it leaves the old or the new; a copy
    that is not exactly what was saved is never loaded; once another process has taken over, nothing is written any
    more and every call raises `StateBusy`. No call blocks for ever.
    """

    def load(self) -> Stored | None:
        """The saved state, None if nothing was ever saved.

        Raises `SetupError` if what is there is damaged, `StateUnavailable` if nobody can say what is there.
        """
        ...

    def requests(self) -> tuple[Pending, ...]:
        """The signed requests that wait for a second person, oldest first; none if that copy is damaged.

        Raises `StateUnavailable`.
        """
        ...

    def save(self, stored: Stored, pending: Sequence[Pending]) -> None:
        """Replace both. Raises OSError."""
        ...

    def set_aside(self) -> None:
        """Keep a damaged copy where it can still be looked at, and begin anew. Raises OSError."""
        ...


class PageOutput(Protocol):
    """The switch page of a host, written by one process.

    Owes: a reader sees the tables before `publish` or those after it, never a mixture; nothing here waits for a disk.
    """

    def last(self) -> Shown | None:
        """The whole tables on the page, of whatever age; None if none can be read."""
        ...

    def exists(self) -> bool:
        """Whether there is a page of an earlier process, readable or not."""
        ...

    def publish(self, shown: Shown) -> None:
        """Show `shown` from now on; it is as old as the last beat says. Raises OSError."""
        ...

    def lost(self) -> bool:
        """Whether somebody removed or replaced the file since: readers will look for one, so publish again."""
        ...

    def beat(self, since: int | None = None) -> None:
        """Say that the region's table is known to hold since `since` (CLOCK_BOOTTIME in ns; None: now)."""
        ...

    def beat_global(self) -> None:
        """Say that the global table is known to hold now."""
        ...


class ShutFiles(Protocol):
    """The SHUT file of a region, and the note of a worker that saw one. Owes: what cannot be looked at is there."""

    def shut(self) -> bool:
        """Whether the SHUT file is there."""
        ...

    def noted(self) -> bool:
        """Whether a worker noted that it saw a SHUT file."""
        ...

    def note(self) -> None:
        """Leave the note for control. Raises OSError."""
        ...

    def clear_note(self) -> None:
        """Remove the workers' note, once the table knows. Raises OSError."""
        ...


class Copied(NamedTuple):
    """What a host keeps for its next start: the newest signed tables, byte for byte, and what it keeps shut.

    `floor` is the highest version that was shown.
    """

    table: bytes | None = None
    everywhere: bytes | None = None
    kept: tuple[Switch, ...] = ()
    floor: int = -1


class TableCopyPort(Protocol):
    """The copy of a host's tables on its disk. Owes: `save` leaves the old copy or the new one, whatever happens."""

    def load(self) -> Copied:
        """What was saved last; an empty one if there is none, or a damaged one. Never raises."""
        ...

    def save(self, copied: Copied) -> None:
        """Keep `copied`; on return it is on the disk. Blocks for the disk. Raises OSError."""
        ...
