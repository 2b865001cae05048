"""Switches: scopes, the table of what is shut, and what holds for one exchange. Pure.

Opening and shutting are transitions from one table to the next; a table is never changed in place. What is not shut by
some switch is open, but only while the table is younger than the surface's lease: `stale` is a state of the looker, not
a switch, and a fresh table ends it.

Several layers say what is shut, and each of them alone suffices: the host's SHUT file, the worker's own reflex, the
region's table, its drills, and the switches that hold in all regions, which one region keeps for the others.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Literal, NamedTuple

from msgspec import Struct, structs

from firedoor.core.plan.model import Plan, Surface
from firedoor.errors import ActRefused

ANY = "*"
PARTS = ("region", "shop", "surface", "model")
_PART = re.compile(r"\*|[a-z][a-z0-9_-]{0,62}", re.ASCII)  # as the plan names its parts

MAX_SWITCHES = 96
"""Switches in one table. With the longest names they still fit a switch page; one more shuts the region."""

MAX_DRILLS = 32
"""Switches that drills have shut at a time: an exercise shuts a few doors. One more is refused."""

LADDER = 2
"""Leaks that must already have shut something beside a new one before the next wider scope is shut."""


class Scope(Struct, frozen=True, order=True):
    """Region / shop / surface / model instance, from broad to narrow; ``*`` stands for all."""

    region: str
    shop: str = ANY
    surface: str = ANY
    model: str = ANY

    @classmethod
    def parse(cls, text: str) -> Scope:
        """From ``eu/alpenladen/support/eu-chat``; missing parts on the right are ``*``. Raises `ActRefused`."""
        parts = text.strip().split("/")
        if not 1 <= len(parts) <= len(PARTS) or not cls(*parts).possible:
            raise ActRefused(
                "bad_scope", f"{text!r} is not a scope.", remedy="Write region[/shop[/surface[/model]]], * for all."
            )
        return cls(*parts)

    def __str__(self) -> str:
        return f"{self.region}/{self.shop}/{self.surface}/{self.model}"

    @property
    def possible(self) -> bool:
        """Whether a plan can name its parts so."""
        return all(map(_PART.fullmatch, (self.region, self.shop, self.surface, self.model)))

    def covers(self, other: Scope) -> bool:
        """Whether everything in `other` lies in this scope.

        Asked of every switch before each released chunk: the shop first, which differs most often, and no tuples.
        """
        return (
            (self.shop == other.shop or self.shop == ANY)  # noqa: PLR1714
            and (self.region == other.region or self.region == ANY)  # noqa: PLR1714
            and (self.surface == other.surface or self.surface == ANY)  # noqa: PLR1714
            and (self.model == other.model or self.model == ANY)  # noqa: PLR1714
        )


Reason = Literal["leak", "operator", "file", "suspicion", "maintenance", "drill"]

KEY_ID = re.compile(r"[0-9a-f]{16}", re.ASCII)
"""What a person's key is called."""

INCIDENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,63}", re.ASCII)
"""What a case is called."""


class Switch(Struct, frozen=True):
    """A scope that is shut. `since` is Unix seconds; `keys` are ids of persons' keys, none for an automatic one.

    `version` is the table's that shut it: it names this shut among all of the scope's, and whoever opens it signs it.
    """

    scope: Scope
    reason: Reason
    since: float
    keys: tuple[str, ...] = ()
    exchange: str | None = None
    incident: str | None = None
    version: int = 0
    drill: str | None = None


class Table(Struct, frozen=True):
    """Everything that is shut in a region. `absorbed` is, per journal slot, the last record this table knows of.

    Slots of another host than control's are named ``HOST/SLOT``. Scopes of all regions (``*/…``) stand only in the
    table of the region that keeps them. `drills` is a layer of its own: it ends with the drill.
    """

    region: str
    version: int
    plan: str
    shut: tuple[Switch, ...] = ()
    absorbed: dict[str, int] = {}
    cache_epoch: int = 0
    drills: tuple[Switch, ...] = ()


class GlobalTable(Struct, frozen=True):
    """What the region `home` keeps shut in all regions: the part of its table that passes to the others."""

    home: str
    version: int
    shut: tuple[Switch, ...] = ()


class Shown(Struct, frozen=True):
    """What a host shows its workers: the region's table, and the global one if the plan has one and it has come."""

    table: Table
    everywhere: GlobalTable | None = None


class Lease(NamedTuple):
    """How old, in seconds, a table may be for AI to run: the region's, and the global one (any age, if infinite)."""

    region: float
    everywhere: float = math.inf


