"""What is known of protected rows, and of the rows in one exchange."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from msgspec import Struct
from xxhash import xxh3_64_intdigest

from firedoor.core.detect.leak.amounts import SCALE, shown_digits, significant
from firedoor.core.detect.leak.terms import Finder, Wanted
from firedoor.core.detect.leak.words import Word
from firedoor.core.detect.spans import Hit, View
from firedoor.core.plan.model import Attribute

MAX_OPEN = 256
"""Numbers of one answer kept that would be a leak if their product were named. More are no answer but a table."""

SIGNIFICANT = 3
"""Significant digits of a number that is not everywhere."""
MAX_KNOWN = 4096
"""Numbers whose rows are remembered: prices and sizes come again and again."""


class Row(Struct, frozen=True):
    """Values that belong to a product or a person. `set` is the plan's protected set it belongs to.

    `terms` name the product or person: SKU, name, e-mail address, customer number. `values` are numbers as people
    write them (``41.85``, ``12 %``) or short texts (a supplier's name). `owners` are ids of the shopper whose own data
    it is: customer id, e-mail address, order id.
    """

    id: str
    set: str
    attribute: Attribute
    terms: tuple[str, ...]
    values: tuple[str, ...]
    owners: tuple[str, ...] = ()


Places = int | tuple[int, ...]
"""Numbers of rows; one alone is kept without a tuple around it."""


def places(kept: Places | None) -> tuple[int, ...]:
    """As a tuple."""
    if kept is None:
        return ()
    return (kept,) if isinstance(kept, int) else kept


class Worth(NamedTuple):
    """What a number may be: its values but for 0, the rows with such a value, for certain or with one that is common.
    `turned` when it is a row's value backwards.
    """

    values: tuple[int, ...]
    certain: tuple[int, ...]
    vague: tuple[int, ...]
    turned: bool


class Table(NamedTuple):
    """Rows by number, and where they are looked up."""

    ids: list[str]
    sets: list[str]
    bits: list[int]  # of the words that speak of the row's attribute
    values: list[tuple[int, ...]]  # scaled
    by_term: dict[str, Places]
    by_ordinary_term: dict[str, Places]
    by_value: dict[int, Places]
    by_text: dict[str, Places]
    by_part_of_term: dict[str, Places]  # texts that stand in a term of their own row
    by_owner: dict[str, Places]
    words: dict[str, Word]
    stems: frozenset[str]
    only_stems: frozenset[str]  # those that are nothing else
    wanted: Wanted  # all of these texts
    phones: frozenset[str]  # of the values that are texts, those that are phone numbers
    shown: frozenset[str]  # the digits of the values that are not everywhere, without zeros around them
    known: dict[tuple[int, ...], Worth]  # what some numbers may be

    def named(self, text: str) -> tuple[int, ...]:
        """Rows that a folded text names."""
        return places(self.by_term.get(text)) + places(self.by_ordinary_term.get(text))

    def worth(self, values: tuple[int, ...]) -> Worth:
        """What a number with one of `values` may be."""
        known = self.known.get(values)
        if known is None:
            if len(self.known) >= MAX_KNOWN:
                self.known.clear()
            known = self.known[values] = self._worth(tuple(value for value in values if value))
        return known

    def _worth(self, values: tuple[int, ...]) -> Worth:
        certain: tuple[int, ...] = ()
        vague: tuple[int, ...] = ()
        for value in values:
            rows = places(self.by_value.get(value))
            if significant(value) >= SIGNIFICANT:
                certain += rows
            else:
                vague += rows
        return Worth(values, certain, vague, any(shown_digits(value)[::-1] in self.shown for value in values))

    def is_value(self, finder: Finder, offset: int, text: str) -> bool:
        """Whether a folded text that ends at `offset` is a row's value there, and not a part of something else."""
        if text not in self.by_text and text not in self.by_part_of_term:
            return False
        if text.isdigit():
            return finder.stands_as_digits(offset, text, phone=text in self.phones)
        return finder.stands(offset, text)


class RowContext:
    """What is known of the rows in one exchange: what the request said, and what the answer has named so far.

    All texts of one answer share it, in whatever view.
    """

    __slots__ = (
        "_granted",
        "_own",
        "_table",
        "asked",
        "named",
        "open",
        "other",
        "sure",
        "typed",
        "typed_texts",
        "user",
    )

    def __init__(self, table: Table, own: frozenset[int], granted: frozenset[str]) -> None:
        self._table = table
        self._own = own
        self._granted = granted
        self.user: set[int] = set()  # rows named by the shopper
        self.sure: set[int] = set()  # those of them that were named for certain
        self.other: set[int] = set()  # rows named in the rest of the request
        self.asked = 0  # bits of the attributes that the shopper asked for
        self.typed: set[int] = set()  # scaled numbers that the shopper wrote
        self.typed_texts: set[str] = set()
        self.named: set[int] = set()  # rows named anywhere in the answer
        self.open: list[Undecided] = []

    def counts(self, rows: Iterable[int]) -> tuple[int, ...]:
        """Those of `rows` that this caller may not receive."""
        own, granted, sets = self._own, self._granted, self._table.sets
        if not own and not granted:
            return tuple(rows)
        return tuple(row for row in rows if row not in own and sets[row] not in granted)

    def anew(self) -> RowContext:
        """The same with nothing named yet: for texts that are not the answer."""
        other = RowContext(self._table, self._own, self._granted)
        other.user, other.sure, other.other = self.user, self.sure, self.other
        other.asked, other.typed, other.typed_texts = self.asked, self.typed, self.typed_texts
        return other

    def told(self) -> str:
        """What the request said of the rows, in short: the same text is judged alike beside the same."""
        rows = f"{sorted(self.user)}{sorted(self.sure)}{sorted(self.other)}"
        return f"{rows}{self.asked}{sorted(self.typed)}{sorted(self.typed_texts)}"

    def touched(self) -> tuple[int, ...]:
        """Hashes (64 bits) of the rows that the shopper or the answer named, and this caller may not receive."""
        ids = self._table.ids
        return tuple(xxh3_64_intdigest(ids[row].encode()) for row in self.counts(sorted(self.user | self.named)))

    def keep(self, number: Undecided) -> None:
        """Remember a number whose product may still be named."""
        if len(self.open) < MAX_OPEN:
            self.open.append(number)


class Undecided(Struct, eq=False):
    """A number or short text of an answer that is a value of some row. Offsets with `f` count folded characters.

    `rows` are those whose value it is for certain, `vague` those with a value so common that more is asked for.
    `due` is where it is decided. `near` is how far before it the nearest product was named, `after` where the
    nearest behind it ends. `bits` are of the attribute words around it, `sure` of those that are not said of public
    prices, `beside` of these and of those that stand just by it.
    """

    start: int
    end: int
    fstart: int
    fend: int
    due: int
    values: tuple[int, ...]
    rows: tuple[int, ...]
    vague: tuple[int, ...]
    view: View
    hits: list[Hit] | None  # where the watch of its text takes hits from; None once that has ended
    near: int | None = None
    after: int | None = None
    bits: int = 0
    sure: int = 0
    beside: int = 0
    told: tuple[str, ...] = ()

    def seen_with(self, names: Iterable[Name], rows: AbstractSet[int]) -> None:
        """It belongs to `rows`, of which `names` may be: in ROT13, if they are."""
        if self.view == "plain" and any(name.rotated and not rows.isdisjoint(name.rows) for name in names):
            self.view = "rot13"


class Name(NamedTuple):
    """A term in the text: folded offsets, and the rows that it names; `ordinary` when it may be just a word."""

    start: int
    end: int
    rows: tuple[int, ...]
    ordinary: bool
    rotated: bool  # it stands there in ROT13


class Turned(NamedTuple):
    """A number or a text at code point `start` that, backwards, is a row's value: it is held up to folded `due`."""

    start: int
    fend: int
    due: int


class Said(NamedTuple):
    """An attribute word in the text: folded offsets."""

    start: int
    end: int
    bits: int
    sure: bool


def close(number: int, value: int) -> bool:
    """Whether `number` is within 1 % of `value`, or `value` rounded to a whole number or to one decimal."""
    if abs(number - value) * 100 <= value:
        return True
    if value >= 10 * SCALE and number % SCALE == 0:
        return 2 * abs(number - value) <= SCALE
    return value >= SCALE and number % (SCALE // 10) == 0 and 20 * abs(number - value) <= SCALE
