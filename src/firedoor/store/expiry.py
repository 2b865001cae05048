"""Deletes bodies whose retention is over: whole hours, recorded before they go.

For each batch of hours: (1) ``expiry.json`` names them, (2) an `expiry` record is durable, (3) files are unlinked, or
blanked but for what a legal hold keeps, (4) ``expiry.json`` forgets them. A run that was cut short is finished by the
next one, whatever the clock says then; a hold put in between is respected.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, Literal, NamedTuple

import msgspec
from msgspec import Struct

from firedoor.core.evidence.frames import MAGIC
from firedoor.core.evidence.leaf import BEGIN, HOUR, Body, Leaf
from firedoor.core.evidence.record import Fact, Record
from firedoor.core.evidence.retention import (
    BodyHour,
    Expired,
    Held,
    Kept,
    Periods,
    body_hour,
    clock,
    gaps,
    is_over,
    runs,
)
from firedoor.errors import EvidenceDamaged, SetupError
from firedoor.store.bodies import BodyReader, blank
from firedoor.store.files import locked, read_bounded, sync_folder, write_atomic
from firedoor.store.holds import Archive, Custody, Write, held, load
from firedoor.store.journal_read import read
from firedoor.store.segments import segments

HOURS: Final = 200
"""Hours in one record."""
KEPT_BYTES: Final = 32 * 1024
"""Bytes of fact `kept` in one record, so that with the hours it fits into a leaf."""
STATE_LIMIT: Final = 16 * 1024 * 1024
"""Bytes of expiry.json: some 200,000 hours that holds keep bodies of."""
READ_BYTES: Final = 1024 * 1024

_CLASS = re.compile(r"[a-z][a-z0-9_.-]{0,62}\Z")
_FILE = re.compile(r"([a-z][a-z0-9_.-]{0,62})\.(\d{20})\Z")


class _State(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``expiry.json``: when the clock was last looked at (Unix microseconds), hours that a run was at.

    `kept` are hours of which only what a hold keeps is left, each with `Custody.changes` at that time.
    """

    firedoor_expiry: Literal[1] = 1
    last: int | None = None
    unfinished: tuple[str, ...] = ()
    kept: dict[str, int] = {}


class _Part(NamedTuple):
    """What is to be done to one file: unlink it, or blank these (offset, length) ranges."""

    path: Path
    bytes: int
    ranges: tuple[tuple[int, int], ...] | None


class _Job(NamedTuple):
    """What is to be done to one hour."""

    hour: BodyHour
    parts: tuple[_Part, ...]
    kept: tuple[str, ...]


def expire(archive: Archive, periods: Periods, write: Write, *, now: int, confirmed: bool = False) -> Expired:
    """Delete what is over at `now` (Unix microseconds), and finish what an earlier run began.

    `confirmed`: a person says that the clock is right although it went more than a day ahead, or back. Raises
    `SetupError`, `EvidenceDamaged`, `JournalPoisoned`, `JournalFull`, OSError; run it again after any of them.
    """
    with locked(archive.holds):
        return _Run(archive, write, now).run(periods, confirmed=confirmed)


def bodies_in(journals: Path, path: Path) -> Iterator[Leaf]:
    """The leaves whose bodies lie in one body file, in order. Raises `EvidenceDamaged`, OSError.

    Reads the journal from the file's first record to its last, or to the end of the process that wrote it.
    """
    match = _FILE.match(path.name)
    if match is None:
        raise EvidenceDamaged(f"{path.name} is not the name of a body file.")
    slot, first, size = match[1], int(match[2]), path.stat().st_size
    hour = body_hour(path.parent.parent.name, path.parent.name)
    if not segments(journals / slot):
        raise EvidenceDamaged(f"The journal of slot {slot} is not there.")
    end = 0
    for stored in read(journals / slot, first):
        leaf, body = stored.leaf, stored.leaf.body
        if leaf.kind == BEGIN and stored.offset > len(MAGIC):
            return  # a new process, which began its own files
        if body is None or hour is None or body.retention != hour.retention:
            continue
        if body.file != first or leaf.at // HOUR != hour.start // HOUR:
            return
        yield leaf
        end = body.offset + body.length
        if end >= size:
            return


