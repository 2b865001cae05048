"""Protected rows: values that must not leave together with the product or person they belong to.

A bare number is nobody's: ``41.85`` is a leak only as the cost of something. So a row names what it is about (`terms`),
and its numbers and short texts count when the answer, or the shopper, names that, or when a word such as "purchase
price" stands with them. The rules are in `rowwatch.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from firedoor.core.detect.leak.amounts import amounts, plain_value, shown_digits
from firedoor.core.detect.leak.digits import Digits, digits_of
from firedoor.core.detect.leak.rowdata import SIGNIFICANT, Places, Row, RowContext, Table, places
from firedoor.core.detect.leak.rowwatch import RowWatch
from firedoor.core.detect.leak.terms import FREE, Finder, NameFolding, Seen, Wanted, is_ordinary, rot13, spellings
from firedoor.core.detect.leak.words import CURRENCIES, PERCENT, attribute_words, bits_of, number_stems
from firedoor.core.detect.spans import View
from firedoor.core.plan.model import Attribute
from firedoor.core.subject import SubjectRecord
from firedoor.errors import ActRefused

__all__ = ["MAX_ROWS", "Row", "RowContext", "RowIndex", "RowWatch", "check_row"]

MAX_ROWS = 50_000
"""Rows of one region: the articles of a large shop. About 1.4 KiB each in every worker."""
MAX_PARTS = 8
"""Terms, values and owners of one row, each."""
MAX_CHARACTERS = 200
"""Of one term, value or owner: the longest product names are shorter."""
MIN_TEXT = 4
"""Folded characters of a value that is a text; shorter ones are in every text."""
SURE_TEXT = 5
"""From so many a text needs no attribute word beside it."""
_SLAB = 4096
_READ = ("plain", "rot13")
_MONEY: frozenset[Attribute] = frozenset({"cost", "margin", "floor_price"})
"""What is an amount even if it is written like the number of a parcel."""

_Key = TypeVar("_Key")


def check_row(row: Row, folding: NameFolding | None = None) -> None:
    """Refuse a row that cannot be searched for. Raises `ActRefused`; what it holds is never repeated."""
    folding = folding or NameFolding()
    for parts, what in ((row.terms, "terms"), (row.values, "values"), (row.owners, "owners")):
        if len(parts) > MAX_PARTS or any(len(part) > MAX_CHARACTERS for part in parts):
            raise ActRefused(
                "row_too_long",
                f"A protected row has at most {MAX_PARTS} {what} of at most {MAX_CHARACTERS} characters each.",
                remedy="Leave out what names the product twice, or split the row.",
            )
    if not any(True for term in row.terms for _ in spellings(term, folding)):
        raise ActRefused(
            "row_without_term",
            "A protected row needs a name of at least 6 letters, a code of at least 4 with a digit, or a number of at "
            "least 5 digits.",
            remedy="Give the SKU, the full product name, the e-mail address or the customer number.",
        )
    for value in row.values:
        if not scaled(value) and len(folding.all(value)) < MIN_TEXT:
            raise ActRefused(
                "row_value_unusable",
                f"A protected row's value is a number that is not 0, or a text of at least {MIN_TEXT} letters.",
                remedy="Write numbers like 41.85 or 12 %, or leave the value out.",
            )
    if not row.values:
        raise ActRefused("row_without_value", "A protected row needs a value.", remedy="Leave the row out.")


def scaled(written: str) -> tuple[int, ...]:
    """What the value of a row is worth, scaled, in every reading; nothing if it is a text and no number."""
    if plain := plain_value(written):
        return plain
    letters = "".join(c if c.isalpha() or c in "%€$£¥₹٪" else " " for c in written).split()
    if any(word.casefold() not in CURRENCIES and word.casefold() not in PERCENT for word in letters):
        return ()
    found = amounts(written)
    digits = sum(c.isdigit() for c in written)
    whole = [one for one in found if sum(c.isdigit() for c in written[one.start : one.end]) == digits]
    return tuple(dict.fromkeys(value for one in whole for value in one.values if value))


class RowIndex:
    """A region's protected rows, ready to be searched for. Not for use from several threads at once."""

    def __init__(self, table: Table) -> None:
        self._table = table

    @classmethod
    def build(cls, rows: Iterable[Row]) -> RowIndex:
        """An index of `rows`. Raises `ActRefused` for a row that `check_row` refuses, or too many of them."""
        building = _Building()
        for row in rows:
            if len(building.ids) >= MAX_ROWS:
                raise ActRefused(
                    "too_many_rows",
                    f"A region protects at most {MAX_ROWS} rows.",
                    remedy="Leave out the rows of products that are sold no more.",
                )
            check_row(row, building.folding)
            building.add(row)
        return cls(building.table())

    def __len__(self) -> int:
        return len(self._table.ids)

    def context(
        self,
        user_texts: Iterable[str] = (),
        other_texts: Iterable[str] = (),
        subject: SubjectRecord | None = None,
        granted: frozenset[str] = frozenset(),
    ) -> RowContext:
        """What a request means for the answer to it. `user_texts` is what the shopper wrote, `other_texts` the rest:
        instructions, documents, results of tools, earlier answers.

        Not reported are values that the shopper wrote, rows that are the shopper's own (`subject`), and the sets in
        `granted`.
        """
        table = self._table
        context = RowContext(table, self._own(subject), granted)
        if not table.ids:
            return context
        for text in user_texts:
            self._read(text, context)
            context.typed.update(value for amount in amounts(text) for value in amount.values)
        for text in other_texts:
            for (offset, match, _), finder in _found(text, table.wanted):
                if (rows := table.named(match)) and finder.stands(offset, match):
                    context.other.update(rows)
        return context

    def watch(self, context: RowContext, view: View = "plain") -> RowWatch:
        """Search one growing text of the answer, which was read in this `view`."""
        return RowWatch(self._table, context, view)

    def _own(self, subject: SubjectRecord | None) -> frozenset[int]:
        if subject is None or not self._table.by_owner:
            return frozenset()
        ids = (*subject.account_ids, *subject.emails, *subject.order_ids, *subject.usernames)
        return frozenset(row for one in ids for row in places(self._table.by_owner.get(_owner(one))))

    def _read(self, text: str, context: RowContext) -> None:
        """What the shopper wrote."""
        table = self._table
        for (offset, match, _), finder in _found(text, table.wanted):
            word = table.words.get(match)
            if word is not None and word.sure and finder.stands(offset, match, may_go_on=word.open):
                context.asked |= word.bits
            if table.is_value(finder, offset, match):
                context.typed_texts.add(match)
            if finder.stands(offset, match):
                context.user.update(table.named(match))
                context.sure.update(places(table.by_term.get(match)))


