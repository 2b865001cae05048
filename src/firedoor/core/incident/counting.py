"""Counts who is affected over many exchanges at once, in columns. Pure.

**Why the truth lies in the range.** Every exchange in question is either known from its records (its place, its shopper
and what became of it are then facts, or facts that a later record can only add to), or it is behind one of the doubts.

*Exchanges.* A record adds to one exchange, so `n` records that nobody has read change any count of exchanges by at
most `n`. Known ones are *sure* if no further record can take them out, else *maybe*. So the truth is at least the sure
ones, and at most the sure, the maybe and `n`. What a record can take back is an answer that was on record as given and
of which no character is on record as released: of `exposed`, `n` are not sure.

*Shoppers.* Give each shopper in question one of their exchanges in question. If it names a key whose shopper is known,
note that shopper; if its key was erased or is lost, note the key; if it names none, note the exchange; if it is not
known at all, note one of the unread records. Nothing is noted for two shoppers: a look-up pseudonym, a key, an exchange
and a record are each about one. So there are at most as many shoppers as there are things to note. The known shoppers
of sure exchanges are all different and all in question, so there are at least as many. An erased shopper may have come
back and be among the known ones, so erased and lost keys raise `least` only from none to one.

*Parts.* The same holds of every part that its own exchanges make: a country, a kind of data. An exchange that tells no
country may be of any: it is maybe in each.
"""

from __future__ import annotations

import functools
import operator
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from firedoor.core.incident.affected import UNTOLD, Range

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

ENDED: Final = 0
OPEN: Final = 1
GIVEN: Final = 2
LOST_END: Final = 3
"""How an exchange ended: without an answer of a model; not yet; with one; nobody knows."""

NOBODY: Final = -1
"""The person of an exchange that names no shopper."""
KNOWN: Final = 0
ERASED: Final = 1
UNKNOWN: Final = 2
"""What is known of a person: who it is; that they were erased; nothing, for their key is not to be found."""

_WORD: Final = 57
"""Jurisdictions in one integer of bits; above them are these, each of which holds if it does in any of the integers."""
_ASKED: Final = 1 << 57
_EXPOSED: Final = 1 << 58
_UNTOLD: Final = 1 << 59
_RELEASED: Final = 1 << 60
_CONFIRMED: Final = 1 << 61


class Columns(NamedTuple):
    """Exchanges, one number for each in every column: the index of the person (or `NOBODY`), labels as bits, whether
    an intent is on record, whether characters were released, how it ended, and the indexes of its jurisdiction (-1 if
    none was told), credential and model.
    """

    person: Ints
    labels: Ints
    called: Flags
    released: Flags
    ended: npt.NDArray[np.int8]
    country: Ints
    credential: Ints
    model: Ints


class Names(NamedTuple):
    """What the indexes in columns, and the bits of labels, stand for."""

    countries: Sequence[str]
    labels: Sequence[str]
    credentials: Sequence[str]
    models: Sequence[str]


class Doubt(NamedTuple):
    """What is behind everything that is known: `adds` records or exchanges may each add one to any count (None: nobody
    knows how many), and `takes` records may each take one back.
    """

    adds: int | None
    takes: int

    def most(self, count: int) -> int | None:
        """`count`, and what may come to it."""
        return None if self.adds is None else count + self.adds

    def least(self, count: int, safe: int) -> int:
        """`count`, less what may be taken back; `safe` of it cannot."""
        return max(safe, count - self.takes)


