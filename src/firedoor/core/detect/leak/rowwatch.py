"""Values of protected rows in one growing text of an answer: a `Watch`.

A number is decided `WAIT` folded characters after it, by what stands before it and up to there; it is held back until
then if it can be a leak. What is named later still makes it one, but then it may have left.

It is a row's own value
- by the nearest product: the row's own term is the nearest one before it (`BEFORE`), or behind it (`BEHIND`) when none
  stands just before it; or no product is named there and the shopper asked by name. So in a list of products each price
  belongs to its own.
- by an attribute word ("purchase price"), in the question or near it: the row's term stands anywhere near it, or
  elsewhere in the request or the answer.
Numbers of fewer than three significant digits need an attribute word and a term that is near or the shopper's, and
nothing that they count ("30 days"); so do numbers that are only close to a value ("rounded"). A term that is one
ordinary word needs an attribute word, too.

A name in ROT13 names as well, and is as good as an attribute word. Around a name that is written backwards the text is
read once more, from its end; what is a value backwards is held until such a name can have begun.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from firedoor.core.detect.leak.amounts import TAIL, Amount, Amounts, amounts, is_count, is_forward
from firedoor.core.detect.leak.rowdata import Name, RowContext, Said, Table, Turned, Undecided, close, places
from firedoor.core.detect.leak.terms import FREE, Finder, Seen
from firedoor.core.detect.leak.words import ANY, WHOLE, Word
from firedoor.core.detect.spans import Hit, HitKind, View

BEFORE = 300
"""Folded characters between a product's name and its number: a few sentences."""
JUST_BEFORE = 60
"""A product named this close before a number owns it, whatever comes after: the next line of a list."""
BEHIND = 120
"""Folded characters between a number and the name of its product behind it: a clause."""
WAIT = 36
"""Folded characters after a number by which it is decided: what is held back is this and the number."""
SHORTLY = 24
"""Folded characters after a number that is a row's value backwards: it leaves, if no name begins backwards by then."""
WORD_BEFORE = 160
"""Folded characters between an attribute word and the number that it speaks of."""
BESIDE = 8
"""Folded characters between a number and a word that is said of public prices as well, for it to count in full."""
PIECE = 24
"""Code points that are read at once: fewer wait for more. Small pieces by themselves would cost three times as much."""
_SLAB = 1024
_AROUND = 120
"""Code points behind a name that is written backwards, and half of those before it, that are read backwards."""
_LONGEST = 256
"""Folded characters of a number in words, and those behind it until it is decided."""
_LOOSE = 512
"""Code points between a number and an attribute word behind it: more than `WAIT`, whatever is between."""
_MAX_LOOSE = 64
_MAX_POOL = 512
"""Rows tried for a number that is only close to a value."""
_ENCODED: frozenset[View] = frozenset({"base64", "hex"})
"""Views in which nobody writes a public price: any product named in the exchange will do."""
_ROTATED = Word(ANY, sure=True, open=False)
"""Nobody writes a public price beside a product in ROT13, either."""
ROUNDED_SCORE = 0.5


