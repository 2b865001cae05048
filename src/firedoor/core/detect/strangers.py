"""Strangers: personal data in an answer that neither the caller nor the shopper's record brought: somebody else's.

Two watches read one growing text each. `StrangerWatch` holds nothing back: it reads line by line, behind what leaves.
`StrangerStop` lets no character of a stranger's value leave: it waits where a value could still be growing. What either
finds depends on the text alone, never on how it was cut.

The rules are asked about few texts: only about those with some digits in a row, an @ or words for them, and then once
for each piece, so that the cost is linear in the text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

import msgspec
from msgspec import Struct

from firedoor.core.detect.disguise import spoken
from firedoor.core.detect.disguise import words as spoken_words
from firedoor.core.detect.known import NAMES, Known
from firedoor.core.detect.spans import Span

Find = Callable[[str], list[Span]]

LABELS = frozenset(
    ("EMAIL", "PHONE", "CREDIT_CARD", "IBAN", "NATIONAL_ID", "TAX_ID", "IP", "ACCOUNT_ID", "SECRET", "DATE_OF_BIRTH",
     "ORDER_ID")
)  # fmt: skip
"""What a form, a checksum or a word before it makes sure enough to judge an answer by."""
SURE = 0.75
"""A rule below this score has seen a bare form, which in an answer is mostly a product, a price or a measure."""
SURE_NAME = 0.9
"""A name in an answer may be a brand, a colour or a street of the shop."""
MAX_STRANGERS = 100
"""Different values counted: a record has its bound, and a leak of more is as bad. Behind them nothing is searched."""
MAX_NAMES_TEXT = 4096
"""Code points of one text in which names are looked for, some 8 ms: the answer to a shopper is shorter."""

CONTEXT = 128
"""Code points before a piece that are read with it: words that say what a number is stand within a line."""
MIN_BLOCK, MAX_BLOCK = 256, 4096
"""Code points read at once where nothing is held back: short lines together, long ones in parts."""

MAX_TOKEN = 128
"""Code points without white space taken as one word: no name before an @ is longer. What is longer is read in parts,
and so much white space is a word as well."""
MAX_LEAD = 64
"""Code points of letters written singly (``j a n @ …``) that may begin a value: thirty letters of a name."""
AFTER = 2
"""Words without a sign of a value that end one: phone numbers and accounts have no two inside."""
MAX_RUN, OVERLAP = 512, 128
"""Code points of a run that are read at once, and how many of them once more with what follows: no value is longer."""


class Strangers(Struct):
    """What was found in one answer: different values by label, and full names and addresses."""

    labels: dict[str, int] = msgspec.field(default_factory=dict)
    names: int = 0

    def __bool__(self) -> bool:
        return bool(self.labels or self.names)


class AnswerCheck:
    """The check of one answer, all its texts together.

    `find` is the rule tier. With `names`, a search that knows names and addresses, full names are counted as well, at
    the end of each text; they never stop an answer. With `cut`, texts are held so that no stranger's value leaves.
    """

    def __init__(self, find: Find, known: Known, *, cut: bool, names: Find | None = None) -> None:
        self._find = find
        self._known = known
        self._judged: dict[tuple[str, str], bool] = {}
        self.cut = cut
        self.names = names
        self.found = Strangers()

    @property
    def stops(self) -> bool:
        """Whether the answer must not go on."""
        return self.cut and bool(self.found.labels)

    def watch(self) -> StrangerWatch:
        """The check of one growing text."""
        return StrangerStop(self) if self.cut else StrangerWatch(self)

    def look(self, text: str, begin: int = 0, judged: int = 0) -> list[Span]:
        """The strangers' values in `text` that end behind `judged`; they are counted.

        What stands before `begin` only says what the rest is: there is nothing to be found in it.
        """
        if self._full() or not is_worth_a_search(text[begin:]):
            return []
        return [
            span
            for span in self._find(text)
            if span.end > judged and span.label in LABELS and span.score >= SURE and self._is_strange(span, text)
        ]

    def look_for_names(self, text: str) -> None:
        """Count the full names and addresses in `text` that nobody brought."""
        if self.names is None or self._full():
            return
        for span in self.names(text):
            if span.label in NAMES and span.score >= SURE_NAME and len(text[span.start : span.end].split()) > 1:
                self._is_strange(span, text)

    def _full(self) -> bool:
        return self.found.names + sum(self.found.labels.values()) >= MAX_STRANGERS

    def _is_strange(self, span: Span, text: str) -> bool:
        value = text[span.start : span.end]
        strange = self._judged.get((span.label, value))
        if strange is None:
            strange = self._judged[span.label, value] = not self._known.holds(span.label, value)
            if strange and span.label in NAMES:
                self.found.names += 1
            elif strange:
                self.found.labels[span.label] = self.found.labels.get(span.label, 0) + 1
        return strange


class StrangerWatch:
    """Reads one growing text behind what leaves: whenever lines end, and at the end."""

    def __init__(self, check: AnswerCheck) -> None:
        self._check = check
        self._parts: list[str] = []  # what is yet to be read, behind `_context` code points that were
        self._size = 0
        self._context = 0
        self._base = 0  # where the parts begin
        self._names: list[str] | None = [] if check.names else None
        self._ended = False
        self.hits: list[Span] = []

    def feed(self, text: str) -> None:
        """Take the next piece."""
        if self._names is not None:
            self._names.append(text)
        self._parts.append(text)
        self._size += len(text)
        new = self._size - self._context
        if new < MIN_BLOCK or (new < MAX_BLOCK and "\n" not in text):
            return
        whole = "".join(self._parts)
        begin = self._context
        while (stop := _block_end(whole, begin)) is not None:
            self._read(whole, begin, stop, begin)
            begin = stop
        kept = max(0, begin - CONTEXT)
        self._base += kept
        self._parts, self._size, self._context = [whole[kept:]], len(whole) - kept, begin - kept

    def end(self) -> None:
        """No more will come: the rest is read, and names are looked for."""
        if self._ended:
            return
        self._ended = True
        self._read_rest()
        if self._names is not None:
            self._check.look_for_names("".join(self._names)[:MAX_NAMES_TEXT])

    def _read_rest(self) -> None:
        whole = "".join(self._parts)
        self._read(whole, self._context, len(whole), self._context)

    def _read(self, text: str, begin: int, stop: int, judged: int) -> None:
        """Judge `text` from `begin` to `stop`, but values that end before `judged`, together with the words before."""
        first = max(0, begin - CONTEXT)
        offset = self._base + first
        self.hits += [
            span._replace(start=span.start + offset, end=span.end + offset)
            for span in self._check.look(text[first:stop], begin - first, judged - first)
        ]


class StrangerStop(StrangerWatch):
    """Reads one growing text ahead of what leaves, run by run.

    A run is words with digits, signs or words for them, and what may stand between: it begins with the word before, and
    is over, and judged, with the second plain word behind it. Two words at the end of the text always wait: the last
    may be growing, and the one before it be the beginning of a value (``March 3``, ``DE 89 …``, ``jan at …``).
    """

    def __init__(self, check: AnswerCheck) -> None:
        super().__init__(check)
        self._text = ""  # from `_base` on
        self._next = 0  # behind the last whole word
        self._lead = 0  # where that word begins
        self._run: int | None = None  # where the open run begins
        self._plain = 0  # words since its last sign
        self._judged = 0

    @property
    def stopped(self) -> bool:
        """Whether a stranger's value begins at `held_from`: nothing from there on may leave, ever."""
        return bool(self.hits)

    def held_from(self) -> int:
        """Where a value could still be growing: what is before can leave."""
        if self.hits:
            return self.hits[0].start
        if self._ended:
            return self._base + len(self._text)
        return self._base + (self._lead if self._run is None else self._run)

    def feed(self, text: str) -> None:
        """Take the next piece."""
        if self._names is not None:
            self._names.append(text)
        if self.hits:
            return
        self._text = whole = self._text + text
        if len(whole) - self._next < MAX_TOKEN and text.isalnum():
            return  # the last word goes on
        for match in _TOKEN.finditer(whole, self._next):
            start, end = match.span()
            if end == len(whole) and end - start < MAX_TOKEN:
                break
            self._next = end
            signs = _may_be_part(match[0])
            if signs or self._run is not None:
                self._go_on(end, signs=signs, plain=not signs and any(map(str.isalnum, match[0])))
                if self.hits:
                    return
            if end - start > 1 or start - self._lead > MAX_LEAD:
                self._lead = start
        if len(whole) > 2 * MAX_RUN:
            self._forget()

    def _go_on(self, end: int, *, signs: bool, plain: bool) -> None:
        """Go on with a run, or begin one, by a word that ends at `end`: with signs of a value, plain, or a mere dot."""
        if self._run is None:
            self._run = self._lead
        self._plain = 0 if signs else self._plain + plain
        if self._plain == AFTER:
            self._judge(end)
            self._run = None
        elif end - self._run >= MAX_RUN:
            self._judge(end)
            space = _SPACE.search(self._text, end - OVERLAP, end)
            self._run = space.end() if space else end - OVERLAP

    def _forget(self) -> None:
        """Drop what will not be read again."""
        unneeded = max(0, (self._lead if self._run is None else self._run) - CONTEXT)
        self._text = self._text[unneeded:]
        self._base += unneeded
        self._next -= unneeded
        self._lead -= unneeded
        self._judged -= unneeded
        if self._run is not None:
            self._run -= unneeded

    def _read_rest(self) -> None:
        if self.hits:
            return
        rest = self._text[self._next :]
        if self._run is None and any(map(_may_be_part, rest.split())):
            self._run = self._lead
        if self._run is not None:
            self._judge(len(self._text))

    def _judge(self, stop: int) -> None:
        """Judge the run up to `stop`. What it shares with the one before was judged with that."""
        self._read(self._text, self._run or 0, stop, self._judged)
        self._judged = stop


