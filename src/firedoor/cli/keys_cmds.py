"""`firedoor keys`: what keys a region has, their replacement, and whether all is as it must be."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterable
from typing import Annotated

import msgspec
import typer

from firedoor.app.regionkeys import epochs, open_region, places
from firedoor.cli.options import HomeOption, JsonOption, RegionOption, echo_json, planned_region, printable
from firedoor.config import Home, RegionHome
from firedoor.core.evidence.record import Fact, Record
from firedoor.core.plan.model import Loaded
from firedoor.keys import epochs as acts
from firedoor.keys.audit import DAY, Audit, KeyLine, audit
from firedoor.keys.ring import Ring
from firedoor.keys.roots import open_root
from firedoor.store import planfile
from firedoor.store.journal import open_journal

OPERATOR_SLOT = "operator"
"""The journal slot in which acts of people at the terminal are recorded."""

app = typer.Typer(no_args_is_help=True, help="The keys of a region, and the root that wraps them.")


@app.command()
def status(home: HomeOption = None, region: RegionOption = None, as_json: JsonOption = False) -> None:
    """Each region's root, epoch, and what is not as it should be, in short."""
    found = _audits(Home.find(home), region)
    if as_json:
        echo_json([_short(one) for one in found])
    else:
        for one in found:
            _print_status(one)
    raise typer.Exit(0 if all(one.ok for one in found) else 1)


@app.command("audit")
def audit_(home: HomeOption = None, region: RegionOption = None, as_json: JsonOption = False) -> None:
    """Every key, with its age, state and what wraps it; checks files, signature and root. Exit 1 on errors."""
    found = _audits(Home.find(home), region)
    if as_json:
        echo_json([msgspec.to_builtins(one) | {"ok": one.ok} for one in found])
    else:
        for one in found:
            _print_audit(one)
    raise typer.Exit(0 if all(one.ok for one in found) else 1)


@app.command()
def rotate(home: HomeOption = None, region: RegionOption = None, as_json: JsonOption = False) -> None:
    """Make a new base key in the root, wrap the region's keys with it, destroy the old one."""
    place, ring = _ring(Home.find(home), region)
    change = acts.rotate(ring, _recorder(place, ring))
    if as_json:
        echo_json({"region": place.name, **msgspec.to_builtins(change)})
        return
    done = "has a new base key" if change.made else "had a base key left over from an earlier run"
    typer.echo(f"Region {place.name} {done}. {_ends(change)}")


