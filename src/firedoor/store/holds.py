"""Legal holds of a region, and erasures that wait: ``holds.json``. Whoever destroys evidence holds its lock.

A hold counts from the moment it is in the file; its record follows. It ends when its record is durable. The person's
own words (why) are only in the sealed body of the record.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal, NamedTuple

import msgspec
from msgspec import Struct

from firedoor.core.evidence.record import Fact, Record
from firedoor.core.evidence.retention import Held, Hold
from firedoor.core.evidence.subjects import CELL_BYTES, NOBODY, Cell, decode_cell
from firedoor.errors import ActRefused, SetupError
from firedoor.store.cells import cell_files
from firedoor.store.files import locked, read_bounded, write_atomic

FILE_LIMIT: Final = 16 * 1024 * 1024
"""Bytes of the file: some 10,000 holds and waiting erasures."""
HOLDS: Final = 1000
PENDING: Final = 10_000
EXCHANGES: Final = 200
"""Exchange ids of one hold: they stand in its record, which is one leaf. Name a window for more."""
SUBJECTS: Final = 100
WINDOWS: Final = 20
KEYS: Final = 500
"""Key ids in one record: 17 kB of a leaf."""

_LOOKUP_AT: Final = 24
"""Where in a cell the subject's look-up pseudonym stands."""

Write = Callable[[Record], object]
"""Appends a record; returns when it is durable. Raises `JournalPoisoned`, `JournalFull`."""


class Archive(NamedTuple):
    """Where the evidence of a region lies, as those who destroy it need it, and its cache of answers."""

    journals: Path
    bodies: Path
    subjects: Path
    holds: Path
    expiry: Path
    cache: Path


