"""Honeytokens in files: a line, row or record that looks like its neighbours, stands for nothing and holds a code.

The file keeps its shape: the columns and quotes of a CSV file, the keys of JSON Lines, the table or list that a
Markdown file ends with. It is replaced whole, so a reader sees the old file or the new one.
"""

from __future__ import annotations

import csv
import io
import json
import re
import secrets
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from firedoor.errors import ActRefused, SetupError
from firedoor.store.files import read_bounded, stamp, write_atomic
from firedoor.store.products import delimiter_of, utf8

FILE_LIMIT: Final = 64 * 1024 * 1024
"""Bytes of a file in which a code is planted: it is read and written whole."""
NEIGHBOURS: Final = 200
"""Rows at the end of a file that an invented one is modelled on."""

_CODE_COLUMNS: Final = (
    re.compile(r"note|comment|remark|memo|bemerk|notiz|commentaire|nota", re.IGNORECASE),
    re.compile(r"ref|contract|vertrag|contrat|agreement", re.IGNORECASE),
    re.compile(r"suppl|vendor|lieferant|fourniss|provee|fornit", re.IGNORECASE),
    re.compile(r"sku|code|item|artikel|article|\bid\b|_id\b|number|\bno\b|\bnr\b", re.IGNORECASE),
)
"""Where a code stands naturally, best first: a note, a reference, a supplier, an article number."""
_ID_COLUMNS: Final = re.compile(r"sku|code|\bid\b|_id\b|\bean\b|gtin|barcode|number|\bno\b|\bnr\b", re.IGNORECASE)
_AS_DIGITS: Final = str.maketrans("abcdef", "012345")
_NAME_COLUMNS: Final = re.compile(r"name|title|product|description|bezeichnung|titel|nom\b|nombre", re.IGNORECASE)

_NAMES: Final = (
    "Halden Storage Crate", "Brisa Desk Lamp", "Orrin Trail Bottle", "Vetla Wool Throw", "Kestrel Tool Roll",
    "Marlow Garden Bench", "Tarn Dry Bag", "Ostra Serving Bowl", "Fenwick Door Mat", "Solbakk Tea Set",
)  # fmt: skip
_LINES: Final = (
    "Supplier reference {code}: terms {days} days net, minimum order {units} units.",
    "Framework agreement {code}, renewed for {units} units, discount on call.",
    "Contract {code}: price held for {days} days, delivery within {weeks} weeks.",
    "Internal reference {code}, reviewed with purchasing, next review in {weeks} weeks.",
)


class Planted(NamedTuple):
    """A file as it will be: the bytes, and what it was like when it was read."""

    path: Path
    data: bytes
    was: tuple[int, int, int] | None
    mode: int

    def write(self) -> None:
        """Replace the file. Raises `SetupError` if it changed since it was read, or cannot be written."""
        if stamp(self.path) != self.was:
            raise SetupError(f"{self.path.name} was changed just now.", remedy="Try again when nobody writes to it.")
        try:
            write_atomic(self.path, self.data, self.mode)
        except OSError as error:
            raise SetupError(f"{self.path} cannot be written: {error.strerror}.") from None


def planted(named: Path, codes: Sequence[str]) -> Planted:
    """The file `named` with one more line, row or record for each of `codes`. Nothing is written yet.

    Raises `SetupError` for a file that cannot be read or is no text, `ActRefused` for one without a row to go by.
    """
    path = named.resolve()  # through a symbolic link, so that the rename does not replace the link
    try:
        was, mode = stamp(path), path.stat().st_mode
        if not stat.S_ISREG(mode):
            raise SetupError(f"{named} is not a file.")
        text = utf8(raw := read_bounded(path, FILE_LIMIT), named.name)
    except OSError as error:
        raise SetupError(f"{named} cannot be read: {error.strerror}.") from None
    ending = "\r\n" if "\r\n" in text else "\n"
    lines = text.removesuffix("\n").split("\n")
    suffix = path.suffix.lower()
    if suffix in (".csv", ".tsv"):
        added = _csv_rows(text, codes, named.name, ending)
    elif suffix in (".jsonl", ".ndjson"):
        added = [_record(lines, code, named.name) for code in codes]
    elif suffix in (".md", ".markdown", ".txt", ".rst", ""):
        added = [_line(lines, code) for code in codes]
    else:
        raise ActRefused(
            "unknown_format",
            f"A code cannot be planted in {named.name} without harm to its format.",
            remedy="Name a CSV, JSON Lines, Markdown or text file; or put a code there by hand, without --plant.",
        )
    joint = "" if not raw or raw.endswith(b"\n") else ending
    addition = joint + "".join(line + ending for line in added)
    return Planted(path, raw + addition.encode(), was, stat.S_IMODE(mode))


