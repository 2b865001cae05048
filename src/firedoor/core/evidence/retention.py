"""How long sealed bodies stay, and what a legal hold keeps beyond that. Pure.

Bodies lie in ``bodies/CLASS/HOUR``: the class says how long, the hour since when. A hold names exchanges, subjects or a
surface in a window of time; what it names is neither deleted when its time is over nor erased.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Literal, NamedTuple

from msgspec import Struct

from firedoor.core.evidence.leaf import HOUR, Leaf
from firedoor.core.plan.model import Plan

DAY = 24 * HOUR
"""Microseconds."""

_HOUR = re.compile(r"(\d{4}-\d{2}-\d{2})T([01]\d|2[0-3])\Z")
_RUN = re.compile(r"(\d{1,20})(?:-(\d{1,20}))?\Z")
_EPOCH_DAY = date(1970, 1, 1).toordinal()

Clock = Literal["ok", "back", "ahead"]
"""A wall clock against the last run: as expected; before it; more than a day after it."""


class BodyHour(NamedTuple):
    """All bodies of one class and hour: a folder below the region's bodies. `start` is Unix microseconds."""

    retention: str
    hour: str
    start: int

    @property
    def name(self) -> str:
        """``CLASS/HOUR``, as expiry records and the folder have it."""
        return f"{self.retention}/{self.hour}"


def body_hour(retention: str, hour: str) -> BodyHour | None:
    """The hour of this class and this name, None if it is not the name of an hour."""
    match = _HOUR.match(hour)
    if match is None:
        return None
    try:
        days = date.fromisoformat(match[1]).toordinal() - _EPOCH_DAY
    except ValueError:
        return None
    return BodyHour(retention, hour, (days * 24 + int(match[2])) * HOUR) if days >= 0 else None


class Periods:
    """How long (microseconds) the bodies of each class stay in `region` under `plan`.

    A surface's bodies stay as long as the surface says and the region allows; those of no surface, and of one that the
    plan no longer has, as long as the region allows.
    """

    def __init__(self, plan: Plan, region: str) -> None:
        self._longest = _microseconds(plan.regions[region].retention)
        self._surfaces = {name: _microseconds(surface.retention) for name, surface in plan.surfaces.items()}

    def of(self, retention: str) -> int:
        """For the class `retention`. Never less than an hour, so that a running hour is never over."""
        return max(min(self._surfaces.get(retention, self._longest), self._longest), HOUR)


def is_over(hour: BodyHour, periods: Periods, now: int) -> bool:
    """Whether the retention of the whole hour is over at `now` (Unix microseconds)."""
    return hour.start + HOUR + periods.of(hour.retention) <= now


def clock(last: int | None, now: int) -> Clock:
    """What to think of the wall clock, given when it was looked at last (Unix microseconds; None: never)."""
    if last is None:
        return "ok"
    if now < last:
        return "back"
    return "ahead" if now - last > DAY else "ok"


class Expired(Struct, frozen=True, kw_only=True):
    """What a run did. `clock` other than ``ok`` and `confirmed` false: hours that are over were left alone.

    `files` were unlinked, `bytes` deleted or blanked; `kept` hours hold something back for a legal hold; `damaged` ones
    could not be read well enough to tell what a hold keeps, and stay whole.
    """

    clock: Clock
    confirmed: bool = False
    hours: int = 0
    files: int = 0
    bytes: int = 0
    kept: int = 0
    damaged: tuple[str, ...] = ()

    @property
    def refused(self) -> bool:
        """Whether the clock kept it from expiring anything."""
        return self.clock == "ahead" and not self.confirmed


class Window(Struct, frozen=True, forbid_unknown_fields=True):
    """All of one surface from `since` up to, not including, `until` (Unix microseconds)."""

    surface: str
    since: int
    until: int


