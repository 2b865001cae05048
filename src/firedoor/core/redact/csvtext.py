"""CSV of any length, row by row. Rows are cut as RFC 4180 says; what is not edited stays as it was, sign by sign.

Each row is searched as a record: ``city: Gent`` says more than ``Gent``. Names of columns come from a first row that
looks like a heading; it is searched itself, since it may be none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from firedoor.core.redact.cells import MAX_NAME, Cell, Edit
from firedoor.core.redact.lines import lines
from firedoor.errors import SetupError

MAX_ROW = 1_048_576
"""Characters of a row: more is a quotation mark that nobody closed."""
DELIMITERS = ",;\t|"


class _Signs(NamedTuple):
    """The patterns of one dialect. Possessive: a row is read once, whatever its quotation marks."""

    delimiter: str
    cell: re.Pattern[str]
    unclosed: re.Pattern[str]
    to_close: re.Pattern[str]


def edited_csv(chunks: Iterable[str], edit: Edit, delimiter: str | None = None) -> Iterator[str]:
    """`chunks` of one CSV text, edited row by row. Raises `SetupError` for a row without end."""
    names: list[str] | None = None
    for text, end, signs in _rows(chunks, delimiter):
        raw = _cells(text, signs)
        values = [_value(cell) for cell in raw]
        columns = names or []
        if names is None:
            names = [value.strip() for value in values] if _is_heading(values) else []
        changed = edit([Cell(value, columns[i] if i < len(columns) else "") for i, value in enumerate(values)])
        written = (_written(*cell, signs.delimiter) for cell in zip(raw, values, changed, strict=True))
        yield signs.delimiter.join(written) + end


class _Row(NamedTuple):
    text: str
    end: str
    signs: _Signs


def _rows(chunks: Iterable[str], delimiter: str | None) -> Iterator[_Row]:
    """Rows with their line breaks, which may stand within quotation marks too."""
    signs = _signs(delimiter) if delimiter is not None else None
    waiting: list[str] = []
    size, began = 0, 0
    for number, line in lines(chunks, MAX_ROW, "the row"):
        signs = signs or _signs(_delimiter_of(line))
        is_open = _open_behind(line, signs, is_open=bool(waiting))
        began = began if waiting else number
        waiting.append(line)
        size += len(line)
        if size > MAX_ROW:
            raise SetupError(
                f"Line {began}: the row has more than {MAX_ROW:,} characters.",
                remedy="Is a quotation mark not closed? `--format text` reads it as plain text.",
            )
        if not is_open:
            yield _row("".join(waiting), signs)
            waiting, size = [], 0
    if waiting and signs is not None:
        yield _row("".join(waiting), signs)


def _row(text: str, signs: _Signs) -> _Row:
    end = "\r\n" if text.endswith("\r\n") else "\n" if text.endswith("\n") else ""
    return _Row(text[: len(text) - len(end)], end, signs)


def _delimiter_of(line: str) -> str:
    """The sign that cuts the first line into most pieces."""
    outside = re.sub(r'"[^"]*"', "", line)
    return max(DELIMITERS, key=outside.count)


def _signs(delimiter: str) -> _Signs:
    d = re.escape(delimiter)
    return _Signs(
        delimiter,
        re.compile(rf'"(?:[^"]|"")*+"(?=[{d}]|\Z)|[^{d}]*'),
        re.compile(r'"(?:[^"]|"")*+\Z'),
        re.compile(r'(?:[^"]|"")*+"'),
    )


def _open_behind(line: str, signs: _Signs, *, is_open: bool) -> bool:
    """Whether a quoted cell goes on behind `line`; `is_open` says whether one went on before it."""
    text = line.rstrip("\r\n")
    at = 0
    if is_open:
        close = signs.to_close.match(text)
        if close is None:
            return True
        at = text.find(signs.delimiter, close.end()) + 1
        if at == 0:
            return False
    while True:
        if text.startswith('"', at) and signs.unclosed.match(text, at):
            return True
        cell = signs.cell.match(text, at)
        assert cell is not None  # the pattern matches nothing as well
        at = cell.end() + 1
        if at > len(text):
            return False


def _cells(text: str, signs: _Signs) -> list[str]:
    cells: list[str] = []
    at = 0
    while at <= len(text):
        cell = signs.cell.match(text, at)
        assert cell is not None  # the pattern matches nothing as well
        cells.append(cell[0])
        at = cell.end() + 1
    return cells


def _is_quoted(raw: str) -> bool:
    return len(raw) > 1 and raw[0] == raw[-1] == '"'


def _value(raw: str) -> str:
    return raw[1:-1].replace('""', '"') if _is_quoted(raw) else raw


def _written(raw: str, value: str, changed: str, delimiter: str) -> str:
    if changed == value:
        return raw
    needs = any(sign in changed for sign in (delimiter, '"', "\n", "\r"))
    return '"' + changed.replace('"', '""') + '"' if needs or _is_quoted(raw) else changed


def _is_heading(values: list[str]) -> bool:
    names = [value.strip() for value in values]
    return len(set(names)) == len(names) > 0 and all(
        0 < len(name) <= MAX_NAME and name[0].isalpha() and "@" not in name and sum(map(str.isdigit, name)) < 3
        for name in (name.lstrip("\ufeff") for name in names)
    )
