"""Who is affected, in a region: its index, the ends of its journals that are not in it yet, and what is missing."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Final

from firedoor.app.affected_ends import TAIL, Ends, read_ends
from firedoor.app.affected_survey import AffectedSubject, Survey
from firedoor.app.hostpart import known_host_part
from firedoor.app.indexplace import read_index
from firedoor.config import RegionHome
from firedoor.core.evidence.exchanges import fold
from firedoor.core.evidence.questions import LONGEST
from firedoor.core.incident.affected import NOBODY_KNOWS, Affected, AskedFor, Unknown
from firedoor.core.incident.counting import Doubt
from firedoor.core.plan.model import Region
from firedoor.errors import SetupError, StateUnavailable
from firedoor.store.index_affected import Part

MICRO: Final = 1_000_000
LAG: Final = 10 * MICRO
"""Microseconds that the index of another host may be behind: it says every two seconds that it is not."""


class Counter:
    """See `firedoor.ports.incidents.AffectedSource`. Every call opens the index anew; several threads may call."""

    def __init__(
        self,
        place: RegionHome,
        declared: Region | None,
        silent: Callable[[], Collection[str]],
        now_ns: Callable[[], int],
        tail: int,
    ) -> None:
        self._place = place
        self._declared = declared
        self._silent = silent
        self._now_ns = now_ns
        self._tail = tail

    def count(self, asked: AskedFor) -> Affected:
        """See the Protocol."""
        began = time.perf_counter()
        now = self._now_ns() // 1000
        with self._surveyed(asked) as (survey, ends, parts):
            silent = self._unheard(asked, parts, now)
            tally, apart = survey.tally, survey.blank + survey.not_found
            known = ends.unread + (ends.missing or 0)
            doubt = Doubt(None if silent or ends.missing is None else known + apart, known)
            unknown: dict[Unknown, int | None] = {
                "open_or_unknown": tally.doubts["open_or_unknown"] + survey.blank,
                "no_subject": tally.doubts["no_subject"],
                "erased_subject": tally.doubts["erased_subject"],
                "lost_subject": tally.doubts["lost_subject"],
                "not_indexed": ends.unread + survey.not_found,
                "log_missing": ends.missing,
                "host_silent": NOBODY_KNOWS if silent else 0,
                "not_seen": tally.doubts["not_seen"] + survey.blank,
            }
            return Affected(
                asked=asked,
                as_of=now,
                exchanges=tally.exchanges(doubt),
                exposed=tally.exposed(doubt),
                confirmed=tally.confirmed(doubt),
                subjects=tally.subjects(doubt),
                exposed_subjects=tally.exposed_subjects(doubt),
                jurisdictions=tally.jurisdictions(doubt),
                categories=tally.categories(doubt),
                subjects_by_category=tally.subjects_by_category(doubt),
                recipients=tally.recipients(doubt),
                findings=dict(sorted(survey.rules.items(), key=lambda item: (-item[1], item[0]))),
                unknown={why: number for why, number in unknown.items() if number != 0},
                read_up_to=self._read_up_to(parts, ends),
                took=round(time.perf_counter() - began, 3),
            )

    def affected_subjects(self, asked: AskedFor) -> Iterator[AffectedSubject]:
        """The known shoppers of the exchanges in question, each once, streaming. Raises as `count`.

        Those whose key was erased or is lost, and those of exchanges that name nobody, are not among them.
        """
        with self._surveyed(asked) as (survey, _, _):
            yield from survey.people()

    @contextmanager
    def _surveyed(self, asked: AskedFor) -> Iterator[tuple[Survey, Ends, list[Part]]]:
        try:
            index = read_index(self._place, self._declared)
        except SetupError as error:
            raise StateUnavailable(error.message, remedy=error.remedy) from error
        try:
            with index.parts() as (connection, tables):
                parts = [Part(connection, of, host) for host, of in tables.items()]
                own = self._own(parts)
                known = {slot: (seq, prev) for slot, seq, prev in own.slots.values()} if own is not None else {}
                # The journals are read after the snapshot was taken: they are ahead of it, never behind.
                ends = read_ends(self._place, known, lambda slot: own is None or _matters(own, slot, asked), self._tail)
                if own is None:  # nothing of this host is in the index: what its journals hold is only counted
                    ends.unread += len(ends.leaves)
                    ends.leaves.clear()
                yield Survey(asked, parts, own, fold(ends.leaves), self._place.subjects), ends, parts
        finally:
            index.close()

    def _own(self, parts: list[Part]) -> Part | None:
        """What this host wrote; None if it has not written any yet."""
        if len(parts) == 1 and not parts[0].host:
            return parts[0]
        host = known_host_part(self._place)
        return next((part for part in parts if part.host == host), None)

    def _unheard(self, asked: AskedFor, parts: list[Part], now: int) -> bool:
        """Whether another host may have records in question that nobody here knows of."""
        own = self._own(parts)
        needed = now - LAG if asked.until is None else min(asked.until + LONGEST, now - LAG)
        for part in parts:
            if part is not own and (part.caught_up is None or part.caught_up < needed):
                return True
        return bool(set(self._silent()) - {part.host for part in parts})

    def _read_up_to(self, parts: list[Part], ends: Ends) -> dict[str, int]:
        own = self._own(parts)
        found: dict[str, int] = {}
        for part in parts:
            before = f"{part.host}/" if part.host else ""
            slots = ends.read_up_to if part is own else {slot: seq for slot, seq, _ in part.slots.values()}
            found |= {before + slot: seq for slot, seq in slots.items()}
        return dict(sorted(found.items()))


def _matters(part: Part, slot: str, asked: AskedFor) -> bool:
    """Whether a record of `slot` after the last known one may be of an exchange in question.

    Time does not go back, and an exchange that began before the end of the time in question is over `LONGEST` later.
    """
    if asked.until is None:
        return True
    last = part.last_of(slot)
    return last is None or last < asked.until + LONGEST


def affected_source(
    place: RegionHome,
    declared: Region | None,
    *,
    silent: Callable[[], Collection[str]] = frozenset,
    now_ns: Callable[[], int] = time.time_ns,
    tail: int = TAIL,
) -> Counter:
    """Of the region at `place`; `declared` is what the plan says of it.

    `silent` gives the names of the region's hosts that are known and were not heard of lately, `tail` is how many
    records beyond the index are read to be counted exactly.
    """
    return Counter(place, declared, silent, now_ns, tail)
