"""The words a text must have for a pattern to match: what is looked for in one pass before any pattern is tried.

Only words, no gaps and no repeats: thousands of them make a small automaton, and its work does not depend on the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

_MOST_LITERALS = 48  # of joined pieces: more tell hardly more than each piece by itself
_LEAST_LITERAL = 3  # bytes of a telling part, with the spaces around a word
_SPACES = re.compile(rb" +")
_SPACED = bytes(code if chr(code) in "abcdefghijklmnopqrstuvwxyz0123456789" else 0x20 for code in range(256))
_SIGNS = bytes(0x2E if chr(code) in ".!?" else code if code in _SPACED else 0x20 for code in range(256))
# Words that most texts have: to look for them tells nothing. Words that many have tell something besides others.
_EVERYWHERE = frozenset(
    b"a all an and are as at be but by can de do e el en for from have i if il in is it la le me my no not o of on or "
    b"que re s so that the this to un was were will with you your".split()
)
_COMMON = _EVERYWHERE | frozenset(
    b"about account act ai al also am answer any because been before buy could customer del did die don don't first "
    b"following get give go had has he her here his how just les let like list ll lo los m make may more most name "
    b"need new now one only order other our out part people please por product question read review say see she should "
    b"some t take tell text than their them then there these they those una und up us use ve want we what when where "
    b"which who would".split()
)
_SELDOM = frozenset(b"=<>[]{}|#*~+@^`")  # signs that people hardly write


class Piece(NamedTuple):
    """A piece of a pattern, of at most `most` bytes.

    `literals`: each match has one of them; none are known of a gap. One that ends with `_END` is all of its match.
    `whole`: matches have nothing besides. `first`: they begin with it. `empty`: it may match nothing. `opens`,
    `closes`: matches begin, end with an ASCII letter or digit. `space`: they end with a space.
    """

    expression: bytes
    most: int
    literals: frozenset[bytes] = frozenset()
    whole: bool = False
    first: bool = False
    empty: bool = False
    opens: bool = False
    closes: bool = False
    space: bool = False


class Pattern(NamedTuple):
    """A byte expression. Where it matches, the text has one literal of each of `parts`, the most telling first.

    `latin`: the literals are of the `spaced` text.
    """

    expression: bytes
    parts: tuple[frozenset[bytes], ...]
    latin: bool


class _Run(NamedTuple):
    """What a stretch of a pattern can be; `first`: it is at its start."""

    literals: frozenset[bytes]
    first: bool


_NOTHING = frozenset([b""])
_ONE_SPACE = frozenset([b" "])
_END = b"\n"
EDGE = Piece(b"\\b", 0, _ONE_SPACE, whole=True, first=True, empty=True)
"""Where a word of Latin letters begins or ends."""


def sentences(data: bytes, at_least: int) -> Iterator[tuple[int, int]]:
    """Where stretches of whole sentences begin and end in `data`, each of some more than `at_least` bytes."""
    signs = data.translate(_SIGNS)
    begin = 0
    while begin < len(signs):
        end = signs.find(b". ", begin + at_least) + 1 or len(signs)
        yield begin, end
        begin = end


def spaced(data: bytes) -> bytes:
    """`data`, folded, with one space for all that is no ASCII letter or digit, and at both ends."""
    text = b" " + data.translate(_SPACED) + b" "
    while b"  " in text:  # half as many each time
        text = text.replace(b"  ", b" ")
    return text


@lru_cache(maxsize=4096)
def literal(sign: str, *, latin: bool) -> Piece:
    """One code point of a pattern, or several letters or digits, as the text has it or as the spaced text has it."""
    data = sign.encode("utf-8", "replace")
    expression = re.escape(data) if len(data) == 1 else b"(?:" + data + b")"
    known = frozenset([_SPACES.sub(b" ", data.translate(_SPACED)) if latin else data])
    word = sign.isascii() and sign.isalnum()
    return Piece(expression, len(data), known, whole=True, first=True, opens=word, closes=word)


def made_of(pieces: Sequence[Piece], *, latin: bool) -> Pattern:
    """The pattern of `pieces` one after the other; no parts if nothing is known of them.

    `latin`: where it begins or ends with a letter, a word begins or ends.
    """
    if latin:
        before = [EDGE] if _opens(pieces) else []
        after = [EDGE] if _opens(pieces[::-1], end=True) else []
        pieces = [*before, *pieces, *after]
    runs = [_shortest(run.literals) for run in _runs(pieces)]
    telling = [run for run in runs if _worth(run)]
    expression = b"".join(piece.expression for piece in pieces)
    return Pattern(expression, tuple(dict.fromkeys(telling or runs)), latin)


def either(sequences: Sequence[Sequence[Piece]]) -> Piece:
    """One of the sequences of pieces."""
    literals: set[bytes] = set()
    whole = first = True
    for pieces in sequences:
        exact = _all_of(pieces)
        if exact is None:
            whole = False
            run = _best(pieces)
            first = first and run.first
            literals |= run.literals
        else:
            literals |= {one + _END for one in exact}
    if whole:
        literals = {one.removesuffix(_END) for one in literals}
    known = whole or b"" not in literals
    return Piece(
        b"(?:" + b"|".join(b"".join(piece.expression for piece in pieces) for pieces in sequences) + b")",
        max(sum(piece.most for piece in pieces) for pieces in sequences),
        frozenset(literals) if known else frozenset(),
        whole,
        first,
        empty=any(all(piece.empty for piece in pieces) for pieces in sequences),
        opens=all(_opens(pieces) for pieces in sequences),
        closes=all(_opens(pieces[::-1], end=True) for pieces in sequences),
        space=all(bool(pieces) and pieces[-1].space for pieces in sequences),
    )


def _best(pieces: Sequence[Piece]) -> _Run:
    """The most telling stretch of `pieces`; if it tells enough, the first one: where that begins is known."""
    runs = _runs(pieces)
    ahead = [run for run in runs if run.first and _worth(run.literals) > 1]
    return [*ahead, *runs, _Run(_NOTHING, first=False)][0]


def _opens(pieces: Sequence[Piece], *, end: bool = False) -> bool:
    """Whether what `pieces` match begins with an ASCII letter or digit; from the back, if it is their `end`."""
    for piece in pieces:
        if not (piece.closes if end else piece.opens):
            return False
        if not piece.empty:
            return True
    return False


def _all_of(pieces: Iterable[Piece]) -> frozenset[bytes] | None:
    """All that `pieces` can be one after the other, if that is known and not too much."""
    made: frozenset[bytes] | None = _NOTHING
    for piece in pieces:
        made = _product(made, piece.literals) if piece.whole and made is not None else None
    return made


def _space_follows(pieces: Sequence[Piece]) -> bool:
    """Whether what `pieces` match begins with a space, in the spaced text."""
    for piece in pieces:
        if not piece.whole or not all(one.startswith(b" ") for one in piece.literals if one):
            return False
        if b"" not in piece.literals:
            return True
    return False


def _runs(pieces: Sequence[Piece]) -> list[_Run]:
    """Each stretch of which all is known, the most telling first."""
    runs: list[_Run] = []
    run, first = _NOTHING, True
    for at, piece in enumerate(pieces):
        joined = _product(run, piece.literals) if piece.whole else None
        if joined is not None:
            run = joined
            continue
        runs.append(_Run(run, first))
        # A word begins where the stretch before it ends with a space.
        edge = all(one.endswith(b" ") for one in run)
        end = b" " if _space_follows(pieces[at + 1 :]) else b""
        literals = frozenset(one.replace(_END, end) for one in piece.literals)
        if edge and piece.first:
            literals = frozenset(_SPACES.sub(b" ", b" " + one) for one in literals)
        first = first and run == _NOTHING and piece.first
        if literals and piece.whole and b"" not in piece.literals:
            run = literals
            continue
        if literals and b"" not in piece.literals:
            runs.append(_Run(literals, first))
        run, first = _ONE_SPACE if piece.space and (edge or not piece.empty) else _NOTHING, False
    runs.append(_Run(run, first))
    return sorted((run for run in runs if _is_known(run.literals)), key=lambda run: _worth(run.literals), reverse=True)


def _is_known(literals: frozenset[bytes]) -> bool:
    return bool(literals) and all(one.strip() for one in literals)


def _product(first: frozenset[bytes], second: frozenset[bytes]) -> frozenset[bytes] | None:
    """Each of `first` followed by each of `second`, if that is not too many."""
    if len(first) * len(second) > max(_MOST_LITERALS, len(first), len(second)):
        return None
    return frozenset(_SPACES.sub(b" ", one + other) for one in first for other in second)


def _shortest(literals: frozenset[bytes]) -> frozenset[bytes]:
    """Without those that hold another."""
    kept: list[bytes] = []
    for one in sorted(literals, key=len):
        if not any(other in one for other in kept):
            kept.append(one)
    return frozenset(kept)


def _worth(literals: frozenset[bytes]) -> int:
    """How much it tells that a text has one of them: the bytes of the shortest, hardly anything of a common word."""
    return min(map(_worth_of, literals))


def _worth_of(one: bytes) -> int:
    words = one.split()
    if _EVERYWHERE.issuperset(words) or (len(one) < _LEAST_LITERAL and _SELDOM.isdisjoint(one)):
        return 0
    return 1 if _COMMON.issuperset(words) else len(one)
