"""Erases a subject: destroys every key of theirs in the region, then blanks the bodies under them.

In this order, each step durable before the next, so that it can be cut short anywhere and taken up again:

1. ``holds.json`` notes the erasure; nothing has happened yet
2. an `erasure` record ``begun`` names the keys: what disappears from now on is accounted for
3. the ring notes an erasure: writers forget every key they remember, within `REFRESH` seconds
4. the cells are zeroed, those too that were minted meanwhile (on record first): nothing under them can be read again
5. the bodies under the keys are blanked, and what their exchanges left in the answer cache is deleted
6. an `erasure` record ``done``
7. minutes later, one more look for what was still on its way to the disk in step 4 (`SETTLE`)

The records name keys, never the subject.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import msgspec

from firedoor.core.cache import Chosen
from firedoor.core.evidence.leaf import Leaf, body_file
from firedoor.core.evidence.leaf import decode as decode_leaf
from firedoor.core.evidence.record import Fact, Record
from firedoor.core.evidence.retention import Held
from firedoor.core.evidence.subjects import NOBODY
from firedoor.errors import ActRefused
from firedoor.store.bodies import BodyReader, blank
from firedoor.store.cache_care import purge
from firedoor.store.cells import erase as zero_cells
from firedoor.store.files import locked
from firedoor.store.holds import KEYS, Archive, Custody, Erasure, Found, Write, drop, held, living, load, put, save
from firedoor.store.journal import REFRESH
from firedoor.store.segments import SegmentReader, segments, slots

FORGET: Final = 4 * REFRESH
"""Seconds to wait after the ring noted an erasure: writers look every `REFRESH`, and one look may be late."""
SETTLE: Final = 60.0
"""Seconds after which what waited for the disk at the time of an erasure has reached it, or its writer is poisoned."""
RANGES: Final = 10_000
"""Bodies gathered before they are blanked, so that memory stays bounded."""

_LOOKUP = re.compile(r"[0-9a-f]{32}\Z")
_SECOND: Final = 1_000_000_000


class ErasureNotes(Protocol):
    """The part of an opened key ring that erasing needs: see `firedoor.keys.ring.Ring`."""

    def alone(self) -> AbstractContextManager[None]:
        """Keep every other process from carrying cells over to another epoch."""
        ...

    def note_erasure(self) -> int:
        """Tell all writers to forget the keys they remember. Durable on return. Raises `KeyUnusable`."""
        ...


class Erased(NamedTuple):
    """How many keys were destroyed and how many bodies blanked."""

    keys: int
    bodies: int


class Eraser:
    """Erases subjects of one region. Every call blocks for the disk; used by one thread at a time."""

    def __init__(
        self,
        archive: Archive,
        ring: ErasureNotes,
        write: Write,
        *,
        clock_ns: Callable[[], int] = time.time_ns,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self._archive = archive
        self._ring = ring
        self._write = write
        self._clock_ns = clock_ns
        self._pause = pause

    def erase(self, lookup: str, *, by: str, reason: str) -> Erased:
        """Erase the subject with this look-up pseudonym. Goes on where an earlier run was cut short.

        Raises `ActRefused` with code ``unknown_subject``, or ``held`` if a hold keeps any of it: then it is remembered
        as waiting. `SetupError`, `KeyUnusable`, `EvidenceDamaged`, `JournalPoisoned`, `JournalFull`, OSError: run it
        again. `StateUnavailable`, `StateDamaged`: the same, when the answer cache can be written again.
        """
        if not _LOOKUP.match(lookup) or lookup == NOBODY:
            raise ActRefused("bad_pseudonym", "A look-up pseudonym is 32 hex digits.", remedy="See `evidence search`.")
        task = Erasure(lookup=lookup, by=by, at=self._clock_ns() // 1000, reason=reason, state="begun")
        keys = self._destroy_keys(task)
        return Erased(keys, self._blank(lookup))

    def resume(self) -> int:
        """Finish every erasure that was begun and not finished; how many. Those that a hold forbids keep waiting.

        Raises as `erase`, but for ``held``.
        """
        finished = 0
        for task in load(self._archive.holds).erasures_pending:
            if task.state == "held":
                continue
            if task.state == "done":
                finished += self._look_again(task)
                continue
            try:
                if task.state == "begun":
                    self._destroy_keys(task)
            except ActRefused:
                continue  # held meanwhile, or nothing was there: either is noted
            self._blank(task.lookup)
            finished += 1
        return finished

    def _destroy_keys(self, asked: Erasure) -> int:
        """Steps 1 to 4; how many keys."""
        with locked(self._archive.holds):
            custody = load(self._archive.holds)
            cells = living(self._archive.subjects, asked.lookup)
            task = custody.erasure(asked.lookup)
            if not cells and (task is None or not task.keys):
                if task is not None:
                    save(self._archive.holds, drop(custody, asked.lookup))
                raise ActRefused(
                    "unknown_subject",
                    "There is no key of this subject here: nothing to erase.",
                    remedy="Check the region and the id; what was erased before is unknown too.",
                )
            if task is None:
                task = asked
            elif not cells and task.state in {"zeroed", "done"}:
                return len(task.keys)
            self._refuse_if_held(custody, task, cells)
            task = self._begin(task, cells)
            task = self._tell_writers(task)
            return self._zero(custody, task)

    def _begin(self, task: Erasure, cells: list[Found]) -> Erasure:
        """Note and record that these keys are about to go."""
        new = sorted({found.cell.key for found in cells} - set(task.keys))
        task = msgspec.structs.replace(task, keys=(*task.keys, *new), state="begun", hold="")
        self._keep(task)
        self._record("begun", task.keys, {"reason": task.reason})
        return task

    def _tell_writers(self, task: Erasure) -> Erasure:
        self._ring.note_erasure()
        task = msgspec.structs.replace(task, noted=self._clock_ns())
        self._keep(task)
        self._pause(FORGET)
        return task

    def _zero(self, custody: Custody, task: Erasure) -> int:
        """Zero the keys of `task` and those minted before every writer had forgotten."""
        late = [found for found in self._living(task) if found.cell.key not in task.keys]
        # Once more: what writers did meanwhile may be something that a hold keeps.
        self._refuse_if_held(custody, task, self._living(task))
        if late:
            task = self._begin(task, late)
        with self._ring.alone():
            by_file: dict[Path, list[int]] = {}
            for found in self._living(task):
                if found.cell.key in task.keys:
                    by_file.setdefault(found.path, []).append(found.offset)
            for path, offsets in by_file.items():
                zero_cells(path, offsets)
            if late:  # a writer that had already forgotten may hold such a key since
                self._ring.note_erasure()
            self._keep(msgspec.structs.replace(task, state="zeroed"))
        return len(task.keys)

    def _blank(self, lookup: str) -> int:
        """Steps 5 and 6; how many bodies were blanked by this run."""
        task = load(self._archive.holds).erasure(lookup)
        if task is None or task.state != "zeroed":
            return 0
        bodies = blank_under(self._archive, task.keys)
        self._forget_answers(lookup)
        self._record("done", task.keys, {"bodies": bodies})
        with locked(self._archive.holds):
            self._keep(msgspec.structs.replace(task, state="done"))
        return bodies

    def _look_again(self, task: Erasure) -> int:
        """Step 7: 1 if it was time, else 0."""
        if self._clock_ns() < task.noted + SETTLE * _SECOND:
            return 0
        if self._living(task):
            with contextlib.suppress(ActRefused), locked(self._archive.holds):
                self._zero(load(self._archive.holds), task)
            self._blank(task.lookup)
            return 0
        bodies = blank_under(self._archive, task.keys)
        self._forget_answers(task.lookup)
        if bodies:
            self._record("done", task.keys, {"bodies": bodies})
        with locked(self._archive.holds):
            save(self._archive.holds, drop(load(self._archive.holds), task.lookup))
        return 1

    def _forget_answers(self, lookup: str) -> None:
        """Also those in quarantine: what a hold needs of a subject has refused the erasure before."""
        purge(self._archive.cache, Chosen(subjects=(lookup,)), "both")

    def _living(self, task: Erasure) -> list[Found]:
        """The subject's living cells that were minted before the last writer can have been told.

        What a writer meets later is new evidence of a subject who came back.
        """
        told = task.noted + int(REFRESH * _SECOND)
        return [
            found
            for found in living(self._archive.subjects, task.lookup)
            if found.cell.made_at <= told or found.cell.key in task.keys
        ]

    def _refuse_if_held(self, custody: Custody, task: Erasure, cells: list[Found]) -> None:
        keeping = held(self._archive, custody)
        hold = keeping.subject(task.lookup) if cells else None
        if hold is None and cells:
            hold = held_under(self._archive, keeping, {found.cell.key for found in cells})
        if hold is None:
            return
        self._keep(msgspec.structs.replace(task, state="held", hold=hold))
        raise ActRefused(
            "held",
            f"Hold {hold} keeps evidence of this subject: nothing was erased. The erasure is noted as waiting.",
            remedy=f"When the hold is over: `firedoor evidence hold end {hold}`, then run this again.",
        )

    def _keep(self, task: Erasure) -> None:
        save(self._archive.holds, put(load(self._archive.holds), task))

    def _record(self, state: str, keys: tuple[str, ...], more: dict[str, Fact]) -> None:
        """In several records if there are many keys; `more` is said once."""
        for start in range(0, len(keys), KEYS):
            facts: dict[str, Fact] = {"keys": list(keys[start : start + KEYS]), "state": state}
            facts |= {} if start else more
            self._write(Record(kind="erasure", exchange="", at=self._clock_ns(), facts=facts))


def held_under(archive: Archive, keeping: Held, keys: Collection[str]) -> str | None:
    """The id of a hold that keeps a record under one of these keys. Raises `EvidenceDamaged`, OSError."""
    if not keeping.names_records():
        return None
    return next((hold for leaf in leaves_under(archive.journals, keys) if (hold := keeping.by(leaf)) is not None), None)


def blank_under(archive: Archive, keys: Collection[str]) -> int:
    """Blank every body under these keys; how many were not blank yet. Raises `EvidenceDamaged`, OSError."""
    reader = BodyReader(archive.bodies)
    ranges: dict[Path, list[tuple[int, int]]] = {}
    gathered = total = 0
    try:
        for leaf in leaves_under(archive.journals, keys):
            body = leaf.body
            if body is None or reader.look(leaf)[0] not in {"whole", "changed"}:  # changed: a run ended within it
                continue
            ranges.setdefault(archive.bodies / body_file(leaf.slot, leaf.at, body), []).append(
                (body.offset, body.length)
            )
            gathered += 1
            if gathered >= RANGES:
                total += _blank_files(ranges)
                gathered = 0
    finally:
        reader.close()
    return total + _blank_files(ranges)


def leaves_under(journals: Path, keys: Collection[str]) -> Iterator[Leaf]:
    """Every leaf that names one of these keys as its own, of all slots. Raises `EvidenceDamaged`, OSError.

    Leaves are searched as bytes and only those that match are decoded.
    """
    if not keys:
        return
    wanted = set(keys)
    match = re.compile(b'"key":"(?:' + b"|".join(re.escape(key.encode()) for key in sorted(wanted)) + b')"').search
    for slot in slots(journals):
        for path in segments(journals / slot):
            reader = SegmentReader(path)
            try:
                for _, frame in reader.frames():
                    if match(frame.leaf) and (leaf := decode_leaf(frame.leaf)).key in wanted:
                        yield leaf
            finally:
                reader.close()


def _blank_files(ranges: dict[Path, list[tuple[int, int]]]) -> int:
    total = 0
    for path, found in ranges.items():
        try:
            blank(path, found)
        except FileNotFoundError:
            continue  # it expired meanwhile
        total += len(found)
    ranges.clear()
    return total
