"""What a host's workers found, for the region's control: confirmed leaks from the host's journals.

The journal is the queue. A report is made from a durable record, and said again until the region's table knows of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Final

from firedoor.core.evidence.leaf import Leaf
from firedoor.core.hosts import REPORTS, Report
from firedoor.core.switches import where_found
from firedoor.ports.evidence import Journals

BATCH: Final = 1000
"""Records read at a time."""
BATCHES: Final = 4
"""Batches between two messages: a long backlog must not keep the tables waiting that come meanwhile."""
WAITING: Final = 4096
"""Reports that may wait for control before no more are read: they lie safe in the journals."""

_EXCHANGE: Final = 64


class Reporter:
    """The confirmed leaks of one host that its region's control does not know of yet. Used from one event loop.

    `behind` says that the last look did not come to the end of the journals, though there is room: look again soon.
    """

    def __init__(self, journals: Journals, region: str) -> None:
        self._journals = journals
        self._region = region
        self._waiting: deque[Report] = deque()
        self._read: dict[str, int] = {}
        self.behind = False

    def begin(self, absorbed: Mapping[str, int]) -> set[str]:
        """Begin after what control knows: `absorbed` are this host's slots in the first table that was taken.

        Returns the slots that hold another journal now, which begins anew: what the table knows of the old one says
        nothing of it. Raises `EvidenceDamaged`, OSError.
        """
        return self._journals.open(absorbed)

    @property
    def cursors(self) -> dict[str, int]:
        """How far each journal that was read here needs not be read again: no report up to there waits any more."""
        cursors = dict(self._read)
        for report in self._waiting:
            cursors[report.slot] = min(cursors[report.slot], report.seq - 1)
        return {slot: seq for slot, seq in cursors.items() if seq >= 0}

    def look(self, absorbed: Mapping[str, int]) -> tuple[Report, ...]:
        """The oldest reports that `absorbed` does not cover, as many as one message takes.

        Raises `EvidenceDamaged` and OSError if the journals cannot be read: stop then, so that AI goes off.
        """
        ended = False
        for _ in range(BATCHES):
            if len(self._waiting) >= WAITING:
                break
            leaves = self._journals.read(BATCH)
            self._waiting += (self._report(leaf) for leaf in leaves if is_leak(leaf))
            self._read |= {leaf.slot: leaf.seq for leaf in leaves}
            if not leaves:
                ended = True
                break
        self.behind = not ended and len(self._waiting) < WAITING
        if self._waiting:
            self._waiting = deque(r for r in self._waiting if r.seq > absorbed.get(r.slot, -1))
        return tuple(self._waiting)[:REPORTS]

    def _report(self, leaf: Leaf) -> Report:
        scope = where_found(str(leaf.facts.get("scope")), self._region)
        return Report(leaf.slot, leaf.seq, str(scope), leaf.exchange[:_EXCHANGE])


def is_leak(leaf: Leaf) -> bool:
    """Whether a worker confirmed a leak in an answer."""
    return leaf.kind == "finding" and leaf.facts.get("verdict") == "shut"