class Hold(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A legal hold. `incident` is an opaque reference, `subjects` are look-up pseudonyms, `at` Unix microseconds.

    `recorded` says that the record of it is durable; the hold counts before.
    """

    id: str
    incident: str
    by: str
    at: int
    exchanges: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    windows: tuple[Window, ...] = ()
    recorded: bool = False


class Held:
    """What all holds of a region keep. `keys_of` are the ids of the living keys of each held subject."""

    def __init__(self, holds: Iterable[Hold], keys_of: Mapping[str, Collection[str]]) -> None:
        self._exchanges: dict[str, str] = {}
        self._keys: dict[str, str] = {}
        self._subjects: dict[str, str] = {}
        self._windows: list[tuple[Window, str]] = []
        for hold in holds:
            self._windows += [(window, hold.id) for window in hold.windows]
            for exchange in hold.exchanges:
                self._exchanges.setdefault(exchange, hold.id)
            for subject in hold.subjects:
                self._subjects.setdefault(subject, hold.id)
                for key in keys_of.get(subject, ()):
                    self._keys.setdefault(key, hold.id)

    def by(self, leaf: Leaf) -> str | None:
        """The id of a hold that keeps what this leaf tells of; None if none does."""
        found = self._exchanges.get(leaf.exchange) or self._keys.get(leaf.key or "")
        if found is not None or not self._windows:
            return found
        surface = leaf.body.retention if leaf.body is not None else leaf.facts.get("surface")
        return next((by for w, by in self._windows if w.surface == surface and w.since <= leaf.at < w.until), None)

    def subject(self, lookup: str) -> str | None:
        """The id of a hold that names this subject."""
        return self._subjects.get(lookup)

    def names_records(self) -> bool:
        """Whether any hold names exchanges or a window: then a subject's records must be read to know."""
        return bool(self._exchanges or self._windows)

    def may_touch(self, hour: BodyHour) -> bool:
        """Whether a body of this hour may be held. No leaf is needed to see that none is."""
        if self._exchanges or self._keys:
            return True
        end = hour.start + HOUR
        return any(w.surface == hour.retention and w.since < end and hour.start < w.until for w, _ in self._windows)


class Kept(NamedTuple):
    """Bodies that an expired hour keeps: those of the records `runs` (first, last) of one slot."""

    hour: str
    slot: str
    runs: tuple[tuple[int, int], ...]

    def encode(self) -> str:
        """``CLASS/HOUR/SLOT:17-42,45``, as fact `kept` of an expiry record has it."""
        runs = ",".join(f"{first}-{last}" if last > first else f"{first}" for first, last in self.runs)
        return f"{self.hour}/{self.slot}:{runs}"

    def has(self, seq: int) -> bool:
        """Whether the body of record `seq` of the slot is kept."""
        return any(first <= seq <= last for first, last in self.runs)


def parse_kept(text: str) -> Kept | None:
    """The opposite of `Kept.encode`; None for anything else."""
    path, colon, runs = text.partition(":")
    hour, slash, slot = path.rpartition("/")
    found = [_RUN.match(run) for run in runs.split(",")]
    if not colon or not slash or not slot or not hour:
        return None
    pairs = [(int(match[1]), int(match[2] or match[1])) for match in found if match is not None]
    if len(pairs) != len(found):
        return None
    return Kept(hour, slot, tuple(pairs))


def runs(bodies: Iterable[tuple[int, bool]]) -> tuple[tuple[int, int], ...]:
    """From (record, held) of all bodies of one hour and slot, in order, to runs of those held.

    Records without a body of that hour in between do not end a run.
    """
    found: list[tuple[int, int]] = []
    before = False
    for seq, held in bodies:
        if held:
            first = found.pop()[0] if before else seq
            found.append((first, seq))
        before = held
    return tuple(found)


def gaps(kept: Sequence[tuple[int, int]], size: int) -> Iterator[tuple[int, int]]:
    """The (offset, length) ranges of `size` bytes that are not in `kept`, which is in order of offsets."""
    end = 0
    for offset, length in kept:
        if offset > end:
            yield end, min(offset, size) - end
        end = max(end, offset + length)
    if end < size:
        yield end, size - end


def _microseconds(seconds: float) -> int:
    return round(seconds * 1_000_000)
