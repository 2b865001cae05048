"""Law files read: bytes of YAML -> rules, or the first thing that is wrong with its file and line. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date
from itertools import pairwise
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, structs

from firedoor.core.incident.law import ASAP, EVENTS, RESOLVED, Authority, Condition, LawBook, Rule, length
from firedoor.core.plan.faults import NO_REMEDY, Fault, Path, located, one_of, shown
from firedoor.core.plan.reading import Tree, Unreadable, read
from firedoor.core.plan.response import Day, Zone
from firedoor.core.plan.shape import misfits
from firedoor.core.plan.words import CountryCode, Part, Text, Url
from firedoor.errors import SetupError


class _File(Part, frozen=True, kw_only=True):
    """A law file. `dated` is the version of all its rules; `zone` is where its dates end (else the plan's)."""

    firedoor_law: Literal[1]
    law: Text
    dated: Day
    valid_from: Day
    reviewed_on: Day
    review_by: Day
    source: Url
    rules: Annotated[tuple[Rule, ...], Meta(min_length=1, max_length=100)]
    zone: Zone | None = None


class _Authorities(Part, frozen=True, kw_only=True):
    """The file of authorities."""

    firedoor_authorities: Literal[1]
    dated: Day
    reviewed_on: Day
    review_by: Day
    source: Url
    states: dict[CountryCode, Authority]


def read_law(document: bytes, source: str) -> tuple[Rule, ...]:
    """The rules of a law file. Raises `SetupError` that names `source` and the line of the first problem."""
    tree = _tree(document, source)
    _refuse(source, tree.first, [*tree.faults, *misfits(tree.value, _File)])
    file = msgspec.convert(tree.value, _File)
    _refuse(source, tree.first, list(_unsound(file)))
    head = {"law": file.law, "valid_from": file.valid_from, "zone": file.zone, "source": file.source}
    head |= {"reviewed_on": file.reviewed_on, "review_by": file.review_by, "version": file.dated}
    return tuple(
        structs.replace(rule, **{name: value for name, value in head.items() if getattr(rule, name) is None})
        for rule in file.rules
    )


def read_authorities(document: bytes, source: str) -> dict[str, Authority]:
    """The authorities of states. Raises `SetupError` as `read_law` does."""
    tree = _tree(document, source)
    _refuse(source, tree.first, [*tree.faults, *misfits(tree.value, _Authorities)])
    return msgspec.convert(tree.value, _Authorities).states


def bound(rules: Iterable[Rule], authorities: dict[str, Authority]) -> LawBook:
    """A book of all rules. Raises `SetupError` if two versions of a clock hold at a time, or a clock is missing."""
    clocks: dict[str, tuple[Rule, ...]] = {}
    for rule in sorted(rules, key=lambda rule: (rule.id, rule.valid_from or "")):
        clocks[rule.id] = (*clocks.get(rule.id, ()), rule)
    for before, after in (pair for versions in clocks.values() for pair in pairwise(versions)):
        if before.valid_to is None or before.valid_to >= (after.valid_from or ""):
            raise _damaged(f"{before.id}: two versions hold on {after.valid_from}")
    book = LawBook(clocks, authorities)
    needs = {rule.id: {rule.needs, *_still_on(rule.applies)} - {None} for rule in book.rules}
    for clock, others in needs.items():
        for other in others:
            if other not in needs:
                raise _damaged(f"{clock} waits for {other}, which is not there")
    while needs:
        free = {clock for clock, others in needs.items() if not others & needs.keys()}
        if not free:
            raise _damaged(f"{', '.join(sorted(needs))} wait for each other")
        needs = {clock: others for clock, others in needs.items() if clock not in free}
    return book


def _still_on(conditions: Iterable[Condition]) -> Iterator[str]:
    for condition in conditions:
        if condition.still_on_at is not None:
            yield condition.still_on_at
        yield from _still_on(condition.one_of)


def _tree(document: bytes, source: str) -> Tree:
    try:
        return read(document)
    except Unreadable as error:
        raise _damaged(f"{source}, line {error.fault.line}: {error.fault.message}") from None


def _unsound(file: _File) -> Iterator[Fault]:
    """What the types of a file do not tell."""
    for clock, count in Counter((rule.id, rule.valid_from) for rule in file.rules).items():
        if count > 1:
            yield Fault(("rules",), f"{clock[0]} stands here {count} times with the same day it holds from")
    for key in ("dated", "valid_from", "reviewed_on", "review_by"):
        yield from _day(getattr(file, key), (key,))
    for position, rule in enumerate(file.rules):
        yield from _unsound_rule(rule, ("rules", position))


def _unsound_rule(rule: Rule, path: Path) -> Iterator[Fault]:
    if rule.needs is None and rule.starts not in EVENTS:
        yield Fault((*path, "starts"), f"{shown(rule.starts)} is no event", one_of(EVENTS))
    if rule.target is not None and rule.length != ASAP:
        yield Fault((*path, "target"), "a target of ours stands only where the law says asap")
    if rule.length == ASAP and rule.target is None:
        yield Fault((*path, "length"), "asap needs a target of ours", "Add `target: 24 h`.")
    lengths = [rule.target or rule.length, *(variant.length for variant in rule.variants)]
    if any(text.endswith(" bd") for text in lengths) != (rule.business is not None):
        yield Fault((*path, "business"), "stands exactly where a length is in business days")
    for reading in rule.readings:
        in_hours = rule.length.endswith(" h")
        if (reading in ("hours_1182", "two_working_days") and not in_hours) or (
            reading == "next_working_day" and in_hours
        ):
            yield Fault((*path, "readings"), f"{reading} does not go with {rule.length}")
    for word in rule.to:
        if word.startswith("@") and word not in RESOLVED:
            yield Fault((*path, "to"), f"{shown(word)} is no recipient", one_of(RESOLVED))
    for position, condition in enumerate(rule.applies):
        yield from _unsound_condition(condition, (*path, "applies", position))
    for position, variant in enumerate(rule.variants):
        yield from _unsound_condition(variant.when, (*path, "variants", position, "when"))
        if length(variant.length) is None:
            yield Fault((*path, "variants", position, "length"), "must be a number of hours, days or months")
    for key in ("valid_from", "valid_to", "reviewed_on", "review_by", "version"):
        yield from _day(getattr(rule, key), (*path, key))


def _unsound_condition(condition: Condition, path: Path) -> Iterator[Fault]:
    if len(condition.said) != 1 or condition.malicious is False:
        yield Fault(path, "a condition has exactly one key", one_of(condition.__struct_fields__))
    for position, inner in enumerate(condition.one_of):
        yield from _unsound_condition(inner, (*path, "one_of", position))


def _day(text: str | None, path: Path) -> Iterator[Fault]:
    try:
        date.fromisoformat(text or "2000-01-01")
    except ValueError:
        yield Fault(path, f"{shown(text or '')} is no day of the calendar")


def _refuse(source: str, lines: dict[Path, int], faults: list[Fault]) -> None:
    """Raises `SetupError` for the first of `faults`."""
    if faults:
        first = min((located(fault, lines) for fault in faults), key=lambda problem: problem.line)
        raise SetupError(
            f"{source}, line {first.line}: {first.path}: {first.message}.",
            remedy="" if first.remedy == NO_REMEDY else first.remedy,
        )


def _damaged(said: str) -> SetupError:
    return SetupError(f"The law data is damaged: {said}.", remedy="Install the package anew.")
