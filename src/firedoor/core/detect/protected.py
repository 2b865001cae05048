"""Exact protected values and honeytokens in an answer, while it grows.

Aho-Corasick over folded characters (`fold.py`), as a DFA that is built only where texts actually go: a state is the
longest end of the text that begins some value, and "does this begin a value" is a binary search in the sorted values.
So 20,000 values cost their own characters and not a trie of hundreds of thousands of nodes, and a character costs one
dictionary look-up once its transition has been seen. The search is ours because no matcher at hand, streaming ones
included, tells where the longest *unfinished* match begins, which is what may not be released yet.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

from firedoor.core.detect.fold import Folding, normalise
from firedoor.core.detect.spans import Hit
from firedoor.errors import ActRefused

MIN_CHARACTERS = 8
"""Folded characters. Shorter values occur by chance in innocent answers and would shut surfaces for nothing."""
MAX_CHARACTERS = 256
"""Characters as given, and folded. What is held back of a stream is at most this much; longer texts are documents."""
MAX_VALUES = 20_000
"""Values of one index: staff codes, supplier names, honeytokens of a shop. About 0.4 KiB each."""
MAX_TRANSITIONS = 100_000
"""Transitions remembered, about 7 MiB; when full they are forgotten and learnt again."""

TELLING_SHARE = 0.75
"""An unfinished match of this share of a value tells the value."""
TELLING_CHARACTERS = 6
TELLING_VALUES = 8
"""A beginning that more values than this share is the name of a series and tells none of them."""

_LAST = chr(0x10FFFF)


class ProtectedValue(Struct, frozen=True):
    """A text that must not leave in an answer. `set` is the plan's protected set it belongs to."""

    id: str
    set: str
    kind: Literal["value", "honeytoken"]
    text: str


def check_value(text: str) -> None:
    """Refuse what cannot be searched for without false alarms. Raises `ActRefused`; the text is never repeated."""
    if len(text) > MAX_CHARACTERS or len(folded := normalise(text)) > MAX_CHARACTERS:
        raise ActRefused(
            "value_too_long",
            f"A protected value has at most {MAX_CHARACTERS} characters.",
            remedy="Protect a part of it that occurs nowhere else.",
        )
    if len(folded) < MIN_CHARACTERS:
        raise ActRefused(
            "value_too_short",
            f"A protected value needs at least {MIN_CHARACTERS} letters and digits, not counting punctuation.",
            remedy="Add what stands before or after it, such as the product's name.",
        )
    if not any(c.isalpha() for c in folded):
        raise ActRefused(
            "value_only_digits",
            "A bare number cannot be protected: prices and quantities would set it off.",
            remedy="Add a word that stands with the number, such as the supplier's or the product's name.",
        )


class _State(dict[str, "_State"]):
    """One state of the DFA: `text` is the end of the folded text that begins a value. Maps characters to states.

    `hits` are (value, folded characters after its end) for every value that ends here; the second is not 0 only for
    a value that ends inside one character (``ß``).
    """

    __slots__ = ("hits", "index", "text")

    def __init__(self, index: ProtectedIndex, text: str, hits: tuple[tuple[str, int], ...]) -> None:
        self.index = index
        self.text = text
        self.hits = hits

    def __missing__(self, character: str) -> _State:
        return self.index._learn(self, character)


