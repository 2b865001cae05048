"""JSON documents and JSON Lines: strings, telling numbers, keys that are values. All other signs stay as they were."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import msgspec

from firedoor.core.minimise.placeholders import json_escaped
from firedoor.core.redact.cells import MAX_NAME, Cell, Edit
from firedoor.core.redact.lines import lines
from firedoor.errors import SetupError

MAX_DOCUMENT = 67_108_864
"""Characters of a JSON document: whether it is one is known at its end, so it is held whole, some 400 MiB at most.
JSON Lines have no such bound."""
MAX_LINE = 16_777_216
"""Characters of a line of JSON Lines."""
RECORD = 16_384
"""Characters of values that are searched together."""
MAX_INSIDE = 4
"""Documents in strings of documents. Tools that wrap others' results reach three; what is deeper is read as text."""

_TOKEN = re.compile(r'"([^"\\]*(?:\\.[^"\\]*)*)"(\s*:)?|(-?[0-9][0-9.eE+-]*)', re.DOTALL)
_NUMBER = re.compile(r"-?[0-9]{3,32}")  # fractions are prices and measures; two digits are nothing
_FIELD_NAME = re.compile(r"[A-Za-z_$@][A-Za-z0-9_$:.-]*")
_BYTE_ORDER_MARK = "\ufeff"


def edited_json(chunks: Iterable[str], edit: Edit) -> Iterator[str]:
    """One JSON document, edited. Raises `SetupError` if it is too long or none."""
    whole: list[str] = []
    size = 0
    for chunk in chunks:
        whole.append(chunk)
        size += len(chunk)
        if size > MAX_DOCUMENT:
            raise SetupError(
                f"The JSON document has more than {MAX_DOCUMENT:,} characters.", remedy="Make JSON Lines of it."
            )
    yield from _document("".join(whole), edit, "The document")


def edited_json_lines(chunks: Iterable[str], edit: Edit) -> Iterator[str]:
    """A JSON document on each line, edited; blank lines stay. Raises `SetupError` naming the line that is none."""
    for number, line in lines(chunks, MAX_LINE, "the document"):
        if line.isspace():
            yield line
        else:
            yield from _document(line, edit, f"Line {number}")


def _document(text: str, edit: Edit, what: str) -> Iterator[str]:
    bare = text.removeprefix(_BYTE_ORDER_MARK)
    if (fault := _fault(bare)) is not None:
        raise SetupError(f"{what} is not JSON{fault}.", remedy="`--format text` reads it as plain text.")
    if len(bare) < len(text):
        yield _BYTE_ORDER_MARK
    yield from _edited(bare, edit, 1)


def _fault(text: str) -> str | None:
    """None for JSON; else where it is wrong, as far as known. Nothing of the text is repeated."""
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except msgspec.MsgspecError as error:
        place = re.search(r"\(byte \d+\)", str(error))
        return f" {place[0]}" if place else ""
    except (UnicodeError, RecursionError):
        return ""
    return None


def _edited(text: str, edit: Edit, depth: int) -> Iterator[str]:
    """`text`, valid JSON, in pieces."""
    pieces: list[str] = []  # as they will be written; those of `places` are still to be edited
    places: list[int] = []
    cells: list[Cell] = []
    position, size, name = 0, 0, ""
    for token in _TOKEN.finditer(text):
        source, is_key, number = token.groups()
        pieces += (text[position : token.start()], token[0])
        position = token.end()
        if number is not None:
            if _NUMBER.fullmatch(number) is None:
                continue
            value = number
        else:
            value = msgspec.json.decode(f'"{source}"') if "\\" in source else source
            if is_key:
                name = value if len(value) <= MAX_NAME else ""
                if _FIELD_NAME.fullmatch(value) and sum(map(str.isdigit, value)) < 5:
                    continue
            elif depth < MAX_INSIDE and value[:1] in ("{", "[") and _fault(value) is None:
                last = pieces.pop()
                yield from _filled(pieces, places, cells, edit)  # first what came first: placeholders count on it
                inner = "".join(_edited(value, edit, depth + 1))
                pieces, places, cells, size = [], [], [], 0
                yield last if inner == value else f'"{json_escaped(inner)}"'
                continue
        places.append(len(pieces) - 1)
        cells.append(Cell(value, "" if is_key else name))
        size += len(value)
        if size > RECORD:
            yield from _filled(pieces, places, cells, edit)
            pieces, places, cells, size = [], [], [], 0
    pieces.append(text[position:])
    yield from _filled(pieces, places, cells, edit)


def _filled(pieces: list[str], places: list[int], cells: list[Cell], edit: Edit) -> Iterator[str]:
    """`pieces` with edited strings in their places; a number that was edited becomes a string."""
    for place, cell, changed in zip(places, cells, edit(cells), strict=True):
        if changed != cell.value:
            key = pieces[place].rpartition('"')[2] if pieces[place].startswith('"') else ""
            pieces[place] = f'"{json_escaped(changed)}"{key}'
    yield from pieces
