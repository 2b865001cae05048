"""Sessions: what patient attackers leave behind over many turns, as decayed sums, and the ladder they lead to.

A probe that passes alone is still a little more like an attack than what shoppers write, asks for what it may not have,
or narrows an amount down. Each such signal of a turn adds to a sum of its own; every turn takes a little away, a sum
never falls below zero, and all of them halve with time. Their unit is the *allowance*: what one session may gather,
over all signals, before it is slowed. At half as much again it is refused, until enough has decayed.

So harmless turns do not add up, however many there are, and padding an attack with them only slows the sum down: a
harmless turn takes away a small part of what a probe adds.

Sums are kept per key: the session, the shopper, the credential and the prefix of the address. Credential and address
are shared by many honest shoppers, so they forgive more with each turn and allow more; an address is slowed at most, a
credential only told, for it is a whole surface's.

Sums of several workers are merged by adding them; in which order makes no difference. Hosts hear of each other late, so
none takes away what another has seen: two that did so at the same moment would take it twice, and both would put it
back. What counts is the sum of what each host has by itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

from msgspec import Struct

from firedoor.core.sums import BITS, Sums, Trail

Kind = Literal["session", "subject", "credential", "address"]
Rung = Literal["observe", "slow", "refuse"]
Signal = Literal["weak", "asked", "rows", "near", "hidden", "compared", "attacks"]

KINDS: Final[tuple[Kind, ...]] = ("session", "subject", "credential", "address")
"""In the order of their numbers, from 1, in the session table."""
SIGNALS: Final[tuple[Signal, ...]] = ("weak", "asked", "rows", "near", "hidden", "compared", "attacks")
"""In the order of `Sums`."""
RUNGS: Final[tuple[Rung, ...]] = ("observe", "slow", "refuse")
"""From the mildest to the strictest."""

# What a turn's text adds, from `Turn.weak`, in nats: it less `PIVOT`, between two bounds. `WEAK_ALLOWANCE` nats are an
# allowance. Chosen by training/prompt_attacks/sessions.py so that of harmless sessions of ten turns about 0.5 % are
# slowed. They belong to the model: another one has other odds, and they are chosen anew.
PIVOT: Final = -4.5
LEAST: Final = -0.25
"""A harmless turn takes away this much: a probe among several harmless turns still adds up."""
MOST: Final = 3.0
"""No two texts make a session by their scores: the verdict on a single text is the policy's."""
WEAK_ALLOWANCE: Final = 7.5

# What one more of the others adds, in allowances.
ASKED: Final = 1 / 3
"""For each attribute that was asked for without a grant. An honest shopper asks once what a parka cost the shop."""
NEAR: Final = 1 / 3
"""For each doubtful hit or mask in an answer: the model nearly said it."""
HIDDEN: Final = 1 / 4
"""For each decoding that was refused: nobody nests encodings by accident, but a broken paste looks like it."""
ATTACK: Final = 1 / 2
"""For a turn that was refused as an attack: about 3 in 1,000 harmless ones are."""
NARROWED: Final = 1 / 3
"""For a guess at an amount that narrows it further: seven of them find one of a hundred values."""
GUESSED: Final = 1 / 6
"""For any other guess."""
ROW: Final = 1 / 200
"""For each protected row that the session had not touched lately: paging through a catalogue."""
ROWS_FREE: Final = 8
"""New rows of a turn that count for nothing: an ordinary answer names so many products. No more than these are not even
remembered, so that ordinary turns leave nothing behind."""

MAX_EACH: Final = 16
"""Of a kind counted in one turn (rows: `MAX_ROWS`): what it takes to be refused at once, whatever the kind."""
MAX_ROWS: Final = 1024
REFUSE: Final = 1.5
"""Load, in what the key is allowed, from which a session or shopper is refused; at 1 it is slowed."""
MOST_LOAD: Final = 3.0
"""No load of one host exceeds this, so a refusal ends at the latest one half-life after the last turn noted: with two
hosts after two, with four after three."""
_WORTH: Final = 16.0
"""The most that one new bit of a nearly full sketch of rows stands for."""