@app.command("new-epoch")
def new_epoch(
    home: HomeOption = None,
    region: RegionOption = None,
    wait: Annotated[float, typer.Option(help="Seconds to wait for writers of the old epoch.", min=0, max=600)] = 10.0,
    drop_damaged: Annotated[
        bool, typer.Option("--drop-damaged", help="Leave keys behind that do not open: their bodies are lost.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Begin a new epoch and destroy the old one: what was erased is then dead in every backup too.

    Exit 1 while writers still hold the old epoch: nothing is lost, run it again.
    """
    place, ring = _ring(Home.find(home), region)
    change = acts.new_epoch(ring, _recorder(place, ring), wait=wait, drop_damaged=drop_damaged)
    if as_json:
        echo_json({"region": place.name, **msgspec.to_builtins(change)})
    else:
        _print_change(place, change)
    raise typer.Exit(1 if change.held_by else 0)


def _ring(home: Home, region: str | None) -> tuple[RegionHome, Ring]:
    """The region asked for, and its keys. Raises `SetupError`, `KeyUnusable`."""
    loaded = planfile.load(home.plan)
    place = planned_region(home, loaded.plan, region)
    return place, open_region(place, loaded, home.plan.parent)


def _audits(home: Home, region: str | None) -> list[Audit]:
    loaded = planfile.load(home.plan)
    if region is not None:
        return [_audit(planned_region(home, loaded.plan, region), loaded, home)]
    return [_audit(home.region(name), loaded, home) for name in sorted(loaded.plan.regions)]


def _audit(place: RegionHome, loaded: Loaded, home: Home) -> Audit:
    root = open_root(loaded.plan.regions[place.name].root, place.name, place.keys, home.plan.parent)
    return audit(place.keys, place.name, root, now=time.time())


def _recorder(place: RegionHome, ring: Ring) -> acts.Recorder:
    """Puts acts on the keys on record. It opens the journal for each, so as to hold no epoch's cells in between."""

    def record(kind: str, facts: dict[str, Fact]) -> None:
        if kind != "key":
            raise ValueError(f"acts on keys are not recorded as {kind!r}")
        asyncio.run(_record(place, ring, facts))

    return record


async def _record(place: RegionHome, ring: Ring, facts: dict[str, Fact]) -> None:
    journal = open_journal(
        places(place, OPERATOR_SLOT),
        region=place.name,
        slot=OPERATOR_SLOT,
        epochs=epochs(place, ring.worker()),
        clock_ns=time.time_ns,
    )
    try:
        facts = {**facts, "by": f"uid:{os.getuid()}"}
        await journal.append(Record(kind="key", exchange="", at=time.time_ns(), facts=facts))
    finally:
        await journal.aclose()


def _short(one: Audit) -> dict[str, object]:
    epoch = _current(one)
    return {
        "region": one.region,
        "root": one.root,
        "ok": one.ok,
        "epoch": epoch.epoch if epoch else None,
        "epoch_age": epoch.age if epoch else None,
        "erasures": one.erasures,
        "findings": msgspec.to_builtins(one.findings),
    }


def _current(one: Audit) -> KeyLine | None:
    return next((line for line in one.keys if line.purpose == "epoch" and line.state == "current"), None)


def _print_status(one: Audit) -> None:
    typer.echo(printable(f"region {one.region}: {one.root}"))
    epoch = _current(one)
    if epoch is not None:
        typer.echo(f"  epoch {epoch.epoch}, {_age(epoch.age)} old, {one.erasures} subjects erased so far")
    _print_findings(one)


def _print_audit(one: Audit) -> None:
    typer.echo(printable(f"region {one.region}: {one.root}"))
    for line in one.keys:
        more: Iterable[str] = (
            *([f"{line.cells} cells"] if line.cells is not None and line.state != "destroyed" else []),
            *([f"gone: {line.gone}"] if line.gone else []),
        )
        text = f"  {line.id:<20} v{line.version:<3} {line.state:<10} {_age(line.age):>9}  {line.wrapped_by}"
        typer.echo(printable("  ".join((text, line.handle, *more))))
    _print_findings(one)


def _print_findings(one: Audit) -> None:
    for finding in one.findings:
        word = "ERROR" if finding.level == "error" else "warning"
        typer.echo(printable(f"  {word}: {finding.text} {finding.remedy}".rstrip()))


def _print_change(place: RegionHome, change: acts.Change) -> None:
    began = f"Epoch {change.epoch} of region {place.name} has begun."
    typer.echo(began if change.made else f"Ending what an earlier run left; epoch {change.epoch} stays.")
    if change.held_by:
        holders = ", ".join(change.held_by)
        typer.echo(f"The old epoch lives on: still held by {holders}. They let go with their next record or a restart;")
        typer.echo("run `firedoor keys new-epoch` again then: it will end the old epoch and begin no other.")
        return
    dropped = f" {change.moved.dropped} that do not open were left behind." if change.moved.dropped else ""
    typer.echo(f"{change.moved.cells} subjects' keys were carried over.{dropped} {_ends(change)}")


def _ends(change: acts.Change) -> str:
    when = sorted(set(change.destroyed.values()) - {"now"})
    return f"The root destroys the old key on {', '.join(when)}." if when else "The old key is destroyed."


def _age(seconds: int) -> str:
    days, rest = divmod(seconds, DAY)
    return f"{days} days" if days else f"{rest // 3600} h"
