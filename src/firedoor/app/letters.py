"""Who is to be written to (GDPR Art. 34): two persons let a shop's own list be compared with who is affected by a case.

Firedoor knows shoppers by keyed pseudonyms only. The shop brings its list of ids; their pseudonyms are reckoned with
the region's key, and those that are affected go to a file that nobody but its owner can read. What the two persons sign
names the case, the exchanges it asks for, and exactly this list: it opens no bodies, and a request for bodies opens no
list. Nothing of it is printed but counts, and every use is on record before it begins.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
from array import array
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import msgspec
import numpy as np
from msgspec import Struct

from firedoor.app.affected_survey import AffectedSubject
from firedoor.app.customerlist import customer_ids, list_digest
from firedoor.app.reading import Desk, code_or_unknown
from firedoor.core.evidence.bundle import Selection
from firedoor.core.incident.affected import Affected, AskedFor, Unknown
from firedoor.core.incident.case import Case
from firedoor.core.incident.rights import may_see
from firedoor.core.incident.steps import Region, to_count
from firedoor.core.people import MAY_APPROVE_READING, Signature, Signed
from firedoor.core.plan.model import Plan
from firedoor.errors import ActRefused
from firedoor.keys.derive import WorkerKeys
from firedoor.store.files import write_all
from firedoor.store.grants import Grant, is_about_letters
from firedoor.store.sealedfile import fresh_file

PART: Final = 10_000
"""Ids of the list compared at a time."""
HEAD: Final = ("id", "exposed", "confirmed", "jurisdictions", "categories")
"""The columns of the file."""

_PURPOSE: Final = b"firedoor/letters/1\n"


class PeopleSource(Protocol):
    """Who is affected: see `firedoor.app.affected`. Both raise `StateUnavailable`, `StateDamaged`, OSError."""

    def count(self, asked: AskedFor) -> Affected:
        """How many, and what nobody can know."""
        ...

    def affected_subjects(self, asked: AskedFor) -> Iterator[AffectedSubject]:
        """Each known shopper once."""
        ...


class Wanted(NamedTuple):
    """What is asked for: who of the list `customers` is among the shoppers of `asked`, because of `case`."""

    case: str
    asked: AskedFor
    customers: Path
    column: str | None
    selection: Selection


class Written(Struct, frozen=True, kw_only=True):
    """Counts of shoppers: `affected` are known as pseudonyms; of them `written` are in the list and the file, and
    `not_listed` are not. `listed` ids were compared. `never` says how many exchanges or records are behind each doubt
    that no list can resolve (None: nobody knows).
    """

    listed: int
    affected: int
    written: int
    not_listed: int
    exposed: int
    confirmed: int
    never: dict[Unknown, int | None]


def wanted(case: Case, region: str, plan: Plan, customers: Path, column: str | None = None) -> Wanted:
    """The exact request for letters about `case`. Raises `SetupError` if the list cannot be read."""
    asked = to_count(case, Region(region, int(plan.incidents.lookback)))
    question = msgspec.json.encode(asked, order="sorted").decode()
    parts = (case.id, question, list_digest(customers), column or "")
    digest = hashlib.sha256(_PURPOSE + "\n".join(parts).encode()).hexdigest()
    # No exchange is called like this: what is agreed here lets nobody read a body.
    return Wanted(case.id, asked, customers, column, Selection(exchanges=(f"letters:{digest}",), incident=case.id))


def ask(desk: Desk, case: Case, what: Wanted, signed: Signed, note: str) -> Grant:
    """Take in the first person's request. Raises as `Desk.request`."""
    check_person(desk, case, signed.act.by)
    return desk.request(signed, what.selection, note)


def agree(desk: Desk, case: Case, grant: Grant, signature: Signature) -> Grant:
    """Take in the second person's agreement. Raises as `Desk.approve`."""
    if not is_about_letters(grant) or grant.selection.incident != case.id:
        raise ActRefused("other_request", f"Request {grant.id} is not about letters of case {case.id}.")
    check_person(desk, case, signature.by)
    return desk.approve(grant.id, signature)


