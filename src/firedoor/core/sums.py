"""Decayed sums of what sessions leave behind, the part of one writer or of all: bytes, decay, addition.

A value halves with every half-life; adding up what several writers wrote at different times makes no difference to
that, nor does their order. `core.sessions` says what is summed and what follows.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

BITS: Final = 256
"""Of a sketch of rows: up to about 900 rows are told apart."""
FUTURE: Final = 300.0
"""Seconds. Sums from further ahead than that were written by a clock gone wrong, and are forgotten: they would not
decay until it is right again."""

_DUST: Final = 1e-9
"""Allowances. What rounding leaves of a sum that others' turns took away."""


class Trail(NamedTuple):
    """What is followed from turn to turn of one person.

    `low` to `high` is the interval that guesses have narrowed an amount to, `last` the last guess, `guessed` its time.
    `seen` and `before` are sketches of the rows touched in this half-life of the calendar and in the one before.
    """

    low: float = -math.inf
    high: float = math.inf
    last: float = 0.0
    guessed: float = -math.inf
    seen: int = 0
    before: int = 0


class Sums(NamedTuple):
    """The sums of one key as of `at` (Unix seconds), in allowances; in the order of `core.sessions.SIGNALS`.

    The part of one worker may be below zero: it takes away what another has added.
    """

    at: float = 0.0
    weak: float = 0.0
    asked: float = 0.0
    rows: float = 0.0
    near: float = 0.0
    hidden: float = 0.0
    compared: float = 0.0
    attacks: float = 0.0
    trail: Trail | None = None


_SKETCH = BITS // 8
_PACKED = struct.Struct(f"<8d4d{_SKETCH}s{_SKETCH}s")
_NUMBERS = struct.Struct("<8d")
_NO_TRAIL = bytes(_PACKED.size - _NUMBERS.size)
SUMS_BYTES: Final = _PACKED.size


def pack(sums: Sums) -> bytes:
    """`SUMS_BYTES` bytes."""
    trail = sums.trail
    if trail is None:
        return _NUMBERS.pack(*sums[:8]) + _NO_TRAIL
    seen, before = trail.seen.to_bytes(_SKETCH, "little"), trail.before.to_bytes(_SKETCH, "little")
    return _PACKED.pack(*sums[:8], *trail[:4], seen, before)


def unpack(data: bytes) -> Sums:
    """The reverse. Raises ValueError for another length, and for what no sums can be."""
    if len(data) != SUMS_BYTES:
        raise ValueError("not the length of sums")
    numbers = _NUMBERS.unpack_from(data)
    if not math.isfinite(sum(numbers)):
        raise ValueError("not finite")
    trail = _trail(data)
    if trail is not None and any(map(math.isnan, trail[:4])):
        raise ValueError("not numbers")
    return Sums._make((*numbers, trail))


def decayed(sums: Sums, now: float, half_life: float) -> Sums:
    """`sums` as of `now`. They never grow: time that runs backwards is no time at all, far backwards: see `FUTURE`."""
    at, weak, asked, rows, near, hidden, compared, attacks, trail = sums
    age = now - at
    if age < -FUTURE:
        return Sums(now)
    if age <= 0:
        return sums._replace(at=now)
    left = 2.0 ** (-age / half_life)
    if trail is not None:
        trail = _older(trail, at, now, half_life)
    return Sums(
        now, weak * left, asked * left, rows * left, near * left, hidden * left, compared * left, attacks * left, trail
    )


def merge(one: Sums, other: Sums, half_life: float) -> Sums:
    """The sums of both, as of the later one. `merge(a, b)` is `merge(b, a)`, to the bit.

    What comes from another clock is `decayed` to the moment of this one first, or a clock gone wrong ages the other.
    """
    if one.at != other.at:
        now = max(one.at, other.at)
        one, other = decayed(one, now, half_life), decayed(other, now, half_life)
    at, weak, asked, rows, near, hidden, compared, attacks, trail = one
    _, w, a, r, n, h, c, x, theirs = other
    if trail is None:
        trail = theirs
    elif theirs is not None:
        trail = _joined(trail, theirs)
    return Sums(at, weak + w, asked + a, rows + r, near + n, hidden + h, compared + c, attacks + x, trail)


def add_up(parts: Sequence[bytes], now: float, half_life: float, *, trails: bool) -> Sums:
    """Packed parts `decayed` to `now` and merged; without `trails`, their sums alone, in a third of the time.

    Parts that together are no numbers count for nothing.
    """
    weak = asked = rows = near = hidden = compared = attacks = 0.0
    trail: Trail | None = None
    for part in parts:
        at, w, a, r, n, h, c, x = _NUMBERS.unpack_from(part)
        age = now - at
        if age < -FUTURE:
            continue
        left = 1.0 if age <= 0 else 2.0 ** (-age / half_life)
        weak, asked, rows, near = weak + left * w, asked + left * a, rows + left * r, near + left * n
        hidden, compared, attacks = hidden + left * h, compared + left * c, attacks + left * x
        mine = _trail(part) if trails else None
        if mine is not None and (mine := _older(mine, at, now, half_life)) is not None:
            trail = mine if trail is None else _joined(trail, mine)
    sums = Sums(now, weak, asked, rows, near, hidden, compared, attacks, trail)
    return sums if math.isfinite(sum(sums[:8])) else Sums(now)


def size(sums: Sums) -> float:
    """How much is in `sums`, in either direction, in allowances: what would be lost with them."""
    return sum(map(abs, sums[1:8]))


def is_nothing(sums: Sums) -> bool:
    """Whether `sums` need not be kept."""
    return sums.trail is None and size(sums) < _DUST


def _trail(data: bytes) -> Trail | None:
    """That of packed sums."""
    if data.endswith(_NO_TRAIL):
        return None
    low, high, last, guessed, seen, before = _PACKED.unpack(data)[8:]
    return Trail(low, high, last, guessed, int.from_bytes(seen, "little"), int.from_bytes(before, "little"))


def _older(trail: Trail, at: float, now: float, half_life: float) -> Trail | None:
    """A trail of `at` as of `now`: rows and guesses of more than a half-life ago are forgotten."""
    low, high, last, guessed, seen, before = trail
    gone = now // half_life - at // half_life
    if gone > 0:
        seen, before = 0, seen if gone == 1 else 0
    if guessed < now - half_life:
        low, high, last, guessed = Trail()[:4]
    return Trail(low, high, last, guessed, seen, before) if seen or before or guessed > -math.inf else None


def _joined(one: Trail, other: Trail) -> Trail:
    """Both: all rows, and the later guesses; of two made at the same moment, in either order, the same ones."""
    guess = max(one, other, key=lambda trail: (trail.guessed, trail.last, trail.low, trail.high))
    return guess._replace(seen=one.seen | other.seen, before=one.before | other.before)