class Rules(Struct, frozen=True):
    """How the sums of a kind of key decay and what they lead to.

    `half_life` in seconds; `forgives` allowances that each turn takes from each sum; `allows` how many allowances of a
    session it has; `personal`: it is one person's, so texts that are nearly an attack add up, and rows and guesses are
    followed from turn to turn; `highest`: the rung that it may reach.
    """

    half_life: float
    forgives: float
    allows: float
    personal: bool
    highest: Rung


RULES: Final[Mapping[Kind, Rules]] = MappingProxyType(
    {
        "session": Rules(half_life=1800.0, forgives=0.01, allows=1.0, personal=True, highest="refuse"),
        "subject": Rules(half_life=86400.0, forgives=0.01, allows=3.0, personal=True, highest="refuse"),
        # Shared by many: the sums grow only while a good part of all turns is bad. A credential is a whole surface's:
        # whoever types must not slow everybody, so it is only told (`Standing.load`).
        "credential": Rules(half_life=900.0, forgives=0.1, allows=50.0, personal=False, highest="observe"),
        "address": Rules(half_life=3600.0, forgives=0.1, allows=10.0, personal=False, highest="slow"),
    }
)


class Key(NamedTuple):
    """Whose sums: `name` is a shop, and the pseudonym of its session, shopper or address prefix, or its credential."""

    kind: Kind
    name: str


class Turn(Struct, frozen=True):
    """What one exchange showed. Of texts, only those that the shopper wrote: a planted review is not their doing.

    `weak` is how near the texts came to an attack, or to asking for what the caller may not have: the highest log-odds
    against the threshold (nats), None in what is noted after the answer. `asked` counts attributes asked for without a
    grant, `hidden` refused decodings, `near` doubtful hits and masks in the answer, `compared` are `Reading.compared`,
    `rows` stand for protected rows touched (64-bit hashes), `attack`: it was refused as one.
    """

    weak: float | None = None
    asked: int = 0
    hidden: int = 0
    near: int = 0
    compared: tuple[float, ...] = ()
    rows: tuple[int, ...] = ()
    attack: bool = False


class Standing(NamedTuple):
    """What holds for a request: the worst rung over its keys, whose it is, and which signal did most for it.

    `retry_after`: seconds until the rung is left again if nothing bad is added (0 on ``observe``). `load` is 1 where a
    key is slowed that may be.
    """

    rung: Rung = "observe"
    kind: Kind | None = None
    signal: Signal | None = None
    retry_after: float = 0.0
    load: float = 0.0


OBSERVE: Final = Standing()


def note(whole: Sums, own: Sums, turn: Turn, rules: Rules, known: Sums | None = None) -> Sums:
    """What `own`, the part of one writer, becomes with `turn`; `whole` is the sum of all parts of its host.

    The whole does not fall below zero, nor rise above `MOST_LOAD`, so the part may be below zero. `known` is what all
    hosts know together, if that is more: rows and guesses are followed over all of them. All as of one moment.
    """
    most = MOST_LOAD * rules.allows
    added, trail = _added(whole if known is None else known, turn, personal=rules.personal)
    forgiven = 0.0 if turn.weak is None else rules.forgives
    a, b, c, d, e, f, g = whole[1:8]
    sums = [max(0.0, before + add - forgiven) for before, add in zip(whole[1:8], added)]  # noqa: B905  # seven each
    total = sum(sums)
    if total > most:
        share = most / total
        sums = [part * share for part in sums]
    at, weak, asked, rows, near, hidden, compared, attacks, _ = own
    return Sums(
        at, weak + (sums[0] - a), asked + (sums[1] - b), rows + (sums[2] - c), near + (sums[3] - d),
        hidden + (sums[4] - e), compared + (sums[5] - f), attacks + (sums[6] - g), trail,
    )  # fmt: skip


