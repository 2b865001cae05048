"""A shop's catalogue as a full-text index: one SQLite file with FTS5, built whole and then only read.

Input is one JSON object a line: ``sku, parent_sku, type, name, description, price, currency, categories, attributes``;
other fields are ignored. Only what a shopper sees as a product of its own is indexed: configurable products, and
simple ones without a parent.
"""

from __future__ import annotations

import os
import re
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from firedoor.core.language import ASKING_WORDS, FUNCTION_WORDS
from firedoor.core.patterns import END
from firedoor.errors import SetupError
from firedoor.store.files import sync_folder

MAX_LINE = 65_536
"""Bytes of one product. Real Magento texts reach about 3 kB."""
MAX_ROWS = 1_000_000
"""Products in one catalogue; more than the largest Magento shops carry."""
MAX_QUERY = 1_000
"""Code points of a query that are looked at."""
MAX_TERMS = 12
"""Terms of a query that are searched: each costs a look-up, and a thirteenth word decides nothing."""
MAX_TERM = 40
"""Code points of one term; the longest product words are compounds of about 35."""
TIME_LIMIT = 0.05
"""Seconds after which a search is given up: it stands in a shopper's way."""
NAMES_TIME = 5.0
"""Seconds for reading the names of all products, once at a start; a million take about one."""
MAX_LIMIT = 20

_WORD = re.compile(r"[^\W_]+")
_ENDINGS = "seni"
_SCHEMA = """
    PRAGMA journal_mode = OFF;
    PRAGMA synchronous = OFF;
    CREATE VIRTUAL TABLE products USING fts5(
        name, tags, words, sku UNINDEXED, price UNINDEXED, currency UNINDEXED,
        tokenize = "unicode61 remove_diacritics 2", prefix = '3 4'
    );
"""
_SEARCH = """
    SELECT sku, name, price, currency FROM products WHERE products MATCH ?
    ORDER BY bm25(products, 10.0, 4.0, 1.0), rowid LIMIT ?
"""


class Product(Struct):
    """One line of a catalogue."""

    sku: Annotated[str, Meta(min_length=1, max_length=128)]
    type: str
    name: Annotated[str, Meta(min_length=1, max_length=512)]
    price: Annotated[float, Meta(ge=0)]
    currency: Annotated[str, Meta(pattern=r"^[A-Z]{3}" + END)]
    parent_sku: str | None = None
    description: str | None = None
    categories: list[str] = []
    attributes: dict[str, str | float | bool | list[str] | None] = {}
    stock: int | None = None

    @property
    def visible(self) -> bool:
        """Whether it stands in the shop as a product of its own."""
        return self.type == "configurable" or (self.type == "simple" and not self.parent_sku)


def read_products(jsonl: Path) -> Iterator[Product]:
    """The products of a catalogue file, one line at a time. Raises `SetupError` naming the line that is wrong."""
    try:
        with jsonl.open("rb") as lines:
            number = 0
            while line := lines.readline(MAX_LINE + 1):
                number += 1
                if len(line) > MAX_LINE:
                    raise _bad_line(jsonl, number, f"is longer than {MAX_LINE} bytes")
                if number > MAX_ROWS:
                    raise _bad_line(jsonl, number, f"is beyond the {MAX_ROWS} rows a catalogue may have")
                if not line.strip():
                    continue
                try:
                    yield msgspec.json.decode(line, type=Product)
                except (msgspec.MsgspecError, UnicodeError, RecursionError) as problem:
                    raise _bad_line(jsonl, number, f"is not a product: {_what(problem)}") from None
    except OSError as problem:
        raise SetupError(f"{jsonl} cannot be read: {problem.strerror}.", remedy="Name a catalogue file.") from None


def build(jsonl: Path, database: Path) -> int:
    """Index `jsonl` into `database` and return how many products it holds.

    The index appears whole or not at all: an older one stays until the new one is complete, and searches that are
    running keep the older one. Raises `SetupError` naming the line that is wrong.
    """
    draft = database.with_name(f"{database.name}.{os.getpid()}.new")
    try:
        database.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft.unlink(missing_ok=True)
        try:
            count = _write(jsonl, draft)
            _sync(draft)
            draft.replace(database)
            sync_folder(database.parent)
        finally:
            draft.unlink(missing_ok=True)
    except (OSError, sqlite3.Error) as problem:
        raise SetupError(f"{database} cannot be written: {problem}.", remedy="Check the folder and the disk.") from None
    return count


