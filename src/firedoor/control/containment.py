"""Shuts what a case asks to be shut, and begins a cache epoch for it: through the switchboard, without waiting."""

from __future__ import annotations

from typing import Final

from msgspec import structs

from firedoor.control.switchboard import Switchboard
from firedoor.core.incident.case import Case
from firedoor.core.incident.entries import MICRO, Contained
from firedoor.core.incident.steps import SLACK, Region, is_leak, newest_leak, to_contain
from firedoor.core.switches import Reason, Scope, check_scope, where_found
from firedoor.core.switchstate import AUTOMATIC, Entry
from firedoor.errors import ActRefused

_EMPTIES: Final[frozenset[str]] = frozenset({"leak", "suspicion"})
"""Reasons of a shut that begins a new cache epoch by itself: see `core.switches.shut`."""


class Containment:
    """Of one region. What is shut already, by whomever, is only told; a leak's door the switchboard shut before."""

    def __init__(self, board: Switchboard, region: Region) -> None:
        self._board = board
        self._region = region

    def contain(self, case: Case) -> list[Contained]:
        """Shut the scopes that are not known to be shut, and say by which switch each of them is; at once.

        Where nothing is asked, that is said. Raises `ActRefused` for a scope that lies in another region or not in the
        plan: no switch is a guess.
        """
        wanted = to_contain(case, self._region)
        if not wanted:
            found = self._covering(case, where_found(case.opened.scope, self._region.name), 0)
            return [structs.replace(found, asked=False) if found is not None else Contained(asked=False)]
        told: dict[tuple[str, int], Contained] = {}
        refused: ActRefused | None = None
        for text in wanted:
            try:
                one = self._shut(case, text)
                before = told.get((one.scope, one.version), one)
                told[one.scope, one.version] = structs.replace(one, at=max(one.at, before.at))
            except ActRefused as error:  # the others are shut all the same; this one is asked for again
                refused = error
        if refused is not None and not told:
            raise refused
        return list(told.values())

    def cache_epoch(self, case: Case) -> int:
        """The cache epoch in which no answer is given that was kept before the case was contained, the last time.

        The shut for a leak began one. After any other, and where nobody can say, a new one begins: doing it twice
        costs some answers that are asked for again.
        """
        keeper, shuts = self._board.keeper, [e.payload for e in case.entries if isinstance(e.payload, Contained)]
        version = max((one.version for one in shuts), default=-1)  # what was shut before it goes with its epoch
        by_shut = any(e.version == version and e.reason in _EMPTIES and e.by and e.drill is None for e in keeper.trail)
        if version < 0 or not by_shut:
            keeper.take(structs.replace(keeper.table, cache_epoch=keeper.table.cache_epoch + 1))
            self._board.settle_soon()
        return keeper.table.cache_epoch

    def _shut(self, case: Case, text: str) -> Contained:
        scope, leaked = self._scope(case, text), newest_leak(case, text)
        found = self._covering(case, scope, leaked)
        if found is None:
            draft = self._draft(case, text, scope)
            keeper = self._board.keeper
            shut = keeper.shut(draft) if draft.drill is None else keeper.shut_in_drill(draft)
            self._board.waiting.withdraw(shut.scope if shut is not None else scope)
            self._board.settle_soon()
            found = self._covering(case, scope, leaked)
        if found is None:
            raise ActRefused("not_shut", f"{scope} could not be shut.")
        return structs.replace(found, at=max(found.at, leaked))  # what leaked last did so before the door held

    def _scope(self, case: Case, text: str) -> Scope:
        """What a worker found is taken as the switches take it; anything else must name what there is."""
        region = self._region.name
        if is_leak(case, text):
            return where_found(text, region)
        scope = Scope.parse(text)
        check_scope(self._board.loaded.plan, region, scope)
        if scope.region != region:
            raise ActRefused("other_region", f"{scope} does not lie in region {region}.")
        return scope

    def _draft(self, case: Case, text: str, scope: Scope) -> Entry:
        drill = case.opened.drill
        reason: Reason = "drill" if drill is not None else "leak" if is_leak(case, text) else "suspicion"
        exchange = next((one.exchange for one in case.found if one.scope == text and one.exchange), "")
        return Entry(
            state="shut", scope=scope, reason=reason, cause="finding", at=self._board.keeper.now, by=AUTOMATIC,
            exchange=exchange[:64], incident=case.id, drill=drill,
        )  # fmt: skip

    def _covering(self, case: Case, scope: Scope, leaked: int) -> Contained | None:
        """The oldest switch that covers `scope`; else the newest shut of it for this case, though people opened it:
        unless it leaked after that, at `leaked`.
        """
        keeper, drill = self._board.keeper, case.opened.drill
        switches = keeper.table.shut if drill is None else keeper.table.drills
        held = [s for s in switches if s.drill == drill and s.scope.covers(scope)]
        if held:
            oldest = min(held, key=lambda s: (s.since, s.version))
            return _told(oldest.scope, oldest.version, oldest.since)
        found = {(one.slot, one.seq) for one in case.found}
        for entry in reversed(keeper.trail):
            if _micro(entry.at) < leaked - SLACK:
                continue
            ours = entry.incident == case.id or (entry.slot, entry.seq) in found or _micro(entry.at) >= case.opened_at
            if entry.state == "shut" and entry.drill == drill and ours and entry.scope.covers(scope):
                return _told(entry.scope, entry.version, entry.at)
        return None


def _told(scope: Scope, version: int, since: float) -> Contained:
    return Contained(scope=str(scope), version=version, at=_micro(since))


def _micro(seconds: float) -> int:
    return int(seconds * MICRO)
