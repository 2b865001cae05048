"""Products, or other rows of named fields, from a file: CSV with a heading, or one JSON object a line.

This is the `ProductSource` of a catalogue file. A nested field of a JSON object has its path as name
(``attributes.cost``) and, where nothing nearer the top is called so, its last part too (``cost``).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import msgspec

from firedoor.core.chat import MAX_DEPTH
from firedoor.errors import ActRefused, SetupError
from firedoor.ports.exchange import ProductFields
from firedoor.store.files import read_bounded

FILE_LIMIT: Final = 256 * 1024 * 1024
"""Bytes: a million products with some fields each. The file is held in memory once."""
MAX_LINE: Final = 65_536
"""Characters of one row; descriptions of products reach about 3,000."""
MAX_COLUMNS: Final = 512
"""Columns of a heading, or fields of an object: exports of large shops have some hundred."""
DELIMITERS: Final = ",;\t|"
NAMED: Final = 40
"""Columns that an error names."""

_JSON: Final = msgspec.json.Decoder(float_hook=Decimal)
_JSON_SUFFIXES: Final = (".jsonl", ".ndjson")


class FieldsFile:
    """The rows of one file; its name says the format (`.jsonl` or `.ndjson`, else CSV)."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def products(self, fields: Sequence[str]) -> Iterator[ProductFields]:
        """See `ProductSource.products`. ``where`` is the line of the file."""
        text = self._read()
        rows = self._objects(text) if self._path.suffix.lower() in _JSON_SUFFIXES else self._csv(text)
        lacking, known = set(fields), dict[str, None]()
        for where, row in rows:
            if len(row) > MAX_COLUMNS:
                raise self._wrong(where, f"has more than {MAX_COLUMNS} fields")
            lacking -= row.keys()
            if lacking and len(known) <= NAMED:
                known.update(dict.fromkeys(row))
            yield ProductFields(where, tuple(row.get(name, "") for name in fields))
        if lacking:
            raise ActRefused(
                "unknown_column",
                f"{self._path.name} has no column {', '.join(sorted(lacking))}.",
                remedy=f"It has: {_listed(list(known))}.",
            )

    def _read(self) -> str:
        try:
            data = read_bounded(self._path, FILE_LIMIT)
        except OSError as error:
            raise SetupError(f"{self._path} cannot be read: {error.strerror}.") from None
        return utf8(data, self._path.name)

    def _csv(self, text: str) -> Iterator[tuple[str, dict[str, str]]]:
        heading, _, _ = text.partition("\n")
        delimiter = delimiter_of(heading)
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        names = [name.strip() for name in self._next(reader) or ()]
        if len({*names}) != len(names) or not all(names):
            raise self._wrong("line 1", "is no heading: its columns need names, each another one")
        while (cells := self._next(reader)) is not None:
            where = f"line {reader.line_num}"
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(names):
                raise self._wrong(where, f"has {len(cells)} columns, and the heading {len(names)}")
            yield where, {name: cell.strip() for name, cell in zip(names, cells, strict=True)}

    def _next(self, reader: Any) -> list[str] | None:
        try:
            row: list[str] | None = next(reader, None)
        except csv.Error as error:
            raise self._wrong(f"line {reader.line_num}", f"is no CSV: {error}") from None
        if row is not None and sum(map(len, row)) > MAX_LINE:
            raise self._wrong(f"line {reader.line_num}", f"is longer than {MAX_LINE} characters")
        return row

    def _objects(self, text: str) -> Iterator[tuple[str, dict[str, str]]]:
        for number, line in enumerate(io.StringIO(text), 1):
            where = f"line {number}"
            if not line.strip():
                continue
            if len(line) > MAX_LINE:
                raise self._wrong(where, f"is longer than {MAX_LINE} characters")
            try:
                row = _JSON.decode(line)
            except (msgspec.DecodeError, ValueError, RecursionError):
                raise self._wrong(where, "is not JSON") from None
            if not isinstance(row, dict):
                raise self._wrong(where, "is not a JSON object")
            yield where, _flat(row)

    def _wrong(self, where: str, what: str) -> SetupError:
        return SetupError(f"{self._path.name}, {where} {what}.", remedy="Correct the file and try again.")


def utf8(data: bytes, name: str) -> str:
    """`data` of the file `name`, without a byte order mark. Raises `SetupError` naming the byte that is wrong."""
    try:
        return data.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SetupError(
            f"{name}: byte {error.start} (line {line}) is not UTF-8.",
            remedy="Save it as UTF-8, for example with `iconv -f WINDOWS-1252 -t UTF-8`.",
        ) from None


def delimiter_of(heading: str) -> str:
    """What parts the columns of a CSV file that begins with `heading`: a comma, semicolon, tab or bar."""
    return max(DELIMITERS, key=heading.count)


def _flat(row: dict[str, Any]) -> dict[str, str]:
    """The fields of an object by their paths, the nearest to the top under its last name too."""
    flat: dict[str, str] = {}
    waiting = [("", row)]
    for _ in range(MAX_DEPTH):
        deeper: list[tuple[str, dict[str, Any]]] = []
        for prefix, fields in waiting:
            for name, value in fields.items():
                if isinstance(value, dict):
                    deeper.append((f"{prefix}{name}.", value))
                elif (text := _text(value)) is not None:
                    flat[prefix + name] = text
                    flat.setdefault(name, text)
        waiting = deeper
    return flat


def _text(value: Any) -> str | None:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | Decimal):
        return str(value)
    if isinstance(value, list):
        return ", ".join(text for one in value if (text := _text(one)))
    return None


def _listed(names: list[str]) -> str:
    more = ", …" if len(names) > NAMED else ""
    return (", ".join(names[:NAMED]) or "none") + more