class FtsCatalog:
    """Full-text search in an index made by `build`; safe to share between threads.

    The file is opened read-only and as immutable, so a rebuilt index is seen by a new `FtsCatalog`. Raises `SetupError`
    when there is no index.
    """

    def __init__(self, database: Path) -> None:
        remedy = "Build it from the shop's catalogue file."
        try:
            self._connection = sqlite3.connect(
                f"{database.absolute().as_uri()}?mode=ro&immutable=1", uri=True, check_same_thread=False
            )
            self._connection.execute(_SEARCH, ('"index"', 1)).fetchall()
        except sqlite3.Error:
            raise SetupError(f"{database} is not a catalogue index.", remedy=remedy) from None
        self._lock = threading.Lock()
        self._give_up = 0.0
        self._connection.set_progress_handler(self._late, 2_000)

    def search(self, query: str, *, limit: int) -> list[dict[str, object]]:
        """Best hits first: ``sku``, ``name``, ``price``, ``currency``.

        Never raises: a damaged file or a search that takes too long finds nothing, since a fallback must be given.
        """
        match = match_expression(query)
        if not match:
            return []
        with self._lock:
            self._give_up = time.monotonic() + TIME_LIMIT
            try:
                rows = self._connection.execute(_SEARCH, (match, max(1, min(limit, MAX_LIMIT)))).fetchall()
            except sqlite3.Error:
                return []
        return [dict(zip(("sku", "name", "price", "currency"), row, strict=True)) for row in rows]

    def names(self) -> list[str]:
        """The names of all products: in them, "Hugo Boss" is nobody. Empty for a damaged file."""
        with self._lock:
            self._give_up = time.monotonic() + NAMES_TIME
            try:
                return [name for (name,) in self._connection.execute("SELECT name FROM products")]
            except sqlite3.Error:
                return []

    def close(self) -> None:
        """Close the index; a later search finds nothing."""
        with self._lock:
            self._connection.close()

    def _late(self) -> bool:
        return time.monotonic() > self._give_up


def match_expression(query: str) -> str:
    """An FTS5 expression for any text; empty when nothing in it can be looked for.

    Terms are letters and digits only and stand in quotes, so nothing of FTS5's syntax comes from the query. Any of
    them may match. Addresses, function words and words of asking are left out; a plural ending is cut, as the match
    is by prefix.
    """
    said = (part for part in query[:MAX_QUERY].lower().split() if "@" not in part and "://" not in part)
    terms: dict[str, None] = {}
    for word in _WORD.findall(" ".join(said)):
        if len(word) >= 2 and word not in FUNCTION_WORDS and word not in ASKING_WORDS:
            terms[_stem(word[:MAX_TERM])] = None
        if len(terms) == MAX_TERMS:
            break
    return " OR ".join(f'"{term}"*' if len(term) >= 3 else f'"{term}"' for term in terms)


def _stem(word: str) -> str:
    return word[:-1] if len(word) >= 5 and word[-1] in _ENDINGS else word


def _write(jsonl: Path, draft: Path) -> int:
    count = 0
    with closing(sqlite3.connect(draft, isolation_level=None)) as connection:
        connection.executescript(_SCHEMA)
        connection.execute("BEGIN")
        for product in read_products(jsonl):
            if product.visible:
                connection.execute("INSERT INTO products VALUES (?, ?, ?, ?, ?, ?)", _row(product))
                count += 1
        connection.execute("COMMIT")
        connection.execute("INSERT INTO products(products) VALUES ('optimize')")
    return count


def _row(product: Product) -> tuple[Any, ...]:
    tags = list(product.categories)
    for value in product.attributes.values():
        if isinstance(value, list):
            tags.extend(value)
        elif isinstance(value, str):
            tags.append(value)
    return (product.name, " ".join(tags), product.description or "", product.sku, product.price, product.currency)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _bad_line(jsonl: Path, number: int, what: str) -> SetupError:
    return SetupError(f"{jsonl}, line {number} {what}.", remedy="Correct that line and build again.")


def _what(problem: Exception) -> str:
    """Msgspec names the field and the type it wants, never the value."""
    return str(problem) if isinstance(problem, msgspec.ValidationError) else "not JSON"
