"""From the leaves of a log to what the index says about each exchange. Pure.

The index can be made again from the log at any time, and a batch of leaves may be applied twice or again after a crash:
every part of a change is a minimum, a maximum, a union, or decided by the highest sequence number. Leaves of one slot
come in order; how batches of several slots follow one another does not matter, because an exchange lives in one slot.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from msgspec import Struct

from firedoor.core.evidence.leaf import Leaf
from firedoor.core.evidence.record import Fact

UNREADABLE = "?"
"""Stands for a code that no writer of ours writes: too long, or with characters that drive a terminal or a database."""
CODE_LIMIT = 120
"""Characters of a code or name. Names of a plan have at most 63, exchange ids 120."""
LARGEST = 2**63 - 1
"""A moment or count beyond this is no 64-bit integer: it becomes this one."""

_OF_EXCHANGES = frozenset({"intent", "progress", "outcome", "finding"})
_PSEUDONYM = re.compile(r"[0-9a-f]{32}\Z")


class Place(NamedTuple):
    """Where an exchange went through; empty text for what no record says (a recovered outcome standing alone)."""

    shop: str = ""
    surface: str = ""
    model: str = ""
    jurisdiction: str = ""


class ExchangeChange(Struct, kw_only=True):
    """What some leaves say about one exchange, to be merged into its row.

    `began` and `last` are Unix microseconds, as in leaves: the least and the greatest time of its records. `key` is
    the id of the subject's key, None if the exchange is about no known subject. `called` says that an intent is on
    record: content was about to go to the model instance. `outcome` is that of the highest sequence number, None while
    it is open. `released` counts characters. `present` are categories of personal data in the request, `restored` in
    the answer.
    """

    slot: str
    exchange: str
    first_seq: int
    last_seq: int
    began: int
    last: int
    place: Place | None = None
    credential: str = ""
    plan: str = ""
    key: str | None = None
    session: str | None = None
    called: bool = False
    outcome: str | None = None
    reason: str = ""
    outcome_seq: int = 0
    released: int = 0
    present: frozenset[str] = frozenset()
    restored: frozenset[str] = frozenset()
    found: bool = False


class FindingRow(NamedTuple):
    """One detection. `exchange` is empty if it is about none; `at` is Unix microseconds."""

    slot: str
    seq: int
    at: int
    exchange: str
    rule: str
    verdict: str
    place: Place


class Changes(Struct):
    """Everything that some leaves say: exchanges by slot and id, findings, and ids of keys that were destroyed."""

    exchanges: dict[tuple[str, str], ExchangeChange]
    findings: list[FindingRow]
    erased: set[str]


def fold(leaves: Iterable[Leaf]) -> Changes:
    """What `leaves` say; those of one slot must be in order. Kinds that are about no exchange change nothing."""
    changes = Changes({}, [], set())
    for leaf in leaves:
        if leaf.kind in _OF_EXCHANGES:
            if leaf.exchange:
                _exchange(changes, leaf)
            if leaf.kind == "finding":
                changes.findings.append(_finding(leaf))
        elif leaf.kind == "erasure":
            keys = leaf.facts.get("keys")
            if isinstance(keys, list):
                changes.erased.update(key for key in keys if _PSEUDONYM.match(key))
    return changes


def merge(old: ExchangeChange, new: ExchangeChange) -> ExchangeChange:
    """What both say about one exchange, as the index merges them: the order and repetitions do not matter."""
    later = new if new.outcome_seq > old.outcome_seq else old
    placed = old if old.place is not None else new
    return ExchangeChange(
        slot=old.slot,
        exchange=old.exchange,
        first_seq=min(old.first_seq, new.first_seq),
        last_seq=max(old.last_seq, new.last_seq),
        began=min(old.began, new.began),
        last=max(old.last, new.last),
        place=placed.place,
        credential=placed.credential,
        plan=placed.plan,
        key=old.key if old.key is not None else new.key,
        session=old.session if old.session is not None else new.session,
        called=old.called or new.called,
        outcome=later.outcome,
        reason=later.reason,
        outcome_seq=later.outcome_seq,
        released=max(old.released, new.released),
        present=old.present | new.present,
        restored=old.restored | new.restored,
        found=old.found or new.found,
    )


def _exchange(changes: Changes, leaf: Leaf) -> None:
    at = _whole(leaf.at)
    name = (leaf.slot, _code(leaf.exchange))
    change = changes.exchanges.get(name)
    if change is None:
        change = changes.exchanges[name] = ExchangeChange(
            slot=leaf.slot, exchange=name[1], first_seq=leaf.seq, last_seq=leaf.seq, began=at, last=at
        )
    else:
        change.last_seq = leaf.seq
        change.began = min(change.began, at)
        change.last = max(change.last, at)
    facts = leaf.facts
    if change.place is None and "shop" in facts:
        change.place = _place(facts)
        change.credential = _code(facts.get("credential"))
        change.plan = _code(facts.get("plan"))
    if leaf.subject is not None and change.key is None:
        change.key = _pseudonym(leaf.key)
    if change.session is None:
        change.session = _pseudonym(leaf.session)
    if "minimised" in facts:
        change.present |= _labels(facts["minimised"])
    if "restored" in facts:
        change.restored |= _labels(facts["restored"])
    change.released = max(change.released, _whole(facts.get("released")))
    if leaf.kind == "intent":
        change.called = True
    elif leaf.kind == "finding":
        change.found = True
    elif leaf.kind == "outcome":
        change.outcome = _code(facts.get("outcome"))
        change.reason = _code(facts.get("reason"))
        change.outcome_seq = leaf.seq


def _finding(leaf: Leaf) -> FindingRow:
    facts = leaf.facts
    exchange = _code(leaf.exchange)
    at = _whole(leaf.at)
    return FindingRow(
        leaf.slot, leaf.seq, at, exchange, _code(facts.get("rule")), _code(facts.get("verdict")), _place(facts)
    )


def _place(facts: dict[str, Fact]) -> Place:
    return Place(*(_code(facts.get(part)) for part in Place._fields))


def _labels(value: Fact) -> frozenset[str]:
    if not isinstance(value, dict):
        return frozenset()
    return frozenset(_code(label) for label, count in value.items() if label and count > 0)


def _code(value: Fact) -> str:
    """`value` if it is a code; the empty text for none."""
    if value is None:
        return ""
    if isinstance(value, str) and len(value) <= CODE_LIMIT and value.isprintable():
        return value
    return UNREADABLE


def _pseudonym(value: str | None) -> str | None:
    return value if value is not None and _PSEUDONYM.match(value) else None


def _whole(value: Fact) -> int:
    """A count or moment as a 64-bit integer that is not negative; 0 for anything else."""
    if isinstance(value, bool) or not isinstance(value, int):
        return 0
    return min(max(value, 0), LARGEST)
