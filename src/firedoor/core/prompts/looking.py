"""A request read for attacks: what was seen in it, and the request without what is withheld from the model."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from msgspec import Struct

from firedoor.core.detect.attack.signs import Reading, Role, Sign
from firedoor.core.plan.model import Attribute, PromptRules
from firedoor.core.prompts.leaving_out import Cut, cut_out, without
from firedoor.core.prompts.passages import Document, Passage, passages, passages_of

Read = Callable[[str, Role], Reading]

ENOUGH = 0.5
"""A score from which a text is an attack."""
MAX_WITHHELD = 256
"""Stretches taken out of one request. Where there are more, its documents are nothing but attacks: all of each goes."""

_SENTENCE_END = re.compile(r"[.!?。！？।\n]+\s*")  # noqa: RUF001


class Seen(NamedTuple):
    """A passage in which something was seen."""

    passage: Passage
    reading: Reading

    def place(self, sign: Sign) -> str:
        """Where a sign is: code points of the string that the passage is in."""
        start = self.passage.start
        return f"{self.passage.where()}:{start + sign.start}-{start + sign.end}"


class PromptLook(Struct, frozen=True):
    """What was seen in a request.

    `attacks` are in what the shopper wrote since the model spoke last, `indirect` in what else came since then; `asked`
    are questions for what the caller may not have. `request` is what the model may get. `withheld` counts what was
    taken out of it. `weak`, `compared` and `refused` are what the session adds up: how near what the shopper wrote
    comes to an attack or to asking for what they may not have (the largest log-odds against a threshold, nats), numbers
    guessed at, decodings beyond a bound.
    """

    request: dict[str, Any]
    attacks: tuple[Seen, ...] = ()
    indirect: tuple[Seen, ...] = ()
    asked: tuple[tuple[Attribute, Seen], ...] = ()
    withheld: int = 0
    weak: float | None = None
    compared: tuple[float, ...] = ()
    refused: int = 0
    score: float = 0.0
    """The highest of all scores: of an attack in any text, or of asking for what the caller may not have."""


def reads_nothing(rules: PromptRules) -> bool:
    """Whether `rules` ask for no look at all."""
    return rules.attack == rules.indirect == rules.asked == rules.sessions == "off"


def look(request: dict[str, Any], read: Read, rules: PromptRules, guarded: frozenset[Attribute]) -> PromptLook:
    """Read `request`. `guarded` are the attributes that the caller may not ask for."""
    seen = _Look(read, rules, guarded)
    seen.read(passages(request))
    return seen.looked(request)


def look_at(text: str, role: Role, read: Read, rules: PromptRules, guarded: frozenset[Attribute]) -> PromptLook:
    """Read one text that `role` wrote, as if it were all of a request; what is withheld is only counted."""
    seen = _Look(read, rules, guarded)
    seen.read(passages_of(text, role))
    return seen.looked({}, written=False)


class _Look:
    """A look on the way."""

    def __init__(self, read: Read, rules: PromptRules, guarded: frozenset[Attribute]) -> None:
        self._read_text = read
        self._guarded = guarded if rules.asked != "off" else frozenset[Attribute]()
        enforced = rules.mode == "enforce"
        self._forgets = enforced and rules.attack in ("fallback", "refuse")
        self._withholds = enforced and rules.indirect == "withhold"
        self._attacks: list[Seen] = []
        self._indirect: list[Seen] = []
        self._asked: dict[Attribute, Seen] = {}
        self._cuts: list[Cut] = []
        self._weak: float | None = None
        self._compared: tuple[float, ...] = ()
        self._refused = 0
        self._score = 0.0

    def read(self, found: Iterable[Passage | Document]) -> None:
        """Everything, in order."""
        for one in found:
            if isinstance(one, Document):
                self.document(one)
            else:
                self.passage(one)

    def document(self, document: Document) -> None:
        """All texts of a document are read as one, and each by itself only where that says there is something."""
        reading = self._read_text(document.whole.text, document.whole.role)
        self._add_up(document.whole, reading)
        if reading.score < ENOUGH:
            self._ask(document.whole, reading)
            return
        found: list[Seen] = []
        for leaf in document.leaves:
            alone = self._read_text(leaf.text, leaf.role)
            if alone.score >= ENOUGH:
                found.append(Seen(leaf, alone))
            else:
                self._ask(leaf, alone)  # what an attack asks for is not the question of whoever sent the document
        if not found:  # no text by itself, but all together
            found = [Seen(leaf, reading._replace(signs=())) for leaf in document.leaves]
        self._note(found[0])
        if self._withholds:
            self._cuts += [cut for one in found for cut in self._stretches(one)]

    def passage(self, passage: Passage) -> None:
        """A text by itself."""
        reading = self._read_text(passage.text, passage.role)
        self._add_up(passage, reading)
        self._ask(passage, reading)
        if reading.score < ENOUGH:
            return
        seen = Seen(passage, reading)
        self._note(seen)
        if passage.role == "shopper":
            if self._forgets and not passage.new:  # it was answered without the model, which must not read it now
                self._cuts.append(Cut(passage, 0, len(passage.text)))
        elif self._withholds:
            self._cuts += self._stretches(seen)

    def looked(self, request: dict[str, Any], *, written: bool = True) -> PromptLook:
        """What was seen in `request`, which was read to its end; with `written`, without what is withheld."""
        cuts = self._cuts
        if len(cuts) > MAX_WITHHELD:
            cuts = [Cut(passage, 0, len(passage.text)) for passage in dict.fromkeys(cut.passage for cut in cuts)]
        return PromptLook(
            without(request, cuts) if written else request, tuple(self._attacks), tuple(self._indirect),
            tuple(self._asked.items()), len(cuts), self._weak, self._compared, self._refused,
            max([self._score, *(one.reading.asked[name] for name, one in self._asked.items())]),
        )  # fmt: skip

    def _note(self, seen: Seen) -> None:
        self._score = max(self._score, seen.reading.score)
        if seen.passage.new:
            (self._attacks if seen.passage.role == "shopper" else self._indirect).append(seen)

    def _ask(self, passage: Passage, reading: Reading) -> None:
        if passage.new and passage.typed:
            for attribute in reading.asked:
                if attribute in self._guarded:
                    self._asked.setdefault(attribute, Seen(passage, reading))

    def _add_up(self, passage: Passage, reading: Reading) -> None:
        self._score = max(self._score, reading.score)
        if passage.new and passage.typed:
            weak = max([reading.weak, *(reading.leaning.get(name, reading.weak) for name in self._guarded)])
            self._weak = weak if self._weak is None else max(self._weak, weak)
            self._compared += reading.compared
            self._refused += reading.refused

    def _stretches(self, seen: Seen) -> Iterator[Cut]:
        """What to take out: the sentences with the signs; everything, if what is left is still an attack."""
        passage = seen.passage
        spans = {
            _sentences(passage.text, sign.start, sign.end)
            for sign in seen.reading.signs
            if sign.source != "asked" and sign.score >= ENOUGH
        }
        rest = cut_out(passage.text, spans)
        if not spans or self._read_text(rest, passage.role).score >= ENOUGH:
            spans = {(0, len(passage.text))}
        yield from (Cut(passage, *span) for span in sorted(spans))


def _sentences(text: str, start: int, end: int) -> tuple[int, int]:
    """`start`..`end` and the rest of the sentences that they are in."""
    begin = 0
    for stop in _SENTENCE_END.finditer(text):
        if stop.end() <= start:
            begin = stop.end()
        elif stop.start() >= end - 1:
            return begin, stop.end()
    return begin, len(text)