def is_worth_a_search(text: str) -> bool:
    """Whether a rule could find anything in `text` that would count."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    if "@" in text or "%40" in text or "&" in text:
        return True
    for run in _RUN.finditer(text):
        if not _is_price(run):
            return True
    folded = text.casefold()
    said = folded.replace(",", " ").replace(".", " ").replace("-", " ").split()
    return spoken.sounds_like_a_number(said) or spoken.sounds_like_an_address(folded, frozenset(said))


# At least four digits, whatever signs and few letters stand between; or one in a token of a machine.
_RUN = re.compile(r"\d(?:(?:[^\W\d_]{0,4}[\W_]{0,3}\d){3,40}|[A-Za-z0-9_-]{8}|(?<=[A-Za-z0-9_-]{8}\d))")
_AMOUNT = re.compile(r"\d{1,6}(?:[.,]\d{1,3}){0,2}")
_CURRENCY = re.compile(r"\s?(?:[€$£]|(?:eur|usd|gbp|chf|pln|zł)\b)", re.IGNORECASE)


def _is_price(run: re.Match[str]) -> bool:
    text, start, end = run.string, run.start(), run.end()
    if not _AMOUNT.fullmatch(text, start, end):
        return False
    return text[max(0, start - 2) : start].strip()[-1:] in _SIGNS or _CURRENCY.match(text, end) is not None


_SIGNS = ("€", "$", "£")

_TOKEN = re.compile(rf"\S{{1,{MAX_TOKEN}}}|\s{{{MAX_TOKEN}}}")
_SPACE = re.compile(r"\s")
_SIGN = re.compile(r"[\d@&]")
_SAID = spoken_words.NUMBERS.keys() | spoken_words.AT_SURE | spoken_words.AT_MAYBE | spoken_words.DOTS


def _may_be_part(word: str) -> bool:
    """Whether `word` can be a part of a value: digits, an @, or words for them."""
    if word.isascii() and word.isalpha():
        return word.lower() in _SAID
    if not word.isascii():
        word = unicodedata.normalize("NFKC", word)
    return _SIGN.search(word) is not None or word.strip(_AROUND).casefold() in _SAID


_AROUND = ".,:;!?()[]{}<>*_\"'-"


def _block_end(text: str, begin: int) -> int | None:
    """Where the block that begins at `begin` ends: behind a line, or a word of a line that is too long."""
    at = text.find("\n", begin + MIN_BLOCK - 1, begin + MAX_BLOCK)
    if at >= 0:
        return at + 1
    if len(text) - begin < MAX_BLOCK:
        return None
    at = text.rfind(" ", begin + MIN_BLOCK - 1, begin + MAX_BLOCK)
    return at + 1 if at >= 0 else begin + MAX_BLOCK