class Erasure(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An erasure that is not over. `by` and `at` (Unix microseconds) say who asked first; `reason` is a code.

    ``held``: a hold (`hold`) forbids it; a person asks again when it has ended. ``begun``: it is on record. ``zeroed``:
    the keys are destroyed, bodies may still have to be blanked. ``done``: all is done and on record, and one more look
    is due. `keys` are the ids so far; `noted` (Unix nanoseconds) is when writers were told to forget them.
    """

    lookup: str
    by: str
    at: int
    reason: str
    state: Literal["held", "begun", "zeroed", "done"]
    hold: str = ""
    keys: tuple[str, ...] = ()
    noted: int = 0


class Custody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file. `changes` counts how often holds were added or ended."""

    firedoor_holds: Literal[1] = 1
    changes: int = 0
    holds: tuple[Hold, ...] = ()
    erasures_pending: tuple[Erasure, ...] = ()

    def erasure(self, lookup: str) -> Erasure | None:
        """The one of this subject."""
        return next((erasure for erasure in self.erasures_pending if erasure.lookup == lookup), None)


class Found(NamedTuple):
    """A living cell, and where it lies."""

    path: Path
    offset: int
    cell: Cell


def load(path: Path) -> Custody:
    """What is in the file; nothing if there is none. Raises `SetupError`: with unreadable holds, nothing goes."""
    try:
        return msgspec.json.decode(read_bounded(path, FILE_LIMIT), type=Custody)
    except FileNotFoundError:
        return Custody()
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SetupError(
            f"{path.name} cannot be read: nothing is deleted or erased until it can.",
            remedy="Restore it from the newest backup.",
        ) from error


def save(path: Path, custody: Custody) -> None:
    """Replace the file. Only inside its lock. Raises `SetupError`, OSError."""
    if len(custody.holds) > HOLDS or len(custody.erasures_pending) > PENDING:
        raise SetupError(
            f"At most {HOLDS} holds and {PENDING} waiting erasures are kept.", remedy="End holds that are over."
        )
    write_atomic(path, msgspec.json.encode(custody))


def put(custody: Custody, erasure: Erasure) -> Custody:
    """`custody` with this erasure in the place of the subject's earlier one."""
    return msgspec.structs.replace(custody, erasures_pending=(*_others(custody, erasure.lookup), erasure))


def drop(custody: Custody, lookup: str) -> Custody:
    """`custody` without the erasure of this subject."""
    return msgspec.structs.replace(custody, erasures_pending=tuple(_others(custody, lookup)))


def add_hold(archive: Archive, hold: Hold, reason: bytes, write: Write, *, known: Callable[[str], bool]) -> Hold:
    """Put a hold, and record it. It counts as soon as it is in the file. Waits for a run that destroys.

    `known` says whether an exchange is on record. Raises `ActRefused` for what would keep nothing (an unknown exchange
    or subject) or is beyond the bounds, `SetupError`, `JournalPoisoned`, OSError.
    """
    _check(hold)
    with locked(archive.holds):
        custody = load(archive.holds)
        keys = {subject: [found.cell.key for found in living(archive.subjects, subject)] for subject in hold.subjects}
        for kind, missing in (
            ("exchange", [exchange for exchange in hold.exchanges if not known(exchange)]),
            ("subject", [subject for subject in hold.subjects if not keys[subject]]),
        ):
            if missing:
                raise ActRefused(
                    f"unknown_{kind}",
                    f"There is no evidence of {kind} {missing[0]}: a hold would keep nothing.",
                    remedy="Check the region and the id.",
                )
        save(
            archive.holds,
            msgspec.structs.replace(custody, holds=(*custody.holds, hold), changes=custody.changes + 1),
        )
        write(_record(hold, "begun", hold.at, hold.by, reason, sorted({key for some in keys.values() for key in some})))
        recorded = msgspec.structs.replace(hold, recorded=True)
        now = load(archive.holds)
        holds = tuple(recorded if other.id == hold.id else other for other in now.holds)
        save(archive.holds, msgspec.structs.replace(now, holds=holds))
    return recorded


def end_hold(archive: Archive, hold_id: str, by: str, at: int, reason: bytes, write: Write) -> list[Erasure]:
    """Record that a hold ends, then end it; the erasures that waited for it. `at` is Unix microseconds.

    Raises `ActRefused` if there is none of this id, `SetupError`, `JournalPoisoned`, OSError.
    """
    with locked(archive.holds):
        custody = load(archive.holds)
        hold = next((hold for hold in custody.holds if hold.id == hold_id), None)
        if hold is None:
            raise ActRefused(
                "unknown_hold", f"There is no hold {hold_id}.", remedy="See `firedoor evidence hold list`."
            )
        write(_record(hold, "ended", at, by, reason, []))
        holds = tuple(other for other in custody.holds if other.id != hold_id)
        save(archive.holds, msgspec.structs.replace(custody, holds=holds, changes=custody.changes + 1))
        return [erasure for erasure in custody.erasures_pending if erasure.hold == hold_id]


def held(archive: Archive, custody: Custody) -> Held:
    """What the holds keep, with the keys that the held subjects have now. Raises `EvidenceDamaged`, OSError."""
    subjects = {subject for hold in custody.holds for subject in hold.subjects}
    keys = {subject: [found.cell.key for found in living(archive.subjects, subject)] for subject in subjects}
    return Held(custody.holds, keys)


def living(subjects: Path, lookup: str) -> list[Found]:
    """Every living cell of a subject, of all epochs. Raises `EvidenceDamaged`, OSError.

    A key may have two: while an epoch is carried over to the next.
    """
    wanted = bytes.fromhex(lookup)
    found: list[Found] = []
    for _, path in cell_files(subjects):
        with path.open("rb") as file:
            if not os.fstat(file.fileno()).st_size:
                continue
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                at = data.find(wanted)
                while at >= 0:
                    start = at - _LOOKUP_AT
                    if start >= 0 and start % CELL_BYTES == 0 and start + CELL_BYTES <= len(data):
                        cell = decode_cell(data[start : start + CELL_BYTES])
                        if cell is not None and cell.lookup == lookup:
                            found.append(Found(path, start, cell))
                    at = data.find(wanted, at + 1)
    return found


def _check(hold: Hold) -> None:
    if not (hold.exchanges or hold.subjects or hold.windows):
        raise ActRefused(
            "empty_hold", "A hold names exchanges, subjects, or a surface and a time.", remedy="Say what to keep."
        )
    if len(hold.exchanges) > EXCHANGES or len(hold.subjects) > SUBJECTS or len(hold.windows) > WINDOWS:
        raise ActRefused(
            "hold_too_large",
            f"A hold names at most {EXCHANGES} exchanges, {SUBJECTS} subjects and {WINDOWS} windows.",
            remedy="Put several, or name a surface and a time.",
        )
    if NOBODY in hold.subjects:
        raise ActRefused("unknown_subject", "That is the pseudonym of no subject.")


def _record(hold: Hold, state: str, at: int, by: str, reason: bytes, keys: list[str]) -> Record:
    """The log outlives the look-up pseudonyms, so subjects are named by the keys they had when the hold was put."""
    facts: dict[str, Fact] = {"hold": hold.id, "incident": hold.incident, "state": state, "by": by}
    if state == "begun":
        facts |= {
            "exchanges": list(hold.exchanges),
            "keys": keys[:KEYS],
            "subjects": len(hold.subjects),
            "windows": [f"{w.surface}:{w.since}-{w.until}" for w in hold.windows],
        }
    return Record(kind="hold", exchange="", at=at * 1000, facts=facts, body=reason)


def _others(custody: Custody, lookup: str) -> list[Erasure]:
    return [erasure for erasure in custody.erasures_pending if erasure.lookup != lookup]
