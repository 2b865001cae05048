"""Publishes the evidence of this host: a log for each journal slot, and the region's log over their checkpoints.

Each second the new leaves of every slot go into the slot's log, its new checkpoint is signed and then recorded in the
agent's own journal slot; the log of that slot is the region's. What a region's checkpoint covers therefore covers every
record of the host. A log that cannot go on stops by itself and says why; the others go on.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Final, Literal, TypeVar

from msgspec import Struct

from firedoor.core.evidence.note import ED25519, SIGNATURE_BYTES, Note, parse_note
from firedoor.core.evidence.record import Fact, Record
from firedoor.errors import EvidenceDamaged, JournalFull, JournalPoisoned, KeyUnusable, LogRefused, SetupError
from firedoor.ports.evidence import Journal
from firedoor.ports.logs import CheckpointSigner, SlotLog, SlotLogs

INTERVAL: Final = 1.0
"""Seconds from one checkpoint to the next."""
IDLE: Final = 60.0
"""Seconds after which the region's checkpoint is signed again, so that a silent host can be told from a dead one."""
BATCH: Final = 2000
"""Leaves read at a time: about 1 MB."""
PER_TICK: Final = 50_000
"""Leaves of one slot between two checkpoints, so that catching up publishes as it goes."""

logger = logging.getLogger(__name__)

T = TypeVar("T")
State = Literal["ok", "waiting", "refused"]

Proof = Callable[[int], list[bytes]]
"""Proof that the checkpoint it came with extends an older size. Blocks for the disk. Raises `EvidenceDamaged`."""

OnCheckpoint = Callable[[bytes, int, Proof], None]
"""Takes the region's new signed checkpoint, the size of the one before it, and proofs for it. Must not block."""


class LogState(Struct, frozen=True):
    """How the log of a slot does. `published` of `size` entries are signed.

    ``ok``: it goes on. ``waiting``: what failed is tried again. ``refused``: it stands still until a restart.
    `reason` is a code: ``journal_short``, ``journal_differs``, ``journal_damaged``, ``journal_unreadable``,
    ``log_damaged``, ``checkpoint_damaged``, ``checkpoint_changed``, ``origin_changed``, ``disk``, ``setup``,
    ``signing``, ``journal`` (the region's own record could not be written), ``halted`` (a restart does not help).
    """

    slot: str
    state: State
    reason: str | None = None
    size: int = 0
    published: int = 0


