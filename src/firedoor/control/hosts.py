"""What the hosts of a region say to its control: that they live, what they show, what must be shut.

Nothing that a host says opens a door. What it shuts, its control shuts for all hosts.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable

from msgspec import Struct

from firedoor.control.switchboard import Switchboard
from firedoor.core.following import possible, widest
from firedoor.core.hosts import HostSaid, unseal
from firedoor.core.switches import ANY, MAX_SWITCHES, Switch, Table, forget_slots
from firedoor.errors import TableRefused

log = logging.getLogger("firedoor.control")

HOSTS = 256
"""Hosts of one region that are known at a time: their echo and their findings fit into one message."""

LIVING = 10.0
"""Seconds without a message after which a host is not echoed any more, and its SHUT file keeps nobody from opening."""


class Host(Struct, frozen=True):
    """The newest message of a host, and when it came (seconds on the clock of `Hosts`)."""

    said: HostSaid
    at: float


class Hosts:
    """The hosts that were heard. `key` is the region's key for their messages, `boottime` seconds that never stop.

    `ask` is called when a host wants the table now, `beat` tells which beat of the present table was said last.
    `counts` counts what came, by what became of it.
    """

    def __init__(
        self,
        region: str,
        key: bytes,
        board: Switchboard,
        boottime: Callable[[], float],
        *,
        ask: Callable[[], None],
        beat: Callable[[], int],
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._region = region
        self._key = key
        self._board = board
        self._boottime = boottime
        self._ask = ask
        self._beat = beat
        self._known: dict[str, Host] = {}
        board.latched_hosts = self.latched

    def take(self, data: bytes) -> None:
        """Take in a message. What is no message of a host of this region, or came before, is counted and left.

        Raises OSError if not even this host can be told of a shut: stop then.
        """
        try:
            said = unseal(data, self._key)
        except TableRefused as error:
            self.counts[error.code] += 1
            return
        code = self._refusal(said)
        self.counts[code or "taken"] += 1
        if code:
            return
        self._known[said.host] = Host(said, self._boottime())
        self._shut(said)
        heal(self._board, said.version, said.beat, said.kept, beat=self._beat(), split=said.refused == "split")
        self._board.settle_soon()
        if said.ask:
            self._ask()

    def echo(self) -> dict[str, int]:
        """The count of the newest message of each host that was heard lately."""
        return {name: host.said.count for name, host in self._living()}

    def latched(self) -> list[str]:
        """The hosts that were heard lately whose SHUT file is or was there, and that did not see it taken up."""
        return [name for name, host in self._living() if host.said.latched]

    def heard(self) -> list[tuple[HostSaid, float]]:
        """The newest message of every host that is known, by name, and how many seconds ago it came."""
        now = self._boottime()
        return [(host.said, now - host.at) for _, host in sorted(self._known.items())]

    def _living(self) -> list[tuple[str, Host]]:
        since = self._boottime() - LIVING
        return [(name, host) for name, host in self._known.items() if host.at >= since]

    def _refusal(self, said: HostSaid) -> str:
        """Why a message is not taken; empty if it is."""
        if said.region != self._region:
            return "other_region"
        if not all(map(possible, said.kept)):  # in our table it would keep every host from taking it
            return "malformed"
        known = self._known.get(said.host)
        if known is not None:
            # A host that was started again with its clock set back counts from below; alive, it is never silent.
            lives = known.at >= self._boottime() - LIVING
            if not lives or said.count > known.said.count:
                return ""
            if not self.counts["replayed"]:
                log.warning("messages of host %s are played again, or two hosts are called so: one is stale", said.host)
            return "replayed"
        if len(self._known) >= HOSTS:
            name, oldest = min(self._known.items(), key=lambda item: item[1].at)
            if oldest.at >= self._boottime() - LIVING:
                return "too_many_hosts"
            del self._known[name]
        return ""

    def _shut(self, said: HostSaid) -> None:
        if said.begun:
            gone = [f"{said.host}/{slot}" for slot in said.begun]
            self._board.keeper.take(forget_slots(self._board.table, gone))
        for report in sorted(said.reports, key=lambda r: (r.slot, r.seq)):
            self._board.findings.leak(f"{said.host}/{report.slot}", report.seq, report.scope, report.exchange)
        if said.latched:
            self._board.findings.latch()


def heal(
    board: Switchboard, version: int, beat_shown: int, kept: Iterable[Switch], *, beat: int, split: bool = False
) -> None:
    """Meet what a host shows: shut what it keeps shut without our knowing, go on above it if it saw a newer table.

    So a control process that was put back to an older copy of its state is believed again, and has opened nothing: in
    this order, because the other regions take the global table as it comes.
    """
    ours = board.table.version
    behind = (version, beat_shown) > (ours, beat) or (split and version == ours)
    lacking = [switch for switch in kept if _lacks(board, switch)]
    table = board.table
    if lacking and len({s.scope for s in (*table.shut, *lacking)}) > MAX_SWITCHES:
        board.findings.shut_all("suspicion", widest(lacking, board.region))
    elif lacking:
        for entry in board.keeper.join(Table(board.region, 0, table.plan, tuple(lacking))):
            board.waiting.withdraw(entry.scope)
    if behind:
        board.keeper.raise_above(version, forgot=split or version > ours)


def _lacks(board: Switchboard, kept: Switch) -> bool:
    """Whether our table has neither this shut nor a later one of its scope, nor can prove that it was opened."""
    if kept.scope.region not in (board.region, ANY):
        return False
    proof = board.keeper.proof(kept.scope, kept.version)
    if proof is not None:
        board.keeper.prove(proof)
        return False
    return all(s.scope != kept.scope or s.version < kept.version for s in board.table.shut)
