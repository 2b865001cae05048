"""The doors through which effects leave. Each Protocol says what an implementation owes its caller."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple, Protocol

from firedoor.core.cache import Found, Partition, Poisoned, Source
from firedoor.core.crossing import AddCheckpoint, Conflict, Cosignatures
from firedoor.core.evidence.checkpoint import Checkpoint
from firedoor.core.evidence.exchanges import Changes
from firedoor.core.evidence.leaf import Leaf
from firedoor.core.evidence.record import Record
from firedoor.core.evidence.retention import Expired
from firedoor.core.evidence.subjects import EpochPublic
from firedoor.core.plan.model import CacheRules
from firedoor.core.sessions import Key, Standing, Turn
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


class Sessions(Protocol):
    """What sessions, shoppers, credentials and networks have been adding up to, on this host.

    Owes: the sums of all workers of the host count; nothing raises and nothing waits; what is kept identifies nobody
    and holds no word of what was asked.
    """

    @property
    def counts(self) -> Mapping[str, int]:
        """What happened to the file, by name, since this worker began."""
        ...

    def note(self, keys: Iterable[Key], turn: Turn, now: float) -> Standing:
        """Add `turn` to the sums of `keys`; the worst of what follows. `now` in Unix seconds."""
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...


class Cache(Protocol):
    """Answers that are given again to the same request in the same partition.

    Owes: what is found was kept for exactly this partition and request and not changed since, and its time is not over;
    nothing raises, whatever became of the file, and nothing waits for more than some milliseconds; how long a look
    takes does not depend on what other partitions hold.
    """

    def find(self, partition: Partition, request: Mapping[str, Any]) -> Found | Poisoned | None:
        """The answer to `request`, None for none. An entry that was not kept for it, or was changed, is removed."""
        ...

    def keep(
        self, partition: Partition, request: Mapping[str, Any], text: str, source: Source, rules: CacheRules
    ) -> bool:
        """Keep `text` for `rules.ttl`; the oldest of shop and surface make room. Whether it was kept."""
        ...

    def set_aside(self, partition: Partition, request: Mapping[str, Any]) -> bool:
        """Give the answer to `request` to nobody any more, and keep it sealed for evidence. Whether it was there."""
        ...

    def close(self) -> None:
        """Let go of the file; from then on nothing is found."""
        ...


class Catalog(Protocol):
    """Full-text search in a shop's catalogue. Owes: an answer within a few milliseconds, for any query text."""

    def search(self, query: str, *, limit: int) -> list[dict[str, object]]:
        """Best hits first: ``sku``, ``name``, ``price``, ``currency``."""
        ...

    def names(self) -> list[str]:
        """The names of all products."""
        ...


class ProductFields(NamedTuple):
    """Some fields of one product as text, empty where it has none. `where` is its place, such as ``line 12``."""

    where: str
    values: tuple[str, ...]


class ProductSource(Protocol):
    """The products of a shop as its platform keeps them: every field by the platform's own name.

    Owes: each product once; a number as its digits; nothing is changed on the platform.
    """

    def products(self, fields: Sequence[str]) -> Iterator[ProductFields]:
        """The values of `fields`, in their order, for each product.

        Raises `SetupError` for a source that cannot be read, and `ActRefused` (``unknown_column``, naming the fields
        that there are) when no product has one of `fields`: at the latest behind the last product.
        """
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


class EpochSource(Protocol):
    """Which epoch a writer of evidence mints keys under. Owes: only an epoch that the region's root vouches for."""

    def current(self) -> tuple[EpochPublic, int]:
        """The present epoch, and how many subjects were ever erased. Cheap: one stat when nothing changed.

        Raises `KeyUnusable`, OSError.
        """
        ...


class FileKeys(Protocol):
    """The keys of a region's sealed files.

    Owes: the same key for the same region, purpose and name, for as long as the ring exists; other keys for any other.
    """

    @property
    def region(self) -> str:
        """The region whose files it opens."""
        ...

    def file_key(self, purpose: str, name: str) -> bytes:
        """The 32-byte key of the sealed files of `name`; `purpose` is ``model`` or ``dataset``.

        It is made when it is asked for the first time. Raises `KeyUnusable`.
        """
        ...


class CheckpointSigner(Protocol):
    """The keys of one log.

    Owes: signs only checkpoints of its own log; `open` accepts a note only if every one of its keys signed it.
    """

    @property
    def origin(self) -> str:
        """The log whose keys these are."""
        ...

    def sign(self, checkpoint: Checkpoint) -> bytes:
        """The checkpoint as a signed note. Raises `KeyUnusable`."""
        ...

    def open(self, note: bytes) -> Checkpoint:
        """The checkpoint in a note that this log signed, whoever else did. Raises `EvidenceDamaged`."""
        ...