def lease_of(surface: Surface) -> Lease:
    """What a surface's plan says."""
    everywhere = surface.global_lease
    return Lease(float(surface.lease), math.inf if everywhere is None else float(everywhere))


class Standing(Struct, frozen=True):
    """What holds for one scope now. `by` is the scope of the switch that shuts it."""

    state: Literal["open", "shut", "stale"]
    version: int
    reason: str | None = None
    by: Scope | None = None
    cache_epoch: int = 0

    def header(self) -> str:
        """The `Firedoor-Switch` response header."""
        reason = f"; reason={self.reason}" if self.reason else ""
        return f"{self.state}; v={self.version}{reason}"


class Look(Struct, frozen=True):
    """What a switch page shows now: tables, and the ages of both in seconds, infinite where there is no beat."""

    shown: Shown | None = None
    age: float = math.inf
    global_age: float = math.inf


def standing(
    look: Look,
    lease: Lease,
    scope: Scope,
    *,
    latched: bool = False,
    reflexes: Iterable[Scope] = (),
) -> Standing:
    """What holds for `scope`: shut by file, by this process's own reflex or by a table, else stale, else open.

    `latched` says that the region's SHUT file is or was there. A known shut is reported as shut even when its table is
    stale: staleness never opens anything.
    """
    shown = look.shown
    version = shown.table.version if shown is not None else 0
    if latched:
        return Standing("shut", version, "file", Scope(scope.region))
    for reflex in reflexes:
        if reflex.covers(scope):
            return Standing("shut", version, "leak", reflex)
    if shown is None:
        return Standing("stale", 0, "no_table")
    table, everywhere = shown.table, shown.everywhere
    for switch in table.shut:
        if switch.scope.covers(scope):
            return Standing("shut", version, switch.reason, switch.scope)
    if everywhere is not None:
        for switch in everywhere.shut:
            if switch.scope.covers(scope):
                return Standing("shut", version, switch.reason, switch.scope)
    for switch in table.drills:
        if switch.scope.covers(scope):
            return Standing("shut", version, "drill", switch.scope)
    if look.age > lease.region:
        return Standing("stale", version, "lease_over")
    if look.global_age > lease.everywhere:
        return Standing("stale", version, "global_lease_over")
    return Standing("open", version, cache_epoch=table.cache_epoch)


def global_part(table: Table) -> GlobalTable:
    """What of a region's table holds in all regions. No exchange is in it, and times are whole seconds."""
    shut = tuple(
        structs.replace(s, exchange=None, since=float(int(s.since))) for s in table.shut if s.scope.region == ANY
    )
    return GlobalTable(table.region, table.version, shut)


def shut(table: Table, switch: Switch) -> Table:
    """The next table with `switch` in it. Shutting what is shut keeps the older entry and its version.

    What is shut for a leak or a suspicion begins a new `cache_epoch`: no answer kept before is given again.
    """
    if any(s.scope == switch.scope for s in table.shut):
        return table
    epoch = table.cache_epoch + (switch.reason in ("leak", "suspicion"))
    return structs.replace(_next(table, (*table.shut, switch)), cache_epoch=epoch)


def shut_in_drill(table: Table, switch: Switch) -> Table:
    """The next table with `switch`, whose `drill` is set, in the layer of drills. Raises `ActRefused` if that is full.

    The `cache_epoch` stays: an exercise shows nothing about the answers that are kept, and must cost the shop none.
    """
    if any((s.scope, s.drill) == (switch.scope, switch.drill) for s in table.drills):
        return table
    if len(table.drills) >= MAX_DRILLS:
        raise ActRefused(
            "drills_full", f"Drills have shut {MAX_DRILLS} scopes already.", remedy="End one: `firedoor open --drill`."
        )
    return structs.replace(table, version=table.version + 1, drills=(*table.drills, switch))


def end_drill(table: Table, drill: str) -> Table:
    """The next table without what `drill` shut. Raises `ActRefused` when it shut nothing."""
    kept = tuple(s for s in table.drills if s.drill != drill)
    if len(kept) == len(table.drills):
        raise ActRefused("no_drill", f"No drill {drill!r} has shut anything.", remedy="See `firedoor switches`.")
    return structs.replace(table, version=table.version + 1, drills=kept)


def open_(table: Table, scope: Scope, of: int) -> Table:
    """The next table without the switch at exactly `scope`, which the table of version `of` shut. Raises `ActRefused`.

    Whoever asked to open an earlier shut does not know why it was shut again.
    """
    switch = next((s for s in table.shut if s.scope == scope), None)
    if switch is None:
        related = [str(s.scope) for s in table.shut if s.scope.covers(scope) or scope.covers(s.scope)]
        remedy = f"Shut is {', '.join(related)}: open that." if related else "See `firedoor switches`."
        raise ActRefused("not_shut", f"No switch is shut at {scope}.", remedy=remedy)
    if switch.version != of:
        raise ActRefused(
            "other_shut",
            f"{scope} was shut with table version {switch.version}, not {of}.",
            remedy="Look at `firedoor switches` again, then sign a new request.",
        )
    return _next(table, tuple(s for s in table.shut if s is not switch))