class RowWatch:
    """See `Watch`. Hits of one number are at most one for each protected set."""

    __slots__ = (
        "_amounts", "_at", "_backwards", "_context", "_encoded", "_fed", "_finder", "_held", "_hits", "_loose",
        "_names", "_numbers", "_pending", "_recent", "_table", "_told", "_turned", "_view", "_words",
    )  # fmt: skip

    def __init__(self, table: Table, context: RowContext, view: View = "plain") -> None:
        self._table = table
        self._context = context
        self._view: View = view
        self._encoded = view in _ENCODED
        self._finder = Finder(table.wanted)
        self._backwards: list[int] = []  # where names that are written backwards end
        self._loose: deque[Amount] = deque(
            maxlen=_MAX_LOOSE
        )  # numbers that are no row's, and near no attribute word so far
        self._told: set[tuple[int, int, str]] = set()  # what was read backwards
        self._at = 0  # of the name that is looked at
        self._amounts = Amounts()
        self._turned: list[Turned] = []  # what may be a leak if a name follows that is written backwards
        self._names: list[Name] = []
        self._words: list[Said] = []
        self._numbers: list[Undecided] = []  # not decided yet
        self._recent: list[Undecided] = []  # decided; a name behind them still counts
        self._hits: list[Hit] = []
        self._pending = ""
        self._fed = 0
        self._held = 0

    def feed(self, text: str) -> list[Hit]:
        """See `Watch.feed`."""
        self._pending += text
        if len(self._pending) < PIECE:
            return []
        return self._read()

    def held_from(self) -> int:
        """See `Watch.held_from`. At most `PIECE` characters of innocent text wait for more."""
        return self._held

    def end(self) -> list[Hit]:
        """See `Watch.end`."""
        hits = self._read() if self._pending else []
        found = self._amounts.end()
        events = self._finder.end()
        for amount in found:
            self._number(amount)
        self._go_on(events, None)
        self._read_backwards(final=True)
        self._held = self._fed
        hits += self._taken()
        for number in self._context.open:
            if number.hits is self._hits:
                number.hits = None
        return hits

    def _read(self) -> list[Hit]:
        text, self._pending = self._pending, ""
        if not self._table.ids:
            self._fed += len(text)
            self._held = self._fed
            return []
        if len(text) <= _SLAB:
            self._look(text)
        else:
            for at in range(0, len(text), _SLAB):
                self._look(text[at : at + _SLAB])
        self._held = max(self._held, self._hold())
        return self._taken()

    def _taken(self) -> list[Hit]:
        hits = self._hits[:]
        self._hits.clear()
        return hits

    def _look(self, text: str) -> None:
        table = self._table
        events = self._finder.feed(text)
        self._fed += len(text)
        said: Sequence[int] = ()
        if events:
            stems, touches = table.stems, self._finder.touches
            said = [
                end for end, match, _ in events if match in stems and (len(match) > WHOLE or not touches(end, WHOLE))
            ]
            events = [seen for seen in events if seen.text not in table.only_stems]
        for amount in self._amounts.feed(text, said):
            self._number(amount)
        if events or self._numbers or self._recent or self._turned:
            self._go_on(events, self._finder.folded(self._fed))
        if self._backwards:
            self._read_backwards(final=False)
        self._finder.forget()

    def _hold(self) -> int:
        held = min(self._amounts.held_from(), self._finder.held_from())
        if self._backwards:
            held = min(held, self._backwards[0])
        if self._turned:
            held = min(held, *(turned.start for turned in self._turned))
        known: set[int] | None = None
        for number in self._numbers:
            if not self._held <= number.start < held:
                continue  # it is held by another, or has left
            if not number.rows:
                if not (number.vague or self._context.asked or self._words):
                    continue
                if known is None:
                    known = self._context.user.union(*(name.rows for name in self._names))
                if not self._may_be(number, known):
                    continue
            held = number.start
        return held

    # --- what is in the text ---

    def _number(self, amount: Amount) -> None:
        """A number of the text."""
        context = self._context
        values, certain, vague, turned = self._table.worth(amount.values)
        if not values or (context.typed and not context.typed.isdisjoint(values)):
            return
        if turned and self._view != "reversed" and self._is_turned(amount):
            self._may_be_turned(amount.start, amount.end, SHORTLY)
        if not (certain or vague or context.asked or self._words):
            self._loose.append(amount)
            return
        if self._counts(amount):
            values, vague = (), ()
        if values or certain:
            self._candidate(amount.start, amount.end, values, certain, vague)

    def _is_turned(self, amount: Amount) -> bool:
        """Whether a number with the digits of a row's value, backwards, may be that value, written backwards."""
        between, by_value = self._finder.between, self._table.by_value
        written = between(amount.start, amount.end)[1][::-1]
        if not any(value in by_value for one in amounts(written) for value in one.values):
            return False
        before, behind = between(amount.start - TAIL, amount.start)[1], between(amount.end, amount.end + TAIL)[1]
        return not is_forward(before, behind)

    def _counts(self, amount: Amount) -> bool:
        """Whether it is in digits, and a word behind it says of what it is the number."""
        _, text = self._finder.between(amount.end - 1, amount.end + TAIL)
        return text[0].isdigit() and is_count(text[1:])

    def _candidate(
        self,
        start: int,
        end: int,
        values: tuple[int, ...],
        certain: tuple[int, ...],
        vague: tuple[int, ...],
        view: View | None = None,
    ) -> None:
        context, folded = self._context, self._finder.folded
        certain, vague = context.counts(certain), context.counts(vague)
        fstart, fend = folded(start), folded(end)
        due, view = fend + WAIT, view or self._view
        number = Undecided(start, end, fstart, fend, due, values, certain, vague, view, self._hits)
        self._numbers.append(number)

    def _may_be(self, number: Undecided, known: set[int]) -> bool:
        """Whether a common or a rounded value is worth holding: what it takes is there in part."""
        asked = bool(self._context.asked or self._words)
        if number.vague and (asked or not known.isdisjoint(number.vague)):
            return True
        return asked and bool(self._rounded(number, known))

    def _go_on(self, events: list[Seen], upto: int | None) -> None:
        """Take what was found, in order; decide the numbers before folded offset `upto` (None: all of them)."""
        for seen in events:
            if seen.how in {"plain", "rot13"}:
                self._event(seen.end, seen.text, rotated=seen.how == "rot13")
            elif self._view != "reversed":
                self._backward(seen)
        self._decide(upto)
        if upto is None:
            return
        if self._turned:
            first = self._backwards[0] - 2 * _AROUND if self._backwards else self._fed
            self._turned = [turned for turned in self._turned if turned.due >= upto or turned.start >= first]
        reach = upto - BEFORE - _LONGEST
        if self._names and self._names[0].end < reach:
            self._names = [name for name in self._names if name.end >= reach]
        if self._words and self._words[0].end < reach:
            self._words = [word for word in self._words if word.end >= reach]
        if self._recent and self._recent[0].fend < upto - 2 * BEHIND:
            self._recent = [number for number in self._recent if number.fend >= upto - 2 * BEHIND]

    def _backward(self, seen: Seen) -> None:
        """Something that is written backwards, or begins to be."""
        table, finder = self._table, self._finder
        end = finder.folded(seen.end)
        self._turned = [
            turned._replace(due=turned.fend + WAIT) if turned.fend <= end <= turned.due else turned
            for turned in self._turned
        ]
        if seen.how == "reversing":
            return
        if table.named(seen.text):
            self._backwards.append(seen.end)
        if seen.text in table.by_text or seen.text in table.by_part_of_term:
            self._may_be_turned(finder.start(seen.end, len(seen.text)), seen.end, WAIT)

    def _may_be_turned(self, start: int, end: int, wait: int) -> None:
        fend = self._finder.folded(end)
        self._turned.append(Turned(start, fend, fend + wait))

    def _event(self, offset: int, match: str, *, rotated: bool) -> None:
        table, finder = self._table, self._finder
        word = None if rotated else table.words.get(match)
        if word is not None and finder.stands(offset, match, may_go_on=word.open):
            self._word(offset, match, word)
        if table.is_value(finder, offset, match) and match not in self._context.typed_texts:
            self._decide(finder.folded(offset))
            rows, vague = places(table.by_text.get(match)), places(table.by_part_of_term.get(match))
            start = finder.start(offset, len(match))
            self._candidate(start, offset, (), rows, vague, "rot13" if rotated else self._view)
        term = table.by_term.get(match), table.by_ordinary_term.get(match)
        if term == (None, None) or not finder.stands(offset, match):
            return
        end = finder.folded(offset)
        self._decide(end)
        if rotated and len(match) >= FREE:  # it says as much as any attribute word
            self._word(offset, match, _ROTATED)
        self._at = offset
        for named, ordinary in zip(term, (False, True), strict=True):
            if named is not None:
                self._name(Name(end - len(match), end, places(named), ordinary and not rotated, rotated))

    def _word(self, offset: int, match: str, word: Word) -> None:
        """An attribute word."""
        end = self._finder.folded(offset)
        self._decide(end)
        self._words.append(Said(end - len(match), end, word.bits, word.sure))
        for amount in self._loose:  # they may be close to a value
            if amount.start > offset - _LOOSE and not self._counts(amount):
                self._candidate(amount.start, amount.end, amount.values, (), ())
        self._loose.clear()

    def _name(self, name: Name) -> None:
        self._names.append(name)
        context = self._context
        if not name.ordinary:
            for number in self._recent:
                if self._owns(name, number):
                    number.seen_with((name,), set(name.rows))
                    self._report(number, set(name.rows).intersection(number.rows), "amount", 1.0)
        new = set(name.rows) - context.named
        if not new:
            return
        context.named |= new
        for number in context.open:
            rows = self._speaking(new.intersection(number.rows), number.sure)
            if rows:
                self._report(number, rows, "amount", 1.0)

    @staticmethod
    def _owns(name: Name, number: Undecided) -> bool:
        """Whether a name behind a number that is decided is the nearest one."""
        if name.start - number.fend > BEHIND or name.end <= number.due or name.start < number.fend:
            return False
        if number.near is not None and number.near <= JUST_BEFORE:
            return False
        if number.after is None:
            number.after = name.end
            return True
        return number.after > number.due and name.start < number.after

    def _read_backwards(self, *, final: bool) -> None:
        """Read what stands around names that are written backwards from its end to its start. There are hardly any."""
        while self._backwards and (final or self._backwards[0] + _AROUND <= self._fed):
            at = self._backwards.pop(0)
            start, text = self._finder.between(at - 2 * _AROUND, at + _AROUND)
            end = start + len(text)
            watch = RowWatch(self._table, self._context, "reversed")
            for hit in watch.feed(text[::-1]) + watch.end():
                place = end - hit.end, end - hit.start, hit.set
                if place not in self._told:
                    self._told.add(place)
                    self._hits.append(hit._replace(start=place[0], end=place[1]))

    # --- what it means ---

    def _decide(self, upto: int | None) -> None:
        """Decide the numbers that are due before folded offset `upto`."""
        if not self._numbers:
            return
        due = [number for number in self._numbers if upto is None or number.due < upto]
        if not due:
            return
        self._numbers = [number for number in self._numbers if upto is not None and number.due >= upto]
        for number in due:
            self._judge(number)

    def _judge(self, number: Undecided) -> None:
        context = self._context
        for word in self._words:
            if word.end <= number.due and word.end > number.fstart - WORD_BEFORE:
                number.bits |= word.bits
                beside = max(number.fstart - word.end, word.start - number.fend) <= BESIDE
                number.sure |= word.bits if word.sure else 0
                number.beside |= word.bits if word.sure or beside else 0
        if not (number.rows or number.vague or number.beside or context.asked):
            return
        names = [name for name in self._names if number.fstart - BEFORE < name.end <= number.due]
        if any(name.start <= number.fstart and number.fend <= name.end for name in names):
            return  # a part of a name
        owners = self._owners(number, names)
        around = {row for name in names for row in name.rows} | context.user
        if self._encoded:
            owners = around = around | context.other | context.named
        own = owners.intersection(number.rows)
        own |= self._speaking(around.intersection(number.rows), number.bits)
        elsewhere = _meet(number.rows, (context.other, context.named))
        own |= self._speaking(elsewhere, number.sure)
        own |= self._speaking(around.intersection(number.vague), number.beside)
        if own:
            number.seen_with(names, own)
            self._report(number, own, "amount", 1.0)
        elif number.values and (number.beside or context.asked):
            pool = owners if names or not number.sure else owners | context.other
            rounded = self._speaking(self._rounded(number, pool), number.beside)
            number.seen_with(names, rounded)
            self._report(number, rounded, "rounded", ROUNDED_SCORE)
        if number.rows:
            self._recent.append(number)
            if number.sure or context.asked or self._encoded:
                context.keep(number)

    def _owners(self, number: Undecided, names: list[Name]) -> set[int]:
        """Rows whose product is the nearest to the number."""
        before = [name for name in names if name.end <= number.fstart]
        behind = [name for name in names if name.start >= number.fend]
        nearest: list[Name] = []
        if before:
            last = max(before, key=lambda name: name.end)
            number.near = number.fstart - last.end
            nearest += [name for name in before if name.end > last.start]
        if behind:
            first = min(behind, key=lambda name: name.start)
            number.after = first.end
            if number.near is None or number.near > JUST_BEFORE:
                nearest += [name for name in behind if name.start < first.end]
        if not names:
            return set(self._context.sure)
        return {row for name in nearest if not name.ordinary for row in name.rows}

    def _speaking(self, rows: set[int], bits: int) -> set[int]:
        """Those of `rows` of whose attribute the question speaks, or words by the number that mean `bits`."""
        if not rows or self._encoded:
            return rows
        bits |= self._context.asked
        return {row for row in rows if self._table.bits[row] & bits}

    def _rounded(self, number: Undecided, rows: Iterable[int]) -> set[int]:
        """Those of `rows` to whose value the number is close."""
        values = self._table.values
        pool = [row for _, row in zip(range(_MAX_POOL), sorted(rows), strict=False) if values[row]]
        pool = [row for row in pool if any(close(n, value) for n in number.values for value in values[row])]
        return set(self._context.counts(pool))

    def _report(self, number: Undecided, rows: set[int], kind: HitKind, score: float) -> None:
        """One hit for each set that has none for this number yet."""
        sets, ids = self._table.sets, self._table.ids
        for row in sorted(rows):
            if sets[row] not in number.told:
                number.told += (sets[row],)
                if number.hits is not None:
                    number.hits.append(Hit(number.start, number.end, ids[row], sets[row], kind, number.view, score))
                else:  # its text has ended: where its product is named tells it
                    self._hits.append(Hit(max(0, self._at - 1), self._at, ids[row], sets[row], kind, self._view, score))


def _meet(rows: tuple[int, ...], named: Iterable[set[int]]) -> set[int]:
    return {row for row in rows if any(row in some for some in named)} if rows else set()
