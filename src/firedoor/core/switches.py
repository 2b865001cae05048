"""Switches: scopes, the table of what is shut, and what holds for one exchange. Pure.

Opening and shutting are transitions from one table to the next; a table is never changed in place. What is not shut by
some switch is open, but only while the table is younger than the surface's lease: `stale` is a state of the looker, not
a switch, and a fresh table ends it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct, structs

from firedoor.core.plan.model import Plan
from firedoor.errors import ActRefused

ANY = "*"
PARTS = ("region", "shop", "surface", "model")

MAX_SWITCHES = 96
"""Switches in one table. With the longest names they still fit a switch page; one more shuts the region."""

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
        if not 1 <= len(parts) <= len(PARTS) or not all(p.strip() == p and p for p in parts):
            raise ActRefused(
                "bad_scope", f"{text!r} is not a scope.", remedy="Write region[/shop[/surface[/model]]], * for all."
            )
        return cls(*parts)

    def __str__(self) -> str:
        return f"{self.region}/{self.shop}/{self.surface}/{self.model}"

    def covers(self, other: Scope) -> bool:
        """Whether everything in `other` lies in this scope."""
        return (
            self.region in (ANY, other.region)
            and self.shop in (ANY, other.shop)
            and self.surface in (ANY, other.surface)
            and self.model in (ANY, other.model)
        )


Reason = Literal["leak", "operator", "file", "suspicion", "maintenance"]


class Switch(Struct, frozen=True):
    """A scope that is shut. `since` is Unix seconds; `by` person ids, or `firedoor` for an automatic shut."""

    scope: Scope
    reason: Reason
    since: float
    by: tuple[str, ...]
    exchange: str | None = None


class Table(Struct, frozen=True):
    """Everything that is shut in a region. `absorbed` is, per journal slot, the last record this table knows of."""

    region: str
    version: int
    plan: str
    shut: tuple[Switch, ...] = ()
    absorbed: dict[str, int] = {}
    cache_epoch: int = 0


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


def standing(
    table: Table | None,
    age: float,
    lease: float,
    scope: Scope,
    *,
    latched: bool = False,
    reflexes: Iterable[Scope] = (),
) -> Standing:
    """What holds for `scope`: shut by file, by this process's own reflex or by the table, else stale, else open.

    `age` is the table's in seconds; `latched` says that the region's SHUT file is or was there. A known shut is
    reported as shut even when the table is stale: staleness never opens anything.
    """
    version = table.version if table else 0
    if latched:
        return Standing("shut", version, "file", Scope(scope.region))
    for reflex in reflexes:
        if reflex.covers(scope):
            return Standing("shut", version, "leak", reflex)
    if table is not None:
        for switch in table.shut:
            if switch.scope.covers(scope):
                return Standing("shut", version, switch.reason, switch.scope)
    if table is None:
        return Standing("stale", 0, "no_table")
    if age > lease:
        return Standing("stale", version, "lease_over")
    return Standing("open", version, cache_epoch=table.cache_epoch)


def shut(table: Table, switch: Switch) -> Table:
    """The next table with `switch` in it. Shutting what is shut keeps the older entry and its version.

    What is shut for a leak or a suspicion begins a new `cache_epoch`: no answer kept before is given again.
    """
    if any(s.scope == switch.scope for s in table.shut):
        return table
    epoch = table.cache_epoch + (switch.reason in ("leak", "suspicion"))
    return structs.replace(_next(table, (*table.shut, switch)), cache_epoch=epoch)


def open_(table: Table, scope: Scope) -> Table:
    """The next table without the switch at exactly `scope`. Raises `ActRefused` when there is none."""
    kept = tuple(s for s in table.shut if s.scope != scope)
    if len(kept) == len(table.shut):
        related = [str(s.scope) for s in table.shut if s.scope.covers(scope) or scope.covers(s.scope)]
        remedy = f"Shut is {', '.join(related)}: open that." if related else "See `firedoor switches`."
        raise ActRefused("not_shut", f"No switch is shut at {scope}.", remedy=remedy)
    return _next(table, kept)


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

    Used where two copies of a table differ and nobody can say which is right: joining can shut, never open.
    """
    known = {s.scope for s in table.shut}
    added = tuple(s for s in other.shut if s.scope not in known)
    if not added and other.version <= table.version:
        return table
    return structs.replace(table, version=max(table.version, other.version) + 1, shut=(*table.shut, *added))


def check_scope(plan: Plan, region: str, scope: Scope) -> None:
    """Refuse a scope that names nothing: a typing error must not look like a shut door. Raises `ActRefused`."""
    if scope.region != region:
        raise ActRefused("other_region", f"{scope} does not lie in region {region}.", remedy=f"Begin with {region}/.")
    for part, name, known in (
        ("shop", scope.shop, plan.shops),
        ("surface", scope.surface, plan.surfaces),
        ("model", scope.model, {n for n, m in plan.models.items() if m.region == region}),
    ):
        if name != ANY and name not in known:
            raise ActRefused(
                "unknown_scope",
                f"The plan has no {part} {name!r} in region {region}.",
                remedy=f"It has: {', '.join(sorted(known)) or 'none'}.",
            )


def _next(table: Table, shut: tuple[Switch, ...]) -> Table:
    return structs.replace(table, version=table.version + 1, shut=shut)
