"""Says a region's table: signed, to this host first, then to all others on the bus. See `ports.TableOutput`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import structs

from firedoor.core import topics
from firedoor.core.crossing import GLOBAL_DOMAIN, GlobalSaid, encode
from firedoor.core.people import Signed
from firedoor.core.switches import MAX_SWITCHES, GlobalTable, Table, global_part
from firedoor.core.switchtable import Said, seal
from firedoor.errors import TableRefused
from firedoor.ports.bus import Bus
from firedoor.ports.switches import TableSigner

Take = Callable[[bytes], None]


class Announcer:
    """Says each table as `switchtable.Said`, and what of it holds in all regions as `crossing.GlobalSaid` if `home`.

    `local` and `local_global` take the same bytes on this host, before anything goes to the bus, where control is the
    host's switch agent too; what they raise passes. `echo` tells how far each host was heard. `sure` tells whether no
    other control of the region can have taken over: if one may have, nothing is said to the other regions, which take
    the global table without proof of what it opens.
    """

    def __init__(
        self,
        *,
        signer: TableSigner,
        bus: Bus,
        home: bool,
        echo: Callable[[], dict[str, int]] = dict,
        sure: Callable[[], bool] = lambda: True,
        local: Take | None = None,
        local_global: Take | None = None,
    ) -> None:
        self._signer = signer
        self._bus = bus
        self._home = home
        self._echo = echo
        self._sure = sure
        self._local = local
        self._local_global = local_global
        self._table: Table | None = None
        self._opened: tuple[Signed, ...] = ()
        self._beat = -1

    @property
    def beats(self) -> int:
        """The beat that was said last, -1 before the first."""
        return self._beat

    def publish(self, table: Table, opened: Sequence[Signed]) -> None:
        """See the port. A new version begins with beat 0."""
        if self._table is None or table.version != self._table.version:
            self._beat = -1
        self._table, self._opened = table, tuple(opened)
        self.beat()

    def beat(self) -> None:
        """See the port."""
        table = self._table
        if table is None:
            return
        self._beat += 1
        said = self._sealed(Said(table, self._beat, self._opened, self._echo()))
        everywhere = self._global(table) if self._home and self._sure() else None
        if self._local is not None:
            self._local(said)
        if self._local_global is not None and everywhere is not None:
            self._local_global(everywhere)
        self._bus.publish(topics.table(table.region), said)
        if everywhere is not None:
            self._bus.publish(topics.GLOBAL, everywhere)

    def _sealed(self, said: Said) -> bytes:
        """The signed bytes. A table that must be said is said with fewer proofs rather than not at all."""
        while True:
            try:
                return seal(said, self._signer.sign, self._signer.key)
            except TableRefused:
                if not said.opened:
                    raise
                said = structs.replace(said, opened=said.opened[(len(said.opened) + 1) // 2 :])

    def _global(self, table: Table) -> bytes:
        said = GlobalSaid(_fitting(global_part(table)), self._beat, self._signer.key, b"")
        signature = self._signer.sign(GLOBAL_DOMAIN + said.content)
        return encode(structs.replace(said, signature=signature))


def _fitting(everywhere: GlobalTable) -> GlobalTable:
    """The same, without what another switch covers if there are more than one message takes: then all is shut."""
    shut = everywhere.shut
    if len(shut) <= MAX_SWITCHES:
        return everywhere
    kept = tuple(s for s in shut if not any(o is not s and o.scope.covers(s.scope) for o in shut))
    return structs.replace(everywhere, shut=kept)
