"""A case as its entries make it: states, moments, tasks, what was done and decided. Pure: entries in, a value out.

`fold` reads what the entries say, as corrected by the corrections among them; with `at` only those that were written by
then, so it tells what was known then. What may be written next is asked in `core.incident.checks`.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import structs

from firedoor.core.evidence.leaf import hour
from firedoor.core.incident import entries as kinds
from firedoor.core.incident.casestate import KEPT, LEAKED, PLACES, Call, Case, State, Task, Waiver, by_person, said
from firedoor.core.incident.casestep import at_work, begin, step
from firedoor.core.incident.entries import MICRO, Entry, case_id
from firedoor.core.people import Act

__all__ = [
    "KEPT", "LEAKED", "PLACES", "Call", "Case", "State", "Task", "Waiver", "add", "by_person", "case_of", "day_of",
    "fold", "said",
]  # fmt: skip


def fold(entries: Iterable[Entry], at: int | None = None) -> Case:
    """The case that `entries` (in order, from the first on) make; with `at`, as it was known at that moment.

    Raises ValueError if there is none by then, or if these are not the entries of one case from its first on.
    """
    known = tuple(e for e in entries if at is None or e.at <= at)
    if not known or not isinstance(known[0].payload, kinds.Opened):
        raise ValueError("a case begins with what opened it")
    if any((e.case, e.number) != (known[0].case, n) for n, e in enumerate(known, 1)):
        raise ValueError("entries are missing, or belong to another case")
    says = said(known)
    gone = {number for payload in says.values() if isinstance(payload, kinds.SplitOff) for number in payload.entries}
    case = begin(known[0], known[0].payload)
    for entry in known[1:]:
        payload = says[entry.number]
        if payload is not None and entry.number not in gone:
            case = step(case, entry, payload)
        case = at_work(case, entry)
    corrected = {e.payload.of: e.number for e in known if isinstance(e.payload, kinds.Correction)}
    return structs.replace(case, number=len(known), corrected=corrected, entries=known)


def add(case: Case | None, entry: Entry) -> Case:
    """`case` with one more entry: the same as `fold` over all of them. Raises ValueError if it is not the next one."""
    if case is None:
        return fold((entry,))
    if isinstance(entry.payload, kinds.Correction | kinds.SplitOff):  # they change what earlier entries say
        return fold((*case.entries, entry))
    if (entry.case, entry.number) != (case.id, case.number + 1):
        raise ValueError("entries are missing, or belong to another case")
    case = at_work(step(case, entry, entry.payload), entry)
    return structs.replace(case, number=entry.number, entries=(*case.entries, entry))


def day_of(at: int) -> str:
    """The day (UTC) of a moment in microseconds, as ids of cases have it: ``20261123``."""
    return hour(at)[:10].replace("-", "")


def case_of(act: Act) -> str:
    """The id of the case that a person opens or splits off with `act`: who splits names it in what they sign."""
    return case_id(act.region, day_of(act.made_at * MICRO), act.nonce.encode())