class _Run:
    """One run, inside the lock."""

    def __init__(self, archive: Archive, write: Write, now: int) -> None:
        self._archive = archive
        self._write = write
        self._now = now
        self._custody: Custody = load(archive.holds)
        self._state = _load(archive.expiry)
        self._held: Held = held(archive, self._custody)
        self._done = Expired(clock="ok")
        self._damaged: list[str] = []

    def run(self, periods: Periods, *, confirmed: bool) -> Expired:
        present = sorted(_hours(self._archive.bodies), key=lambda hour: (hour.start, hour.retention))
        # Before the first run, the newest evidence says what time it was; the hour that runs ends later than now.
        newest = max((min(hour.start + HOUR, self._now) for hour in present), default=None)
        verdict = clock(newest if self._state.last is None else self._state.last, self._now)
        going = verdict == "ok" or confirmed
        names = set(self._state.unfinished)
        due = [hour for hour in present if hour.name in names or (going and is_over(hour, periods, self._now))]
        self._expire(due)
        there = {hour.name for hour in present}
        kept = {name: changes for name, changes in self._state.kept.items() if name in there}
        self._save(kept=kept, last=self._now if going or verdict == "back" else self._state.last)
        return msgspec.structs.replace(
            self._done, clock=verdict, confirmed=confirmed, kept=len(kept), damaged=tuple(self._damaged)
        )

    def _expire(self, due: list[BodyHour]) -> None:
        batch: list[_Job] = []
        size = 0
        for hour in due:
            begun = hour.name in self._state.unfinished
            if not begun and self._state.kept.get(hour.name) == self._custody.changes:
                continue
            try:
                job = self._job(hour)
            except (EvidenceDamaged, FileNotFoundError):
                self._damaged.append(hour.name)  # in doubt it stays
                continue
            if not job.parts:
                self._nothing_left(job)
                continue
            more = sum(len(kept) + 3 for kept in job.kept)
            if batch and (len(batch) >= HOURS or size + more > KEPT_BYTES):
                self._carry_out(batch)
                batch, size = [], 0
            batch.append(job)
            size += more
        if batch:
            self._carry_out(batch)
        if self._state.unfinished:  # what is left of it is damaged, or gone
            self._save(unfinished=tuple(name for name in self._state.unfinished if name in self._damaged))

    def _job(self, hour: BodyHour) -> _Job:
        folder = self._archive.bodies / hour.retention / hour.hour
        files = sorted(path for path in folder.iterdir() if _FILE.match(path.name))
        if not self._held.may_touch(hour):
            return _Job(hour, tuple(_Part(path, path.stat().st_size, None) for path in files), ())
        parts: list[_Part] = []
        seen: dict[str, list[tuple[int, bool]]] = {}
        for path in files:
            keep: list[tuple[int, int]] = []
            bodies = seen.setdefault(path.name.rpartition(".")[0], [])
            for leaf, body, there in self._bodies_of(path):
                held_ = self._held.by(leaf) is not None
                bodies.append((leaf.seq, held_ and there))
                if held_:
                    keep.append((body.offset, body.length))
            size = path.stat().st_size
            if not keep:
                parts.append(_Part(path, size, None))
                continue
            ranges = tuple(gap for gap in gaps(keep, size) if not _is_blank(path, *gap))
            if ranges:
                parts.append(_Part(path, sum(length for _, length in ranges), ranges))
        kept = tuple(Kept(hour.name, slot, found).encode() for slot, all_ in seen.items() if (found := runs(all_)))
        if sum(map(len, kept)) > KEPT_BYTES:
            return _Job(hour, (), kept)  # its record would not fit into a leaf: all of it stays
        return _Job(hour, tuple(parts), kept)

    def _bodies_of(self, path: Path) -> Iterator[tuple[Leaf, Body, bool]]:
        """Leaves and bodies of one file, and whether each body is there as its leaf says: not erased before."""
        reader = BodyReader(self._archive.bodies)
        try:
            for leaf in bodies_in(self._archive.journals, path):
                if leaf.body is not None:
                    yield leaf, leaf.body, reader.look(leaf)[0] == "whole"
        finally:
            reader.close()

    def _nothing_left(self, job: _Job) -> None:
        """An hour of which all that is there is held, or whose folder is empty."""
        if job.kept:
            self._save(kept={**self._state.kept, job.hour.name: self._custody.changes})
        else:
            self._remove_folder(job.hour)

    def _carry_out(self, batch: list[_Job]) -> None:
        names = tuple(job.hour.name for job in batch)
        parts = [part for job in batch for part in job.parts]
        files = sum(part.ranges is None for part in parts)
        size = sum(part.bytes for part in parts)
        facts: dict[str, Fact] = {"hours": list(names), "files": files, "bytes": size, "reason": "retention"}
        kept = [text for job in batch for text in job.kept]
        if kept:
            facts["kept"] = kept
        self._save(unfinished=tuple(dict.fromkeys((*self._state.unfinished, *names))))
        self._write(Record(kind="expiry", exchange="", at=self._now * 1000, facts=facts))
        for job in batch:
            for part in job.parts:
                _destroy(part)
            if not job.kept:
                self._remove_folder(job.hour)
            else:
                sync_folder(self._archive.bodies / job.hour.name)
        keeping = {job.hour.name: self._custody.changes for job in batch if job.kept}
        gone = {job.hour.name for job in batch if not job.kept}
        self._save(
            unfinished=tuple(name for name in self._state.unfinished if name not in names),
            kept={name: at for name, at in {**self._state.kept, **keeping}.items() if name not in gone},
        )
        done = self._done
        self._done = msgspec.structs.replace(
            done, hours=done.hours + len(batch), files=done.files + files, bytes=done.bytes + size
        )

    def _remove_folder(self, hour: BodyHour) -> None:
        """The folder of a class stays: a writer that just looked for it would fail."""
        folder = self._archive.bodies / hour.name
        with contextlib.suppress(OSError):  # something lies there that is not ours
            folder.rmdir()
        sync_folder(folder.parent)

    def _save(self, **changes: object) -> None:
        state = msgspec.structs.replace(self._state, **changes)
        if state != self._state:
            write_atomic(self._archive.expiry, msgspec.json.encode(state))
            self._state = state


def _hours(bodies: Path) -> Iterator[BodyHour]:
    for folder in _folders(bodies):
        if not _CLASS.match(folder.name):
            continue
        for hour in _folders(folder):
            found = body_hour(folder.name, hour.name)
            if found is not None:
                yield found


def _folders(folder: Path) -> Iterable[Path]:
    return [path for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []


def _destroy(part: _Part) -> None:
    with contextlib.suppress(FileNotFoundError):
        if part.ranges is None:
            part.path.unlink()
        else:
            blank(part.path, list(part.ranges))


def _is_blank(path: Path, offset: int, length: int) -> bool:
    with path.open("rb") as file:
        file.seek(offset)
        while length > 0 and (data := file.read(min(length, READ_BYTES))):
            if data.strip(b"\0"):
                return False
            length -= len(data)
    return True


def _load(path: Path) -> _State:
    try:
        return msgspec.json.decode(read_bounded(path, STATE_LIMIT), type=_State)
    except FileNotFoundError:
        return _State()
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SetupError(
            f"{path.name} cannot be read: nothing expires until it can.",
            remedy="Delete it, look at the clock, and run `firedoor evidence expire`.",
        ) from error