class SlotLog(Protocol):
    """The published log of one journal slot.

    Owes: a checkpoint is on the disk only after all that it covers, and is only ever followed by one that extends it.
    After the first failure of the disk every call that writes raises `JournalPoisoned`.
    """

    @property
    def size(self) -> int:
        """Entries appended; those after the checkpoint's are not published yet."""
        ...

    @property
    def checkpoint(self) -> Checkpoint:
        """The published checkpoint."""
        ...

    @property
    def note(self) -> bytes:
        """The published checkpoint with its signatures."""
        ...

    def read_new(self, limit: int) -> int:
        """Append at most about `limit` new leaves of the slot's journal, synced ones only; how many there were.

        Raises `JournalPoisoned`, and `LogRefused` if the journal does not go on where the log ends.
        """
        ...

    def publish(self) -> bytes:
        """Publish what was appended, or sign the same tree anew; the new note.

        Raises `JournalPoisoned`, `LogRefused`, `KeyUnusable`.
        """
        ...

    def cosign(self, note: bytes, *, enough: bool = True) -> bool:
        """Keep a checkpoint of this log that came back with more signatures; whether it was the newest one.

        `enough` of them make it trusted: it stays when the log moves on. Raises `EvidenceDamaged` if anything but
        signatures was added, `JournalPoisoned`.
        """
        ...

    def consistency(self, old: int, size: int) -> list[bytes]:
        """Proof that the first `size` published entries begin with the first `old`. Raises `EvidenceDamaged`."""
        ...

    def close(self) -> None:
        """Let go of the files."""
        ...


class SlotLogs(Protocol):
    """The logs of all journal slots of this host."""

    def slots(self) -> list[str]:
        """The slots that have a journal or a log now."""
        ...

    def open(self, slot: str, signer: CheckpointSigner) -> SlotLog:
        """Take up the log of `slot`, or begin it. Raises `LogRefused`, `SetupError`, `JournalPoisoned`."""
        ...

    def halted(self) -> bool:
        """Whether nothing more is to be signed under the name that these logs have."""
        ...

    def halt(self, why: str) -> None:
        """Note that, and why, for every later start. Raises OSError."""
        ...


class Refusal(Enum):
    """Why a witness does not cosign."""

    BAD_REQUEST = "bad_request"
    """The old size is above the checkpoint's."""
    NOT_SIGNED = "not_signed"
    """No signature by a key of the log, or one of them is wrong."""
    UNKNOWN_LOG = "unknown_log"
    """Not a log that this witness was told of."""
    NOT_CONSISTENT = "not_consistent"
    """The proof does not show that the log only grew."""
    CLOCK_WENT_BACK = "clock_went_back"
    """The clock is behind the witness's last signature."""
    STATE_UNUSABLE = "state_unusable"
    """What was cosigned before cannot be read, is older than it was, or cannot be kept."""


class Cosigner(Protocol):
    """A witness of other regions' logs.

    Owes: what it is about to sign is on the disk before the signature leaves; for each log it never signs a checkpoint
    that does not extend the last one, however often it was restarted, and never at a time before its last signature's.
    """

    def add(self, request: AddCheckpoint) -> Cosignatures | Conflict | Refusal:
        """Cosign, or say what stands against it. Blocks for the disk; may be called from several threads."""
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


class Root(Protocol):
    """Where the keys that wrap a region's ring live: an HSM, a key server, or a file for development.

    Owes: no call gives a wrapping key out; `context` is authenticated, so that what was wrapped in one context does not
    unwrap in another; every refusal is `KeyUnusable`, or `SetupError` for what this installation lacks, and names
    neither data nor credentials.
    """

    @property
    def kind(self) -> str:
        """``file``, ``pkcs11``, ``vault`` or ``aws_kms``."""
        ...

    @property
    def region(self) -> str:
        """The one region whose keys it wraps."""
        ...

    def create(self, name: str) -> str:
        """Make a new AES-256 wrapping key that cannot be exported; its handle is its own, whatever `name` is."""
        ...

    def wrap(self, handle: str, data: bytes, context: str) -> bytes:
        """`data` (1 to 64 bytes) sealed under the key `handle`."""
        ...

    def unwrap(self, handle: str, wrapped: bytes, context: str) -> bytes:
        """What `wrap` was given, if `handle` and `context` are the same."""
        ...

    def destroy(self, handle: str) -> str:
        """End the key `handle` for good; it may be gone already. Returns when: ``now``, or a date in ISO 8601."""
        ...

    def check(self) -> None:
        """Return if the root can be used at this moment."""
        ...

    def describe(self) -> str:
        """One line for people: what kind of root it is and where, and what it is not fit for."""
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
