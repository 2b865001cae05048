"""`firedoor switches watch`: what is shut and how every host does, for as long as it is watched."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Annotated, Final, Literal

import typer
from msgspec import Struct, structs, to_builtins
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from firedoor.agent.page import PageReader
from firedoor.cli.options import HomeOption, JsonOption, RegionOption, echo_json, moment, printable, regions_on_disk
from firedoor.cli.piping import until_closed
from firedoor.cli.switches_hosts import BAD, Asker, HostBook, HostRow
from firedoor.cli.switches_show import (
    CODES,
    FRESH,
    Known,
    RegionState,
    State,
    age,
    global_line,
    row_line,
    state_of,
    told_by,
    worst,
)
from firedoor.config import Home, RegionHome

LOOK_EVERY: Final = 0.1
"""Seconds between two looks at the pages; a look costs microseconds."""
REDRAW_EVERY: Final = 0.25
TIMED_OUT: Final = 5

Until = Literal["open", "shut", "stale", "changed"]
_COLOURS: Final = {"open": "green", "shut": "red", "stale": "yellow"}


class RegionSeen(Struct, frozen=True):
    """A region at one moment: what this host shows, and how the other hosts do, if control tells."""

    page: RegionState
    state: State
    control: bool
    hosts: tuple[HostRow, ...]

    def plain(self) -> dict[str, object]:
        """For scripts: the fields of `firedoor switches --json`, and more."""
        told: dict[str, object] = to_builtins(self.page)
        return {**told, "state": self.state, "control": self.control, "hosts": to_builtins(self.hosts)}

    def gist(self) -> tuple[object, ...]:
        """What does not change while nothing happens."""
        page = structs.replace(self.page, age_s=None, global_age_s=None)
        hosts = tuple(structs.replace(host, silent_s=0.0, age_s=None) for host in self.hosts)
        return page, self.state, self.control, hosts


def watch(
    home: HomeOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
    every: Annotated[float, typer.Option(min=0.1, max=3600, help="With --json: seconds between lines at most.")] = 10,
    until: Annotated[Until | None, typer.Option(help="End when this is so.")] = None,
    timeout: Annotated[float | None, typer.Option(min=0, max=604_800, help="End after so many seconds.")] = None,
    once: Annotated[bool, typer.Option("--once", help="Say it once and end.")] = False,
) -> None:
    """Switches and hosts, live. Exit code 0: all open; 3: something shut; 4: stale, or a host is missing; 5: timed out.

    The code is that of the last state; 5 if what --until names was not so within --timeout.
    """
    where = Home.find(home)
    watcher = Watcher(regions_on_disk(where, region), Known(where))
    seconds = 0.0 if once else timeout
    end = time.monotonic() + seconds if seconds is not None else None
    console = Console()
    with until_closed():
        try:
            if as_json:
                reached = _follow(watcher, _json_lines(every), until, end)
            elif console.is_terminal and not once:
                with Live(console=console, auto_refresh=False) as live:
                    reached = _follow(watcher, _table(live), until, end)
            else:
                reached = _follow(watcher, _text_lines(), until, end)
        except KeyboardInterrupt:
            reached = True
    missed = until is not None and not reached
    raise typer.Exit(TIMED_OUT if missed else CODES[watcher.state])


class Watcher:
    """Looks at pages, files and what control says of hosts."""

    def __init__(self, places: list[RegionHome], known: Known) -> None:
        self._known = known
        self._places = [(place, PageReader(place.page), HostBook(FRESH)) for place in places]
        self.state: State = "stale"
        askers = [Asker(place, book) for place, _, book in self._places]
        for asker in askers:
            asker.start()
        for asker in askers:
            asker.first()

    def look(self) -> tuple[RegionSeen, ...]:
        """All regions now."""
        now = time.monotonic()
        seen = tuple(self._region(place, reader, book, now) for place, reader, book in self._places)
        self.state = worst(one.state for one in seen)
        return seen

    def _region(self, place: RegionHome, reader: PageReader, book: HostBook, now: float) -> RegionSeen:
        hosts, told = book.rows(now), book.switches
        page = told_by(told) if told and book.answers(now) else state_of(place, reader.look(), self._known)
        theirs: State = "stale" if any(h.state in BAD for h in hosts) else "open"
        if theirs == "open" and any(h.latched or h.kept for h in hosts):
            theirs = "shut"
        return RegionSeen(page, worst((page.state, theirs)), book.answers(now), hosts)


Tell = Callable[[tuple[RegionSeen, ...], bool], None]
"""Says what is seen; the second argument is whether something happened since it was called last."""


def _follow(watcher: Watcher, tell: Tell, until: Until | None, end: float | None) -> bool:
    """Look and tell until `until` is so (True), or the time is over."""
    first: object = None
    last: object = None
    while True:
        seen = watcher.look()
        gist = tuple(one.gist() for one in seen)
        first = first or gist
        tell(seen, gist != last)
        last = gist
        if until is not None and _is_so(until, watcher.state, seen, changed=gist != first):
            return True
        if end is not None and time.monotonic() >= end:
            return False
        time.sleep(LOOK_EVERY)


def _is_so(until: Until, state: State, seen: tuple[RegionSeen, ...], *, changed: bool) -> bool:
    if until == "shut":  # also under a stale table: what it shut is shut
        return state == "shut" or any(one.page.shut or one.page.shut_file for one in seen)
    return changed if until == "changed" else state == until


def _json_lines(every: float) -> Tell:
    due = 0.0

    def tell(seen: tuple[RegionSeen, ...], happened: bool) -> None:
        nonlocal due
        now = time.monotonic()
        if happened or now >= due:
            due = now + every
            state = worst(one.state for one in seen)
            regions = [one.plain() for one in seen]
            echo_json({"at": round(time.time(), 3), "state": state, "regions": regions})

    return tell


def _text_lines() -> Tell:
    told: dict[str, tuple[object, ...]] = {}

    def tell(seen: tuple[RegionSeen, ...], happened: bool) -> None:
        for one in seen if happened else ():
            if told.get(one.page.region) != one.gist():
                told[one.page.region] = one.gist()
                typer.echo(_line(one))

    return tell


def _line(one: RegionSeen) -> str:
    """A region in one line."""
    page = one.page
    parts = [f"{moment(time.time())} {page.region}: {one.state}, table version {page.version}, {age(page)}"]
    parts += [f"SHUT file: all of {page.region} is shut"] if page.shut_file else []
    parts += [row_line(row) for row in page.shut]
    parts += [line] if (line := global_line(page)) is not None else []
    parts += [] if one.control else ["control does not answer"]
    parts += [f"{host.name}: {_host_said(host)}" for host in one.hosts]
    return printable("; ".join(parts))


def _host_said(host: HostRow) -> str:
    old = f"{host.age_s:g} s old" if host.age_s is not None else "no beat"
    version = f"version {host.version}" if host.version >= 0 else "no table"
    return ", ".join([version, old, *_troubles(host)])


def _troubles(host: HostRow) -> Iterator[str]:
    """What is not as it should be."""
    if host.state in {"missing", "unknown"}:
        yield f"{host.state.upper()}: silent for {host.silent_s:.0f} s"
    elif host.state == "refuses":
        yield f"REFUSES newer tables: {host.refused}"
    elif host.state == "stale":
        yield "STALE"
    if host.latched:
        yield "its SHUT file is there"
    if host.kept:
        yield f"keeps {host.kept} shut that control does not know of"


def _table(live: Live) -> Tell:
    drawn = 0.0

    def tell(seen: tuple[RegionSeen, ...], happened: bool) -> None:
        nonlocal drawn
        if happened or time.monotonic() - drawn >= REDRAW_EVERY:
            drawn = time.monotonic()
            live.update(_drawn(seen), refresh=True)

    return tell


def _drawn(seen: tuple[RegionSeen, ...]) -> Table:
    table = Table(title=f"switches at {moment(time.time())}, Ctrl-C ends this", title_justify="left")
    for name in ("where", "state", "version", "age s", "what"):
        table.add_column(name, justify="right" if name in {"version", "age s"} else "left", overflow="fold")
    for one in seen:
        for cells in _cells(one):
            table.add_row(*cells)
        table.add_section()
    return table


def _cells(one: RegionSeen) -> Iterator[tuple[str, ...]]:
    page = one.page
    old = f"{page.age_s:.2f}" if page.age_s is not None else "-"
    yield (
        f"[bold]{escape(page.region)}[/]", f"[bold {_COLOURS[one.state]}]{one.state}[/]", str(page.version), old,
        "" if one.control else "control does not answer",
    )  # fmt: skip
    if (line := global_line(page)) is not None:
        yield "", "", "", "", escape(line)
    if page.shut_file:
        yield "", "[red]shut[/]", "", "", f"SHUT file: all of {escape(page.region)}"
    for row in page.shut:
        yield "", "[red]shut[/]", "", "", escape(row_line(row))
    for host in one.hosts:
        colour = "yellow" if host.state in BAD or host.latched or host.kept else "green"
        state = f"[{colour}]{host.state}[/]"
        version = str(host.version) if host.version >= 0 else "-"
        said = escape(", ".join([f"{host.workers} workers", *_troubles(host)]))
        old = f"{host.age_s:.2f}" if host.age_s is not None else "-"
        yield f"  {escape(host.name)}", state, version, old, said
