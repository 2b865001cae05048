"""`firedoor switches`: what is shut, as this host's workers see it; and the group of the commands about switches."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable
from typing import Final, Literal

import typer
from msgspec import Struct, to_builtins

from firedoor.agent.page import PageReader
from firedoor.api import shapes
from firedoor.cli.control_client import ControlClient
from firedoor.cli.lazy import Lazy, lazy_group
from firedoor.cli.options import HomeOption, JsonOption, RegionOption, echo_json, moment, printable, regions_on_disk
from firedoor.config import Home, RegionHome
from firedoor.core.people import key_id
from firedoor.core.switches import ANY, Look, Reason, Switch
from firedoor.core.switchstate import AUTOMATIC
from firedoor.errors import FiredoorError
from firedoor.store import planfile

FRESH: Final = 2.0
"""Seconds: the lease of a surface unless its plan says more. An older table opens nothing."""

SOMETHING_SHUT: Final = 3
STALE: Final = 4

State = Literal["open", "shut", "stale"]
Layer = Literal["region", "global", "drill"]
CODES: Final[dict[State, int]] = {"open": 0, "shut": SOMETHING_SHUT, "stale": STALE}

_SAID: Final = {"open": "all open", "shut": "something is shut", "stale": "STALE: AI is off until control is back"}

_COMMANDS = {
    "watch": Lazy("switches_watch", "watch"),
    "keys": Lazy("switch_keys", "keys"),
    "new-key": Lazy("switch_keys", "new_key"),
    "follow": Lazy("serve_cmds", "follow"),
    "nats": Lazy("bus_cmds", "nats"),
    "nats-key": Lazy("bus_cmds", "nats_key"),
}

app = typer.Typer(
    cls=lazy_group(_COMMANDS),
    invoke_without_command=True,
    help="What is shut, as gateway workers see it. Exit code 0: all open; 3: something is shut; 4: stale, AI is off.",
)


class ShutRow(Struct, frozen=True):
    """One scope that is shut. `since` is Unix seconds, `by` ids of persons (of their keys, if the plan knows none).

    `layer` says who keeps it: the region, one region for all, or a drill.
    """

    scope: str
    layer: Layer
    reason: Reason
    since: float
    by: tuple[str, ...]
    exchange: str | None
    incident: str | None
    drill: str | None


class RegionState(Struct, frozen=True):
    """A region as this host shows it to its workers, or, on a machine without a page, as its control says.

    Ages are in seconds, None without a beat. `home` is the region that keeps the switches of all, None if the plan has
    none or cannot be read here.
    """

    region: str
    state: State
    version: int
    age_s: float | None
    shut_file: bool
    shut: tuple[ShutRow, ...]
    home: str | None = None
    global_version: int | None = None
    global_age_s: float | None = None
    global_stale: bool = False
    source: Literal["page", "control"] = "page"


class Known:
    """What the plan on this machine, if it can be read, adds to what the page says: names, and who keeps `*`."""

    def __init__(self, home: Home) -> None:
        self.home: str | None = None
        self.global_lease = math.inf
        self._names: dict[str, str] = {}
        try:
            plan = planfile.load(home.plan).plan
            self._names = {key_id(person): name for name, person in plan.people.items()}
        except FiredoorError:  # the page says enough, and at night nothing must depend on more
            return
        self.home = plan.switches.home
        leases = [float(s.global_lease) for s in plan.surfaces.values() if s.global_lease is not None]
        self.global_lease = min(leases, default=math.inf)

    def persons(self, keys: Iterable[str]) -> tuple[str, ...]:
        """Whose keys these are; what acts by itself is called firedoor."""
        return tuple(self._names.get(key, key) for key in keys) or AUTOMATIC


@app.callback()
def switches(
    context: typer.Context, home: HomeOption = None, region: RegionOption = None, as_json: JsonOption = False
) -> None:
    """What is shut, as gateway workers see it. Exit code 0: all open; 3: something is shut; 4: stale, AI is off."""
    if context.invoked_subcommand is not None:
        if home is not None or region is not None or as_json:
            raise typer.BadParameter(f"Options belong behind the command: switches {context.invoked_subcommand} …")
        return
    where = Home.find(home)
    known = Known(where)
    regions = [look_once(place, known) for place in regions_on_disk(where, region)]
    if as_json:
        echo_json({"regions": [to_builtins(state) for state in regions]})
    else:
        for state in regions:
            for line in lines(state):
                typer.echo(line)
    raise typer.Exit(CODES[worst(state.state for state in regions)])


def look_once(place: RegionHome, known: Known) -> RegionState:
    """A region from its page and files alone, so that this works when control does not.

    A machine on which only control runs has no page; there control is asked.
    """
    if not place.page.exists():
        with contextlib.suppress(FiredoorError):  # then nobody knows
            return told_by(ControlClient(place).switches())
    reader = PageReader(place.page)
    try:
        return state_of(place, reader.look(), known)
    finally:
        reader.close()


def state_of(place: RegionHome, look: Look, known: Known) -> RegionState:
    """What `look` at the region's page, and its files, come to."""
    shown = look.shown
    file = place.shut_file.exists() or place.latch_file.exists()
    shut = _rows(look, known)
    global_stale = look.global_age > known.global_lease
    stale = shown is None or look.age > FRESH or global_stale
    everywhere = shown.everywhere if shown is not None else None
    return RegionState(
        region=place.name,
        state="stale" if stale else "shut" if shut or file else "open",
        version=shown.table.version if shown is not None else 0,
        age_s=_seconds(look.age),
        shut_file=file,
        shut=shut,
        home=known.home,
        global_version=everywhere.version if everywhere is not None else None,
        global_age_s=_seconds(look.global_age),
        global_stale=global_stale,
    )