class _Persons(NamedTuple):
    """Of each person what holds of some of their exchanges: `words` integers of bits, and bits of labels.

    The last person stands for `NOBODY`.
    """

    bits: Ints
    data: Ints
    words: int

    @classmethod
    def nobody(cls, people: int, words: int) -> _Persons:
        """Nothing holds of anybody."""
        return cls(np.zeros((people + 1) * words, np.int64), np.zeros(people + 1, np.int64), words)

    def add(self, person: Ints, country: Ints, flags: Ints, labels: Ints) -> None:
        """Exchanges of these persons, and what holds of each."""
        told = np.where(country >= 0, country, 0)
        here = np.left_shift(np.int64(1), told % _WORD) if self.words > 1 else np.left_shift(np.int64(1), told)
        place = person * self.words + told // _WORD if self.words > 1 else person
        _or_into(self.bits, place, flags | here * (country >= 0))
        _or_into(self.data, person, labels)
        self.bits[-self.words :] = self.data[NOBODY] = 0

    def hold(self, flag: int) -> Flags:
        """Of whom `flag` holds."""
        found: Flags = self.bits & np.int64(flag) != 0
        return found if self.words == 1 else found.reshape(-1, self.words).max(axis=1)

    def told(self, country: int) -> Flags:
        """Who told this jurisdiction."""
        word, bit = country // _WORD, np.int64(1 << country % _WORD)
        found: Flags = self.bits[word :: self.words] & bit != 0
        return found


def _or_into(target: Ints, at: Ints, bits: Ints) -> None:
    """``target[at] |= bits`` for each, also where `at` names a place several times: `ufunc.at`, in less than half.

    Of those at one place one is kept each time round, and no more rounds than bits are needed.
    """
    while len(at):
        target[at] |= bits
        left = np.flatnonzero(target[at] & bits != bits)
        at, bits = at[left], bits[left]


class _Sent(NamedTuple):
    """Of each recipient how many exchanges they were given for sure, perhaps, and what no record can take back."""

    sure: Ints
    most: Ints
    safe: Ints

    @classmethod
    def nothing(cls, recipients: int) -> _Sent:
        """Nobody was given anything."""
        return cls(*(np.zeros(recipients, np.int64) for _ in cls._fields))

    def add(self, of: Ints, given: Flags, maybe: Flags, safe: Flags, *, sure: bool) -> None:
        """Exchanges of the recipients `of`; `maybe` holds the given ones too."""
        size = len(self.most)
        self.most[:] += np.bincount(of[maybe], minlength=size)
        if sure:
            self.sure[:] += np.bincount(of[given], minlength=size)
            self.safe[:] += np.bincount(of[safe], minlength=size)

    def ranges(self, names: Sequence[str], doubt: Doubt) -> dict[str, Range]:
        """By recipient, the most frequent first."""
        found = {
            names[at]: Range(doubt.least(int(self.sure[at]), int(self.safe[at])), doubt.most(int(self.most[at])))
            for at in np.flatnonzero(self.most).tolist()
        }
        return dict(sorted(found.items(), key=lambda item: (-item[1].least, item[0])))