def _found(text: str, wanted: Wanted) -> Iterable[tuple[Seen, Finder]]:
    """What stands in a text of a request, also in ROT13."""
    finder = Finder(wanted)
    for at in range(0, len(text), _SLAB):
        for seen in finder.feed(text[at : at + _SLAB]):
            if seen.how in _READ:
                yield seen, finder
        finder.forget()
    for seen in finder.end():
        if seen.how in _READ:
            yield seen, finder


def _owner(written: str) -> str:
    return written.strip().casefold().removeprefix("#")


class _Building:
    """Rows on their way into a table."""

    def __init__(self) -> None:
        self.folding = NameFolding({" ": ""})
        self.ids: list[str] = []
        self._sets: list[str] = []
        self._bits: list[int] = []
        self._values: list[tuple[int, ...]] = []
        self._terms: dict[str, list[int]] = {}
        self._ordinary: dict[str, list[int]] = {}
        self._by_value: dict[int, list[int]] = {}
        self._texts: dict[str, list[int]] = {}
        self._parts: dict[str, list[int]] = {}
        self._owners: dict[str, list[int]] = {}
        self._phones: set[str] = set()
        self._rot13: dict[str, str] = {}
        self._same: dict[str, str] = {}  # sets, kept once

    def add(self, row: Row) -> None:
        number = len(self.ids)
        self.ids.append(row.id)
        self._sets.append(self._same.setdefault(row.set, row.set))
        self._bits.append(bits_of(row.attribute))
        terms: dict[str, bool] = {}
        for term in row.terms:
            for folded, rotated in spellings(term, self.folding):
                self._rot13[folded] = rotated
                terms[folded] = terms.get(folded, True) and is_ordinary(term)
        for folded, ordinary in terms.items():
            (self._ordinary if ordinary else self._terms).setdefault(folded, []).append(number)
        values: list[int] = []
        for value in row.values:
            digits = None if row.attribute in _MONEY and value.isdigit() else self._digits(value)
            worth = () if digits else scaled(value)
            values += worth
            for folded in digits.keys if digits else () if worth else (self._text(value),):
                part = len(folded) < SURE_TEXT or any(folded in term for term in terms)
                (self._parts if part else self._texts).setdefault(folded, []).append(number)
        self._values.append(tuple(dict.fromkeys(values)))
        for amount in self._values[number]:
            self._by_value.setdefault(amount, []).append(number)
        for owner in dict.fromkeys(map(_owner, row.owners)):
            if owner:
                self._owners.setdefault(owner, []).append(number)

    def _digits(self, value: str) -> Digits | None:
        digits = digits_of(value, self.folding.all(value))
        if digits and digits.phone:
            self._phones.update(digits.keys)
        return digits

    def _text(self, value: str) -> str:
        folded = self.folding.all(value)
        self._rot13[folded] = self.folding.all(rot13(value))
        return folded

    def table(self) -> Table:
        used = 0
        for bits in set(self._bits):
            used |= bits
        words = {text: word for text, word in attribute_words().items() if word.bits & used}
        stems = number_stems() if self.ids else frozenset()
        backwards = {text for text in self._terms if len(text) >= FREE and not text.isdigit()}
        texts = {*self._texts, *self._parts}
        backwards |= {text for text in texts if len(text) >= SURE_TEXT}
        wanted = {*self._terms, *self._ordinary, *texts, *words, *stems}
        return Table(
            self.ids,
            self._sets,
            self._bits,
            self._values,
            _compact(self._terms),
            _compact(self._ordinary),
            _compact(self._by_value),
            _compact(self._texts),
            _compact(self._parts),
            _compact(self._owners),
            words,
            stems,
            stems.difference(words, self._terms, self._ordinary, texts),
            Wanted(wanted, self.folding, texts, backwards, self._rot13.items()),
            frozenset(self._phones),
            frozenset(shown for value in self._by_value if len(shown := shown_digits(value)) >= SIGNIFICANT),
            {},
        )


def _compact(kept: dict[_Key, list[int]]) -> dict[_Key, Places]:
    """Without lists; most have one row."""
    return {key: rows[0] if len(rows) == 1 else tuple(rows) for key, rows in kept.items()}