def leaves_nothing(turn: Turn) -> bool:
    """Whether `turn` adds nothing to any sum: where there are none, none need to be made."""
    return _weak(turn) <= 0 and not (
        turn.asked or turn.hidden or turn.near or turn.attack or len(turn.rows) > ROWS_FREE
    )


def follows(turn: Turn) -> bool:
    """Whether the trails of all parts are needed to note `turn`."""
    return bool(turn.compared) or len(turn.rows) > ROWS_FREE


def ladder(kind: Kind, sums: Sums, rules: Rules) -> Standing:
    """The rung that `sums`, as of now, have reached."""
    load = sum([part for part in sums[1:8] if part > 0]) / rules.allows
    if load < 1:
        return OBSERVE
    parts = sums[1:8]
    signal = SIGNALS[parts.index(max(parts))]
    rung = min("refuse" if load >= REFUSE else "slow", rules.highest, key=RUNGS.index)
    wait = 0.0 if rung == "observe" else rules.half_life * math.log2(load / (REFUSE if rung == "refuse" else 1.0))
    return Standing(rung, kind, signal, wait, load)


def worst(standings: Iterable[Standing]) -> Standing:
    """The highest rung of all; of equals, the one that lasts longest, or has the most load."""
    return max(standings, key=lambda s: (RUNGS.index(s.rung), s.retry_after, s.load), default=OBSERVE)


def _weak(turn: Turn) -> float:
    """Allowances for the text of a turn. An attack, or a question for what it may not have, is not counted twice."""
    if turn.weak is None or turn.attack or turn.asked:
        return 0.0
    return max(LEAST, min(MOST, turn.weak - PIVOT)) / WEAK_ALLOWANCE


def _added(known: Sums, turn: Turn, *, personal: bool) -> tuple[tuple[float, ...], Trail | None]:
    """What `turn` adds to each sum, in allowances; the trail after it."""
    trail, rows, compared = known.trail, 0.0, 0.0
    # "Anything under 50?" is a shopper's question: who never asked for what they may not have guesses at nothing.
    guesses = turn.compared if turn.asked or known.asked > 0 else ()
    if not personal:
        compared = GUESSED * min(len(guesses), MAX_EACH)
    elif guesses or len(turn.rows) > ROWS_FREE:
        trail, rows = _with_rows(trail or Trail(), turn.rows)
        trail, compared = _with_guesses(trail, guesses, known.at)
    added = (
        _weak(turn) if personal else 0.0,
        ASKED * min(turn.asked, MAX_EACH),
        rows,
        NEAR * min(turn.near, MAX_EACH),
        HIDDEN * min(turn.hidden, MAX_EACH),
        compared,
        ATTACK if turn.attack else 0.0,
    )
    return added, trail


def _with_rows(trail: Trail, rows: tuple[int, ...]) -> tuple[Trail, float]:
    """The trail with `rows`, and what those add that are new, in allowances.

    A row sets one of `BITS` bits. One that sets a new bit stands for those that fell on bits already set.
    """
    new, seen = 0.0, trail.seen
    for row in rows[:MAX_ROWS]:
        bit = 1 << row % BITS
        known = seen | trail.before
        if not known & bit:
            new += min(_WORTH, BITS / (BITS - known.bit_count()))
        seen |= bit
    return trail._replace(seen=seen), ROW * max(0.0, new - ROWS_FREE)


def _with_guesses(trail: Trail, numbers: tuple[float, ...], now: float) -> tuple[Trail, float]:
    """The trail with guesses at an amount, and what they add, in allowances.

    The answers are not known here, but the next guess tells: whoever goes up after 40 was told that it is more.
    """
    added = 0.0
    for number in filter(math.isfinite, numbers[:MAX_EACH]):
        low, high, last, guessed, seen, before = trail
        if number > last:
            low = max(low, last)
        elif number < last:
            high = min(high, last)
        if guessed > -math.inf and number != last and low < number < high:
            added += NARROWED
        else:
            added += GUESSED
            if number != last:
                low, high = -math.inf, math.inf
        trail = Trail(low, high, number, now, seen, before)
    return trail, added