def write_people(desk: Desk, source: PeopleSource, what: Wanted, grant_id: str, out: Path) -> Written:
    """Write who of the list is affected to `out`, a new file of mode 0600. On record before it begins.

    Raises `ActRefused` (recorded, too), `SetupError`, `StateUnavailable`, `StateDamaged`, OSError; then there is none.
    """
    facts = {"grant": code_or_unknown(grant_id), "incident": what.case}
    try:
        grant = desk.allowed(grant_id)
        if grant.selection != what.selection:
            raise ActRefused(
                "other_request",
                "The two persons agreed on another list, or the case is about more by now.",
                remedy="Ask again: firedoor incident people CASE --customers FILE --note WHY --as YOU",
            )
    except ActRefused as error:
        desk.refused("read_bodies", error.code, dict(facts))
        raise
    desk.record_reading(grant, {"what": "letters", "incident": what.case})
    with fresh_file(out) as file:
        os.fchmod(file, 0o600)
        people = _People(source.affected_subjects(what.asked))
        listed = people.compare(customer_ids(what.customers, what.column), desk.ring.worker(), file)
        counted = source.count(what.asked)
    return people.written(listed, counted)


def check_person(desk: Desk, case: Case, by: str) -> None:
    """Who asks and who agrees may see the case, and holds a role that answers for it."""
    person = desk.loaded.plan.people.get(by)
    code = None
    if person is not None and MAY_APPROVE_READING.isdisjoint(person.roles):
        code = "role_missing"
    elif not may_see(case, by, desk.loaded.plan):
        code = "may_not_see"
    if code is not None:
        desk.refused("read_bodies", code, {"by": code_or_unknown(by), "incident": case.id})
        raise ActRefused(
            code,
            f"{by} may not have people of case {case.id} looked up.",
            remedy=f"It takes somebody who may see the case and is one of: {', '.join(sorted(MAY_APPROVE_READING))}.",
        )


class _People:
    """The affected shoppers, by pseudonym, in about 25 bytes each; and which of them the list named."""

    def __init__(self, subjects: Iterable[AffectedSubject]) -> None:
        keys, flags, told = bytearray(), array("B"), array("I")
        self._told: list[tuple[str, str]] = []
        known: dict[tuple[tuple[str, ...], tuple[str, ...]], int] = {}
        for one in subjects:
            keys += bytes.fromhex(one.lookup)
            flags.append(one.exposed + 2 * one.confirmed)
            both = one.jurisdictions, one.categories
            if both not in known:
                known[both] = len(self._told)
                self._told.append((" ".join(one.jurisdictions), " ".join(one.categories)))
            told.append(known[both])
        unsorted = np.frombuffer(bytes(keys), "S16")
        order = np.argsort(unsorted)
        self._keys = unsorted[order]
        self._flags = np.array(flags, np.uint8)[order]
        self._which = np.array(told, np.uint32)[order]
        self._named = np.zeros(len(self._keys), np.bool_)

    def compare(self, ids: Iterator[str], keys: WorkerKeys, file: int) -> int:
        """Write those of `ids` that are affected, each once; how many ids there were."""
        write_all(file, _csv([HEAD]))
        listed = 0
        while part := list(islice(ids, PART)):
            listed += len(part)
            write_all(file, _csv(self._rows(part, keys)))
        return listed

    def written(self, listed: int, counted: Affected) -> Written:
        """What came of it."""
        named = int(np.count_nonzero(self._named))
        flags = self._flags[self._named]
        return Written(
            listed=listed,
            affected=len(self._keys),
            written=named,
            not_listed=len(self._keys) - named,
            exposed=int(np.count_nonzero(flags & 1)),
            confirmed=int(np.count_nonzero(flags & 2)),
            never={why: number for why, number in counted.unknown.items() if number != 0 and why != "not_seen"},
        )

    def _rows(self, ids: list[str], keys: WorkerKeys) -> Iterator[tuple[str, ...]]:
        if not len(self._keys):
            return
        # A header's bytes are taken as Latin-1 by the gateway; a shop's server may have written them in UTF-8.
        spelt = [id_.encode("utf-8", "surrogatepass").decode("latin-1") for id_ in ids]
        yield from self._found(ids, spelt, keys)
        if spelt != ids:
            yield from self._found(ids, ids, keys)

    def _found(self, ids: list[str], texts: list[str], keys: WorkerKeys) -> Iterator[tuple[str, ...]]:
        pseudonyms = b"".join(bytes.fromhex(keys.pseudonym("subject", text)) for text in texts)
        wanted_keys = np.frombuffer(pseudonyms, "S16")
        at = np.searchsorted(self._keys, wanted_keys)
        at[at == len(self._keys)] = 0
        for row in np.flatnonzero(self._keys[at] == wanted_keys).tolist():
            found = int(at[row])
            if self._named[found]:
                continue  # the list names a shopper twice
            self._named[found] = True
            flags = int(self._flags[found])
            yes = tuple("yes" if flags & bit else "no" for bit in (1, 2))
            yield (ids[row], *yes, *self._told[int(self._which[found])])


def _csv(rows: Iterable[Iterable[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode("utf-8", "surrogatepass")