class LogKeeper:
    """Keeps the logs of one host. `signer_of` gives the keys of a slot's log; `journal` is open in the agent's slot.

    `clock_ns` gives Unix nanoseconds, `monotonic` seconds. One event loop; the disk work is done in a thread.
    """

    def __init__(
        self,
        logs: SlotLogs,
        journal: Journal,
        signer_of: Callable[[str], CheckpointSigner],
        *,
        clock_ns: Callable[[], int] = time.time_ns,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        on_checkpoint: OnCheckpoint | None = None,
    ) -> None:
        self._logs = logs
        self._journal = journal
        self._signer_of = signer_of
        self._clock_ns = clock_ns
        self._monotonic = monotonic
        self._sleep = sleep
        self._on_checkpoint = on_checkpoint
        self._open: dict[str, SlotLog] = {}
        self._states: dict[str, LogState] = {}
        self._recorded: dict[str, int] = {}
        self._signed_at = float("-inf")
        self._published: tuple[bytes, int, Proof] | None = None
        self._halted = logs.halted()
        self._busy = asyncio.Lock()

    def status(self) -> list[LogState]:
        """All logs, the region's among them, in the order of their slots' names."""
        return [state for _, state in sorted(self._states.copy().items())]

    def age(self) -> float:
        """Seconds since the region's checkpoint was signed; infinite before the first one of this process."""
        return self._monotonic() - self._signed_at

    async def run(self) -> None:
        """Publish once a second until cancelled; without a pause while there is more to read than a tick takes."""
        while True:
            began = self._monotonic()
            more = await self.tick()
            await self._sleep(0 if more else max(0.0, began + INTERVAL - self._monotonic()))

    async def tick(self) -> bool:
        """Publish what is new; whether there is more than one tick takes."""
        async with self._busy:
            more = await _in_thread(self._grow_slots)
            recorded = self._halted or await self._record()
            if await _in_thread(self._grow_region):
                more = True
            if not recorded:
                self._note(self._journal.slot, "waiting", "journal")
            self._announce()
        return more

    async def published(self) -> tuple[bytes, Proof] | None:
        """The region's checkpoint as it was signed before this process, with proofs for it; None if there is none."""
        async with self._busy:
            return await _in_thread(self._signed_before)

    async def cosigned(self, note: bytes, *, enough: bool) -> bool:
        """Keep the region's checkpoint as it came back from witnesses; whether it was still the newest.

        `enough`: they are a quorum. Raises `EvidenceDamaged` if it is not one that was sent, `JournalPoisoned`,
        `LogRefused`.
        """
        async with self._busy:
            log = self._open.get(self._journal.slot)
            return log is not None and await _in_thread(partial(log.cosign, note, enough=enough))

    async def halt(self, why: str) -> None:
        """Sign nothing more on this host, also after a restart: a witness has seen what ours does not go on from.

        All logs stop, not the region's alone: a restored backup would sign the others anew, too. Raises OSError if it
        cannot be kept for the next start; nothing is signed all the same.
        """
        self._halted = True  # a tick under way signs no further slot
        async with self._busy:
            for slot in self._states:
                self._note(slot, "refused", "halted")
            await _in_thread(partial(self._logs.halt, why))

    async def aclose(self) -> None:
        """Let go of all logs; what is not published yet is published after the next start."""
        async with self._busy:
            for log in self._open.values():
                log.close()
            self._open.clear()

    async def _record(self) -> bool:
        """Record the checkpoints that grew in the agent's own slot; whether they are durable there."""
        grown = {
            slot: log
            for slot, log in self._open.items()
            if slot != self._journal.slot and log.checkpoint.size > self._recorded.get(slot, 0)
        }
        waiting = [self._journal.append(self._checkpoint_record(log)) for log in grown.values()]
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        for (slot, log), outcome in zip(grown.items(), outcomes, strict=True):
            if isinstance(outcome, int):
                self._recorded[slot] = log.checkpoint.size
            elif not isinstance(outcome, (JournalFull, JournalPoisoned)):
                raise outcome
        return len(grown) == sum(isinstance(outcome, int) for outcome in outcomes)

    def _checkpoint_record(self, log: SlotLog) -> Record:
        checkpoint, note = log.checkpoint, parse_note(log.note)
        # One small signature is enough here: the region's own checkpoint covers the record.
        short = Note(note.text, tuple(s for s in note.signatures if len(s.payload) == SIGNATURE_BYTES[ED25519]))
        facts: dict[str, Fact] = {"log": checkpoint.origin, "size": checkpoint.size, "note": short.encode().decode()}
        return Record(kind="checkpoint", exchange="", at=self._clock_ns(), facts=facts)

    def _announce(self) -> None:
        published, self._published = self._published, None
        if published is None or self._on_checkpoint is None:
            return
        try:
            self._on_checkpoint(*published)
        except Exception as error:  # noqa: BLE001  whatever ails the witnesses' client, evidence goes on
            logger.warning("the region's checkpoint could not be handed to the witnesses: %s", type(error).__name__)

    # From here on: in a thread, one at a time.

    def _grow_slots(self) -> bool:
        try:
            slots = self._logs.slots()
        except (OSError, SetupError):
            slots = list(self._open)
        more = [self._grow(slot) for slot in slots if slot != self._journal.slot]
        return any(more)

    def _signed_before(self) -> tuple[bytes, Proof] | None:
        with self._watched(self._journal.slot):
            log = self._log(self._journal.slot)
            if log is not None and log.checkpoint.size:
                return log.note, partial(_prove, log, log.checkpoint.size)
        return None

    def _grow(self, slot: str) -> bool:
        """Publish what is new in a slot; whether there is more."""
        with self._watched(slot):
            log = self._log(slot)
            more = log is not None and _read(log)
            if log is not None and log.size > log.checkpoint.size and not self._halted:
                log.publish()
            return more
        return False

    def _grow_region(self) -> bool:
        slot = self._journal.slot
        with self._watched(slot):
            log = self._log(slot)
            more = log is not None and _read(log)
            if log is not None and not self._halted and (log.size > log.checkpoint.size or self.age() >= IDLE):
                old = log.checkpoint.size
                note = log.publish()
                self._signed_at = self._monotonic()
                self._published = note, old, partial(_prove, log, log.checkpoint.size)
            return more
        return False

    def _log(self, slot: str) -> SlotLog | None:
        """The open log of a slot; None once it was refused. Raises as `SlotLogs.open`."""
        if self._halted:
            self._note(slot, "refused", "halted")
        state = self._states.get(slot)
        if state is not None and state.state == "refused":
            return None
        if slot not in self._open:
            self._open[slot] = self._logs.open(slot, self._signer_of(slot))
        return self._open[slot]

    @contextlib.contextmanager
    def _watched(self, slot: str) -> Iterator[None]:
        """Turns what goes wrong with one log into its state."""
        try:
            yield
        except LogRefused as error:
            self._note(slot, "refused", error.reason)
        except EvidenceDamaged:
            self._note(slot, "refused", "log_damaged")
        except (JournalPoisoned, OSError):
            self._note(slot, "refused", "disk")
        except SetupError:
            self._note(slot, "refused", "setup")
        except KeyUnusable:
            self._note(slot, "waiting", "signing")
        else:
            if slot in self._open:
                self._note(slot, "ok", None)

    def _note(self, slot: str, state: State, reason: str | None) -> None:
        before = self._states.get(slot)
        if before is not None and before.state == "refused" and reason != "halted":
            return  # until a restart, whatever else goes wrong
        log = self._open.get(slot)
        size, published = (log.size, log.checkpoint.size) if log is not None else (0, 0)
        self._states[slot] = LogState(slot, state, reason, size, published)
        if reason is not None and (before is None or before.reason != reason):
            logger.error("the log of slot %s is %s: %s", slot, state, reason)


def _read(log: SlotLog) -> bool:
    """Append new leaves; whether there are more than fit between two checkpoints."""
    end = log.size + PER_TICK
    while log.size < end:
        if not log.read_new(BATCH):
            return False
    return True


def _prove(log: SlotLog, size: int, old: int) -> list[bytes]:
    return log.consistency(old, size)


async def _in_thread(call: Callable[[], T]) -> T:
    """Run `call` in a thread; a cancelled caller waits for its end, so that nobody closes files under it."""
    running = asyncio.ensure_future(asyncio.to_thread(call))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise
