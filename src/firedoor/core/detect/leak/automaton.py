"""Many folded texts looked for at once in a growing text.

Aho-Corasick over folded characters (`fold.py`), as a DFA that is built only where texts actually go: a state is the
longest end of the text that begins one of those looked for, and "does this begin one" is a binary search in the sorted
texts. So 20,000 texts cost their own characters and not a trie of hundreds of thousands of nodes, and a character costs
one dictionary look-up once its transition has been seen. The search is ours because no matcher at hand, streaming ones
included, tells where the longest *unfinished* match begins, which is what may not be released yet.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from typing import NamedTuple

from firedoor.core.detect.fold import Folding

MAX_TRANSITIONS = 100_000
"""Transitions remembered, about 7 MiB; when full they are forgotten and learnt again."""

MAX_TAIL = 512
"""Code points kept of a text when no match is that long."""

_LAST = chr(0x10FFFF)


class Match(NamedTuple):
    """A text that was looked for, folded, at code points `start`..`end`."""

    start: int
    end: int
    text: str


class _State(dict[str, "_State"]):
    """One state of the DFA: `text` is the end of the folded text that begins one looked for. Maps characters to states.

    `ends` are (folded text, folded characters after its end) for every one that ends here; the second is not 0 only for
    one that ends inside a character (``ß``).
    """

    __slots__ = ("automaton", "ends", "size", "text")

    def __init__(self, automaton: Automaton, text: str, ends: tuple[tuple[str, int], ...]) -> None:
        self.automaton = automaton
        self.text = text
        self.size = len(text)
        self.ends = ends

    def __missing__(self, character: str) -> _State:
        return self.automaton._learn(self, character)


class Automaton:
    """Looks for `texts`, folded and not empty. Not for use from several threads at once."""

    def __init__(self, texts: Iterable[str], folding: Folding | None = None) -> None:
        self._texts = frozenset(texts)
        self._sorted = sorted(self._texts)
        self._lengths = sorted({len(text) for text in self._texts})
        self.folding = Folding() if folding is None else folding
        self._states: dict[str, _State] = {}
        self._learnt = 0

    def __len__(self) -> int:
        return len(self._sorted)

    def find(self, text: str) -> list[Match]:
        """Every occurrence in `text`, overlapping ones too, in the order in which they end."""
        return self.watch().feed(text)

    def watch(self) -> AutomatonWatch:
        """Search one growing text."""
        return AutomatonWatch(self)

    def start(self) -> _State:
        """The state before the first character."""
        return self._state("")

    def beginning_with(self, text: str, most: int) -> list[str]:
        """Folded texts that begin with `text`, at most `most` of them."""
        first = bisect_left(self._sorted, text)
        last = bisect_left(self._sorted, text + _LAST, first)
        return self._sorted[first : min(last, first + most)]

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
            inside += [(text, len(folded) - position) for text in self._ending(reached)]
        target = self._state(reached) if folded else self._silent(state)
        if tuple(inside) != target.ends:
            target = _State(self, reached, tuple(inside))
        state[character] = target
        self._learnt += 1
        return target

    def _state(self, text: str) -> _State:
        state = self._states.get(text)
        if state is None:
            ends = tuple((found, 0) for found in self._ending(text))
            state = self._states[text] = _State(self, text, ends)
        return state

    def _silent(self, state: _State) -> _State:
        """`state` after a dropped character: the same place, but nothing ends here (again)."""
        return _State(self, state.text, ()) if state.ends else state

    def _longest_beginning(self, text: str) -> str:
        for start in range(len(text)):
            rest = text[start:]
            found = bisect_left(self._sorted, rest)
            if found < len(self._sorted) and self._sorted[found].startswith(rest):
                return rest
        return ""

    def _ending(self, text: str) -> list[str]:
        """Those that `text` ends with, longest last."""
        return [text[-n:] for n in self._lengths if n <= len(text) and text[-n:] in self._texts]


class AutomatonSearch:
    """The search in one growing text. Offsets count code points from its start.

    What is found does not depend on how the text was cut.
    """

    __slots__ = ("_fed", "_folding", "_state", "_tail")

    def __init__(self, automaton: Automaton) -> None:
        self._folding = automaton.folding
        self._state = automaton.start()
        self._tail = ""  # the end of the text: at least all of the longest unfinished match
        self._fed = 0

    def take(self, text: str) -> bool:
        """Take the next piece, unless it completes a match: that is what `matches` is for."""
        state = self._state
        for character in text:
            state = state[character]
            if state.ends:
                return False
        self._state = state
        self._fed += len(text)
        self._tail += text
        if len(self._tail) > MAX_TAIL:
            self._trim()
        return True

    def matches(self, text: str) -> list[Match]:
        """Take the next piece; the matches completed by it."""
        matches: list[Match] = []
        taken = 0
        for at, character in enumerate(text, 1):
            state = self._state = self._state[character]
            if state.ends:
                self._tail += text[taken:at]
                self._fed += at - taken
                taken = at
                matches += [Match(self._start(len(found) + after), self._fed, found) for found, after in state.ends]
                self._trim()
        self._tail += text[taken:]
        self._fed += len(text) - taken
        self._trim()
        return matches

    @property
    def fed(self) -> int:
        """Code points taken."""
        return self._fed

    @property
    def live(self) -> str:
        """The longest unfinished match, folded."""
        return self._state.text

    def held_from(self) -> int:
        """Where the longest unfinished match starts; the length fed so far when there is none."""
        count = self._state.size
        if not count:
            return self._fed
        end = self._tail[-count:]
        if end.isalnum() and end.isascii():
            return self._fed - count
        return self._start(count)

    def _trim(self) -> None:
        self._tail = self._tail[self.held_from() - self._fed :] if self._state.text else ""

    def _start(self, count: int) -> int:
        """Where the character stands that the `count`th last folded one comes from."""
        folding = self._folding
        at = self._fed
        for character in reversed(self._tail):
            at -= 1
            count -= len(folding[character])
            if count <= 0:
                break
        return at


class AutomatonWatch(AutomatonSearch):
    """Matches in one growing text."""

    __slots__ = ()

    def feed(self, text: str) -> list[Match]:
        """Take the next piece; return the matches completed by it."""
        return [] if self.take(text) else self.matches(text)
