"""Addresses with white space, a line break or a turn of a chat beside their signs or within their host."""

from __future__ import annotations

import re
from collections.abc import Iterator

from firedoor.core.detect.disguise import words
from firedoor.core.detect.disguise.joined import BREAK
from firedoor.core.detect.disguise.views import Edit

_ANY_GAP = rf"(?:{BREAK}|[ \t]{{1,3}})"
_GAP_BEFORE = re.compile(rf"(?<=\w){_ANY_GAP}\Z", re.IGNORECASE)
_GAP_HERE = re.compile(_ANY_GAP, re.IGNORECASE)
_BEFORE_REACH = 160
_HOST_LABEL = re.compile(r"[^\W_](?:[\w-]{0,61}[^\W_])?")
_POINT = re.compile(rf"(?P<before>{_ANY_GAP})?\.(?P<after>{_ANY_GAP})?(?=[^\W_])", re.IGNORECASE)
_BROKEN = re.compile(r"@(?:\s|(?<=\s@)|[\w-]{1,63}(?:\.[\w-]{1,63}){0,3}(?:\s{1,4}\.|\.\s|\s{0,3}\n))")
_LINE_GAP = re.compile(BREAK, re.IGNORECASE)
_REST = re.compile(r"[\w-]{0,63}(?:\.[\w-]{1,63}){0,3}\.(?P<ending>[^\W\d_]{2,10})(?![\w-])")
_MAX_DOTS = 4
_LAST_WORD = re.compile(r"[\w.+-]{1,64}\Z")


def broken_at_a_sign(text: str) -> bool:
    """Whether white space stands beside the @ of an address, or beside a dot behind it."""
    return "@" in text and _BROKEN.search(text) is not None


def mended(text: str) -> Iterator[Edit]:
    """Nothing instead of the gaps beside the signs of an address."""
    taken = 0
    at = text.find("@")
    while at >= 0:
        edits = _gaps_of(text, at, taken)
        if edits:
            yield from edits
            taken = edits[-1].end
        at = text.find("@", max(at + 1, taken))


def _gaps_of(text: str, at: int, taken: int) -> list[Edit]:
    """The gaps of the address with its @ at `at`; empty if there are none, or if it is no address."""
    edits: list[Edit] = []
    name_ends = at
    if at > taken and (text[at - 1].isspace() or text[at - 1] in ":,"):
        gap = _GAP_BEFORE.search(text, max(taken, at - _BEFORE_REACH), at)
        if gap is None:
            return []
        edits.append(Edit(*gap.span(), ""))
        name_ends = gap.start()
    name = _LAST_WORD.search(text, max(taken, name_ends - 65), name_ends)
    if name is None or (edits and name[0].casefold() in words.NOBODY):
        return []
    gap = _GAP_HERE.match(text, at + 1)
    if gap:
        edits.append(Edit(*gap.span(), ""))
    points = _points(text, gap.end() if gap else at + 1)
    return edits + points if points is not None else []


def _points(text: str, start: int) -> list[Edit] | None:
    """The gaps within the host name at `start`; nothing if no known ending follows."""
    edits: list[Edit] = []
    known: list[Edit] | None = None
    label, end = _label(text, start)
    for dots in range(_MAX_DOTS + 1):
        gap = _LINE_GAP.match(text, end) if label else None
        if gap and _goes_on(text, gap.end(), label, dots):
            more, end = _label(text, gap.end())
            label += more
            edits = [*edits, Edit(*gap.span(), "")]
        if dots and label in (words.SAFE_TLDS if edits else words.TLDS):
            known = edits
        point = _POINT.match(text, end) if label else None
        if point is None:
            break
        gaps = [Edit(*point.span(side), "") for side in ("before", "after") if point[side]]
        label, end = _label(text, point.end())
        if gaps and label not in words.SAFE_TLDS and not _REST.match(text, end):
            break  # the dot ends a sentence
        edits = edits + gaps
    return known


def _label(text: str, start: int) -> tuple[str, int]:
    match = _HOST_LABEL.match(text, start)
    return (match[0].casefold(), match.end()) if match else ("", start)


def _goes_on(text: str, start: int, label: str, dots: int) -> bool:
    """Whether the line at `start` goes on with a host name whose last part so far is `label`, behind so many dots."""
    rest = _REST.match(text, start)
    if rest and not (dots and label in words.TLDS):
        return rest["ending"].casefold() in words.TLDS
    more, _ = _label(text, start)
    return dots > 0 and label not in words.TLDS and label + more in words.SAFE_TLDS
