"""What is done about a case in its first minute by itself, and what of it is still to be done. Pure.

Contain, seal, purge, start the clocks, count who is affected: each is done once its entry is there. Nothing else is
remembered, so that whoever goes on after a crash asks the case. Counting is done again when the case asks for another
count than the one it has; a scope in which a leak joins later is contained for itself, and what was contained anew is
sealed and purged for itself (`core.incident.rounds`).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, Literal, NamedTuple

from msgspec import structs

from firedoor.core.incident import entries as kinds
from firedoor.core.incident.affected import Affected, AskedFor
from firedoor.core.incident.case import Case, said
from firedoor.core.incident.rounds import needs_purge, needs_seal
from firedoor.core.switches import Scope, where_found

Step = Literal["contain", "seal", "purge", "clocks", "count"]

STEPS: Final[tuple[Step, ...]] = ("contain", "seal", "purge", "clocks", "count")
"""In their order: what would be gone tomorrow is sealed before anything goes."""
COUNTED: Final = 200
"""Scopes, and exchanges of findings, that one count asks for: a count has as many in its entry as a case names."""
SLACK: Final = 5 * kinds.MICRO
"""Microseconds by which a leak may seem younger than the shut that answers it: streams under way, clocks of hosts."""
LEAK: Final = "shut"
"""The verdict of a confirmed leak in an answer: the only finding that shuts without a rule of the plan."""


class Region(NamedTuple):
    """The region whose case it is; how far before its first finding a case counts, in seconds (the plan's)."""

    name: str
    lookback: int


def left(case: Case, region: Region) -> tuple[Step, ...]:
    """The steps that are still to be done, in their order; none for a case that ended."""
    if case.ended:
        return ()
    done = {
        "contain": case.contained is not None and not to_contain(case, region),
        "seal": not needs_seal(case),
        "purge": not needs_purge(case),
        "clocks": case.clocks_set is not None,
        "count": case.counted is not None and case.counted.asked == to_count(case, region),
    }
    return tuple(step for step in STEPS if not done[step])


def next_step(case: Case, region: Region, resting: Collection[str] = ()) -> Step | None:
    """The first step that may be done now; those of `resting` failed, and wait. Only purging waits for another."""
    steps = left(case, region)
    return next((s for s in steps if s not in resting and not (s == "purge" and "seal" in steps)), None)


def was_told(case: Case, failed: kinds.StepFailed) -> bool:
    """Whether this failure is in the case already: of a step that is done in rounds, since it was done last."""
    done = {"seal": kinds.Sealed, "purge": kinds.Purged}.get(failed.step)
    for entry in reversed(case.entries):
        if done is not None and isinstance(entry.payload, done):
            return False
        if entry.payload == failed:
            return True
    return False


def to_contain(case: Case, region: Region) -> tuple[str, ...]:
    """The scopes that are to be shut and that no entry says are: where the case began, if whoever opened it had it
    shut, and where leaks were confirmed, also behind a door that people had opened meanwhile. Findings of any other
    verdict shut nothing more by joining a case.
    """
    asked = {case.opened.scope: 0} if case.opened.shut else {}
    asked |= {one.scope: newest_leak(case, one.scope) for one in case.found if one.verdict == LEAK}
    known = _contained(case)
    return tuple(text for text, at in asked.items() if not _covered(where_found(text, region.name), known, at - SLACK))


def newest_leak(case: Case, scope: str) -> int:
    """When a leak was last confirmed at `scope` (microseconds); 0 for never."""
    return max((one.at for one in case.found if one.verdict == LEAK and one.scope == scope), default=0)


def is_leak(case: Case, scope: str) -> bool:
    """Whether a leak was confirmed at `scope`."""
    return any(one.verdict == LEAK and one.scope == scope for one in case.found)


def to_count(case: Case, region: Region) -> AskedFor:
    """Which exchanges the case is about: from the lookback before it was first found to when it was contained.

    A person who found out when it began or ended (`occurred_from`, `occurred_to`) knows better.
    """
    known = _contained(case)
    began = min(case.opened.detected, *(m for m in (case.first_found, case.moments.get("detected")) if m is not None))
    since = case.moments.get("occurred_from", max(0, began - region.lookback * kinds.MICRO))
    contained = max((one.at for one in known), default=None)
    if to_contain(case, region) or not all(_covered(where_found(t, region.name), known) for t in case.scopes):
        contained = None
    until = case.moments.get("occurred_to", contained)
    return AskedFor(
        region=region.name,
        scopes=case.scopes[:COUNTED],
        since=since,
        until=None if until is None else max(until, since),
        exchanges=tuple(dict.fromkeys(one.exchange for one in case.found if one.exchange))[:COUNTED],
    )


def behind(case: Case, counted: Affected) -> bool:
    """Whether a finding of the case is younger than what `counted` could know of. Slots of hosts are ``HOST/SLOT``."""
    newest: dict[str, int] = {}
    for one in case.found:
        newest[one.slot] = max(one.seq, newest.get(one.slot, -1))
    return any(_read(counted.read_up_to, slot) < seq for slot, seq in newest.items())


def unsettled(case: Case, counted: Affected) -> bool:
    """Whether counting again may tell more: the index is behind, or exchanges had no end yet."""
    return behind(case, counted) or bool(counted.unknown.get("open_or_unknown"))


def same_count(one: Affected, other: Affected) -> bool:
    """Whether both say the same, whenever and however fast they were counted."""
    return _timeless(one) == _timeless(other)


def _timeless(counted: Affected) -> Affected:
    return structs.replace(counted, as_of=0, took=0.0, read_up_to={})


def _contained(case: Case) -> list[kinds.Contained]:
    """What its entries say is shut, as corrected."""
    return [p for p in said(case.entries).values() if isinstance(p, kinds.Contained) and p.version >= 0]


def _covered(scope: Scope, known: list[kinds.Contained], since: int = 0) -> bool:
    return any(one.at >= since and Scope.parse(one.scope).covers(scope) for one in known)


def _read(read_up_to: dict[str, int], slot: str) -> int:
    """How far `slot` was read. Where hosts share the index, it names the host also of slots that findings do not."""
    if slot in read_up_to:
        return read_up_to[slot]
    return min((seq for name, seq in read_up_to.items() if name.endswith(f"/{slot}")), default=-1)
