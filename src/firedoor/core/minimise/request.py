"""Take the personal data out of a chat or embeddings request, as the plan says for each kind of it.

Three looks. First every text in order: what the detectors find is replaced, and what was replaced before is found again
where they miss it. Then, backwards, what became known only later. Then everything is written. Numbers of placeholders
are given in the first look, so that a history sent again, with more turns at its end, keeps its numbers.

Strings that hold JSON stay valid JSON, also where they hold strings that hold JSON. Whole numbers are replaced too
(``{"order_id": 10042}``), by strings; the settings of the request itself (``seed``) stay.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import chain, pairwise
from typing import Any

from msgspec import Struct

from firedoor.core.detect.rules import numbers
from firedoor.core.detect.rules.personal import plain
from firedoor.core.detect.spans import Span
from firedoor.core.minimise.fields import Ambiguous, TooDeep
from firedoor.core.minimise.generalise import amount_band, generalise, plain_number
from firedoor.core.minimise.handlings import CARD, Handlings
from firedoor.core.minimise.identity import identity
from firedoor.core.minimise.inflection import folded
from firedoor.core.minimise.jsontext import REMOVED
from firedoor.core.minimise.known import Names, Values
from firedoor.core.minimise.leaves import Edit, Leaf
from firedoor.core.minimise.mentions import Person, mention
from firedoor.core.minimise.persons import Persons
from firedoor.core.minimise.placeholders import Placeholders, typed_in
from firedoor.core.minimise.reading import DROPPED, Reading
from firedoor.core.minimise.splits import CONTINUED, Split, Turns
from firedoor.core.plan.model import FieldRule, Handling, PersonalDataRules
from firedoor.errors import CallerError

Find = Callable[[str], list[Span]]
Counts = dict[str, int]
"""Distinct values by label."""

MAX_WITH_KEY = 64
"""A string this short is read together with its key (``order_id: 10042``); a longer one speaks for itself."""

MASK_ALL = Handlings(PersonalDataRules())

_PERSON = "PERSON"
_FIELD = re.compile(r"[a-z][A-Za-z0-9]{0,40}(?:[_-][A-Za-z0-9]{1,40}){0,8}")
_NO_CARD_INSIDE = frozenset({CARD, "IBAN"})  # the groups of a bank account may look like a card by chance
_DIGITS = re.compile(r"[0-9](?:[ -]?[0-9])+")
_SPACE = re.compile(r" {1,2}\Z")


class Minimised(Struct, frozen=True):
    """A request without the personal data found in it.

    `counts` are the values taken out: masked, generalised or dropped. `found` are all values found, by what the rules
    say becomes of them; in shadow mode that is what would have become of them. `dropped` are the identifying fields
    left out; `changed` says whether `request` differs from what came. With `refused`, the error for the caller, there
    is no request.
    """

    request: dict[str, Any]
    placeholders: Placeholders
    counts: Counts
    dropped: tuple[str, ...]
    changed: bool
    found: dict[Handling, Counts]
    refused: CallerError | None = None


def minimise(
    request: dict[str, Any], find: Find, handlings: Handlings = MASK_ALL, year: int | None = None
) -> Minimised:
    """`request` with everything that `find` finds handled. The request itself is not touched.

    `year` is the current one; without it a date of birth is masked where it would be generalised. The nesting of the
    request must be bounded, as `chat.parse_chat` does.
    """
    try:
        reading = Reading(request, handlings)
    except TooDeep:
        problem = "A message holds JSON that is nested too deep for the rules about its fields."
        return _refused(CallerError(400, "too_deep", problem, param="messages"))
    except Ambiguous:
        problem = "A message holds JSON in which an object has the same key twice, where fields have rules."
        return _refused(CallerError(400, "duplicate_key", problem, param="messages"))
    names = Names(typed_in(chain(reading.unread, (leaf.text for leaf in reading.leaves))))
    fields = frozenset(leaf.text for leaf in reading.leaves if leaf.key and _FIELD.fullmatch(leaf.text))
    work = _Work(find, handlings, year, names, fields)
    if not work.handle(reading.leaves):
        assert work.refused is not None
        return _refused(work.refused, work.found.counts())
    reading.write(work.key_of_its_own)
    dropped = tuple(name for name in DROPPED if name in request and name not in reading.copy)
    counts = work.taken.counts().get("mask", {})
    changed = bool(dropped) or any(leaf.edits for leaf in reading.leaves)
    return Minimised(
        reading.copy, Placeholders(work.values(), names.typed), counts, dropped, changed, work.found.counts()
    )


def _refused(error: CallerError, found: dict[Handling, Counts] | None = None) -> Minimised:
    return Minimised({}, Placeholders({}), {}, (), changed=True, found=found or {}, refused=error)


class _Tally:
    """Distinct values by handling and label."""

    def __init__(self) -> None:
        self._values: dict[tuple[Handling, str], dict[object, None]] = {}

    def add(self, handling: Handling, label: str, value: object) -> None:
        self._values.setdefault((handling, label), {})[value] = None

    def counts(self) -> dict[Handling, Counts]:
        counts: dict[Handling, Counts] = {}
        for (handling, label), values in self._values.items():
            distinct = {value.root() if isinstance(value, Person) else value for value in values}
            counts.setdefault(handling, {})[label] = len(distinct)
        return counts


class _Work:
    """One request's personal data, text by text."""

    def __init__(
        self, find: Find, handlings: Handlings, year: int | None, names: Names, fields: frozenset[str]
    ) -> None:
        self._find_in = find
        self._fields = fields
        self._handlings = handlings
        self._year = year
        self._names = names
        self._persons = Persons()
        self._values = Values()
        self._turns = Turns()
        self._seen: dict[str, list[Span]] = {}
        self._person_done = handlings.done(_PERSON, handlings.of(_PERSON))
        self.found = _Tally()
        self.taken = _Tally()
        self.refused: CallerError | None = None

    def handle(self, leaves: list[Leaf]) -> bool:
        """Give every leaf its edits. False if the request is refused."""
        for leaf in leaves:
            self._look(leaf)
            if self.refused is not None:
                return False
        for leaf in leaves:
            if leaf.version != self._version():
                self._find_known(leaf, later=True)
            if leaf.edits:
                leaf.edits = _settled(leaf)
        return True

    def values(self) -> dict[tuple[str, int], str]:
        """What each placeholder stands for."""
        persons = {(_PERSON, person.number): person.name() for person in self._persons.roots() if person.number}
        return {**self._names.values, **persons}

    def key_of_its_own(self, leaf: Leaf) -> str:
        """A name for a key that no other spelling of the same value has."""
        return self._names.placeholder_of_its_own(leaf.edits[0].label or _PERSON, leaf.text)

    # --- one text -----------------------------------------------------------------------------------------------------

    def _look(self, leaf: Leaf) -> None:
        if leaf.edits:  # dropped as a whole, unread
            if leaf.edits[0].label:
                self.found.add("drop", leaf.edits[0].label, leaf.text)
                self.taken.add("mask", leaf.edits[0].label, leaf.text)
            leaf.version = self._version()
            return
        self._persons.read(leaf.text)
        if leaf.rule is None:
            edits = [self._edit(leaf, span, None) for span in self._spans(leaf)]
        else:
            edits = self._ruled(leaf, leaf.rule)
        leaf.edits = [edit for edit in edits if edit is not None]
        if leaf.role:
            for split in self._turns.splits(leaf, self._find):
                self._join(split)
        self._find_known(leaf, later=False)

    def _spans(self, leaf: Leaf) -> list[Span]:
        """What is found in a leaf, read together with what its key tells."""
        before = f"{leaf.context}: " if leaf.context and len(leaf.text) <= MAX_WITH_KEY else ""
        spans = self._find(before + leaf.text)
        if leaf.text in self._fields:  # the name of a field, also where a schema lists it: a guess must not change it
            spans = [span for span in spans if span.tier in ("own", "rule")]
        if before:
            spans = [s._replace(start=max(s.start - len(before), 0), end=s.end - len(before)) for s in spans]
        found = [self._card_inside(span, leaf) for span in spans if span.end > 0]
        return _whole_names(found, leaf.text)

    def _card_inside(self, span: Span, leaf: Leaf) -> Span:
        """The card in what would pass as something else (``order #4111…``, a card in a link), else `span`."""
        if span.label in _NO_CARD_INSIDE or span.end - span.start < numbers.MIN_CARD:
            return span
        if self._handlings.done(span.label, self._handlings.of(span.label, leaf.rule)) != "pass":
            return span
        card = _card_in(leaf.text[span.start : span.end])
        return span if card is None else Span(span.start + card[0], span.start + card[1], CARD, "card.inside")

    def _find(self, text: str) -> list[Span]:
        known = self._seen.get(text)
        if known is None:
            known = self._seen[text] = self._find_in(text)
        return known

    def _ruled(self, leaf: Leaf, rule: FieldRule) -> list[Edit | None]:
        """A leaf in a field with a rule: the rule counts for all that is in it. Cards are none of its business."""
        spans = self._spans(leaf)
        if any(span.label == CARD for span in spans) and (leaf.number or rule.handling == "pass"):
            return [self._edit(leaf, span, None) for span in spans if span.label == CARD]
        if rule.label is not None:
            if rule.handling == "pass":
                self.found.add("pass", rule.label, identity(rule.label, leaf.text))
                return []
            return [self._edit(leaf, Span(0, len(leaf.text), rule.label, "field"), rule)] if leaf.text else []
        if rule.handling == "generalise" and (amount := plain_number(leaf.text)) is not None:
            return [Edit(0, len(leaf.text), amount_band(amount), "")]
        return [self._edit(leaf, span, rule) for span in spans]

    def _edit(self, leaf: Leaf, span: Span, rule: FieldRule | None) -> Edit | None:
        start, end, label = span.start, span.end, span.label
        said = self._handlings.of(label, rule)
        done = self._handlings.done(label, said)
        if label == _PERSON and done not in ("pass", "refuse"):
            return self._person_edit(leaf, span, said, done, whole=rule is not None and rule.label is not None)
        value = leaf.text[start:end]
        self.found.add(said, label, identity(label, value))
        shown = self._shown(label, value, done, leaf.where)
        return None if shown is None else Edit(start, end, shown, label)

    def _person_edit(self, leaf: Leaf, span: Span, said: Handling, done: Handling, *, whole: bool) -> Edit:
        """With `whole`, titles and signs around the name go with it: the field is a name, whatever it looks like."""
        named = mention(leaf.text, span.start, span.end)
        person = self._persons.who(named)
        self.found.add(said, _PERSON, person)
        start, end = (span.start, span.end) if whole else (named.start, named.end)
        return self._shown_person(person, start, end, done)

    def _shown_person(self, person: Person, start: int, end: int, done: Handling) -> Edit:
        self.taken.add("mask", _PERSON, person)
        if done == "drop":
            return Edit(start, end, REMOVED, _PERSON)
        if not person.number:
            person.number = self._names.number(_PERSON)
        return Edit(start, end, "", _PERSON, person)

    def _shown(self, label: str, value: str, done: Handling, where: str) -> str | None:
        """What stands in place of `value`; None if it stays, or nothing leaves at all."""
        if done == "pass":
            return None
        if done == "refuse":
            problem = f"The request holds personal data ({label}) in {where}, which this surface refuses."
            self.refused = CallerError(400, "personal_data_refused", problem, param=where)
            return None
        self.taken.add("mask", label, identity(label, value))
        coarser = generalise(label, value, self._year) if done == "generalise" else None
        shown = REMOVED if done == "drop" else coarser or self._names.placeholder(label, value)
        self._values.add(value, shown, label)
        return shown

    # --- what is known ------------------------------------------------------------------------------------------------

    def _join(self, split: Split) -> None:
        """A value that earlier messages began: its pieces are replaced by one placeholder and markers."""
        said = self._handlings.of(split.label)
        self.found.add(said, split.label, identity(split.label, split.value))
        where = split.pieces[-1].leaf.where
        shown = self._shown(split.label, split.value, self._handlings.done(split.label, said), where)
        if shown is None:
            return
        for piece in split.pieces:
            apart = [e for e in piece.leaf.edits if e.end <= piece.start or e.start >= piece.end]
            piece.leaf.edits = sorted([*apart, Edit(piece.start, piece.end, shown, split.label)], key=_start)
            shown = CONTINUED

    def _find_known(self, leaf: Leaf, *, later: bool) -> None:
        """Replace what stands in a leaf and was replaced elsewhere, but missed here."""
        leaf.version = self._version()
        passes = leaf.rule is not None and leaf.rule.handling == "pass"
        text = _left(leaf)
        known = self._values.found_in(text)
        more = [Edit(start, end, shown, label) for start, end, shown, label in known if label == CARD or not passes]
        if more:
            leaf.edits = sorted([*leaf.edits, *more], key=_start)
            text = _left(leaf)
        if passes or self._person_done in ("pass", "refuse") or leaf.text in self._fields:
            return
        named = list(self._persons.mentioned_in(text, later=later))
        more = [self._shown_person(person, start, end, self._person_done) for start, end, person in named]
        if more:
            leaf.edits = sorted([*leaf.edits, *more], key=_start)

    def _version(self) -> int:
        return self._persons.version + self._values.version