class ProtectedIndex:
    """A region's protected values, ready to be searched for. Not for use from several threads at once."""

    def __init__(self, values: dict[str, tuple[ProtectedValue, ...]]) -> None:
        self._values = values  # by folded text
        self._sorted = sorted(values)
        self._lengths = sorted({len(text) for text in values})
        self.folding = Folding()
        self._states: dict[str, _State] = {}
        self._learnt = 0

    @classmethod
    def build(cls, values: Iterable[ProtectedValue]) -> ProtectedIndex:
        """An index of `values`. Raises `ActRefused` for a value that `check_value` refuses, or too many of them."""
        by_text: dict[str, list[ProtectedValue]] = {}
        for count, value in enumerate(values, 1):
            if count > MAX_VALUES:
                raise ActRefused(
                    "too_many_values",
                    f"A region protects at most {MAX_VALUES} values.",
                    remedy="Protect texts as documents, or fewer of them.",
                )
            check_value(value.text)
            by_text.setdefault(normalise(value.text), []).append(value)
        return cls({text: tuple(same) for text, same in by_text.items()})

    def __len__(self) -> int:
        return sum(len(same) for same in self._values.values())

    def find(self, text: str) -> list[Hit]:
        """Every occurrence in `text`, overlapping ones too, in the order in which they end."""
        return self.watch().feed(text)

    def ids_in(self, text: str) -> frozenset[str]:
        """Ids of the values that occur in `text`: what a caller typed themselves is no leak when it comes back."""
        return frozenset(hit.value_id for hit in self.find(text)) if self._sorted else frozenset()

    def watch(self, ignore: frozenset[str] = frozenset()) -> ProtectedWatch:
        """Search one growing text. Values with ids in `ignore` are not reported (their beginnings are still held)."""
        return ProtectedWatch(self, ignore)

    def start(self) -> _State:
        """The state before the first character."""
        return self._state("")

    def valued(self, text: str) -> tuple[ProtectedValue, ...]:
        """The values whose folded text is exactly `text`."""
        return self._values[text]

    def beginning_with(self, text: str) -> list[str]:
        """Folded texts that begin with `text`, at most `TELLING_VALUES` + 1 of them."""
        first = bisect_left(self._sorted, text)
        last = bisect_left(self._sorted, text + _LAST, first)
        return self._sorted[first : min(last, first + TELLING_VALUES + 1)]

    def _learn(self, state: _State, character: str) -> _State:
        """The state after `character`, remembered in `state`."""
        if self._learnt >= MAX_TRANSITIONS:
            for known in self._states.values():
                known.clear()
            self._states.clear()
            self._learnt = 0
        folded = self.folding[character]
        reached, inside = state.text, list[tuple[str, int]]()
        for position, single in enumerate(folded, 1):
            reached = self._longest_beginning(reached + single)
            inside += [(value, len(folded) - position) for value in self._ending(reached)]
        target = self._state(reached) if folded else self._silent(state)
        if tuple(inside) != target.hits:
            target = _State(self, reached, tuple(inside))
        state[character] = target
        self._learnt += 1
        return target

    def _state(self, text: str) -> _State:
        state = self._states.get(text)
        if state is None:
            hits = tuple((value, 0) for value in self._ending(text))
            state = self._states[text] = _State(self, text, hits)
        return state

    def _silent(self, state: _State) -> _State:
        """`state` after a dropped character: the same place, but nothing ends here (again)."""
        return _State(self, state.text, ()) if state.hits else state

    def _longest_beginning(self, text: str) -> str:
        for start in range(len(text)):
            rest = text[start:]
            found = bisect_left(self._sorted, rest)
            if found < len(self._sorted) and self._sorted[found].startswith(rest):
                return rest
        return ""

    def _ending(self, text: str) -> list[str]:
        """Folded values that `text` ends with, longest last."""
        return [text[-n:] for n in self._lengths if n <= len(text) and text[-n:] in self._values]


class ProtectedWatch:
    """Protected values in one growing text. Offsets count code points from its start.

    The verdict does not depend on how the text was cut: all feeds together find what one feed of the whole finds.
    """

    __slots__ = ("_fed", "_folding", "_ignore", "_index", "_offsets", "_state")

    def __init__(self, index: ProtectedIndex, ignore: frozenset[str]) -> None:
        self._index = index
        self._folding = index.folding
        self._ignore = ignore
        self._state = index.start()
        self._offsets: list[int] = []  # where each folded character of the state's text stands
        self._fed = 0

    def feed(self, text: str) -> list[Hit]:
        """Take the next piece; return the hits completed by it."""
        state = self._state
        hits: list[Hit] = []
        for at, character in enumerate(text, 1):
            state = state[character]
            if state.hits:
                hits += self._hits(state, text[:at])
        self._state = state
        self._offsets = self._places(text, len(state.text)) if state.text else []
        self._fed += len(text)
        return hits

    def held_from(self) -> int:
        """Where the longest live partial match starts; the length fed so far when there is none."""
        return self._offsets[0] if self._offsets else self._fed

    def telling_partial(self) -> bool:
        """Whether the text so far ends in so much of a value that releasing it would tell the value."""
        text = self._state.text
        for start in range(len(text) - TELLING_CHARACTERS + 1):
            candidates = self._index.beginning_with(text[start:])
            if len(candidates) > TELLING_VALUES:
                continue
            for candidate in candidates:
                unfinished = TELLING_SHARE * len(candidate) <= len(text) - start < len(candidate)
                if unfinished and any(v.id not in self._ignore for v in self._index.valued(candidate)):
                    return True
        return False

    def _hits(self, state: _State, text: str) -> list[Hit]:
        hits: list[Hit] = []
        end = self._fed + len(text)
        for folded, after in state.hits:
            start = self._places(text, len(folded) + after)[0]
            hits += [
                Hit(start, end, value.id, value.set, value.kind)
                for value in self._index.valued(folded)
                if value.id not in self._ignore
            ]
        return hits

    def _places(self, text: str, count: int) -> list[int]:
        """Offsets of the last `count` folded characters once `text` follows what was fed before."""
        folding = self._folding
        places: list[int] = []
        missing = count
        for at in range(len(text) - 1, -1, -1):
            for _ in folding[text[at]]:
                places.append(self._fed + at)
                missing -= 1
            if missing <= 0:
                break
        if missing > 0:
            return self._offsets[-missing:] + places[::-1]
        return places[count - 1 :: -1]