def told_by(control: shapes.Switches) -> RegionState:
    """What a region's control says of its switches, which are fresh: it was just asked."""
    region = tuple(s for s in control.shut if not s.scope.startswith(f"{ANY}/"))
    layers: tuple[tuple[Layer, tuple[shapes.ShutSwitch, ...]], ...] = (
        ("global", control.everywhere), ("region", region), ("drill", control.drills),
    )  # fmt: skip
    rows = tuple(
        ShutRow(s.scope, layer, s.reason, s.since, s.by, s.exchange, s.incident, s.drill)
        for layer, switches in layers
        for s in sorted(switches, key=lambda s: s.scope)
    )
    return RegionState(
        region=control.region,
        state="shut" if rows or control.shut_file else "open",
        version=control.version,
        age_s=0.0,
        shut_file=control.shut_file,
        shut=rows,
        home=control.home,
        global_version=control.everywhere_version if control.home is not None else None,
        source="control",
    )


def worst(states: Iterable[State]) -> State:
    """The one to act on first."""
    return max(states, key=CODES.__getitem__, default="stale")


def lines(state: RegionState) -> Iterable[str]:
    """A region for people."""
    yield f"{state.region}: {_SAID[state.state]} (table version {state.version}, {age(state)})"
    if (told := global_line(state)) is not None:
        yield f"  {told}"
    if state.shut_file:
        yield f"  SHUT file: all of {state.region} is shut"
    for row in state.shut:
        yield f"  {row_line(row)}"


def age(state: RegionState) -> str:
    """How old what is known of the region is, for people."""
    if state.source == "control":
        return "as control says: this machine has no page"
    return f"{state.age_s} s old" if state.age_s is not None else "no beat"


def global_line(state: RegionState) -> str | None:
    """How the table of all regions is, None if the plan has none."""
    if state.home is None and state.global_version is None:
        return None
    by = f" of region {state.home}" if state.home is not None else ""
    if state.global_version is None:
        return f"switches of all regions: no table{by} has come yet"
    old = f"{state.global_age_s} s old" if state.global_age_s is not None else "no beat"
    if state.source == "control":
        old = "as control says"
    late = ": TOO OLD, surfaces with a global lease are off" if state.global_stale else ""
    return f"switches of all regions: table version {state.global_version}{by}, {old}{late}"


def row_line(row: ShutRow) -> str:
    """A shut scope for people."""
    more = [f"drill {row.drill}" if row.layer == "drill" else row.reason]
    more += [f"incident {row.incident}"] if row.incident is not None else []
    return printable(f"{row.scope}  shut  since {moment(row.since)}  by {', '.join(row.by)}  {'  '.join(more)}")


def _rows(look: Look, known: Known) -> tuple[ShutRow, ...]:
    """Every scope once per layer: the region that keeps the switches of all has them in both of its tables."""
    if look.shown is None:
        return ()
    everywhere = look.shown.everywhere
    found = {s.scope: s for s in (*(everywhere.shut if everywhere is not None else ()), *look.shown.table.shut)}
    rows = [_row(s, known, drill=False) for s in sorted(found.values(), key=lambda s: s.scope)]
    return (*rows, *(_row(s, known, drill=True) for s in sorted(look.shown.table.drills, key=lambda s: s.scope)))


def _row(switch: Switch, known: Known, *, drill: bool) -> ShutRow:
    return ShutRow(
        scope=str(switch.scope),
        layer="drill" if drill else "global" if switch.scope.region == ANY else "region",
        reason=switch.reason,
        since=switch.since,
        by=known.persons(switch.keys),
        exchange=switch.exchange,
        incident=switch.incident,
        drill=switch.drill,
    )


def _seconds(age: float) -> float | None:
    return round(age, 3) if math.isfinite(age) else None