class Tally:
    """What is counted so far. `kinds` says of every person whether it is `KNOWN`, `ERASED` or `UNKNOWN`."""

    def __init__(self, kinds: npt.NDArray[np.uint8], names: Names) -> None:
        self._kinds = np.append(kinds, np.uint8(KNOWN))  # the last stands for `NOBODY`, and nothing ever holds of it
        self._names = names
        words = max(1, -(-len(names.countries) // _WORD))
        self._sure = _Persons.nobody(len(kinds), words)
        self._maybe = _Persons.nobody(len(kinds), words)
        self._of_credentials = _Sent.nothing(len(names.credentials))
        self._of_models = _Sent.nothing(len(names.models))
        self._labelled = {kind: np.zeros(len(names.labels), np.int64) for kind in ("sure", "any", "nobody")}
        self._exchanges: Counter[str] = Counter()
        self._nobody: Counter[str] = Counter()
        self._nobody_in = np.zeros(len(names.countries), np.int64)
        self.doubts: Counter[str] = Counter()

    def add(self, rows: Columns, *, sure: bool, confirmed: bool = False) -> None:
        """Count these exchanges, which are in question for sure, or maybe."""
        if not len(rows.person):
            return
        given = rows.released | (rows.ended == GIVEN)
        maybe = ~given & ((rows.ended == LOST_END) | ((rows.ended == OPEN) & rows.called))
        self._count_exchanges(rows, given, maybe, sure=sure, confirmed=confirmed)
        self._count_labels(rows, sure=sure)
        self._of_credentials.add(rows.credential, given, given | maybe, rows.released, sure=sure)
        self._of_models.add(rows.model, rows.called, rows.called, rows.called, sure=sure)
        self._count_people(rows, given, maybe, sure=sure, confirmed=confirmed)
        self.doubts["open_or_unknown"] += int(np.count_nonzero(maybe)) if sure else len(rows.person)
        self.doubts["no_subject"] += int(np.count_nonzero(rows.person < 0))
        self.doubts["not_seen"] += int(np.count_nonzero((given | maybe) & ~rows.called))
        kinds = self._kinds[rows.person]
        self.doubts["erased_subject"] += int(np.count_nonzero(kinds == ERASED))
        self.doubts["lost_subject"] += int(np.count_nonzero(kinds == UNKNOWN))

    def add_confirmed(self, people: Iterable[int], *, sure: bool) -> None:
        """A leak was confirmed in one more exchange of each of these persons (or of `NOBODY`), counted already."""
        for person in people:
            self._exchanges["confirmed"] += sure
            self._exchanges["any confirmed"] += 1
            if person >= 0:
                self._maybe.bits[person * self._maybe.words] |= _CONFIRMED

    def exchanges(self, doubt: Doubt) -> Range:
        """All in question."""
        return Range(self._exchanges["sure"], doubt.most(self._exchanges["any"]))

    def exposed(self, doubt: Doubt) -> Range:
        """Those whose answer may have gone out."""
        least = doubt.least(self._exchanges["given"], self._exchanges["released"])
        return Range(least, doubt.most(self._exchanges["any given"]))

    def confirmed(self, doubt: Doubt) -> Range:
        """Those in which a leak was confirmed."""
        return Range(self._exchanges["confirmed"], doubt.most(self._exchanges["any confirmed"]))

    def subjects(self, doubt: Doubt) -> Range:
        """Distinct shoppers."""
        return self._people(self._surely(_ASKED), self._perhaps(_ASKED), self._nobody["asked"], doubt)

    def exposed_subjects(self, doubt: Doubt) -> Range:
        """Distinct shoppers to whom an answer may have gone."""
        maybe = self._perhaps(_EXPOSED)
        found = self._people(self._surely(_EXPOSED), maybe, self._nobody["exposed"], doubt)
        safe = self._people(self._surely(_RELEASED), maybe, 0, doubt).least
        return Range(doubt.least(found.least, safe), found.most)

    def jurisdictions(self, doubt: Doubt) -> dict[str, Range]:
        """Distinct shoppers by jurisdiction; those whose exchange told none as `UNTOLD`."""
        untold = self._perhaps(_UNTOLD)
        found = {}
        for at, name in enumerate(self._names.countries):
            sure = self._sure.told(at)
            told = sure | self._maybe.told(at)
            nobody = int(self._nobody_in[at])
            if nobody or told.any():
                found[name] = self._people(sure, told | untold, nobody + self._nobody["untold"], doubt)
        if self._nobody["untold"] or untold.any():
            found[UNTOLD] = self._people(self._surely(_UNTOLD), untold, self._nobody["untold"], doubt)
        return dict(sorted(found.items(), key=lambda item: (-item[1].least, item[0])))

    def categories(self, doubt: Doubt) -> dict[str, Range]:
        """Exchanges by kind of personal data."""
        named = zip(self._names.labels, self._labelled["sure"].tolist(), self._labelled["any"].tolist(), strict=True)
        counts = sorted((-n, name, sure) for name, sure, n in named if n)
        return {name: Range(sure, doubt.most(-n)) for n, name, sure in counts}

    def subjects_by_category(self, doubt: Doubt) -> dict[str, Range]:
        """Distinct shoppers by kind of personal data."""
        found = {}
        for name in self.categories(doubt):
            at = self._names.labels.index(name)
            bit = np.int64(1 << at)
            sure = self._sure.data & bit != 0
            maybe = sure | (self._maybe.data & bit != 0)
            found[name] = self._people(sure, maybe, int(self._labelled["nobody"][at]), doubt)
        return found

    def recipients(self, doubt: Doubt) -> dict[str, dict[str, Range]]:
        """Exchanges whose answer a credential may have been given, and those that were put to a model instance."""
        return {
            "credentials": self._of_credentials.ranges(self._names.credentials, doubt),
            "models": self._of_models.ranges(self._names.models, doubt),
        }

    def person(self, number: int) -> tuple[bool, bool, tuple[str, ...], tuple[str, ...]] | None:
        """Confirmed, exposed, jurisdictions and labels of a person; None for one who is not in question at all."""
        words = self._sure.words
        here = slice(number * words, (number + 1) * words)
        bits = (self._sure.bits[here] | self._maybe.bits[here]).tolist()
        flags = functools.reduce(operator.or_, bits)
        if not flags & _ASKED:
            return None
        countries = (name for at, name in enumerate(self._names.countries) if bits[at // _WORD] >> at % _WORD & 1)
        data = int(self._sure.data[number] | self._maybe.data[number])
        labels = (name for at, name in enumerate(self._names.labels) if data >> at & 1)
        return bool(flags & _CONFIRMED), bool(flags & _EXPOSED), tuple(countries), tuple(labels)

    # --- counting -----------------------------------------------------------------------------------------------------

    def _count_exchanges(
        self,
        rows: Columns,
        given: Flags,
        maybe: Flags,
        *,
        sure: bool,
        confirmed: bool,
    ) -> None:
        count, exposed = len(given), int(np.count_nonzero(given))
        self._exchanges["any"] += count
        self._exchanges["any given"] += exposed + int(np.count_nonzero(maybe))
        self._exchanges["any confirmed"] += count * confirmed
        if sure:
            self._exchanges["sure"] += count
            self._exchanges["given"] += exposed
            self._exchanges["released"] += int(np.count_nonzero(rows.released))
            self._exchanges["confirmed"] += count * confirmed

    def _count_labels(self, rows: Columns, *, sure: bool) -> None:
        nobody = rows.labels[rows.person < 0]
        for at in range(len(self._names.labels)):
            bit = np.int64(1 << at)
            if n := int(np.count_nonzero(rows.labels & bit)):
                self._labelled["any"][at] += n
                self._labelled["sure"][at] += n * sure
                self._labelled["nobody"][at] += int(np.count_nonzero(nobody & bit))

    def _count_people(
        self,
        rows: Columns,
        given: Flags,
        maybe: Flags,
        *,
        sure: bool,
        confirmed: bool,
    ) -> None:
        target = self._sure if sure else self._maybe
        nobody = rows.person < 0
        told = rows.country >= 0
        self._nobody["asked"] += int(np.count_nonzero(nobody))
        self._nobody["exposed"] += int(np.count_nonzero(nobody & (given | maybe)))
        self._nobody["untold"] += int(np.count_nonzero(nobody & ~told))
        self._nobody_in += np.bincount(rows.country[nobody & told], minlength=len(self._nobody_in))
        asked = np.int64(_ASKED | (_CONFIRMED if confirmed else 0))
        flags = asked | given * np.int64(_EXPOSED) | rows.released * np.int64(_RELEASED) | ~told * np.int64(_UNTOLD)
        target.add(rows.person, rows.country, flags, rows.labels)
        may = rows.person[maybe & ~nobody]
        _or_into(self._maybe.bits, may * self._maybe.words, np.full(len(may), _EXPOSED, np.int64))

    def _people(self, sure: Flags, maybe: Flags, nobody: int, doubt: Doubt) -> Range:
        """The range of shoppers, see the proof above."""
        known = int(np.count_nonzero(sure & (self._kinds == KNOWN)))
        least = known or int(bool(sure.any()))
        return Range(least, doubt.most(int(np.count_nonzero(maybe)) + nobody))

    def _surely(self, bit: int) -> Flags:
        return self._sure.hold(bit)

    def _perhaps(self, bit: int) -> Flags:
        return self._sure.hold(bit) | self._maybe.hold(bit)
