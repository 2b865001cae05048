"""A shop's list of its shoppers' ids, read as a stream: one id a line, or a column of a CSV file."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TextIO

from firedoor.errors import SetupError

ID_BYTES: Final = 1024
"""Bytes of an id: what the gateway takes in `Firedoor-Subject`."""
LINE: Final = 64 * 1024
"""Characters of a line of CSV: a row of a customer export with an address in each of sixty columns."""
LISTED: Final = 50_000_000
"""Ids in a list: more shoppers than the largest shops have, and some minutes of work."""
_READ: Final = 1 << 20


def list_digest(path: Path) -> str:
    """SHA-256 (hex) of the file: what the two persons agree on is exactly this list. Raises `SetupError`."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while data := file.read(_READ):
                digest.update(data)
    except OSError as error:
        raise _unreadable(path, error) from None
    return digest.hexdigest()


def customer_ids(path: Path, column: str | None = None) -> Iterator[str]:
    """The ids in order, empty ones left out. Raises `SetupError` that names the line, never what stands in it."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = _lines(file, path)
            ids = (line.strip() for line in lines) if column is None else _column(lines, path, column)
            count = 0
            for id_ in ids:
                if not id_:
                    continue
                count += 1
                if count > LISTED:
                    raise SetupError(f"{path.name} has more than {LISTED} ids.", remedy="Ask for parts of it.")
                if len(id_.encode("utf-8", "surrogatepass")) > ID_BYTES:
                    raise SetupError(
                        f"Id {count} of {path.name} is longer than {ID_BYTES} bytes.", remedy="Is it the right column?"
                    )
                yield id_
    except OSError as error:
        raise _unreadable(path, error) from None
    except UnicodeDecodeError:
        raise SetupError(f"{path.name} is not UTF-8.", remedy="Export it as UTF-8.") from None


def _lines(file: TextIO, path: Path) -> Iterator[str]:
    number = 0
    while line := file.readline(LINE):
        number += 1
        if len(line) == LINE and not line.endswith("\n"):
            raise SetupError(f"Line {number} of {path.name} has more than {LINE} characters.", remedy="Is it a list?")
        yield line


def _column(lines: Iterator[str], path: Path, column: str) -> Iterator[str]:
    """One column of CSV, with commas or semicolons between them, by its name in the first line."""
    first = next(lines, "")
    delimiter = ";" if first.count(";") > first.count(",") else ","
    names = next(csv.reader([first], delimiter=delimiter), [])
    if names.count(column) != 1:
        raise SetupError(
            f"{path.name} has no column {column!r}, or several.", remedy="Name the one that holds the shoppers' ids."
        )
    at = names.index(column)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        for row in reader:
            yield row[at].strip() if at < len(row) else ""
    except csv.Error:
        raise SetupError(f"Line {reader.line_num + 1} of {path.name} is no CSV.", remedy="Export it again.") from None


def _unreadable(path: Path, error: OSError) -> SetupError:
    return SetupError(f"{path} cannot be read: {error.strerror}.", remedy="Check the name and its owner.")
