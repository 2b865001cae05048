"""The doors through which effects leave. Each Protocol says what an implementation owes its caller."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol

from firedoor.core.evidence.leaf import Leaf
from firedoor.core.evidence.record import Record
from firedoor.core.switches import Table
from firedoor.core.switchstate import Pending, Stored


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


class SwitchPage(Protocol):
    """The region's switch table as this process sees it.

    Owes: `look` makes no system call that can block and never raises; the age counts from the writer's last beat on a
    clock that does not stop in suspend.
    """

    def look(self) -> tuple[Table | None, float]:
        """The newest whole table (None before the first) and its age in seconds."""
        ...


class ModelAnswer(Protocol):
    """One answer of a model server, while it arrives."""

    @property
    def status(self) -> int:
        """The HTTP status."""
        ...

    @property
    def event_stream(self) -> bool:
        """Whether the body is ``text/event-stream``."""
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """Raw bytes as they come, at most 64 KiB each. Reads only when asked. Raises `ModelFailed`."""
        ...

    async def aclose(self) -> None:
        """Stop reading; an unfinished answer's connection is dropped, so that the server stops generating."""
        ...


class ModelServer(Protocol):
    """One model instance.

    Owes: only the plan's URL is ever called, redirects and proxies are not followed, errors leave only as
    `ModelFailed` with a reason code.
    """

    async def call(self, path: str, body: bytes, *, timeout: float) -> ModelAnswer:  # noqa: ASYNC109  # to the headers
        """Send `body` (JSON) to `path` below the instance's OpenAI base URL; return when the headers are there.

        `path` is ``/chat/completions``, ``/embeddings`` (POST) or ``/models`` (GET, `body` ignored). `timeout`
        (seconds) bounds all up to the headers. Any status but a redirect is an answer. Raises `ModelFailed`.
        """
        ...

    async def aclose(self) -> None:
        """Close what is the instance's own."""
        ...


class Catalog(Protocol):
    """Full-text search in a shop's catalogue. Owes: an answer within a few milliseconds, for any query text."""

    def search(self, query: str, *, limit: int) -> list[dict[str, object]]:
        """Best hits first: ``sku``, ``name``, ``price``, ``currency``."""
        ...


class SwitchStore(Protocol):
    """The durable switch table of a region, written by one process.

    Owes: `save` returns only when the state is on the disk, and a crash in it leaves the old or the new state; a copy
    that is not exactly what was saved is never loaded.
    """

    def load(self) -> Stored | None:
        """The saved state, None if nothing was ever saved. Raises `SetupError` if what is there is damaged."""
        ...

    def save(self, stored: Stored) -> None:
        """Replace the saved state. Raises OSError."""
        ...

    def set_aside(self) -> None:
        """Rename a damaged copy, so that it can still be looked at. Raises OSError."""
        ...


class RequestStore(Protocol):
    """Signed requests that wait for a second person. Owes the same as `SwitchStore`; a damaged copy loads as empty."""

    def load(self) -> tuple[Pending, ...]:
        """What waits, oldest first."""
        ...

    def save(self, pending: Sequence[Pending]) -> None:
        """Raises OSError."""
        ...


class PageOutput(Protocol):
    """The switch page, written by one process.

    Owes: a reader sees the table before `publish` or the one after it, never a mixture; nothing here waits for a disk.
    """

    def last(self) -> Table | None:
        """The whole table on the page of an earlier process, of whatever age; None if none can be read."""
        ...

    def exists(self) -> bool:
        """Whether there is a page of an earlier process, readable or not."""
        ...

    def publish(self, table: Table) -> None:
        """Show `table` from now on, and beat. Raises OSError."""
        ...

    def lost(self) -> bool:
        """Whether somebody removed or replaced the file since: readers will look for one, so publish again."""
        ...

    def beat(self) -> None:
        """Say that the table on the page holds now. Raises OSError."""
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
