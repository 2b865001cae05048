"""Plain text of any length, in blocks of whole paragraphs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from firedoor.core.redact.cells import Cell, Edit

BLOCK = 16_384
"""Characters of a block: some pages, so that hardly anything a detector looks at lies beyond its edge."""
_SEPARATORS = ",;|}>"
_PARAGRAPH = re.compile(r"\n[ \t\r]*\n")


def edited_text(chunks: Iterable[str], edit: Edit) -> Iterator[str]:
    """`chunks` of one text, edited block by block."""
    for block in blocks(chunks):
        yield from edit([Cell(block)])


def blocks(chunks: Iterable[str]) -> Iterator[str]:
    """The same text in blocks of at most `BLOCK` characters, each with the white space after it.

    A block ends behind a blank line, else behind a line, else behind a word, else behind a separating sign. Only where
    there is none of these in half a block, a word may be cut.
    """
    waiting = ""
    for chunk in chunks:
        waiting += chunk
        at = 0
        while len(waiting) - at > BLOCK:
            end = _end(waiting[at : at + BLOCK])
            yield waiting[at : at + end]
            at += end
        waiting = waiting[at:]
    if waiting:
        yield waiting


def _end(text: str) -> int:
    """Where to end a block that begins with `text` and goes on."""
    half = len(text) // 2
    paragraphs = [match.end() for match in _PARAGRAPH.finditer(text, half)]
    if paragraphs:
        return paragraphs[-1]
    if (line := text.rfind("\n", half)) >= 0:
        return line + 1
    for at in range(len(text) - 1, half, -1):
        if text[at].isspace():
            return at + 1
    return max(map(text.rfind, _SEPARATORS)) + 1 or len(text)
