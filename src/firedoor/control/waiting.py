"""The signed requests of a region that wait for a second person."""

from __future__ import annotations

from firedoor.control.keeper import Keeper
from firedoor.core.switches import Scope
from firedoor.core.switchstate import Pending
from firedoor.errors import ActRefused


class Waiting:
    """What waits, kept by `keeper` with the table; the notes are here only, for as long as this process runs."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._notes: dict[str, str] = {}

    def all(self) -> list[tuple[Pending, str | None]]:
        """What waits, oldest first, each with its note (None after a restart: it is sealed in the evidence)."""
        self.drop([p for p in self._keeper.pending.values() if p.signed.act.expires_at < self._keeper.now])
        return [(p, self._notes.get(p.id)) for p in self._keeper.pending.values()]

    def find(self, request_id: str) -> Pending:
        """The request of this id. Raises `ActRefused`."""
        pending = self._keeper.pending.get(request_id)
        if pending is None:
            raise ActRefused(
                "unknown_request",
                "No such request waits.",
                remedy="It was approved, it expired, or a new shut withdrew it: see `firedoor requests`.",
            )
        return pending

    def add(self, pending: Pending, note: str) -> None:
        """Have `pending` wait."""
        self._keeper.pending[pending.id] = pending
        self._notes[pending.id] = note
        self._keeper.changed()

    def withdraw(self, scope: Scope) -> None:
        """A new reason to shut `scope` ends the requests that would open it: they were made without knowing."""
        self.drop([p for p in self._keeper.pending.values() if p.signed.act.scope.covers(scope)])

    def withdraw_exactly(self, scope: Scope) -> None:
        """The same of the requests for `scope` itself only."""
        self.drop([p for p in self._keeper.pending.values() if p.signed.act.scope == scope])

    def drop(self, gone: list[Pending]) -> None:
        """Have these wait no more."""
        for pending in gone:
            self._keeper.pending.pop(pending.id, None)
            self._notes.pop(pending.id, None)
            self._keeper.changed()