def _csv_rows(text: str, codes: Sequence[str], name: str, ending: str) -> list[str]:
    delimiter = delimiter_of(text.partition("\n")[0])
    try:
        heading, *rows = [
            row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True) if row
        ]
    except (ValueError, csv.Error):
        raise _no_model(name, "rows below a heading") from None
    rows = [row for row in rows[-NEIGHBOURS:] if len(row) == len(heading)]
    if not rows:
        raise _no_model(name, "rows below a heading")
    last = text.rstrip().rpartition("\n")[2]
    quoted = last.startswith('"') and last.endswith('"')
    written = []
    for code in codes:
        columns = [[row[at] for row in rows] for at in range(len(heading))]
        row = _invented(heading, columns, code)
        line = io.StringIO()
        csv.writer(
            line, delimiter=delimiter, quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL, lineterminator=ending
        ).writerow(row)
        written.append(line.getvalue().removesuffix(ending))
    return written


def _record(lines: list[str], code: str, name: str) -> str:
    try:
        records = [json.loads(line) for line in lines[-NEIGHBOURS:] if line.strip()]
    except (ValueError, RecursionError):
        records = []
    if not records or not isinstance(records[-1], dict):
        raise _no_model(name, "JSON objects")
    model: dict[str, Any] = records[-1]
    alike = [one for one in records if isinstance(one, dict) and list(one) == list(model)]
    record = {key: secrets.choice(alike)[key] for key in model}
    told = {key: [_told(one[key]) for one in alike] for key, value in model.items() if _told(value)}
    texts = [key for key in told if isinstance(model[key], str)]
    if not texts:
        raise _no_model(name, "objects with a field of text")
    record |= dict(zip(texts, _invented(texts, [told[key] for key in texts], code), strict=True))
    record |= {key: int(_another(told[key])) for key in told if key not in texts and _ID_COLUMNS.search(key)}
    tight = '":"' in lines[-1] or '","' in lines[-1]
    ascii_only = all(line.isascii() for line in lines[-NEIGHBOURS:])
    return json.dumps(record, ensure_ascii=ascii_only, separators=(",", ":") if tight else None)


def _line(lines: list[str], code: str) -> str:
    """A row of the table, an item of the list, or a line of the text that the file ends with."""
    last = next((line for line in reversed(lines) if line.strip()), "")
    cells = re.split(r"(?<!\\)\|", last.strip().strip("|")) if last.lstrip().startswith("|") else []
    if len(cells) > 1:
        names = [cell.strip() for cell in _table_heading(lines, len(cells))]
        row = _invented(names, [[cell.strip()] for cell in cells], code)
        return f"| {' | '.join(cell.replace('|', '/') for cell in row)} |"
    item = re.match(r"\s{0,12}[-*+] ", last)
    return (item[0] if item else "") + _sentence(code)


def _table_heading(lines: list[str], columns: int) -> list[str]:
    """The heading of the Markdown table that `lines` end with."""
    heading = [""] * columns
    for line in reversed(lines):
        if line.strip() and not line.lstrip().startswith("|"):
            break
        cells = re.split(r"(?<!\\)\|", line.strip().strip("|"))
        if len(cells) == columns:
            heading = cells
    return heading


def _invented(names: Sequence[str], columns: Sequence[Sequence[str]], code: str) -> list[str]:
    """A row of values, each from some row of its column, with an invented name, and `code` where codes stand."""
    row = [secrets.choice(column) for column in columns]
    at = _code_column(names, columns)
    for place, name in enumerate(names):
        if place != at and _ID_COLUMNS.search(name):
            row[place] = _another(columns[place])
        elif place != at and _NAME_COLUMNS.search(name) and not _is_number(row[place]):
            row[place] = secrets.choice(_NAMES)
    long = sum(len(value) for value in columns[at]) > 40 * len(columns[at])
    row[at] = _sentence(code) if long else code
    return row


def _code_column(names: Sequence[str], columns: Sequence[Sequence[str]]) -> int:
    texts = [at for at, column in enumerate(columns) if not all(map(_is_number, column))] or list(range(len(names)))
    for wanted in _CODE_COLUMNS:
        for at in texts:
            if wanted.search(names[at]):
                return at
    return texts[0]


def _another(column: Sequence[str]) -> str:
    """An id in the form of those in `column` and none of them: an import must not take it for a known product."""
    digits = 0
    while True:
        model = secrets.choice(column) + secrets.token_hex(4)[:digits].translate(_AS_DIGITS)
        made = re.sub(r"\d", lambda _: str(secrets.randbelow(10)), model)
        if made not in column:
            return made
        digits = min(digits + 1, 8)  # too few digits, or none


def _is_number(value: str) -> bool:
    return bool(value) and not any(map(str.isalpha, value))


def _sentence(code: str) -> str:
    numbers = {"days": 30 + 15 * secrets.randbelow(5), "units": 50 * (2 + secrets.randbelow(20))}
    return secrets.choice(_LINES).format(code=code, weeks=2 + secrets.randbelow(9), **numbers)


def _told(value: Any) -> str:
    """A text or whole number as text; empty for anything else."""
    return str(value) if isinstance(value, str) or type(value) is int else ""


def _no_model(name: str, what: str) -> ActRefused:
    return ActRefused(
        "no_model",
        f"{name} has no {what} that an invented one could look like.",
        remedy="Make the code without --plant and put it there by hand.",
    )
