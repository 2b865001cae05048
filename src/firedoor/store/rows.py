"""The sealed file of a region's protected rows: costs, margins, suppliers, orders, each with what it belongs to.

Sealed with the region's key like the protected values (`store/protected.py`), in a file of its own because a shop has
one for every article.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from firedoor.core.detect.leak.rows import MAX_ROWS, Row, check_row
from firedoor.errors import ActRefused
from firedoor.store.files import locked
from firedoor.store.sealedlist import SealedList

PURPOSE: Final = "protected rows"
MAGIC: Final = b"firedoor rows 1\n"
FILE_LIMIT: Final = 64 * 1024 * 1024
"""Bytes: `MAX_ROWS` rows of usual names and codes have about 15 MiB."""


class RowFile(SealedList[Row]):
    """The protected rows of one region. Not there yet means none."""

    magic, purpose, limit, what = MAGIC, PURPOSE, FILE_LIMIT, "protected rows"
    entries = tuple[Row, ...]

    def add(self, rows: Iterable[Row]) -> list[Row]:
        """The rows as they are kept: ids are given here. One of the same set, terms and attribute is replaced, and
        keeps its id. Raises `ActRefused`.

        All or none: one row that cannot be searched for refuses the whole call.
        """
        wanted = {_key(row): row for row in map(_trimmed, rows)}
        for row in wanted.values():
            check_row(row)
        with locked(self.path):
            kept = {_key(row): row for row in self.load()}
            for key, row in wanted.items():
                known = kept.get(key)
                kept[key] = msgspec.structs.replace(row, id=known.id if known else _new_id())
            if len(kept) > MAX_ROWS:
                raise ActRefused(
                    "too_many_rows", f"A region has at most {MAX_ROWS} protected rows.", remedy="Remove old ones."
                )
            if wanted:
                self._write(list(kept.values()))
        return [kept[key] for key in wanted]

    def remove(self, name: str) -> list[Row]:
        """The rows that were removed: the one with the id `name`, or all of the set `name`. Raises `ActRefused` if
        there is none.
        """
        with locked(self.path):
            rows = self.load()
            removed = [row for row in rows if name in (row.id, row.set)]
            if removed:
                self._write([row for row in rows if name not in (row.id, row.set)])
                return removed
        raise ActRefused(
            "unknown_row", f"There is no protected row or set of rows {name}.", remedy="See `firedoor protect list`."
        )

    def _write(self, entries: Sequence[Row]) -> None:
        if len(msgspec.json.encode(entries)) > FILE_LIMIT - 1024:  # the seal and the first line take less
            raise ActRefused(
                "too_many_rows", f"Protected rows take at most {FILE_LIMIT} bytes.", remedy="Leave out long names."
            )
        super()._write(entries)


def masked(row: Row) -> str:
    """What its owner recognises it by: the first letters of its first term, and how many values it has."""
    first = row.terms[0] if row.terms else ""
    shown = f"{first[:2]}…" if len(first) >= 8 else "…"
    return f"{shown} {len(row.values)} value{'s' if len(row.values) != 1 else ''}"


def _trimmed(row: Row) -> Row:
    """Without spaces around, empty parts and repetitions."""
    parts = {
        name: tuple(dict.fromkeys(stripped for part in getattr(row, name) if (stripped := part.strip())))
        for name in ("terms", "values", "owners")
    }
    return Row(row.id, row.set, row.attribute, **parts)


def _key(row: Row) -> tuple[str, str, tuple[str, ...]]:
    return row.set, row.attribute, row.terms


def _new_id() -> str:
    # Random: an id derived from the row would let anybody test guesses of a price against it.
    return f"pr-{secrets.token_hex(6)}"
