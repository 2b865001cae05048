"""What a host believes of the tables it is told: the newest one, and nothing opened that two people did not open. Pure.

A table is refused if it is older than the one before, or says something else under the same version. A switch that is
no longer in it stays shut on this host until the table proves the opening: the request of two persons, who signed
exactly this scope and the version of this shut. So neither a replay, nor a control process that was taken over or put
back to an old copy of its state, opens a door; what it still shuts counts at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct, structs

from firedoor.core.people import Signed, verify_opening
from firedoor.core.plan.model import Loaded
from firedoor.core.switches import ANY, INCIDENT, KEY_ID, MAX_SWITCHES, GlobalTable, Scope, Shown, Switch, Table
from firedoor.core.switchtable import Said
from firedoor.errors import ActRefused, TableRefused

LAST = 1 << 53
"""Versions and beats are at most this: every reader of JSON keeps them whole, and a count of changes stays far below.

As a beat it is above all others: what a host put together for itself is followed only by a table of a higher version.
"""

_NONE = (-1, -1)
_TEXT = 64  # an exchange, a drill
_KEYS = 2


class Belief(Struct, frozen=True):
    """What a host believes. `kept` are switches that its control no longer knows of, without proof of an opening.

    `floor` and `epoch` are the version and the cache epoch that an earlier process showed: workers that saw them take
    nothing below.
    """

    table: Table | None = None
    beat: int = -1
    kept: tuple[Switch, ...] = ()
    everywhere: GlobalTable | None = None
    global_beat: int = -1
    floor: int = -1
    epoch: int = 0

    @property
    def taken(self) -> int:
        """The version of the table that was taken last, -1 before the first."""
        return self.table.version if self.table is not None else -1

    @property
    def version(self) -> int:
        """The version that is shown: no table below it is taken. -1 before the first."""
        return max(self.floor, self.taken)

    def shown(self, absorbed: Mapping[str, int]) -> Shown | None:
        """What to show to the workers: all that is shut, and `absorbed`, how far their journals were read.

        None before the first table.
        """
        if self.table is None:
            return None
        table = structs.replace(
            self.table,
            version=self.version,
            shut=(*self.table.shut, *self.kept),
            absorbed=dict(absorbed),
            cache_epoch=max(self.epoch, self.table.cache_epoch),
        )
        return Shown(table, self.everywhere)


def take(belief: Belief, said: Said, loaded: Loaded, region: str) -> Belief:
    """What to believe after `said`, which the region's control signed. Raises `TableRefused`; then nothing changes.

    ``again`` is the code of a message that was taken before: it came on two ways.
    """
    new, old = said.table, belief.table
    if new.region != region:
        raise TableRefused("other_region", f"A switch table of region {new.region} came to region {region}.")
    if new.version < belief.floor:
        raise TableRefused("older", f"A switch table of version {new.version} came after {belief.floor}.")
    last = (old.version, belief.beat) if old is not None else _NONE
    _check_order(last, (new.version, said.beat), new == old)
    if old is not None and new.version == old.version:
        return structs.replace(belief, beat=said.beat)
    if not all(map(possible, new.shut)):
        raise TableRefused("malformed", "A switch table holds a switch that cannot be.")
    before = (*(old.shut if old is not None else ()), *belief.kept)
    kept = _bounded(_unproven(_missing(before, new.shut), said, loaded, region), region)
    return structs.replace(belief, table=new, beat=said.beat, kept=kept)


def take_global(belief: Belief, table: GlobalTable, beat: int, home: str | None) -> Belief:
    """What to believe after the global table, which the control of `home` signed. Raises `TableRefused`.

    Its openings are proven in its own region only: persons' names do not pass to another.
    """
    old = belief.everywhere
    if table.home != home:
        raise TableRefused("other_region", f"Region {table.home} does not keep the switches of all regions.")
    last = (old.version, belief.global_beat) if old is not None else _NONE
    _check_order(last, (table.version, beat), table == old)
    return structs.replace(belief, everywhere=table, global_beat=beat)


def remember(belief: Belief, shut: Iterable[Switch], region: str) -> Belief:
    """What to believe when these switches are known to have been shut: those that it does not hold are kept."""
    held = (*(belief.table.shut if belief.table is not None else ()), *belief.kept)
    missing = _missing(shut, held)
    return structs.replace(belief, kept=_bounded((*belief.kept, *missing), region)) if missing else belief


def resume(belief: Belief, shown: Table, region: str) -> Belief:
    """What to believe when an earlier process showed this. A page older than `belief` was only lost on its way to the
    disk, and says nothing.
    """
    if shown.version < belief.version:
        return belief
    belief = remember(belief, shown.shut, region)
    return structs.replace(belief, floor=shown.version, epoch=shown.cache_epoch)


def remember_global(belief: Belief, shown: Iterable[GlobalTable], home: str | None, region: str, above: int) -> Belief:
    """What to believe when these global tables are known to have been shown, of whatever age and proof.

    What they shut stays shut until a global table of version `above` or later comes; without one to come, because the
    plan names another `home` or none, for this region alone and until it is opened here.
    """
    tables = list(shown)
    foreign = [s for t in tables if t.home != home for s in t.shut]
    narrowed = (structs.replace(s, scope=structs.replace(s.scope, region=region), version=0) for s in foreign)
    belief = remember(belief, narrowed, region)  # version 0: the other region's versions say nothing here
    old = belief.everywhere
    missing = _missing((s for t in tables if t.home == home for s in t.shut), old.shut if old is not None else ())
    if not missing or home is None:
        return belief
    shut = (*(old.shut if old is not None else ()), *missing)
    if len(shut) > MAX_SWITCHES:
        shut = (structs.replace(shut[-1], scope=Scope(ANY)),)
    return structs.replace(belief, everywhere=GlobalTable(home, above - 1, shut), global_beat=LAST)


def possible(switch: Switch) -> bool:
    """Whether every page and message has room for this switch. A table with another one in it is taken by nobody."""
    return (
        switch.scope.possible
        and 0 <= switch.version <= LAST
        and 0 <= switch.since <= LAST
        and len(switch.keys) <= _KEYS
        and all(map(KEY_ID.fullmatch, switch.keys))
        and (switch.incident is None or INCIDENT.fullmatch(switch.incident) is not None)
        and len(switch.exchange or "") <= _TEXT
        and len(switch.drill or "") <= _TEXT
    )


def absorbed_on(table: Table, host: str | None, *, beside_control: bool = False) -> dict[str, int]:
    """How far the journals of `host` were read, by slot. None, or one beside control: control reads them itself."""
    absorbed: dict[str, int] = {}
    for name, seq in table.absorbed.items():
        owner, slash, slot = name.rpartition("/")
        if (slash and owner == host) or (not slash and (host is None or beside_control)):
            absorbed[slot] = max(seq, absorbed.get(slot, -1))
    return absorbed


def _check_order(last: tuple[int, int], new: tuple[int, int], same: bool) -> None:
    """Raises `TableRefused` unless the table (version, beat) `new` follows `last`; `same` if both say the same."""
    if max(new) > LAST or min(new) < 0:
        raise TableRefused("malformed", "A switch table has a version or a beat that cannot be.")
    if new[0] == last[0] and not same:
        raise TableRefused("split", f"Two different switch tables of version {new[0]} are signed.")
    if new == last:
        raise TableRefused("again", "This switch table was taken before.")
    if new < last:
        raise TableRefused("older", f"A switch table of version {new[0]} came after {last[0]}.")


def _missing(before: Iterable[Switch], held: Iterable[Switch]) -> tuple[Switch, ...]:
    """The switches `before` that are not `held`, the newest of each scope.

    Holding an earlier shut of a scope is not holding it: what opened that one must not open this one.
    """
    newest = {s.scope: s.version for s in held}
    missing: dict[Scope, Switch] = {}
    for switch in before:
        if switch.version > newest.get(switch.scope, -1):
            newest[switch.scope] = switch.version
            missing[switch.scope] = switch
    return tuple(missing.values())


def _unproven(missing: tuple[Switch, ...], said: Said, loaded: Loaded, region: str) -> tuple[Switch, ...]:
    """Those of `missing` that `said` does not prove to be opened."""
    opened: dict[Scope, int] = {}
    scopes = {s.scope for s in missing}
    for signed in said.opened if missing else ():
        scope, version = _opening(signed, scopes, loaded, region)
        if scope is not None and version <= said.table.version:
            opened[scope] = max(version, opened.get(scope, -1))
    return tuple(s for s in missing if opened.get(s.scope, -1) < s.version)


def _opening(signed: Signed, scopes: set[Scope], loaded: Loaded, region: str) -> tuple[Scope | None, int]:
    """Which of `scopes` two persons opened, and the version of its shut. (None, -1) for what proves nothing."""
    try:
        if signed.act.scope not in scopes:  # looked at before the signatures: these take longer
            return None, -1
        return verify_opening(signed, loaded, region=region)
    except ActRefused:
        return None, -1


def _bounded(kept: tuple[Switch, ...], region: str) -> tuple[Switch, ...]:
    """`kept`, the newest of each scope. With more than a table holds, the `widest` stays shut instead."""
    kept = _missing(kept, ())
    if len(kept) <= MAX_SWITCHES:
        return kept
    newest = max(kept, key=lambda s: s.version)
    return (structs.replace(newest, scope=widest(kept, region)),)


def widest(switches: Iterable[Switch], region: str) -> Scope:
    """What stays shut where these find no room: the region, or all regions if one of them lies in all."""
    return Scope(ANY if any(s.scope.region == ANY for s in switches) else region)
