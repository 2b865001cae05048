"""The cases of a region: in memory, in the store, in the evidence, each entry in this order for those who wait for it.

The store first: what it returned from is there after any crash. Then memory and those who listen, then the evidence; an
entry that the evidence does not hold yet waits in the store, and is tried again.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from firedoor.core.evidence.record import Fact, Record
from firedoor.core.incident.case import Case, add, fold
from firedoor.core.incident.entries import (
    AUTOMATIC,
    Correction,
    Entry,
    Opened,
    Payload,
    SplitOff,
    encode_entry,
    kind_of,
)
from firedoor.core.incident.hooks import Message
from firedoor.core.people import Signed
from firedoor.core.switchstate import signed_facts
from firedoor.errors import ActRefused, FiredoorError, StateDamaged, StateUnavailable
from firedoor.ports.evidence import Journal
from firedoor.ports.incidents import IncidentStore, StoredCase

log = logging.getLogger("firedoor.control")

RECENT: Final = 32
"""Ended cases looked at when control starts: late findings of theirs, and acts that may still be played again."""
RECORDED_AT_ONCE: Final = 100
"""Entries given to the evidence between two looks at the store."""
SHORT: Final = 200
"""Entries that are folded in a millisecond or two."""
EVIDENCE_WAIT: Final = 5.0
"""Seconds a person waits for the evidence to hold what the store holds already; it is tried again after that."""

Listener = Callable[[Case, Entry], None]


class Draft(NamedTuple):
    """An entry to be: its number and time are given when it is written."""

    case: str
    payload: Payload
    by: str = AUTOMATIC
    signed: Signed | None = None


class _Unsure(NamedTuple):
    """Entries of which nobody knows whether the store has them: it failed while it wrote."""

    entries: tuple[Entry, ...]
    cursors: dict[str, int]
    then: Callable[[], None]


class CaseLog:
    """The only writer of a region's cases. Used from one event loop; whoever writes holds `lock`.

    `open` are the cases that have not ended, folded. `cursors` tells per journal slot the last record that they know.
    """

    def __init__(
        self,
        region: str,
        *,
        store: IncidentStore,
        journal: Journal,
        now_ns: Callable[[], int],
        tell: Callable[[Case, Entry], Sequence[Message]],
    ) -> None:
        self.lock = asyncio.Lock()
        self.open: dict[str, Case] = {}
        self.recent: dict[str, Case] = {}
        self.cursors: dict[str, int] = {}
        self.counts: Counter[str] = Counter()
        self.begun = False
        self._region = region
        self._store = store
        self._journal = journal
        self._now_ns = now_ns
        self._tell = tell
        self._tails: dict[str, str] = {}
        self._listeners: list[Listener] = []
        self._unsure: _Unsure | None = None
        self._unrecorded = True
        self._recording = asyncio.Lock()
        self._recorder: asyncio.Task[bool] | None = None

    @property
    def now(self) -> int:
        """Unix microseconds."""
        return self._now_ns() // 1000

    @property
    def behind(self) -> bool:
        """Whether there may be entries that the evidence does not hold."""
        return self._unrecorded

    def listen(self, callback: Listener) -> None:
        """Have `callback` called with every durable entry and its case as it is then. It must not wait."""
        self._listeners.append(callback)

    async def load(self) -> None:
        """Take up what the store holds. Raises as the store; may be called until it succeeds."""
        async with self.lock:
            cases = await asyncio.to_thread(self._store.cases)
            ended = [c for c in cases if not c.open]
            wanted = [c for c in cases if c.open] + ended[-RECENT:]
            self.open, self.recent = {}, {}
            for one in wanted:
                await self._load(one.id)
            self._tails = {_tail(c.id): c.id for c in cases}
            self.cursors = await asyncio.to_thread(self._store.cursors)
            self._unsure = None
            self._unrecorded = True
            self.begun = True

    async def case(self, name: str) -> Case:
        """A case, ended or not. Raises `ActRefused` if there is none, and as the store."""
        case = self.open.get(name) or self.recent.get(name)
        if case is None:
            case = await self._read(name)
            known = self.open.get(name) or self.recent.get(name)
            if known is not None:  # written meanwhile: what was read may be older
                return known
            self._keep(case)
        return case

    async def listing(self) -> list[StoredCase]:
        """All cases as the store lists them, oldest first. Raises as the store."""
        return await asyncio.to_thread(self._store.cases)

    def named_like(self, name: str) -> str | None:
        """The case that the trigger of `name` opened already, on whatever day."""
        return self._tails.get(_tail(name))

    async def append(
        self,
        drafts: Sequence[Draft],
        *,
        cursors: Mapping[str, int] | None = None,
        then: Callable[[], None] = lambda: None,
    ) -> tuple[Entry, ...]:
        """Write entries and move cursors, all or nothing; `then` is called once they are durable. `lock` is held.

        Raises OSError, `FiredoorError` if the store does not take them: then nobody knows whether it did, and whoever
        writes next asks the store first (`sure`).
        """
        await self.sure()
        cases: dict[str, Case] = {}
        entries: list[Entry] = []
        for draft in drafts:
            before = cases.get(draft.case)
            if before is None and not isinstance(draft.payload, Opened):
                before = await self.case(draft.case)
            entries.append(self._entry(before, draft))
            cases[draft.case] = await _added(before, entries[-1])
        messages = [m for entry in entries for m in self._messages(cases[entry.case], entry)]
        ended = {name: case.ended for name, case in cases.items()}
        self._unsure = _Unsure(tuple(entries), dict(cursors or {}), then)
        await self._in_thread(
            lambda: self._store.append(entries, cursors=cursors or {}, ended=ended, messages=messages)
        )
        self._take(cases)
        return tuple(entries)

    async def sure(self) -> None:
        """Find out what became of entries that the store did not confirm. Raises as the store. `lock` is held."""
        if not self.begun:
            raise StateUnavailable("The cases of this region are not read yet.", remedy="Try again in a moment.")
        unsure = self._unsure
        if unsure is None:
            return
        cases: dict[str, Case] = {}
        for name in dict.fromkeys(e.case for e in unsure.entries):
            entries = await asyncio.to_thread(self._store.entries, name)
            if unsure.entries[0] in entries or cases:  # whole or not at all: the first tells for the others
                cases[name] = fold(entries)
            else:
                self._unsure = None
                return
        self._take(cases)

    async def record(self) -> bool:
        """Give the evidence what it does not hold yet, oldest first; whether it now holds all.

        A crash can make an entry appear twice, with the same number.
        """
        async with self._recording:
            while self._unrecorded and not self._journal.poisoned:
                self._unrecorded = False
                try:
                    waiting = await asyncio.to_thread(self._store.unrecorded, RECORDED_AT_ONCE)
                    self._unrecorded |= bool(waiting)  # what was written meanwhile is not among them
                    if waiting:
                        await self._record(waiting)
                except (FiredoorError, OSError) as error:
                    self._unrecorded = True
                    self._failed("evidence", error)
                    return False
                except BaseException:
                    self._unrecorded = True
                    raise
        return not self._unrecorded

    async def recorded(self) -> bool:
        """Wait until the evidence holds what is durable, for `EVIDENCE_WAIT` at the longest; whether it does."""
        task = self.record_soon()
        await asyncio.wait({task}, timeout=EVIDENCE_WAIT)
        return task.done() and not task.cancelled() and task.result()

    def record_soon(self) -> asyncio.Task[bool]:
        """Let the evidence catch up; nobody needs to wait."""
        if self._recorder is None or self._recorder.done():
            self._recorder = asyncio.create_task(self.record(), name="record cases")
        return self._recorder

    async def aclose(self) -> None:
        """Let the evidence catch up a last time. Nothing is written any more."""
        async with self.lock:
            self.begun = False
        if self._recorder is not None:
            await asyncio.wait({self._recorder})

    async def _record(self, waiting: Sequence[Entry]) -> None:
        futures = [self._journal.append(self._as_record(entry)) for entry in waiting]
        results = await asyncio.gather(*futures, return_exceptions=True)
        held = [entry for entry, result in zip(waiting, results, strict=True) if isinstance(result, int)]
        if held:
            await asyncio.to_thread(self._store.recorded, held)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    def _as_record(self, entry: Entry) -> Record:
        body = encode_entry(entry)
        facts: dict[str, Fact] = {
            "case": entry.case,
            "number": entry.number,
            "entry": kind_of(entry.payload),
            "by": entry.by,
            "entry_sha256": hashlib.sha256(body).hexdigest(),
        }
        if entry.signed is not None:
            facts |= signed_facts(entry.signed)
        return Record(kind="incident", exchange="", at=self._now_ns(), facts=facts, body=body)

    async def _load(self, name: str) -> None:
        try:
            self._keep(await self._read(name))
        except (StateDamaged, ValueError) as error:  # one that does not open keeps the others from nothing
            log.error("case %s cannot be read: %s", name, type(error).__name__)
            self.counts["damaged"] += 1

    async def _read(self, name: str) -> Case:
        def read() -> Case | None:
            entries = self._store.entries(name)
            return fold(entries) if entries else None

        case = await asyncio.to_thread(read)
        if case is None:
            raise ActRefused("unknown_case", "There is no such case.", remedy="See `firedoor incident list`.")
        return case

    def _keep(self, case: Case) -> None:
        """Have `case` at hand: as long as it is open, afterwards while it is one of those used last."""
        name = case.id
        self.open.pop(name, None)
        self.recent.pop(name, None)
        (self.recent if case.ended else self.open)[name] = case
        while len(self.recent) > RECENT:
            del self.recent[next(iter(self.recent))]

    def _entry(self, before: Case | None, draft: Draft) -> Entry:
        number, least = (1, 0) if before is None else (before.number + 1, before.entries[-1].at)
        at = max(self.now, least)  # a clock that is put back changes no order
        return Entry(
            case=draft.case, number=number, at=at, by=draft.by, payload=draft.payload, signed=draft.signed
        )  # fmt: skip

    def _take(self, cases: Mapping[str, Case]) -> None:
        """What was unsure is durable: memory follows, then those who listen."""
        unsure, self._unsure = self._unsure, None
        assert unsure is not None
        self.cursors |= unsure.cursors
        for case in cases.values():
            self._keep(case)
            self._tails[_tail(case.id)] = case.id
        unsure.then()
        if unsure.entries:
            self._unrecorded = True
            self.record_soon()
        for entry in unsure.entries:
            for callback in self._listeners:
                try:
                    callback(cases[entry.case], entry)
                except Exception as error:  # noqa: BLE001  # who listens must not keep a case from being written
                    self._failed("listener", error)

    def _messages(self, case: Case, entry: Entry) -> Sequence[Message]:
        try:
            return self._tell(case, entry)
        except Exception as error:  # noqa: BLE001  # an entry counts more than that others hear of it
            self._failed("message", error)
            return ()

    def _failed(self, what: str, error: BaseException) -> None:
        if not self.counts[f"{what}_failed"]:
            log.error("cases: %s failed: %s", what, type(error).__name__)
        self.counts[f"{what}_failed"] += 1

    async def _in_thread(self, work: Callable[[], None]) -> None:
        """In a thread, to its end: never two writers, whoever is cancelled meanwhile."""
        task = asyncio.ensure_future(asyncio.to_thread(work))
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            with contextlib.suppress(Exception):
                await task
            raise


async def _added(before: Case | None, entry: Entry) -> Case:
    """`before` with `entry`. What changes how earlier entries read makes a long case anew: in a thread."""
    anew = isinstance(entry.payload, Correction | SplitOff) and entry.number > SHORT
    return await asyncio.to_thread(add, before, entry) if anew else add(before, entry)


def _tail(name: str) -> str:
    """The part of a case's id that its trigger makes (`entries.case_id`)."""
    return name.rpartition("-")[2]