def _start(edit: Edit) -> int:
    return edit.start


def _card_in(value: str) -> tuple[int, int] | None:
    """Where a card number stands in `value`."""
    value = plain(value)
    for digits in _DIGITS.finditer(value):
        if card := numbers.card_in(numbers.run_of(value, *digits.span()), named=False):
            return card
    return None


def _left(leaf: Leaf) -> str:
    """The text of a leaf, with nothing to read where it was replaced already."""
    if not leaf.edits:
        return leaf.text
    out: list[str] = []
    position = 0
    for edit in leaf.edits:
        out += (leaf.text[position : edit.start], "\0" * (edit.end - edit.start))
        position = edit.end
    out.append(leaf.text[position:])
    return "".join(out)


def _whole_names(spans: list[Span], text: str) -> list[Span]:
    """First and family name as one, where a detector gave each by itself."""
    if not any(a.label == b.label == _PERSON for a, b in pairwise(spans)):
        return spans
    whole: list[Span] = []
    for span in spans:
        last = whole[-1] if whole else None
        if (
            last is not None
            and last.label == span.label == _PERSON
            and text[last.end : span.start] == " "
            and " " not in text[last.start : last.end] + text[span.start : span.end]
        ):
            whole[-1] = last._replace(end=span.end)
        else:
            whole.append(span)
    return whole


def _are_parts(one: str, other: str) -> bool:
    """Whether two texts are parts of a name, and not the same name said twice."""
    return not {*map(folded, one.split())} & {*map(folded, other.split())}


def _settled(leaf: Leaf) -> list[Edit]:
    """The edits of a leaf in order, those of one person side by side as one."""
    settled: list[Edit] = []
    for edit in leaf.edits:
        last = settled[-1] if settled else None
        if (
            last is not None
            and last.person is not None
            and edit.person is not None
            and last.person.root() is edit.person.root()
            and _SPACE.match(leaf.text[last.end : edit.start])
            and _are_parts(leaf.text[last.start : last.end], leaf.text[edit.start : edit.end])
        ):
            settled[-1] = last._replace(end=edit.end)
        else:
            settled.append(edit)
    return settled
