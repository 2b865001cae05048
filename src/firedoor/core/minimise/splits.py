"""Values that go on from one message to the next: ``my card is 4111 1111`` and then ``1111 1111``. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from firedoor.core.detect.spans import Span
from firedoor.core.minimise.leaves import Leaf

CONTINUED = "[continued]"
"""Stands for every piece of a value but the first."""
REACH = 64
"""Code points at the end of one message and the beginning of the next that are read together."""
MAX_PIECES = 8
"""Messages that one value is spread over: a card number in groups of four takes four, an IBAN up to eight."""
LABELS = frozenset({"EMAIL", "PHONE", "CREDIT_CARD", "IBAN", "NATIONAL_ID", "TAX_ID", "ACCOUNT_ID"})
"""Kinds of data with a form or checksum of their own, which two halves do not make by chance."""
WHOLE_PHONE = 9
"""Digits that make a phone number of its own, without the country's code: most of Europe has nine or ten."""

_DIGIT_NEAR_END = re.compile(r"\d\D{0,8}\Z")
_DIGIT_NEAR_START = re.compile(r"\D{0,8}\d")
_ONLY_A_PIECE = 24  # code points of a message that is nothing but a middle piece


class Piece(NamedTuple):
    """Code points `start`..`end` of a leaf."""

    leaf: Leaf
    start: int
    end: int


class Split(NamedTuple):
    """A value in pieces, and as one."""

    label: str
    value: str
    pieces: tuple[Piece, ...]


class Turns:
    """The texts of the messages of each role, most recent last."""

    def __init__(self) -> None:
        self._said: dict[str, list[Leaf]] = {}

    def splits(self, leaf: Leaf, find: Callable[[str], list[Span]]) -> list[Split]:
        """Values that begin in earlier messages of the same role and end in `leaf`."""
        earlier = self._said.setdefault(leaf.role, [])
        found = _splits(earlier, leaf, find) if earlier else []
        earlier.append(leaf)
        del earlier[:-MAX_PIECES]
        return found


def _splits(earlier: list[Leaf], leaf: Leaf, find: Callable[[str], list[Span]]) -> list[Split]:
    head = leaf.text[:REACH]
    glue = _glue(earlier[-1].text[-REACH:], head)
    if glue is None:
        return []
    parts = [(leaf, len(head) - len(head.lstrip()), head.strip())]
    glues: list[str] = []
    for before in reversed(earlier[-MAX_PIECES + 1 :]):
        tail = before.text[-REACH:].rstrip()
        glue = _glue(tail, parts[-1][2])
        if glue is None:
            break
        parts.append((before, max(0, len(before.text) - REACH), tail))
        glues.append(glue)
        if len(before.text) > _ONLY_A_PIECE:
            break
    parts.reverse()
    glues.reverse()
    joined = parts[0][2]
    starts = [0]
    for (_, _, text), glue in zip(parts[1:], glues, strict=True):
        starts.append(len(joined) + len(glue))
        joined += glue + text
    found = [
        Split(span.label, joined[span.start : span.end], _pieces(span, parts, starts))
        for span in find(joined)
        if span.label in LABELS and span.start < starts[-1] - len(glues[-1]) and span.end > starts[-1]
    ]
    return [split for split in found if not _was_whole(split)]


def _pieces(span: Span, parts: list[tuple[Leaf, int, str]], starts: list[int]) -> tuple[Piece, ...]:
    pieces = []
    for (leaf, offset, text), start in zip(parts, starts, strict=True):
        first, last = max(span.start - start, 0), min(span.end - start, len(text))
        if first < last:
            pieces.append(Piece(leaf, offset + first, offset + last))
    return tuple(pieces)


def _was_whole(split: Split) -> bool:
    """Whether the earlier messages hold a value that needs no more: what follows is a full stop and a new sentence
    (``… jan@web.de.``, ``Write to …``), or another number (``… 0612345678``, ``2 pairs please``).
    """
    if split.label not in ("EMAIL", "PHONE"):
        return False
    earlier = split.pieces[:-1]
    if not all(_is_found(piece, split.label) for piece in earlier):
        return False
    digits = sum(map(str.isdecimal, "".join(leaf.text[start:end] for leaf, start, end in earlier)))
    return split.label == "EMAIL" or digits >= WHOLE_PHONE + split.value.startswith(("+", "00"))


def _is_found(piece: Piece, label: str) -> bool:
    """Whether a piece was found by itself already."""
    leaf, start, end = piece
    return any(
        edit.label == label and edit.start <= start and not leaf.text[edit.end : end].strip(" .") for edit in leaf.edits
    )


def _glue(tail: str, head: str) -> str | None:
    """What stands between two halves of a value when they are read as one; None if these look like none."""
    tail, head = tail.rstrip(), head.lstrip()
    if not tail or not head:
        return None
    if tail[-1] in "@." and tail[-2:-1].isalnum() and head[0].isalnum() and ("@" in tail[-REACH:] or "@" in head):
        return ""
    if head[0] in "@." and head[1:2].isalnum() and tail[-1].isalnum() and ("@" in tail[-REACH:] or head[0] == "@"):
        return ""
    return " " if _DIGIT_NEAR_END.search(tail[-9:]) and _DIGIT_NEAR_START.match(head) else None
