"""The seals of a case, one for each round of containing, and what was purged under each. Pure: read from its entries.

Whatever is shut for a case anew (a further scope or model instance, or the same door that people had opened and that
leaked again) asks for a seal of its own, and for its own purge: what would be gone tomorrow is another thing by then. A
leak told behind a door that stayed shut asks for neither. A seal covers what was contained in entries before its
snapshot was begun; nothing goes under one that does not cover all that was contained when the purge began.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from msgspec import Struct, UnsetType, structs

from firedoor.core.incident.casestate import Case
from firedoor.core.incident.entries import MICRO, Contained, Entry, Purged, Sealed

SEALS: Final = 4
WINDOW: Final = 300 * MICRO
"""So many seals of a case in so many microseconds; what is contained meanwhile waits for one that covers all of it. A
leak that moves (a model, the next one, the first again behind a door that was opened too early) gets a snapshot for
each step. A flood does not: each takes up to some 10 MB in the evidence for years, and holds up the process that keeps
the switches for some 10 ms. Nothing is lost by waiting: answers of an earlier cache epoch stay in the files of the
workers for ten minutes (`firedoor.store.cache.SEALING`), twice as long.
"""


class Round(Struct, frozen=True, kw_only=True):
    """The `round`-th seal of a case: entry `entry`, written at `at` (microseconds), for record `seq` of slot `slot`.

    It covers entries up to `covers`, and is the first to cover what was contained in `scopes`. `purge` is the entry of
    what was purged under it, at `purged_at`; None if nothing was.
    """

    round: int
    entry: int
    at: int
    covers: int
    scopes: tuple[str, ...]
    slot: str
    seq: int
    sha256: str
    purge: int | None = None
    purged_at: int | None = None


def rounds(entries: Iterable[Entry]) -> tuple[Round, ...]:
    """The seals among `entries`, in order."""
    return tuple(_read(entries)[0])


def unsealed(entries: Iterable[Entry]) -> tuple[tuple[int, str], ...]:
    """What no seal covers: number and scope of each entry that contained it."""
    return tuple(_read(entries)[1])


def needs_seal(case: Case) -> bool:
    """Whether something of the case is in no snapshot yet."""
    return case.sealed is None or bool(unsealed(case.entries))


def needs_purge(case: Case) -> bool:
    """Whether nothing was purged under the newest seal. A case whose plan purges nothing says so once."""
    if case.purged is None or not case.purged.asked:
        return case.purged is None
    known = rounds(case.entries)
    return not known or known[-1].purge is None


def valid_seal(case: Case) -> Round | None:
    """The seal under which may be purged now: the newest one, if it covers all that is contained."""
    known = rounds(case.entries)
    return known[-1] if known and not needs_seal(case) else None


def seal_wait(case: Case, now: int) -> int:
    """Microseconds from `now` on until another snapshot may be taken: at most `WINDOW`.

    An entry from the future tells that the clock was put back, and nothing else: then none.
    """
    known = rounds(case.entries)
    if len(known) < SEALS or known[-SEALS].at > now:
        return 0
    return max(0, known[-SEALS].at + WINDOW - now)


def wrong_purges(entries: Iterable[Entry]) -> tuple[int, ...]:
    """The numbers of entries that purged under no seal that covered all that was contained when they began.

    Earlier releases did not say when that was: of theirs, those without any seal before them.
    """
    so_far: list[Entry] = []
    wrong: list[int] = []
    for entry in entries:
        if isinstance(entry.payload, Purged) and entry.payload.asked:
            after = entry.payload.after
            if not covered(so_far, entry.payload, 0 if isinstance(after, UnsetType) else after):
                wrong.append(entry.number)
        so_far.append(entry)
    return tuple(wrong)


def covered(entries: Iterable[Entry], purged: Purged, after: int) -> bool:
    """Whether the seal that `purged` names is among `entries`, and covers all that is contained up to entry `after`."""
    entries = tuple(entries)
    named = [one for one in rounds(entries) if one.sha256 == purged.seal and (not after or one.entry <= after)]
    if not named:
        return False
    return all(number <= named[-1].covers for number, _ in contained(entries) if number <= after)


def contained(entries: Iterable[Entry]) -> Iterator[tuple[int, str]]:
    """Number and scope of every entry that tells of a door which was shut for the case, and was not told of before."""
    doors: set[tuple[str, int]] = set()
    for entry in entries:
        one = entry.payload
        if isinstance(one, Contained):
            door = (one.scope, one.version)
            if one.version >= 0 and one.asked and door not in doors:
                yield entry.number, one.scope
            doors.add(door)


def _read(entries: Iterable[Entry]) -> tuple[list[Round], list[tuple[int, str]]]:
    """The seals in order, and what no seal covers."""
    entries = tuple(entries)
    found: list[Round] = []
    waiting = list(contained(entries))
    for entry in entries:
        payload = entry.payload
        if isinstance(payload, Sealed):
            found.append(_sealed(len(found) + 1, entry, payload, waiting))
            waiting = [(number, scope) for number, scope in waiting if number > found[-1].covers]
        elif isinstance(payload, Purged) and payload.asked:
            place = next((n for n in reversed(range(len(found))) if found[n].sha256 == payload.seal), None)
            if place is not None and found[place].purge is None:
                found[place] = structs.replace(found[place], purge=entry.number, purged_at=entry.at)
    return found, waiting


def _covers(entry: Entry, sealed: Sealed) -> int:
    """Earlier releases did not say: what was contained before."""
    return entry.number - 1 if isinstance(sealed.covers, UnsetType) else sealed.covers


def _sealed(number: int, entry: Entry, sealed: Sealed, waiting: list[tuple[int, str]]) -> Round:
    covers = _covers(entry, sealed)
    return Round(
        round=number, entry=entry.number, at=entry.at, covers=covers, slot=sealed.slot, seq=sealed.seq,
        sha256=sealed.sha256, scopes=tuple(dict.fromkeys(scope for n, scope in waiting if n <= covers)),
    )  # fmt: skip
