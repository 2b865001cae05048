"""An emergency plan out of the bytes of its document, or everything that is wrong with it. Pure.

The steps, in order: (1) YAML to plain values with their lines, (2) the shape of every value, (3) the checks that need
more than types. A check runs when all sections that it reads have their shape, so that one slip does not set off a row
of false alarms.
"""

from __future__ import annotations

import hashlib
from itertools import chain, islice
from typing import Any

import msgspec
from msgspec import Struct

from firedoor.core.plan.checks import CHECKS
from firedoor.core.plan.faults import Fault, Path, located
from firedoor.core.plan.model import Loaded, Plan
from firedoor.core.plan.reading import Tree, Unreadable, read
from firedoor.core.plan.shape import dec_hook, misfits
from firedoor.errors import PlanInvalid, Problem

MAX_PROBLEMS = 500
"""More than anybody corrects in one go; a document made of nothing but problems is answered in seconds too."""


class Examined(Struct, frozen=True):
    """What is known of a document. `plan` is None exactly when there are problems.

    `unread` names the sections whose shape is damaged, and which no check has looked into.
    """

    plan: Plan | None
    problems: list[Problem]
    unread: frozenset[str]
    tree: Tree | None


def decode(document: bytes, source: str) -> Loaded:
    """The plan in `document`. Raises `PlanInvalid` with every problem. `source` names the document in messages."""
    examined = examine(document)
    if examined.plan is None:
        raise PlanInvalid(source, examined.problems)
    return Loaded(examined.plan, hashlib.sha256(document).hexdigest(), source, document)


def examine(document: bytes) -> Examined:
    """Every problem of `document`, in the order of its lines. Never raises."""
    try:
        tree = read(document)  # 1
    except Unreadable as error:
        return Examined(None, [located(error.fault, {})], frozenset(_SECTIONS), None)
    faults = list(islice(chain(tree.faults, misfits(tree.value, Plan)), MAX_PROBLEMS))  # 2
    unread = _damaged([fault.path for fault in faults])
    plan = _build(tree.value, unread)
    for check in CHECKS:  # 3
        if unread.isdisjoint(check.reads):
            faults.extend(islice(check.run(plan), MAX_PROBLEMS - len(faults)))
    if len(faults) == MAX_PROBLEMS:
        faults.append(Fault((), "has more problems than are listed here", "Correct these first."))
    problems = sorted((located(fault, tree.first) for fault in faults), key=lambda problem: problem.line)
    return Examined(None if faults else plan, problems, unread, tree)


_SECTIONS = {field.name: field for field in msgspec.structs.fields(Plan)}


def _damaged(paths: list[Path]) -> frozenset[str]:
    if () in paths or len(paths) == MAX_PROBLEMS:
        return frozenset(_SECTIONS)
    return frozenset(str(path[0]) for path in paths) & frozenset(_SECTIONS)


def _build(value: Any, unread: frozenset[str]) -> Plan:
    """The plan, with an empty section for each one that is damaged."""
    empty: dict[str, Any] = {"firedoor": 1, "name": "damaged"}
    sections: dict[str, Any] = {}
    for name, field in _SECTIONS.items():
        if name in unread:
            sections[name] = empty.get(name, {})
        elif name in value:
            sections[name] = msgspec.convert(value[name], field.type, dec_hook=dec_hook)
    return Plan(**sections)