def where_found(text: str, region: str) -> Scope:
    """Where a worker of `region` confirmed a leak. What says so unreadably means the region: in doubt, AI is off."""
    try:
        scope = Scope.parse(text)
    except ActRefused:
        return Scope(region)
    return scope if scope.region == region else Scope(region)


def scope_to_shut(table: Table, found: Scope) -> Scope:
    """The narrowest scope that answers a leak confirmed at `found`: itself, or wider when leaks pile up around it.

    Two model instances of the surface already shut for a leak: the surface. Two surfaces of the shop in which a leak
    has already shut something: the shop. Never wider: a region is shut by people, by the file, or by a full table.
    """
    leaks = [s.scope for s in table.shut if s.reason == "leak" and s.scope != found]
    if ANY not in (found.surface, found.model):
        surface = structs.replace(found, model=ANY)
        if len({s.model for s in leaks if s.model != ANY and surface.covers(s)}) >= LADDER:
            found = surface
    if ANY not in (found.shop, found.surface):
        shop = structs.replace(found, surface=ANY, model=ANY)
        others = {s.surface for s in leaks if s.surface not in (ANY, found.surface) and shop.covers(s)}
        if len(others) >= LADDER:
            found = shop
    return found


def absorb(table: Table, slot: str, seq: int) -> Table:
    """The next table, which knows of the records of `slot` up to `seq`. Never goes back."""
    if seq <= table.absorbed.get(slot, -1):
        return table
    return structs.replace(table, version=table.version + 1, absorbed={**table.absorbed, slot: seq})


def forget_slots(table: Table, slots: Iterable[str]) -> Table:
    """The next table without `slots`, whose journals are gone: what a new journal says there counts from its start."""
    gone = set(slots) & table.absorbed.keys()
    if not gone:
        return table
    kept = {slot: seq for slot, seq in table.absorbed.items() if slot not in gone}
    return structs.replace(table, version=table.version + 1, absorbed=kept)


def join(table: Table, other: Table) -> Table:
    """All that either table shuts, under a version above both; `table` itself when `other` adds nothing to it.

    Used where two copies of a table differ and nobody can say which is right: joining can shut, never open. Of two
    shuts of a scope the later one stands, so that no opening of the earlier one opens it.
    """
    theirs = {s.scope: s for s in other.shut}
    shut = tuple(max(s, theirs.pop(s.scope, s), key=_version) for s in table.shut)
    layer = {(s.scope, s.drill) for s in table.drills}
    drills = tuple(s for s in other.drills if (s.scope, s.drill) not in layer)
    if shut == table.shut and not theirs and not drills and other.version <= table.version:
        return table
    return structs.replace(
        table, version=max(table.version, other.version) + 1, shut=(*shut, *theirs.values()),
        drills=(*table.drills, *drills),
    )  # fmt: skip


def check_scope(plan: Plan, region: str, scope: Scope) -> None:
    """Refuse a scope that names nothing: a typing error must not look like a shut door. Raises `ActRefused`.

    A scope of all regions is kept by one of them, the plan's ``switches.home``.
    """
    if scope.region == ANY and plan.switches.home != region:
        raise ActRefused(
            "other_region",
            f"Region {region} does not keep the switches of all regions.",
            remedy=f"Ask region {plan.switches.home}." if plan.switches.home else f"Begin with {region}/.",
        )
    if scope.region not in (region, ANY):
        raise ActRefused("other_region", f"{scope} does not lie in region {region}.", remedy=f"Begin with {region}/.")
    for part, name, known in (
        ("shop", scope.shop, plan.shops),
        ("surface", scope.surface, plan.surfaces),
        ("model", scope.model, {n for n, m in plan.models.items() if scope.region == ANY or m.region == region}),
    ):
        if name != ANY and name not in known:
            where = "" if scope.region == ANY else f" in region {region}"
            raise ActRefused(
                "unknown_scope",
                f"The plan has no {part} {name!r}{where}.",
                remedy=f"It has: {', '.join(sorted(known)) or 'none'}.",
            )


def _version(switch: Switch) -> int:
    return switch.version


def _next(table: Table, shut: tuple[Switch, ...]) -> Table:
    return structs.replace(table, version=table.version + 1, shut=shut)
